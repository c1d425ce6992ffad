//! A recovery key as text, for another machine or a drawer.
//!
//! The text has what is needed to find the collection again: its id, the hosts that it had, and how far it was when it was
//! exported, so that hosts cannot hand out an older state. The key is encrypted under a passphrase, or to one machine; all else is
//! in the clear and authenticated with it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::device::{Device, DeviceKey, Wrapped};
use super::recovery::RecoveryKey;
use super::{CollectionId, HostName, key, split};
use crate::identity::{Did, Signer};
use crate::trust::statement::{self, Reader};
use crate::vault::{Vault, check_passphrase};
use crate::{Error, Result};

const FORMAT: &str = "kwaainet/vpk/export/1";
const KIND: &str = "VpkExport";
/// 16 hosts and a key take less than half of it.
const MAX_EXPORT: usize = 4096;

/// What opens an exported key.
#[derive(Clone, Copy)]
pub enum Unlock<'a> {
    /// The passphrase under which it was exported.
    Passphrase(&'a str),
    /// This machine, for which the node of this identity exported it.
    ExportedBy(Did),
}

/// The same, for a thread.
pub(super) enum OwnedUnlock {
    Passphrase(Zeroizing<String>),
    ExportedBy(Did),
}

impl Unlock<'_> {
    pub(super) fn owned(&self) -> OwnedUnlock {
        match self {
            Unlock::Passphrase(passphrase) => OwnedUnlock::Passphrase(Zeroizing::new((*passphrase).to_owned())),
            Unlock::ExportedBy(owner) => OwnedUnlock::ExportedBy(*owner),
        }
    }
}

impl OwnedUnlock {
    pub(super) fn borrowed(&self) -> Unlock<'_> {
        match self {
            OwnedUnlock::Passphrase(passphrase) => Unlock::Passphrase(passphrase),
            OwnedUnlock::ExportedBy(owner) => Unlock::ExportedBy(*owner),
        }
    }
}

/// How far a collection was, and where, when its key was exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whereabouts {
    pub(super) collection: CollectionId,
    pub(super) epoch: u32,
    pub(super) sequence: u64,
    pub(super) hosts: Vec<HostName>,
}

impl Whereabouts {
    /// What is authenticated with the key.
    fn place(&self) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(HostName::to_string).collect();
        format!("{FORMAT}/{}/{}/{}/{}", self.collection, self.epoch, self.sequence, hosts.join(","))
    }

    fn names(&self) -> Vec<String> {
        self.hosts.iter().map(HostName::to_string).collect()
    }

    fn read(collection: &str, epoch: u32, sequence: u64, hosts: &[String]) -> Result<Whereabouts> {
        let hosts = hosts.iter().map(|host| host.parse()).collect::<Result<Vec<HostName>>>().map_err(|_| damaged())?;
        if hosts.len() > split::MAX_HOSTS {
            return Err(damaged());
        }
        let collection = collection.parse().map_err(|_| damaged())?;
        Ok(Whereabouts { collection, epoch, sequence, hosts })
    }
}

/// Encrypts a recovery key under a passphrase. Not for an async worker: it takes a tenth of a second and 64 MiB of memory.
pub(super) fn under_passphrase(key: &RecoveryKey, about: &Whereabouts, passphrase: &str) -> Result<String> {
    check_passphrase(passphrase)?;
    let export = Export {
        format: FORMAT.into(),
        collection: about.collection.to_string(),
        epoch: about.epoch,
        sequence: about.sequence,
        hosts: about.names(),
        vault: Vault::lock(key.key(), &about.place(), passphrase.as_bytes())?,
    };
    serde_json::to_string(&export).map_err(|error| Error::internal("a key cannot be written").with_source(error))
}

/// Encrypts a recovery key to a machine, and signs that this node did.
pub(super) async fn to_device(
    key: &RecoveryKey,
    about: &Whereabouts,
    device: &Device,
    signer: &dyn Signer,
) -> Result<String> {
    let wrapped = device.wrap(&about.place(), key.secret())?;
    let mut members = Map::new();
    members.insert("owner".into(), signer.did().to_string().into());
    members.insert("device".into(), device.did.to_string().into());
    members.insert("collection".into(), about.collection.to_string().into());
    members.insert("epoch".into(), about.epoch.into());
    members.insert("sequence".into(), about.sequence.into());
    members.insert("hosts".into(), about.names().into());
    members.insert("encapsulated".into(), STANDARD_NO_PAD.encode(wrapped.encapsulated).into());
    members.insert("sealed".into(), STANDARD_NO_PAD.encode(&wrapped.sealed).into());
    statement::sign(KIND, members, signer).await
}

