use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use multistream_select::{Version, dialer_select_proto, listener_select_proto};
use proptest::prelude::*;
use tokio::io::{DuplexStream, duplex};
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};

use super::names::{map_identify, put, to_local, to_wire};
use super::*;

/// A pipe that moves one to seven bytes at a time and is not ready every third time.
struct Ragged {
    inner: Compat<DuplexStream>,
    seed: u64,
    /// What was written.
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Ragged {
    fn new(inner: DuplexStream, seed: u64) -> Ragged {
        Ragged { inner: inner.compat(), seed, sent: Arc::default() }
    }

    /// How many bytes may pass this time.
    fn turn(&mut self, cx: &mut Context<'_>) -> Option<usize> {
        self.seed = self.seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let roll = (self.seed >> 33) as usize;
        if roll.is_multiple_of(3) {
            cx.waker().wake_by_ref();
            return None;
        }
        Some(roll % 7 + 1)
    }
}

impl AsyncRead for Ragged {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let Some(most) = self.turn(cx) else { return Poll::Pending };
        let most = most.min(buffer.len());
        Pin::new(&mut self.inner).poll_read(cx, &mut buffer[..most])
    }
}

impl AsyncWrite for Ragged {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let Some(most) = self.turn(cx) else { return Poll::Pending };
        let written = ready!(Pin::new(&mut self.inner).poll_write(cx, &buffer[..most.min(buffer.len())]))?;
        self.sent.lock().unwrap().extend(&buffer[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_close(cx)
    }
}

fn wrapped<S: AsyncRead + AsyncWrite + Unpin>(stream: S, role: Role, known: &Known) -> Substream<S> {
    Substream::new(stream, Negotiation::new(role, known.clone()))
}

/// Negotiates and sends 3000 bytes there and back. Returns what the dialer agreed on and what it sent.
async fn exchange(seed: u64, dial: &[&str], listen: &[&str], known: &Known) -> (Option<String>, Vec<u8>) {
    let (near, far) = duplex(64);
    let near = Ragged::new(near, seed);
    let sent = near.sent.clone();
    let far = wrapped(Ragged::new(far, !seed), Role::Listener, &Known::default());
    let data: Vec<u8> = (0..3000u64).map(|i| (i ^ seed) as u8).collect();
    let server = async {
        let (_, mut stream) = listener_select_proto(far, listen.to_vec()).await.ok()?;
        let mut got = vec![0; data.len()];
        stream.read_exact(&mut got).await.ok()?;
        stream.write_all(&got).await.ok()?;
        stream.close().await.ok()
    };
    let client = async {
        let near = wrapped(near, Role::Dialer, known);
        let (name, mut stream) = dialer_select_proto(near, dial.to_vec(), Version::V1).await.ok()?;
        stream.write_all(&data).await.ok()?;
        stream.flush().await.ok()?;
        let mut back = Vec::new();
        stream.read_to_end(&mut back).await.ok()?;
        (back == data).then(|| name.to_string())
    };
    let (_, name) = futures::join!(server, client);
    let sent = sent.lock().unwrap().clone();
    (name, sent)
}

#[tokio::test]
async fn a_name_without_a_slash_is_agreed_on_over_a_ragged_pipe_and_crosses_as_it_is() {
    for seed in 0..150 {
        for eager in [false, true] {
            let known = Known::default();
            if eager {
                known.learn(b"X.one");
            }
            let (name, sent) = exchange(seed, &["/bare/X.one"], &["/other/1", "/bare/X.one"], &known).await;
            assert_eq!(name.as_deref(), Some("/bare/X.one"), "{seed} {eager}");
            assert!(sent.windows(7).any(|window| window == b"\x06X.one\n"));
            assert!(!sent.windows(6).any(|window| window == b"/bare/"));
            assert!(known.contains(b"X.one"));
            let (name, _) = exchange(seed, &["/bare/no", "/bare/X.one"], &["/bare/X.one"], &Known::default()).await;
            assert_eq!(name.as_deref(), Some("/bare/X.one"), "{seed}");
            let (name, _) = exchange(seed, &["/kad/1"], &["/bare/X.one", "/kad/1"], &known).await;
            assert_eq!(name.as_deref(), Some("/kad/1"), "{seed}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_heard_although_the_name_was_taken_as_accepted() {
    for seed in 0..50 {
        let known = Known::default();
        known.learn(b"X.one");
        assert_eq!(exchange(seed, &["/bare/X.one"], &["/other/1"], &known).await.0, None);
        assert!(!known.contains(b"X.one"));
    }
}

#[tokio::test]
async fn a_known_name_costs_no_round_trip_and_a_kademlia_always_does() {
    let known = Known::default();
    for name in ["X.one", super::super::rpc::PROTOCOL, "/kwaainet/kad/1.0.0"] {
        known.learn(name.as_bytes());
    }
    for (name, at_once) in [("/bare/X.one", true), (super::super::rpc::PROTOCOL, true), ("/kwaainet/kad/1.0.0", false)]
    {
        let (near, mut far) = duplex(1024);
        let near = wrapped(near.compat(), Role::Dialer, &known);
        let opened = dialer_select_proto(near, [name], Version::V1);
        // Nobody answers on the far side.
        let first = tokio::time::timeout(std::time::Duration::from_millis(50), opened).await;
        assert_eq!(first.is_ok(), at_once, "{name}");
        if let Ok(opened) = first {
            let (_, mut stream) = opened.unwrap();
            stream.write_all(b"payload").await.unwrap();
            stream.flush().await.unwrap();
            let mut frame = [0; 256];
            let length = tokio::io::AsyncReadExt::read(&mut far, &mut frame).await.unwrap();
            assert!(frame[..length].ends_with(b"\npayload"), "header, name and payload leave together");
        }
    }
}

#[tokio::test]
async fn nobody_reaches_a_protocol_by_its_local_name() {
    let (mut near, far) = duplex(1024);
    let far = wrapped(far.compat(), Role::Listener, &Known::default());
    let server = tokio::spawn(listener_select_proto(far, ["/bare/X.one", "/kad/1"]));
    let said = b"\x13/multistream/1.0.0\n\x03ls\n\x0c/bare/X.one\n\x06X.one\n";
    tokio::io::AsyncWriteExt::write_all(&mut near, said).await.unwrap();
    let answer = b"\x13/multistream/1.0.0\n\x10\x06X.one\n\x07/kad/1\n\n\x03na\n\x06X.one\n";
    let mut got = vec![0; answer.len()];
    tokio::io::AsyncReadExt::read_exact(&mut near, &mut got).await.unwrap();
    assert_eq!(got, answer);
    assert_eq!(server.await.unwrap().unwrap().0, "/bare/X.one");
}

proptest! {
    #[test]
    fn the_translation_of_names_is_one_to_one(name in "[/a-z.]{0,12}", other in "[/a-z.]{0,12}") {
        prop_assert_eq!(to_wire(&to_local(name.as_bytes())), name.as_bytes());
        let prefixed = [PREFIX, &name].concat();
        prop_assert_eq!(to_wire(&to_local(prefixed.as_bytes())), prefixed.as_bytes());
        prop_assert_eq!(to_local(name.as_bytes()) == to_local(other.as_bytes()), name == other);
    }

    #[test]
    fn an_identify_message_changes_in_its_protocols_alone(names in prop::collection::vec("[/a-zA-Z.]{1,20}", 0..9), other: Vec<u8>) {
        let field = |tag: u8, body: &[u8]| {
            let mut out = vec![tag << 3 | 2];
            put(&mut out, body);
            out
        };
        let message: Vec<u8> = names.iter().flat_map(|name| [field(5, &other), field(3, name.as_bytes())].concat()).collect();
        let local = map_identify(&message, to_local).unwrap();
        prop_assert_eq!(map_identify(&local, to_wire).unwrap(), message);
        let _ = map_identify(&other, to_local);
    }

    #[test]
    fn noise_neither_panics_nor_hangs(
        parts in prop::collection::vec((0usize..9, any::<Option<(u8, u8)>>()), 0..9), dialer: bool, eager: bool, seed: u64,
    ) {
        const PARTS: [&[u8]; 9] = [
            b"\x13/multistream/1.0.0\n", b"\x03na\n", b"\x03ls\n", b"\x06X.one\n", b"\0", b"\xff\xff\xff\xff",
            b"\x0f/ipfs/id/1.0.0\n", b"\x04\x1a\x02ab", b"\x14/ipfs/id/push/1.0.0\n",
        ];
        let noise: Vec<u8> = parts.iter().flat_map(|(part, flip)| {
            let mut part = PARTS[*part].to_vec();
            if let Some((at, with)) = flip {
                let at = usize::from(*at) % part.len();
                part[at] ^= with;
            }
            part
        }).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (near, far) = duplex(4096);
            let mut near = near.compat();
            near.write_all(&noise).await.unwrap();
            near.close().await.unwrap();
            let known = Known::default();
            if eager {
                known.learn(b"X.one");
            }
            let role = if dialer { Role::Dialer } else { Role::Listener };
            let stream = wrapped(Ragged::new(far, seed), role, &known);
            let end = async {
                let mut rest = Vec::new();
                if dialer {
                    if let Ok((_, mut stream)) = dialer_select_proto(stream, ["/bare/X.one"], Version::V1).await {
                        let _ = stream.read_to_end(&mut rest).await;
                    }
                } else if let Ok((_, mut stream)) = listener_select_proto(stream, ["/bare/X.one", "/ipfs/id/push/1.0.0"]).await {
                    let _ = stream.read_to_end(&mut rest).await;
                }
            };
            tokio::time::timeout(std::time::Duration::from_secs(10), end).await.expect("it hangs");
        });
    }
}

#[test]
fn long_names_are_not_remembered() {
    let known = Known::default();
    for i in 0..300u32 {
        let mut name = format!("x{i}").into_bytes();
        name.resize(65_000, b'a');
        known.learn(&name);
    }
    known.learn(&[b'x'; MAX_NAME]);
    assert_eq!(known.names().len(), 1);
}
