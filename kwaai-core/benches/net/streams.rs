//! NN4: how fast bytes go through a raw stream of ours, and through one of plain libp2p, over TCP, noise and yamux.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use kwaai_core::Result;
use kwaai_core::identity::PeerId;
use kwaai_core::net::{Multiaddr, PeerStream, Peers, StreamHandler};
use kwaai_core::trust::Purpose;
use libp2p::swarm::SwarmEvent;
use libp2p::{StreamProtocol, Swarm, SwarmBuilder, noise, tcp, yamux};
use libp2p_stream::Behaviour;
use serde_json::{Value as Json, json};

use crate::node::{at, start};

const BYTES: usize = 256 << 20;
const CHUNK: usize = 64 << 10;
const PLAIN: StreamProtocol = StreamProtocol::new("/bench/1.0.0");

/// Reads to the end and answers with one byte.
struct Sink;

#[async_trait]
impl StreamHandler for Sink {
    async fn serve(&self, _: PeerId, stream: PeerStream) -> Result<()> {
        let mut stream = tokio_util::compat::TokioAsyncReadCompatExt::compat(stream);
        let _ = drain(&mut stream).await;
        Ok(())
    }
}

async fn drain<S: futures::AsyncRead + futures::AsyncWrite + Unpin>(stream: &mut S) -> std::io::Result<()> {
    let (mut chunk, mut left) = (vec![0; CHUNK], BYTES);
    while left > 0 {
        match stream.read(&mut chunk).await? {
            0 => return Ok(()),
            length => left -= length,
        }
    }
    stream.write_all(&[1]).await?;
    stream.close().await
}

/// MiB a second, until the other side says that it has all.
async fn push<S: futures::AsyncRead + futures::AsyncWrite + Unpin>(stream: &mut S) -> f64 {
    let (began, chunk) = (Instant::now(), vec![7; CHUNK]);
    for _ in 0..BYTES / CHUNK {
        stream.write_all(&chunk).await.unwrap();
    }
    stream.flush().await.unwrap();
    stream.read_exact(&mut [0; 1]).await.unwrap();
    (BYTES >> 20) as f64 / began.elapsed().as_secs_f64()
}

fn plain() -> Swarm<Behaviour> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default().nodelay(true), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| Behaviour::new())
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(600)))
        .build()
}

pub async fn measure(runs: usize) -> Json {
    let (alice, bob) = (start(vec![], false, Default::default()).await, start(vec![], false, Default::default()).await);
    bob.serve_streams("sink", Purpose::Open, Arc::new(Sink)).unwrap();
    let peer = alice.connect(at(&bob)).await.unwrap();

    let (mut near, mut far) = (plain(), plain());
    far.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let address: Multiaddr = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = far.select_next_some().await {
            break address;
        }
    };
    let (there, mut control) = (*far.local_peer_id(), near.behaviour().new_control());
    let mut incoming = far.behaviour().new_control().accept(PLAIN).unwrap();
    tokio::spawn(async move {
        while let Some((_, mut stream)) = incoming.next().await {
            tokio::spawn(async move { drop(drain(&mut stream).await) });
        }
    });
    tokio::spawn(async move { while far.next().await.is_some() {} });
    near.dial(address).unwrap();
    while !matches!(near.select_next_some().await, SwarmEvent::ConnectionEstablished { .. }) {}
    tokio::spawn(async move { while near.next().await.is_some() {} });

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for run in 0..=runs {
        let stream = alice.open_stream(peer, "sink", Duration::from_secs(60)).await.unwrap();
        let own = push(&mut tokio_util::compat::TokioAsyncReadCompatExt::compat(stream)).await;
        let other = push(&mut control.open_stream(there, PLAIN).await.unwrap()).await;
        if run > 0 {
            ours.push(own);
            theirs.push(other);
        }
    }
    json!({"mib": BYTES >> 20, "ours": ours, "plain": theirs})
}
