//! Hosts that are found, and chosen.

use std::time::Duration;

use kwaai_core::identity::PeerId;
use kwaai_core::net::hivemind::record::keys::{OUR_VPK_NODES, VPK_NODES};
use kwaai_core::trust::{CredentialType, LinkType, Purpose, Tier, TrustGraph};
use kwaai_core::vpk::{CollectionConfig, DepotPolicy, HostName, HostOffer, Mode, Placement};
use kwaai_core::{Config, ErrorCode, Node};
use serde_json::Map;

use crate::hosts::{GRACE, Random, config, connect, ids, items, nearest, node, open_policy, until};

/// Everybody who has room, on one machine.
fn anybody() -> Placement {
    Placement { min_tier: Some(Tier::Unknown), distinct_networks: false, ..Placement::default() }
}

async fn start() -> Node {
    Node::start(Config::default()).await.unwrap()
}

/// Nodes that host, each connected to the owner.
async fn hosting(owner: &Node, count: usize) -> Vec<Node> {
    let mut nodes = Vec::new();
    for _ in 0..count {
        let node = start().await;
        connect(owner, &node).await;
        node.vpk().host(open_policy()).await.unwrap();
        nodes.push(node);
    }
    nodes
}

async fn found(owner: &Node, placement: &Placement, count: usize) -> Vec<HostOffer> {
    until(async || {
        let offers = owner.vpk().discover(placement).await.unwrap();
        (offers.len() == count).then_some(offers)
    })
    .await
}

fn peers(offers: &[HostOffer], fit: bool) -> Vec<PeerId> {
    let mut peers: Vec<PeerId> =
        offers.iter().filter(|offer| offer.refusal.is_none() == fit).map(|offer| offer.host).collect();
    peers.sort();
    peers
}

fn sorted(nodes: &[&Node]) -> Vec<PeerId> {
    let mut peers: Vec<PeerId> = nodes.iter().map(|node| node.peer_id()).collect();
    peers.sort();
    peers
}

