//! What finds and opens a collection on another machine.
//!
//! A collection has a recovery key beside the keys of its epochs: 32 random bytes that repairs leave as they are and a rotation
//! replaces. It signs and encrypts the collection's [topology](super::topology), which has the key of the current epoch, and it
//! lets a machine that its hosts have never seen read what they keep. So a text that was exported once opens the collection until
//! the next rotation, whatever was put in meanwhile and whoever the hosts are by then.

use ed25519_dalek::{Signer as _, SigningKey};
use hkdf::Hkdf;
use jiff::{Timestamp, ToSpan};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::CollectionId;
use super::capability::{Capability, Grant, Right};
use super::random::fresh;
use crate::identity::{Did, Keypair};
use crate::vault::Key;
use crate::{Error, Result};

/// How long a machine may take to read what its hosts keep.
const READING_DAYS: i64 = 1;

/// The recovery key of a collection. Whoever has it can read the collection; its memory is wiped when it is dropped.
#[derive(Clone)]
pub(super) struct RecoveryKey {
    collection: CollectionId,
    secret: Key,
}

/// Which key is derived.
#[derive(Clone, Copy)]
enum Purpose {
    Sign,
    Seal,
}

impl Purpose {
    fn label(self) -> &'static str {
        match self {
            Purpose::Sign => "sign",
            Purpose::Seal => "seal",
        }
    }
}

impl RecoveryKey {
    pub(super) fn generate(collection: CollectionId) -> Result<RecoveryKey> {
        Ok(RecoveryKey::from_secret(collection, &fresh()?))
    }

    pub(super) fn from_secret(collection: CollectionId, secret: &[u8; 32]) -> RecoveryKey {
        RecoveryKey { collection, secret: Key::from_bytes(Zeroizing::new(*secret)) }
    }

    pub(super) fn of(collection: CollectionId, secret: Key) -> RecoveryKey {
        RecoveryKey { collection, secret }
    }

    pub(super) fn collection(&self) -> CollectionId {
        self.collection
    }

    /// As the owner's database keeps it.
    pub(super) fn secret(&self) -> &[u8; 32] {
        self.secret.bytes()
    }

    pub(super) fn key(&self) -> &Key {
        &self.secret
    }

    /// By which hosts know it.
    pub(super) fn author(&self) -> Result<Did> {
        Did::from_public_key(self.signing()?.verifying_key().to_bytes())
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<[u8; 64]> {
        Ok(self.signing()?.sign(message).to_bytes())
    }

    pub(super) fn sealing(&self) -> Result<Zeroizing<[u8; 32]>> {
        self.derive(Purpose::Seal)
    }

    /// What lets `holder` read a site at a host that knows this key as the owner's.
    pub(super) async fn reader(&self, holder: Did, host: Did, site: CollectionId, now: Timestamp) -> Result<String> {
        let expires = now
            .checked_add((READING_DAYS * 24).hours())
            .map_err(|error| Error::internal("a day cannot be counted on").with_source(error))?;
        let rights = [Right::Read, Right::Search].into();
        let grant = Grant { holder, host, collection: site, rights, quota: None, expires };
        let signer = Keypair::from_seed(*self.derive(Purpose::Sign)?).signer()?;
        Ok(Capability::issue(&*signer, grant, fresh()?, now).await?.as_str().to_owned())
    }

    fn signing(&self) -> Result<SigningKey> {
        Ok(SigningKey::from_bytes(&*self.derive(Purpose::Sign)?))
    }

    fn derive(&self, purpose: Purpose) -> Result<Zeroizing<[u8; 32]>> {
        let mut key = Zeroizing::new([0; 32]);
        let label = format!("kwaainet/vpk/recovery/1/{}/{}", self.collection, purpose.label());
        Hkdf::<Sha256>::new(None, self.secret.bytes())
            .expand(label.as_bytes(), key.as_mut_slice())
            .map_err(|_| Error::internal("a key cannot be derived"))?;
        Ok(key)
    }
}
