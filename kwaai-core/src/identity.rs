//! Who a node is: its Ed25519 key, its PeerId, its DID.

mod did;
mod key;
mod signer;

pub use did::Did;
pub use key::Keypair;
pub use libp2p::PeerId;
pub use signer::Signer;
