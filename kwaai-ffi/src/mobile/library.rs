//! Functions of the library itself.

use std::sync::Arc;

use kwaai_core::ErrorCode;

use super::provide::{Sink, SinkCode};
use super::{NativeError, Result};

/// The version of the library.
#[uniffi::export]
pub fn native_version() -> String {
    crate::VERSION.to_string()
}

/// Reads any spelling of a DID, or a PeerId.
///
/// # Errors
/// Those of the core's readers.
#[uniffi::export]
pub fn resolve_native_did(did: String) -> Result<crate::ResolvedDid> {
    crate::resolve_did(&did).map_err(NativeError::from)
}

/// Sends what the library says from now on to a sink; `filter` is written as for `RUST_LOG`.
///
/// # Errors
/// `invalid_argument` for a filter that is malformed, `already_exists` when the process has a sink already.
#[uniffi::export]
pub fn init_native_logging(filter: String, sink: Arc<dyn SinkCode>) -> Result<()> {
    crate::init_logging(&filter, Arc::new(Sink(sink))).map_err(NativeError::from)
}

/// An error code.
#[derive(Debug, uniffi::Record)]
pub struct ErrorCodeInfo {
    /// Its string.
    pub code: String,
    /// Its number.
    pub number: i32,
    /// Whether the same call may succeed later.
    pub retryable: bool,
}

/// Every error code, in the order of the numbers.
#[uniffi::export]
pub fn error_codes() -> Vec<ErrorCodeInfo> {
    let info = |code: &ErrorCode| ErrorCodeInfo {
        code: code.as_str().to_string(),
        number: i32::from(code.number()),
        retryable: code.is_retryable(),
    };
    ErrorCode::ALL.iter().map(info).collect()
}
