//! The bytes of unary calls and of the opening of raw streams. Numbers are big-endian.
//!
//! A unary call is one libp2p stream of the protocol `/kwaainet/rpc/1.0.0`. The caller sends one request:
//!
//! | offset | bytes | meaning |
//! |---|---|---|
//! | 0 | 4 | length `b` of the body, at most 1 MiB |
//! | 4 | 4 | milliseconds that the caller is willing to wait, at least 1 |
//! | 8 | 1 | length `m` of the method's name, 1 to 128 |
//! | 9 | `m` | name of the method: letters, digits and `. _ / -` |
//! | 9 + `m` | `b` | body |
//!
//! and keeps its side open until the reply has come; closing it earlier cancels the call. The host answers:
//!
//! | offset | bytes | meaning |
//! |---|---|---|
//! | 0 | 2 | 0, or the number of an [`ErrorCode`] |
//! | 2 | 4 | length `n`: at most 4 MiB of body, or at most 1 KiB of message after an error |
//! | 6 | `n` | body, or a message for people in UTF-8 |
//!
//! A raw stream is one libp2p stream of the protocol `/kwaainet/stream/1.0.0`. The opener names what it wants:
//!
//! | offset | bytes | meaning |
//! |---|---|---|
//! | 0 | 1 | length `m` of the name, 1 to 128 |
//! | 1 | `m` | name of the protocol, of the same letters as a method |
//!
//! and the host answers with the same frame as a reply, whose body is empty. After status 0 the stream belongs to the
//! two applications.
//!
//! Whatever breaks these rules is `corrupt_data`, and the host cuts the connection. Nothing is allocated on the
//! strength of a length before it was compared with its maximum.

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Error, ErrorCode, Result};

/// The longest name of a method or a stream protocol, in bytes.
pub const MAX_NAME: usize = 128;
/// The longest body of a request, in bytes.
pub const MAX_REQUEST_BODY: usize = 1024 * 1024;
/// The longest body of a reply, in bytes.
pub const MAX_REPLY_BODY: usize = 4 * 1024 * 1024;
/// The longest error message that crosses, in bytes.
pub const MAX_ERROR_MESSAGE: usize = 1024;

/// Length of what precedes the method's name in a request.
pub(crate) const REQUEST_PREFIX: usize = 9;
/// Length of what precedes the body in a reply.
pub(crate) const REPLY_PREFIX: usize = 6;

/// The context key that tells a frame broken by the peer from a `corrupt_data` that the peer answered.
pub(crate) const BROKEN: &str = "broken";

pub(crate) fn corrupt(why: impl Into<String>) -> Error {
    Error::corrupt_data(why).with(BROKEN, "frame")
}

/// Refuses what cannot be the name of a method or a stream protocol.
///
/// # Errors
/// `invalid_argument`, naming what is wrong.
pub fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Error::invalid_argument(format!(
            "a name has 1 to {MAX_NAME} bytes, and this one has {}",
            name.len()
        )));
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-');
    match name.chars().find(|c| !allowed(*c)) {
        Some(c) => Err(Error::invalid_argument(format!(
            "the name contains {:?}; letters, digits and . _ / - are allowed",
            c.escape_debug().to_string()
        ))),
        None => Ok(()),
    }
}

/// The name in bytes that a peer sent.
pub(crate) fn decode_name(bytes: &[u8]) -> Result<String> {
    let name = std::str::from_utf8(bytes).map_err(|_| corrupt("a name is not UTF-8"))?;
    check_name(name).map_err(|error| corrupt(error.message()))?;
    Ok(name.to_owned())
}

/// What the first nine bytes of a request say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestPrefix {
    pub body_len: usize,
    pub deadline_ms: u32,
    pub method_len: usize,
}

