//! Who a node is: its Ed25519 key, its PeerId, its DID.
//!
//! One key has many names: a PeerId in two text forms, `did:key`, `did:peer` with the numalgos 0, 2 and 4, and KwaaiNet's
//! own `did:peer:<PeerId>`. [`Did`] is the key; [`DidText`] is a name as somebody wrote it.

mod address;
mod did;
mod document;
mod key;
mod multikey;
mod peer2;
mod peer4;
pub mod peer_id;
mod refusal;
#[cfg(feature = "experimental-key-rotation")]
pub mod rotation;
mod signer;
mod text;
mod verifying;

pub use did::Did;
pub use document::{DidDocument, Relation, Service, verification_key};
pub use key::Keypair;
pub use libp2p::{Multiaddr, PeerId};
pub use multikey::{KeyKind, Multikey};
pub use signer::Signer;
pub use text::{DidText, MAX_DID_BYTES, Spelling};
