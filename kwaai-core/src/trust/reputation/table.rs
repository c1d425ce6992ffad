//! The tables behind experience and recommendations.

use std::collections::BTreeMap;

use jiff::Timestamp;
use redb::{ReadableTable, TableDefinition};

use super::{MAX_WEIGHT, Pending, Said};
use crate::identity::Did;
use crate::store::{Store, existing};
use crate::trust::experience::{Evidence, Experience, Reader};
use crate::{Error, Result};

/// Peer → its experience; see `Experience::encode`.
const EXPERIENCE: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("trust.experience");

/// (recommender, about) → the weights of good and bad answers, and milliseconds since 1970, each in eight bytes.
const RECOMMENDATIONS: TableDefinition<(&[u8; 32], &[u8; 32]), &[u8]> = TableDefinition::new("trust.recommendations");

type Loaded = (BTreeMap<Did, Experience>, BTreeMap<Did, BTreeMap<Did, Said>>);

pub(super) fn load(store: &Store) -> Result<Loaded> {
    store.read(|transaction| {
        let mut experience = BTreeMap::new();
        if let Some(table) = existing(transaction.open_table(EXPERIENCE))? {
            for entry in table.iter()? {
                let (peer, row) = entry?;
                let seen = Experience::decode(row.value()).ok_or_else(|| damaged("experience"))?;
                experience.insert(key(peer.value())?, seen);
            }
        }
        let mut said: BTreeMap<Did, BTreeMap<Did, Said>> = BTreeMap::new();
        if let Some(table) = existing(transaction.open_table(RECOMMENDATIONS))? {
            for entry in table.iter()? {
                let (pair, row) = entry?;
                let (recommender, about) = pair.value();
                let word = decode(row.value()).ok_or_else(|| damaged("a recommendation"))?;
                said.entry(key(recommender)?).or_default().insert(key(about)?, word);
            }
        }
        Ok((experience, said))
    })
}

/// Adds a batch to what is there, and answers what each peer's experience became.
pub(super) fn write(store: &Store, pending: &Pending, now: Timestamp) -> Result<BTreeMap<Did, Experience>> {
    store.write(|transaction| {
        let mut merged = BTreeMap::new();
        let mut table = transaction.open_table(EXPERIENCE)?;
        for peer in &pending.forgotten {
            table.remove(peer.public_key())?;
        }
        for (peer, added) in &pending.experience {
            let mut experience = match table.get(peer.public_key())? {
                Some(row) => Experience::decode(row.value()).ok_or_else(|| damaged("experience"))?,
                None => Experience::default(),
            };
            experience.merge(added, now);
            table.insert(peer.public_key(), experience.encode().as_slice())?;
            merged.insert(*peer, experience);
        }
        let mut table = transaction.open_table(RECOMMENDATIONS)?;
        for ((recommender, about), said) in &pending.said {
            let pair = (recommender.public_key(), about.public_key());
            match said {
                Some(said) => drop(table.insert(pair, encode(said).as_slice())?),
                None => drop(table.remove(pair)?),
            }
        }
        Ok(merged)
    })
}

fn encode(said: &Said) -> [u8; 24] {
    let mut row = [0; 24];
    row[..8].copy_from_slice(&said.evidence.good.to_le_bytes());
    row[8..16].copy_from_slice(&said.evidence.bad.to_le_bytes());
    row[16..].copy_from_slice(&said.at.as_millisecond().to_le_bytes());
    row
}

fn decode(row: &[u8]) -> Option<Said> {
    let mut reader = Reader(row);
    let evidence = Evidence { good: reader.f64()?, bad: reader.f64()? };
    let at = Timestamp::from_millisecond(reader.i64()?).ok()?;
    let sound = [evidence.good, evidence.bad].iter().all(|weight| (0.0..=MAX_WEIGHT).contains(weight));
    (sound && reader.0.is_empty()).then_some(Said { evidence, at })
}

fn key(bytes: &[u8; 32]) -> Result<Did> {
    Did::from_public_key(*bytes).map_err(|_| damaged("a peer"))
}

fn damaged(what: &str) -> Error {
    Error::corrupt_data(format!("the stored reputation is damaged: {what} cannot be read"))
        .with_remedy("restore the data directory from a backup")
}
