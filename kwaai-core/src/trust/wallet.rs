//! The credentials that this node keeps, in its database.

use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};

use super::credential::{Credential, CredentialSummary, CredentialType};
use super::score::facts;
use crate::identity::Did;
use crate::store::Store;
use crate::{Error, Result};

/// Identifier → the credential as JSON text.
const CREDENTIALS: TableDefinition<&str, &str> = TableDefinition::new("trust.credentials");

/// (subject, identifier), for credentials whose subject has a did:key.
const SUBJECTS: TableDefinition<(&str, &str), ()> = TableDefinition::new("trust.subjects");

/// No subject needs more credentials than this, and a peer that presents its own cannot fill the disk with them.
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

/// The credentials in a data directory. A transaction covers each change, so a crash leaves the old or the new state.
#[derive(Clone)]
pub(super) struct Wallet {
    store: Store,
}

impl Wallet {
    pub(super) fn new(store: Store) -> Wallet {
        Wallet { store }
    }

    /// Keeps a credential whose proof the caller has checked. One with the same content is replaced.
    pub(super) async fn keep(&self, credential: &Credential) -> Result<()> {
        let credential = credential.clone();
        self.store.write_async(move |transaction| insert(transaction, &credential)).await
    }

    /// Keeps several at once, all or none; see [`keep`](Wallet::keep).
    pub(super) async fn keep_all(&self, credentials: Vec<Credential>) -> Result<()> {
        self.store.write_async(move |transaction| credentials.iter().try_for_each(|one| insert(transaction, one))).await
    }

    pub(super) fn get(&self, id: &str) -> Result<Credential> {
        self.store.read(|transaction| {
            let found = match transaction.open_table(CREDENTIALS) {
                Ok(table) => table.get(id)?.map(|text| read(id, text.value())).transpose()?,
                Err(TableError::TableDoesNotExist(_)) => None,
                Err(error) => return Err(error.into()),
            };
            found.ok_or_else(|| missing(id))
        })
    }

    /// The credentials that fit, in the order of their identifiers.
    pub(super) fn list(&self, filter: &CredentialFilter) -> Result<Vec<Credential>> {
        let all = match &filter.subject {
            Some(subject) => self.store.read(|transaction| about(transaction, subject))?,
            None => self.store.read(everything)?,
        };
        Ok(all.into_iter().filter(|credential| filter.fits(credential.summary())).collect())
    }

    pub(super) fn remove(&self, id: &str) -> Result<()> {
        self.store.write(|transaction| {
            let mut credentials = transaction.open_table(CREDENTIALS)?;
            let credential = match credentials.remove(id)? {
                Some(text) => read(id, text.value())?,
                None => return Err(missing(id)),
            };
            if let Some(subject) = credential.subject() {
                transaction.open_table(SUBJECTS)?.remove((subject.to_string().as_str(), id))?;
            }
            facts::remove(transaction, &credential)
        })
    }
}

fn insert(transaction: &WriteTransaction, credential: &Credential) -> Result<()> {
    let id = credential.id();
    if let Some(subject) = credential.subject() {
        let subject = subject.to_string();
        let mut subjects = transaction.open_table(SUBJECTS)?;
        subjects.insert((subject.as_str(), id), ())?;
        // DIDs are ASCII and end where the tuple's first part ends, so these bounds hold every identifier.
        if subjects.range((subject.as_str(), "")..(subject.as_str(), "\u{10ffff}"))?.count() > MAX_PER_SUBJECT {
            return Err(Error::resource_exhausted(format!(
                "this node keeps {MAX_PER_SUBJECT} credentials about {subject} already"
            ))
            .with("limit", MAX_PER_SUBJECT)
            .with_remedy("remove some of them first"));
        }
    }
    transaction.open_table(CREDENTIALS)?.insert(id, credential.to_json().as_str())?;
    facts::put(transaction, credential)
}

fn everything(transaction: &ReadTransaction) -> Result<Vec<Credential>> {
    let table = match transaction.open_table(CREDENTIALS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
        table => table?,
    };
    table
        .iter()?
        .map(|entry| {
            let (id, text) = entry?;
            read(id.value(), text.value())
        })
        .collect()
}

fn about(transaction: &ReadTransaction, subject: &Did) -> Result<Vec<Credential>> {
    let (subjects, credentials) = match (transaction.open_table(SUBJECTS), transaction.open_table(CREDENTIALS)) {
        (Err(TableError::TableDoesNotExist(_)), _) => return Ok(Vec::new()),
        (subjects, credentials) => (subjects?, credentials?),
    };
    let subject = subject.to_string();
    subjects
        .range((subject.as_str(), "")..(subject.as_str(), "\u{10ffff}"))?
        .map(|entry| {
            let (key, _) = entry?;
            let id = key.value().1;
            let text = credentials.get(id)?.ok_or_else(|| damaged(id))?;
            read(id, text.value())
        })
        .collect()
}

fn read(id: &str, text: &str) -> Result<Credential> {
    Credential::parse(text).ok().filter(|credential| credential.id() == id).ok_or_else(|| damaged(id))
}

fn damaged(id: &str) -> Error {
    Error::corrupt_data(format!("the stored credential {id} is damaged"))
        .with_remedy("restore the data directory from a backup")
}

fn missing(id: &str) -> Error {
    Error::not_found(format!("this node keeps no credential {id:.90?}"))
}
