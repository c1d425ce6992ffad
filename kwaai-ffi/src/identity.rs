//! The names of one key.

use kwaai_core::identity::{Did, DidText, Spelling, peer_id};
use kwaai_core::{Error, ErrorCode};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::Result;

/// What a name of a peer says by itself.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct ResolvedDid {
    /// How it is spelt: `key`, `peer_0`, `peer_1`, `peer_2`, `peer_3`, `peer_4_short`, `peer_4_long`, `kwaainet` for
    /// KwaaiNet's own form, or `peer_id`.
    pub spelling: String,
    /// The identity as did:key, when the name carries its key.
    pub did: Option<String>,
    /// The identity on the network, when the name carries it or its key.
    pub peer_id: Option<String>,
    /// Where the peer says that it can be dialled. Nobody vouches for them.
    pub addresses: Vec<String>,
    /// The DID document, when it can be made from the name alone.
    pub document: Option<Map<String, Value>>,
}

/// Reads any spelling of a DID, or a PeerId in either of its text forms. Nothing is asked of the network.
///
/// # Errors
/// `invalid_argument` with the broken `rule` when it is none; `unsupported` for a DID of another method than did:key and
/// did:peer; `resource_exhausted` when it is too long; `corrupt_data` when a did:peer:4 and its hash differ.
pub fn resolve_did(text: &str) -> Result<ResolvedDid> {
    let text = text.trim();
    if !text.starts_with("did:") {
        let peer = peer_id::parse(text)?;
        let did = carried(Did::from_peer_id(&peer))?;
        let document = did.map(|did| did.to_text()?.document()).transpose()?;
        return Ok(ResolvedDid {
            spelling: "peer_id".into(),
            did: did.map(|did| did.to_string()),
            peer_id: Some(peer.to_string()),
            addresses: Vec::new(),
            document: document.map(|document| document.as_map().clone()),
        });
    }
    let name: DidText = text.parse()?;
    let did = carried(name.did())?;
    let of_key = did.map(|did| did.to_peer_id()).transpose()?;
    let addresses = did.map_or(Ok(Vec::new()), |_| name.addresses())?;
    Ok(ResolvedDid {
        spelling: spelt(name.spelling())?.into(),
        did: did.map(|did| did.to_string()),
        peer_id: name.peer_id().or(of_key).map(|peer| peer.to_string()),
        addresses: addresses.iter().map(ToString::to_string).collect(),
        document: carried(name.document())?.map(|document| document.as_map().clone()),
    })
}

/// What a name carries, or nothing when it does not carry it.
fn carried<T>(read: kwaai_core::Result<T>) -> kwaai_core::Result<Option<T>> {
    match read {
        Err(error) if error.code() == ErrorCode::Unsupported => Ok(None),
        read => read.map(Some),
    }
}

fn spelt(spelling: Spelling) -> kwaai_core::Result<&'static str> {
    Ok(match spelling {
        Spelling::Key => "key",
        Spelling::Peer0 => "peer_0",
        Spelling::Peer1 => "peer_1",
        Spelling::Peer2 => "peer_2",
        Spelling::Peer3 => "peer_3",
        Spelling::Peer4Short => "peer_4_short",
        Spelling::Peer4Long => "peer_4_long",
        Spelling::KwaaiNet => "kwaainet",
        _ => return Err(Error::internal("a spelling of a DID has no name here")),
    })
}
