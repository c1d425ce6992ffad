//! The credentials that this node keeps, in its database.
//!
//! A transaction covers each change, so a crash leaves the old or the new state. With a passphrase the credentials are
//! encrypted where they lie; see [`TrustGraph::set_passphrase`].

mod bundle;
mod made;
mod passphrase;
mod room;

use std::cmp::Ordering;
use std::sync::Arc;

use jiff::Timestamp;
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde_json::Value;

use super::credential::{Credential, CredentialSummary, CredentialType};
use super::score::facts::{self, FactsTable};
use super::{TrustGraph, claim_test, pledge, proof, status_list};
use crate::identity::Did;
use crate::store::{Store, existing};
use crate::vault::Key;
use crate::{Error, Result};
use made::MadeFacts;
use passphrase::KeyRing;

pub use crate::vault::MAX_PASSPHRASE;
pub use bundle::{ImportedBundle, MAX_BUNDLE_BYTES};
pub use passphrase::WalletState;

/// Identifier → the credential as JSON text, while there is no passphrase.
const CREDENTIALS: TableDefinition<&str, &str> = TableDefinition::new("trust.credentials");

/// Identifier → the credential as encrypted JSON text, while there is a passphrase.
const SEALED: TableDefinition<&str, &[u8]> = TableDefinition::new("trust.credentials.sealed");

/// (subject, identifier), for credentials whose subject has a did:key.
const SUBJECTS: TableDefinition<(&str, &str), ()> = TableDefinition::new("trust.subjects");

/// No subject needs more credentials than this, and as many sides of links, and a peer that presents its own cannot fill the disk with
/// them. The next one takes the place of one that ended, or that its issuer has renewed.
pub const MAX_PER_SUBJECT: usize = 64;

/// Which credentials are wanted: those that fit every part that is given.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CredentialFilter {
    /// About this subject.
    pub subject: Option<Did>,
    /// From this issuer.
    pub issuer: Option<Did>,
    /// Of this type.
    pub kind: Option<CredentialType>,
}

impl CredentialFilter {
    fn fits(&self, credential: &CredentialSummary) -> bool {
        self.subject.is_none_or(|subject| credential.subject == Some(subject))
            && self.issuer.is_none_or(|issuer| credential.issuer == issuer)
            && self.kind.is_none_or(|kind| credential.kind == Some(kind))
    }
}

/// The credentials in a data directory.
#[derive(Clone)]
pub(super) struct Wallet {
    store: Store,
    keys: Arc<KeyRing>,
    made: Arc<MadeFacts>,
}

impl Wallet {
    /// The credentials in this database. Every handle on it has the same key, so that none writes under one that was replaced.
    pub(super) fn new(store: Store) -> Result<Wallet> {
        let (keys, made) = (store.shared(|| Ok(KeyRing::default()))?, store.shared(|| Ok(MadeFacts::default()))?);
        Ok(Wallet { store, keys, made })
    }

    /// Keeps a credential whose proof the caller has checked. One with the same content is replaced when this one holds longer.
    ///
    /// # Errors
    /// `invalid_argument` with the rule `withdrawn` for a pledge that its subject withdrew.
    pub(super) async fn keep(&self, credential: &Credential, now: Timestamp) -> Result<()> {
        self.keep_all(vec![credential.clone()], now).await
    }

    /// Keeps all of these or, when one cannot be kept, none.
    pub(super) async fn keep_all(&self, credentials: Vec<Credential>, now: Timestamp) -> Result<()> {
        let keys = self.keys.clone();
        self.store
            .write_async(move |transaction| {
                let key = keys.for_writing(transaction)?;
                credentials.iter().try_for_each(|credential| insert(transaction, key.as_ref(), credential, now))
            })
            .await
    }

