//! `did:key` identifiers of Ed25519 keys.

use std::fmt;
use std::str::FromStr;

use libp2p::PeerId;
use libp2p::identity::{PublicKey, ed25519};

use crate::{Error, Result};

/// The multicodec prefix of an Ed25519 public key, as a varint (did:key §3.1.1).
const ED25519_PUB: [u8; 2] = [0xed, 0x01];

/// An Ed25519 identity, written as `did:key:z6Mk…` (W3C CCG did:key v0.7). Compared by key, never by spelling.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Did([u8; 32]);

impl Did {
    /// The identity of a public key, given as its 32 bytes.
    ///
    /// # Errors
    /// `invalid_argument` when the bytes are no point on the curve.
    pub fn from_public_key(bytes: [u8; 32]) -> Result<Did> {
        ed25519_dalek::VerifyingKey::from_bytes(&bytes)
            .map_err(|error| Error::invalid_argument("not an Ed25519 public key").with_source(error))?;
        Ok(Did(bytes))
    }

    /// The identity behind a PeerId. A hashed PeerId, as RSA keys have, carries no key and so has none.
    pub fn from_peer_id(peer: &PeerId) -> Result<Did> {
        let multihash = peer.as_ref();
        if multihash.code() != 0 {
            return Err(Error::unsupported("this PeerId is a hash and carries no key").with("peer", peer));
        }
        let key = PublicKey::try_decode_protobuf(multihash.digest())
            .map_err(|error| Error::invalid_argument("the PeerId carries no readable key").with_source(error))?;
        let key = key
            .try_into_ed25519()
            .map_err(|_| Error::unsupported("the PeerId carries a key that is not Ed25519").with("peer", peer))?;
        Did::from_public_key(key.to_bytes())
    }

    /// The PeerId of the same key.
    pub fn to_peer_id(&self) -> Result<PeerId> {
        let key = ed25519::PublicKey::try_from_bytes(&self.0)
            .map_err(|error| Error::invalid_argument("not an Ed25519 public key").with_source(error))?;
        Ok(PublicKey::from(key).to_peer_id())
    }

    /// The 32 bytes of the public key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.0
    }

    /// The multibase form of the key, `z6Mk…`.
    pub fn multikey(&self) -> String {
        let mut bytes = Vec::with_capacity(34);
        bytes.extend_from_slice(&ED25519_PUB);
        bytes.extend_from_slice(&self.0);
        format!("z{}", bs58::encode(bytes).into_string())
    }

    /// The verification method of this identity: the DID with its own key as the fragment.
    pub fn verification_method(&self) -> String {
        format!("{self}#{}", self.multikey())
    }

    /// Whether `signature` is this identity's over exactly `message`, by the strict rules: canonical encodings only.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        ed25519_dalek::VerifyingKey::from_bytes(&self.0).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Display for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "did:key:{}", self.multikey())
    }
}

impl fmt::Debug for Did {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Did {
    type Err = Error;

    fn from_str(text: &str) -> Result<Did> {
        let invalid = |why: &str| Error::invalid_argument(format!("not a did:key of an Ed25519 key: {why}"));
        let multibase = text.strip_prefix("did:key:").ok_or_else(|| invalid("it does not begin with did:key:"))?;
        let encoded = multibase.strip_prefix('z').ok_or_else(|| invalid("its key is not in base58btc"))?;
        // 34 bytes never need more than 48 characters; base58 decoding is quadratic, so longer text is not decoded.
        if encoded.len() > 48 {
            return Err(invalid("its key is too long"));
        }
        let bytes =
            bs58::decode(encoded).into_vec().map_err(|error| invalid("its key is not base58").with_source(error))?;
        let key: [u8; 34] = bytes.try_into().map_err(|_| invalid("its key has the wrong length"))?;
        if key[..2] != ED25519_PUB {
            return Err(invalid("it names another kind of key"));
        }
        let mut raw = [0; 32];
        raw.copy_from_slice(&key[2..]);
        Did::from_public_key(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_did_and_a_peer_id_are_two_spellings_of_one_key() {
        let did: Did = "did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw".parse().unwrap();
        let peer = did.to_peer_id().unwrap();
        assert_eq!(Did::from_peer_id(&peer).unwrap(), did);
        assert_eq!(did.to_string(), "did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw");
    }

    #[test]
    fn other_kinds_of_keys_and_broken_text_are_refused() {
        for text in [
            "",
            "did:key:",
            "did:key:z",
            "did:web:x",
            "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme",
            "did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMs",
            "did:key:m6Mk",
        ] {
            assert!(text.parse::<Did>().is_err(), "{text}");
        }
        assert!(format!("did:key:z{}", "1".repeat(100_000)).parse::<Did>().is_err());
    }
}