impl RequestPrefix {
    pub(crate) fn decode(bytes: &[u8; REQUEST_PREFIX]) -> Result<RequestPrefix> {
        let [b0, b1, b2, b3, d0, d1, d2, d3, m] = *bytes;
        let body_len = u32::from_be_bytes([b0, b1, b2, b3]) as usize;
        let deadline_ms = u32::from_be_bytes([d0, d1, d2, d3]);
        let method_len = usize::from(m);
        if body_len > MAX_REQUEST_BODY {
            return Err(corrupt(format!("a request of {body_len} bytes; at most {MAX_REQUEST_BODY} are allowed")));
        }
        if deadline_ms == 0 {
            return Err(corrupt("a request without time to answer it"));
        }
        if method_len == 0 || method_len > MAX_NAME {
            return Err(corrupt(format!("a method name of {method_len} bytes")));
        }
        Ok(RequestPrefix { body_len, deadline_ms, method_len })
    }
}

/// A unary call on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The method, a name as [`check_name`] allows it.
    pub method: String,
    /// How long the caller waits, in milliseconds, at least 1.
    pub deadline_ms: u32,
    /// At most [`MAX_REQUEST_BODY`] bytes.
    pub body: Bytes,
}

impl Request {
    /// The bytes of everything before the body.
    ///
    /// # Errors
    /// `invalid_argument` for a name, a length or a deadline outside the limits.
    pub(crate) fn encode_head(method: &str, deadline_ms: u32, body_len: usize) -> Result<Bytes> {
        check_name(method)?;
        if body_len > MAX_REQUEST_BODY {
            return Err(Error::invalid_argument(format!(
                "the body has {body_len} bytes; a call carries at most {MAX_REQUEST_BODY}"
            ))
            .with_remedy("split it, or open a stream"));
        }
        if deadline_ms == 0 {
            return Err(Error::invalid_argument("a call needs at least one millisecond"));
        }
        let mut out = BytesMut::with_capacity(REQUEST_PREFIX + method.len());
        out.put_u32(body_len as u32);
        out.put_u32(deadline_ms);
        out.put_u8(method.len() as u8);
        out.put_slice(method.as_bytes());
        Ok(out.freeze())
    }

    /// The whole frame.
    ///
    /// # Errors
    /// `invalid_argument` for a name, a body or a deadline outside the limits.
    pub fn encode(&self) -> Result<Bytes> {
        let head = Request::encode_head(&self.method, self.deadline_ms, self.body.len())?;
        Ok([head, self.body.clone()].concat().into())
    }

    /// Reads a whole frame, and nothing after it.
    ///
    /// # Errors
    /// `corrupt_data` for anything that [`Request::encode`] does not produce.
    pub fn decode(frame: &[u8]) -> Result<Request> {
        let (prefix, rest) =
            frame.split_first_chunk::<REQUEST_PREFIX>().ok_or_else(|| corrupt("the request is truncated"))?;
        let prefix = RequestPrefix::decode(prefix)?;
        if rest.len() != prefix.method_len + prefix.body_len {
            return Err(corrupt("the request has another length than it says"));
        }
        let (method, body) = rest.split_at(prefix.method_len);
        Ok(Request {
            method: decode_name(method)?,
            deadline_ms: prefix.deadline_ms,
            body: Bytes::copy_from_slice(body),
        })
    }
}

/// What the first six bytes of a reply say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ReplyPrefix {
    /// `None` is success.
    pub code: Option<ErrorCode>,
    pub len: usize,
}

impl ReplyPrefix {
    pub(crate) fn decode(bytes: &[u8; REPLY_PREFIX]) -> Result<ReplyPrefix> {
        let [s0, s1, n0, n1, n2, n3] = *bytes;
        let status = u16::from_be_bytes([s0, s1]);
        let len = u32::from_be_bytes([n0, n1, n2, n3]) as usize;
        let code = match status {
            0 => None,
            number => Some(ErrorCode::from_number(number).ok_or_else(|| corrupt(format!("unknown status {number}")))?),
        };
        let max = if code.is_none() { MAX_REPLY_BODY } else { MAX_ERROR_MESSAGE };
        if len > max {
            return Err(corrupt(format!("a reply of {len} bytes; at most {max} are allowed")));
        }
        Ok(ReplyPrefix { code, len })
    }
}

