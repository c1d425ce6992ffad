//! The lists of other issuers that this node keeps, and what they say.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::credential::{Credential, Validity};
use super::super::{TrustGraph, decode, encode};
use super::{
    Bitstring, DEFAULT_TTL, MAX_URL, MIN_STATUS_ENTRIES, Rule, STATUS_URN, Status, StatusListUrl, StatusLists,
    StatusPurpose, entries,
};
use crate::identity::Did;
use crate::store::existing;
use crate::{Error, Result};

/// (issuer, name of the list, identifier of a kept credential that names it).
const NAMED: TableDefinition<(&str, &str, &str), ()> = TableDefinition::new("trust.status.named");

/// (issuer, name of the list) → the list as it was signed, and what was read from it.
pub(super) const KEPT: TableDefinition<(&str, &str), &str> = TableDefinition::new("trust.status.kept");

/// (issuer, name of the list) → its bits.
pub(super) const KEPT_BITS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("trust.status.kept_bits");

/// So many lists are kept of an issuer that this node does not trust for anything.
const MAX_LISTS_OF_OTHERS: usize = 4;

/// How far ahead an issuer's clock may go.
pub(super) const SKEW: Duration = Duration::from_secs(5 * 60);

/// No list is fresh for longer, whatever it says of itself.
const MAX_TTL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Comes behind every name of a list and every identifier, none of which has this character.
const LAST: &str = "\u{10ffff}";

/// A list of another issuer that this node keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptStatusList {
    /// Who signed it.
    pub issuer: Did,
    /// Its name, as credentials write it.
    pub url: String,
    /// What its bits may mean.
    pub purposes: Vec<StatusPurpose>,
    /// Since when it holds: its `validFrom`.
    pub as_of: Timestamp,
    /// Until when it is fresh.
    pub fresh_until: Timestamp,
    /// How many entries it has.
    pub entries: u64,
}

/// A list that this node has no fresh copy of, and that one of its credentials names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct WantedStatusList {
    /// Who signs it.
    pub issuer: Did,
    /// Its name.
    pub url: String,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    #[serde(flatten)]
    head: Head,
    credential: String,
}

/// What was read of a kept list, besides its bits.
#[derive(Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) purposes: Vec<String>,
    #[serde(with = "super::instant")]
    pub(super) as_of: Timestamp,
    #[serde(with = "super::instant")]
    pub(super) fresh_until: Timestamp,
}

impl Head {
    /// A new copy is wanted from the middle of its time on, so that there is time to find one.
    fn is_due(&self, now: Timestamp) -> bool {
        is_due(self.as_of, self.fresh_until, now)
    }
}

fn is_due(as_of: Timestamp, fresh_until: Timestamp, now: Timestamp) -> bool {
    now.duration_since(as_of) * 2 >= fresh_until.duration_since(as_of)
}

impl TrustGraph {
    /// Checks a status list and keeps it, wherever it came from. A list that one of the kept credentials names is kept, and
    /// no other: peers cannot fill the disk with lists. The same list again changes nothing.
    ///
    /// # Errors
    /// With `rule` in the context:
    /// `STATUS_VERIFICATION_ERROR` (`corrupt_data`) when its proof does not hold, when it is not in force, when somebody else
    /// than the issuer in its name signed it, or when a newer one is kept already;
    /// `STATUS_LIST_LENGTH_ERROR` and `MALFORMED_VALUE_ERROR` (`invalid_argument`) when it is too short or no status list;
    /// `STATUS_RETRIEVAL_ERROR` (`not_found`) when no kept credential names it.
    /// `resource_exhausted` when it is longer than what is read, and of an issuer that this node does not trust for anything, when it
    /// is longer than the shortest list or four others of that issuer are kept.
    pub async fn keep_status_list(&self, json: &str) -> Result<KeptStatusList> {
        let now = self.clock.now();
        let refused = |error: Error| error.with("rule", Rule::Verification.as_str());
        let credential = Credential::verify(json, now).map_err(refused)?;
        let (list, bits) = read(&credential, now)?;
        let head = Head {
            purposes: list.purposes.iter().map(ToString::to_string).collect(),
            as_of: list.as_of,
            fresh_until: list.fresh_until,
        };
        let kept = Kept { head, credential: credential.to_json() };
        // Who is no named issuer may have its lists kept for a link or an endorsement, and keys cost nothing.
        let named = self.trusted_types()?.contains_key(&list.issuer);
        if !named && list.entries > MIN_STATUS_ENTRIES as u64 {
            return Err(Error::resource_exhausted(format!(
                "of an issuer that this node does not trust, lists of {MIN_STATUS_ENTRIES} entries are kept, not of {}",
                list.entries
            ))
            .with("limit", MIN_STATUS_ENTRIES)
            .with_remedy("trust the issuer first"));
        }
        let most = if named { usize::MAX } else { MAX_LISTS_OF_OTHERS };
        let (issuer, url) = (list.issuer.to_string(), list.url.clone());
        self.store.write_async(move |transaction| insert(transaction, &issuer, &url, &kept, &bits, most)).await?;
        Ok(list)
    }

