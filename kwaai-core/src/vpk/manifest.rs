//! What the owner remembers of a collection, in a form that hosts may keep for it.

use sha2::{Digest as _, Sha256};

use super::key::{CollectionKey, Purpose};
use super::payload;
use super::segment::{MAX_SEGMENT, NONCE, SegmentStamp};
use super::wire::{Kind, Reader, Writer, damaged};
use super::{MAX_DIMENSION, Metric, Mode};
use crate::{Error, Result};

/// A vector that was not deleted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Entry {
    /// The id under which the owner knows it.
    pub id: u64,
    /// How long it was, for dot products.
    pub length: f32,
    /// The version of its payload; 0 when it has none.
    pub payload: u32,
}

/// The segments of a collection, and which vector is where.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Counted up by [`seal`](Manifest::seal).
    pub sequence: u64,
    /// How the vectors are hidden.
    pub mode: Mode,
    /// How many coordinates each has.
    pub dimension: u32,
    /// How they are compared.
    pub metric: Metric,
    /// In the order in which the hosts got them; for each place the vector, `None` where it was deleted.
    pub segments: Vec<(SegmentStamp, Vec<Option<Entry>>)>,
}

/// The one state of a manifest that counts. It is small, and the owner keeps it itself: who has it cannot be given an older
/// state, nor another one of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Anchor {
    /// The number of the state.
    pub sequence: u64,
    /// The SHA-256 of the sealed manifest.
    pub digest: [u8; 32],
}

impl Anchor {
    /// Of a sealed manifest.
    pub(super) fn of(sequence: u64, sealed: &[u8]) -> Anchor {
        Anchor { sequence, digest: Sha256::digest(sealed).into() }
    }
}

impl Manifest {
    /// The manifest of a collection without vectors.
    ///
    /// # Errors
    /// `invalid_argument` for a dimension of 0 or above [`MAX_DIMENSION`].
    pub fn new(mode: Mode, dimension: usize, metric: Metric) -> Result<Manifest> {
        if dimension == 0 || dimension > MAX_DIMENSION {
            return Err(Error::invalid_argument(format!(
                "private vectors have 1 to {MAX_DIMENSION} dimensions, not {dimension}"
            )));
        }
        Ok(Manifest { sequence: 0, mode, dimension: dimension as u32, metric, segments: Vec::new() })
    }

    /// Counts up, and encrypts the state. The anchor must be kept before the bytes are given away.
    ///
    /// # Errors
    /// `invalid_argument` when a segment has another number of entries than vectors; `resource_exhausted` when the count ends.
    pub fn seal(&mut self, key: &CollectionKey) -> Result<(Vec<u8>, Anchor)> {
        if self.segments.iter().any(|(stamp, entries)| stamp.vectors as usize != entries.len()) {
            return Err(Error::invalid_argument("a segment has an entry for each of its vectors"));
        }
        let next = self.sequence.checked_add(1);
        let sequence = next.ok_or_else(|| Error::resource_exhausted("there are no states left"))?;
        let mut writer = Writer::new(Kind::Manifest, self.mode as u8, 64);
        writer.u64(sequence);
        writer.u32(self.dimension);
        writer.u32(u32::from(self.metric == Metric::Dot));
        writer.u32(self.segments.len() as u32);
        for (stamp, entries) in &self.segments {
            writer.bytes(&stamp.nonce);
            writer.u32(stamp.vectors);
            for entry in entries {
                writer.u32(u32::from(entry.is_some()));
                if let Some(entry) = entry {
                    writer.u64(entry.id);
                    writer.u32(entry.length.to_bits());
                    writer.u32(entry.payload);
                }
            }
        }
        let sealed = payload::seal(key, Purpose::Manifest, Kind::Manifest, &[], &writer.finish())?;
        self.sequence = sequence;
        let anchor = Anchor::of(sequence, &sealed);
        Ok((sealed, anchor))
    }

    /// Decrypts a state, which must be the one of the anchor or, without an anchor, may be any that this key has sealed.
    ///
    /// # Errors
    /// `conflict` when it is another state than the anchor's: an older one, or a second one of the same number; `corrupt_data`
    /// when it was changed, or sealed by another key.
    pub fn open(key: &CollectionKey, sealed: &[u8], anchor: Option<&Anchor>) -> Result<Manifest> {
        let clear = payload::open(key, Purpose::Manifest, Kind::Manifest, &[], sealed)?;
        let manifest = Manifest::read(&clear)?;
        match anchor {
            Some(anchor) if anchor.digest != <[u8; 32]>::from(Sha256::digest(sealed)) => {
                Err(Error::conflict("the host keeps another state of the collection than the owner")
                    .with("found", manifest.sequence)
                    .with("expected", anchor.sequence)
                    .with_remedy("take the state from another host, or from a backup"))
            }
            _ => Ok(manifest),
        }
    }