/// The answer to a call or to the opening of a stream, on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Success, with at most [`MAX_REPLY_BODY`] bytes.
    Body(Bytes),
    /// Failure, with a message for people of at most [`MAX_ERROR_MESSAGE`] bytes.
    Error(ErrorCode, String),
}

impl Reply {
    /// The code of an error.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Reply::Body(_) => None,
            Reply::Error(code, _) => Some(*code),
        }
    }

    /// The whole frame. A longer error message is cut at a character's border.
    ///
    /// # Errors
    /// `resource_exhausted` when the body is too long.
    pub fn encode(&self) -> Result<Bytes> {
        let (status, rest) = match self {
            Reply::Body(body) if body.len() > MAX_REPLY_BODY => {
                return Err(Error::resource_exhausted(format!(
                    "the answer has {} bytes; a call carries at most {MAX_REPLY_BODY}",
                    body.len()
                )));
            }
            Reply::Body(body) => (0, &body[..]),
            Reply::Error(code, message) => {
                (code.number(), &message.as_bytes()[..message.floor_char_boundary(MAX_ERROR_MESSAGE)])
            }
        };
        let mut out = BytesMut::with_capacity(REPLY_PREFIX + rest.len());
        out.put_u16(status);
        out.put_u32(rest.len() as u32);
        out.put_slice(rest);
        Ok(out.freeze())
    }

    /// Reads a whole frame, and nothing after it.
    ///
    /// # Errors
    /// `corrupt_data` for anything that [`Reply::encode`] does not produce.
    pub fn decode(frame: &[u8]) -> Result<Reply> {
        let (prefix, rest) =
            frame.split_first_chunk::<REPLY_PREFIX>().ok_or_else(|| corrupt("the reply is truncated"))?;
        let prefix = ReplyPrefix::decode(prefix)?;
        if rest.len() != prefix.len {
            return Err(corrupt("the reply has another length than it says"));
        }
        Reply::from_parts(prefix, Bytes::copy_from_slice(rest))
    }

    pub(crate) fn from_parts(prefix: ReplyPrefix, rest: Bytes) -> Result<Reply> {
        match prefix.code {
            None => Ok(Reply::Body(rest)),
            Some(code) => {
                let message = std::str::from_utf8(&rest).map_err(|_| corrupt("an error message is not UTF-8"))?;
                Ok(Reply::Error(code, message.to_owned()))
            }
        }
    }
}

/// What the opener of a raw stream sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    /// The stream protocol, a name as [`check_name`] allows it.
    pub protocol: String,
}

impl Opening {
    /// The whole frame.
    ///
    /// # Errors
    /// `invalid_argument` when the name is not allowed.
    pub fn encode(&self) -> Result<Bytes> {
        check_name(&self.protocol)?;
        let mut out = BytesMut::with_capacity(1 + self.protocol.len());
        out.put_u8(self.protocol.len() as u8);
        out.put_slice(self.protocol.as_bytes());
        Ok(out.freeze())
    }

    /// Reads a whole frame, and nothing after it.
    ///
    /// # Errors
    /// `corrupt_data` for anything that [`Opening::encode`] does not produce.
    pub fn decode(frame: &[u8]) -> Result<Opening> {
        let (len, name) = frame.split_first().ok_or_else(|| corrupt("the opening is empty"))?;
        if usize::from(*len) != name.len() {
            return Err(corrupt("the opening has another length than it says"));
        }
        Ok(Opening { protocol: decode_name(name)? })
    }
}

