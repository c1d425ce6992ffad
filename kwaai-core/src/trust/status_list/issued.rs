//! The lists of this node as an issuer.
//!
//! Each revocable credential gets one index, the same in the list of each purpose. Indexes are drawn by a hash under a
//! secret of this node, so neighbours in a list say nothing about who got a credential before whom. A list is given up for
//! the next one when half of it is taken: from then on drawing would need more and more tries.

use std::time::Duration;

use jiff::Timestamp;
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::super::credential::{CREDENTIALS_V2, Credential, CredentialType};
use super::super::{SETTINGS, TrustGraph, damaged, decode, encode, json as text, proof};
use super::kept::SKEW;
use super::{Bitstring, DEFAULT_TTL, MIN_STATUS_ENTRIES, Rule, StatusListUrl, StatusPurpose};
use crate::identity::Did;
use crate::store::existing;
use crate::{Error, Result};

/// Identifier of a credential that this node issued → the number of its lists, and its index in them.
const ISSUED: TableDefinition<&str, (u32, u32)> = TableDefinition::new("trust.status.issued");

/// Number of a list → a bit for each index that was given away.
const TAKEN: TableDefinition<u32, &[u8]> = TableDefinition::new("trust.status.taken");

/// (purpose, number) → the bits of the list.
pub(super) const BITS: TableDefinition<(&str, u32), &[u8]> = TableDefinition::new("trust.status.bits");

/// (purpose, number) → the list as it was signed last.
const SIGNED: TableDefinition<(&str, u32), &str> = TableDefinition::new("trust.status.signed");

/// The setting that holds the secret under which indexes are drawn, in hexadecimal digits.
const SECRET: &str = "status.secret";

/// A list is signed anew when it is older than this, so that a reader always gets one with most of its time ahead.
const RENEWED_AFTER: Duration = Duration::from_secs(DEFAULT_TTL.as_secs() / 4);

/// How often signing starts again because a bit changed meanwhile.
const TRIES: usize = 8;

#[derive(Serialize, Deserialize)]
struct Signed {
    #[serde(with = "super::instant")]
    valid_from: Timestamp,
    /// Whether the bits are still those that were signed.
    current: bool,
    credential: String,
}

impl TrustGraph {
    /// Issues a credential that this node can withdraw again: with [`revoke`](TrustGraph::revoke) for good, or with
    /// [`suspend`](TrustGraph::suspend) for a while. Otherwise as [`TrustGraph::issue`].
    ///
    /// # Errors
    /// As [`TrustGraph::issue`].
    pub async fn issue_revocable(
        &self,
        kind: CredentialType,
        subject: Did,
        claims: Map<String, Value>,
        valid_for: Option<Duration>,
    ) -> Result<Credential> {
        // An index that was given away is not given away again, even if signing fails behind it.
        let (number, index) = self.store.write_async(allot).await?;
        let entries = StatusPurpose::ALL.map(|purpose| {
            let url = StatusListUrl { issuer: self.did(), purpose, number };
            json!({
                "type": "BitstringStatusListEntry",
                "statusPurpose": purpose.as_str(),
                "statusListIndex": index.to_string(),
                "statusListCredential": url.to_string(),
            })
        });
        let status = Value::Array(entries.to_vec());
        let now = self.clock.now();
        let credential = Credential::issue(&*self.signer, kind, subject, claims, valid_for, Some(status), now).await?;
        let id = credential.id().to_owned();
        self.store
            .write_async(move |transaction| {
                transaction.open_table(ISSUED)?.insert(id.as_str(), (number, index))?;
                Ok(())
            })
            .await?;
        Ok(credential)
    }

    /// Withdraws a credential of this node for good. It counts nowhere any more where this node's list arrives, and here at
    /// once. Doing it twice changes nothing.
    ///
    /// # Errors
    /// `not_found` when this node issued no revocable credential with this identifier.
    pub fn revoke(&self, credential_id: &str) -> Result<()> {
        self.mark(credential_id, StatusPurpose::Revocation, true)
    }

