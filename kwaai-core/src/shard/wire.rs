//! The frames of `/kwaainet/shard/1.0.0`, the protocol by which a caller runs blocks at a host.
//!
//! A frame is its length (u32, little-endian, not counting itself), a kind (u8) and a body. Numbers are little-endian,
//! texts are a u16 length and UTF-8. The caller opens a session for a range of blocks; each step carries session, epoch, step
//! number, position, block range and hidden states, and is answered by the hidden states after the last block of the
//! range. A host that computes for long says so every [`BEAT`], so that silence means that it is gone. Every length is checked
//! before anything of that length is allocated, and hidden states must be finite.

use std::ops::Range;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use crate::{Error, ErrorCode, Result};

/// The name of the protocol.
pub const PROTOCOL: &str = "/kwaainet/shard/1.0.0";
/// Longest frame before a session says how long its steps may be.
pub const SMALL_FRAME: usize = 4096;
/// More than this is never accepted: 1024 tokens of a hidden size of 65536 in f32.
pub const LARGEST_FRAME: usize = 1024 * 65536 * 4 + SMALL_FRAME;
/// How often a host says that it still works on a step.
pub const BEAT: Duration = Duration::from_millis(500);
const MAX_MODEL_ID: usize = 256;
const MAX_MESSAGE: usize = 1024;
const MAX_TOKENS: u32 = 1024;
const MAX_HIDDEN: u32 = 65536;
/// What stands for a number that a refusal does not have.
const NONE: u32 = u32::MAX;
/// Bytes that are written at once, so that a reader who takes them slowly is told from one who takes none.
const PIECE: usize = 64 * 1024;

/// The name of a session: random, chosen by the host, valid for the caller that opened it alone.
pub type SessionId = [u8; 16];

/// How hidden states travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Four bytes each, exact.
    #[default]
    F32,
    /// Two bytes each, rounded. States with a value beyond f16's range travel as [`F32`](Precision::F32) instead.
    F16,
}

impl Precision {
    fn bytes(self) -> usize {
        match self {
            Precision::F32 => 4,
            Precision::F16 => 2,
        }
    }
}

/// Hidden states of consecutive tokens: `tokens x hidden` values, row by row, all finite.
#[derive(Debug, Clone, PartialEq)]
pub struct Hidden {
    /// Number of tokens.
    pub tokens: u32,
    /// Length of one hidden state.
    pub size: u32,
    /// `tokens * size` values.
    pub values: Vec<f32>,
}

impl Hidden {
    /// The precision in which these states can travel where `wanted` was asked for.
    pub fn precision(&self, wanted: Precision) -> Precision {
        let overflows = |value: &f32| !half::f16::from_f32(*value).is_finite();
        match wanted == Precision::F16 && self.values.iter().any(overflows) {
            true => Precision::F32,
            false => wanted,
        }
    }

