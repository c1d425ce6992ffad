//! A secret key encrypted under a passphrase.
//!
//! Argon2id makes of the passphrase the key that encrypts the key, with XChaCha20-Poly1305. See
//! `docs/decisions/015-a-passphrase-for-the-wallet.md`.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{Error, Result};

/// The longest passphrase, in bytes.
pub const MAX_PASSPHRASE: usize = 1024;

/// The second choice of RFC 9106 §4: 64 MiB, 3 passes, 4 lanes.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 4;

/// A damaged file must not ask for all the memory of the machine.
const MOST_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 64;

pub(crate) const NONCE: usize = 24;

/// Refuses a passphrase that is empty or too long.
pub(crate) fn check_passphrase(passphrase: &str) -> Result<()> {
    if passphrase.is_empty() || passphrase.len() > MAX_PASSPHRASE {
        return Err(Error::invalid_argument(format!("a passphrase has 1 to {MAX_PASSPHRASE} bytes")));
    }
    Ok(())
}

/// A key of 32 bytes that encrypts. Its memory is wiped when it is dropped.
#[derive(Clone, PartialEq)]
pub(crate) struct Key(Zeroizing<[u8; 32]>);

impl Key {
    pub(crate) fn random() -> Key {
        Key(Zeroizing::new(rand::random()))
    }

    #[cfg(feature = "vpk")]
    pub(crate) fn from_bytes(bytes: Zeroizing<[u8; 32]>) -> Key {
        Key(bytes)
    }

    #[cfg(feature = "vpk")]
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    fn of(passphrase: &[u8], salt: &[u8], cost: &Cost) -> Result<Key> {
        let unusable = |error: argon2::Error| {
            Error::corrupt_data(format!("the passphrase's parameters cannot be used: {error}"))
                .with_remedy("restore the file from a backup")
        };
        let params = Params::new(cost.memory_kib, cost.passes, cost.lanes, Some(32)).map_err(unusable)?;
        let mut key = Zeroizing::new([0; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(passphrase, salt, key.as_mut_slice())
            .map_err(unusable)?;
        Ok(Key(key))
    }

    /// Encrypts a text for one place: what was sealed for another identifier does not open there.
    pub(crate) fn seal(&self, id: &str, text: &str) -> Result<Vec<u8>> {
        let nonce: [u8; NONCE] = rand::random();
        let payload = Payload { msg: text.as_bytes(), aad: id.as_bytes() };
        let sealed = self.cipher().and_then(|cipher| cipher.encrypt(&XNonce::from(nonce), payload).ok());
        let sealed = sealed.ok_or_else(|| Error::internal("a text cannot be encrypted"))?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    pub(crate) fn unseal(&self, id: &str, sealed: &[u8]) -> Option<Zeroizing<String>> {
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

/// A key as it is written down.
#[derive(Serialize, Deserialize)]
pub(crate) struct Vault {
    kdf: String,
    cost: Cost,
    salt: String,
    key: String,
}

const KDF: &str = "argon2id";

impl Vault {
    /// Encrypts a key for one place. Takes as long as the passphrase is meant to cost; not for an async worker.
    pub(crate) fn lock(key: &Key, place: &str, passphrase: &[u8]) -> Result<Vault> {
        let cost = Cost { memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES };
        let salt: [u8; 16] = rand::random();
        let wrapping = Key::of(passphrase, &salt, &cost)?;
        let text = Zeroizing::new(STANDARD_NO_PAD.encode(key.0.as_slice()));
        let sealed = wrapping.seal(place, &text)?;
        Ok(Vault { kdf: KDF.into(), cost, salt: STANDARD_NO_PAD.encode(salt), key: STANDARD_NO_PAD.encode(sealed) })
    }

    /// As slow as [`Vault::lock`].
    pub(crate) fn open(&self, place: &str, passphrase: &[u8]) -> Result<Key> {
        let damaged =
            || Error::corrupt_data("the encrypted key is damaged").with_remedy("restore the file from a backup");
        if self.kdf != KDF || self.cost.memory_kib > MOST_MEMORY_KIB || self.cost.passes > MOST_PASSES {
            return Err(damaged());
        }
        let salt = STANDARD_NO_PAD.decode(&self.salt).map_err(|_| damaged())?;
        let sealed = STANDARD_NO_PAD.decode(&self.key).map_err(|_| damaged())?;
        let text = Key::of(passphrase, &salt, &self.cost)?.unseal(place, &sealed);
        let text = text.ok_or_else(|| Error::permission_denied("the passphrase is wrong"))?;
        let key = Zeroizing::new(STANDARD_NO_PAD.decode(text.as_bytes()).map_err(|_| damaged())?);
        let key: [u8; 32] = key.as_slice().try_into().map_err(|_| damaged())?;
        Ok(Key(Zeroizing::new(key)))
    }
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
        assert_eq!(vault.open("vault", b"correct hors").err().unwrap().code(), ErrorCode::PermissionDenied);
        let key = vault.open("vault", b"correct horse").unwrap();
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
        let ours = Vault::lock(&key, "vault", b"another").unwrap();
        assert_eq!(ours.cost, vault.cost);
        assert_eq!(*ours.open("vault", b"another").unwrap().0, *key.0);
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
            assert_eq!(vault.open("vault", b"correct horse").err().unwrap().code(), ErrorCode::CorruptData, "{to}");
        }
        let vault: Vault = serde_json::from_str(&GOLDEN.replace("\"lanes\":4", "\"lanes\":0")).unwrap();
        assert_eq!(vault.open("vault", b"correct horse").err().unwrap().code(), ErrorCode::CorruptData);
    }
}