    /// Keeps a list that was asked for, and says whether it settles the want: it is that list, and its copy is young.
    pub(crate) async fn settle_status_list(&self, wanted: &WantedStatusList, json: &str) -> Result<bool> {
        let list = self.keep_status_list(json).await?;
        let is_it = list.issuer == wanted.issuer && list.url == wanted.url;
        Ok(is_it && !is_due(list.as_of, list.fresh_until, self.clock.now()))
    }

    /// The names of the lists of others that this node keeps, in a fixed order.
    pub(crate) fn kept_status_lists(&self) -> Result<Vec<String>> {
        self.store.read(|transaction| {
            let Some(table) = existing(transaction.open_table(KEPT))? else { return Ok(Vec::new()) };
            table.iter()?.map(|entry| Ok(entry?.0.value().1.to_owned())).collect()
        })
    }

    /// What this node knows about the withdrawal of a credential. For its own credentials it knows everything; for others
    /// it goes by the lists that it keeps.
    pub fn status(&self, credential: &Credential) -> Result<Status> {
        let entries = match entries(credential) {
            Ok(entries) if entries.is_empty() => return Ok(Status::NotRevocable),
            Ok(entries) => entries,
            Err(error) => return Ok(Status::Unknown { why: format!("its status cannot be read: {error}") }),
        };
        let (own, now) = (self.did(), self.clock.now());
        self.store.read(|transaction| StatusLists::open(transaction, own, now)?.status(&credential.issuer(), &entries))
    }

    /// The lists that this node wants: those that its credentials name and of which it has no copy, or one past the middle
    /// of its time. Those of trusted issuers come first, otherwise in a fixed order.
    pub fn wanted_status_lists(&self) -> Result<Vec<WantedStatusList>> {
        self.wanted(None)
    }

    /// Those of these issuers among the lists that this node wants.
    pub(crate) fn wanted_of(&self, issuers: &BTreeSet<Did>) -> Result<Vec<WantedStatusList>> {
        self.wanted(Some(issuers))
    }

    fn wanted(&self, issuers: Option<&BTreeSet<Did>>) -> Result<Vec<WantedStatusList>> {
        let (now, own, trusted) = (self.clock.now(), self.did(), self.trusted_types()?);
        self.store.read(|transaction| {
            let Some(named) = existing(transaction.open_table(NAMED))? else { return Ok(Vec::new()) };
            let mut wanted = BTreeSet::new();
            let mut place = (String::new(), String::new());
            // From each list to the next, past the many credentials that may name one.
            while let Some(entry) = named.range((place.0.as_str(), place.1.as_str(), LAST)..)?.next() {
                let (key, _) = entry?;
                let (issuer, url, _) = key.value();
                place = (issuer.to_owned(), url.to_owned());
                let did: Did = issuer.parse()?;
                let asked = did != own && issuers.is_none_or(|issuers| issuers.contains(&did));
                if asked && kept::<Head>(transaction, issuer, url)?.is_none_or(|head| head.is_due(now)) {
                    wanted.insert(WantedStatusList { issuer: did, url: url.into() });
                }
            }
            let mut wanted: Vec<WantedStatusList> = wanted.into_iter().collect();
            wanted.sort_by_key(|list| !trusted.contains_key(&list.issuer));
            Ok(wanted)
        })
    }

