//! How many round trips things take, over a line that is slow in both directions.

#[path = "../support/slow_line.rs"]
mod slow_line;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kwaai_core::identity::PeerId;
use kwaai_core::net::hivemind::Settings;
use kwaai_core::net::{Multiaddr, NetworkConfig, Peers};
use kwaai_core::trust::Purpose;
use tokio::time::Instant;

use super::support::*;
use slow_line::slow_line;

/// How long each byte is on its way, in one direction; long against what a busy machine adds.
const DELAY: Duration = Duration::from_millis(250);

fn tcp_port(address: &Multiaddr) -> u16 {
    address.to_string().split('/').nth(4).unwrap().parse().unwrap()
}

/// The time that work takes, in round trips of the line.
async fn round_trips<T>(work: impl Future<Output = T>) -> u128 {
    let began = Instant::now();
    patiently(work).await;
    began.elapsed().as_millis() / (2 * DELAY).as_millis()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_a_stream_and_a_ping_of_hivemind_take_one_round_trip_on_a_connection_that_stands() {
    let hivemind = || NetworkConfig { hivemind: Some(Settings::default()), ..config(TCP) };
    let (alice, bob) = (start(hivemind()).await, start(hivemind()).await);
    bob.serve_unary("echo", Purpose::Open, Arc::new(Answer(|_: PeerId, body: Bytes| async move { Ok(body) }))).unwrap();
    let line = slow_line(tcp_port(&address(&bob)), DELAY).await;
    let (peer, events) = (bob.local_peer(), &mut alice.events());
    alice.connect(format!("/ip4/127.0.0.1/tcp/{line}/p2p/{peer}").parse().unwrap()).await.unwrap();
    wait_for(events, |event| matches!(event, kwaai_core::net::NetworkEvent::PeerIdentified { .. })).await;
    let call = || alice.call(peer, "echo", Bytes::from_static(b"x"), PATIENCE);
    assert_eq!(round_trips(async { call().await.unwrap() }).await, 1);
    let hivemind = alice.hivemind().unwrap();
    assert_eq!(round_trips(async { hivemind.ping(peer, false).await.unwrap() }).await, 1);
    // An opening is answered by the host before anything else is sent.
    assert_eq!(round_trips(async { alice.open_stream(peer, "nothing", PATIENCE).await.err().unwrap() }).await, 1);
    for network in [alice, bob] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}
