//! The secrets of a collection.
//!
//! One random root per collection and epoch, never made from the node's identity, so that a new identity does not lose the
//! corpus. Everything else is derived from it by HKDF-SHA256 (RFC 5869), one label for each purpose, so that no key serves two.

use std::fmt;

use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::payload::PayloadPlace;
use super::random::fresh;
use super::request::PayloadName;
use crate::vault::{Key, Vault, check_passphrase};
use crate::{Error, Result};

pub(super) const FORMAT: &str = "kwaainet/vpk/key/1";
/// An exported key is a few hundred bytes.
const MAX_EXPORT: usize = 4096;

/// Which collection. Hosts see it, and learn nothing from it: it is random.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CollectionId(pub [u8; 16]);

impl fmt::Display for CollectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CollectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for CollectionId {
    type Err = Error;

    fn from_str(text: &str) -> Result<CollectionId> {
        let wrong = || Error::invalid_argument("a collection's id has 32 hexadecimal digits");
        let mut id = [0; 16];
        if text.len() != 32 || !text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)) {
            return Err(wrong());
        }
        for (byte, at) in id.iter_mut().zip((0..32).step_by(2)) {
            *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(CollectionId(id))
    }
}

/// What a derived key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Mask,
    Check,
    Payload,
    Manifest,
    Name,
}

impl Purpose {
    fn label(self) -> &'static str {
        match self {
            Purpose::Mask => "mask",
            Purpose::Check => "check",
            Purpose::Payload => "payload",
            Purpose::Manifest => "manifest",
            Purpose::Name => "name",
        }
    }
}

/// The root key of a collection in one epoch. Whoever has it can read the collection; its memory is wiped when it is dropped.
#[derive(Clone)]
pub struct CollectionKey {
    collection: CollectionId,
    epoch: u32,
    root: Key,
}

impl fmt::Debug for CollectionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CollectionKey").field("collection", &self.collection).field("epoch", &self.epoch).finish()
    }
}

impl CollectionKey {
    /// A key for a new collection, in epoch 1.
    ///
    /// # Errors
    /// `internal` when the operating system gives no random numbers.
    pub fn generate() -> Result<CollectionKey> {
        Ok(CollectionKey { collection: CollectionId(fresh()?), epoch: 1, root: new_root()? })
    }

    /// The collection that it belongs to.
    pub fn collection(&self) -> CollectionId {
        self.collection
    }

    /// How often the key was replaced, from 1.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// A key for the next epoch. It is random again and not derived, so whoever had the old one cannot read what is sealed
    /// from now on.
    ///
    /// # Errors
    /// `internal` when the operating system gives no random numbers; `resource_exhausted` after 4,294,967,295 epochs.
    pub fn next_epoch(&self) -> Result<CollectionKey> {
        let epoch = self.epoch.checked_add(1).ok_or_else(|| Error::resource_exhausted("there are no epochs left"))?;
        Ok(CollectionKey { collection: self.collection, epoch, root: new_root()? })
    }

    /// The key of this epoch as text that opens with a passphrase, for a program that seals and asks by an [`Owner`](super::Owner)
    /// of its own and keeps its segments itself. A [`Collection`](super::Collection) is exported by
    /// [`export_key`](super::Collection::export_key), whose text finds the hosts too and outlives an epoch; neither reads the
    /// other's.
    ///
    /// Takes as long as the passphrase is meant to cost, about a tenth of a second, and 64 MiB of memory.
    ///
    /// # Errors
    /// `invalid_argument` for an empty passphrase or one above 1,024 bytes.
    pub fn export(&self, passphrase: &str) -> Result<String> {
        check_passphrase(passphrase)?;
        let vault = Vault::lock(&self.root, &self.place(), passphrase.as_bytes())?;
        let export =
            Export { format: FORMAT.into(), collection: self.collection.to_string(), epoch: self.epoch, vault };
        serde_json::to_string(&export).map_err(|error| Error::internal("a key cannot be written").with_source(error))
    }

    /// The key from a text that [`export`](CollectionKey::export) made. As slow as that.
    ///
    /// # Errors
    /// `permission_denied` when the passphrase is wrong, or the text names another collection or epoch than it was made for;
    /// `corrupt_data` when the text is damaged; `unsupported` when it has a newer form, or is that of a collection.
    pub fn import(text: &str, passphrase: &str) -> Result<CollectionKey> {
        check_passphrase(passphrase)?;
        let damaged = || Error::corrupt_data("the exported key is damaged");
        if text.len() > MAX_EXPORT {
            return Err(damaged());
        }
        let found: Value = serde_json::from_str(text).map_err(|error| damaged().with_source(error))?;
        match found.get("format").and_then(Value::as_str) {
            Some(FORMAT) => {}
            Some(other) if other.starts_with("kwaainet/vpk/export/") => {
                return Err(Error::unsupported("this is the key by which a whole collection is found and opened")
                    .with_remedy("recover the collection with it"));
            }
            Some(_) => {
                return Err(Error::unsupported("the exported key has a form that this library does not know")
                    .with_remedy("use a newer kwaainet"));
            }
            None => return Err(damaged()),
        }
        let export: Export = serde_json::from_value(found).map_err(|error| damaged().with_source(error))?;
        let collection = export.collection.parse().map_err(|_| damaged())?;
        let root = export.vault.open(&place(collection, export.epoch), passphrase.as_bytes())?;
        Ok(CollectionKey { collection, epoch: export.epoch, root })
    }

