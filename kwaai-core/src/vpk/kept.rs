//! What hosts answer about what they keep.

use super::request::{read_mode, read_stamp};
use super::segment::SegmentStamp;
use super::wire::{Kind, Reader, Writer};
use super::{CollectionId, Mode};
use crate::Result;

/// What a host keeps of one collection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Which collection.
    pub collection: CollectionId,
    /// How its vectors are hidden.
    pub mode: Mode,
    /// How many coordinates each has.
    pub dimension: u32,
    /// The bytes that its owner's quota is charged with.
    pub bytes: u64,
    /// Its segments in the order in which they came; left out in a list of collections.
    pub segments: Vec<SegmentStamp>,
}

impl Described {
    pub(super) fn write(all: &[Described]) -> Vec<u8> {
        let mut writer = Writer::new(Kind::Answer, 0, 64 * all.len());
        writer.u32(all.len() as u32);
        for one in all {
            writer.bytes(&one.collection.0);
            writer.bytes(&[one.mode as u8]);
            writer.u32(one.dimension);
            writer.u64(one.bytes);
            writer.u32(one.segments.len() as u32);
            for stamp in &one.segments {
                writer.bytes(&stamp.nonce);
                writer.u32(stamp.vectors);
            }
        }
        writer.finish()
    }

    /// Reads the answer to [`Call::List`](super::Call::List) or [`Call::Describe`](super::Call::Describe).
    ///
    /// # Errors
    /// `corrupt_data`, `unsupported`.
    pub fn read(answer: &[u8]) -> Result<Vec<Described>> {
        let mut reader = Reader::new(Kind::Answer, 0, answer)?;
        let mut all = Vec::new();
        for _ in 0..reader.u32()? {
            let collection = CollectionId(reader.array()?);
            let (mode, dimension, bytes) = (read_mode(reader.u8()?)?, reader.u32()?, reader.u64()?);
            let mut segments = Vec::new();
            for _ in 0..reader.u32()? {
                segments.push(read_stamp(&mut reader)?);
            }
            all.push(Described { collection, mode, dimension, bytes, segments });
        }
        reader.finish()?;
        Ok(all)
    }
}

/// How much a host keeps for one tenant, and how much more it would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// The bytes that the tenant's quota is charged with.
    pub used: u64,
    /// How many more there is room for, for this tenant now.
    pub left: u64,
    /// How many collections the tenant has.
    pub collections: u32,
}

impl Room {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut writer = Writer::new(Kind::Answer, 0, 20);
        writer.u64(self.used);
        writer.u64(self.left);
        writer.u32(self.collections);
        writer.finish()
    }

    /// Reads the answer to [`Call::Health`](super::Call::Health) and to whatever changes how much is kept.
    ///
    /// # Errors
    /// `corrupt_data`, `unsupported`.
    pub fn read(answer: &[u8]) -> Result<Room> {
        let mut reader = Reader::new(Kind::Answer, 0, answer)?;
        let room = Room { used: reader.u64()?, left: reader.u64()?, collections: reader.u32()? };
        reader.finish()?;
        Ok(room)
    }
}

/// A manifest as a host keeps it: opaque to it, and numbered by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptManifest {
    /// How often it was replaced; 0 when there is none.
    pub number: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl KeptManifest {
    pub(super) fn write(&self) -> Vec<u8> {
        let mut writer = Writer::new(Kind::Answer, 0, 8 + self.bytes.len());
        writer.u64(self.number);
        writer.bytes(&self.bytes);
        writer.finish()
    }

    /// Reads the answer to [`Call::ReadManifest`](super::Call::ReadManifest).
    ///
    /// # Errors
    /// `corrupt_data`, `unsupported`.
    pub fn read(answer: &[u8]) -> Result<KeptManifest> {
        let mut reader = Reader::new(Kind::Answer, 0, answer)?;
        Ok(KeptManifest { number: reader.u64()?, bytes: reader.rest().to_vec() })
    }
}
