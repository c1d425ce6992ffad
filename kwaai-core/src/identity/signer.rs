//! Signing without holding the key.

use async_trait::async_trait;

use super::Did;
use crate::Result;

/// Something that signs for an Ed25519 key: a key in memory, a keychain, an app.
#[async_trait]
pub trait Signer: Send + Sync + 'static {
    /// The identity that this signer signs for.
    fn did(&self) -> Did;

    /// The Ed25519 signature (RFC 8032) of exactly these bytes.
    async fn sign(&self, message: &[u8]) -> Result<[u8; 64]>;
}
