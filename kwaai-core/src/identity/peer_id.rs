//! PeerIds as text: base58btc of a multihash, or a CID of version 1 in multibase (libp2p peer-ids specification,
//! "String representation").

use libp2p::PeerId;
use libp2p::multihash::Multihash;
use multibase::Base;

use super::DidText;
use super::refusal::INVALID_DID;
use crate::Result;

/// The longest text that is decoded: the CID of an inlined key takes 62 characters of base32, and base58 decoding is
/// quadratic.
const MAX_TEXT: usize = 128;

/// The multicodec `libp2p-key`.
const LIBP2P_KEY: u8 = 0x72;
const SHA2_256: u64 = 0x12;

/// Reads a PeerId in either of its text forms.
///
/// # Errors
/// `invalid_argument` when the text is neither.
pub fn parse(text: &str) -> Result<PeerId> {
    if text.len() > MAX_TEXT {
        return Err(INVALID_DID.invalid(format!("{} characters are too many for a PeerId", text.len())));
    }
    let multihash = if text.starts_with('1') || text.starts_with("Qm") {
        bs58::decode(text)
            .into_vec()
            .map_err(|error| INVALID_DID.invalid("the PeerId is not base58btc").with_source(error))?
    } else {
        of_cid(text)?
    };
    from_multihash(&multihash)
}

/// The PeerId behind any name of a peer: either text form of a PeerId, or a DID in any spelling. An RSA peer, which
/// has a hashed PeerId and no key in its name, is found by its PeerId and by KwaaiNet's `did:peer:Qm…`.
///
/// # Errors
/// `invalid_argument` when the text is neither; `unsupported` for a DID that carries no Ed25519 key to make a PeerId
/// of; and what else reading a [`DidText`] answers.
pub fn parse_any(text: &str) -> Result<PeerId> {
    if !text.starts_with("did:") {
        return parse(text);
    }
    let did: DidText = text.parse()?;
    match did.peer_id() {
        Some(peer) => Ok(peer),
        None => did.did()?.to_peer_id(),
    }
}

/// The second text form of a PeerId: a CID of version 1 in base32, `bafz…`.
pub fn to_cid(peer: &PeerId) -> String {
    let mut bytes = vec![1, LIBP2P_KEY];
    bytes.extend_from_slice(&peer.to_bytes());
    multibase::encode(Base::Base32Lower, bytes)
}

fn of_cid(text: &str) -> Result<Vec<u8>> {
    let (_, bytes) = multibase::decode(text).map_err(|error| {
        INVALID_DID.invalid("the text is no PeerId: neither base58btc nor a CID").with_source(error)
    })?;
    match bytes.as_slice() {
        [1, LIBP2P_KEY, multihash @ ..] => Ok(multihash.to_vec()),
        _ => Err(INVALID_DID.invalid("the text is no PeerId: a CID, but not one of version 1 with a libp2p key")),
    }
}

fn from_multihash(bytes: &[u8]) -> Result<PeerId> {
    let multihash = Multihash::<64>::from_bytes(bytes)
        .map_err(|error| INVALID_DID.invalid("the PeerId is no multihash").with_source(error))?;
    if multihash.code() == SHA2_256 && multihash.digest().len() != 32 {
        return Err(INVALID_DID.invalid("the PeerId is a SHA-256 of the wrong length"));
    }
    PeerId::from_multihash(multihash)
        .map_err(|other| INVALID_DID.invalid(format!("the PeerId has the multihash code {:#x}", other.code())))
}
