//! Unary calls as go-libp2p-daemon sends them, one stream for each.
//!
//! Both directions carry one frame: a length as an unsigned varint, then a `PersistentConnectionRequest` in protobuf.
//! The answer is such a *request* as well. Its `peer` field is what the caller wrote there, so that nothing may rest on
//! it; who calls is known from the connection.

use prost::Message;
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{Error, Result};

/// The longest message that go-libp2p-daemon and hivemind take, in bytes.
pub const MAX_MESSAGE: usize = 4 * 1024 * 1024;
/// What a call or an answer takes besides its data.
pub(in crate::net) const OVERHEAD: usize = 512;
/// How much is reserved for a message at once, however long it says it is.
const FIRST_RESERVE: usize = 64 * 1024;

#[derive(Clone, PartialEq, Message)]
struct Envelope {
    #[prost(bytes = "vec", required, tag = "1")]
    call_id: Vec<u8>,
    #[prost(message, optional, tag = "3")]
    call: Option<CallUnary>,
    #[prost(message, optional, tag = "4")]
    answer: Option<UnaryResponse>,
}

#[derive(Clone, PartialEq, Message)]
struct CallUnary {
    #[prost(bytes = "vec", required, tag = "1")]
    peer: Vec<u8>,
    #[prost(string, required, tag = "2")]
    proto: String,
    #[prost(bytes = "vec", required, tag = "3")]
    data: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct UnaryResponse {
    #[prost(bytes = "vec", optional, tag = "1")]
    response: Option<Vec<u8>>,
    #[prost(bytes = "vec", optional, tag = "2")]
    error: Option<Vec<u8>>,
}

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// Chosen by the caller, repeated in the answer.
    pub id: [u8; 16],
    /// Whatever the caller wrote; by custom the PeerId of the node that it calls.
    pub peer: Vec<u8>,
    /// The method, such as `DHTProtocol.rpc_ping`.
    pub method: String,
    /// The request.
    pub data: Vec<u8>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// That of the call.
    pub id: [u8; 16],
    /// The response, or why there is none.
    pub outcome: std::result::Result<Vec<u8>, String>,
}

impl Call {
    /// The whole frame.
    pub fn encode(&self) -> Vec<u8> {
        let call = CallUnary { peer: self.peer.clone(), proto: self.method.clone(), data: self.data.clone() };
        Envelope { call_id: self.id.to_vec(), call: Some(call), answer: None }.encode_length_delimited_to_vec()
    }

    /// Reads a message, the frame without its length.
    ///
    /// # Errors
    /// `corrupt_data` for what is no call, or has no id of 16 bytes.
    pub fn decode(message: &[u8]) -> Result<Call> {
        let envelope = envelope(message)?;
        let CallUnary { peer, proto, data } = envelope.call.ok_or_else(|| corrupt("it is no call"))?;
        Ok(Call { id: id(&envelope.call_id)?, peer, method: proto, data })
    }
}

impl Answer {
    /// The whole frame.
    pub fn encode(&self) -> Vec<u8> {
        let answer = match &self.outcome {
            Ok(response) => UnaryResponse { response: Some(response.clone()), error: None },
            Err(why) => UnaryResponse { response: None, error: Some(why.clone().into_bytes()) },
        };
        Envelope { call_id: self.id.to_vec(), call: None, answer: Some(answer) }.encode_length_delimited_to_vec()
    }

    /// Reads a message, the frame without its length.
    ///
    /// # Errors
    /// `corrupt_data` for what is no answer, or has no id of 16 bytes.
    pub fn decode(message: &[u8]) -> Result<Answer> {
        let envelope = envelope(message)?;
        let outcome = match envelope.answer {
            Some(UnaryResponse { error: Some(why), .. }) => Err(String::from_utf8_lossy(&why).into_owned()),
            Some(UnaryResponse { response: Some(response), .. }) => Ok(response),
            _ => return Err(corrupt("it is no answer")),
        };
        Ok(Answer { id: id(&envelope.call_id)?, outcome })
    }
}