    fn read(clear: &[u8]) -> Result<Manifest> {
        let mode = Mode::ALL.into_iter().find(|mode| clear.get(5) == Some(&(*mode as u8)));
        let mode = mode.ok_or_else(|| damaged("it has an unknown privacy mode"))?;
        let mut reader = Reader::new(Kind::Manifest, mode as u8, clear)?;
        let sequence = reader.u64()?;
        let dimension = reader.u32()?;
        let metric = match reader.u32()? {
            0 => Metric::Cosine,
            1 => Metric::Dot,
            _ => return Err(damaged("it has an unknown metric")),
        };
        let mut manifest = Manifest { sequence, ..Manifest::new(mode, dimension as usize, metric)? };
        for _ in 0..reader.u32()? {
            let stamp = SegmentStamp { nonce: reader.array::<NONCE>()?, vectors: reader.u32()? };
            if stamp.vectors as usize > MAX_SEGMENT {
                return Err(damaged("a segment cannot hold so many vectors"));
            }
            let mut entries = Vec::new();
            for _ in 0..stamp.vectors {
                entries.push(match reader.u32()? {
                    0 => None,
                    1 => {
                        Some(Entry { id: reader.u64()?, length: f32::from_bits(reader.u32()?), payload: reader.u32()? })
                    }
                    _ => return Err(damaged("an entry has an unknown form")),
                });
            }
            manifest.segments.push((stamp, entries));
        }
        reader.finish()?;
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ErrorCode;

    fn manifest() -> Manifest {
        let mut manifest = Manifest::new(Mode::Seal, 384, Metric::Dot).unwrap();
        let entry = |id| Some(Entry { id, length: 1.5, payload: 1 });
        manifest.segments.push((SegmentStamp { nonce: [1; 24], vectors: 3 }, vec![entry(4), None, entry(u64::MAX)]));
        manifest.segments.push((SegmentStamp { nonce: [2; 24], vectors: 1 }, vec![entry(5)]));
        manifest
    }

    #[test]
    fn the_state_that_counts_opens_and_no_older_or_other_one() {
        let key = CollectionKey::generate().unwrap();
        let mut manifest = manifest();
        let (first, old) = manifest.seal(&key).unwrap();
        let before = manifest.clone();
        manifest.segments[0].1[0] = None;
        let mut fork = manifest.clone();
        let (second, anchor) = manifest.seal(&key).unwrap();
        let (other, _) = fork.seal(&key).unwrap();
        assert_eq!(anchor.sequence, 2);
        assert_eq!(Manifest::open(&key, &second, Some(&anchor)).unwrap(), manifest);
        assert_eq!(Manifest::open(&key, &first, Some(&old)).unwrap(), before);
        assert_eq!(Manifest::open(&key, &first, None).unwrap(), before, "a new device has no anchor yet");
        for rolled_back in [&first, &other] {
            let error = Manifest::open(&key, rolled_back, Some(&anchor)).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Conflict);
        }
        let mut changed = second.clone();
        changed[40] ^= 1;
        assert_eq!(Manifest::open(&key, &changed, Some(&anchor)).unwrap_err().code(), ErrorCode::CorruptData);
        let stranger = CollectionKey::generate().unwrap();
        assert_eq!(Manifest::open(&stranger, &second, None).unwrap_err().code(), ErrorCode::CorruptData);
    }

    #[test]
    fn a_segment_without_its_entries_is_refused_and_nothing_is_counted() {
        let mut manifest = manifest();
        manifest.segments[0].1.pop();
        let key = CollectionKey::generate().unwrap();
        assert_eq!(manifest.seal(&key).unwrap_err().code(), ErrorCode::InvalidArgument);
        assert_eq!(manifest.sequence, 0);
    }

    #[test]
    fn the_form_of_a_state_is_on_record() {
        // Mode 2, sequence 9, 384 dimensions, dot products, one segment with one vector.
        let golden = [
            &b"KVP\x05\x01\x02\x09\0\0\0\0\0\0\0\x80\x01\0\0\x01\0\0\0\x01\0\0\0"[..],
            &[2; 24],
            b"\x01\0\0\0\x01\0\0\0\x05\0\0\0\0\0\0\0\0\0\xc0\x3f\x01\0\0\0",
        ]
        .concat();
        let mut expected = manifest();
        expected.sequence = 9;
        expected.segments.remove(0);
        assert_eq!(Manifest::read(&golden).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_fall(bytes in proptest::collection::vec(any::<u8>(), 0..200), mode in 1u8..4) {
            let _ = Manifest::read(&bytes);
            let _ = Manifest::read(&[&[b'K', b'V', b'P', 5, 1, mode][..], &bytes].concat());
        }
    }
}
