//! Credentials encrypted under a passphrase.

use std::sync::{Arc, PoisonError, RwLock};

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::score::facts;
use super::super::{decode, encode};
use super::{CREDENTIALS, SEALED, Wallet, read, unsealed};
use crate::store::existing;
use crate::{Error, Result};

/// The longest passphrase, in bytes.
pub const MAX_PASSPHRASE: usize = 1024;

/// `vault` → the key of the credentials, encrypted under the passphrase. There is a passphrase while this is there.
const VAULT: TableDefinition<&str, &str> = TableDefinition::new("trust.vault");
const ENTRY: &str = "vault";

/// The second choice of RFC 9106 §4: 64 MiB, 3 passes, 4 lanes.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;

/// A damaged file must not ask for all the memory of the machine.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 64;

const NONCE: usize = 24;

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

/// The key that encrypts credentials. Its memory is wiped when it is dropped.
#[derive(Clone)]
pub(super) struct Key(Zeroizing<[u8; 32]>);

impl Key {
    fn random() -> Key {
        Key(Zeroizing::new(rand::random()))
    }

    fn of(passphrase: &[u8], salt: &[u8], cost: &Cost) -> Result<Key> {
        let unusable = |error: argon2::Error| {
            Error::corrupt_data(format!("the passphrase's parameters cannot be used: {error}"))
                .with_remedy("restore the data directory from a backup")
        };
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(unusable)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase, salt, key.as_mut_slice())
            .map_err(unusable)?;
        Ok(Key(key))
    }

    /// Encrypts a text for one place: what was sealed for another identifier does not open there.
    pub(super) fn seal(&self, id: &str, text: &str) -> Result<Vec<u8>> {
        let nonce: [u8; NONCE] = rand::random();
        let payload = Payload { msg: text.as_bytes(), aad: id.as_bytes() };
        let sealed = self.cipher().and_then(|cipher| cipher.encrypt(&XNonce::from(nonce), payload).ok());
        let sealed = sealed.ok_or_else(|| Error::internal("a credential cannot be encrypted"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    pub(super) fn unseal(&self, id: &str, sealed: &[u8]) -> Option<Zeroizing<String>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: sealed, aad: id.as_bytes() };
        let text = self.cipher()?.decrypt(&XNonce::from(*nonce), payload).ok()?;
        String::from_utf8(text).ok().map(Zeroizing::new)
    }

    fn cipher(&self) -> Option<XChaCha20Poly1305> {
        XChaCha20Poly1305::new_from_slice(self.0.as_slice()).ok()
    }
}

/// What Argon2id was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Cost {
    memory_kib: u32,
    passes: u32,
    lanes: u32,
}

/// The key of the credentials as it lies in the database.
#[derive(Serialize, Deserialize)]
struct Vault {
    kdf: String,
    cost: Cost,
    salt: String,
    key: String,
}

const KDF: &str = "argon2id";

impl Vault {
    /// Takes as long as the passphrase is meant to cost; not for an async worker.
    fn lock(key: &Key, passphrase: &[u8]) -> Result<Vault> {
        let cost = Cost { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES };
        let salt: [u8; 16] = rand::random();
        let wrapping = Key::of(passphrase, &salt, &cost)?;
        let text = Zeroizing::new(STANDARD_NO_PAD.encode(key.0.as_slice()));
        let sealed = wrapping.seal(ENTRY, &text)?;
        Ok(Vault { kdf: KDF.into(), cost, salt: STANDARD_NO_PAD.encode(salt), key: STANDARD_NO_PAD.encode(sealed) })
    }

    /// As slow as [`Vault::lock`].
    fn open(&self, passphrase: &[u8]) -> Result<Key> {
        let damaged = || {
            Error::corrupt_data("the wallet's encrypted key is damaged")
                .with_remedy("restore the data directory from a backup")
        };
        if self.kdf != KDF || self.cost.memory_kib > MOST_MEMORY_KIB || self.cost.passes > MOST_PASSES {
            return Err(damaged());
        }
        let salt = STANDARD_NO_PAD.decode(&self.salt).map_err(|_| damaged())?;
        let sealed = STANDARD_NO_PAD.decode(&self.key).map_err(|_| damaged())?;
        let text = Key::of(passphrase, &salt, &self.cost)?.unseal(ENTRY, &sealed);
        let text = text.ok_or_else(|| Error::permission_denied("the passphrase is wrong"))?;
        let key = Zeroizing::new(STANDARD_NO_PAD.decode(text.as_bytes()).map_err(|_| damaged())?);
        let key: [u8; 32] = key.as_slice().try_into().map_err(|_| damaged())?;
        Ok(Key(Zeroizing::new(key)))
    }
}

