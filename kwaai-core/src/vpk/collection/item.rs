//! What goes into a collection, and what comes out.

use serde_json::{Map, Value};

use crate::vpk::MAX_PART;
use crate::{Error, Result};

/// What the sealed form of a payload adds to it, padding included.
const SEALED: usize = 512;

/// A vector to keep.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Its id. A vector of the same id is replaced.
    pub id: u64,
    /// The vector.
    pub vector: Vec<f32>,
    /// Bytes that come back with it, such as a text.
    pub payload: Option<Vec<u8>>,
    /// Values by which hits can be chosen.
    pub metadata: Map<String, Value>,
}

/// A vector that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Hit {
    /// Its id.
    pub id: u64,
    /// The cosine or the dot product with the question.
    pub score: f64,
    /// Its payload.
    pub payload: Option<Vec<u8>>,
    /// Its metadata.
    pub metadata: Map<String, Value>,
}

impl Item {
    /// A vector without anything beside it.
    pub fn new(id: u64, vector: Vec<f32>) -> Item {
        Item { id, vector, payload: None, metadata: Map::new() }
    }

    /// The same with a payload.
    pub fn with_payload(mut self, payload: impl Into<Vec<u8>>) -> Item {
        self.payload = Some(payload.into());
        self
    }

    /// The same with metadata.
    pub fn with_metadata(mut self, metadata: Map<String, Value>) -> Item {
        self.metadata = metadata;
        self
    }

    /// Payload and metadata as one; `None` when there are neither. The length of the metadata, the metadata as JSON, and the
    /// payload behind one byte that says whether there is one.
    pub(super) fn packed(&self) -> Result<Option<Vec<u8>>> {
        if self.payload.is_none() && self.metadata.is_empty() {
            return Ok(None);
        }
        let metadata = serde_json::to_vec(&self.metadata)
            .map_err(|error| Error::invalid_argument("the metadata cannot be written as JSON").with_source(error))?;
        let mut packed = (metadata.len() as u32).to_le_bytes().to_vec();
        packed.extend_from_slice(&metadata);
        packed.push(u8::from(self.payload.is_some()));
        packed.extend_from_slice(self.payload.as_deref().unwrap_or_default());
        if packed.len() + SEALED > MAX_PART {
            return Err(Error::invalid_argument("payload and metadata are too long for one call")
                .with("bytes", packed.len())
                .with("limit", MAX_PART - SEALED));
        }
        Ok(Some(packed))
    }
}

type Unpacked = (Option<Vec<u8>>, Map<String, Value>);

/// Payload and metadata of a vector, as they were packed.
pub(super) fn unpack(packed: &[u8]) -> Result<Unpacked> {
    let damaged = || Error::corrupt_data("a stored payload is damaged");
    let (length, rest) = packed.split_first_chunk::<4>().ok_or_else(damaged)?;
    let (metadata, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or_else(damaged)?;
    let metadata = serde_json::from_slice(metadata).map_err(|error| damaged().with_source(error))?;
    match rest.split_first() {
        Some((0, [])) => Ok((None, metadata)),
        Some((1, payload)) => Ok((Some(payload.to_vec()), metadata)),
        _ => Err(damaged()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_packed_comes_back_and_nothing_else_is_read() {
        let metadata = json!({"language": "de"}).as_object().unwrap().clone();
        let item = Item::new(1, vec![1.0]);
        assert_eq!(item.packed().unwrap(), None);
        for item in [
            item.clone().with_payload(*b"text"),
            item.clone().with_payload(*b""),
            item.clone().with_metadata(metadata.clone()),
            item.clone().with_payload(*b"text").with_metadata(metadata),
        ] {
            let packed = item.packed().unwrap().unwrap();
            assert_eq!(unpack(&packed).unwrap(), (item.payload.clone(), item.metadata.clone()));
            for cut in 0..packed.len() {
                // A payload cut short is a payload; what seals it has checked its length.
                let read = unpack(&packed[..cut]);
                assert!(read.is_err() || item.payload.is_some(), "cut at {cut}");
            }
        }
        let golden = b"\x02\0\0\0{}\x01text";
        assert_eq!(item.clone().with_payload(*b"text").packed().unwrap().unwrap(), golden);
        assert!(item.with_payload(vec![0; MAX_PART]).packed().is_err());
    }
}
