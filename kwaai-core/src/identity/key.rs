//! Key pairs and their files, in libp2p's protobuf form.

use std::path::Path;

use async_trait::async_trait;
use libp2p::PeerId;
use libp2p::identity;
use zeroize::Zeroizing;

use super::{Did, Signer};
use crate::store::write_private;
use crate::{Error, ErrorCode, Result};

/// No key file is longer: an RSA key of 8192 bits takes about 4.7 kB.
const MAX_KEY_FILE: u64 = 16 * 1024;

/// A node's key pair: Ed25519, or the RSA key of a bootstrap server, which has a PeerId but no DID.
#[derive(Clone)]
pub struct Keypair(identity::Keypair);

impl Keypair {
    /// A new Ed25519 key pair from the operating system's randomness.
    pub fn generate() -> Keypair {
        Keypair(identity::Keypair::generate_ed25519())
    }

    /// The Ed25519 key pair of a 32-byte seed (RFC 8032 §5.1.5).
    pub fn from_seed(seed: [u8; 32]) -> Keypair {
        let mut seed = Zeroizing::new(seed);
        match identity::Keypair::ed25519_from_bytes(seed.as_mut_slice()) {
            Ok(pair) => Keypair(pair),
            Err(_) => unreachable!("every 32 bytes are an Ed25519 seed"),
        }
    }

    /// Reads libp2p's protobuf encoding of a private key, Ed25519 or RSA.
    pub fn from_protobuf(bytes: &[u8]) -> Result<Keypair> {
        let pair = identity::Keypair::from_protobuf_encoding(bytes)
            .map_err(|error| Error::corrupt_data("not a libp2p private key").with_source(error))?;
        match pair.key_type() {
            identity::KeyType::Ed25519 | identity::KeyType::RSA => Ok(Keypair(pair)),
            other => Err(Error::unsupported(format!("a node cannot run on a key of type {other:?}"))
                .with_remedy("use an Ed25519 or an RSA key")),
        }
    }

    /// Loads a key file.
    ///
    /// # Errors
    /// `not_found` when there is none, `corrupt_data` when it is not a private key in libp2p's protobuf form.
    pub fn load(path: &Path) -> Result<Keypair> {
        let size = std::fs::metadata(path).map_err(|error| missing(path, error))?.len();
        if size > MAX_KEY_FILE {
            return Err(corrupt(path, Error::corrupt_data(format!("{size} bytes are too many for a key"))));
        }
        let bytes = Zeroizing::new(std::fs::read(path).map_err(|error| missing(path, error))?);
        Keypair::from_protobuf(&bytes).map_err(|error| corrupt(path, error))
    }

    /// Loads the key file, or makes a new key and stores it there, readable by its owner alone.
    pub fn load_or_generate(path: &Path) -> Result<Keypair> {
        match Keypair::load(path) {
            Err(error) if error.code() == ErrorCode::NotFound => {
                let pair = Keypair::generate();
                pair.save(path)?;
                Ok(pair)
            }
            other => other,
        }
    }

    /// Stores the key in libp2p's protobuf form, atomically, mode 0600.
    ///
    /// # Errors
    /// `unsupported` for an RSA key, which can be loaded but not written.
    pub fn save(&self, path: &Path) -> Result<()> {
        let bytes = self
            .0
            .to_protobuf_encoding()
            .map_err(|error| Error::unsupported("this kind of key cannot be written").with_source(error))?;
        write_private(path, &Zeroizing::new(bytes))
    }

    /// The PeerId of this key.
    pub fn peer_id(&self) -> PeerId {
        self.0.public().to_peer_id()
    }

    /// The DID of this key; an RSA key has none.
    pub fn did(&self) -> Result<Did> {
        Did::from_peer_id(&self.peer_id())
    }

    pub(crate) fn libp2p(&self) -> &identity::Keypair {
        &self.0
    }
}

impl std::fmt::Debug for Keypair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keypair({})", self.peer_id())
    }
}

/// A key pair that is known to be Ed25519, as signing needs it.
#[derive(Clone)]
pub(crate) struct LocalSigner {
    pair: identity::Keypair,
    did: Did,
}

impl Keypair {
    /// A signer for this key.
    ///
    /// # Errors
    /// `unsupported` for an RSA key: credentials are signed with Ed25519 alone.
    pub fn signer(&self) -> Result<std::sync::Arc<dyn Signer>> {
        Ok(std::sync::Arc::new(LocalSigner { pair: self.0.clone(), did: self.did()? }))
    }
}

#[async_trait]
impl Signer for LocalSigner {
    fn did(&self) -> Did {
        self.did
    }

    async fn sign(&self, message: &[u8]) -> Result<[u8; 64]> {
        let signature =
            self.pair.sign(message).map_err(|error| Error::internal("the key refused to sign").with_source(error))?;
        signature.try_into().map_err(|_| Error::internal("an Ed25519 signature of the wrong length"))
    }
}

fn missing(path: &Path, error: std::io::Error) -> Error {
    Error::file("read the key file", path, error).with_remedy("check the path, or leave it out to have a key made")
}

fn corrupt(path: &Path, error: Error) -> Error {
    Error::new(error.code(), format!("{} is not a usable key file: {}", path.display(), error.message()))
        .with_file(path)
        .with_remedy("restore it from a backup; a new key is a new identity without the trust of this one")
        .with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_keeps_the_identity_over_restarts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity.key");
        let first = Keypair::load_or_generate(&path).unwrap();
        let again = Keypair::load_or_generate(&path).unwrap();
        assert_eq!(first.peer_id(), again.peer_id());
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), 68);
        assert_eq!(bytes[..4], [0x08, 0x01, 0x12, 0x40]);
    }

    #[test]
    fn a_corrupt_key_file_is_named_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("identity.key");
        std::fs::write(&path, b"\x08\x01\x12\x40short").unwrap();
        let error = Keypair::load_or_generate(&path).unwrap_err();
        assert_eq!(error.code(), ErrorCode::CorruptData);
        assert!(error.to_string().contains("identity.key"));
        assert_eq!(std::fs::read(&path).unwrap(), b"\x08\x01\x12\x40short");
    }

    #[tokio::test]
    async fn a_signature_of_the_rfc_8032_seed_is_the_published_one() {
        let mut seed = [0u8; 32];
        let hex = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        for (i, byte) in seed.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
        }
        let signer = Keypair::from_seed(seed).signer().unwrap();
        let signature = signer.sign(b"").await.unwrap();
        assert_eq!(signature[..4], [0xe5, 0x56, 0x43, 0x00]);
        assert!(signer.did().verify(b"", &signature));
        assert!(!signer.did().verify(b"x", &signature));
    }
}