fn envelope(message: &[u8]) -> Result<Envelope> {
    Envelope::decode(message).map_err(|error| corrupt("it is no protobuf message").with_source(error))
}

fn id(bytes: &[u8]) -> Result<[u8; 16]> {
    bytes.try_into().map_err(|_| corrupt("a call's id has 16 bytes"))
}

pub(super) fn corrupt(why: &str) -> Error {
    Error::corrupt_data(format!("hivemind: {why}"))
}

/// Reads one message, reserving memory only as it comes.
pub(super) async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Vec<u8>> {
    let length = read_length(stream).await?;
    read_rest(stream, length).await
}

/// Reads how long the message is that comes next.
pub(in crate::net) async fn read_length<S: AsyncRead + Unpin>(stream: &mut S) -> Result<usize> {
    let mut length = 0usize;
    for shift in [0, 7, 14, 21] {
        let byte = stream.read_u8().await.map_err(gone)?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 && length <= MAX_MESSAGE {
            return Ok(length);
        }
        if byte & 0x80 == 0 {
            break;
        }
    }
    Err(corrupt("a message of more than 4 MiB"))
}

/// Reads a message of so many bytes.
pub(super) async fn read_rest<S: AsyncRead + Unpin>(stream: &mut S, length: usize) -> Result<Vec<u8>> {
    let mut message = Vec::with_capacity(length.min(FIRST_RESERVE));
    stream.take(length as u64).read_to_end(&mut message).await.map_err(gone)?;
    match message.len() < length {
        true => Err(gone(std::io::ErrorKind::UnexpectedEof.into())),
        false => Ok(message),
    }
}

fn gone(error: std::io::Error) -> Error {
    Error::unreachable("the peer closed the stream").with_source(error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];

    #[test]
    fn empty_fields_are_written_because_the_other_side_requires_them() {
        let call = Call { id: ID, peer: vec![], method: "DHTProtocol.rpc_ping".into(), data: b"x".to_vec() };
        let frame = call.encode();
        assert_eq!(frame[..19], *b"\x2f\x0a\x10\0\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f");
        assert_eq!(frame[19..], *b"\x1a\x1b\x0a\x00\x12\x14DHTProtocol.rpc_ping\x1a\x01x");
        assert_eq!(Call::decode(&frame[1..]).unwrap(), call);
    }

    #[test]
    fn an_answer_is_a_response_or_an_error() {
        for outcome in [Ok(b"ok".to_vec()), Err("no".to_owned())] {
            let answer = Answer { id: ID, outcome };
            assert_eq!(Answer::decode(&answer.encode()[1..]).unwrap(), answer);
            assert!(Call::decode(&answer.encode()[1..]).is_err());
        }
    }

    #[tokio::test]
    async fn a_length_beyond_the_limit_is_refused_before_anything_is_reserved() {
        for frame in [&b"\xff\xff\xff\xff\x01"[..], b"\x81\x80\x80\x02x", b"\xff\xff\xff\xff\xff\xff"] {
            assert_eq!(read(&mut &frame[..]).await.unwrap_err().code(), crate::ErrorCode::CorruptData);
        }
        assert_eq!(read(&mut &b"\x03ab"[..]).await.unwrap_err().code(), crate::ErrorCode::Unreachable);
        assert_eq!(read(&mut &b"\x02abc"[..]).await.unwrap(), b"ab");
    }

    proptest! {
        #[test]
        fn random_messages_never_panic(message: Vec<u8>) {
            if let Ok(call) = Call::decode(&message) {
                prop_assert_eq!(Call::decode(&Envelope::decode_length_delimited(&call.encode()[..]).unwrap().encode_to_vec()).unwrap(), call);
            }
            let _ = Answer::decode(&message);
        }
    }
}