    /// These states as they arrive after a way on which `wanted` was asked for.
    pub fn carried(mut self, wanted: Precision) -> Hidden {
        if self.precision(wanted) == Precision::F16 {
            self.values.iter_mut().for_each(|value| *value = half::f16::from_f32(*value).to_f32());
        }
        self
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub enum Frame {
    /// The caller asks for a session.
    Open {
        /// The model, by its id.
        model: String,
        /// The blocks that every step of the session runs.
        blocks: Range<u32>,
        /// The session never has more tokens.
        max_tokens: u32,
    },
    /// The host grants it.
    Opened {
        /// The session.
        session: SessionId,
        /// Length of one hidden state.
        hidden: u32,
        /// A step may carry this many tokens.
        max_step_tokens: u32,
    },
    /// The caller sends the next tokens.
    Step {
        /// The session.
        session: SessionId,
        /// How often the session was taken back to an earlier position.
        epoch: u32,
        /// Counts the steps of the session from 1; a repeated number is answered from memory.
        step: u64,
        /// How many tokens the session has read before.
        position: u32,
        /// The blocks to run, those of the session.
        blocks: Range<u32>,
        /// The caller waits for so many milliseconds; nobody needs an answer that comes later.
        deadline_ms: u32,
        /// How the states travel, this way and back.
        precision: Precision,
        /// The states before the first block.
        hidden: Hidden,
    },
    /// The host answers a step.
    Output {
        /// The session.
        session: SessionId,
        /// The step answered.
        step: u64,
        /// How many tokens the session has read now.
        position: u32,
        /// How the states travel.
        precision: Precision,
        /// The states after the last block.
        hidden: Hidden,
    },
    /// The caller takes the session back to an earlier position.
    Truncate {
        /// The session.
        session: SessionId,
        /// The epoch that begins with this, one more than the session's. A repeated number is answered from memory.
        epoch: u32,
        /// The session then has read so many tokens; at most as many as it has read before.
        position: u32,
    },
    /// The host did that.
    Truncated {
        /// The session.
        session: SessionId,
        /// The epoch that began.
        epoch: u32,
        /// How many tokens the session has read now.
        position: u32,
    },
    /// The host works on a step.
    Working {
        /// The session.
        session: SessionId,
        /// The step.
        step: u64,
    },
    /// The caller ends the session.
    Close {
        /// The session.
        session: SessionId,
    },
    /// The host refuses; the session, if there is one, stays as it was.
    Refused {
        /// What kind of refusal, as a number of [`ErrorCode`].
        code: ErrorCode,
        /// The host's own position, where the caller's was wrong.
        position: Option<u32>,
        /// After so many milliseconds it is worth asking again, where the host is only busy.
        retry_after_ms: Option<u32>,
        /// For people.
        message: String,
    },
}

const OPEN: u8 = 1;
const OPENED: u8 = 2;
const STEP: u8 = 3;
const OUTPUT: u8 = 4;
const CLOSE: u8 = 5;
const REFUSED: u8 = 6;
const TRUNCATE: u8 = 7;
const TRUNCATED: u8 = 8;
const WORKING: u8 = 9;

impl Frame {
    /// A refusal that carries an error's code, message and position.
    pub fn refusal(error: &Error) -> Frame {
        let mut message = error.to_string();
        let mut end = message.len().min(MAX_MESSAGE);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        let number = |name| error.context().get(name).and_then(|number| number.parse().ok());
        let (position, retry_after_ms) = (number("host_position"), number("retry_after_ms"));
        Frame::Refused { code: error.code(), position, retry_after_ms, message }
    }

    /// The frame with its length in front.
    ///
    /// # Errors
    /// `invalid_argument` for states that are not finite or whose number is not `tokens * size`, and for f16 states
    /// beyond its range; `resource_exhausted` for more than the protocol allows.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let mut out = vec![0; 4];
        match self {
            Frame::Open { model, blocks, max_tokens } => {
                out.push(OPEN);
                put_text(&mut out, model, MAX_MODEL_ID)?;
                put_u32s(&mut out, &[blocks.start, blocks.end, *max_tokens]);
            }
            Frame::Opened { session, hidden, max_step_tokens } => {
                out.push(OPENED);
                out.extend_from_slice(session);
                put_u32s(&mut out, &[*hidden, *max_step_tokens]);
            }
            Frame::Step { session, epoch, step, position, blocks, deadline_ms, precision, hidden } => {
                out.push(STEP);
                out.extend_from_slice(session);
                put_u32s(&mut out, &[*epoch]);
                out.extend_from_slice(&step.to_le_bytes());
                put_u32s(&mut out, &[*position, blocks.start, blocks.end, *deadline_ms]);
                put_hidden(&mut out, *precision, hidden)?;
            }
            Frame::Output { session, step, position, precision, hidden } => {
                out.push(OUTPUT);
                out.extend_from_slice(session);
                out.extend_from_slice(&step.to_le_bytes());
                put_u32s(&mut out, &[*position]);
                put_hidden(&mut out, *precision, hidden)?;
            }
            Frame::Close { session } => {
                out.push(CLOSE);
                out.extend_from_slice(session);
            }
            Frame::Refused { code, position, retry_after_ms, message } => {
                out.push(REFUSED);
                out.extend_from_slice(&code.number().to_le_bytes());
                put_u32s(&mut out, &[position.unwrap_or(NONE), retry_after_ms.unwrap_or(NONE)]);
                put_text(&mut out, message, MAX_MESSAGE)?;
            }
            Frame::Truncate { session, epoch, position } => {
                out.push(TRUNCATE);
                out.extend_from_slice(session);
                put_u32s(&mut out, &[*epoch, *position]);
            }
            Frame::Truncated { session, epoch, position } => {
                out.push(TRUNCATED);
                out.extend_from_slice(session);
                put_u32s(&mut out, &[*epoch, *position]);
            }
            Frame::Working { session, step } => {
                out.push(WORKING);
                out.extend_from_slice(session);
                out.extend_from_slice(&step.to_le_bytes());
            }
        }
        let length = out.len() - 4;
        out[..4].copy_from_slice(&(length as u32).to_le_bytes());
        Ok(out)
    }

    /// Reads a frame's kind and body, without the length in front. Any bytes are safe to give.
    ///
    /// # Errors
    /// `corrupt_data`, saying what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Frame> {
        let mut reader = Reader(bytes);
        let frame = match reader.u8()? {
            OPEN => Frame::Open {
                model: reader.text(MAX_MODEL_ID)?,
                blocks: reader.u32()?..reader.u32()?,
                max_tokens: reader.u32()?,
            },
            OPENED => Frame::Opened { session: reader.array()?, hidden: reader.u32()?, max_step_tokens: reader.u32()? },
            STEP => {
                let (session, epoch, step) = (reader.array()?, reader.u32()?, reader.u64()?);
                let (position, blocks) = (reader.u32()?, reader.u32()?..reader.u32()?);
                let deadline_ms = reader.u32()?;
                let (precision, hidden) = reader.hidden()?;
                Frame::Step { session, epoch, step, position, blocks, deadline_ms, precision, hidden }
            }
            OUTPUT => {
                let (session, step, position) = (reader.array()?, reader.u64()?, reader.u32()?);
                let (precision, hidden) = reader.hidden()?;
                Frame::Output { session, step, position, precision, hidden }
            }
            CLOSE => Frame::Close { session: reader.array()? },
            REFUSED => {
                let number = u16::from_le_bytes(reader.array()?);
                let code = ErrorCode::from_number(number).ok_or_else(|| corrupt("an unknown error code"))?;
                let mut number = || reader.u32().map(|number| Some(number).filter(|number| *number != NONE));
                let (position, retry_after_ms) = (number()?, number()?);
                Frame::Refused { code, position, retry_after_ms, message: reader.text(MAX_MESSAGE)? }
            }
            TRUNCATE => Frame::Truncate { session: reader.array()?, epoch: reader.u32()?, position: reader.u32()? },
            TRUNCATED => Frame::Truncated { session: reader.array()?, epoch: reader.u32()?, position: reader.u32()? },
            WORKING => Frame::Working { session: reader.array()?, step: reader.u64()? },
            _ => return Err(corrupt("an unknown kind")),
        };
        match reader.0 {
            [] => Ok(frame),
            _ => Err(corrupt("bytes after its end")),
        }
    }

