//! A second machine of an owner, to which recovery keys can be encrypted.
//!
//! Each data directory has an X25519 key for this, made when it is first asked for. What is given to the other machine is its public
//! half in a statement (`kwaainet/VpkDevice/1`) that the node signs. Encrypted is by HPKE (RFC 9180) in its base mode: DHKEM(X25519,
//! HKDF-SHA256), HKDF-SHA256 and ChaCha20-Poly1305. That does not say who encrypted it; who exports signs.

use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal};
use redb::{ReadableTable, TableDefinition};
use serde_json::Map;
use zeroize::Zeroizing;

use super::random::fresh;
use crate::identity::{Did, Signer};
use crate::store::Store;
use crate::trust::json::hex;
use crate::trust::statement::{self, Reader};
use crate::{Error, Result};

const KIND: &str = "VpkDevice";
/// A statement is a few hundred bytes.
const MAX_STATEMENT: usize = 2048;

/// The private key, of which a data directory has one.
const DEVICES: TableDefinition<&str, &[u8; 32]> = TableDefinition::new("vpk.own.device");
const THIS: &str = "x25519";

/// A machine that something can be encrypted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Device {
    pub(super) did: Did,
    key: [u8; 32],
}

/// What was encrypted to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrapped {
    pub(super) encapsulated: [u8; 32],
    pub(super) sealed: Vec<u8>,
}

/// The private half of this machine's key.
pub(super) struct DeviceKey(pub(super) Zeroizing<[u8; 32]>);

impl Device {
    /// Reads what a machine says of itself.
    ///
    /// # Errors
    /// Those of every statement (`form`, `signature`).
    pub(super) fn read(text: &str) -> Result<Device> {
        let (mut reader, did) = Reader::open(KIND, text, MAX_STATEMENT, "device")?;
        let key = reader.bytes("key")?;
        reader.end()?;
        Ok(Device { did, key })
    }

    /// Encrypts a key of 32 bytes to this machine, for one place.
    ///
    /// # Errors
    /// `invalid_argument` when the machine's key is none.
    pub(super) fn wrap(&self, place: &str, secret: &[u8; 32]) -> Result<Wrapped> {
        let unusable = || Error::invalid_argument("nothing can be encrypted to the key of this machine");
        let key = <X25519HkdfSha256 as Kem>::PublicKey::from_bytes(&self.key).map_err(|_| unusable())?;
        let (encapsulated, sealed) = single_shot_seal::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeS::Base,
            &key,
            place.as_bytes(),
            secret,
            &[],
        )
        .map_err(|_| unusable())?;
        let mut bytes = [0; 32];
        bytes.copy_from_slice(&encapsulated.to_bytes());
        Ok(Wrapped { encapsulated: bytes, sealed })
    }
}

impl DeviceKey {
    /// The key of a data directory, which is made when there is none.
    ///
    /// # Errors
    /// Failures of the disk.
    pub(super) fn load(store: &Store) -> Result<DeviceKey> {
        let made = Zeroizing::new(fresh::<32>()?);
        store.write(|tx| {
            let mut table = tx.open_table(DEVICES)?;
            let kept = table.get(THIS)?.map(|key| Zeroizing::new(*key.value()));
            if let Some(kept) = kept {
                return Ok(DeviceKey(kept));
            }
            table.insert(THIS, &*made)?;
            Ok(DeviceKey(made))
        })
    }

    /// What it says of itself, signed by its node.
    ///
    /// # Errors
    /// What the signer answers.
    pub(super) async fn statement(&self, signer: &dyn Signer) -> Result<String> {
        let key = self.private()?;
        let public = X25519HkdfSha256::sk_to_pk(&key).to_bytes();
        let mut members = Map::new();
        members.insert("device".into(), signer.did().to_string().into());
        members.insert("key".into(), hex(&public).into());
        statement::sign(KIND, members, signer).await
    }

    /// Decrypts what was encrypted to this machine for one place.
    ///
    /// # Errors
    /// `permission_denied` when it was for another machine or place, or was changed.
    pub(super) fn unwrap(&self, place: &str, wrapped: &Wrapped) -> Result<Zeroizing<Vec<u8>>> {
        self.open(place.as_bytes(), &[], wrapped)
    }

