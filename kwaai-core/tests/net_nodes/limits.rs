//! What a node lets in: in all, of one peer, from one range of addresses, and with little memory left.

use std::time::Duration;

use futures::StreamExt;
use kwaai_core::net::{Limits, Multiaddr, Network, NetworkEvent, Peers};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{SwarmEvent, dummy};
use libp2p::{SwarmBuilder, noise, tcp, yamux};

use super::support::*;

async fn end(nodes: impl IntoIterator<Item = Network>) {
    for node in nodes {
        node.shutdown(Duration::ZERO).await.unwrap();
    }
}

/// Whether a node is let in. The refusal may come after the handshake, so that the connection is seen for a moment.
async fn gets_in(guest: &Network, host: &Network) -> bool {
    let mut events = guest.events();
    if guest.connect(address(host)).await.is_err() {
        return false;
    }
    let heard = guest.send_message(host.local_peer(), "hello").await.is_ok();
    if !heard {
        wait_for(&mut events, |event| matches!(event, NetworkEvent::PeerDisconnected { .. })).await;
    }
    heard
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_of_addresses_that_has_its_share_is_refused_until_somebody_leaves() {
    let host = node_with(Limits { max_incoming_per_local_range: 2, ..Limits::default() }).await;
    let guests = [node().await, node().await, node().await];
    let mut events = host.events();
    assert!(gets_in(&guests[0], &host).await && gets_in(&guests[1], &host).await);
    assert!(!gets_in(&guests[2], &host).await);
    let left = guests[0].local_peer();
    guests[0].disconnect(host.local_peer()).await.unwrap();
    wait_for(&mut events, |event| *event == NetworkEvent::PeerDisconnected { peer: left }).await;
    assert!(gets_in(&guests[2], &host).await);
    assert!(!gets_in(&guests[0], &host).await);
    // Whom the host dials itself is no intruder.
    host.connect(address(&guests[0])).await.unwrap();
    end(guests.into_iter().chain([host])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_its_own_machine_a_node_has_no_bound_for_a_range_unless_it_is_told() {
    let host =
        node_with(Limits { max_incoming_per_range: 1, max_incoming_per_wide_range: 1, ..Limits::default() }).await;
    let guests = [node().await, node().await, node().await];
    for guest in &guests {
        assert!(gets_in(guest, &host).await);
    }
    end(guests.into_iter().chain([host])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_machine_has_too_little_memory_lets_nobody_in() {
    let host = node_with(Limits { max_memory_share: 1e-9, ..Limits::default() }).await;
    let guest = node().await;
    assert!(!gets_in(&guest, &host).await);
    assert!(host.connected().is_empty());
    end([guest, host]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_peer_gets_its_connections_and_no_more() {
    let host = node_with(Limits { max_connections_per_peer: 2, ..Limits::default() }).await;
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| dummy::Behaviour)
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE))
        .build();
    let target: Multiaddr = address(&host);
    for _ in 0..4 {
        let opts = DialOpts::peer_id(host.local_peer()).condition(PeerCondition::Always);
        swarm.dial(opts.addresses(vec![target.clone()]).build()).unwrap();
    }
    // Two stay; the others fail, or are closed at once.
    let mut ended = 0;
    patiently(async {
        while ended < 2 {
            match swarm.select_next_some().await {
                SwarmEvent::OutgoingConnectionError { .. } | SwarmEvent::ConnectionClosed { .. } => ended += 1,
                _ => {}
            }
        }
    })
    .await;
    assert_eq!(swarm.network_info().connection_counters().num_established(), 2);
    end([host]).await;
}
