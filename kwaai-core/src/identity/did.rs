//! An identity, which is an Ed25519 key, and the ways to write it.

use std::fmt;
use std::str::FromStr;

use libp2p::identity::{PublicKey, ed25519};
use libp2p::{Multiaddr, PeerId};

use super::document::Relation;
use super::multikey::Multikey;
use super::refusal::{INVALID_DID, INVALID_KEY, INVALID_LENGTH, NOT_FOUND, UNSUPPORTED_KEY};
use super::{DidText, address, peer_id, peer2, peer4, verifying};
use crate::{Error, Result};

/// An Ed25519 identity, written as `did:key:z6Mk…` (W3C CCG did:key v0.9). Compared by key, never by spelling: whatever
/// text it was read from, two are equal when their keys are.
///
/// A hashed PeerId, as RSA keys have, carries no key, so there is no `Did` of it and it equals none, not even as the
/// hash of the same key. Such a peer can be connected to and recognised by its PeerId. It cannot issue or sign, no
/// credential is about it by key, and its tier is never above Unknown.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Did([u8; 32]);

impl Did {
    /// The identity of a public key, given as its 32 bytes.
    ///
    /// # Errors
    /// `invalid_argument` when the bytes are no point on the curve.
    pub fn from_public_key(bytes: [u8; 32]) -> Result<Did> {
        verifying::key(&bytes).map_err(|error| INVALID_KEY.invalid("not an Ed25519 public key").with_source(error))?;
        Ok(Did(bytes))
    }

    /// The identity behind a PeerId, which carries its key in the one protobuf encoding that libp2p allows.
    ///
    /// # Errors
    /// `unsupported` for a hashed PeerId, which carries no key, and for another kind of key; `invalid_argument` when
    /// the PeerId carries a key in an encoding that libp2p would not have written.
    pub fn from_peer_id(peer: &PeerId) -> Result<Did> {
        let multihash = peer.as_ref();
        if multihash.code() != 0 {
            return Err(NOT_FOUND
                .unsupported("this PeerId is a hash and carries no key, so it can neither sign nor be matched by key")
                .with("peer", peer));
        }
        match multihash.digest() {
            [0x08, 0x01, 0x12, 0x20, key @ ..] => {
                let key =
                    key.try_into().map_err(|_| INVALID_LENGTH.invalid("the PeerId carries no key of 32 bytes"))?;
                Did::from_public_key(key)
            }
            [0x08, 0x00 | 0x02 | 0x03, 0x12, ..] => {
                Err(UNSUPPORTED_KEY.unsupported("the PeerId carries a key that is not Ed25519").with("peer", peer))
            }
            _ => Err(INVALID_DID.invalid("the PeerId carries no key in the encoding of libp2p")),
        }
    }

    /// The identity behind any name of a peer: a DID in any spelling, or a PeerId in either text form.
    ///
    /// # Errors
    /// As for reading a [`DidText`] and for [`DidText::did`], or [`peer_id::parse`] and [`Did::from_peer_id`].
    pub fn parse_any(text: &str) -> Result<Did> {
        if text.starts_with("did:") { text.parse() } else { Did::from_peer_id(&peer_id::parse(text)?) }
    }

    /// The PeerId of the same key.
    pub fn to_peer_id(&self) -> Result<PeerId> {
        let key = ed25519::PublicKey::try_from_bytes(&self.0)
            .map_err(|error| INVALID_KEY.invalid("not an Ed25519 public key").with_source(error))?;
        Ok(PublicKey::from(key).to_peer_id())
    }

