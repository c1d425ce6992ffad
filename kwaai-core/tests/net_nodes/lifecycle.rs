//! Starting, connecting, ending.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kwaai_core::ErrorCode;
use kwaai_core::identity::{Keypair, PeerId};
use kwaai_core::net::{Limits, Multiaddr, Network, NetworkConfig, NetworkEvent, Peers};
use kwaai_core::trust::Purpose;
use tokio::sync::Notify;

use super::support::*;

#[test]
fn a_single_threaded_runtime_is_refused_with_the_reason() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let error = runtime.block_on(Network::start(config(TCP), Arc::new(Everybody))).err().unwrap();
    assert_eq!(error.code(), ErrorCode::Unsupported);
    assert!(error.to_string().contains("multi_thread"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_node_on_the_same_port_is_busy_and_the_first_goes_on() {
    for listen in [TCP, QUIC] {
        let first = start(config(listen)).await;
        let mut taken: Multiaddr = address(&first);
        taken.pop();
        let error = Network::start(config(&taken.to_string()), Arc::new(Everybody)).await.err().unwrap();
        assert_eq!(error.code(), ErrorCode::Busy);
        assert!(error.to_string().contains("choose another port"), "{error}");
        let other = start(config(listen)).await;
        other.connect(address(&first)).await.unwrap();
        first.shutdown(Duration::ZERO).await.unwrap();
        // The port is free at once.
        let again = start(config(&taken.to_string())).await;
        for network in [again, other] {
            network.shutdown(Duration::ZERO).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_listens_where_it_says_and_nowhere_else() {
    let quiet = start(NetworkConfig { listen: Vec::new(), ..config(TCP) }).await;
    assert!(quiet.listen_addresses().is_empty());
    let any = start(NetworkConfig::new(Keypair::generate())).await;
    let addresses = any.listen_addresses();
    let named = |text: &str| addresses.iter().any(|address| address.to_string().contains(text));
    assert!(named("/tcp/") && named("/quic-v1/"), "{addresses:?}");
    assert!(!named("0.0.0.0") && addresses.is_sorted());
    // A node that listens nowhere still calls others.
    quiet.connect(addresses[0].clone()).await.unwrap();
    quiet.send_message(any.local_peer(), "hello").await.unwrap();
    for network in [quiet, any] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_that_cannot_be_dialled_say_why() {
    let network = node().await;
    let code = async |address: Multiaddr| network.connect(address).await.unwrap_err().code();
    assert_eq!(code(address(&network)).await, ErrorCode::InvalidArgument);
    assert_eq!(code("/ip4/127.0.0.1/sctp/1".parse().unwrap()).await, ErrorCode::InvalidArgument);
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(code(format!("/ip4/127.0.0.1/tcp/{closed}").parse().unwrap()).await, ErrorCode::Unreachable);
    let other = node().await;
    let mut impostor = address(&other);
    impostor.pop();
    let impostor = impostor.with_p2p(PeerId::random()).unwrap();
    assert_eq!(code(impostor).await, ErrorCode::Unreachable);
    assert_eq!(network.disconnect(PeerId::random()).await.unwrap_err().code(), ErrorCode::NotFound);
    for network in [network, other] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_disconnected_is_not_among_the_connected_any_more() {
    let (network, other) = (node().await, node().await);
    for _ in 0..20 {
        network.connect(address(&other)).await.unwrap();
        network.disconnect(other.local_peer()).await.unwrap();
        assert!(network.connected().is_empty());
    }
    for network in [network, other] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bootstrap_with_an_rsa_key_serves_as_any_other() {
    let key = Keypair::from_protobuf(include_bytes!("bootstrap-rsa.key")).unwrap();
    let bootstrap = start(NetworkConfig { keypair: key, ..config(TCP) }).await;
    assert!(bootstrap.local_peer().to_base58().starts_with("Qm"));
    let node = start(NetworkConfig { bootstrap: vec![address(&bootstrap)], ..config(TCP) }).await;
    node.send_message(bootstrap.local_peer(), "hello").await.unwrap();
    for network in [node, bootstrap] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_bootstrap_holds_nobody_up() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let dead: Multiaddr = format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap();
    let (alice, bob) = (start(NetworkConfig { bootstrap: vec![dead], ..config(TCP) }).await, node().await);
    assert!(alice.providers("x").await.unwrap().is_empty());
    alice.connect(address(&bob)).await.unwrap();
    alice.send_message(bob.local_peer(), "hello").await.unwrap();
    let nonsense = NetworkConfig { bootstrap: vec!["/ip4/127.0.0.1".parse().unwrap()], ..config(TCP) };
    let error = Network::start(nonsense, Arc::new(Everybody)).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    for network in [alice, bob] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_leaves_is_noticed() {
    let (alice, bob) = (node().await, node().await);
    let mut events = alice.events();
    alice.connect(address(&bob)).await.unwrap();
    let peer = bob.local_peer();
    wait_for(&mut events, |event| matches!(event, NetworkEvent::PeerConnected { peer: p, .. } if *p == peer)).await;
    bob.shutdown(Duration::ZERO).await.unwrap();
    wait_for(&mut events, |event| *event == NetworkEvent::PeerDisconnected { peer }).await;
    assert!(alice.connected().is_empty());
    alice.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_limit_are_refused() {
    let host = node_with(Limits { max_connections: 1, max_incoming_connections: 1, ..Limits::default() }).await;
    let (first, second) = (node().await, node().await);
    first.connect(address(&host)).await.unwrap();
    first.send_message(host.local_peer(), "hello").await.unwrap();
    // The refusal comes after the handshake, so that the connection may be seen for a moment.
    let mut events = second.events();
    if second.connect(address(&host)).await.is_ok() {
        wait_for(&mut events, |event| matches!(event, NetworkEvent::PeerDisconnected { .. })).await;
    }
    assert_eq!(host.connected().len(), 1);
    assert_eq!(host.connect(address(&second)).await.unwrap_err().code(), ErrorCode::ResourceExhausted);
    first.send_message(host.local_peer(), "still here").await.unwrap();
    for network in [first, second, host] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_shutdown_everything_answers_closed() {
    let (network, other) = (node().await, node().await);
    network.connect(address(&other)).await.unwrap();
    let (mut events, mut messages) = (network.events(), network.messages());
    let (one, two) = tokio::join!(network.shutdown(Duration::from_secs(1)), network.shutdown(Duration::from_secs(1)));
    one.and(two).unwrap();
    network.shutdown(Duration::ZERO).await.unwrap();
    while events.next().await.unwrap().is_some() {}
    assert!(messages.next().await.unwrap().is_none());
    let peer = other.local_peer();
    let echo = Arc::new(Answer(|_, body| async move { Ok(body) }));
    for error in [
        network.connect(address(&other)).await.unwrap_err(),
        network.disconnect(peer).await.unwrap_err(),
        network.find_peer(peer).await.unwrap_err(),
        network.send_message(peer, "hello").await.unwrap_err(),
        network.call(peer, "x", Bytes::new(), PATIENCE).await.unwrap_err(),
        network.open_stream(peer, "x", PATIENCE).await.err().unwrap(),
        network.serve_unary("x", Purpose::Open, echo).unwrap_err(),
        network.announce("x").await.unwrap_err(),
        network.withdraw("x").await.unwrap_err(),
        network.providers("x").await.unwrap_err(),
        network.events().next().await.unwrap_err(),
        network.messages().next().await.unwrap_err(),
    ] {
        assert_eq!(error.code(), ErrorCode::Closed, "{error}");
    }
    assert!(network.connected().is_empty() && network.listen_addresses().is_empty());
    network.stop_serving("x");
    other.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_under_way_may_finish_within_the_grace() {
    let (alice, bob) = (node().await, node().await);
    let (began, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, released) = (began.clone(), release.clone());
    let slow = move |_, _| {
        let (begins, released) = (begins.clone(), released.clone());
        async move {
            begins.notify_one();
            released.notified().await;
            Ok(Bytes::from("done"))
        }
    };
    bob.serve_unary("slow", Purpose::Open, Arc::new(Answer(slow))).unwrap();
    alice.connect(address(&bob)).await.unwrap();
    let (answer, ended) = tokio::join!(alice.call(bob.local_peer(), "slow", Bytes::new(), PATIENCE), async {
        began.notified().await;
        tokio::join!(bob.shutdown(PATIENCE), async {
            release.notify_one();
        })
        .0
    });
    assert_eq!(answer.unwrap(), "done");
    ended.unwrap();
    alice.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_the_last_handle_ends_the_node() {
    let (alice, bob) = (node().await, node().await);
    let mut events = alice.events();
    alice.connect(address(&bob)).await.unwrap();
    let peer = bob.local_peer();
    drop(bob);
    wait_for(&mut events, |event| *event == NetworkEvent::PeerDisconnected { peer }).await;
    alice.shutdown(Duration::ZERO).await.unwrap();
}
