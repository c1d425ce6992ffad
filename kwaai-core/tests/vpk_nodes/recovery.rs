//! A collection on another machine than the one that made it.

use kwaai_core::vpk::{
    Call, Collection, CollectionId, HostName, Item, Mode, PartState, RecoverConfig, Request, Unlock,
};
use kwaai_core::{Config, ErrorCode, Node};
use serde_json::Map;

use crate::hosts::{
    Conduct, GRACE, Host, Random, config, connect, ids, items, metadata, names, nearest, node, open_policy, until,
};

const WORD: Unlock = Unlock::Passphrase("correct horse battery");

async fn start() -> Node {
    Node::start(Config::default()).await.unwrap()
}

async fn filled(owner: &Node, mode: Mode, hosts: Vec<HostName>) -> (Collection, Vec<Item>) {
    let notes = owner.vpk().create("notes", config(mode, hosts)).await.unwrap();
    let all = items(0..60);
    for part in all.chunks(20) {
        notes.upsert(part.to_vec()).await.unwrap();
        notes.flush().await.unwrap();
    }
    notes.delete(vec![3]).await.unwrap();
    notes.flush().await.unwrap();
    (notes, all.into_iter().filter(|item| item.id != 3).collect())
}

async fn recover(machine: &Node, exported: &str, unlock: Unlock<'_>) -> Result<Collection, kwaai_core::Error> {
    machine.vpk().recover("notes", exported, unlock, RecoverConfig::default()).await
}