    /// Reads the next frame of at most `limit` bytes; `None` when the stream ends between two frames.
    ///
    /// # Errors
    /// `corrupt_data` for a frame that is too long or broken, `unreachable` when the stream breaks.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin), limit: usize) -> Result<Option<Frame>> {
        Frame::read_unless_silent(stream, limit, Duration::MAX).await
    }

    /// Reads the next frame, as [`read`](Frame::read) does.
    ///
    /// # Errors
    /// Those, and `timeout` when no further byte comes for as long as `silence`.
    pub async fn read_unless_silent(
        stream: &mut (impl AsyncRead + Unpin),
        limit: usize,
        silence: Duration,
    ) -> Result<Option<Frame>> {
        // Memory follows what really arrives, not what the length promises.
        let mut received = Vec::new();
        let mut wanted = 4;
        while received.len() < wanted {
            let mut next = (&mut *stream).take((wanted - received.len()).min(PIECE) as u64);
            let count = match timeout(silence, next.read_buf(&mut received)).await {
                Ok(count) => count.map_err(broken_stream)?,
                Err(_) => return Err(Error::timeout(format!("not a word for {} ms", silence.as_millis()))),
            };
            if count == 0 {
                return match received.is_empty() {
                    true => Ok(None),
                    false => Err(Error::unreachable("the stream ended inside a frame")),
                };
            }
            if let Ok(length) = <[u8; 4]>::try_from(&received[..]) {
                let length = u32::from_le_bytes(length) as usize;
                if length == 0 || length > limit.min(LARGEST_FRAME) {
                    return Err(corrupt(&format!("a length of {length} bytes, where 1 to {limit} are allowed")));
                }
                wanted += length;
            }
        }
        Frame::decode(&received[4..]).map(Some)
    }

    /// Writes the frame.
    ///
    /// # Errors
    /// Those of [`encode`](Frame::encode), and `unreachable` when the stream breaks.
    pub async fn write(&self, stream: &mut (impl AsyncWrite + Unpin)) -> Result<()> {
        self.write_unless_stuck(stream, Duration::MAX).await
    }

    /// Writes the frame, as [`write`](Frame::write) does.
    ///
    /// # Errors
    /// Those, and `timeout` when no further byte is taken for as long as `silence`.
    pub async fn write_unless_stuck(&self, stream: &mut (impl AsyncWrite + Unpin), silence: Duration) -> Result<()> {
        let bytes = self.encode()?;
        let stuck = |_| Error::timeout(format!("nothing was taken for {} ms", silence.as_millis()));
        for piece in bytes.chunks(PIECE) {
            timeout(silence, stream.write_all(piece)).await.map_err(stuck)?.map_err(broken_stream)?;
        }
        timeout(silence, stream.flush()).await.map_err(stuck)?.map_err(broken_stream)
    }
}

