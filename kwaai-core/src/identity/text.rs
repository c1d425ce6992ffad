//! A DID as somebody wrote it.
//!
//! One key has many spellings, and only the key says who somebody is. So this type keeps the text, for showing it and
//! for the DID document in which it stands as `id`, and has no equality: compare what [`DidText::did`] returns.
//!
//! How the spellings are told apart behind `did:peer:`: `0z`, `1z`, `2.`, `3z` and `4z` are the standard ones. What else
//! begins with `1` or `Qm` is read as a PeerId, which is KwaaiNet's own form. An Ed25519 PeerId always begins `12D3KooW`
//! and an RSA one `Qm`, so neither can be taken for a standard form.

use std::fmt;
use std::str::FromStr;

use libp2p::{Multiaddr, PeerId};

use super::document::{DidDocument, Service};
use super::multikey::Multikey;
use super::refusal::{INVALID_DID, METHOD_NOT_SUPPORTED, NOT_FOUND};
use super::{Did, address, peer_id, peer2, peer4};
use crate::{Error, Result};

/// The longest DID that is read, in bytes.
pub const MAX_DID_BYTES: usize = 4096;

/// How a DID is spelt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Spelling {
    /// `did:key:z…`: one key.
    Key,
    /// `did:peer:0z…`: one key.
    Peer0,
    /// `did:peer:1z…`: the hash of a document that is kept elsewhere.
    Peer1,
    /// `did:peer:2.…`: keys with their purposes, and services.
    Peer2,
    /// `did:peer:3z…`: the hash of a `did:peer:2`.
    Peer3,
    /// `did:peer:4z…`: the hash of a document.
    Peer4Short,
    /// `did:peer:4z…:z…`: a document and its hash.
    Peer4Long,
    /// `did:peer:<PeerId>`, KwaaiNet's own form, which no resolver outside KwaaiNet knows.
    KwaaiNet,
}

/// A DID in one of its spellings, read and checked.
#[derive(Clone)]
pub struct DidText {
    text: String,
    carried: Carried,
}

#[derive(Clone)]
enum Carried {
    Key(Multikey),
    Peer0(Multikey),
    Peer1,
    Peer2(peer2::Elements),
    Peer3,
    Peer4Short,
    Peer4Long(peer4::InputDocument),
    KwaaiNet(PeerId),
}

impl DidText {
    /// How it is spelt.
    pub fn spelling(&self) -> Spelling {
        match self.carried {
            Carried::Key(_) => Spelling::Key,
            Carried::Peer0(_) => Spelling::Peer0,
            Carried::Peer1 => Spelling::Peer1,
            Carried::Peer2(_) => Spelling::Peer2,
            Carried::Peer3 => Spelling::Peer3,
            Carried::Peer4Short => Spelling::Peer4Short,
            Carried::Peer4Long(_) => Spelling::Peer4Long,
            Carried::KwaaiNet(_) => Spelling::KwaaiNet,
        }
    }

    /// The text, as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The identity that it names: its one Ed25519 key.
    ///
    /// A `did:peer:2` or `did:peer:4` may list many keys. It names an identity when every entry under `authentication`,
    /// `assertionMethod`, `capabilityInvocation` and `capabilityDelegation` is one and the same Ed25519 key, and one of
    /// the first two lists it. With several keys it would be unclear whose identity it is: whoever writes such a DID
    /// could put another's key beside his own. Keys under `keyAgreement` are no identity and may be any.
    ///
    /// # Errors
    /// `unsupported` when it carries no key (numalgo 1 and 3, the short form of 4, a hashed PeerId), another kind of
    /// key, or several.
    pub fn did(&self) -> Result<Did> {
        let elsewhere = |what: &str, remedy: &str| {
            Err(NOT_FOUND.unsupported(format!("a {what} carries a hash and no key")).with_remedy(remedy.to_string()))
        };
        match &self.carried {
            Carried::Key(key) | Carried::Peer0(key) => key.ed25519(),
            Carried::Peer1 => {
                elsewhere("did:peer:1", "its document is kept elsewhere; ask for another DID of the peer")
            }
            Carried::Peer3 => elsewhere("did:peer:3", "give the did:peer:2 that it is the hash of"),
            Carried::Peer4Short => elsewhere("did:peer:4 in its short form", "give its long form"),
            Carried::KwaaiNet(peer) => Did::from_peer_id(peer),
            Carried::Peer2(_) | Carried::Peer4Long(_) => self.document()?.sole_signer(),
        }
    }

    /// The PeerId that it is written with, which only KwaaiNet's own form is. It is there for an RSA peer too, whose
    /// PeerId is a hash: such a peer can be found and connected to by it, and has no key to compare.
    pub fn peer_id(&self) -> Option<PeerId> {
        match self.carried {
            Carried::KwaaiNet(peer) => Some(peer),
            _ => None,
        }
    }

    /// The DID document, resolved from what the text carries.
    ///
    /// # Errors
    /// `unsupported` where the text carries no document and no Ed25519 key to make one of.
    pub fn document(&self) -> Result<DidDocument> {
        match &self.carried {
            Carried::Peer2(elements) => Ok(elements.document(&self.text, &peer2::short_form(&self.text))),
            Carried::Peer4Long(input) => Ok(input.contextualised(&self.text, peer4::short_form(&self.text))),
            _ => DidDocument::of_key(&self.text, self.spelling(), &self.did()?),
        }
    }

