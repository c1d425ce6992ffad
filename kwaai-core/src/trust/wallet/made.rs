//! What scores need of encrypted credentials, made once and held while the wallet is open and they do not change.

use std::sync::{Arc, Mutex, PoisonError};

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::super::credential::Credential;
use super::super::score::facts::Made;
use crate::Result;
use crate::store::existing;

/// How often the encrypted credentials changed, under the one key there is.
const CHANGES: TableDefinition<(), u64> = TableDefinition::new("trust.credentials.changes");

/// The facts that are held; shared by the clones of a wallet.
#[derive(Clone, Default)]
pub(super) struct MadeFacts(Arc<Mutex<Option<Held>>>);

/// After how many changes they were made, and the facts.
type Held = (u64, Arc<Made>);

impl MadeFacts {
    /// The facts of the credentials that one transaction sees.
    pub(super) fn of(
        &self,
        transaction: &ReadTransaction,
        credentials: impl FnOnce() -> Result<Vec<Credential>>,
    ) -> Result<Arc<Made>> {
        let table = existing(transaction.open_table(CHANGES))?;
        let changes = table.map(|table| Ok::<_, crate::Error>(table.get(())?.map(|row| row.value()))).transpose()?;
        let changes = changes.flatten().unwrap_or_default();
        // Held meanwhile: who else wants to score would only make the same facts beside this one.
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, made)) = &*held
            && *at == changes
        {
            return Ok(made.clone());
        }
        let made = Arc::new(Made::of(&credentials()?));
        *held = Some((changes, made.clone()));
        Ok(made)
    }

    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Notes, in the transaction that changes them, that the encrypted credentials are others now.
pub(super) fn changed(transaction: &WriteTransaction) -> Result<()> {
    let mut table = transaction.open_table(CHANGES)?;
    let changes = table.get(())?.map_or(0, |row| row.value());
    table.insert((), changes.wrapping_add(1))?;
    Ok(())
}
