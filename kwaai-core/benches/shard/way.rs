//! SE1 and SE8: what hosts add that have next to nothing to compute, and prompts over hosts that are far away.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use kwaai_core::Result;
use kwaai_core::identity::PeerId;
use kwaai_core::net::{Network, PeerStream, Peers, StreamHandler, UnaryHandler};
use kwaai_core::shard::{Blocks, LoadOptions, Route, ShardEngine};
use kwaai_core::trust::Purpose;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use crate::file::HOLLOW;
use crate::hosts::{HOSTS, Town, answer, between, request};
use crate::{by_ggml, median};

/// There and back.
const ROUND_TRIP: Duration = Duration::from_millis(50);
/// What a stage takes for a chunk of the prompt.
const STAGE: Duration = Duration::from_millis(100);
/// Frames beyond this carry states of a chunk.
const LARGE: usize = 16 * 1024;
const CHUNK: usize = 128;
const CHUNKS: usize = 8;

fn quantile(times: &[f64], share: f64) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    times[((times.len() - 1) as f64 * share) as usize]
}

/// Milliseconds that a hop adds to a token: a host's way there and back with all that is done on it, without its blocks.
pub async fn measure(folder: &Path, steps: usize, transport: &str) -> Value {
    let path = HOLLOW.file(folder, "Q8_0");
    let compute = by_ggml(1);
    let listen = match transport {
        "tcp" => "/ip4/127.0.0.1/tcp/0",
        "quic" => "/ip4/127.0.0.1/udp/0/quic-v1",
        other => panic!("{other} is no transport that is measured"),
    };
    let town = Town::of(&path, HOLLOW.blocks, &compute, listen, |network| Arc::new(network)).await;
    let local = ShardEngine::local();
    let whole = local.load(&path, LoadOptions { blocks: Blocks::All, compute }).await.unwrap();
    let (mut over_hosts, mut here) = (Vec::new(), Vec::new());
    for run in 0..4 {
        let times = answer(&town.app, &town.model, request(1, steps), Route::Peers).await;
        let unsplit = answer(&local, &whole, request(1, steps), Route::Local).await;
        if run > 0 {
            over_hosts.extend(between(&times));
            here.extend(between(&unsplit));
        }
    }
    let added = |share: f64| (quantile(&over_hosts, share) - median(&here)) * 1000.0 / HOSTS as f64;
    json!({ "transport": transport, "p50": added(0.5), "p99": added(0.99), "tokens": over_hosts.len() })
}

/// Seconds for a prompt of several chunks, beside as many times those of a prompt of one chunk.
pub async fn overlap(folder: &Path, runs: usize) -> Value {
    let path = HOLLOW.file(folder, "Q8_0");
    let listen = "/ip4/127.0.0.1/tcp/0";
    let far = |network| Arc::new(Far(network)) as Arc<dyn Peers>;
    let town = Town::of(&path, HOLLOW.blocks, &by_ggml(1), listen, far).await;
    let (mut chunked, mut single) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        for (length, times) in [(CHUNK, &mut single), (CHUNKS * CHUNK, &mut chunked)] {
            times.push(answer(&town.app, &town.model, request(length, 1), Route::Peers).await[0]);
        }
    }
    // Opening sessions takes a round trip, which is there once in both.
    let opening = ROUND_TRIP.as_secs_f64();
    let serial = (median(&single) - opening) * CHUNKS as f64;
    json!({ "overlapped": median(&chunked) - opening, "serial": serial, "chunks": CHUNKS, "hosts": HOSTS })
}

/// A network whose hosts are far away and take their time.
struct Far(Network);

#[async_trait]
impl Peers for Far {
    fn local_peer(&self) -> PeerId {
        self.0.local_peer()
    }

    async fn call(&self, peer: PeerId, method: &str, body: Bytes, timeout: Duration) -> Result<Bytes> {
        self.0.call(peer, method, body, timeout).await
    }

    fn round_trip(&self, _: PeerId) -> Option<Duration> {
        Some(ROUND_TRIP)
    }

    async fn open_stream(&self, peer: PeerId, protocol: &str, timeout: Duration) -> Result<PeerStream> {
        let stream = self.0.open_stream(peer, protocol, timeout).await?;
        let (near, far) = tokio::io::duplex(1 << 24);
        let (from_caller, to_caller) = tokio::io::split(far);
        let (from_host, to_host) = tokio::io::split(stream);
        tokio::spawn(carry(from_caller, to_host, STAGE));
        tokio::spawn(carry(from_host, to_caller, Duration::ZERO));
        Ok(Box::new(near))
    }

    fn serve_unary(&self, method: &str, purpose: Purpose, handler: Arc<dyn UnaryHandler>) -> Result<()> {
        self.0.serve_unary(method, purpose, handler)
    }

    fn serve_streams(&self, protocol: &str, purpose: Purpose, handler: Arc<dyn StreamHandler>) -> Result<()> {
        self.0.serve_streams(protocol, purpose, handler)
    }

    fn serve_foreign(&self, protocol: &str, purpose: Purpose, handler: Arc<dyn UnaryHandler>) -> Result<()> {
        self.0.serve_foreign(protocol, purpose, handler)
    }

    fn stop_serving(&self, name: &str) {
        self.0.stop_serving(name);
    }

    async fn announce(&self, key: &str) -> Result<()> {
        self.0.announce(key).await
    }

    async fn withdraw(&self, key: &str) -> Result<()> {
        self.0.withdraw(key).await
    }

    async fn providers(&self, key: &str) -> Result<Vec<PeerId>> {
        self.0.providers(key).await
    }
}

/// Carries frames, each for half a round trip, and the large ones one after the other for what a stage takes besides.
async fn carry(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    stage: Duration,
) -> std::io::Result<()> {
    let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
    let reading = async move {
        let mut free = Instant::now();
        loop {
            let length = from.read_u32_le().await?;
            let mut frame = length.to_le_bytes().to_vec();
            frame.resize(4 + length as usize, 0);
            from.read_exact(&mut frame[4..]).await?;
            let mut arrives = Instant::now() + ROUND_TRIP / 2;
            if frame.len() > LARGE {
                arrives = arrives.max(free) + stage;
                free = arrives;
            }
            if send.send((arrives, frame)).is_err() {
                return std::io::Result::Ok(());
            }
        }
    };
    let writing = async move {
        while let Some((arrives, frame)) = receive.recv().await {
            tokio::time::sleep_until(arrives).await;
            to.write_all(&frame).await?;
            to.flush().await?;
        }
        to.shutdown().await
    };
    let (read, written) = tokio::join!(reading, writing);
    read.and(written)
}