/// Opens what one of these made. `here` is this node, whose machine's key is `device`.
///
/// # Errors
/// `permission_denied` when the passphrase is wrong, it is for another machine or was exported by somebody else;
/// `corrupt_data` when it was changed; `unsupported` when it has a newer form.
pub(super) fn open(text: &str, unlock: Unlock, here: Did, device: &DeviceKey) -> Result<(RecoveryKey, Whereabouts)> {
    if text.len() > MAX_EXPORT {
        return Err(damaged());
    }
    match unlock {
        Unlock::Passphrase(passphrase) => open_with_passphrase(text, passphrase),
        Unlock::ExportedBy(owner) => open_at_device(text, owner, here, device),
    }
}

fn open_with_passphrase(text: &str, passphrase: &str) -> Result<(RecoveryKey, Whereabouts)> {
    check_passphrase(passphrase)?;
    let found: Value = serde_json::from_str(text).map_err(|error| damaged().with_source(error))?;
    match found.get("format").and_then(Value::as_str) {
        Some(FORMAT) => {}
        Some(key::FORMAT) => {
            return Err(Error::unsupported("this is the key of one epoch, by which no collection is found")
                .with_remedy("export the collection's key instead"));
        }
        Some(_) => {
            return Err(Error::unsupported("the exported key has a form that this library does not know")
                .with_remedy("use a newer kwaainet"));
        }
        None if found.get("type").is_some_and(|kind| kind == KIND) => {
            return Err(Error::permission_denied("the key was exported for a machine, and no passphrase opens it"));
        }
        None => return Err(damaged()),
    }
    let export: Export = serde_json::from_value(found).map_err(|error| damaged().with_source(error))?;
    let about = Whereabouts::read(&export.collection, export.epoch, export.sequence, &export.hosts)?;
    let key = export.vault.open(&about.place(), passphrase.as_bytes())?;
    Ok((RecoveryKey::of(about.collection, key), about))
}

fn open_at_device(text: &str, from: Did, here: Did, device: &DeviceKey) -> Result<(RecoveryKey, Whereabouts)> {
    let (mut reader, owner) = Reader::open(KIND, text, MAX_EXPORT, "owner")?;
    if owner != from {
        return Err(Error::permission_denied("the key was exported by somebody else").with("owner", owner));
    }
    let to = reader.did("device")?;
    if to != here {
        return Err(Error::permission_denied("the key was exported for another machine").with("device", to));
    }
    let collection = reader.text("collection")?;
    let (epoch, sequence) =
        (reader.optional("epoch")?.unwrap_or_default(), reader.optional("sequence")?.unwrap_or_default());
    let hosts: Vec<String> = reader.optional("hosts")?.unwrap_or_default();
    let encapsulated = decoded(&reader.text("encapsulated")?)?.try_into().map_err(|_| damaged())?;
    let sealed = decoded(&reader.text("sealed")?)?;
    reader.end()?;
    let about = Whereabouts::read(&collection, epoch, sequence, &hosts)?;
    let secret = device.unwrap(&about.place(), &Wrapped { encapsulated, sealed })?;
    let secret: &[u8; 32] = secret.as_slice().try_into().map_err(|_| damaged())?;
    Ok((RecoveryKey::from_secret(about.collection, secret), about))
}

fn decoded(text: &str) -> Result<Vec<u8>> {
    STANDARD_NO_PAD.decode(text).map_err(|_| damaged())
}