    /// Withdraws a credential of this node until [`reinstate`](TrustGraph::reinstate).
    ///
    /// # Errors
    /// As [`TrustGraph::revoke`].
    pub fn suspend(&self, credential_id: &str) -> Result<()> {
        self.mark(credential_id, StatusPurpose::Suspension, true)
    }

    /// Ends the suspension of a credential. One that is not suspended stays as it is.
    ///
    /// # Errors
    /// `invalid_argument` when it was revoked, which is for good; as [`TrustGraph::revoke`].
    pub fn reinstate(&self, credential_id: &str) -> Result<()> {
        self.mark(credential_id, StatusPurpose::Suspension, false)
    }

    /// The names of the lists of this node, in order: none before the first revocable credential.
    pub fn status_lists(&self) -> Result<Vec<StatusListUrl>> {
        let issuer = self.did();
        self.store.read(|transaction| {
            let Some(table) = existing(transaction.open_table(BITS))? else { return Ok(Vec::new()) };
            table
                .iter()?
                .map(|entry| {
                    let (key, _) = entry?;
                    let (purpose, number) = key.value();
                    Ok(StatusListUrl { issuer, purpose: purpose.parse()?, number })
                })
                .collect()
        })
    }

    /// One list of this node, signed: as it was signed before while its bits are the same and it is fresh, and anew
    /// otherwise. Each has a later `validFrom` than the one before.
    pub(super) async fn own_list(&self, url: StatusListUrl) -> Result<String> {
        let key = (url.purpose.as_str(), url.number);
        for _ in 0..TRIES {
            let now = self.clock.now();
            let (bits, last) = self.store.read_async(move |transaction| stored(transaction, key)).await?;
            let Some(bits) = bits else {
                return Err(Rule::Retrieval.error(format!("this node has no status list {url}")));
            };
            let age = last.as_ref().map(|last| now.duration_since(last.valid_from));
            if let Some(last) = last.as_ref().filter(|last| last.current)
                && age.is_some_and(|age| age.unsigned_abs() < RENEWED_AFTER)
            {
                return Ok(last.credential.clone());
            }
            // Readers refuse an older list, and one of the same instant with other bits. What was made under a clock that was far
            // ahead no reader took.
            let last = last.filter(|last| now.checked_add(SKEW).is_ok_and(|latest| last.valid_from <= latest));
            let next = last.map_or(Ok(now), |last| last.valid_from.checked_add(Duration::from_micros(1)));
            let valid_from = next.map_or(now, |next| next.max(now));
            let signed = Signed { valid_from, current: true, credential: self.sign(url, &bits, valid_from).await? };
            let credential = signed.credential.clone();
            let kept = self.store.write_async(move |transaction| {
                let same = transaction.open_table(BITS)?.get(key)?.is_some_and(|now| now.value() == bits.0);
                if same {
                    transaction.open_table(SIGNED)?.insert(key, encode(&signed)?.as_str())?;
                }
                Ok(same)
            });
            if kept.await? {
                return Ok(credential);
            }
        }
        Err(Error::busy("the status list changes faster than it can be signed").with("list", url))
    }

    async fn sign(&self, url: StatusListUrl, bits: &Bitstring, valid_from: Timestamp) -> Result<String> {
        let Value::Object(document) = json!({
            "@context": [CREDENTIALS_V2],
            "id": url.to_string(),
            "type": ["VerifiableCredential", "BitstringStatusListCredential"],
            "issuer": url.issuer.to_string(),
            "validFrom": valid_from.to_string(),
            "credentialSubject": {
                "id": format!("{url}#list"),
                "type": "BitstringStatusList",
                "statusPurpose": url.purpose.as_str(),
                "ttl": DEFAULT_TTL.as_millis() as u64,
                "encodedList": bits.encode()?,
            },
        }) else {
            return Err(Error::internal("a status list is no object"));
        };
        let signed = proof::sign(&document, &*self.signer, self.clock.now()).await?;
        Ok(text::sorted(signed))
    }

