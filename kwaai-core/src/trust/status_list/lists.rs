//! What the lists of this node, and those that it keeps, say about credentials.

use std::collections::BTreeMap;

use jiff::Timestamp;
use redb::{ReadOnlyTable, ReadTransaction};

use super::super::decode;
use super::issued::BITS;
use super::kept::{Head, KEPT, KEPT_BITS};
use super::{Rule, Status, StatusEntry, StatusListUrl, StatusPurpose, place};
use crate::Result;
use crate::identity::Did;
use crate::store::existing;

type Named<T> = Option<ReadOnlyTable<(&'static str, &'static str), T>>;

/// The lists as one transaction sees them. What is read of a list besides its bits is remembered, because it lies in a
/// text as long as the list itself.
pub(in crate::trust) struct StatusLists {
    own: Did,
    now: Timestamp,
    own_bits: Option<ReadOnlyTable<(&'static str, u32), &'static [u8]>>,
    kept: Named<&'static str>,
    kept_bits: Named<&'static [u8]>,
    issuers: BTreeMap<Did, Issuer>,
}

/// An issuer's DID as text, and its lists by name.
struct Issuer {
    did: String,
    heads: BTreeMap<String, Option<Head>>,
}

impl StatusLists {
    /// The lists as of `now`; `own` is this node's identity.
    pub(in crate::trust) fn open(transaction: &ReadTransaction, own: Did, now: Timestamp) -> Result<StatusLists> {
        Ok(StatusLists {
            own,
            now,
            own_bits: existing(transaction.open_table(BITS))?,
            kept: existing(transaction.open_table(KEPT))?,
            kept_bits: existing(transaction.open_table(KEPT_BITS))?,
            issuers: BTreeMap::new(),
        })
    }

    /// What the entries of a credential of this issuer come to: what speaks most against it.
    pub(in crate::trust) fn status(&mut self, issuer: &Did, entries: &[StatusEntry]) -> Result<Status> {
        let mut found = Status::NotRevocable;
        for entry in entries {
            found = worse(found, self.status_of(issuer, entry)?);
        }
        Ok(found)
    }

    fn status_of(&mut self, issuer: &Did, entry: &StatusEntry) -> Result<Status> {
        let set = match entry.purpose {
            StatusPurpose::Revocation => Status::Revoked,
            StatusPurpose::Suspension => Status::Suspended,
        };
        let unknown = |why: &str| Status::Unknown { why: format!("its {} list {why}", entry.purpose) };
        let (bit, fresh_until, as_of) = match self.own_list(issuer, entry) {
            Some(own) => {
                let bits =
                    self.own_bits.as_ref().map(|table| table.get((own.purpose.as_str(), own.number))).transpose()?;
                let Some(bits) = bits.flatten() else { return Ok(unknown("is not among those of this node")) };
                (bit(bits.value(), entry.index), self.now, self.now)
            }
            None => {
                let known = self
                    .issuers
                    .entry(*issuer)
                    .or_insert_with(|| Issuer { did: issuer.to_string(), heads: BTreeMap::new() });
                let key = (known.did.as_str(), entry.url.as_str());
                if !known.heads.contains_key(&entry.url) {
                    let text = self.kept.as_ref().map(|table| table.get(key)).transpose()?.flatten();
                    let head = text.map(|text| decode("a status list", text.value())).transpose()?;
                    known.heads.insert(entry.url.clone(), head);
                }
                let Some(Some(head)) = known.heads.get(&entry.url) else { return Ok(unknown("has not been fetched")) };
                if !head.purposes.iter().any(|purpose| purpose == entry.purpose.as_str()) {
                    return Ok(unknown("is kept for another purpose"));
                }
                let bits = self.kept_bits.as_ref().map(|table| table.get(key)).transpose()?.flatten();
                let bit = bits.map_or_else(
                    || Err(Rule::Retrieval.error("its bits are missing")),
                    |bits| bit(bits.value(), entry.index),
                );
                (bit, head.fresh_until, head.as_of)
            }
        };
        Ok(match bit {
            Ok(true) => set,
            Ok(false) if self.now > fresh_until => unknown(&format!("is stale since {fresh_until}")),
            Ok(false) => Status::Clear { as_of },
            Err(error) => unknown(&format!("does not have it: {error}")),
        })
    }

    /// The list of this node that an entry of one of its own credentials names.
    fn own_list(&self, issuer: &Did, entry: &StatusEntry) -> Option<StatusListUrl> {
        if *issuer != self.own {
            return None;
        }
        let own = entry.url.parse::<StatusListUrl>().ok()?;
        (own.issuer == *issuer && own.purpose == entry.purpose).then_some(own)
    }
}

fn bit(bits: &[u8], index: u64) -> Result<bool> {
    let (byte, mask) = place(bits, index)?;
    Ok(bits[byte] & mask != 0)
}

/// Of what two entries say, that which speaks more against the credential.
fn worse(a: Status, b: Status) -> Status {
    let rank = |status: &Status| match status {
        Status::NotRevocable => 0,
        Status::Clear { .. } => 1,
        Status::Unknown { .. } => 2,
        Status::Suspended => 3,
        Status::Revoked => 4,
    };
    match (a, b) {
        (Status::Clear { as_of: a }, Status::Clear { as_of: b }) => Status::Clear { as_of: a.min(b) },
        (a, b) if rank(&b) > rank(&a) => b,
        (a, _) => a,
    }
}