    pub(super) fn derive(&self, purpose: Purpose) -> Result<Zeroizing<[u8; 32]>> {
        let mut key = Zeroizing::new([0; 32]);
        let label = format!("{}/{}", self.place(), purpose.label());
        Hkdf::<Sha256>::new(None, self.root.bytes())
            .expand(label.as_bytes(), key.as_mut_slice())
            .map_err(|_| Error::internal("a key cannot be derived"))?;
        Ok(key)
    }

    /// The key as the owner's database keeps it, to be made again by [`CollectionKey::from_root`].
    pub(super) fn root(&self) -> &[u8; 32] {
        self.root.bytes()
    }

    pub(super) fn from_root(collection: CollectionId, epoch: u32, root: &[u8; 32]) -> CollectionKey {
        CollectionKey { collection, epoch, root: Key::from_bytes(Zeroizing::new(*root)) }
    }

    /// Under which name hosts keep the payload of a place: nobody else can tell which it is, or that two belong together.
    pub(super) fn payload_name(&self, place: PayloadPlace) -> Result<PayloadName> {
        let mut name = [0; 16];
        let info = [place.id.to_le_bytes().as_slice(), &place.version.to_le_bytes()].concat();
        Hkdf::<Sha256>::new(None, self.derive(Purpose::Name)?.as_slice())
            .expand(&info, &mut name)
            .map_err(|_| Error::internal("a name cannot be derived"))?;
        Ok(name)
    }

    fn place(&self) -> String {
        place(self.collection, self.epoch)
    }
}

fn place(collection: CollectionId, epoch: u32) -> String {
    format!("kwaainet/vpk/1/{collection}/{epoch}")
}

fn new_root() -> Result<Key> {
    Ok(Key::from_bytes(Zeroizing::new(fresh()?)))
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Export {
    format: String,
    collection: String,
    epoch: u32,
    vault: Vault,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    pub(in super::super) fn fixed(epoch: u32) -> CollectionKey {
        CollectionKey {
            collection: CollectionId([0xab; 16]),
            epoch,
            root: Key::from_bytes(Zeroizing::new(std::array::from_fn(|at| at as u8))),
        }
    }

    #[test]
    fn each_purpose_and_epoch_has_its_own_key_and_the_labels_are_on_record() {
        let hex = |key: Zeroizing<[u8; 32]>| key.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        // Made with Python's hmac after RFC 5869, no salt.
        assert_eq!(hex(fixed(1).derive(Purpose::Mask).unwrap()), GOLDEN_MASK);
        let mut seen: Vec<String> = Vec::new();
        for epoch in [1, 2] {
            for purpose in [Purpose::Mask, Purpose::Check, Purpose::Payload, Purpose::Manifest] {
                seen.push(hex(fixed(epoch).derive(purpose).unwrap()));
            }
        }
        let all = seen.len();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), all);
    }

    #[test]
    fn an_exported_key_opens_with_its_passphrase_and_for_its_own_epoch() {
        let key = CollectionKey::generate().unwrap().next_epoch().unwrap();
        let text = key.export("correct horse").unwrap();
        let again = CollectionKey::import(&text, "correct horse").unwrap();
        assert_eq!((again.collection(), again.epoch()), (key.collection(), 2));
        assert_eq!(*again.derive(Purpose::Mask).unwrap(), *key.derive(Purpose::Mask).unwrap());
        let code = |text: &str, passphrase: &str| CollectionKey::import(text, passphrase).unwrap_err().code();
        assert_eq!(code(&text, "wrong horse"), ErrorCode::PermissionDenied);
        assert_eq!(code(&text.replace("\"epoch\":2", "\"epoch\":3"), "correct horse"), ErrorCode::PermissionDenied);
        assert_eq!(code(&text.replace("key/1", "key/2"), "correct horse"), ErrorCode::Unsupported);
        assert_eq!(code(&text[1..], "correct horse"), ErrorCode::CorruptData);
        assert_eq!(code("{}", "correct horse"), ErrorCode::CorruptData);
        let of_a_collection = CollectionKey::import(&text.replace("key/1", "export/1"), "correct horse").unwrap_err();
        assert_eq!(of_a_collection.code(), ErrorCode::Unsupported);
        assert!(of_a_collection.to_string().contains("recover the collection"), "{of_a_collection}");
        assert_eq!(code(&text, ""), ErrorCode::InvalidArgument);
        assert_eq!(key.export("").unwrap_err().code(), ErrorCode::InvalidArgument);
        assert!(!format!("{key:?}").contains("root"));
    }

    #[test]
    fn every_epoch_has_a_root_of_its_own() {
        let first = CollectionKey::generate().unwrap();
        let second = first.next_epoch().unwrap();
        assert_ne!(first.root.bytes(), second.root.bytes());
        assert_eq!(first.collection(), second.collection());
    }

    const GOLDEN_MASK: &str = "635aac19827015b2f2c47dccfd3767093961dd4906967955c56f86e5a95c75e6";
}