/// Text from a peer, made safe to show: control characters, line breaks and those that reverse the direction of
/// writing are escaped, and at most `max` characters are kept.
pub fn shown(text: &str, max: usize) -> String {
    let turns =
        |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut out = String::new();
    for (i, c) in text.chars().enumerate() {
        if i == max {
            out.push('…');
            break;
        }
        if c.is_control() || turns(c) || matches!(c, '\u{2028}' | '\u{2029}') {
            out.extend(c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_request_has_the_documented_bytes() {
        let request = Request { method: "a.b".into(), deadline_ms: 5000, body: Bytes::from_static(b"hi") };
        let golden = b"\x00\x00\x00\x02\x00\x00\x13\x88\x03a.bhi";
        assert_eq!(&request.encode().unwrap()[..], golden);
        assert_eq!(Request::decode(golden).unwrap(), request);
    }

    #[test]
    fn a_reply_has_the_documented_bytes() {
        let body = Reply::Body(Bytes::from_static(b"ok"));
        assert_eq!(&body.encode().unwrap()[..], b"\x00\x00\x00\x00\x00\x02ok");
        let refusal = Reply::Error(ErrorCode::PermissionDenied, "no".into());
        assert_eq!(&refusal.encode().unwrap()[..], b"\x00\x04\x00\x00\x00\x02no");
        assert_eq!(Reply::decode(b"\x00\x04\x00\x00\x00\x02no").unwrap(), refusal);
    }

    #[test]
    fn an_opening_has_the_documented_bytes() {
        let opening = Opening { protocol: "kwaainet/blocks".into() };
        assert_eq!(&opening.encode().unwrap()[..], b"\x0fkwaainet/blocks");
        assert_eq!(Opening::decode(b"\x0fkwaainet/blocks").unwrap(), opening);
    }

    #[test]
    fn lengths_beyond_the_maximum_are_refused_before_anything_is_read() {
        let mut prefix = *b"\x00\x10\x00\x01\x00\x00\x00\x01\x01";
        assert_eq!(RequestPrefix::decode(&prefix).unwrap_err().code(), ErrorCode::CorruptData);
        prefix[3] = 0;
        assert!(RequestPrefix::decode(&prefix).is_ok());
        assert!(ReplyPrefix::decode(b"\x00\x00\x00\x40\x00\x01").is_err());
        assert!(ReplyPrefix::decode(b"\x00\x04\x00\x00\x04\x01").is_err());
        assert!(ReplyPrefix::decode(b"\x00\x63\x00\x00\x00\x00").is_err());
    }

    #[test]
    fn an_error_message_is_cut_at_a_border_of_characters() {
        let frame = Reply::Error(ErrorCode::Internal, "é".repeat(MAX_ERROR_MESSAGE)).encode().unwrap();
        let Reply::Error(_, message) = Reply::decode(&frame).unwrap() else { panic!("not an error") };
        assert_eq!(message, "é".repeat(MAX_ERROR_MESSAGE / 2));
    }

    #[test]
    fn text_from_peers_cannot_drive_a_terminal() {
        assert_eq!(shown("a\x1b[31mb\n\u{202e}c", 99), "a\\u{1b}[31mb\\u{a}\\u{202e}c");
        assert_eq!(shown("abcdef", 3), "abc…");
        assert_eq!(shown("grüße", 5), "grüße");
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic_and_what_decodes_encodes_again(frame: Vec<u8>) {
            if let Ok(request) = Request::decode(&frame) {
                prop_assert_eq!(&request.encode().unwrap()[..], &frame[..]);
            }
            if let Ok(reply) = Reply::decode(&frame) {
                prop_assert_eq!(&reply.encode().unwrap()[..], &frame[..]);
            }
            if let Ok(opening) = Opening::decode(&frame) {
                prop_assert_eq!(&opening.encode().unwrap()[..], &frame[..]);
            }
        }

        #[test]
        fn a_truncated_or_extended_request_is_refused(
            method in "[a-z./_-]{1,20}", deadline_ms in 1u32.., body: Vec<u8>, cut in 0usize..40,
        ) {
            let frame = Request { method, deadline_ms, body: body.into() }.encode().unwrap();
            let cut = cut.min(frame.len() - 1);
            prop_assert!(Request::decode(&frame[..cut]).is_err());
            prop_assert!(Request::decode(&[&frame[..], b"x"].concat()).is_err());
        }
    }
}
