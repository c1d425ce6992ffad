//! A peer that does not keep to the protocol, on libp2p's own stream behaviour.

use std::time::Duration;

use futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use kwaai_core::identity::PeerId;
use kwaai_core::net::{Limits, Multiaddr, Network, Peers};
use libp2p::swarm::SwarmEvent;
use libp2p::{StreamProtocol, SwarmBuilder, noise, tcp, yamux};
use libp2p_stream::{Behaviour, Control};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::support::*;

const CALL: StreamProtocol = StreamProtocol::new("/kwaainet/rpc/1.0.0");
const RAW: StreamProtocol = StreamProtocol::new("/kwaainet/stream/1.0.0");

/// A bare libp2p peer with a connection to a node.
pub struct Attacker {
    pub control: Control,
    pub id: PeerId,
    pub host: PeerId,
    pub closed: mpsc::Receiver<()>,
    swarm: JoinHandle<()>,
}

impl Attacker {
    pub async fn of(network: &Network) -> Attacker {
        let mut swarm = SwarmBuilder::with_new_identity()
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .unwrap()
            .with_behaviour(|_| Behaviour::new())
            .unwrap()
            .with_swarm_config(|config| config.with_idle_connection_timeout(PATIENCE))
            .build();
        let (control, id) = (swarm.behaviour().new_control(), *swarm.local_peer_id());
        let target: Multiaddr = address(network);
        swarm.dial(target).unwrap();
        patiently(async {
            while !matches!(swarm.select_next_some().await, SwarmEvent::ConnectionEstablished { .. }) {}
        })
        .await;
        let (sender, closed) = mpsc::channel(1);
        let swarm = tokio::spawn(async move {
            loop {
                if let SwarmEvent::ConnectionClosed { .. } = swarm.select_next_some().await {
                    let _ = sender.try_send(());
                }
            }
        });
        Attacker { control, id, host: network.local_peer(), closed, swarm }
    }

    /// Opens a stream, sends bytes, and reads until the node ends it.
    pub async fn send(&mut self, protocol: StreamProtocol, bytes: &[u8], close: bool) -> Vec<u8> {
        let mut stream = patiently(self.control.open_stream(self.host, protocol)).await.unwrap();
        let mut answer = Vec::new();
        patiently(async {
            // The node may cut the stream at any byte, and then there is nothing to read either.
            let _ = stream.write_all(bytes).await;
            let _ = stream.flush().await;
            if close {
                let _ = stream.close().await;
            }
            let _ = stream.read_to_end(&mut answer).await;
        })
        .await;
        answer
    }
}

impl Drop for Attacker {
    fn drop(&mut self) {
        self.swarm.abort();
    }
}

pub async fn still_serves(network: &Network) {
    let honest = node().await;
    honest.connect(address(network)).await.unwrap();
    honest.send_message(network.local_peer(), "hello").await.unwrap();
    honest.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_breaks_the_protocol_is_cut_off() {
    let network = node().await;
    let frames: [(StreamProtocol, &[u8]); 7] = [
        // A body of 4 GiB, a deadline of 0, an empty name, a name that is not one.
        (CALL, b"\xff\xff\xff\xff\x00\x00\x00\x01\x01a"),
        (CALL, b"\x00\x00\x00\x00\x00\x00\x00\x00\x01a"),
        (CALL, b"\x00\x00\x00\x00\x00\x00\x00\x01\x00"),
        (CALL, b"\x00\x00\x00\x00\x00\x00\x00\x01\x02\xff\xfe"),
        // The same for streams, and a name beyond the longest.
        (RAW, b"\x00"),
        (RAW, b"\x02\xff\xfe"),
        (RAW, b"\xff"),
    ];
    for (protocol, frame) in frames {
        let mut attacker = Attacker::of(&network).await;
        assert_eq!(attacker.send(protocol, frame, false).await, b"");
        patiently(attacker.closed.recv()).await.unwrap();
    }
    still_serves(&network).await;
    network.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_frame_ends_its_stream_alone() {
    let network = node().await;
    let mut attacker = Attacker::of(&network).await;
    for (protocol, frame) in [
        (CALL, &b""[..]),
        (CALL, b"\x00\x00"),
        (CALL, b"\x00\x00\x00\x05\x00\x00\x03\xe8\x10kwaai"),
        (CALL, b"\x00\x00\x00\x05\x00\x00\x03\xe8\x10kwaainet.messagehi"),
        (RAW, b""),
        (RAW, b"\x09short"),
    ] {
        assert_eq!(attacker.send(protocol, frame, true).await, b"", "{frame:?}");
    }
    assert!(attacker.closed.try_recv().is_err());
    still_serves(&network).await;
    network.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_peer_is_cut_after_the_header_timeout() {
    let limits = Limits { header_timeout: Duration::from_millis(100), ..Limits::default() };
    let network = node_with(limits).await;
    let mut attacker = Attacker::of(&network).await;
    for protocol in [CALL, RAW] {
        assert_eq!(attacker.send(protocol.clone(), b"", false).await, b"");
        assert_eq!(attacker.send(protocol, b"\x10", false).await, b"");
    }
    still_serves(&network).await;
    network.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_holds_no_place() {
    let limits = Limits { header_timeout: Duration::from_millis(300), max_calls: 1, ..Limits::default() };
    let network = node_with(limits).await;
    let mut attacker = Attacker::of(&network).await;
    // A body of a megabyte within ten minutes, of which one byte comes.
    let head = b"\x00\x10\x00\x00\x00\x09\x27\xc0\x10kwaainet.message!";
    assert_eq!(attacker.send(CALL, head, false).await, b"", "it was cut off before its deadline");
    still_serves(&network).await;
    network.shutdown(Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_no_text_is_refused_and_not_kept() {
    let network = node().await;
    let mut attacker = Attacker::of(&network).await;
    let answer = attacker.send(CALL, b"\x00\x00\x00\x02\x00\x00\xea\x60\x10kwaainet.message\xff\xfe", false).await;
    assert_eq!(answer[..2], 1u16.to_be_bytes(), "{answer:?}");
    let mut messages = network.messages();
    network.shutdown(Duration::ZERO).await.unwrap();
    assert!(messages.next().await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn random_frames_harm_nobody() {
    let network = node_with(Limits { header_timeout: Duration::from_millis(500), ..Limits::default() }).await;
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    for round in 0..16 {
        let mut attacker = Attacker::of(&network).await;
        let mut frame = vec![0; 1 + 17 * round];
        for byte in &mut frame {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            *byte = (state >> 56) as u8;
        }
        let protocol = if round % 2 == 0 { CALL } else { RAW };
        attacker.send(protocol, &frame, true).await;
    }
    still_serves(&network).await;
    network.shutdown(Duration::ZERO).await.unwrap();
}