async fn end(nodes: Vec<Node>) {
    for node in nodes {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_hosts_for_everybody_brings_its_own_vectors_to_nobody_unknown_and_admits_nobody_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let minimum = |node: &Node| node.trust().policy().unwrap().minimum(Purpose::StoreVectors);
    {
        let node = node(dir.path()).await;
        let others = hosting(&node, 1).await;
        node.vpk().host(open_policy()).await.unwrap();
        assert_eq!(minimum(&node), Tier::Unknown.into());
        let strict = Placement { min_tier: None, ..anybody() };
        let offers = found(&node, &strict, 1).await;
        assert_eq!(offers[0].refusal.as_ref().map(|error| error.code()), Some(ErrorCode::UntrustedPeer));
        // It ends without having ended to host.
        end(others).await;
        node.shutdown(GRACE).await.unwrap();
    }
    let node = node(dir.path()).await;
    assert_eq!(minimum(&node), Tier::Known.into());
    node.vpk().host(open_policy()).await.unwrap();
    // What is set meanwhile stands.
    let policy = node.trust().policy().unwrap();
    node.trust().set_policy(policy.with_minimum(Purpose::StoreVectors, Tier::Trusted).unwrap()).unwrap();
    node.vpk().stop_hosting().await.unwrap();
    assert_eq!(minimum(&node), Tier::Trusted.into());
    node.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_found_with_what_they_offer_and_why_they_would_not_be_used() {
    let owner = start().await;
    let mut nodes = hosting(&owner, 2).await;
    let (full, closed) = (start().await, start().await);
    for node in [&full, &closed] {
        connect(&owner, node).await;
    }
    full.vpk().host(DepotPolicy { min_tier: Some(Tier::Unknown), ..DepotPolicy::of(1 << 20) }).await.unwrap();
    // By default a tenant is somebody who is known.
    closed.vpk().host(DepotPolicy::of(256 << 20)).await.unwrap();
    let offers = found(&owner, &anybody(), 4).await;
    assert_eq!(peers(&offers, true), sorted(&[&nodes[0], &nodes[1]]));
    for offer in &offers[..2] {
        assert_eq!((offer.tier, offer.free_bytes), (Tier::Unknown, 64 << 20));
        assert!(offer.latency.is_some_and(|latency| latency < Duration::from_secs(8)));
        assert_eq!((offer.networks.as_slice(), offer.operators.as_slice()), (&["loopback".to_owned()][..], &[][..]));
    }
    let why = |node: &Node| {
        let offer = offers.iter().find(|offer| offer.host == node.peer_id()).unwrap();
        offer.refusal.as_ref().unwrap().code()
    };
    assert_eq!((why(&full), why(&closed)), (ErrorCode::ResourceExhausted, ErrorCode::PermissionDenied));

    // Whom this node does not trust, it does not ask.
    let offers = owner.vpk().discover(&Placement { min_tier: None, ..anybody() }).await.unwrap();
    for offer in &offers {
        assert_eq!(offer.refusal.as_ref().unwrap().code(), ErrorCode::UntrustedPeer);
        assert_eq!((offer.latency, offer.free_bytes), (None, 0));
    }

    nodes[0].vpk().stop_hosting().await.unwrap();
    let offers = found(&owner, &anybody(), 3).await;
    assert_eq!(peers(&offers, true), sorted(&[&nodes[1]]));
    nodes.extend([owner, full, closed]);
    end(nodes).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_hiveminds_dht_a_host_is_found_under_both_names_without_an_address() {
    let config = || Config { hivemind: true, ..Config::default() };
    let (host, reader) = (Node::start(config()).await.unwrap(), Node::start(config()).await.unwrap());
    connect(&reader, &host).await;
    host.vpk().host(open_policy()).await.unwrap();
    let dht = reader.hivemind().unwrap();
    for key in [OUR_VPK_NODES, VPK_NODES] {
        let record = until(async || dht.announced(key).await.pop()).await;
        assert_eq!((record.peer, record.signed, record.addresses.len()), (host.peer_id(), true, 0), "{key}");
        assert!(record.fields.get("addresses").is_none(), "{key}");
        match key {
            OUR_VPK_NODES => assert_eq!(record.fields.count("free_bytes"), Some(256 << 20)),
            _ => {
                assert_eq!(record.fields.text("mode"), Some("eve"));
                assert_eq!(record.fields.number("capacity_gb"), Some(0.268435456));
                assert_eq!(record.fields.count("tenant_count"), Some(0));
                assert!(record.fields.text("vpk_version").is_some() && record.fields.text("public_name").is_some());
            }
        }
    }
    assert_eq!(peers(&found(&reader, &anybody(), 1).await, true), [host.peer_id()]);
    host.vpk().stop_hosting().await.unwrap();
    for key in [OUR_VPK_NODES, VPK_NODES] {
        until(async || dht.announced(key).await.is_empty().then_some(())).await;
    }
    end(vec![host, reader]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_names_no_hosts_gets_independent_ones_and_a_person_counts_once() {
    let owner = start().await;
    let nodes = hosting(&owner, 5).await;
    found(&owner, &anybody(), 5).await;
    // A person has two of them, which both sides say.
    let dir = tempfile::tempdir().unwrap();
    let person = TrustGraph::open_dir(dir.path()).unwrap();
    // Of whom somebody whom the owner trusts says something, so that the links of strangers with them are kept.
    let issuer = nodes[4].trust();
    let pledge = issuer.issue(CredentialType::FiduciaryPledge, person.did(), Map::new(), None).await.unwrap();
    owner.trust().trust_issuer(issuer.did(), &[CredentialType::FiduciaryPledge]).unwrap();
    owner.trust().import_credential(&pledge.to_json()).await.unwrap();
    for node in &nodes[..2] {
        let trust = node.trust();
        let theirs = person.issue_binding(node.did(), LinkType::Person, None).await.unwrap();
        let ours = trust.issue_binding(person.did(), LinkType::Node, None).await.unwrap();
        for credential in [theirs, ours] {
            trust.import_credential(&credential.to_json()).await.unwrap();
        }
    }
    let wanted = |placement| CollectionConfig { placement, ..config(Mode::Split, Vec::new()) };
    // The links are fetched when the hosts are asked, once the question before is long enough ago.
    until(async || {
        let offers = owner.vpk().discover(&anybody()).await.unwrap();
        let bound = offers.iter().filter(|offer| offer.operators == [person.did()]).count();
        (bound == 2).then_some(())
    })
    .await;

    // All of them are on one machine.
    let alone = wanted(Placement { distinct_networks: true, ..anybody() });
    let error = owner.vpk().create("notes", alone).await.unwrap_err();
    assert_eq!((error.code(), error.context()["found"].as_str()), (ErrorCode::NotFound, "1"), "{error}");
    let five = wanted(Placement { replicas: Some(5), ..anybody() });
    let error = owner.vpk().create("notes", five).await.unwrap_err();
    assert_eq!((error.context()["found"].as_str(), error.context()["needed"].as_str()), ("4", "5"), "{error}");

    let notes = owner.vpk().create("notes", wanted(anybody())).await.unwrap();
    let hosts = notes.config().hosts;
    assert_eq!(hosts.len(), 4, "one to spare");
    let of_the_person = nodes[..2].iter().filter(|node| hosts.contains(&HostName::Peer(node.peer_id()))).count();
    assert_eq!(of_the_person, 1);
    let (all, query) = (items(0..20), Random(5).vector());
    notes.upsert(all.clone()).await.unwrap();
    notes.flush().await.unwrap();
    assert_eq!(ids(&notes.search(&query, 5, &Map::new()).await.unwrap()), nearest(&all, &query, 5));

    // One of them ends, and another is found for it.
    let gone = nodes.iter().find(|node| hosts.contains(&HostName::Peer(node.peer_id()))).unwrap();
    gone.shutdown(GRACE).await.unwrap();
    let others: Vec<HostName> = nodes.iter().map(|node| HostName::Peer(node.peer_id())).collect();
    let repaired = notes.repair(Vec::new()).await;
    match gone.did() == nodes[0].did() || gone.did() == nodes[1].did() {
        // The person's other node is independent of those that stay.
        true => assert_eq!(repaired.unwrap().lost, [HostName::Peer(gone.peer_id())]),
        // The only one that is left belongs to one of those.
        false => assert_eq!(repaired.unwrap_err().code(), ErrorCode::NotFound),
    }
    assert!(notes.config().hosts.iter().all(|host| others.contains(host)));
    assert_eq!(ids(&notes.search(&query, 5, &Map::new()).await.unwrap()), nearest(&all, &query, 5));
    owner.shutdown(GRACE).await.unwrap();
    end(nodes).await;
}
