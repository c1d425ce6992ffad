//! Nodes that nobody can dial, and the relays between.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use kwaai_core::identity::{Keypair, PeerId};
use kwaai_core::net::hivemind::Settings;
use kwaai_core::net::{
    Multiaddr, Network, NetworkConfig, NetworkEvent, PeerStream, Peers, ReachConfig, RelayLimits, StreamHandler,
    Verdict,
};
use kwaai_core::trust::{Gate, Purpose};
use kwaai_core::{Error, ErrorCode, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::support::*;

async fn relay_with(limits: RelayLimits) -> Network {
    start(NetworkConfig { relay: Some(limits), ..config(TCP) }).await
}

async fn relay() -> Network {
    relay_with(RelayLimits::default()).await
}

/// A node that listens nowhere, so that there is no other way to it, and stays so.
fn hidden(relays: &[&Network]) -> NetworkConfig {
    let relays = relays.iter().map(|relay| address(relay)).collect();
    NetworkConfig { listen: Vec::new(), relays, ..config(TCP) }
}

/// A node that says nobody can dial it, which is not so here: hole punching finds a way.
fn behind(relays: &[&Network]) -> NetworkConfig {
    let relays = relays.iter().map(|relay| address(relay)).collect();
    NetworkConfig { relays, reach: ReachConfig { force_private: true, ..ReachConfig::default() }, ..config(TCP) }
}

/// Starts a node and waits until so many relays accepted it.
async fn started(config: NetworkConfig, relays: usize) -> Network {
    let network = start(config).await;
    let mut events = network.events();
    while network.reachability().relays.len() < relays {
        wait_for(&mut events, |event| matches!(event, NetworkEvent::Listening { .. })).await;
    }
    network
}

async fn end<const N: usize>(networks: [Network; N]) {
    for network in networks {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

struct Echo;

#[async_trait]
impl StreamHandler for Echo {
    async fn serve(&self, _: PeerId, mut stream: PeerStream) -> Result<()> {
        let mut bytes = vec![0; 300_000];
        stream.read_exact(&mut bytes).await.unwrap();
        stream.write_all(&bytes).await.unwrap();
        stream.flush().await.unwrap();
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_listens_nowhere_is_called_through_its_relay() {
    let relay = relay().await;
    let hivemind = || Some(Settings::default());
    let bob = started(NetworkConfig { hivemind: hivemind(), ..hidden(&[&relay]) }, 1).await;
    assert_eq!(bob.reachability().verdict, Verdict::Private);
    let through = bob.listen_addresses();
    let expected = format!("{}/p2p-circuit/p2p/{}", address(&relay), bob.local_peer());
    assert_eq!(through.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    let echo = Answer(|_, body| async move { Ok(body) });
    bob.serve_unary("echo", Purpose::Open, Arc::new(echo)).unwrap();
    bob.serve_streams("back", Purpose::Open, Arc::new(Echo)).unwrap();

    let alice = start(NetworkConfig { listen: Vec::new(), hivemind: hivemind(), ..config(TCP) }).await;
    assert_eq!(patiently(alice.connect(through[0].clone())).await.unwrap(), bob.local_peer());
    // More than the 128 KiB at which a circuit usually ends.
    let body = Bytes::from(vec![7; 1 << 20]);
    let answer = alice.call(bob.local_peer(), "echo", body.clone(), PATIENCE).await.unwrap();
    assert_eq!(answer, body);
    let mut stream = alice.open_stream(bob.local_peer(), "back", PATIENCE).await.unwrap();
    let (mut reading, mut writing) = tokio::io::split(&mut stream);
    let sent = vec![9; 300_000];
    let mut got = vec![0; 300_000];
    let (wrote, read) = tokio::join!(
        async {
            writing.write_all(&sent).await?;
            writing.flush().await
        },
        reading.read_exact(&mut got)
    );
    wrote.unwrap();
    read.unwrap();
    assert_eq!(got, sent);
    // Names without a slash are translated on this way as on any other.
    alice.hivemind().unwrap().ping(bob.local_peer(), false).await.unwrap();
    // Both sides know the whole way.
    for (at, of) in [(&alice, &bob), (&bob, &alice)] {
        let peers = at.connected();
        let peer = peers.iter().find(|peer| peer.peer == of.local_peer()).unwrap();
        let way = format!("/p2p/{}/p2p-circuit/p2p/{}", relay.local_peer(), of.local_peer());
        assert!(peer.relayed && peer.addresses[0].to_string().ends_with(&way), "{:?}", peer.addresses);
    }
    end([alice, bob, relay]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_under_way_survives_the_change_to_a_direct_connection() {
    let relay = relay().await;
    let bob = started(behind(&[&relay]), 1).await;
    let (peer, through) = (bob.local_peer(), bob.listen_addresses()[0].clone());
    let (release, relayed) = (Arc::new(Notify::new()), Arc::new(AtomicBool::new(false)));
    let (at, waits, saw) = (bob.clone(), release.clone(), relayed.clone());
    let slow = Answer(move |caller, body| {
        let (at, waits, saw) = (at.clone(), waits.clone(), saw.clone());
        async move {
            let caller = at.connected().into_iter().find(|peer| peer.peer == caller);
            saw.store(caller.is_some_and(|caller| caller.relayed), Ordering::SeqCst);
            waits.notified().await;
            Ok(body)
        }
    });
    bob.serve_unary("slow", Purpose::Open, Arc::new(slow)).unwrap();
    bob.serve_unary("echo", Purpose::Open, Arc::new(Answer(|_, body| async move { Ok(body) }))).unwrap();
    // The change may win the race against the call; then there is nothing to see, and another node tries.
    for _ in 0..20 {
        let alice = node().await;
        let mut events = alice.events();
        patiently(alice.connect(through.clone())).await.unwrap();
        let call = tokio::spawn({
            let alice = alice.clone();
            async move { alice.call(peer, "slow", Bytes::from_static(b"x"), PATIENCE).await }
        });
        wait_for(&mut events, |event| *event == NetworkEvent::PeerDirect { peer }).await;
        release.notify_one();
        assert_eq!(call.await.unwrap().unwrap(), "x");
        let direct = alice.connected().into_iter().find(|known| known.peer == peer).unwrap();
        assert!(!direct.relayed);
        if relayed.load(Ordering::SeqCst) {
            // New calls take the direct way: the relay is not needed any more.
            relay.shutdown(Duration::ZERO).await.unwrap();
            let answer = alice.call(peer, "echo", Bytes::from_static(b"y"), PATIENCE).await.unwrap();
            assert_eq!(answer, "y");
            return end([alice, bob]).await;
        }
        alice.shutdown(Duration::ZERO).await.unwrap();
    }
    panic!("no call was under way when the connection changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_spare_takes_over_when_a_relay_dies() {
    let (first, second) = (relay().await, relay().await);
    let bob = started(hidden(&[&first, &second]), 2).await;
    let mut events = bob.events();
    first.shutdown(Duration::ZERO).await.unwrap();
    wait_for(&mut events, |event| matches!(event, NetworkEvent::ListeningStopped { .. })).await;
    assert_eq!(bob.reachability().relays, [second.local_peer()]);
    // Found through the DHT, at the address that is left.
    let alice = start(NetworkConfig { bootstrap: vec![address(&second)], listen: Vec::new(), ..config(TCP) }).await;
    patiently(alice.send_message(bob.local_peer(), "hello")).await.unwrap();
    end([alice, bob, second]).await;
}

/// Lets nobody use the relay but one peer.
struct RelaysFor(PeerId);

#[async_trait]
impl Gate for RelaysFor {
    async fn admit(&self, caller: PeerId, purpose: Purpose) -> Result<()> {
        match purpose == Purpose::Relay && caller != self.0 {
            true => Err(Error::permission_denied("not for you")),
            false => Ok(()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gate_says_who_may_use_a_relay() {
    let friend = Keypair::generate();
    let gate = Arc::new(RelaysFor(friend.peer_id()));
    let limits = Some(RelayLimits::default());
    let relay = Network::start(NetworkConfig { relay: limits, ..config(TCP) }, gate).await.unwrap();
    let bob = started(NetworkConfig { keypair: friend, ..hidden(&[&relay]) }, 1).await;
    let stranger = start(hidden(&[&relay])).await;
    let error = patiently(stranger.connect(bob.listen_addresses()[0].clone())).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unreachable);
    assert!(stranger.reachability().relays.is_empty() && stranger.listen_addresses().is_empty());
    end([stranger, bob, relay]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_circuit_ends_at_the_limit_of_its_bytes() {
    let relay = relay_with(RelayLimits { max_circuit_bytes: 64 << 10, ..RelayLimits::default() }).await;
    let bob = started(hidden(&[&relay]), 1).await;
    bob.serve_unary("echo", Purpose::Open, Arc::new(Answer(|_, body| async move { Ok(body) }))).unwrap();
    let alice = start(NetworkConfig { listen: Vec::new(), ..config(TCP) }).await;
    patiently(alice.connect(bob.listen_addresses()[0].clone())).await.unwrap();
    let body = Bytes::from(vec![7; 1 << 20]);
    let error = alice.call(bob.local_peer(), "echo", body, PATIENCE).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unreachable, "{error}");
    end([alice, bob, relay]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_relays_for_nobody_unless_its_owner_says_so() {
    let (plain, relay) = (node().await, relay().await);
    // It has both named, and would like two.
    let bob = started(hidden(&[&plain, &relay]), 1).await;
    assert_eq!(bob.reachability().relays, [relay.local_peer()]);
    let through: Multiaddr = format!("{}/p2p-circuit/p2p/{}", address(&plain), bob.local_peer()).parse().unwrap();
    let alice = node().await;
    assert_eq!(patiently(alice.connect(through)).await.unwrap_err().code(), ErrorCode::Unreachable);
    end([alice, bob, plain, relay]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_relay_is_refused_at_the_start() {
    let error = async |config: NetworkConfig| Network::start(config, Arc::new(Everybody)).await.err().unwrap();
    let nobody = NetworkConfig { relays: vec!["/ip4/127.0.0.1/tcp/1".parse().unwrap()], ..config(TCP) };
    assert_eq!(error(nobody).await.code(), ErrorCode::InvalidArgument);
    let limits = RelayLimits { max_circuits: 0, ..RelayLimits::default() };
    let nothing = NetworkConfig { relay: Some(limits), ..config(TCP) };
    assert_eq!(error(nothing).await.context()["limit"], "max_circuits");
}
