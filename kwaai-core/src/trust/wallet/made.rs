//! What scores need of encrypted credentials, made once and held while the wallet is open.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::super::score::facts::{Facts, Made};
use super::{SEALED, unsealed};
use crate::Result;
use crate::identity::Did;
use crate::store::existing;
use crate::vault::{Key, NONCE};

/// How often the encrypted credentials changed, under the one key there is.
const CHANGES: TableDefinition<(), u64> = TableDefinition::new("trust.credentials.changes");

/// The facts that are held.
#[derive(Default)]
pub(super) struct MadeFacts(Mutex<Held>);

#[derive(Default)]
struct Held {
    /// The facts as of a number of changes.
    made: Option<(u64, Arc<Made>)>,
    /// Identifier → what was read of an encrypted credential.
    rows: BTreeMap<String, Row>,
}

struct Row {
    /// No text is encrypted under it but the one that was read.
    nonce: Vec<u8>,
    said: Option<(Did, Facts)>,
}

impl MadeFacts {
    /// The facts of the credentials that one transaction sees. Only those that changed are decrypted.
    pub(super) fn of(&self, transaction: &ReadTransaction, key: &Key) -> Result<Arc<Made>> {
        let table = existing(transaction.open_table(CHANGES))?;
        let changes = match &table {
            Some(table) => table.get(())?.map_or(0, |row| row.value()),
            None => 0,
        };
        // Held meanwhile: who else wants to score would only make the same facts beside this one.
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, made)) = &held.made
            && *at == changes
        {
            return Ok(made.clone());
        }
        let mut rows = BTreeMap::new();
        if let Some(table) = existing(transaction.open_table(SEALED))? {
            for entry in table.iter()? {
                let (id, sealed) = entry?;
                let (id, sealed) = (id.value(), sealed.value());
                let nonce = sealed.get(..NONCE).unwrap_or_default();
                let row = match held.rows.remove(id).filter(|row| row.nonce == nonce) {
                    Some(row) => row,
                    None => {
                        let credential = unsealed(key, id, sealed)?;
                        Row { nonce: nonce.to_vec(), said: credential.subject().zip(Facts::of(&credential)) }
                    }
                };
                rows.insert(id.to_owned(), row);
            }
        }
        let said = rows.values().filter_map(|row| row.said.as_ref().map(|(subject, facts)| (subject, facts)));
        let made = Arc::new(Made::of(said));
        *held = Held { made: Some((changes, made.clone())), rows };
        Ok(made)
    }

    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Held::default();
    }
}

/// Notes, in the transaction that changes them, that the encrypted credentials are others now.
pub(super) fn changed(transaction: &WriteTransaction) -> Result<()> {
    let mut table = transaction.open_table(CHANGES)?;
    let changes = table.get(())?.map_or(0, |row| row.value());
    table.insert((), changes.wrapping_add(1))?;
    Ok(())
}
