//! What a node says when it reaches nobody.

use std::time::Duration;

use futures::StreamExt;
use kwaai_core::net::{Cause, Diagnosis, Limits, Multiaddr, Network, NetworkConfig, NetworkEvent, RelayLimits};
use libp2p::{SwarmBuilder, identify, noise, tcp, yamux};

use super::support::*;

async fn causes(network: &Network) -> Vec<Cause> {
    patiently(network.diagnose()).await.unwrap().iter().map(|diagnosis| diagnosis.cause).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_dead_bootstrap_is_named_with_its_error() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dead: Multiaddr = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    let alive = node().await;
    let network = start(NetworkConfig { bootstrap: vec![dead.clone(), address(&alive)], ..config(TCP) }).await;
    let found = network.diagnose().await.unwrap();
    let [Diagnosis { cause: Cause::DeadBootstrap, text, remedy }] = &found[..] else { panic!("{found:?}") };
    assert!(text.contains(&dead.to_string()) && text.to_lowercase().contains("refused"), "{text}");
    assert!(!remedy.is_empty());
    for network in [network, alive] {
        network.shutdown(Duration::ZERO).await.unwrap();
        assert!(network.diagnose().await.is_err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_told_of_nobody_hears_so() {
    let (alice, bob) = (node().await, node().await);
    assert_eq!(causes(&alice).await, [Cause::NoBootstrap]);
    alice.connect(address(&bob)).await.unwrap();
    assert_eq!(causes(&alice).await, []);
    for network in [alice, bob] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_relay_and_one_that_is_none_are_told_apart() {
    let full = RelayLimits { max_reservations: 1, ..RelayLimits::default() };
    let (relay, plain) = (start(NetworkConfig { relay: Some(full), ..config(TCP) }).await, node().await);
    let first = start(NetworkConfig { listen: Vec::new(), relays: vec![address(&relay)], ..config(TCP) }).await;
    let mut events = first.events();
    if first.reachability().relays.is_empty() {
        wait_for(&mut events, |event| matches!(event, NetworkEvent::Listening { .. })).await;
    }
    let relays = vec![address(&relay), address(&plain)];
    let second = start(NetworkConfig { listen: Vec::new(), relays, ..config(TCP) }).await;
    let found = patiently(async {
        loop {
            let found = causes(&second).await;
            if found.contains(&Cause::RelayWithoutSlots) && found.contains(&Cause::DeadRelay) {
                return found;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    // It listens nowhere, as its owner wants, so no firewall is to blame.
    assert_eq!(found, [Cause::RelayWithoutSlots, Cause::DeadRelay]);
    for network in [second, first, relay, plain] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_another_network_is_an_incompatible_version() {
    let identify = |key: &libp2p::identity::Keypair| {
        identify::Behaviour::new(identify::Config::new("/something/else".into(), key.public()))
    };
    let mut foreign = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(identify)
        .unwrap()
        .build();
    let peer = *foreign.local_peer_id();
    let network = node().await;
    let mut events = network.events();
    foreign.dial(address(&network)).unwrap();
    let driving = tokio::spawn(async move {
        loop {
            foreign.select_next_some().await;
        }
    });
    wait_for(&mut events, |event| matches!(event, NetworkEvent::PeerIdentified { peer: p, .. } if *p == peer)).await;
    assert_eq!(causes(&network).await, [Cause::IncompatibleVersion]);
    driving.abort();
    network.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn bootstraps_that_answer_nothing_at_all_are_behind_a_firewall() {
    // Takes everything and answers nothing, as a firewall that drops does.
    let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let dead = format!("/ip4/127.0.0.1/udp/{}/quic-v1", silent.local_addr().unwrap().port());
    let network = start(NetworkConfig { bootstrap: vec![dead.parse().unwrap()], ..config(TCP) }).await;
    assert_eq!(causes(&network).await, [Cause::DeadBootstrap, Cause::Firewall]);
    network.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_ones_own_is_no_fault_of_the_bootstrap() {
    let (alice, bob) = (node().await, node().await);
    let (bootstrap, limits) =
        (vec![address(&alice), address(&bob)], Limits { max_connections: 1, ..Limits::default() });
    let network = start(NetworkConfig { bootstrap, limits, ..config(TCP) }).await;
    let mut events = network.events();
    if network.connected().is_empty() {
        wait_for(&mut events, |event| matches!(event, NetworkEvent::PeerConnected { .. })).await;
    }
    assert_eq!(causes(&network).await, [Cause::LimitReached]);
    for network in [network, alice, bob] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}
