//! The private module behind the npm package `kwaainet`: the objects of `kwaai_ffi`, one expression for each verb. What
//! Node.js users see is written in TypeScript, in `bindings/node/ts`.

use std::time::Duration;

use napi_derive::napi;

mod error;
mod federation;
mod http;
mod identity;
mod logging;
mod node;
mod operation;
mod port;
mod provide;
mod rag;
mod shard;
mod stream;
#[cfg(feature = "checkout")]
mod testing;
mod trust;
mod vpk;

/// How long the end of the process waits for work that cannot be interrupted.
const GRACE: Duration = Duration::from_secs(5);

/// The version of the library.
#[napi]
pub fn version() -> &'static str {
    kwaai_ffi::VERSION
}

/// Every error code: its string, its number, and whether it is retryable, as JSON.
#[napi]
pub fn error_codes() -> String {
    let codes = kwaai_ffi::ErrorCode::ALL.iter().map(|code| (code.as_str(), code.number(), code.is_retryable()));
    serde_json::json!(codes.collect::<Vec<_>>()).to_string()
}

/// Ends the library's threads. Called once, when the process exits.
#[napi]
pub fn shutdown() {
    kwaai_ffi::rt::shutdown(GRACE);
}
