//! What an owner puts in, it finds: at once, sealed, and after whatever happened meanwhile.

use std::collections::BTreeMap;

use kwaai_core::identity::{PeerId, peer_id};
use kwaai_core::trust::Tier;
use kwaai_core::vpk::{CollectionConfig, DepotPolicy, HostName, Item, MAX_HITS, Metric, Mode, PartState};
use kwaai_core::{Config, ErrorCode, Node};
use serde_json::Map;

use crate::hosts::{
    Conduct, DIMENSION, GRACE, Host, Random, config, connect, ids, items, metadata, names, nearest, node, open_policy,
};

fn none() -> Map<String, serde_json::Value> {
    Map::new()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_put_in_is_found_at_once_and_sealed_and_after_restarts_of_owner_and_host() {
    let (own, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let query = Random(77).vector();
    let all = items(0..60);
    let expected = nearest(&all, &query, 10);
    let found = {
        let (owner, host) = (node(own.path()).await, node(other.path()).await);
        host.vpk().host(open_policy()).await.unwrap();
        connect(&owner, &host).await;
        let notes =
            owner.vpk().create("notes", config(Mode::Seal, vec![HostName::Peer(host.peer_id())])).await.unwrap();
        assert_eq!(notes.leakage(), Mode::Seal.leakage());
        notes.upsert(all.clone()).await.unwrap();
        let buffered = notes.search(&query, 10, &none()).await.unwrap();
        assert_eq!((ids(&buffered), notes.stats().buffered), (expected.clone(), 60));
        assert_eq!(buffered.hits[0].payload.as_deref(), Some(format!("text {}", expected[0]).as_bytes()));
        notes.flush().await.unwrap();
        let stats = notes.stats();
        assert_eq!((stats.vectors, stats.buffered, stats.segments, stats.epoch), (60, 0, 1, 1));
        // The same scores to the last bit, from the host now.
        assert_eq!(notes.search(&query, 10, &none()).await.unwrap(), buffered);
        assert_eq!(host.vpk().hosted().unwrap().tenants().unwrap()[0].owner, owner.did());
        let odd = notes.search(&query, 10, &metadata(1)).await.unwrap();
        let odd_items: Vec<Item> = all.iter().filter(|item| item.id % 2 == 1).cloned().collect();
        assert_eq!(ids(&odd), nearest(&odd_items, &query, 10));
        for node in [owner, host] {
            node.shutdown(GRACE).await.unwrap();
        }
        buffered
    };
    let (owner, host) = (node(own.path()).await, node(other.path()).await);
    let notes = owner.vpk().open("notes").await.unwrap();
    assert_eq!(owner.vpk().collections().await.unwrap(), ["notes"]);
    // The host has not begun to host again, and cannot be reached either.
    assert_eq!(notes.search(&query, 10, &none()).await.unwrap_err().code(), ErrorCode::Unreachable);
    connect(&owner, &host).await;
    let error = notes.search(&query, 10, &none()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unsupported, "{error}");
    host.vpk().host(open_policy()).await.unwrap();
    assert_eq!(notes.search(&query, 10, &none()).await.unwrap(), found);

    // Replaced and deleted before and after they are sealed.
    let far: Vec<f32> = query.iter().map(|value| -value).collect();
    notes.upsert(vec![Item::new(expected[0], far)]).await.unwrap();
    assert_eq!(notes.delete(vec![expected[1], 1000]).await.unwrap(), 1);
    assert_eq!(ids(&notes.search(&query, 8, &none()).await.unwrap()), expected[2..]);
    notes.flush().await.unwrap();
    assert_eq!(ids(&notes.search(&query, 8, &none()).await.unwrap()), expected[2..]);
    let last = notes.search(&query, 59, &none()).await.unwrap().hits.pop().unwrap();
    assert_eq!((last.id, last.payload), (expected[0], None));
    let report = notes.verify().await.unwrap().remove(0);
    assert!(report.is_right(), "{report:?}");
    assert_eq!((report.segments.len(), report.payloads.len()), (2, 58));

    notes.destroy().await.unwrap();
    let gone = notes.upsert(vec![Item::new(1, query.clone())]).await;
    assert_eq!(gone.unwrap_err().code(), ErrorCode::Closed);
    assert_eq!(notes.search(&query, 1, &none()).await.unwrap_err().code(), ErrorCode::Closed);
    assert_eq!(host.vpk().hosted().unwrap().tenants().unwrap(), []);
    assert_eq!(owner.vpk().open("notes").await.unwrap_err().code(), ErrorCode::NotFound);
    for node in [owner, host] {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_keeps_anything_for_others_unless_its_owner_says_so_and_for_whom() {
    let start = async || Node::start(Config::default()).await.unwrap();
    let (owner, host) = (start().await, start().await);
    connect(&owner, &host).await;
    let wanted = config(Mode::Plain, vec![HostName::Peer(host.peer_id())]);
    let refused = async || owner.vpk().create("notes", wanted.clone()).await.unwrap_err().code();
    assert_eq!(refused().await, ErrorCode::Unsupported);
    assert!(host.vpk().hosted().is_none());
    // By default, a tenant is somebody who is known.
    host.vpk().host(DepotPolicy::of(1 << 20)).await.unwrap();
    assert_eq!(refused().await, ErrorCode::PermissionDenied);
    assert_eq!(host.vpk().host(open_policy()).await.unwrap_err().code(), ErrorCode::AlreadyExists);
    host.vpk().stop_hosting().await.unwrap();
    host.vpk().host(open_policy()).await.unwrap();
    // What could not be made left nothing behind.
    owner.vpk().create("notes", wanted.clone()).await.unwrap();
    assert_eq!(refused().await, ErrorCode::AlreadyExists);
    host.vpk().stop_hosting().await.unwrap();
    let policy = host.trust().policy().unwrap();
    assert_eq!(policy.minimum(kwaai_core::trust::Purpose::StoreVectors), Tier::Known.into());
    let nothing = DepotPolicy { capacity_bytes: 0, ..open_policy() };
    assert_eq!(host.vpk().host(nothing).await.unwrap_err().code(), ErrorCode::InvalidArgument);

    let stranger: PeerId = peer_id::parse_any("12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN").unwrap();
    for (mode, hosts) in [
        (Mode::Seal, vec![HostName::Here, HostName::Here]),
        (Mode::Split, vec![HostName::Here; 3]),
        (Mode::Split, vec![HostName::Here]),
        (Mode::Split, vec![HostName::Here, HostName::Peer(stranger)]),
        (Mode::Plain, vec![HostName::Peer(owner.peer_id())]),
    ] {
        owner.vpk().host(open_policy()).await.ok();
        let error = owner.vpk().create("other", config(mode, hosts)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{error}");
    }
    for node in [owner, host] {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_refused_and_nothing_of_it_is_kept() {
    let owner = Node::start(Config::default()).await.unwrap();
    owner.vpk().host(open_policy()).await.unwrap();
    let notes = owner.vpk().create("notes", config(Mode::Plain, vec![HostName::Here])).await.unwrap();
    notes.upsert(items(0..3)).await.unwrap();
    let before = notes.stats();
    for vector in [vec![1.0; DIMENSION - 1], vec![0.0; DIMENSION], vec![f32::NAN; DIMENSION], vec![f32::INFINITY; 8]] {
        let error = notes.upsert(vec![Item::new(7, vec![1.0; DIMENSION]), Item::new(8, vector.clone())]).await;
        let error = error.unwrap_err();
        assert_eq!((error.code(), error.context()["id"].as_str()), (ErrorCode::InvalidArgument, "8"));
        assert!(notes.search(&vector, 1, &none()).await.is_err());
    }
    let long = Item::new(9, vec![1.0; DIMENSION]).with_payload(vec![0; 1 << 20]);
    assert_eq!(notes.upsert(vec![long]).await.unwrap_err().code(), ErrorCode::InvalidArgument);
    for k in [0, MAX_HITS + 1, usize::MAX] {
        let error = notes.search(&[1.0; DIMENSION], k, &none()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
    }
    assert_eq!(notes.stats(), before);
    assert_eq!(notes.search(&[1.0; DIMENSION], 100, &none()).await.unwrap().hits.len(), 3);
    owner.shutdown(GRACE).await.unwrap();
}

/// Changes drawn from a seed, beside a model of them, with the collection opened anew now and then.
#[tokio::test(flavor = "multi_thread")]
async fn a_collection_is_what_a_map_of_the_same_changes_is() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = Random(0xc0_11ec7);
    let mut model: BTreeMap<u64, Item> = BTreeMap::new();
    let mut owner = node(dir.path()).await;
    owner.vpk().host(open_policy()).await.unwrap();
    let dot = kwaai_core::vpk::CollectionConfig { metric: Metric::Dot, ..config(Mode::Plain, vec![HostName::Here]) };
    owner.vpk().create("map", dot).await.unwrap();
    for round in 0..60 {
        let map = owner.vpk().open("map").await.unwrap();
        match random.next() % 8 {
            0..=2 => {
                let items: Vec<Item> = (0..1 + random.next() % 20)
                    .map(|_| Item::new(random.next() % 80, random.vector()).with_payload(format!("{round}")))
                    .collect();
                model.extend(items.iter().map(|item| (item.id, item.clone())));
                map.upsert(items).await.unwrap();
            }
            3..=4 => {
                let gone: Vec<u64> = (0..random.next() % 12).map(|_| random.next() % 80).collect();
                let mut count = 0;
                gone.iter().for_each(|id| count += usize::from(model.remove(id).is_some()));
                assert_eq!(map.delete(gone).await.unwrap(), count, "round {round}");
            }
            5 => map.flush().await.unwrap(),
            6 => map.rotate().await.unwrap(),
            _ => {
                drop(map);
                owner.shutdown(GRACE).await.unwrap();
                drop(owner);
                owner = node(dir.path()).await;
                owner.vpk().host(open_policy()).await.unwrap();
            }
        }
        let map = owner.vpk().open("map").await.unwrap();
        assert_eq!(map.stats().vectors, model.len(), "round {round}");
        let query = random.vector();
        let found = map.search(&query, 100, &none()).await.unwrap();
        assert_eq!(found.hits.len(), model.len(), "round {round}");
        for pair in found.hits.windows(2) {
            assert!((pair[0].score, pair[1].id) >= (pair[1].score, pair[0].id), "round {round}");
        }
        for hit in found.hits {
            let item = &model[&hit.id];
            let exact: f32 = item.vector.iter().zip(&query).map(|(a, b)| a * b).sum();
            assert!((hit.score - f64::from(exact)).abs() < 0.01, "round {round}: {} for {exact}", hit.score);
            assert_eq!(hit.payload, item.payload, "round {round}");
        }
    }
    let map = owner.vpk().open("map").await.unwrap();
    map.flush().await.unwrap();
    let report = map.verify().await.unwrap().remove(0);
    assert!(report.is_right(), "{report:?}");
    owner.vpk().destroy("map").await.unwrap();
    assert_eq!(owner.vpk().hosted().unwrap().tenants().unwrap(), []);
    owner.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_seals_what_is_there_anew_without_what_was_deleted() {
    let owner = Node::start(Config::default()).await.unwrap();
    let hosts = Host::several(3, &owner).await;
    let notes = owner.vpk().create("notes", config(Mode::Split, names(&hosts))).await.unwrap();
    let all = items(0..30);
    notes.upsert(all.clone()).await.unwrap();
    notes.flush().await.unwrap();
    notes.delete((0..20).collect()).await.unwrap();
    let query = Random(5).vector();
    let before = notes.search(&query, 10, &none()).await.unwrap();
    assert_eq!(ids(&before), nearest(&all[20..], &query, 10));
    assert_eq!((notes.stats().epoch, notes.stats().deleted), (1, 20));
    let old_key = notes.export_key("correct horse").await.unwrap();
    notes.rotate().await.unwrap();
    assert_eq!((notes.stats().epoch, notes.stats().deleted, notes.stats().segments), (2, 0, 1));
    assert_eq!(notes.search(&query, 10, &none()).await.unwrap(), before);
    assert_ne!(notes.export_key("correct horse").await.unwrap(), old_key);
    for host in &hosts {
        assert_eq!(host.segments(owner.did(), notes.site()), 1, "the old one is forgotten");
    }
    notes.flush().await.unwrap();
    let reports = notes.verify().await.unwrap();
    assert!(reports.iter().all(|report| report.is_right()), "{reports:?}");

    // A rotation that cannot be done leaves the key that there was.
    hosts[2].behave(Conduct::Full);
    assert_eq!(notes.rotate().await.unwrap_err().code(), ErrorCode::ResourceExhausted);
    assert_eq!(notes.stats().epoch, 2);
    assert_eq!(notes.search(&query, 10, &none()).await.unwrap(), before);
    for host in &hosts {
        host.behave(Conduct::Honest);
        assert_eq!(host.segments(owner.did(), notes.site()), 1, "nothing is left of the attempt");
    }
    assert!(notes.verify().await.unwrap().iter().all(|report| report.manifest == PartState::Right));
    owner.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_of_any_dimension_and_length_are_found_as_an_exact_search_finds_them() {
    let owner = Node::start(Config::default()).await.unwrap();
    let kept = Host::several(3, &owner).await;
    let hosts = names(&kept);
    let (mut found, mut wanted) = (0, 0);
    for dimension in [256usize, 768, 1024] {
        let mut random = Random(dimension as u64);
        let mut wide = || (0..dimension.div_ceil(DIMENSION)).flat_map(|_| random.vector()).take(dimension).collect();
        let centres: Vec<Vec<f32>> = (0..8).map(|_| wide()).collect();
        let mut near = |at: usize, length: f32| -> Vec<f32> {
            centres[at % 8].iter().zip(wide()).map(|(centre, noise): (&f32, f32)| (centre + noise) * length).collect()
        };
        // From a thousandth to a thousand long, as nobody normalised them.
        let vectors = (0..60).map(|id| Item::new(id, near(id as usize, 10f32.powi(id as i32 % 7 - 3))));
        let all: Vec<Item> = vectors.collect();
        for (mode, hosts) in [(Mode::Seal, &hosts[..1]), (Mode::Split, &hosts[..])] {
            let wide = CollectionConfig { dimension, ..config(mode, hosts.to_vec()) };
            let notes = owner.vpk().create(&format!("{mode}-{dimension}"), wide).await.unwrap();
            // Two segments, and some that were not sealed yet.
            for part in [&all[..30], &all[30..55]] {
                notes.upsert(part.to_vec()).await.unwrap();
                notes.flush().await.unwrap();
            }
            notes.upsert(all[55..].to_vec()).await.unwrap();
            for at in 0..3 {
                let query = near(at, 3.0);
                let truth = nearest(&all, &query, 10);
                let ours = ids(&notes.search(&query, 10, &none()).await.unwrap());
                found += truth.iter().filter(|id| ours.contains(id)).count();
                wanted += truth.len();
            }
            notes.destroy().await.unwrap();
        }
    }
    assert!(found * 100 >= wanted * 99, "found {found} of {wanted}");
    owner.shutdown(GRACE).await.unwrap();
}
