//! What a score needs of each kept credential, in one row for each subject.
//!
//! Under a passphrase nothing is written down here, since a row says in the clear who issued what about whom.
//!
//! A proof is checked when its credential is kept, and need not be checked again for every score: the row is written in
//! the same transaction as the credential, so both are there or neither. Who can write the database could as well name
//! himself an issuer.
//!
//! A row is a version, then for each credential its identifier and issuer (32 bytes each), the name of its type, flags,
//! and the instants and reports that the flags announce; numbers are little-endian. A report is, of an uptime, the share as
//! a 64-bit float and the seconds of observation, of a throughput its rate as a float; NaN and the smallest number of
//! seconds stand for what could not be read. Of one side of a link, a byte follows for what its issuer is. Of a credential that its issuer may withdraw, the entries of its status follow: their
//! number, and of each a byte for its purpose, its index, and the length and text of its list's name; none when they cannot be
//! read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};

use super::super::binding::link_type;
use super::super::claims::{Claims, LinkType};
use super::super::credential::{Credential, CredentialType, Validity};
use super::super::experience::Reader;
use super::super::json;
use super::super::status_list::{self, MAX_ENTRIES, MAX_URL, StatusEntry, StatusPurpose};
use super::super::threshold::Reported;
use crate::identity::Did;
use crate::store::{Store, existing};
use crate::{Error, Result};

/// Subject → the facts of the credentials about it.
const FACTS: TableDefinition<&[u8; 32], &[u8]> = TableDefinition::new("trust.facts");

/// (issuer, subject) of every kept endorsement.
const ENDORSED: TableDefinition<(&[u8; 32], &[u8; 32]), ()> = TableDefinition::new("trust.endorsed");

const VERSION: u8 = 4;
/// The bytes of one credential in a row are no fewer: its identifier, its issuer, the length of its type and its flags.
const LEAST: usize = 66;
const ID_PREFIX: &str = "urn:kwaai:vc:";

const REVOCABLE: u8 = 1;
const FROM: u8 = 2;
const UNTIL: u8 = 4;
const PROOF_UNTIL: u8 = 8;
const REPORTED: u8 = 16;
const MALFORMED: u8 = 32;
const LINK: u8 = 64;

/// What a score needs of one credential.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Facts {
    pub(crate) id: [u8; 32],
    pub(crate) issuer: [u8; 32],
    pub(crate) kind: Option<CredentialType>,
    pub(crate) revocable: bool,
    /// Where to look whether it was withdrawn; none when it cannot be withdrawn, or its entries cannot be read.
    pub(crate) status: Vec<StatusEntry>,
    pub(crate) valid_from: Option<Timestamp>,
    pub(crate) valid_until: Option<Timestamp>,
    pub(crate) proof_until: Option<Timestamp>,
    pub(crate) reported: Option<Reported>,
    /// Whether what it claims cannot be meant; see [`Claims::check`].
    pub(crate) malformed: bool,
    /// What the issuer is to the subject, where the credential is one side of a link.
    pub(crate) link: Option<LinkType>,
}

impl Facts {
    pub(crate) fn of(credential: &Credential) -> Option<Facts> {
        let summary = credential.summary();
        Some(Facts {
            id: json::unhex(summary.id.strip_prefix(ID_PREFIX)?)?,
            issuer: *summary.issuer.public_key(),
            kind: summary.kind,
            revocable: credential.is_revocable(),
            status: status_list::entries(credential).unwrap_or_default(),
            valid_from: summary.valid_from,
            valid_until: summary.valid_until,
            proof_until: credential.proof_until(),
            reported: summary.kind.zip(credential.claims()).and_then(|(kind, claims)| Reported::of(kind, claims)),
            malformed: Claims::check(credential).is_err(),
            link: link_type(credential),
        })
    }

    /// The identifier in the wallet.
    pub(crate) fn credential_id(&self) -> String {
        let mut text = String::with_capacity(ID_PREFIX.len() + 2 * self.id.len());
        text.push_str(ID_PREFIX);
        json::push_hex(&mut text, &self.id);
        text
    }

    pub(crate) fn validity(&self, now: Timestamp) -> Validity {
        if self.valid_from.is_some_and(|from| now < from) {
            Validity::NotYet
        } else if self.valid_until.is_some_and(|until| now > until) {
            Validity::Expired
        } else {
            Validity::InForce
        }
    }
}