async fn introduce(machine: &Node, hosts: &[Host]) {
    for host in hosts {
        machine.connect(&host.network.listen_addresses()[0].to_string()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_is_lost_and_another_finds_the_same_through_the_dht_and_goes_on() {
    let hosts = [start().await, start().await];
    let names: Vec<HostName> = hosts.iter().map(|host| HostName::Peer(host.peer_id())).collect();
    let query = Random(77).vector();
    let (exported, id, before, all) = {
        let dir = tempfile::tempdir().unwrap();
        let owner = node(dir.path()).await;
        for host in &hosts {
            host.vpk().host(open_policy()).await.unwrap();
            connect(&owner, host).await;
        }
        let (notes, all) = filled(&owner, Mode::Seal, names.clone()).await;
        let before = notes.search(&query, 20, &Map::new()).await.unwrap();
        let exported = notes.export_key("correct horse battery").await.unwrap();
        owner.shutdown(GRACE).await.unwrap();
        (exported, notes.id(), before, all)
    };
    let machine = start().await;
    // It knows one of the hosts, and finds who has a record by the DHT.
    connect(&machine, &hosts[0]).await;
    connect(&hosts[0], &hosts[1]).await;
    let mut wanted: Vec<_> = hosts.iter().map(Node::peer_id).collect();
    wanted.sort();
    until(async || (machine.vpk().resolve(id).await.unwrap() == wanted).then_some(())).await;
    assert_eq!(machine.vpk().resolve(CollectionId([9; 16])).await.unwrap(), []);
    for host in &hosts {
        connect(&machine, host).await;
    }
    let wrong = recover(&machine, &exported, Unlock::Passphrase("wrong horse")).await.unwrap_err();
    assert_eq!(wrong.code(), ErrorCode::PermissionDenied);

    let notes = recover(&machine, &exported, WORD).await.unwrap();
    assert_eq!((notes.id(), notes.stats().epoch, notes.stats().vectors), (id, 2, 59));
    let found = notes.search(&query, 20, &Map::new()).await.unwrap();
    assert_eq!(found.hits, before.hits, "the same hits, scores, payloads and metadata");
    let odd = notes.search(&query, 5, &metadata(1)).await.unwrap();
    assert!(odd.hits.iter().all(|hit| hit.id % 2 == 1));
    assert!(notes.verify().await.unwrap().iter().all(|report| report.is_right()));
    notes.upsert(items(100..120)).await.unwrap();
    notes.flush().await.unwrap();
    let more: Vec<Item> = all.iter().cloned().chain(items(100..120)).collect();
    assert_eq!(ids(&notes.search(&query, 10, &Map::new()).await.unwrap()), nearest(&more, &query, 10));
    let twice = recover(&machine, &exported, WORD).await.unwrap_err();
    assert_eq!(twice.code(), ErrorCode::AlreadyExists);

    // What was exported once opens what there is now, on a third machine.
    let third = start().await;
    for host in &hosts {
        connect(&third, host).await;
    }
    let again = recover(&third, &exported, WORD).await.unwrap();
    assert_eq!((again.stats().epoch, again.stats().vectors), (3, 79));
    assert_eq!(ids(&again.search(&query, 10, &Map::new()).await.unwrap()), nearest(&more, &query, 10));
    // A rotation ends that.
    again.rotate().await.unwrap();
    let late = start().await;
    for host in &hosts {
        connect(&late, host).await;
    }
    let error = recover(&late, &exported, WORD).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound, "{error}");
    for node in hosts.into_iter().chain([machine, third, late]) {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_machine_is_given_the_key_and_the_first_one_learns_that_it_is_not_the_owner_any_more() {
    let owner = start().await;
    let hosts = Host::several(4, &owner).await;
    let (notes, all) = filled(&owner, Mode::Split, names(&hosts)).await;
    let query = Random(5).vector();
    let second = start().await;
    introduce(&second, &hosts).await;
    let device = second.vpk().device().await.unwrap();
    assert_eq!(second.vpk().device().await.unwrap(), device);
    let exported = notes.export_key_to(&device).await.unwrap();
    assert!(!exported.contains("text"));
    let other = notes.export_key_to("{}").await.unwrap_err();
    assert_eq!(other.code(), ErrorCode::InvalidArgument);
    // It says who exported it, and to whom.
    let from_stranger = recover(&second, &exported, Unlock::ExportedBy(second.did())).await.unwrap_err();
    assert_eq!(from_stranger.code(), ErrorCode::PermissionDenied);
    let own = owner.vpk();
    let at_owner = own.recover("again", &exported, Unlock::ExportedBy(owner.did()), RecoverConfig::default()).await;
    assert_eq!(at_owner.unwrap_err().code(), ErrorCode::PermissionDenied);

    let before = (notes.site(), notes.stats().epoch);
    let taken = recover(&second, &exported, Unlock::ExportedBy(owner.did())).await.unwrap();
    assert_eq!(ids(&taken.search(&query, 10, &Map::new()).await.unwrap()), nearest(&all, &query, 10));
    assert_eq!((taken.id(), taken.stats().epoch), (notes.id(), 2));
    // Both write at the same time, and nothing that one of them seals is under a key or a nonce of the other.
    notes.upsert(items(200..210)).await.unwrap();
    let (first, other) = tokio::join!(notes.flush(), async {
        taken.upsert(items(300..310)).await.unwrap();
        taken.flush().await
    });
    other.unwrap();
    assert_eq!(first.unwrap_err().code(), ErrorCode::Conflict);
    assert_ne!(notes.site(), taken.site());
    for host in &hosts {
        let (old, new) = (host.stamps(owner.did(), notes.site()), host.stamps(second.did(), taken.site()));
        assert!(new.iter().all(|stamp| old.iter().all(|other| other.nonce != stamp.nonce)));
    }
    // The first one still finds what it had, changes nothing, and can forget it.
    assert_eq!((notes.site(), notes.stats().epoch), before);
    assert_eq!(notes.upsert(items(1..2)).await.unwrap_err().code(), ErrorCode::Conflict);
    assert_eq!(notes.rotate().await.unwrap_err().code(), ErrorCode::Conflict);
    assert!(!notes.search(&query, 1, &Map::new()).await.unwrap().hits.is_empty());
    notes.destroy().await.unwrap();
    let reports = taken.verify().await.unwrap();
    assert!(reports.iter().all(|report| report.is_right()), "{reports:?}");
    assert_eq!(ids(&taken.search(&query, 10, &Map::new()).await.unwrap()).len(), 10);
    for node in [owner, second] {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_hand_out_what_is_old_or_forged_are_found_out() {
    let owner = start().await;
    let hosts = Host::several(2, &owner).await;
    let (notes, all) = filled(&owner, Mode::Seal, names(&hosts)).await;
    let old = notes.export_key("correct horse battery").await.unwrap();
    for host in &hosts {
        host.remember();
    }
    notes.upsert(items(100..110)).await.unwrap();
    notes.flush().await.unwrap();
    let exported = notes.export_key("correct horse battery").await.unwrap();
    let machine = start().await;
    introduce(&machine, &hosts).await;
    let code = async |exported: &str| recover(&machine, exported, WORD).await.unwrap_err().code();
    // All of them as they were before: the key was exported later.
    hosts.iter().for_each(|host| host.behave(Conduct::HandsOutOldTopology));
    assert_eq!(code(&exported).await, ErrorCode::Conflict);
    // The record of now, with the manifest of then.
    hosts.iter().for_each(|host| host.behave(Conduct::HandsOutOldManifest));
    assert_eq!(code(&exported).await, ErrorCode::Conflict);
    hosts.iter().for_each(|host| host.behave(Conduct::HandsOutForgedTopology));
    assert_eq!(code(&exported).await, ErrorCode::CorruptData);
    hosts.iter().for_each(|host| host.behave(Conduct::Away));
    assert_eq!(code(&exported).await, ErrorCode::Unreachable);
    assert_eq!(machine.vpk().collections().await.unwrap(), Vec::<String>::new());
    // One that is honest is enough, whatever the other does, for one machine after the other.
    for conduct in [Conduct::HandsOutOldTopology, Conduct::HandsOutOldManifest, Conduct::HandsOutForgedTopology] {
        hosts[0].behave(conduct);
        hosts[1].behave(Conduct::Honest);
        let machine = start().await;
        introduce(&machine, &hosts).await;
        let found = recover(&machine, &old, WORD).await.unwrap();
        assert_eq!(found.stats().vectors, all.len() + 10, "{conduct:?}");
        machine.shutdown(GRACE).await.unwrap();
    }
    hosts[0].behave(Conduct::HandsOutOther);
    let found = recover(&machine, &old, WORD).await.unwrap();
    let query = Random(5).vector();
    let now: Vec<Item> = all.iter().cloned().chain(items(100..110)).collect();
    hosts[0].behave(Conduct::Honest);
    assert_eq!(ids(&found.search(&query, 10, &Map::new()).await.unwrap()), nearest(&now, &query, 10));
    assert!(found.verify().await.unwrap().iter().all(|report| report.manifest == PartState::Right));
    for node in [owner, machine] {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_host_has_is_missed_unless_it_is_left_out_and_a_failed_recovery_leaves_nothing() {
    let owner = start().await;
    let mut hosts = Host::several(2, &owner).await;
    let spare = hosts.pop().unwrap();
    let (notes, all) = filled(&owner, Mode::Seal, names(&hosts)).await;
    let exported = notes.export_key("correct horse battery").await.unwrap();
    let machine = start().await;
    introduce(&machine, &hosts).await;
    introduce(&machine, std::slice::from_ref(&spare)).await;
    hosts[0].behave(Conduct::LosesPayloads);
    let error = recover(&machine, &exported, WORD).await.unwrap_err();
    assert_eq!((error.code(), error.context()["missing"].as_str()), (ErrorCode::NotFound, "59"), "{error}");
    let elsewhere = |partial| RecoverConfig { hosts: vec![spare.name()], partial };
    spare.behave(Conduct::Full);
    let full = machine.vpk().recover("notes", &exported, WORD, elsewhere(true)).await.unwrap_err();
    assert_eq!(full.code(), ErrorCode::ResourceExhausted);
    assert_eq!(machine.vpk().collections().await.unwrap(), Vec::<String>::new());
    spare.behave(Conduct::Honest);
    let found = machine.vpk().recover("notes", &exported, WORD, elsewhere(true)).await.unwrap();
    let query = Random(5).vector();
    let hits = found.search(&query, 10, &Map::new()).await.unwrap();
    assert_eq!(ids(&hits), nearest(&all, &query, 10));
    assert!(hits.hits.iter().all(|hit| hit.payload.is_none()));
    assert_eq!(found.config().hosts, [spare.name()]);
    assert_eq!(spare.collections(machine.did()), [found.site()], "nothing is left of the attempt before");
    for node in [owner, machine] {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_is_replaced_by_nobody_who_has_no_key() {
    let owner = start().await;
    let hosts = Host::several(1, &owner).await;
    let (notes, _) = filled(&owner, Mode::Seal, names(&hosts)).await;
    let stranger = start().await;
    let ask = |call| {
        let request = Request { collection: notes.site(), capability: None, call };
        hosts[0].depot.answer(stranger.did(), &request).unwrap_err().code()
    };
    assert_eq!(ask(Call::Resolve([7; 32])), ErrorCode::NotFound);
    assert_eq!(ask(Call::PutTopology(b"KVP".to_vec())), ErrorCode::CorruptData);
    assert_eq!(ask(Call::ReadManifest), ErrorCode::NotFound);
    for node in [owner, stranger] {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_brings_the_owners_record_to_another_host_takes_nobodys_place_there() {
    let owner = start().await;
    let hosts = Host::several(2, &owner).await;
    let (notes, _) = filled(&owner, Mode::Seal, names(&hosts)).await;
    let exported = notes.export_key("correct horse battery").await.unwrap();
    // The second host misses a record, which the first brings to it in the owner's place.
    hosts[1].behave(Conduct::Away);
    notes.upsert(items(60..70)).await.unwrap();
    let _ = notes.flush().await;
    hosts[1].behave(Conduct::Honest);
    let (copy, thief) = (hosts[0].topology(), start().await);
    let as_thief =
        |call| hosts[1].depot.answer(thief.did(), &Request { collection: notes.site(), capability: None, call });
    as_thief(Call::Create { mode: Mode::Seal, dimension: 8 }).unwrap();
    assert_eq!(as_thief(Call::PutTopology(copy)).unwrap_err().code(), ErrorCode::PermissionDenied);

    notes.upsert(items(70..80)).await.unwrap();
    notes.flush().await.unwrap();
    assert!(notes.verify().await.unwrap().iter().all(|report| report.is_right()));
    let machine = start().await;
    introduce(&machine, &hosts[1..]).await;
    hosts[0].behave(Conduct::Away);
    let elsewhere = RecoverConfig { hosts: vec![hosts[1].name()], partial: false };
    let found = machine.vpk().recover("notes", &exported, WORD, elsewhere).await.unwrap();
    assert_eq!(found.stats().vectors, 79);
    for node in [owner, thief, machine] {
        node.shutdown(GRACE).await.unwrap();
    }
}