/// The longest frame of a step with so many tokens.
pub fn step_limit(tokens: u32, hidden: u32) -> usize {
    (tokens as usize).saturating_mul(hidden as usize).saturating_mul(4).saturating_add(SMALL_FRAME).min(LARGEST_FRAME)
}

fn broken_stream(error: std::io::Error) -> Error {
    Error::unreachable(format!("the stream broke: {error}")).with_source(error)
}

fn corrupt(what: &str) -> Error {
    Error::corrupt_data(format!("a frame has {what}"))
}

fn put_u32s(out: &mut Vec<u8>, numbers: &[u32]) {
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

fn put_text(out: &mut Vec<u8>, text: &str, limit: usize) -> Result<()> {
    if text.len() > limit {
        return Err(Error::invalid_argument(format!("a text of {} bytes, where {limit} are allowed", text.len())));
    }
    out.extend_from_slice(&(text.len() as u16).to_le_bytes());
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

fn put_hidden(out: &mut Vec<u8>, precision: Precision, hidden: &Hidden) -> Result<()> {
    let count = checked_count(hidden.tokens, hidden.size)
        .ok_or_else(|| Error::resource_exhausted(format!("{} x {} states", hidden.tokens, hidden.size)))?;
    if count != hidden.values.len() {
        return Err(Error::invalid_argument(format!("{} values for {count} states", hidden.values.len())));
    }
    put_u32s(out, &[hidden.tokens, hidden.size]);
    out.push(precision as u8);
    out.reserve(count * precision.bytes());
    let mut finite = true;
    for value in &hidden.values {
        match precision {
            Precision::F32 => {
                finite &= value.is_finite();
                out.extend_from_slice(&value.to_le_bytes());
            }
            Precision::F16 => {
                let half = half::f16::from_f32(*value);
                finite &= half.is_finite();
                out.extend_from_slice(&half.to_le_bytes());
            }
        }
    }
    match finite {
        true => Ok(()),
        false => Err(Error::corrupt_data(format!("hidden states are not finite in {precision:?}"))),
    }
}

/// How many values so many tokens have, if the protocol allows them.
fn checked_count(tokens: u32, size: u32) -> Option<usize> {
    ((1..=MAX_TOKENS).contains(&tokens) && (1..=MAX_HIDDEN).contains(&size)).then(|| tokens as usize * size as usize)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Result<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count).ok_or_else(|| corrupt("an early end"))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or_else(|| corrupt("an early end"))?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn u8(&mut self) -> Result<u8> {
        self.array().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self, limit: usize) -> Result<String> {
        let length = u16::from_le_bytes(self.array()?) as usize;
        if length > limit {
            return Err(corrupt("a text that is too long"));
        }
        let bytes = self.bytes(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| corrupt("a text that is not UTF-8"))?;
        Ok(text.to_string())
    }

    fn hidden(&mut self) -> Result<(Precision, Hidden)> {
        let (tokens, size) = (self.u32()?, self.u32()?);
        let precision = match self.u8()? {
            0 => Precision::F32,
            1 => Precision::F16,
            _ => return Err(corrupt("states of an unknown precision")),
        };
        let count = checked_count(tokens, size).ok_or_else(|| corrupt("states of an impossible shape"))?;
        let bytes = self.bytes(count * precision.bytes())?;
        let values: Vec<f32> = match precision {
            Precision::F32 => bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value)).collect(),
            Precision::F16 => bytes.as_chunks().0.iter().map(|half| half::f16::from_le_bytes(*half).to_f32()).collect(),
        };
        if values.iter().any(|value| !value.is_finite()) {
            return Err(corrupt("states that are not finite"));
        }
        Ok((precision, Hidden { tokens, size, values }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn step(values: Vec<f32>, precision: Precision) -> Frame {
        let hidden = Hidden { tokens: 1, size: values.len() as u32, values };
        let (session, epoch, deadline_ms) = ([7; 16], 1, 9000);
        Frame::Step { session, epoch, step: 2, position: 5, blocks: 1..3, deadline_ms, precision, hidden }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_bytes_of_each_frame_are_fixed() {
        let session = [7; 16];
        let seven = "07".repeat(16);
        let hidden = Hidden { tokens: 1, size: 1, values: vec![-2.0] };
        let open = Frame::Open { model: "m".to_string(), blocks: 1..3, max_tokens: 9 };
        let output = Frame::Output { session, step: 2, position: 6, precision: Precision::F32, hidden };
        let code = ErrorCode::Conflict;
        let refused = Frame::Refused { code, position: Some(5), retry_after_ms: None, message: "no".to_string() };
        let (code, retry_after_ms) = (ErrorCode::Busy, Some(250));
        let busy = Frame::Refused { code, position: None, retry_after_ms, message: String::new() };
        for (frame, bytes) in [
            (open, "100000000101006d010000000300000009000000".to_string()),
            (Frame::Opened { session, hidden: 64, max_step_tokens: 512 }, format!("1900000002{seven}4000000000020000")),
            (
                step(vec![1.0, -0.5], Precision::F32),
                format!(
                    "3e00000003{seven}01000000020000000000000005000000010000000300000028230000\
                     0100000002000000000000803f000000bf"
                ),
            ),
            (
                step(vec![1.0, -0.5], Precision::F16),
                format!(
                    "3a00000003{seven}01000000020000000000000005000000010000000300000028230000\
                     010000000200000001003c00b8"
                ),
            ),
            (output, format!("2a00000004{seven}020000000000000006000000010000000100000000000000c0")),
            (Frame::Close { session }, format!("1100000005{seven}")),
            (refused, "0f000000060e0005000000ffffffff02006e6f".to_string()),
            (busy, "0d000000060a00fffffffffa0000000000".to_string()),
            (Frame::Truncate { session, epoch: 2, position: 5 }, format!("1900000007{seven}0200000005000000")),
            (Frame::Truncated { session, epoch: 2, position: 5 }, format!("1900000008{seven}0200000005000000")),
            (Frame::Working { session, step: 2 }, format!("1900000009{seven}0200000000000000")),
        ] {
            let encoded = frame.encode().unwrap();
            assert_eq!(hex(&encoded), bytes, "{frame:?}");
            assert_eq!(Frame::decode(&encoded[4..]).unwrap(), frame);
        }
    }

    #[test]
    fn states_that_are_not_finite_are_refused_on_both_sides() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert!(step(vec![value], Precision::F32).encode().is_err());
            let mut bytes = step(vec![1.0], Precision::F32).encode().unwrap();
            let end = bytes.len();
            bytes[end - 4..].copy_from_slice(&value.to_le_bytes());
            assert_eq!(Frame::decode(&bytes[4..]).unwrap_err().code(), ErrorCode::CorruptData);
        }
        assert!(step(vec![1e6], Precision::F16).encode().is_err());
        assert!(step(vec![1e6], Precision::F32).encode().is_ok());
    }

    #[test]
    fn shapes_that_lie_are_refused_before_memory_is_taken() {
        let good = step(vec![1.0, 2.0], Precision::F32).encode().unwrap();
        let shape = 4 + 1 + 16 + 4 + 8 + 16;
        for lie in [[0, 2], [1, 0], [u32::MAX, u32::MAX], [1025, 1], [1, 65537], [2, 2], [1, 1]] {
            let mut bytes = good.clone();
            bytes[shape..shape + 4].copy_from_slice(&u32::to_le_bytes(lie[0]));
            bytes[shape + 4..shape + 8].copy_from_slice(&u32::to_le_bytes(lie[1]));
            assert_eq!(Frame::decode(&bytes[4..]).unwrap_err().code(), ErrorCode::CorruptData, "{lie:?}");
        }
    }

    #[test]
    fn states_beyond_f16_travel_whole_and_others_rounded() {
        let hidden = |values: [f32; 2]| Hidden { tokens: 1, size: 2, values: values.to_vec() };
        assert_eq!(hidden([0.1, 70_000.0]).precision(Precision::F16), Precision::F32);
        assert_eq!(hidden([0.1, 70_000.0]).carried(Precision::F16), hidden([0.1, 70_000.0]));
        assert_eq!(hidden([0.1, 7.0]).carried(Precision::F16), hidden([0.099_975_586, 7.0]));
        assert_eq!(hidden([0.1, 7.0]).carried(Precision::F32), hidden([0.1, 7.0]));
        let carried = hidden([0.1, 7.0]).carried(Precision::F16);
        assert_eq!(carried.clone().carried(Precision::F16), carried, "a second way changes nothing");
    }

    #[tokio::test]
    async fn silence_ends_the_reading_and_a_slow_trickle_does_not() {
        // The frame takes longer than the silence allowed, each of its bytes a tenth of it.
        let silence = Duration::from_millis(400);
        let bytes = Frame::Close { session: [7; 16] }.encode().unwrap();
        let (mut near, mut far) = tokio::io::duplex(4);
        let trickle = async {
            for byte in &bytes {
                tokio::time::sleep(silence / 10).await;
                near.write_u8(*byte).await.unwrap();
            }
        };
        let (frame, ()) = tokio::join!(Frame::read_unless_silent(&mut far, SMALL_FRAME, silence), trickle);
        assert_eq!(frame.unwrap(), Some(Frame::Close { session: [7; 16] }));
        let error = Frame::read_unless_silent(&mut far, SMALL_FRAME, silence).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Timeout);
        let large = Frame::Close { session: [7; 16] };
        assert_eq!(large.write_unless_stuck(&mut near, silence).await.unwrap_err().code(), ErrorCode::Timeout);
    }

    #[tokio::test]
    async fn a_length_beyond_the_limit_or_a_cut_stream_ends_the_reading() {
        let mut long = &[0xff, 0xff, 0xff, 0xff, 1][..];
        assert_eq!(Frame::read(&mut long, SMALL_FRAME).await.unwrap_err().code(), ErrorCode::CorruptData);
        let bytes = step(vec![1.0], Precision::F32).encode().unwrap();
        for end in 1..bytes.len() {
            let mut cut = &bytes[..end];
            assert_eq!(Frame::read(&mut cut, SMALL_FRAME).await.unwrap_err().code(), ErrorCode::Unreachable);
        }
        let mut nothing = &[][..];
        assert_eq!(Frame::read(&mut nothing, SMALL_FRAME).await.unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(frame) = Frame::decode(&bytes) {
                prop_assert_eq!(&frame.encode().unwrap()[4..], &bytes[..]);
            }
        }

        #[test]
        fn a_changed_byte_never_panics(index in 0usize..60, value in any::<u8>()) {
            let mut bytes = step(vec![1.0, 2.0], Precision::F32).encode().unwrap();
            let index = 4 + index % (bytes.len() - 4);
            bytes[index] = value;
            let _ = Frame::decode(&bytes[4..]);
        }
    }
}
