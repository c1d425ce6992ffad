//! Raw streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use kwaai_core::identity::PeerId;
use kwaai_core::net::{Limits, Network, PeerStream, Peers, StreamHandler};
use kwaai_core::trust::Purpose;
use kwaai_core::{Error, ErrorCode, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

use super::support::*;

/// Sends back what comes, until the other side has no more.
struct Echo;

#[async_trait]
impl StreamHandler for Echo {
    async fn serve(&self, _: PeerId, stream: PeerStream) -> Result<()> {
        let (mut from, mut to) = tokio::io::split(stream);
        tokio::io::copy(&mut from, &mut to).await.map_err(|e| Error::unreachable("gone").with_source(e))?;
        to.shutdown().await.map_err(|e| Error::unreachable("gone").with_source(e))
    }
}

async fn connected(host: &Network) -> Network {
    let network = node().await;
    network.connect(address(host)).await.unwrap();
    network
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mebibyte_comes_back_unchanged_over_tcp_and_over_quic() {
    for listen in [TCP, QUIC] {
        let (alice, bob) = (start(config(listen)).await, start(config(listen)).await);
        bob.serve_streams("echo", Purpose::Open, Arc::new(Echo)).unwrap();
        alice.connect(address(&bob)).await.unwrap();
        let stream = alice.open_stream(bob.local_peer(), "echo", PATIENCE).await.unwrap();
        let sent: Vec<u8> = (0..1024 * 1024u32).map(|i| (i.wrapping_mul(2654435761) >> 24) as u8).collect();
        let (mut from, mut to) = tokio::io::split(stream);
        let mut received = Vec::new();
        let (wrote, read) = patiently(async {
            tokio::join!(
                async {
                    to.write_all(&sent).await?;
                    to.shutdown().await
                },
                from.read_to_end(&mut received)
            )
        })
        .await;
        wrote.unwrap();
        read.unwrap();
        assert!(received == sent);
        for network in [alice, bob] {
            network.shutdown(Duration::ZERO).await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_opens_only_when_the_host_accepts_it() {
    let friend = node().await;
    let host = Network::start(config(TCP), Arc::new(Only(friend.local_peer()))).await.unwrap();
    host.serve_streams("blocks", Purpose::ServeBlocks, Arc::new(Echo)).unwrap();
    friend.connect(address(&host)).await.unwrap();
    let stranger = connected(&host).await;
    friend.open_stream(host.local_peer(), "blocks", PATIENCE).await.unwrap();
    let code = |outcome: Result<PeerStream>| outcome.err().map(|error| error.code());
    assert_eq!(
        code(stranger.open_stream(host.local_peer(), "blocks", PATIENCE).await),
        Some(ErrorCode::PermissionDenied)
    );
    assert_eq!(code(friend.open_stream(host.local_peer(), "other", PATIENCE).await), Some(ErrorCode::Unsupported));
    // A unary method is no stream protocol.
    assert_eq!(
        code(friend.open_stream(host.local_peer(), "kwaainet.message", PATIENCE).await),
        Some(ErrorCode::Unsupported)
    );
    assert_eq!(
        code(friend.open_stream(host.local_peer(), "no spaces", PATIENCE).await),
        Some(ErrorCode::InvalidArgument)
    );
    for network in [friend, stranger, host] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_streams_than_a_peer_may_have_are_busy_until_one_ends() {
    let host = node_with(Limits { max_streams_per_peer: 1, ..Limits::default() }).await;
    host.serve_streams("echo", Purpose::Open, Arc::new(Echo)).unwrap();
    let (alice, carol) = (connected(&host).await, connected(&host).await);
    let mut first = alice.open_stream(host.local_peer(), "echo", PATIENCE).await.unwrap();
    let error = alice.open_stream(host.local_peer(), "echo", PATIENCE).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::Busy);
    assert!(error.is_retryable());
    carol.open_stream(host.local_peer(), "echo", PATIENCE).await.unwrap();
    first.shutdown().await.unwrap();
    patiently(first.read_to_end(&mut Vec::new())).await.unwrap();
    drop(first);
    patiently(async {
        while let Err(error) = alice.open_stream(host.local_peer(), "echo", PATIENCE).await {
            assert_eq!(error.code(), ErrorCode::Busy);
        }
    })
    .await;
    for network in [alice, carol, host] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_under_way_are_cut_when_serving_stops() {
    let host = node().await;
    host.serve_streams("echo", Purpose::Open, Arc::new(Echo)).unwrap();
    let twice = host.serve_streams("echo", Purpose::Open, Arc::new(Echo)).unwrap_err();
    assert_eq!(twice.code(), ErrorCode::AlreadyExists);
    let alice = connected(&host).await;
    let mut stream = alice.open_stream(host.local_peer(), "echo", PATIENCE).await.unwrap();
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(patiently(stream.read_u8()).await.unwrap(), b'x');
    host.stop_serving("echo");
    assert!(patiently(stream.read_u8()).await.is_err());
    let error = alice.open_stream(host.local_peer(), "echo", PATIENCE).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::Unsupported);
    host.serve_streams("echo", Purpose::Open, Arc::new(Echo)).unwrap();
    alice.open_stream(host.local_peer(), "echo", PATIENCE).await.unwrap();
    for network in [alice, host] {
        network.shutdown(Duration::ZERO).await.unwrap();
    }
}

/// Reads nothing until it is told to, then all.
struct Sleeper {
    wake: Arc<Notify>,
    read: Arc<AtomicUsize>,
}

#[async_trait]
impl StreamHandler for Sleeper {
    async fn serve(&self, _: PeerId, mut stream: PeerStream) -> Result<()> {
        self.wake.notified().await;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.map_err(|e| Error::unreachable("gone").with_source(e))?;
        self.read.store(all.len(), Ordering::SeqCst);
        stream.shutdown().await.map_err(|e| Error::unreachable("gone").with_source(e))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_sleeps_stops_its_writer_and_nobody_else() {
    const WHOLE: usize = 32 * 1024 * 1024;
    for listen in [TCP, QUIC] {
        let (alice, bob) = (start(config(listen)).await, start(config(listen)).await);
        let (wake, read) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let sleeper = Sleeper { wake: wake.clone(), read: read.clone() };
        bob.serve_streams("sleep", Purpose::Open, Arc::new(sleeper)).unwrap();
        bob.serve_unary("echo", Purpose::Open, Arc::new(Answer(|_, body| async { Ok(body) }))).unwrap();
        alice.connect(address(&bob)).await.unwrap();
        let mut stream = alice.open_stream(bob.local_peer(), "sleep", PATIENCE).await.unwrap();
        let written = Arc::new(AtomicUsize::new(0));
        let count = written.clone();
        let writing = tokio::spawn(async move {
            let chunk = vec![7; 64 * 1024];
            while count.load(Ordering::SeqCst) < WHOLE {
                stream.write_all(&chunk).await.unwrap();
                count.fetch_add(chunk.len(), Ordering::SeqCst);
            }
            stream.shutdown().await.unwrap();
            stream.read_to_end(&mut Vec::new()).await.unwrap();
        });
        // Calls on the same connection go on; meanwhile the writer comes to where it has to wait.
        for _ in 0..200 {
            let body = vec![1; 16 * 1024].into();
            patiently(alice.call(bob.local_peer(), "echo", body, PATIENCE)).await.unwrap();
        }
        let stopped = written.load(Ordering::SeqCst);
        assert!(stopped < WHOLE / 2, "{stopped} bytes were taken for a reader that sleeps");
        wake.notify_one();
        patiently(writing).await.unwrap();
        assert_eq!(read.load(Ordering::SeqCst), WHOLE);
        for network in [alice, bob] {
            network.shutdown(Duration::ZERO).await.unwrap();
        }
    }
}