/// Notes a credential that is being kept, in place of an older copy of it.
pub(crate) fn put(transaction: &WriteTransaction, credential: &Credential) -> Result<()> {
    let (Some(subject), Some(facts)) = (credential.subject(), Facts::of(credential)) else { return Ok(()) };
    if facts.kind == Some(CredentialType::PeerEndorsement) {
        transaction.open_table(ENDORSED)?.insert((&facts.issuer, subject.public_key()), ())?;
    }
    change(transaction, &subject, |all| {
        all.retain(|other| other.id != facts.id);
        all.push(facts);
    })
}

/// Forgets a credential that is being removed.
pub(crate) fn remove(transaction: &WriteTransaction, credential: &Credential) -> Result<()> {
    let (Some(subject), Some(facts)) = (credential.subject(), Facts::of(credential)) else { return Ok(()) };
    let endorsement = |one: &Facts| one.kind == Some(CredentialType::PeerEndorsement) && one.issuer == facts.issuer;
    let mut endorsed = false;
    change(transaction, &subject, |all| {
        all.retain(|other| other.id != facts.id);
        endorsed = all.iter().any(endorsement);
    })?;
    if !endorsed {
        transaction.open_table(ENDORSED)?.remove((&facts.issuer, subject.public_key()))?;
    }
    Ok(())
}

/// Writes the rows of a database that has none, or whose rows an earlier version wrote.
pub(crate) fn complete(
    store: &Store,
    credentials: impl FnOnce() -> Result<Vec<Credential>>,
    now: Timestamp,
) -> Result<()> {
    let written = store.read(|transaction| match existing(transaction.open_table(FACTS))? {
        Some(table) => Ok(Some(table.first()?.and_then(|(_, row)| row.value().first().copied()))),
        None => Ok(None),
    })?;
    if written.is_some_and(|version| version.is_none_or(|version| version >= VERSION)) {
        return Ok(());
    }
    let sound: Vec<Credential> = credentials()?.into_iter().filter(|one| one.check_proof(now).is_ok()).collect();
    if sound.is_empty() && written.is_none() {
        return Ok(());
    }
    store.write(|transaction| {
        clear(transaction)?;
        sound.iter().try_for_each(|credential| put(transaction, credential))
    })
}

fn change(transaction: &WriteTransaction, subject: &Did, work: impl FnOnce(&mut Vec<Facts>)) -> Result<()> {
    let mut table = transaction.open_table(FACTS)?;
    let mut all = match table.get(subject.public_key())? {
        Some(row) => decode(row.value()).ok_or_else(|| damaged(subject.public_key()))?,
        None => Vec::new(),
    };
    work(&mut all);
    all.sort_by_key(|facts| facts.id);
    if all.is_empty() {
        table.remove(subject.public_key())?;
    } else {
        table.insert(subject.public_key(), encode(&all).as_slice())?;
    }
    Ok(())
}

/// Forgets every row, because the credentials are going to be encrypted.
pub(crate) fn clear(transaction: &WriteTransaction) -> Result<()> {
    transaction.delete_table(FACTS)?;
    transaction.delete_table(ENDORSED)?;
    Ok(())
}

/// The facts as one transaction sees them: written down, or made of credentials that are kept encrypted.
pub(crate) enum FactsTable {
    Written(Box<Written>),
    Made(Arc<Made>),
}

type Pairs = ReadOnlyTable<(&'static [u8; 32], &'static [u8; 32]), ()>;

pub(crate) struct Written {
    facts: Option<ReadOnlyTable<&'static [u8; 32], &'static [u8]>>,
    endorsed: Option<Pairs>,
}

pub(crate) struct Made {
    facts: BTreeMap<[u8; 32], Vec<Facts>>,
    endorsed: BTreeSet<([u8; 32], [u8; 32])>,
}

impl FactsTable {
    pub(crate) fn open(transaction: &ReadTransaction) -> Result<FactsTable> {
        let facts = existing(transaction.open_table(FACTS))?;
        let endorsed = existing(transaction.open_table(ENDORSED))?;
        let endorsed = endorsed.filter(|table: &Pairs| !table.is_empty().unwrap_or(false));
        Ok(FactsTable::Written(Box::new(Written { facts, endorsed })))
    }
}

impl Made {
    /// These facts, each with its subject, in the order of the identifiers.
    pub(crate) fn of<'all>(all: impl Iterator<Item = (&'all Did, &'all Facts)>) -> Made {
        let mut facts: BTreeMap<[u8; 32], Vec<Facts>> = BTreeMap::new();
        let mut endorsed = BTreeSet::new();
        for (subject, one) in all {
            if one.kind == Some(CredentialType::PeerEndorsement) {
                endorsed.insert((one.issuer, *subject.public_key()));
            }
            facts.entry(*subject.public_key()).or_default().push(one.clone());
        }
        Made { facts, endorsed }
    }
}