fn damaged() -> Error {
    Error::corrupt_data("the exported key is damaged").with_remedy("use another copy of it")
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Export {
    format: String,
    collection: String,
    epoch: u32,
    sequence: u64,
    hosts: Vec<String>,
    vault: Vault,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ErrorCode;
    use crate::identity::Keypair;

    const HOST: &str = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN";

    fn whereabouts() -> Whereabouts {
        let collection = CollectionId([0xab; 16]);
        Whereabouts { collection, epoch: 3, sequence: 9, hosts: vec![HOST.parse().unwrap()] }
    }

    fn recovery() -> RecoveryKey {
        RecoveryKey::from_secret(CollectionId([0xab; 16]), &std::array::from_fn(|at| at as u8))
    }

    fn device() -> DeviceKey {
        DeviceKey(Zeroizing::new([7; 32]))
    }

    fn did(seed: u8) -> Did {
        Keypair::from_seed([seed; 32]).did().unwrap()
    }

    fn opened(text: &str, unlock: Unlock) -> Result<(RecoveryKey, Whereabouts)> {
        open(text, unlock, did(6), &device())
    }

    fn code(text: &str, unlock: Unlock) -> ErrorCode {
        opened(text, unlock).err().unwrap().code()
    }

    #[test]
    fn a_key_under_a_passphrase_opens_with_it_and_nothing_beside_it_can_be_changed() {
        let right = Unlock::Passphrase("correct horse");
        for text in [GOLDEN.to_owned(), under_passphrase(&recovery(), &whereabouts(), "correct horse").unwrap()] {
            let (key, about) = opened(&text, right).unwrap();
            assert_eq!((key.secret(), about), (recovery().secret(), whereabouts()));
        }
        assert_eq!(code(GOLDEN, Unlock::Passphrase("wrong horse")), ErrorCode::PermissionDenied);
        assert_eq!(code(GOLDEN, Unlock::Passphrase("")), ErrorCode::InvalidArgument);
        for (from, to, expected) in [
            ("\"epoch\":3", "\"epoch\":2", ErrorCode::PermissionDenied),
            ("\"sequence\":9", "\"sequence\":1", ErrorCode::PermissionDenied),
            (&format!("\"{HOST}\""), "", ErrorCode::PermissionDenied),
            ("abab", "abac", ErrorCode::PermissionDenied),
            ("export/1", "export/2", ErrorCode::Unsupported),
            ("vpk/export/1", "vpk/key/1", ErrorCode::Unsupported),
            ("\"format\"", "\"form\"", ErrorCode::CorruptData),
            ("{\"format\"", "{\"more\":1,\"format\"", ErrorCode::CorruptData),
            (HOST, "no host", ErrorCode::CorruptData),
        ] {
            assert_eq!(code(&GOLDEN.replacen(from, to, 1), right), expected, "{to}");
        }
        assert_eq!(code(&"x".repeat(MAX_EXPORT + 1), right), ErrorCode::CorruptData);
    }

    #[tokio::test]
    async fn a_key_for_a_machine_opens_there_for_who_names_the_one_that_exported_it() {
        let signer = Keypair::from_seed([5; 32]).signer().unwrap();
        let to =
            Device::read(&device().statement(&*Keypair::from_seed([6; 32]).signer().unwrap()).await.unwrap()).unwrap();
        let ours = to_device(&recovery(), &whereabouts(), &to, &*signer).await.unwrap();
        let right = Unlock::ExportedBy(did(5));
        for text in [FOR_A_DEVICE, &ours] {
            let (key, about) = opened(text, right).unwrap();
            assert_eq!((key.secret(), about), (recovery().secret(), whereabouts()));
        }
        assert_eq!(code(&ours, Unlock::ExportedBy(did(4))), ErrorCode::PermissionDenied);
        assert_eq!(code(&ours, Unlock::Passphrase("correct horse")), ErrorCode::PermissionDenied);
        assert_eq!(code(GOLDEN, right), ErrorCode::InvalidArgument);
        let elsewhere = open(&ours, right, did(9), &device()).err().unwrap();
        assert_eq!(elsewhere.code(), ErrorCode::PermissionDenied);
        let another = open(&ours, right, did(6), &DeviceKey(Zeroizing::new([8; 32]))).err().unwrap();
        assert_eq!(another.code(), ErrorCode::PermissionDenied);
        assert_eq!(code(&ours.replace("\"sequence\":9", "\"sequence\":1"), right), ErrorCode::CorruptData);
    }

    proptest! {
        #[test]
        fn fuzz_an_exported_key_is_read_or_refused(at in any::<prop::sample::Index>(), byte in any::<char>(), cut in any::<prop::sample::Index>()) {
            for golden in [GOLDEN, FOR_A_DEVICE] {
                let mut text: Vec<char> = golden.chars().collect();
                let place = at.index(text.len());
                text[place] = byte;
                // Not those that are as dear as a right passphrase.
                let text: String = text[..cut.index(text.len())].iter().collect();
                prop_assert!(opened(&text, Unlock::Passphrase("correct horse")).is_err());
                prop_assert!(opened(&text, Unlock::ExportedBy(did(5))).is_err());
            }
        }
    }

    /// Made by another implementation of Argon2id, XChaCha20-Poly1305, HPKE, JCS and Ed25519.
    const GOLDEN: &str = r#"{"format":"kwaainet/vpk/export/1","collection":"abababababababababababababababab","epoch":3,"sequence":9,"hosts":["12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"],"vault":{"kdf":"argon2id","cost":{"memory_kib":65536,"passes":3,"lanes":4},"salt":"AAECAwQFBgcICQoLDA0ODw","key":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYX+SyE5P47goEaV5g4RfX54Fwhkrc39vkLA5kBQmrKBmoctUVDcaY7uFTF8phyBNICSGe8fJZzXyf01eA"}}"#;
    const FOR_A_DEVICE: &str = r#"{"collection":"abababababababababababababababab","device":"did:key:z6Mkon22vwz9JoNpGDxCrGZRgeNFTdRTwXYYN3fvAhA3K19x","encapsulated":"MdSras7slhE3kXA3k25gcW+sVzr+lNnahKgCBEjfwRI","epoch":3,"hosts":["12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"],"owner":"did:key:z6MkmtWtY63GQVBrpMyRJWEzsnxfsGkemu6CtMDwGTv4RYj2","sealed":"qlcsPObTHrOsQfIOqJ1vWhtGDnrj2ZtshE9qleuk1+em6K+tVVD38KNsUuM5u3VI","sequence":9,"signature":"z41EudhDktEbRJtjCbjfLBxFRGWNgWejhwtARbXsjqTe32WNoHagvRrVUPGZ9wS1SaiG6RzP1YDvM6ziYLbG24cn6","type":"VpkExport","version":1}"#;
}