    /// Keeps those of these that there is room for, in one step. The others come back with their places and why they are refused:
    /// withdrawn by their subject, or one too many about it.
    pub(super) async fn keep_fitting(
        &self,
        credentials: Vec<Credential>,
        now: Timestamp,
    ) -> Result<Vec<(usize, Error)>> {
        let keys = self.keys.clone();
        self.store
            .write_async(move |transaction| {
                let key = keys.for_writing(transaction)?;
                let mut refused = Vec::new();
                for (place, credential) in credentials.iter().enumerate() {
                    // Nothing of a credential is written before these two are known.
                    match insert(transaction, key.as_ref(), credential, now) {
                        Err(error) if error.context().contains_key("limit") || pledge::is_withdrawal(&error) => {
                            refused.push((place, error));
                        }
                        kept => kept?,
                    }
                }
                Ok(refused)
            })
            .await
    }

    pub(super) fn get(&self, id: &str) -> Result<Credential> {
        self.store.read(|transaction| {
            let key = self.keys.for_reading(transaction)?;
            Shelf::open(transaction, key.as_ref())?.get(id)?.ok_or_else(|| missing(id))
        })
    }

    /// The credentials that fit, in the order of their identifiers.
    pub(super) fn list(&self, filter: &CredentialFilter) -> Result<Vec<Credential>> {
        let all = self.store.read(|transaction| {
            let key = self.keys.for_reading(transaction)?;
            let shelf = Shelf::open(transaction, key.as_ref())?;
            match &filter.subject {
                Some(subject) => about(transaction, &shelf, subject),
                None => shelf.all(),
            }
        })?;
        Ok(all.into_iter().filter(|credential| filter.fits(credential.summary())).collect())
    }

    /// What scores need of the credentials, as one transaction sees it. Under a passphrase it is not written down, and made
    /// from the credentials when they have changed since.
    pub(super) fn facts(&self, transaction: &ReadTransaction) -> Result<FactsTable> {
        match self.keys.for_reading(transaction)? {
            None => FactsTable::open(transaction),
            Some(key) => Ok(FactsTable::Made(self.made.of(transaction, &key)?)),
        }
    }

    /// Writes down what scores need, for a database of a version that did not.
    pub(super) fn complete_facts(&self, now: Timestamp) -> Result<()> {
        if self.store.read(|transaction| self.keys.state(transaction))? != WalletState::Plain {
            return Ok(());
        }
        facts::complete(&self.store, || self.list(&CredentialFilter::default()), now)
    }

    pub(super) fn remove(&self, id: &str) -> Result<()> {
        self.store.write(|transaction| match self.forget(transaction, id)? {
            true => Ok(()),
            false => Err(missing(id)),
        })
    }

    /// Forgets a credential in a transaction that does more; whether there was one.
    pub(super) fn forget(&self, transaction: &WriteTransaction, id: &str) -> Result<bool> {
        remove(transaction, self.keys.for_writing(transaction)?.as_ref(), id)
    }
}

fn remove(transaction: &WriteTransaction, key: Option<&Key>, id: &str) -> Result<bool> {
    let removed = match key {
        Some(key) => {
            made::changed(transaction)?;
            let mut table = transaction.open_table(SEALED)?;
            table.remove(id)?.map(|sealed| unsealed(key, id, sealed.value())).transpose()?
        }
        None => {
            let mut table = transaction.open_table(CREDENTIALS)?;
            table.remove(id)?.map(|text| read(id, text.value())).transpose()?
        }
    };
    let Some(credential) = removed else { return Ok(false) };
    if let Some(subject) = credential.subject() {
        transaction.open_table(SUBJECTS)?.remove((subject.to_string().as_str(), id))?;
    }
    facts::remove(transaction, &credential)?;
    claim_test::forget(transaction, id)?;
    status_list::unlink(transaction, &credential)?;
    Ok(true)
}

/// Where the credentials lie: as they are, or encrypted. A table that was never written to holds none.
enum Shelf<'key> {
    Empty,
    Plain(redb::ReadOnlyTable<&'static str, &'static str>),
    Sealed(redb::ReadOnlyTable<&'static str, &'static [u8]>, &'key Key),
}