    /// The document of the short form, which [`DidText::short_form`] names.
    ///
    /// # Errors
    /// `unsupported` for a spelling that has no short form.
    pub fn short_document(&self) -> Result<DidDocument> {
        match &self.carried {
            Carried::Peer2(elements) => Ok(elements.document(&peer2::short_form(&self.text), &self.text)),
            Carried::Peer4Long(input) => Ok(input.contextualised(peer4::short_form(&self.text), &self.text)),
            _ => Err(NOT_FOUND.unsupported("only a did:peer:2 and the long form of a did:peer:4 have a short form")),
        }
    }

    /// The short form: the `did:peer:3` of a `did:peer:2`, the short `did:peer:4` of a long one.
    pub fn short_form(&self) -> Option<DidText> {
        match self.carried {
            Carried::Peer2(_) => Some(DidText { text: peer2::short_form(&self.text), carried: Carried::Peer3 }),
            Carried::Peer4Long(_) => {
                Some(DidText { text: peer4::short_form(&self.text).to_string(), carried: Carried::Peer4Short })
            }
            _ => None,
        }
    }

    /// The services that it carries, in their order.
    pub fn services(&self) -> Vec<Service> {
        match &self.carried {
            Carried::Peer2(elements) => elements.services().to_vec(),
            Carried::Peer4Long(input) => input.services(),
            _ => Vec::new(),
        }
    }

    /// The addresses under which the peer says it can be dialled. Nobody vouches for them: anyone can write a DID with
    /// another's key and addresses of his choice. A connection proves the key, so a wrong address costs a dial.
    ///
    /// # Errors
    /// `invalid_argument` when a service of addresses is malformed, or an address is that of another peer; what
    /// [`DidText::did`] answers.
    pub fn addresses(&self) -> Result<Vec<Multiaddr>> {
        let services = self.services();
        if !services.iter().any(address::is_service) {
            return Ok(Vec::new());
        }
        address::read(&services, &self.did()?.to_peer_id()?)
    }
}

impl FromStr for DidText {
    type Err = Error;

    fn from_str(text: &str) -> Result<DidText> {
        if text.len() > MAX_DID_BYTES {
            let message = format!("the DID has {} bytes, {MAX_DID_BYTES} are the limit", text.len());
            return Err(INVALID_DID.too_large(message, MAX_DID_BYTES));
        }
        let carried = if let Some(rest) = text.strip_prefix("did:key:") {
            Carried::Key(Multikey::parse(without_version(rest)?)?)
        } else if let Some(rest) = text.strip_prefix("did:peer:") {
            peer(rest)?
        } else {
            return Err(other_method(text));
        };
        Ok(DidText { text: text.to_string(), carried })
    }
}

impl fmt::Display for DidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for DidText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn peer(rest: &str) -> Result<Carried> {
    let mut characters = rest.chars();
    match (characters.next(), characters.next()) {
        (Some('0'), Some('z')) => Ok(Carried::Peer0(Multikey::parse(&rest[1..])?)),
        (Some('1'), Some('z')) => peer4::hash(&rest[1..]).map(|_| Carried::Peer1),
        (Some('2'), Some('.')) => peer2::Elements::parse(&rest[1..]).map(Carried::Peer2),
        (Some('3'), Some('z')) => peer4::hash(&rest[1..]).map(|_| Carried::Peer3),
        (Some('4'), Some('z')) => match rest[1..].split_once(':') {
            None => peer4::hash(&rest[1..]).map(|_| Carried::Peer4Short),
            Some((hash, document)) => peer4::InputDocument::parse(hash, document).map(Carried::Peer4Long),
        },
        // An RSA PeerId is base58btc too, and the other text form of a PeerId is never written here.
        (Some('1'), _) | (Some('Q'), Some('m')) => peer_id::parse(rest).map(Carried::KwaaiNet),
        _ => {
            Err(INVALID_DID
                .invalid("behind did:peer: stands neither a numalgo from 0 to 4 with its value nor a PeerId"))
        }
    }
}

/// A did:key may name its version before the key, a positive integer (did:key "Document Creation Algorithm").
fn without_version(rest: &str) -> Result<&str> {
    let Some((version, key)) = rest.split_once(':') else { return Ok(rest) };
    let digits = version.bytes().all(|byte| byte.is_ascii_digit()) && !version.starts_with('0');
    if !digits || !(1..=9).contains(&version.len()) {
        return Err(INVALID_DID.invalid("the version of a did:key is a positive integer"));
    }
    Ok(key)
}

fn other_method(text: &str) -> Error {
    let method = text.strip_prefix("did:").and_then(|rest| rest.split_once(':')).map(|(method, _)| method);
    let named = |method: &&str| {
        !method.is_empty()
            && method.len() <= 32
            && method.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    match method.filter(named) {
        Some("key" | "peer") | None => INVALID_DID.invalid("the text is no DID, which begins with did: and a method"),
        Some(method) => METHOD_NOT_SUPPORTED
            .unsupported(format!("the DID method {method} is not read here; did:key and did:peer are"))
            .with("method", method),
    }
}
