//! Which documents a search looks in, and what an app says about each.

use std::collections::{BTreeMap, BTreeSet};

use crate::rag::glob::Glob;
use crate::rag::no_document;
use crate::rag::retrieval::SearchOptions;
use crate::rag::store::KnowledgeStore;
use crate::{Error, Result};

/// What an app says about a document, by which searches can be narrowed down: at most 32 keys of 1 to 64 bytes without control
/// characters, each with a text, together at most 8 KiB.
pub type Metadata = BTreeMap<String, String>;

const MOST_KEYS: usize = 32;
const LONGEST_KEY: usize = 64;
const MOST_BYTES: usize = 8 << 10;
/// The most patterns of names.
const MOST_NAMES: usize = 64;

/// Refuses metadata that is too much, or has keys that nobody can write.
pub(crate) fn check_metadata(metadata: &Metadata) -> Result<()> {
    let wrong = |what: String| Err(Error::invalid_argument(what).with("argument", "metadata"));
    if metadata.len() > MOST_KEYS {
        return wrong(format!("metadata has at most {MOST_KEYS} keys"));
    }
    if let Some(key) =
        metadata.keys().find(|key| key.is_empty() || key.len() > LONGEST_KEY || key.chars().any(char::is_control))
    {
        return wrong(format!(
            "a key of metadata has 1 to {LONGEST_KEY} bytes without control characters, not {}",
            key.len()
        ));
    }
    let bytes: usize = metadata.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > MOST_BYTES {
        return wrong(format!("metadata has at most {MOST_BYTES} bytes together, not {bytes}"));
    }
    Ok(())
}

/// The patterns of names that a search is narrowed down by.
pub(super) fn patterns(names: &[String]) -> Result<Vec<Glob>> {
    if names.len() > MOST_NAMES {
        return Err(
            Error::invalid_argument(format!("names has at most {MOST_NAMES} patterns")).with("argument", "names")
        );
    }
    names.iter().map(|name| Glob::new(name)).collect()
}

/// What a search looks in.
pub(super) struct Within {
    pub documents: Vec<String>,
    pub chunks: BTreeSet<u64>,
}

/// The documents that a search looks in which has a filter, and their passages: known before anything is found, so that what is
/// left out takes no place of what is not.
pub(super) fn within(knowledge: &KnowledgeStore, options: &SearchOptions) -> Result<Within> {
    let mut named = BTreeSet::new();
    for id in &options.documents {
        if knowledge.document(id)?.is_none() {
            return Err(no_document(id));
        }
        named.insert(id.as_str());
    }
    let names = patterns(&options.names)?;
    let mut documents: Vec<String> = Vec::new();
    for document in knowledge.documents()? {
        let fits = (named.is_empty() || named.contains(document.id.as_str()))
            && options.since_ms.is_none_or(|since| document.ingested_at_ms >= since)
            && options.before_ms.is_none_or(|before| document.ingested_at_ms < before)
            && (options.formats.is_empty() || options.formats.contains(&document.format))
            && (names.is_empty() || names.iter().any(|name| name.fits(&document.name)))
            && options.metadata.iter().all(|(key, value)| document.metadata.get(key) == Some(value));
        if fits {
            documents.push(document.id);
        }
    }
    let mut chunks = BTreeSet::new();
    for document in &documents {
        chunks.extend(knowledge.chunks_of(document)?);
    }
    Ok(Within { documents, chunks })
}