impl FactsTable {
    /// The facts of the credentials about a subject, in the order of their identifiers.
    pub(crate) fn about(&self, subject: &[u8; 32]) -> Result<Vec<Facts>> {
        match self {
            FactsTable::Made(made) => Ok(made.facts.get(subject).cloned().unwrap_or_default()),
            FactsTable::Written(written) => {
                let row = written.facts.as_ref().map(|table| table.get(subject)).transpose()?.flatten();
                row.map_or(Ok(Vec::new()), |row| decode(row.value()).ok_or_else(|| damaged(subject)))
            }
        }
    }

    /// Whom an issuer endorses, in order, and at most `most` of them.
    pub(crate) fn endorsed_by(&self, issuer: &[u8; 32], most: usize) -> Result<Vec<[u8; 32]>> {
        match self {
            FactsTable::Made(made) => {
                let all = made.endorsed.range((*issuer, [0; 32])..=(*issuer, [255; 32]));
                Ok(all.take(most).map(|(_, subject)| *subject).collect())
            }
            FactsTable::Written(written) => {
                let Some(table) = &written.endorsed else { return Ok(Vec::new()) };
                let all = table.range((issuer, &[0; 32])..=(issuer, &[255; 32]))?;
                all.take(most).map(|entry| Ok(*entry?.0.value().1)).collect()
            }
        }
    }
}

fn encode(all: &[Facts]) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    for facts in all {
        bytes.extend(facts.id);
        bytes.extend(facts.issuer);
        let name = facts.kind.map_or("", CredentialType::as_str);
        bytes.push(name.len() as u8);
        bytes.extend(name.as_bytes());
        let instants = [(FROM, facts.valid_from), (UNTIL, facts.valid_until), (PROOF_UNTIL, facts.proof_until)];
        let revocable = if facts.revocable { REVOCABLE } else { 0 };
        let reported = if facts.reported.is_some() { REPORTED } else { 0 };
        let malformed = if facts.malformed { MALFORMED } else { 0 };
        let link = if facts.link.is_some() { LINK } else { 0 };
        bytes.push(instants.iter().fold(revocable | reported | malformed | link, |flags, (flag, instant)| {
            if instant.is_some() { flags | flag } else { flags }
        }));
        for instant in instants.into_iter().filter_map(|(_, instant)| instant) {
            bytes.extend(instant.as_second().to_le_bytes());
            bytes.extend(instant.subsec_nanosecond().to_le_bytes());
        }
        let float = |number: Option<f64>| number.unwrap_or(f64::NAN).to_le_bytes();
        match &facts.reported {
            Some(Reported::Uptime { share, seconds }) => {
                bytes.extend(float(*share));
                bytes.extend(seconds.unwrap_or(i64::MIN).to_le_bytes());
            }
            Some(Reported::Throughput { rate }) => bytes.extend(float(*rate)),
            None => {}
        }
        if let Some(link) = facts.link {
            bytes.push(link_byte(link));
        }
        if facts.revocable {
            bytes.push(facts.status.len() as u8);
            for entry in &facts.status {
                bytes.push(u8::from(entry.purpose == StatusPurpose::Suspension));
                bytes.extend(entry.index.to_le_bytes());
                bytes.extend((entry.url.len() as u16).to_le_bytes());
                bytes.extend(entry.url.as_bytes());
            }
        }
    }
    bytes
}

fn decode(row: &[u8]) -> Option<Vec<Facts>> {
    let mut reader = Reader(row);
    if reader.u8()? != VERSION {
        return None;
    }
    let mut all: Vec<Facts> = Vec::with_capacity(reader.0.len() / LEAST);
    while !reader.0.is_empty() {
        let (id, issuer) = (reader.array()?, reader.array()?);
        let length = reader.u8()?;
        let kind = match reader.take(usize::from(length))? {
            [] => None,
            name => Some(std::str::from_utf8(name).ok()?.parse().ok()?),
        };
        let flags = reader.u8()?;
        if flags > (REVOCABLE | FROM | UNTIL | PROOF_UNTIL | REPORTED | MALFORMED | LINK)
            || all.last().is_some_and(|before| before.id >= id)
        {
            return None;
        }
        let mut instant = |flag: u8| -> Option<Option<Timestamp>> {
            if flags & flag == 0 {
                return Some(None);
            }
            Some(Some(Timestamp::new(reader.i64()?, reader.i32()?).ok()?))
        };
        let (valid_from, valid_until, proof_until) = (instant(FROM)?, instant(UNTIL)?, instant(PROOF_UNTIL)?);
        let reported = match kind.filter(|_| flags & REPORTED != 0) {
            None if flags & REPORTED != 0 => return None,
            None => None,
            Some(CredentialType::Uptime) => Some(Reported::Uptime {
                share: float(&mut reader)?,
                seconds: Some(reader.i64()?).filter(|seconds| *seconds != i64::MIN),
            }),
            Some(CredentialType::Throughput) => Some(Reported::Throughput { rate: float(&mut reader)? }),
            Some(_) => return None,
        };
        let link = match flags & LINK {
            0 => None,
            _ => {
                let byte = reader.u8()?;
                Some(LinkType::ALL.into_iter().find(|link| link_byte(*link) == byte)?)
            }
        };
        let revocable = flags & REVOCABLE != 0;
        let malformed = flags & MALFORMED != 0;
        let status = if revocable { status(&mut reader)? } else { Vec::new() };
        all.push(Facts {
            id,
            issuer,
            kind,
            revocable,
            status,
            valid_from,
            valid_until,
            proof_until,
            reported,
            malformed,
            link,
        });
    }
    Some(all)
}