impl Shelf<'_> {
    fn open<'key>(transaction: &ReadTransaction, key: Option<&'key Key>) -> Result<Shelf<'key>> {
        let shelf = match key {
            Some(key) => transaction.open_table(SEALED).map(|table| Shelf::Sealed(table, key)),
            None => transaction.open_table(CREDENTIALS).map(Shelf::Plain),
        };
        Ok(existing(shelf)?.unwrap_or(Shelf::Empty))
    }

    fn get(&self, id: &str) -> Result<Option<Credential>> {
        match self {
            Shelf::Empty => Ok(None),
            Shelf::Plain(table) => table.get(id)?.map(|text| read(id, text.value())).transpose(),
            Shelf::Sealed(table, key) => table.get(id)?.map(|sealed| unsealed(key, id, sealed.value())).transpose(),
        }
    }

    /// Every credential, in the order of their identifiers.
    fn all(&self) -> Result<Vec<Credential>> {
        let mut all = Vec::new();
        match self {
            Shelf::Empty => {}
            Shelf::Plain(table) => {
                for entry in table.iter()? {
                    let (id, text) = entry?;
                    all.push(read(id.value(), text.value())?);
                }
            }
            Shelf::Sealed(table, key) => {
                for entry in table.iter()? {
                    let (id, sealed) = entry?;
                    all.push(unsealed(key, id.value(), sealed.value())?);
                }
            }
        }
        Ok(all)
    }
}

fn insert(transaction: &WriteTransaction, key: Option<&Key>, credential: &Credential, now: Timestamp) -> Result<()> {
    let id = credential.id();
    pledge::refuse_withdrawn(transaction, id)?;
    if let Some(kept) = kept(transaction, key, id)?
        && !outlasts(credential, &kept)
    {
        return Ok(());
    }
    if let Some(subject) = credential.subject() {
        room::make(transaction, key, credential, &subject, now)?;
        transaction.open_table(SUBJECTS)?.insert((subject.to_string().as_str(), id), ())?;
    }
    let text = credential.to_json();
    match key {
        Some(key) => {
            made::changed(transaction)?;
            transaction.open_table(SEALED)?.insert(id, key.seal(id, &text)?.as_slice())?;
        }
        None => {
            transaction.open_table(CREDENTIALS)?.insert(id, text.as_str())?;
            facts::put(transaction, credential)?;
        }
    }
    status_list::link(transaction, credential)
}

/// The copy of a credential that is kept already.
fn kept(transaction: &WriteTransaction, key: Option<&Key>, id: &str) -> Result<Option<Credential>> {
    match key {
        Some(key) => {
            let table = transaction.open_table(SEALED)?;
            table.get(id)?.map(|sealed| unsealed(key, id, sealed.value())).transpose()
        }
        None => {
            let table = transaction.open_table(CREDENTIALS)?;
            table.get(id)?.map(|text| read(id, text.value())).transpose()
        }
    }
}

/// Whether a copy takes the place of the one that is kept: its proofs hold longer, or as long and its issuer made the newest of
/// them later, or it has all the proofs of the other and more. Anybody can take a proof away from a set or add one, and must
/// neither shorten what the issuer gave by it nor push out what others added.
fn outlasts(copy: &Credential, kept: &Credential) -> bool {
    match holds(copy).cmp(&holds(kept)) {
        Ordering::Greater => true,
        Ordering::Less => false,
        Ordering::Equal => {
            let (offered, held) = (copy.written_proofs(), kept.written_proofs());
            offered.len() > held.len() && held.iter().all(|proof| offered.contains(proof))
        }
    }
}

/// Until when all proofs of a credential hold, and when its issuer made the newest of them.
fn holds(credential: &Credential) -> (Timestamp, Option<Timestamp>) {
    let by_issuer = |proof: &&Value| {
        let method = proof.get("verificationMethod").and_then(Value::as_str);
        let did = method.and_then(|method| method.split('#').next()).and_then(|did| did.parse::<Did>().ok());
        did == Some(credential.issuer())
    };
    let created = |proof: &Value| proof.get("created").and_then(|value| proof::date_time("created", value).ok());
    let made = credential.written_proofs().iter().filter(by_issuer).filter_map(created).max();
    (credential.proof_until().unwrap_or(Timestamp::MAX), made)
}

