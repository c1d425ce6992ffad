//! NN3: what a call on a connection that stands takes beyond one round trip, over a line on which every byte takes 50 ms.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use kwaai_core::Result;
use kwaai_core::identity::PeerId;
use kwaai_core::net::{Peers, UnaryHandler};
use kwaai_core::trust::Purpose;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::node::{at, start, until};

/// In one direction.
const DELAY: Duration = Duration::from_millis(50);
const CALLS: usize = 25;
const PATIENCE: Duration = Duration::from_secs(60);

struct Echo;

#[async_trait]
impl UnaryHandler for Echo {
    async fn call(&self, _: PeerId, body: Bytes) -> Result<Bytes> {
        Ok(body)
    }
}

pub async fn measure() -> Json {
    let (alice, bob) = (start(vec![], false, Default::default()).await, start(vec![], false, Default::default()).await);
    bob.serve_unary("echo", Purpose::Open, Arc::new(Echo)).unwrap();
    let port: u16 = at(&bob).to_string().split('/').nth(4).unwrap().parse().unwrap();
    let (line, peer) = (slow(port).await, bob.local_peer());
    alice.connect(format!("/ip4/127.0.0.1/tcp/{line}/p2p/{peer}").parse().unwrap()).await.unwrap();
    until(|| alice.connected().iter().any(|known| !known.agent.is_empty())).await;

    let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let line = slow(echo.local_addr().unwrap().port()).await;
    let mut plain = TcpStream::connect(("127.0.0.1", line)).await.unwrap();
    plain.set_nodelay(true).unwrap();
    let (mut there, _) = echo.accept().await.unwrap();
    tokio::spawn(async move {
        let mut chunk = [0; 1024];
        while let Ok(length @ 1..) = there.read(&mut chunk).await {
            let _ = there.write_all(&chunk[..length]).await;
        }
    });

    let (mut calls, mut round_trips) = (Vec::new(), Vec::new());
    for call in 0..=CALLS {
        let began = Instant::now();
        let mut back = [0; 100];
        plain.write_all(&[7; 100]).await.unwrap();
        plain.read_exact(&mut back).await.unwrap();
        let round_trip = began.elapsed();
        let began = Instant::now();
        alice.call(peer, "echo", Bytes::from_static(&[7; 100]), PATIENCE).await.unwrap();
        if call > 0 {
            calls.push(began.elapsed().as_secs_f64() * 1000.0);
            round_trips.push(round_trip.as_secs_f64() * 1000.0);
        }
    }
    json!({"calls": calls, "round_trips": round_trips})
}

/// A line to a port of this machine. Returns the port of its near end.
async fn slow(port: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            for end in [&near, &far] {
                end.set_nodelay(true).unwrap();
            }
            let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
            for (mut from, mut to) in [(near_in, far_out), (far_in, near_out)] {
                let (sent, mut arriving) = mpsc::unbounded_channel::<(tokio::time::Instant, Vec<u8>)>();
                tokio::spawn(async move {
                    let mut chunk = vec![0; 65536];
                    while let Ok(length @ 1..) = from.read(&mut chunk).await {
                        let _ = sent.send((tokio::time::Instant::now() + DELAY, chunk[..length].to_vec()));
                    }
                });
                tokio::spawn(async move {
                    while let Some((due, bytes)) = arriving.recv().await {
                        tokio::time::sleep_until(due).await;
                        if to.write_all(&bytes).await.is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    near
}
