//! Keys that follow one another, and whose score follows with them.
//!
//! Of a [history of keys](crate::identity::rotation::KeyHistory) that this node keeps, the newest key has what the credentials about all
//! of them say, and what was seen and heard under any of them, good and bad. A key that was replaced has nothing any more: a key is
//! replaced because it was lost or stolen. What a score needs of the histories is written beside them, and holds also for a
//! build that cannot read them.
//!
//! Which issuers this node trusts does not follow: that is the owner's word about one key.

use std::collections::BTreeMap;

use redb::{ReadOnlyTable, ReadTransaction, ReadableTableMetadata, TableDefinition};

use crate::identity::Did;
use crate::store::existing;
use crate::{Error, Result};

/// Key → all keys of its history, 32 bytes each, the first one first.
const SUCCESSIONS: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("trust.successions");

/// The successions as one transaction sees them.
pub(super) struct Successions(Option<ReadOnlyTable<&'static [u8; 32], &'static [u8]>>);

/// A key's place among those of its history.
pub(super) enum Place {
    /// Those before it, the newest first; none for a key without a history.
    Newest(Vec<Did>),
    /// Which key the identity has now.
    Replaced(Did),
}

impl Successions {
    pub(super) fn open(transaction: &ReadTransaction) -> Result<Successions> {
        let table = existing(transaction.open_table(SUCCESSIONS))?;
        Ok(Successions(table.filter(|table| !table.is_empty().unwrap_or(false))))
    }

    pub(super) fn place(&self, key: &Did) -> Result<Place> {
        let row = self.0.as_ref().map(|table| table.get(key.public_key())).transpose()?.flatten();
        let Some(row) = row else { return Ok(Place::Newest(Vec::new())) };
        let mut keys = decode(row.value()).ok_or_else(damaged)?;
        let newest = keys.pop().ok_or_else(damaged)?;
        if newest != *key {
            return Ok(Place::Replaced(newest));
        }
        keys.reverse();
        Ok(Place::Newest(keys))
    }

    /// These weights without those of keys that were replaced; `None` where that changes nothing.
    pub(super) fn without_replaced(&self, weights: Option<&BTreeMap<Did, f64>>) -> Result<Option<BTreeMap<Did, f64>>> {
        let (Some(weights), true) = (weights, self.0.is_some()) else { return Ok(None) };
        let mut rest = BTreeMap::new();
        for (key, weight) in weights {
            if matches!(self.place(key)?, Place::Newest(_)) {
                rest.insert(*key, *weight);
            }
        }
        Ok(Some(rest))
    }

    /// All keys of who has, or had, this one, the newest first.
    pub(super) fn all_of(&self, key: &Did) -> Result<Vec<Did>> {
        match self.place(key)? {
            Place::Newest(_) => self.held_by(key),
            Place::Replaced(by) => self.held_by(&by),
        }
    }

    /// A key and those before it, the newest first; none when it was replaced.
    pub(super) fn held_by(&self, key: &Did) -> Result<Vec<Did>> {
        Ok(match self.place(key)? {
            Place::Newest(older) => std::iter::once(*key).chain(older).collect(),
            Place::Replaced(_) => Vec::new(),
        })
    }
}

fn decode(row: &[u8]) -> Option<Vec<Did>> {
    let (keys, rest) = row.as_chunks();
    if !rest.is_empty() {
        return None;
    }
    keys.iter().map(|key| Did::from_public_key(*key).ok()).collect()
}

fn damaged() -> Error {
    Error::corrupt_data("the kept histories of keys are damaged")
        .with_remedy("restore the data directory from a backup")
}

#[cfg(feature = "experimental-key-rotation")]
mod history {
    use redb::{ReadableTable, TableDefinition};

    use super::SUCCESSIONS;
    use crate::identity::Did;
    use crate::identity::rotation::KeyHistory;
    use crate::store::existing;
    use crate::trust::{TrustGraph, decode};
    use crate::{Error, Result};

    /// Identity → its statements, as a JSON array of texts.
    const HISTORIES: TableDefinition<&[u8; 32], &str> = TableDefinition::new("trust.key_histories");

    impl TrustGraph {
        /// Verifies and keeps the history of a peer's keys, so that its score follows it to the newest one. Of a history that is kept
        /// already the longer one stays, and is the result. Experimental: behind the feature `experimental-key-rotation`.
        ///
        /// # Errors
        /// As [`KeyHistory::verify`] and [`KeyHistory::merge`]; `already_exists` when one of the keys belongs to another history that
        /// is kept; `permission_denied` when it replaces the key that this node runs on. Nothing changes then.
        pub fn keep_key_history<T: AsRef<str>>(&self, statements: &[T]) -> Result<KeyHistory> {
            let shown = KeyHistory::verify(statements)?;
            let own = self.did();
            if shown.current() != own && shown.keys().any(|key| key == own) {
                // Believed, it would leave this node without its name, and at the word of whoever has a copy of its key.
                return Err(Error::permission_denied("the history replaces the key that this node runs on")
                    .with("key", own)
                    .with("current", shown.current())
                    .with_remedy("if you changed the key, start the node with the new one; if not, somebody else has the old one"));
            }
            self.store.write(|transaction| {
                let mut histories = transaction.open_table(HISTORIES)?;
                let kept = histories.get(shown.identity().public_key())?;
                let kept = kept.map(|row| read(row.value())).transpose()?;
                let history = match kept {
                    Some(kept) => kept.merge(shown)?,
                    None => shown,
                };
                let keys: Vec<Did> = history.keys().collect();
                let row: Vec<u8> = keys.iter().flat_map(|key| *key.public_key()).collect();
                let mut successions = transaction.open_table(SUCCESSIONS)?;
                for key in &keys {
                    let other = successions.get(key.public_key())?;
                    let first = row.first_chunk::<32>();
                    if other.is_some_and(|other| other.value().first_chunk::<32>() != first) {
                        return Err(Error::already_exists("a key belongs to another history that is kept already")
                            .with("key", key));
                    }
                    successions.insert(key.public_key(), row.as_slice())?;
                }
                let texts = serde_json::to_string(&history.to_statements())
                    .map_err(|error| Error::internal("a history could not be written").with_source(error))?;
                histories.insert(history.identity().public_key(), texts.as_str())?;
                Ok(history)
            })
        }

        /// The history that a key belongs to, if one is kept.
        ///
        /// # Errors
        /// `corrupt_data` when it cannot be read; failures of the disk.
        pub fn key_history(&self, key: &Did) -> Result<Option<KeyHistory>> {
            self.store.read(|transaction| {
                let Some(successions) = existing(transaction.open_table(SUCCESSIONS))? else { return Ok(None) };
                let Some(row) = successions.get(key.public_key())? else { return Ok(None) };
                let identity: &[u8; 32] = row.value().first_chunk().ok_or_else(super::damaged)?;
                let text = transaction.open_table(HISTORIES)?.get(identity)?.ok_or_else(super::damaged)?;
                read(text.value()).map(Some)
            })
        }
    }

    fn read(text: &str) -> Result<KeyHistory> {
        KeyHistory::verify(&decode::<Vec<String>>("a history of keys", text)?).map_err(|_| super::damaged())
    }
}