    fn mark(&self, credential_id: &str, purpose: StatusPurpose, value: bool) -> Result<()> {
        self.store.write(|transaction| {
            let found = transaction.open_table(ISSUED)?.get(credential_id)?.map(|place| place.value());
            let (number, index) = found.ok_or_else(|| {
                Error::not_found(format!("this node issued no revocable credential {credential_id:.90?}"))
                    .with_remedy("only what issue_revocable issued can be withdrawn")
            })?;
            let mut table = transaction.open_table(BITS)?;
            let index = u64::from(index);
            if !value && bits_of(&table, (StatusPurpose::Revocation.as_str(), number))?.get(index)? {
                return Err(Error::invalid_argument("the credential was revoked, which is for good")
                    .with_remedy("issue it again"));
            }
            let key = (purpose.as_str(), number);
            let mut bits = bits_of(&table, key)?;
            if bits.get(index)? == value {
                return Ok(());
            }
            bits.set(index, value)?;
            table.insert(key, bits.0.as_slice())?;
            let mut signed = transaction.open_table(SIGNED)?;
            let last = signed.get(key)?.map(|last| decode::<Signed>("a status list", last.value())).transpose()?;
            if let Some(last) = last {
                signed.insert(key, encode(&Signed { current: false, ..last })?.as_str())?;
            }
            Ok(())
        })
    }
}

fn stored(transaction: &ReadTransaction, key: (&str, u32)) -> Result<(Option<Bitstring>, Option<Signed>)> {
    let bits = match existing(transaction.open_table(BITS))? {
        Some(table) => table.get(key)?.map(|bits| Bitstring::from_bytes(bits.value().to_vec())).transpose()?,
        None => None,
    };
    let signed = match existing(transaction.open_table(SIGNED))? {
        Some(table) => table.get(key)?.map(|signed| decode("a status list", signed.value())).transpose()?,
        None => None,
    };
    Ok((bits, signed))
}

fn bits_of(table: &impl ReadableTable<(&'static str, u32), &'static [u8]>, key: (&str, u32)) -> Result<Bitstring> {
    let bits = table.get(key)?.map(|bits| bits.value().to_vec());
    let bits = bits.ok_or_else(|| damaged("a status list", Rule::Retrieval.error("a list is missing")))?;
    Bitstring::from_bytes(bits).map_err(|error| damaged("a status list", error))
}

/// Gives away an index that nobody has: (number of the list, index).
fn allot(transaction: &WriteTransaction) -> Result<(u32, u32)> {
    let secret = secret(transaction)?;
    let mut taken_table = transaction.open_table(TAKEN)?;
    let newest = taken_table.last()?.map(|(number, bits)| (number.value(), bits.value().to_vec()));
    let (mut number, taken) = newest.unwrap_or_else(|| (0, Bitstring::new().0));
    let mut taken = Bitstring::from_bytes(taken).map_err(|error| damaged("a status list", error))?;
    let mut count: u32 = taken.0.iter().map(|byte| byte.count_ones()).sum();
    if count as usize >= MIN_STATUS_ENTRIES / 2 {
        number += 1;
        taken = Bitstring::new();
        count = 0;
    }
    let mut attempt = 0u32;
    let index = loop {
        let mut hash = Sha256::new();
        hash.update(&secret);
        for part in [number, count, attempt] {
            hash.update(part.to_be_bytes());
        }
        let digest = hash.finalize();
        let drawn = digest.iter().take(4).fold(0u32, |drawn, byte| drawn << 8 | u32::from(*byte));
        let index = u64::from(drawn) % taken.entries();
        if !taken.get(index)? {
            break index;
        }
        attempt += 1;
    };
    taken.set(index, true)?;
    taken_table.insert(number, taken.0.as_slice())?;
    let mut bits = transaction.open_table(BITS)?;
    for purpose in StatusPurpose::ALL {
        let key = (purpose.as_str(), number);
        if bits.get(key)?.is_none() {
            bits.insert(key, Bitstring::new().0.as_slice())?;
        }
    }
    Ok((number, index as u32))
}

fn secret(transaction: &WriteTransaction) -> Result<String> {
    let mut settings = transaction.open_table(SETTINGS)?;
    let known = settings.get(SECRET)?.map(|secret| secret.value().to_owned());
    match known {
        Some(secret) => Ok(secret),
        None => {
            let secret = text::hex(&rand::random::<[u8; 32]>());
            settings.insert(SECRET, secret.as_str())?;
            Ok(secret)
        }
    }
}
