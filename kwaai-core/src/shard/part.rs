//! Which bytes of a model's files are needed for some of its blocks, so that a hub is asked for no others.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::gguf::Gguf;
use super::model::{Blocks, Source, block_range};
use super::weights::{MAX_HEADER, Parts};
use crate::llm::hub::{Choose, Needed, Partial, PartialFile};
use crate::{Error, Result};

/// The header of a safetensors file is mostly shorter; 0.1 of a percent of the smallest file worth cutting.
const FIRST: u64 = 1 << 16;
/// The head of a GGUF file has the vocabulary, mostly some megabytes.
const FIRST_GGUF: u64 = 1 << 20;

/// A part of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    /// The blocks, if any.
    pub blocks: Option<Range<u32>>,
    /// Embedding, final normalisation and head.
    pub ends: bool,
}

impl Part {
    /// The heads of the files alone.
    pub const HEADS: Part = Part { blocks: None, ends: false };

    /// What is needed to load these blocks and the ends; `None` for all of a model.
    pub fn of(blocks: &Blocks) -> Option<Arc<dyn Choose>> {
        match blocks {
            Blocks::All => None,
            Blocks::None => Some(Part { blocks: None, ends: true }.chosen()),
            Blocks::Span(range) => Some(Part { blocks: Some(range.clone()), ends: true }.chosen()),
        }
    }

    pub fn chosen(self) -> Arc<dyn Choose> {
        Arc::new(self)
    }
}

impl Choose for Part {
    fn needed(&self, partial: &Partial) -> Result<Needed> {
        let mut heads = Vec::new();
        for (name, file) in partial.files() {
            let place = partial.place(name);
            // The model in another form may lie beside it.
            match name.to_ascii_lowercase().ends_with(".gguf") {
                true if place == partial.path => heads.push((name.to_owned(), head_of_gguf(&place, file)?)),
                false if partial.path.is_dir() => heads.push((name.to_owned(), head_of_safetensors(&place, file)?)),
                _ => {}
            }
        }
        let missing =
            |(name, head): &(String, Range<u64>)| partial.files().any(|(other, file)| other == name && !file.has(head));
        if heads.iter().any(missing) {
            return Ok(Needed { ranges: heads, all: false });
        }
        let source = Source::open(&partial.path)?;
        if let Source::Gguf(_, gguf) = &source
            && let Some((path, range)) = gguf.read_with_the_head()
        {
            let before = heads.len();
            heads.extend(named(partial, &path, range));
            if heads[before..].iter().any(missing) {
                return Ok(Needed { ranges: heads, all: false });
            }
        }
        let config = source.config()?;
        let blocks = self.blocks.as_ref().map_or(Ok(0..0), |blocks| block_range(blocks, &config))?;
        let weights = source.weights(&config)?;
        let places = weights.places(&config, &Parts { blocks, ends: self.ends })?;
        let tensors = places.into_iter().flat_map(|(_, place)| {
            named(partial, &place.file, place.start..place.start.saturating_add(place.bytes as u64))
        });
        heads.extend(tensors);
        Ok(Needed { ranges: heads, all: true })
    }
}

/// A range of a file by the file's name, if it may be missing.
fn named(partial: &Partial, path: &Path, range: Range<u64>) -> Option<(String, Range<u64>)> {
    partial.files().find(|(name, _)| partial.place(name) == path).map(|(name, _)| (name.to_owned(), range))
}

fn head_of_safetensors(path: &Path, file: &PartialFile) -> Result<Range<u64>> {
    if file.prefix() < 8 {
        return Ok(0..FIRST.min(file.size));
    }
    let mut length = [0; 8];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut length));
    read.map_err(|error| Error::file("read", path, error))?;
    let length = u64::from_le_bytes(length);
    // What is wrong with a longer one is said when it is read.
    Ok(0..if length > MAX_HEADER || length > file.size - 8 { 8 } else { 8 + length })
}

fn head_of_gguf(path: &Path, file: &PartialFile) -> Result<Range<u64>> {
    let have = file.prefix();
    if have == 0 {
        return Ok(0..FIRST_GGUF.min(file.size));
    }
    match Gguf::head_within(path, have)? {
        Some(end) => Ok(0..end),
        None => Ok(0..have.saturating_mul(2).max(FIRST_GGUF).min(file.size)),
    }
}
