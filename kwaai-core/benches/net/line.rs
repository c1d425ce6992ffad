//! NN3: what a call on a connection that stands takes beyond one round trip, over a line on which every byte takes 50 ms.

#[path = "../../tests/support/slow_line.rs"]
mod slow_line;

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

use crate::node::{at, start_untried, until};
use slow_line::slow_line;

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
    let (alice, bob) = (start_untried().await, start_untried().await);
    bob.serve_unary("echo", Purpose::Open, Arc::new(Echo)).unwrap();
    let port: u16 = at(&bob).to_string().split('/').nth(4).unwrap().parse().unwrap();
    let (line, peer) = (slow_line(port, DELAY).await, bob.local_peer());
    alice.connect(format!("/ip4/127.0.0.1/tcp/{line}/p2p/{peer}").parse().unwrap()).await.unwrap();
    until(|| alice.connected().iter().any(|known| !known.agent.is_empty())).await;

    let echo = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let line = slow_line(echo.local_addr().unwrap().port(), DELAY).await;
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
