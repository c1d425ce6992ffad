//! Calls that another implementation makes on a stream of its own, from libp2p's own stream behaviour.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::AsyncWriteExt;
use kwaai_core::identity::PeerId;
use kwaai_core::net::hivemind::{Answer, Call};
use kwaai_core::net::{Limits, Network, Peers, UnaryHandler};
use kwaai_core::trust::Purpose;
use kwaai_core::{Error, ErrorCode, Result};
use libp2p::StreamProtocol;
use libp2p_stream::OpenStreamError;

use super::hostile::{Attacker, still_serves};
use super::support::*;

const NAME: &str = "/other/echo/1.0.0";
const ECHO: StreamProtocol = StreamProtocol::new(NAME);
const ID: [u8; 16] = [7; 16];

/// Says who called, and what; panics, fails, or never answers when it is asked to.
struct Echo;

#[async_trait]
impl UnaryHandler for Echo {
    async fn call(&self, caller: PeerId, body: Bytes) -> Result<Bytes> {
        match &body[..] {
            b"panic" => panic!("a handler of a test"),
            b"fail" => Err(Error::not_found("nothing of that name")),
            b"wait" => std::future::pending().await,
            _ => Ok([caller.to_bytes(), body.to_vec()].concat().into()),
        }
    }
}

fn serve(network: &Network) {
    network.serve_foreign(NAME, Purpose::StoreVectors, Arc::new(Echo)).unwrap();
}

fn frame(method: &str, data: &[u8]) -> Vec<u8> {
    Call { id: ID, peer: vec![], method: method.into(), data: data.to_vec() }.encode()
}

/// Makes one call and reads its answer.
async fn call(peer: &mut Attacker, data: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let reply = peer.send(ECHO, &frame(NAME, data), false).await;
    answer(&reply).outcome
}

fn answer(reply: &[u8]) -> Answer {
    let head = reply.iter().position(|byte| byte & 0x80 == 0).expect("an answer") + 1;
    let length = reply[..head].iter().rev().fold(0usize, |length, byte| length << 7 | usize::from(byte & 0x7f));
    assert_eq!(reply.len(), head + length);
    let answer = Answer::decode(&reply[head..]).unwrap();
    assert_eq!(answer.id, ID);
    answer
}

async fn is_offered(peer: &mut Attacker) -> bool {
    match patiently(peer.control.open_stream(peer.host, ECHO)).await {
        Ok(_) => true,
        Err(OpenStreamError::UnsupportedProtocol(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_offered_while_it_is_served_and_the_handler_knows_who_calls() {
    let network = node().await;
    let mut peer = Attacker::of(&network).await;
    assert!(!is_offered(&mut peer).await);
    serve(&network);
    let again = network.serve_foreign(NAME, Purpose::Open, Arc::new(Echo));
    assert_eq!(again.unwrap_err().code(), ErrorCode::AlreadyExists);
    let ours = network.serve_foreign("/kwaainet/rpc/1.0.0", Purpose::Open, Arc::new(Echo));
    assert_eq!(ours.unwrap_err().code(), ErrorCode::InvalidArgument);
    assert_eq!(call(&mut peer, b"hello").await.unwrap(), [peer.id.to_bytes(), b"hello".to_vec()].concat());
    let long = vec![5; 3 << 20];
    assert_eq!(call(&mut peer, &long).await.unwrap().len(), long.len() + peer.id.to_bytes().len());
    assert_eq!(call(&mut peer, b"fail").await.unwrap_err(), "nothing of that name");
    assert_eq!(call(&mut peer, b"panic").await.unwrap_err(), "the peer failed to serve the call");
    network.stop_serving(NAME);
    assert!(!is_offered(&mut peer).await);
    network.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_the_gate_refuses_is_told_so_and_brings_no_more_than_that_takes() {
    let network = Network::start(config(TCP), Arc::new(Only(PeerId::random()))).await.unwrap();
    serve(&network);
    let mut peer = Attacker::of(&network).await;
    assert_eq!(call(&mut peer, b"hello").await.unwrap_err(), "unknown, and verified is needed");
    assert_eq!(peer.send(ECHO, &frame(NAME, &[0; 100_000]), false).await, b"");
    assert!(peer.closed.try_recv().is_err());
    network.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_breaks_the_frame_ends_its_connection() {
    let network = node().await;
    serve(&network);
    let cut = frame(NAME, b"hello");
    for bytes in
        [&b"\x81\x80\x80\x02x"[..], b"\xff\xff\xff\xff\x01", b"\x03abc", b"\x00", &[&[cut[0] - 1], &cut[1..]].concat()]
    {
        let mut peer = Attacker::of(&network).await;
        assert_eq!(peer.send(ECHO, bytes, false).await, b"", "{bytes:?}");
        patiently(peer.closed.recv()).await.unwrap();
    }
    let mut peer = Attacker::of(&network).await;
    let other = answer(&peer.send(ECHO, &frame("/other/thing/1.0.0", b"hello"), false).await);
    assert!(other.outcome.unwrap_err().contains("another protocol"));
    still_serves(&network).await;
    network.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_stalls_holds_no_place() {
    let limits = Limits { header_timeout: Duration::from_millis(300), max_calls: 1, ..Limits::default() };
    let network = node_with(limits).await;
    serve(&network);
    let mut peer = Attacker::of(&network).await;
    let whole = frame(NAME, &[1; 4000]);
    for part in [&b""[..], b"\x81", &whole[..10], &whole[..3999]] {
        assert_eq!(peer.send(ECHO, part, false).await, b"", "{} bytes", part.len());
    }
    assert!(peer.closed.try_recv().is_err());
    assert_eq!(call(&mut peer, b"hello").await.unwrap().len(), peer.id.to_bytes().len() + 5);
    network.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_calls_that_are_longer_than_ours_a_peer_has_two_at_a_time() {
    let network = node().await;
    serve(&network);
    let (mut peer, mut other) = (Attacker::of(&network).await, Attacker::of(&network).await);
    let long = vec![1; 2 << 20];
    let whole = frame(NAME, &long);
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = patiently(peer.control.open_stream(peer.host, ECHO)).await.unwrap();
        patiently(stream.write_all(&whole[..100])).await.unwrap();
        patiently(stream.flush()).await.unwrap();
        held.push(stream);
    }
    // Streams are served beside each other: the first two may take their places after the third has one.
    patiently(async { while !peer.send(ECHO, &whole, false).await.is_empty() {} }).await;
    assert_eq!(call(&mut other, &long).await.unwrap().len(), other.id.to_bytes().len() + long.len());
    drop(held);
    patiently(async { while peer.send(ECHO, &whole, false).await.is_empty() {} }).await;
    network.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_does_not_come_is_given_up_and_delays_nobody_else() {
    let limits = Limits { max_call_duration: Duration::from_millis(300), max_calls_per_peer: 1, ..Limits::default() };
    let network = node_with(limits).await;
    serve(&network);
    let (mut peer, mut other) = (Attacker::of(&network).await, Attacker::of(&network).await);
    let waiting = tokio::spawn(async move { call(&mut peer, b"wait").await });
    assert_eq!(call(&mut other, b"hello").await.unwrap().len(), other.id.to_bytes().len() + 5);
    assert_eq!(patiently(waiting).await.unwrap().unwrap_err(), "the deadline passed at the host");
    network.shutdown(Duration::ZERO).await.unwrap();
}
