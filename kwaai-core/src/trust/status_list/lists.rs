//! What the lists of this node, and those that it keeps, say about credentials.

use std::collections::BTreeMap;

use jiff::Timestamp;
use redb::{AccessGuard, ReadOnlyTable, ReadTransaction};

use super::super::decode;
use super::issued::BITS;
use super::kept::{Head, KEPT, KEPT_BITS};
use super::{Rule, Status, StatusEntry, StatusListUrl, StatusPurpose, place};
use crate::Result;
use crate::identity::Did;
use crate::store::existing;

/// The bits of so many lists are held at a time: 1 MiB at their usual length, 64 MiB at the most.
const MAX_HELD: usize = 64;

type Bits = AccessGuard<'static, &'static [u8]>;
type Named<T> = Option<ReadOnlyTable<(&'static str, &'static str), T>>;

/// The lists as one transaction sees them. A list that was looked up is held, because many credentials name one.
pub(in crate::trust) struct StatusLists {
    own: Did,
    now: Timestamp,
    own_bits: Option<ReadOnlyTable<(&'static str, u32), &'static [u8]>>,
    kept: Named<&'static str>,
    kept_bits: Named<&'static [u8]>,
    held: BTreeMap<Did, BTreeMap<String, List>>,
    count: usize,
}

enum List {
    Absent(&'static str),
    Own(StatusPurpose, Bits),
    Kept(Head, Option<Bits>),
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
            held: BTreeMap::new(),
            count: 0,
        })
    }

    /// What the entries of a credential of this issuer come to: what speaks most against it.
    pub(in crate::trust) fn status(&mut self, issuer: &Did, entries: &[StatusEntry]) -> Result<Status> {
        let mut found = Status::NotRevocable;
        for entry in entries {
            if self.held.get(issuer).is_none_or(|lists| !lists.contains_key(&entry.url)) {
                let list = self.look_up(issuer, &entry.url)?;
                if self.count == MAX_HELD {
                    self.held.clear();
                    self.count = 0;
                }
                self.held.entry(*issuer).or_default().insert(entry.url.clone(), list);
                self.count += 1;
            }
            if let Some(list) = self.held.get(issuer).and_then(|lists| lists.get(&entry.url)) {
                found = worse(found, list.status(entry, self.now));
            }
        }
        Ok(found)
    }

    fn look_up(&self, issuer: &Did, url: &str) -> Result<List> {
        if *issuer == self.own
            && let Ok(own) = url.parse::<StatusListUrl>()
            && own.issuer == self.own
        {
            let bits = self.own_bits.as_ref().map(|table| table.get((own.purpose.as_str(), own.number)));
            let bits = bits.transpose()?.flatten();
            return Ok(
                bits.map_or(List::Absent("is not among those of this node"), |bits| List::Own(own.purpose, bits))
            );
        }
        let issuer = issuer.to_string();
        let key = (issuer.as_str(), url);
        let text = self.kept.as_ref().map(|table| table.get(key)).transpose()?.flatten();
        let Some(text) = text else { return Ok(List::Absent("has not been fetched")) };
        let bits = self.kept_bits.as_ref().map(|table| table.get(key)).transpose()?.flatten();
        Ok(List::Kept(decode("a status list", text.value())?, bits))
    }
}

impl List {
    fn status(&self, entry: &StatusEntry, now: Timestamp) -> Status {
        let unknown = |why: &str| Status::Unknown { why: format!("its {} list {why}", entry.purpose) };
        let (serves, bits, fresh_until, as_of) = match self {
            List::Absent(why) => return unknown(why),
            List::Own(purpose, bits) => (*purpose == entry.purpose, Some(bits), now, now),
            List::Kept(head, bits) => {
                let serves = head.purposes.iter().any(|purpose| purpose == entry.purpose.as_str());
                (serves, bits.as_ref(), head.fresh_until, head.as_of)
            }
        };
        if !serves {
            return unknown("is kept for another purpose");
        }
        let bits = bits.ok_or_else(|| Rule::Retrieval.error("its bits are missing"));
        match bits.and_then(|bits| bit(bits.value(), entry.index)) {
            Ok(true) if entry.purpose == StatusPurpose::Suspension => Status::Suspended,
            Ok(true) => Status::Revoked,
            Ok(false) if now > fresh_until => unknown(&format!("is stale since {fresh_until}")),
            Ok(false) => Status::Clear { as_of },
            Err(error) => unknown(&format!("does not have it: {error}")),
        }
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
