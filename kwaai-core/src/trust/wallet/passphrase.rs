//! Credentials encrypted under a passphrase.

use std::sync::{PoisonError, RwLock};

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use zeroize::Zeroizing;

use super::super::score::facts;
use super::super::{decode, encode};
use super::{CREDENTIALS, SEALED, Wallet, made, read, unsealed};
use crate::blocking::blocking;
use crate::store::existing;
use crate::vault::{Key, Vault, check_passphrase};
use crate::{Error, Result};

/// `vault` → the key of the credentials, encrypted under the passphrase. There is a passphrase while this is there.
const VAULT: TableDefinition<&str, &str> = TableDefinition::new("trust.vault");
const ENTRY: &str = "vault";

/// Whether the wallet has a passphrase, and whether it is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalletState {
    /// There is no passphrase.
    Plain,
    /// There is one, and it was not given yet.
    Locked,
    /// There is one, and it was given.
    Unlocked,
}

/// The key, once the passphrase was given. Whether there is a passphrase at all is what the database says.
#[derive(Default)]
pub(super) struct KeyRing(RwLock<Option<Key>>);

impl KeyRing {
    fn held(&self) -> Option<Key> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, key: Option<Key>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = key;
    }

    /// The key to read with: `None` while there is no passphrase.
    pub(super) fn for_reading(&self, transaction: &ReadTransaction) -> Result<Option<Key>> {
        if has_vault(transaction)? { self.held().map(Some).ok_or_else(locked) } else { Ok(None) }
    }

    /// The key to write with: `None` while there is no passphrase.
    pub(super) fn for_writing(&self, transaction: &WriteTransaction) -> Result<Option<Key>> {
        let sealed = transaction.open_table(VAULT)?.get(ENTRY)?.is_some();
        if sealed { self.held().map(Some).ok_or_else(locked) } else { Ok(None) }
    }

    pub(super) fn state(&self, transaction: &ReadTransaction) -> Result<WalletState> {
        Ok(match (has_vault(transaction)?, self.held()) {
            (false, _) => WalletState::Plain,
            (true, None) => WalletState::Locked,
            (true, Some(_)) => WalletState::Unlocked,
        })
    }
}

impl Wallet {
    pub(super) async fn set_passphrase(&self, passphrase: &str) -> Result<()> {
        check_passphrase(passphrase)?;
        if self.store.read(|transaction| self.keys.state(transaction))? == WalletState::Locked {
            return Err(locked());
        }
        let passphrase = Zeroizing::new(passphrase.to_owned());
        let keys = self.keys.clone();
        let known = self.store.read(|transaction| self.keys.for_reading(transaction))?;
        let key = known.unwrap_or_else(Key::random);
        let (vault, key) = blocking(move || Ok((Vault::lock(&key, ENTRY, passphrase.as_bytes())?, key))).await?;
        self.store
            .write_async(move |transaction| {
                match keys.for_writing(transaction)? {
                    // Somebody set a passphrase meanwhile: `vault` may hold a key that nothing is encrypted with.
                    Some(present) if present != key => {
                        return Err(Error::conflict("the passphrase was changed at the same time"));
                    }
                    Some(_) => {}
                    None => seal_all(transaction, &key)?,
                }
                transaction.open_table(VAULT)?.insert(ENTRY, encode(&vault)?.as_str())?;
                // Before the commit, so that no reader finds the wallet locked; without the entry the key is not looked at.
                keys.hold(Some(key));
                Ok(())
            })
            .await
    }

    pub(super) async fn remove_passphrase(&self) -> Result<()> {
        let keys = self.keys.clone();
        self.store
            .write_async(move |transaction| {
                let key = keys.for_writing(transaction)?.ok_or_else(none)?;
                let sealed = transaction.open_table(SEALED)?;
                let mut plain = transaction.open_table(CREDENTIALS)?;
                for entry in sealed.iter()? {
                    let (id, sealed) = entry?;
                    let credential = unsealed(&key, id.value(), sealed.value())?;
                    plain.insert(id.value(), credential.to_json().as_str())?;
                    facts::put(transaction, &credential)?;
                }
                drop(sealed);
                transaction.delete_table(SEALED)?;
                transaction.open_table(VAULT)?.remove(ENTRY)?;
                Ok(())
            })
            .await?;
        if self.store.read(|transaction| self.keys.state(transaction))? == WalletState::Plain {
            self.keys.hold(None);
        }
        Ok(())
    }

    pub(super) async fn unlock(&self, passphrase: &str) -> Result<()> {
        let vault = self.store.read_async(vault).await?.ok_or_else(none)?;
        let passphrase = Zeroizing::new(passphrase.to_owned());
        let key = blocking(move || vault.open(ENTRY, passphrase.as_bytes())).await?;
        self.keys.hold(Some(key));
        Ok(())
    }

    pub(super) fn lock(&self) -> Result<()> {
        if self.store.read(|transaction| self.keys.state(transaction))? == WalletState::Plain {
            return Err(none());
        }
        self.keys.hold(None);
        Ok(())
    }
}

fn seal_all(transaction: &WriteTransaction, key: &Key) -> Result<()> {
    let plain = transaction.open_table(CREDENTIALS)?;
    let mut sealed = transaction.open_table(SEALED)?;
    for entry in plain.iter()? {
        let (id, text) = entry?;
        read(id.value(), text.value())?;
        sealed.insert(id.value(), key.seal(id.value(), text.value())?.as_slice())?;
    }
    drop(plain);
    transaction.delete_table(CREDENTIALS)?;
    made::changed(transaction)?;
    facts::clear(transaction)
}

fn has_vault(transaction: &ReadTransaction) -> Result<bool> {
    let Some(table) = existing(transaction.open_table(VAULT))? else { return Ok(false) };
    Ok(table.get(ENTRY)?.is_some())
}

fn vault(transaction: &ReadTransaction) -> Result<Option<Vault>> {
    let Some(table) = existing(transaction.open_table(VAULT))? else { return Ok(None) };
    table.get(ENTRY)?.map(|vault| decode("the passphrase", vault.value())).transpose()
}

fn locked() -> Error {
    Error::permission_denied("the wallet is locked").with_remedy("unlock it with its passphrase")
}

fn none() -> Error {
    Error::not_found("the wallet has no passphrase").with_remedy("set one first")
}