fn about(transaction: &ReadTransaction, shelf: &Shelf<'_>, subject: &Did) -> Result<Vec<Credential>> {
    let Some(subjects) = existing(transaction.open_table(SUBJECTS))? else { return Ok(Vec::new()) };
    let subject = subject.to_string();
    subjects
        .range((subject.as_str(), "")..(subject.as_str(), "\u{10ffff}"))?
        .map(|entry| {
            let (key, _) = entry?;
            let id = key.value().1;
            shelf.get(id)?.ok_or_else(|| damaged(id))
        })
        .collect()
}

fn read(id: &str, text: &str) -> Result<Credential> {
    Credential::parse(text).ok().filter(|credential| credential.id() == id).ok_or_else(|| damaged(id))
}

fn unsealed(key: &Key, id: &str, sealed: &[u8]) -> Result<Credential> {
    read(id, &key.unseal(id, sealed).ok_or_else(|| damaged(id))?)
}

fn damaged(id: &str) -> Error {
    Error::corrupt_data(format!("the stored credential {id} is damaged"))
        .with_remedy("restore the data directory from a backup")
}

fn missing(id: &str) -> Error {
    Error::not_found(format!("this node keeps no credential {id:.90?}"))
}

impl TrustGraph {
    /// Whether the credentials are encrypted, and whether they can be read now.
    pub fn wallet_state(&self) -> Result<WalletState> {
        self.wallet.store.read(|transaction| self.wallet.keys.state(transaction))
    }

    /// Encrypts the credentials that this node keeps, or changes the passphrase. The wallet is unlocked afterwards.
    ///
    /// Each credential is encrypted with XChaCha20-Poly1305 under a random key, and that key under one that Argon2id (RFC
    /// 9106, 64 MiB, 3 passes) makes of the passphrase; so a change of the passphrase writes no credential anew. What stays
    /// readable without it: the identifiers of credentials, which are hashes, whom they are about, which status lists they
    /// name, pledges that were withdrawn, tests of claims, the trusted issuers and the policy. Text that lay here before the passphrase was set may stay in unused pages of
    /// the file until they are written over: set the passphrase before the first import. The passphrase does not protect the
    /// node's own key file, and a forgotten one cannot be recovered.
    ///
    /// # Errors
    /// `invalid_argument` when it is empty or longer than [`MAX_PASSPHRASE`] bytes; `permission_denied` when the wallet is
    /// locked.
    pub async fn set_passphrase(&self, passphrase: &str) -> Result<()> {
        self.wallet.set_passphrase(passphrase).await
    }

    /// Takes the passphrase away: the credentials lie in the clear again.
    ///
    /// # Errors
    /// `not_found` when there is none; `permission_denied` when the wallet is locked.
    pub async fn remove_passphrase(&self) -> Result<()> {
        self.wallet.remove_passphrase().await
    }

    /// Makes the credentials readable for this handle and its clones, until [`lock`](TrustGraph::lock) or the last of them is
    /// dropped.
    ///
    /// # Errors
    /// `permission_denied` for a wrong passphrase; `not_found` when there is none.
    pub async fn unlock(&self, passphrase: &str) -> Result<()> {
        self.wallet.unlock(passphrase).await?;
        self.forget_all_withdrawn().await
    }

    /// Forgets the key of the passphrase. Whatever needs the credentials answers `permission_denied` from now on, scores
    /// included: a locked node trusts nobody by mistake.
    ///
    /// # Errors
    /// `not_found` when there is no passphrase, so that nothing can be locked.
    pub fn lock(&self) -> Result<()> {
        self.wallet.lock()?;
        self.wallet.made.forget();
        Ok(())
    }
}