    /// The 32 bytes of the public key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.0
    }

    /// The multibase form of the key, `z6Mk…`.
    pub fn multikey(&self) -> String {
        Multikey::from(self).to_string()
    }

    /// The verification method of this identity: the DID with its own key as the fragment.
    pub fn verification_method(&self) -> String {
        format!("{self}#{}", self.multikey())
    }

    /// As `did:key`, the spelling that is written unless another is asked for.
    pub fn to_text(&self) -> Result<DidText> {
        self.to_string().parse()
    }

    /// As `did:peer:0`.
    pub fn to_peer_0(&self) -> Result<DidText> {
        format!("did:peer:0{}", self.multikey()).parse()
    }

    /// As `did:peer:2`, which says where the peer can be dialled: the key for authentication and for assertions, the
    /// X25519 key derived from it for key agreement, and the addresses as a service.
    ///
    /// # Errors
    /// `invalid_argument` when an address ends at another peer; `resource_exhausted` when there are too many.
    pub fn to_peer_2(&self, addresses: &[Multiaddr]) -> Result<DidText> {
        let key = Multikey::from(self);
        let keys = [
            (Relation::Authentication, key.clone()),
            (Relation::AssertionMethod, key),
            (Relation::KeyAgreement, Multikey::agreement_of(self)?),
        ];
        let services: Vec<_> = address::write(addresses, &self.to_peer_id()?)?.into_iter().collect();
        peer2::write(&keys, &services)?.parse()
    }

    /// As `did:peer:3`, the hash of the `did:peer:2` with these addresses. It is of use only to who has that one.
    ///
    /// # Errors
    /// As for [`Did::to_peer_2`].
    pub fn to_peer_3(&self, addresses: &[Multiaddr]) -> Result<DidText> {
        let long = self.to_peer_2(addresses)?;
        peer2::short_form(long.as_str()).parse()
    }

    /// As `did:peer:4` in its long form, whose document lists the key under every relation that signs, the X25519 key
    /// derived from it for key agreement, and the addresses as a service. [`DidText::short_form`] is its short form.
    ///
    /// # Errors
    /// As for [`Did::to_peer_2`].
    pub fn to_peer_4(&self, addresses: &[Multiaddr]) -> Result<DidText> {
        let service = address::write(addresses, &self.to_peer_id()?)?;
        peer4::InputDocument::of_key(self, service)?.long_form().parse()
    }

    /// As KwaaiNet's own `did:peer:<PeerId>`, for its software, which reads no other.
    pub fn to_kwaainet(&self) -> Result<DidText> {
        format!("did:peer:{}", self.to_peer_id()?).parse()
    }

    /// Whether `signature` is this identity's over exactly `message`, by the strict rules: canonical encodings only.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        verifying::key(&self.0).is_ok_and(|key| verifying::holds(&key, message, signature))
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

/// Reads a DID in any spelling that carries one Ed25519 key; [`DidText::did`] says which do.
impl FromStr for Did {
    type Err = Error;

    fn from_str(text: &str) -> Result<Did> {
        text.parse::<DidText>()?.did()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorCode;

    const DID: &str = "did:key:z6MktwupdmLXVVqTzCw4i46r4uGyosGXRnR3XjN4Zq7oMMsw";

    #[test]
    fn a_did_and_a_peer_id_are_two_spellings_of_one_key() {
        let did: Did = DID.parse().unwrap();
        let peer = did.to_peer_id().unwrap();
        assert_eq!(Did::from_peer_id(&peer).unwrap(), did);
        assert_eq!(Did::parse_any(&peer.to_string()).unwrap(), did);
        assert_eq!(did.to_string(), DID);
    }

    #[test]
    fn other_kinds_of_keys_and_broken_text_are_refused() {
        for text in ["", "did:key:", "did:key:z", &DID[..DID.len() - 1], "did:key:m6Mk", "z6Mk"] {
            assert_eq!(text.parse::<Did>().unwrap_err().code(), ErrorCode::InvalidArgument, "{text}");
        }
        for text in ["did:web:x", "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme"] {
            assert_eq!(text.parse::<Did>().unwrap_err().code(), ErrorCode::Unsupported, "{text}");
        }
        let long = format!("did:key:z{}", "1".repeat(100_000));
        assert_eq!(long.parse::<Did>().unwrap_err().code(), ErrorCode::ResourceExhausted);
    }

    #[test]
    fn a_peer_id_that_carries_more_than_a_key_is_not_the_peer_id_of_that_key() {
        let peer = DID.parse::<Did>().unwrap().to_peer_id().unwrap();
        let key = peer.as_ref().digest();
        // An unknown protobuf field at either end, which a protobuf reader skips, and the key cut short.
        for other in [[key, &[0x18, 0x00]].concat(), [&[0x18, 0x00], key].concat(), key[..35].to_vec(), Vec::new()] {
            let multihash = libp2p::multihash::Multihash::<64>::wrap(0, &other).unwrap();
            let other = PeerId::from_multihash(multihash).unwrap();
            assert_eq!(Did::from_peer_id(&other).unwrap_err().code(), ErrorCode::InvalidArgument);
        }
    }
}