fn link_byte(link: LinkType) -> u8 {
    match link {
        LinkType::Person => 0,
        LinkType::Organisation => 1,
        LinkType::Passkey => 2,
        LinkType::Node => 3,
    }
}

fn status(reader: &mut Reader<'_>) -> Option<Vec<StatusEntry>> {
    let count = usize::from(reader.u8()?);
    if count > MAX_ENTRIES {
        return None;
    }
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let purpose = if reader.flag()? { StatusPurpose::Suspension } else { StatusPurpose::Revocation };
        let index = reader.u64()?;
        let length = usize::from(u16::from_le_bytes(reader.array()?));
        let url = std::str::from_utf8(reader.take(length)?).ok()?;
        if url.is_empty() || url.len() > MAX_URL {
            return None;
        }
        entries.push(StatusEntry { purpose, url: url.into(), index });
    }
    Some(entries)
}

/// A number, or `None` for the one NaN that is written.
fn float(reader: &mut Reader<'_>) -> Option<Option<f64>> {
    let bits = reader.i64()? as u64;
    match f64::from_bits(bits) {
        number if !number.is_nan() => Some(Some(number)),
        _ if bits == f64::NAN.to_bits() => Some(None),
        _ => None,
    }
}

/// Keys that were checked to be points on the curve, so that each costs that check once in a run.
#[derive(Default)]
pub(crate) struct Keys(BTreeMap<[u8; 32], Did>);

impl Keys {
    pub(crate) fn did(&mut self, key: &[u8; 32]) -> Result<Did> {
        if let Some(did) = self.0.get(key) {
            return Ok(*did);
        }
        let did = Did::from_public_key(*key).map_err(|_| damaged(key))?;
        self.0.insert(*key, did);
        Ok(did)
    }
}