    fn open(&self, info: &[u8], beside: &[u8], wrapped: &Wrapped) -> Result<Zeroizing<Vec<u8>>> {
        let refused = || Error::permission_denied("the exported key is for another machine, or was changed");
        let encapsulated =
            <X25519HkdfSha256 as Kem>::EncappedKey::from_bytes(&wrapped.encapsulated).map_err(|_| refused())?;
        single_shot_open::<ChaCha20Poly1305, HkdfSha256, X25519HkdfSha256>(
            &OpModeR::Base,
            &self.private()?,
            &encapsulated,
            info,
            &wrapped.sealed,
            beside,
        )
        .map(Zeroizing::new)
        .map_err(|_| refused())
    }

    fn private(&self) -> Result<<X25519HkdfSha256 as Kem>::PrivateKey> {
        <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&*self.0).map_err(|_| {
            Error::corrupt_data("this machine's key is damaged").with_remedy("restore the database from a backup")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;
    use crate::identity::Keypair;
    use crate::trust::json::unhex;

    /// A.2.1 of RFC 9180: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305 in the base mode.
    #[test]
    fn what_the_rfc_encrypted_is_decrypted() {
        let key = unhex("8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb").unwrap();
        let encapsulated = unhex("1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a").unwrap();
        let sealed: [u8; 45] =
            unhex("1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28")
                .unwrap();
        let device = DeviceKey(Zeroizing::new(key));
        let wrapped = Wrapped { encapsulated, sealed: sealed.to_vec() };
        let clear = device.open(b"Ode on a Grecian Urn", b"Count-0", &wrapped).unwrap();
        assert_eq!(clear.as_slice(), b"Beauty is truth, truth beauty");
        assert!(device.open(b"Ode on a Grecian Urn", b"Count-1", &wrapped).is_err());
    }

    #[tokio::test]
    async fn what_is_encrypted_to_a_machine_opens_there_and_in_its_place_alone() {
        let signer = Keypair::from_seed([6; 32]).signer().unwrap();
        let (here, elsewhere) = (Store::in_memory().unwrap(), Store::in_memory().unwrap());
        let key = DeviceKey::load(&here).unwrap();
        assert_eq!(*DeviceKey::load(&here).unwrap().0, *key.0, "it is kept");
        let said = key.statement(&*signer).await.unwrap();
        let device = Device::read(&said).unwrap();
        assert_eq!(device.did, signer.did());
        let wrapped = device.wrap("a place", &[9; 32]).unwrap();
        assert_eq!(key.unwrap("a place", &wrapped).unwrap().as_slice(), [9; 32]);
        assert_ne!(device.wrap("a place", &[9; 32]).unwrap().encapsulated, wrapped.encapsulated);
        let code = |key: &DeviceKey, place: &str, wrapped: &Wrapped| key.unwrap(place, wrapped).unwrap_err().code();
        assert_eq!(code(&key, "another", &wrapped), ErrorCode::PermissionDenied);
        assert_eq!(code(&DeviceKey::load(&elsewhere).unwrap(), "a place", &wrapped), ErrorCode::PermissionDenied);
        for at in 0..wrapped.sealed.len() {
            let mut changed = wrapped.clone();
            changed.sealed[at] ^= 1;
            assert_eq!(code(&key, "a place", &changed), ErrorCode::PermissionDenied, "byte {at}");
        }
        let zero = Wrapped { encapsulated: [0; 32], ..wrapped.clone() };
        assert_eq!(code(&key, "a place", &zero), ErrorCode::PermissionDenied);
        assert_eq!(
            Device { key: [0; 32], ..device }.wrap("a place", &[9; 32]).unwrap_err().code(),
            ErrorCode::InvalidArgument
        );
    }

    #[tokio::test]
    async fn what_a_machine_says_of_itself_is_on_record_and_signed() {
        let key = DeviceKey(Zeroizing::new([7; 32]));
        let said = key.statement(&*Keypair::from_seed([6; 32]).signer().unwrap()).await.unwrap();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&said).unwrap(),
            serde_json::from_str::<serde_json::Value>(GOLDEN).unwrap()
        );
        let changed = said.replace("13be4f", "13be40");
        assert_eq!(Device::read(&changed).unwrap_err().code(), ErrorCode::CorruptData);
    }

    /// Made by another implementation.
    const GOLDEN: &str = r#"{"device":"did:key:z6Mkon22vwz9JoNpGDxCrGZRgeNFTdRTwXYYN3fvAhA3K19x","key":"13be4feaeaf204c7fd3358fc9c00721881d174278128227ec674f37f7fe97b6d","signature":"z2hetaqHyfrbMgBL9dHZpjY1wJ6gV5vojCAThRgaWUqSW6dCmziz8GVr7CQziSTh1u9KcY6U62abHFJXhRvRJi5Hg","type":"VpkDevice","version":1}"#;
}
