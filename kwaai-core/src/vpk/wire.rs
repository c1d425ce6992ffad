//! The bytes that travel between an owner and the hosts.
//!
//! Every message starts with `KVP`, one byte for what it is and one for the version of its form. Numbers are little-endian.

use crate::{Error, Result};

const MAGIC: &[u8; 3] = b"KVP";
const VERSION: u8 = 1;

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Segment = 1,
    Session = 2,
    Query = 3,
    Reply = 4,
    Manifest = 5,
    Payload = 6,
    Request = 7,
    Answer = 8,
    Pages = 9,
    Topology = 10,
    Ids = 11,
}

pub(super) struct Writer(Vec<u8>);

impl Writer {
    /// `mode` is the number of the privacy mode, so that no host takes the bytes of another mode for its own.
    pub(super) fn new(kind: Kind, mode: u8, capacity: usize) -> Writer {
        let mut bytes = Vec::with_capacity(capacity + 6);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[kind as u8, VERSION, mode]);
        Writer(bytes)
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(super) fn u32(&mut self, number: u32) {
        self.bytes(&number.to_le_bytes());
    }

    pub(super) fn u64(&mut self, number: u64) {
        self.bytes(&number.to_le_bytes());
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads what may come from anybody: every length is compared with what is there before it is believed.
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// # Errors
    /// `corrupt_data` when it is something else, `unsupported` when it has another version.
    pub(super) fn new(kind: Kind, mode: u8, bytes: &'a [u8]) -> Result<Reader<'a>> {
        let mut reader = Reader(bytes);
        let [m0, m1, m2, found, version, of] = reader.array()?;
        if [m0, m1, m2] != *MAGIC || found != kind as u8 {
            return Err(damaged("it is not what was expected here"));
        }
        if version != VERSION {
            return Err(Error::unsupported(format!(
                "a message of version {version}; this library knows version {VERSION}"
            )));
        }
        if of != mode {
            return Err(damaged("it belongs to another privacy mode"));
        }
        Ok(reader)
    }

    pub(super) fn take(&mut self, length: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or_else(|| damaged("it is too short"))?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or_else(|| damaged("it is too short"))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn remaining(&self) -> usize {
        self.0.len()
    }

    /// All that is left.
    pub(super) fn rest(self) -> &'a [u8] {
        self.0
    }

    pub(super) fn finish(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(damaged("there are bytes left over")) }
    }
}

pub(super) fn damaged(why: &str) -> Error {
    Error::corrupt_data(format!("a message of private knowledge is damaged: {why}"))
}
