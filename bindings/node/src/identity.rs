//! `resolveDid`.

use napi_derive::napi;

use crate::error::{Result, json, thrown};

/// What a DID or a PeerId says by itself, as JSON.
#[napi]
pub fn resolve_did(did: String) -> Result<String> {
    kwaai_ffi::resolve_did(&did).and_then(json).map_err(thrown)
}