    /// A signed status list to hand out: one of this node's own, or one that it keeps.
    ///
    /// # Errors
    /// `not_found` with the rule `STATUS_RETRIEVAL_ERROR` when it has neither; what the signer answers.
    pub async fn status_list(&self, issuer: &Did, url: &str) -> Result<String> {
        if *issuer == self.did()
            && let Ok(own) = url.parse::<StatusListUrl>()
            && own.issuer == *issuer
        {
            return self.own_list(own).await;
        }
        let (issuer, name) = (issuer.to_string(), url.to_owned());
        let found = self.store.read_async(move |transaction| kept::<Kept>(transaction, &issuer, &name)).await?;
        found.map(|kept| kept.credential).ok_or_else(|| {
            Rule::Retrieval
                .error(format!("this node keeps no status list {url:.120?}"))
                .with_remedy("ask its issuer, or another peer")
        })
    }
}

/// What a verified credential says as a status list, and its bits.
fn read(credential: &Credential, now: Timestamp) -> Result<(KeptStatusList, Bitstring)> {
    let malformed = |why: &str| Rule::Malformed.error(format!("the status list {why}"));
    let unverified = |why: String| Rule::Verification.error(format!("the status list {why}"));
    let summary = credential.summary();
    if !summary.types.iter().any(|name| name == "BitstringStatusListCredential") {
        return Err(malformed("is not of the type BitstringStatusListCredential"));
    }
    let url = credential.document().get("id").and_then(Value::as_str).filter(|url| url.len() <= MAX_URL);
    let url = url.ok_or_else(|| malformed("has no id, or a very long one"))?;
    let subject = credential.claims().ok_or_else(|| malformed("has several subjects"))?;
    if subject.get("type").and_then(Value::as_str) != Some("BitstringStatusList") {
        return Err(malformed("has a subject that is not of the type BitstringStatusList"));
    }
    let purposes = purposes(subject).ok_or_else(|| malformed("has no statusPurpose that is read"))?;
    if url.starts_with(STATUS_URN) {
        let name: StatusListUrl = url.parse()?;
        if name.issuer != summary.issuer {
            return Err(unverified(format!("is named after {} and signed by {}", name.issuer, summary.issuer)));
        }
        if purposes != [name.purpose] {
            return Err(unverified(format!("is named after {} and made for another purpose", name.purpose)));
        }
    }
    let as_of = summary.valid_from.ok_or_else(|| malformed("has no validFrom, so nobody can tell its age"))?;
    let skewed = now.checked_add(SKEW).unwrap_or(now);
    if as_of > skewed {
        return Err(unverified(format!("holds only from {as_of} on")));
    }
    if summary.validity(now) == Validity::Expired {
        return Err(unverified("has expired".into()));
    }
    let lifetime = ttl(subject)?.unwrap_or(DEFAULT_TTL).min(MAX_TTL);
    let fresh_until = as_of.checked_add(lifetime).unwrap_or(Timestamp::MAX);
    let encoded = subject.get("encodedList").and_then(Value::as_str);
    let bits = Bitstring::decode(encoded.ok_or_else(|| malformed("has no encodedList"))?)?;
    let list = KeptStatusList {
        issuer: summary.issuer,
        url: url.into(),
        purposes,
        as_of,
        fresh_until: summary.valid_until.map_or(fresh_until, |end| end.min(fresh_until)),
        entries: bits.entries(),
    };
    Ok((list, bits))
}

fn purposes(subject: &Map<String, Value>) -> Option<Vec<StatusPurpose>> {
    let names = match subject.get("statusPurpose")? {
        Value::Array(names) => names.as_slice(),
        single => std::slice::from_ref(single),
    };
    let known: BTreeSet<StatusPurpose> = names.iter().filter_map(|name| name.as_str()?.parse().ok()).collect();
    Some(known.into_iter().collect()).filter(|known: &Vec<StatusPurpose>| !known.is_empty())
}

fn ttl(subject: &Map<String, Value>) -> Result<Option<Duration>> {
    subject.get("ttl").map_or(Ok(None), |ttl| {
        let milliseconds = ttl.as_u64().filter(|ttl| *ttl > 0);
        let read = milliseconds.map(|milliseconds| Some(Duration::from_millis(milliseconds)));
        read.ok_or_else(|| Rule::Malformed.error("the status list's ttl is no positive number of milliseconds"))
    })
}

