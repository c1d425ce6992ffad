//! Finding peers and providers when only one address is known.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use kwaai_core::ErrorCode;
use kwaai_core::event::Item;
use kwaai_core::identity::PeerId;
use kwaai_core::net::{Limits, Multiaddr, Network, NetworkConfig, NetworkEvent, Peers, ReachConfig};
use libp2p::multiaddr::Protocol;

use super::support::*;

/// A hub, and nodes that know its address alone; returns when the hub knows them all.
async fn around_a_hub(count: usize) -> (Network, Vec<Network>) {
    let hub = node().await;
    let mut events = hub.events();
    let joining = (0..count).map(|_| start(NetworkConfig { bootstrap: vec![address(&hub)], ..config(TCP) }));
    let nodes = join_all(joining).await;
    for _ in 0..count {
        wait_for(&mut events, |event| matches!(event, NetworkEvent::PeerIdentified { .. })).await;
    }
    (hub, nodes)
}

/// Asks until the providers of a key are as expected: an announcement is on its way when `announce` returns.
async fn providers_become(network: &Network, key: &str, expected: &[PeerId]) {
    patiently(async {
        while network.providers(key).await.unwrap() != expected {
            tokio::task::yield_now().await;
        }
    })
    .await
}

async fn shut_down(nodes: impl IntoIterator<Item = Network>) {
    join_all(nodes.into_iter().map(|node| async move { node.shutdown(Duration::ZERO).await.unwrap() })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_nodes_that_know_one_address_reach_each_other() {
    let (hub, nodes) = around_a_hub(9).await;
    for (i, node) in nodes.iter().enumerate() {
        let next = &nodes[(i + 1) % nodes.len()];
        node.send_message(next.local_peer(), &format!("from {i}")).await.unwrap();
        let Some(Item::Value(message)) = patiently(next.messages().next()).await.unwrap() else { panic!("no message") };
        assert_eq!((message.from, message.text), (node.local_peer(), format!("from {i}")));
    }
    let found = nodes[0].find_peer(nodes[5].local_peer()).await.unwrap();
    assert!(found.contains(&address(&nodes[5])), "{found:?}");
    let error = nodes[0].find_peer(PeerId::random()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    shut_down(nodes.into_iter().chain([hub])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_lookups_opened_end_and_those_that_are_used_stay() {
    let limits = Limits { max_lookup_connections: 0, idle_connection: Duration::from_secs(120), ..Limits::default() };
    // AutoNAT's dials would keep peers connected for reasons of their own.
    let reach = ReachConfig { autonat: false, ..ReachConfig::default() };
    let alone = || NetworkConfig { limits: limits.clone(), reach: reach.clone(), ..config(TCP) };
    let hub = start(alone()).await;
    let bootstrap = vec![address(&hub)];
    let member = || NetworkConfig { bootstrap: bootstrap.clone(), ..alone() };
    let nodes = join_all((0..6).map(|_| start(member()))).await;
    let seeker = start(member()).await;
    let mut events = seeker.events();
    let friend = nodes[0].local_peer();
    seeker.send_message(friend, "hello").await.unwrap();
    // Nobody knew it, so that no lookup had opened a connection to it.
    let apart = start(alone()).await;
    let wanted = seeker.connect(address(&apart)).await.unwrap();
    // A lookup asks everybody.
    assert_eq!(seeker.find_peer(PeerId::random()).await.unwrap_err().code(), ErrorCode::NotFound);
    let ended = |event: &NetworkEvent| match event {
        NetworkEvent::PeerDisconnected { peer } => Some(*peer),
        _ => None,
    };
    let mut left = BTreeSet::new();
    let stay = BTreeSet::from([hub.local_peer(), friend, wanted]);
    let connected = || seeker.connected().iter().map(|peer| peer.peer).collect::<BTreeSet<_>>();
    while left.is_empty() || connected() != stay {
        wait_for(&mut events, |event| ended(event).is_some_and(|peer| left.insert(peer) || connected() == stay)).await;
    }
    // Whoever joins looks at everybody, and lets go of the seeker as late as the seeker would let go of its own.
    let late = start(member()).await;
    let known = late.local_peer();
    wait_for(&mut events, |event| matches!(event, NetworkEvent::PeerConnected { peer, .. } if *peer == known)).await;
    wait_for(&mut events, |event| ended(event).is_some_and(|peer| left.insert(peer) && peer == known)).await;
    assert!(left.is_disjoint(&stay), "{left:?}");
    shut_down(nodes.into_iter().chain([hub, seeker, apart, late])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn providers_are_found_by_others_until_they_withdraw() {
    let (hub, nodes) = around_a_hub(3).await;
    let [first, second, seeker] = &nodes[..] else { unreachable!() };
    first.announce("model/blocks").await.unwrap();
    second.announce("model/blocks").await.unwrap();
    let mut both = vec![first.local_peer(), second.local_peer()];
    both.sort();
    providers_become(seeker, "model/blocks", &both).await;
    providers_become(&hub, "model/blocks", &both).await;
    // A provider does not count itself.
    providers_become(first, "model/blocks", &[second.local_peer()]).await;
    first.withdraw("model/blocks").await.unwrap();
    providers_become(seeker, "model/blocks", &[second.local_peer()]).await;
    assert!(seeker.providers("another").await.unwrap().is_empty());
    shut_down(nodes.into_iter().chain([hub])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_announced_alone_is_found_after_joining() {
    let hub = node().await;
    let (early, seeker) = (node().await, node().await);
    early.announce("early").await.unwrap();
    early.connect(address(&hub)).await.unwrap();
    seeker.connect(address(&hub)).await.unwrap();
    providers_become(&seeker, "early", &[early.local_peer()]).await;
    shut_down([hub, early, seeker]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_peer_is_unreachable() {
    let (hub, nodes) = around_a_hub(1).await;
    let error = nodes[0].send_message(PeerId::random(), "hello").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unreachable);
    shut_down(nodes.into_iter().chain([hub])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_at_one_of_a_peers_addresses_keeps_nobody_from_the_others() {
    let (hub, stranger) = (node().await, start(config(QUIC)).await);
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let own: Multiaddr = format!("/ip4/127.0.0.1/tcp/{free}").parse().unwrap();
    // QUIC is tried before TCP, so the stranger answers first.
    let reach =
        ReachConfig { announce: vec![without_peer(&address(&stranger)), own.clone()], ..ReachConfig::default() };
    let bootstrap = vec![address(&hub)];
    let mut events = hub.events();
    let wanted = start(NetworkConfig { listen: vec![own], reach, bootstrap: bootstrap.clone(), ..config(TCP) }).await;
    wait_for(&mut events, |event| matches!(event, NetworkEvent::PeerIdentified { .. })).await;
    let seeker = start(NetworkConfig { bootstrap, ..config(TCP) }).await;
    seeker.send_message(wanted.local_peer(), "hello").await.unwrap();
    let lone = node().await;
    let error = lone.connect(with_peer(&address(&stranger), wanted.local_peer())).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unreachable);
    assert!(error.message().contains("another peer answers there"), "{error}");
    shut_down([hub, stranger, wanted, seeker, lone]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_a_caller_was_seen_is_no_address_at_which_it_can_be_found() {
    let host = node().await;
    let mut events = host.events();
    let client = start(NetworkConfig { listen: vec![], ..config(TCP) }).await;
    client.connect(address(&host)).await.unwrap();
    wait_for(&mut events, |event| matches!(event, NetworkEvent::PeerIdentified { .. })).await;
    let error = host.find_peer(client.local_peer()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert_eq!(client.find_peer(host.local_peer()).await.unwrap(), [address(&host)]);
    shut_down([host, client]).await;
}

fn without_peer(address: &Multiaddr) -> Multiaddr {
    address.iter().filter(|part| !matches!(part, Protocol::P2p(_))).collect()
}

fn with_peer(address: &Multiaddr, peer: PeerId) -> Multiaddr {
    without_peer(address).with(Protocol::P2p(peer))
}