/// The key, once the passphrase was given; shared by the clones of a wallet. Whether there is a passphrase at all is what
/// the database says.
#[derive(Clone, Default)]
pub(super) struct KeyRing(Arc<RwLock<Option<Key>>>);

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
        if passphrase.is_empty() || passphrase.len() > MAX_PASSPHRASE {
            return Err(Error::invalid_argument(format!("a passphrase has 1 to {MAX_PASSPHRASE} bytes")));
        }
        if self.store.read(|transaction| self.keys.state(transaction))? == WalletState::Locked {
            return Err(locked());
        }
        let passphrase = Zeroizing::new(passphrase.to_owned());
        let keys = self.keys.clone();
        let known = self.store.read(|transaction| self.keys.for_reading(transaction))?;
        let key = known.unwrap_or_else(Key::random);
        let (vault, key) = blocking(move || Ok((Vault::lock(&key, passphrase.as_bytes())?, key))).await?;
        self.store
            .write_async(move |transaction| {
                match keys.for_writing(transaction)? {
                    // Somebody set a passphrase meanwhile: `vault` may hold a key that nothing is encrypted with.
                    Some(present) if present.0 != key.0 => {
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
        let key = blocking(move || vault.open(passphrase.as_bytes())).await?;
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

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|error| Err(Error::internal("a key was not derived").with_source(error)))
}

fn locked() -> Error {
    Error::permission_denied("the wallet is locked").with_remedy("unlock it with its passphrase")
}

fn none() -> Error {
    Error::not_found("the wallet has no passphrase").with_remedy("set one first")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    /// Made by another implementation of Argon2id and ChaCha20-Poly1305, with HChaCha20 after its draft §2.2.
    const GOLDEN: &str = r#"{"kdf":"argon2id","cost":{"memory_kib":65536,"passes":3,"lanes":4},"salt":"AAECAwQFBgcICQoLDA0ODw","key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYX4iqXyuV+u7c5XY8CZPOj2nso5IEQvepoIp8oI0nALwU9vx8JUOoPnnvChyW4CVXnlZ7hgFfffprTe/s"}"#;
    const SEALED: &str = "MjM0NTY3ODk6Ozw9Pj9AQUJDREVGR0hJ/KqI4Dm9b5vtrXzrOBu9P+1l5jtUvcmCMVDjkw";

    #[test]
    fn a_vault_of_another_make_opens_and_only_with_its_passphrase() {
        let vault: Vault = serde_json::from_str(GOLDEN).unwrap();
        assert_eq!(vault.open(b"correct hors").err().unwrap().code(), ErrorCode::PermissionDenied);
        let key = vault.open(b"correct horse").unwrap();
        assert_eq!(*key.0, std::array::from_fn(|at| 100 + at as u8));
        let sealed = STANDARD_NO_PAD.decode(SEALED).unwrap();
        assert_eq!(key.unseal("urn:kwaai:vc:1", &sealed).unwrap().as_str(), "a credential");
        assert!(key.unseal("urn:kwaai:vc:2", &sealed).is_none(), "it was sealed for another place");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(key.unseal("urn:kwaai:vc:1", &changed).is_none(), "byte {at}");
            assert!(key.unseal("urn:kwaai:vc:1", &sealed[..at]).is_none(), "cut at {at}");
        }
        let ours = Vault::lock(&key, b"another").unwrap();
        assert_eq!(ours.cost, vault.cost);
        assert_eq!(*ours.open(b"another").unwrap().0, *key.0);
    }

    #[test]
    fn a_damaged_vault_asks_for_no_memory_and_no_time() {
        for (from, to) in [
            ("65536", "4000000000"),
            ("\"passes\":3", "\"passes\":4000000000"),
            ("argon2id", "scrypt"),
            ("AAECAwQFBgcICQoLDA0ODw\"", "!\""),
        ] {
            let vault: Vault = serde_json::from_str(&GOLDEN.replace(from, to)).unwrap();
            assert_eq!(vault.open(b"correct horse").err().unwrap().code(), ErrorCode::CorruptData, "{to}");
        }
        let vault: Vault = serde_json::from_str(&GOLDEN.replace("\"lanes\":4", "\"lanes\":0")).unwrap();
        assert_eq!(vault.open(b"correct horse").err().unwrap().code(), ErrorCode::CorruptData);
    }
}