/// Keeps a list unless `most` others of its issuer are kept.
fn insert(
    transaction: &WriteTransaction,
    issuer: &str,
    url: &str,
    new: &Kept,
    bits: &Bitstring,
    most: usize,
) -> Result<()> {
    let named = transaction.open_table(NAMED)?;
    if named.range((issuer, url, "")..(issuer, url, LAST))?.next().is_none() {
        return Err(Rule::Retrieval
            .error("no credential that this node keeps names this status list")
            .with_remedy("import the credential first"));
    }
    let mut table = transaction.open_table(KEPT)?;
    let held: Option<Head> = table.get((issuer, url))?.map(|kept| decode("a status list", kept.value())).transpose()?;
    let mut all_bits = transaction.open_table(KEPT_BITS)?;
    if held.is_none() && table.range((issuer, "")..(issuer, LAST))?.take(most).count() == most {
        return Err(Error::resource_exhausted("so many lists of this issuer are kept already")
            .with("limit", most)
            .with_remedy("trust the issuer first"));
    }
    if let Some(held) = held {
        let same = all_bits.get((issuer, url))?.is_some_and(|held| held.value() == bits.0);
        // Of two lists of one instant nobody can say which is the newer, so the second does not replace the first. Nor does a copy
        // of it that holds less long: anybody can add a proof.
        let as_of = new.head.as_of;
        if as_of == held.as_of && same && !holds_longer(&table, (issuer, url), new)? {
            return Ok(());
        }
        if as_of < held.as_of || (as_of == held.as_of && !same) {
            return Err(Rule::Verification
                .error(format!("a newer status list is kept, of {}; this one is of {}", held.as_of, as_of))
                .with("held", held.as_of)
                .with("offered", as_of));
        }
    }
    table.insert((issuer, url), encode(new)?.as_str())?;
    all_bits.insert((issuer, url), bits.0.as_slice())?;
    Ok(())
}

/// Whether the proofs of a copy end later than those of the kept one.
fn holds_longer(table: &Table<'_, (&str, &str), &str>, key: (&str, &str), new: &Kept) -> Result<bool> {
    let until =
        |kept: &Kept| Credential::parse(&kept.credential).map(|copy| copy.proof_until().unwrap_or(Timestamp::MAX));
    let held = table.get(key)?.map(|kept| decode::<Kept>("a status list", kept.value())).transpose()?;
    held.map_or(Ok(true), |held| Ok(until(new)? > until(&held)?))
}

/// A kept list: the whole [`Kept`], or its [`Head`].
fn kept<T: DeserializeOwned>(transaction: &ReadTransaction, issuer: &str, url: &str) -> Result<Option<T>> {
    let Some(table) = existing(transaction.open_table(KEPT))? else { return Ok(None) };
    table.get((issuer, url))?.map(|kept| decode("a status list", kept.value())).transpose()
}

/// Remembers which lists a credential names, in the transaction that keeps it.
pub(in crate::trust) fn link(transaction: &WriteTransaction, credential: &Credential) -> Result<()> {
    let Ok(entries) = entries(credential) else { return Ok(()) };
    if entries.is_empty() {
        return Ok(());
    }
    let mut named = transaction.open_table(NAMED)?;
    let issuer = credential.issuer().to_string();
    for entry in entries {
        named.insert((issuer.as_str(), entry.url.as_str(), credential.id()), ())?;
    }
    Ok(())
}

/// Forgets which lists a credential names, and those lists that no other names, in the transaction that removes it.
pub(in crate::trust) fn unlink(transaction: &WriteTransaction, credential: &Credential) -> Result<()> {
    let Ok(entries) = entries(credential) else { return Ok(()) };
    if entries.is_empty() {
        return Ok(());
    }
    let mut named = transaction.open_table(NAMED)?;
    let issuer = credential.issuer().to_string();
    for entry in entries {
        let (issuer, url) = (issuer.as_str(), entry.url.as_str());
        named.remove((issuer, url, credential.id()))?;
        if named.range((issuer, url, "")..(issuer, url, LAST))?.next().is_none() {
            transaction.open_table(KEPT)?.remove((issuer, url))?;
            transaction.open_table(KEPT_BITS)?.remove((issuer, url))?;
        }
    }
    Ok(())
}