fn damaged(subject: &[u8; 32]) -> Error {
    Error::corrupt_data(format!("the facts about the credentials of {} are damaged", json::hex(subject)))
        .with_remedy("restore the data directory from a backup")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ErrorCode;
    use crate::clock::ManualClock;
    use crate::identity::Keypair;
    use crate::trust::{TrustGraph, proof};
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    fn sample() -> Facts {
        Facts {
            id: [1; 32],
            issuer: [2; 32],
            kind: Some(CredentialType::Uptime),
            revocable: true,
            status: vec![StatusEntry { purpose: StatusPurpose::Suspension, url: "urn:x".into(), index: 300 }],
            valid_from: Some("2026-06-01T00:00:00.5Z".parse().unwrap()),
            valid_until: None,
            proof_until: Some("2027-06-01T00:00:00Z".parse().unwrap()),
            reported: Some(Reported::Uptime { share: Some(0.95), seconds: None }),
            malformed: true,
            link: Some(LinkType::Organisation),
        }
    }

    #[test]
    fn a_row_is_written_as_it_was_laid_down() {
        let mut expected = vec![4u8];
        expected.extend([1; 32]);
        expected.extend([2; 32]);
        expected.extend(b"\x08UptimeVC\x7b");
        expected.extend(1_780_272_000i64.to_le_bytes());
        expected.extend(500_000_000i32.to_le_bytes());
        expected.extend(1_811_808_000i64.to_le_bytes());
        expected.extend(0i32.to_le_bytes());
        expected.extend(0.95f64.to_le_bytes());
        expected.extend(i64::MIN.to_le_bytes());
        expected.push(1);
        expected.extend(b"\x01\x01\x2c\x01\0\0\0\0\0\0\x05\0urn:x");
        assert_eq!(encode(&[sample()]), expected);
        assert_eq!(decode(&expected).unwrap(), [sample()]);
    }

    #[tokio::test]
    async fn rows_of_an_earlier_version_are_written_anew() {
        let store = Store::in_memory().unwrap();
        let clock: Arc<ManualClock> = Arc::new("2026-06-01T00:00:00Z".parse().unwrap());
        let open = |seed| {
            let signer = Keypair::from_seed([seed; 32]).signer().unwrap();
            let store = if seed == 1 { store.clone() } else { Store::in_memory().unwrap() };
            TrustGraph::open(store, signer, clock.clone()).unwrap()
        };
        let (graph, issuer, peer) = (open(1), open(2), open(3).did());
        let issued = issuer.issue_revocable(CredentialType::VerifiedNode, peer, Map::new(), None).await.unwrap();
        graph.import_credential(&issued.to_json()).await.unwrap();
        graph.trust_issuer(issuer.did(), &CredentialType::ALL).unwrap();
        let before = graph.score(&peer).unwrap();
        let row = |bytes: &[u8]| {
            store.write(|transaction| {
                transaction.open_table(FACTS)?.insert(peer.public_key(), bytes)?;
                Ok(())
            })
        };
        row(&[1]).unwrap();
        assert_eq!(graph.score(&peer).unwrap_err().code(), ErrorCode::CorruptData);
        assert_eq!(open(1).score(&peer).unwrap(), before);
        row(&[VERSION + 1]).unwrap();
        assert_eq!(open(1).score(&peer).unwrap_err().code(), ErrorCode::CorruptData);
    }

    #[tokio::test]
    async fn what_cannot_be_meant_counts_for_nothing_even_where_it_is_kept() {
        let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
        let signer = |seed| Keypair::from_seed([seed; 32]).signer().unwrap();
        let clock: Arc<ManualClock> = Arc::new(ManualClock::at(now));
        let graph = TrustGraph::open(Store::in_memory().unwrap(), signer(1), clock).unwrap();
        graph.trust_issuer(signer(2).did(), &CredentialType::ALL).unwrap();
        let peer = signer(3).did();
        let document = serde_json::json!({
            "@context": ["https://www.w3.org/ns/credentials/v2"],
            "type": ["VerifiableCredential", "PeerEndorsementVC"],
            "issuer": signer(2).did().to_string(),
            "validFrom": "2026-06-01T00:00:00Z",
            "credentialSubject": {"id": peer.to_string(), "interactionCount": -1},
        });
        let signed = proof::sign(document.as_object().unwrap(), &*signer(2), now).await.unwrap();
        let credential = Credential::parse(&Value::Object(signed).to_string()).unwrap();
        credential.check_proof(now).unwrap();
        // As a version before this rule kept it.
        graph.wallet.keep(&credential, now).await.unwrap();
        let score = graph.score(&peer).unwrap();
        assert_eq!((score.value, &*score.reasons[0].why), (0.0, "what it claims cannot be meant"));
        // A row that such a version wrote is of version 2, which had no place for this.
        let store = graph.store.clone();
        store
            .write(|transaction| {
                let mut table = transaction.open_table(FACTS)?;
                let mut row = table.get(peer.public_key())?.ok_or_else(|| damaged(peer.public_key()))?.value().to_vec();
                let flags = LEAST + CredentialType::PeerEndorsement.as_str().len();
                assert_eq!(row[flags] & MALFORMED, MALFORMED);
                (row[0], row[flags]) = (2, row[flags] & !MALFORMED);
                table.insert(peer.public_key(), row.as_slice())?;
                Ok(())
            })
            .unwrap();
        drop(graph);
        let again = TrustGraph::open(store, signer(1), Arc::new(ManualClock::at(now))).unwrap();
        assert_eq!(again.score(&peer).unwrap(), score);
    }

    proptest! {
        #[test]
        fn fuzz_a_row_of_facts_is_read_or_refused(
            noise in prop::collection::vec(any::<u8>(), 0..200),
            place in any::<prop::sample::Index>(),
            byte in any::<u8>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let other = Facts { id: [3; 32], kind: None, reported: None, valid_until: sample().proof_until, ..sample() };
            let mut changed = encode(&[sample(), other]);
            let place = place.index(changed.len());
            changed[place] = byte;
            changed.truncate(cut.index(changed.len()) + 1);
            for bytes in [noise, changed] {
                if let Some(facts) = decode(&bytes) {
                    prop_assert_eq!(encode(&facts), bytes);
                }
            }
        }
    }
}
