//! Unary calls and messages.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use kwaai_core::event::Item;
use kwaai_core::identity::PeerId;
use kwaai_core::net::{Direction, Limits, MAX_MESSAGE, Network, NetworkEvent, Peers, wire};
use kwaai_core::trust::{Gate, Purpose};
use kwaai_core::{Error, ErrorCode, Result};
use tokio::sync::{Notify, oneshot};

use super::support::*;

#[tokio::test(flavor = "multi_thread")]
async fn messages_cross_over_tcp_and_over_quic() {
    for listen in [TCP, QUIC] {
        let (alice, bob) = (start(config(listen)).await, start(config(listen)).await);
        let mut seen = bob.events();
        assert_eq!(alice.connect(address(&bob)).await.unwrap(), bob.local_peer());
        alice.send_message(bob.local_peer(), "grüße\u{1b}[31m").await.unwrap();
        // Nobody read yet, and the message is kept.
        let Some(Item::Value(message)) = patiently(bob.messages().next()).await.unwrap() else { panic!("no message") };
        assert_eq!((message.from, message.text.as_str()), (alice.local_peer(), "grüße\u{1b}[31m"));
        wait_for(&mut seen, |event| matches!(event, NetworkEvent::MessageReceived { message: m } if *m == message))
            .await;
        // A stream can be there before the node knows of the connection that it is on.
        patiently(async {
            while bob.connected().is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let peers = bob.connected();
        assert_eq!(peers.len(), 1);
        assert_eq!((peers[0].peer, peers[0].direction), (alice.local_peer(), Direction::Inbound));
        for network in [alice, bob] {
            network.shutdown(Duration::ZERO).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_beyond_64_kib_is_refused_before_it_is_sent() {
    let network = node().await;
    let error = network.send_message(PeerId::random(), &"x".repeat(MAX_MESSAGE + 1)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    network.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_learns_the_authenticated_caller_and_a_peer_its_agent_and_round_trip() {
    let (alice, bob) = (node().await, node().await);
    bob.serve_unary(
        "who",
        Purpose::Open,
        Arc::new(Answer(|caller: PeerId, _| async move { Ok(caller.to_bytes().into()) })),
    )
    .unwrap();
    let mut events = alice.events();
    alice.connect(address(&bob)).await.unwrap();
    let answer = alice.call(bob.local_peer(), "who", Bytes::new(), PATIENCE).await.unwrap();
    assert_eq!(answer, alice.local_peer().to_bytes());
    wait_for(&mut events, |event| matches!(event, NetworkEvent::PeerIdentified { .. })).await;
    patiently(async {
        while alice.connected()[0].rtt_ms.is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(alice.connected()[0].agent.starts_with("kwaainet/"));
    for network in [alice, bob] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_bodies_cross_and_larger_ones_are_refused() {
    let (alice, bob) = (node().await, node().await);
    let grow = |_, body: Bytes| async move { Ok(Bytes::from(vec![body[0]; wire::MAX_REPLY_BODY])) };
    bob.serve_unary("grow", Purpose::Open, Arc::new(Answer(grow))).unwrap();
    let burst = |_, _| async move { Ok(Bytes::from(vec![0; wire::MAX_REPLY_BODY + 1])) };
    bob.serve_unary("burst", Purpose::Open, Arc::new(Answer(burst))).unwrap();
    alice.connect(address(&bob)).await.unwrap();
    let largest = Bytes::from(vec![7; wire::MAX_REQUEST_BODY]);
    let reply = alice.call(bob.local_peer(), "grow", largest.clone(), PATIENCE).await.unwrap();
    assert!(reply.len() == wire::MAX_REPLY_BODY && reply.iter().all(|byte| *byte == 7));
    let too_large = Bytes::from(vec![7; wire::MAX_REQUEST_BODY + 1]);
    let error = alice.call(bob.local_peer(), "grow", too_large, PATIENCE).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    let error = alice.call(bob.local_peer(), "burst", Bytes::new(), PATIENCE).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ResourceExhausted);
    // A refusal reaches a caller that is still sending.
    let error = alice.call(bob.local_peer(), "nothing", largest, PATIENCE).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unsupported);
    for network in [alice, bob] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_cross_with_their_code_and_without_what_is_private() {
    let (alice, bob) = (node().await, node().await);
    let fail = |_, body: Bytes| async move {
        match &body[..] {
            b"open" => Err(Error::not_found("no such block\n\u{1b}[2J")),
            b"file" => Err(Error::corrupt_data("/home/bob/secret is damaged").with_file("/home/bob/secret".as_ref())),
            _ => panic!("a defect"),
        }
    };
    bob.serve_unary("fail", Purpose::Open, Arc::new(Answer(fail))).unwrap();
    alice.connect(address(&bob)).await.unwrap();
    let mut failed = Vec::new();
    for body in ["open", "file", "panic"] {
        let error = alice.call(bob.local_peer(), "fail", Bytes::from(body), PATIENCE).await.unwrap_err();
        assert!(!format!("{error:?}").contains("secret"));
        failed.push((error.code(), error.message().to_owned()));
    }
    assert_eq!(failed[0], (ErrorCode::NotFound, "no such block\\u{a}\\u{1b}[2J".to_owned()));
    assert_eq!(failed[1].0, ErrorCode::CorruptData);
    assert_eq!(failed[2].0, ErrorCode::Internal);
    // A code that the peer answered is no breach of the protocol.
    assert_eq!(alice.connected().len(), 1);
    for network in [alice, bob] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_refuses_whom_its_gate_refuses() {
    let (friend, stranger) = (node().await, node().await);
    let host = Network::start(config(TCP), Arc::new(Only(friend.local_peer()))).await.unwrap();
    let echo = Arc::new(Answer(|_, body| async move { Ok(body) }));
    host.serve_unary("blocks", Purpose::ServeBlocks, echo.clone()).unwrap();
    host.serve_unary("info", Purpose::Open, echo).unwrap();
    for peer in [&friend, &stranger] {
        peer.connect(address(&host)).await.unwrap();
        peer.call(host.local_peer(), "info", Bytes::new(), PATIENCE).await.unwrap();
    }
    friend.send_message(host.local_peer(), "hello").await.unwrap();
    assert_eq!(friend.call(host.local_peer(), "blocks", "x".into(), PATIENCE).await.unwrap(), "x");
    for error in [
        stranger.send_message(host.local_peer(), "hello").await.unwrap_err(),
        stranger.call(host.local_peer(), "blocks", "x".into(), PATIENCE).await.unwrap_err(),
    ] {
        assert_eq!(error.code(), ErrorCode::PermissionDenied);
        assert_eq!(error.message(), "unknown, and verified is needed");
    }
    for network in [friend, stranger, host] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

/// Asks the caller who it is before it decides, as a gate does that fetches credentials.
#[derive(Default)]
struct Asks(Mutex<Option<Network>>);

#[async_trait]
impl Gate for Asks {
    async fn admit(&self, caller: PeerId, purpose: Purpose) -> Result<()> {
        if purpose == Purpose::Open {
            return Ok(());
        }
        let network = self.0.lock().unwrap().clone().unwrap();
        match &network.call(caller, "password", Bytes::new(), PATIENCE).await?[..] {
            b"swordfish" => Ok(()),
            _ => Err(Error::permission_denied("wrong")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_may_call_the_caller_back_before_it_decides() {
    let gate = Arc::new(Asks::default());
    let (alice, bob) = (node().await, Network::start(config(TCP), gate.clone()).await.unwrap());
    *gate.0.lock().unwrap() = Some(bob.clone());
    alice.connect(address(&bob)).await.unwrap();
    assert_eq!(alice.send_message(bob.local_peer(), "hello").await.unwrap_err().code(), ErrorCode::PermissionDenied);
    let knows = Answer(|_, _| async { Ok(Bytes::from("swordfish")) });
    alice.serve_unary("password", Purpose::Open, Arc::new(knows)).unwrap();
    alice.send_message(bob.local_peer(), "hello").await.unwrap();
    for network in [alice, bob] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

/// Tells when it is dropped.
struct Dropped(Option<oneshot::Sender<()>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.take().map(|sender| sender.send(()));
    }
}

type Signal = Arc<Mutex<Option<oneshot::Sender<()>>>>;

/// A method that never answers, and two signals: it began, its future was dropped.
fn serve_endless(host: &Network) -> (Arc<Notify>, oneshot::Receiver<()>) {
    let (sender, dropped) = oneshot::channel();
    let (signal, began): (Signal, _) = (Arc::new(Mutex::new(Some(sender))), Arc::new(Notify::new()));
    let begins = began.clone();
    let endless = move |_, _| {
        let guard = Dropped(signal.lock().unwrap().take());
        let begins = begins.clone();
        async move {
            let _guard = guard;
            begins.notify_one();
            std::future::pending().await
        }
    };
    host.serve_unary("endless", Purpose::Open, Arc::new(Answer(endless))).unwrap();
    (began, dropped)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_ends_the_wait_here_and_the_work_there() {
    let (alice, bob) = (node().await, node().await);
    let (_, dropped) = serve_endless(&bob);
    alice.connect(address(&bob)).await.unwrap();
    let error = alice.call(bob.local_peer(), "endless", Bytes::new(), Duration::from_millis(300)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    patiently(dropped).await.unwrap();
    for network in [alice, bob] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_holds_to_its_own_longest_call() {
    let bob = node_with(Limits { max_call_duration: Duration::from_millis(100), ..Limits::default() }).await;
    let alice = node().await;
    let (_, dropped) = serve_endless(&bob);
    alice.connect(address(&bob)).await.unwrap();
    let error = alice.call(bob.local_peer(), "endless", Bytes::new(), PATIENCE).await.unwrap_err();
    assert_eq!((error.code(), error.message()), (ErrorCode::Timeout, "the deadline passed at the host"));
    patiently(dropped).await.unwrap();
    for network in [alice, bob] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_is_cancelled_when_its_caller_gives_up() {
    for listen in [TCP, QUIC] {
        let (alice, bob) = (start(config(listen)).await, start(config(listen)).await);
        let (began, dropped) = serve_endless(&bob);
        alice.connect(address(&bob)).await.unwrap();
        tokio::select! {
            // The deadline lies far beyond the test's patience, so that it is not what ends the handler.
            _ = alice.call(bob.local_peer(), "endless", Bytes::new(), PATIENCE * 10) => panic!("it answered"),
            () = began.notified() => {}
        }
        patiently(dropped).await.unwrap();
        for network in [alice, bob] {
            network.shutdown(Duration::ZERO).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_calls_than_a_peer_may_have_are_busy() {
    let bob = node_with(Limits { max_calls_per_peer: 1, ..Limits::default() }).await;
    let (alice, carol) = (node().await, node().await);
    let (began, _dropped) = serve_endless(&bob);
    bob.serve_unary("echo", Purpose::Open, Arc::new(Answer(|_, body| async move { Ok(body) }))).unwrap();
    alice.connect(address(&bob)).await.unwrap();
    let long = tokio::spawn({
        let (alice, bob) = (alice.clone(), bob.local_peer());
        async move { alice.call(bob, "endless", Bytes::new(), PATIENCE).await }
    });
    patiently(began.notified()).await;
    let large = Bytes::from(vec![0; wire::MAX_REQUEST_BODY]);
    let error = alice.call(bob.local_peer(), "echo", large, PATIENCE).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Busy);
    // Another peer is not affected.
    carol.connect(address(&bob)).await.unwrap();
    assert_eq!(carol.call(bob.local_peer(), "echo", "x".into(), PATIENCE).await.unwrap(), "x");
    long.abort();
    for network in [alice, bob, carol] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_beyond_every_clock_is_none() {
    let (alice, bob) = (node().await, node().await);
    alice.connect(address(&bob)).await.unwrap();
    bob.serve_unary("echo", Purpose::Open, Arc::new(Answer(|_, body| async { Ok(body) }))).unwrap();
    let body = Bytes::from_static(b"hello");
    assert_eq!(alice.call(bob.local_peer(), "echo", body.clone(), Duration::MAX).await.unwrap(), body);
    let refused = alice.open_stream(bob.local_peer(), "nothing", Duration::MAX).await.err().unwrap();
    assert_eq!(refused.code(), ErrorCode::Unsupported, "{refused}");
    for network in [alice, bob] {
        patiently(network.shutdown(Duration::MAX)).await.unwrap();
    }
}
