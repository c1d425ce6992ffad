//! The object layer of kwaainet: everything about crossing a language border, once.
//!
//! The nouns are those of `kwaai_core`, with owned arguments and plain records. Async methods may be polled on any
//! executor; the work runs on one runtime of this crate ([`rt`]). Each takes a [`CancelToken`] last.
//!
//! The C interface in [`c`] is a shim over these objects, and so are the packages for the other languages.

#[cfg(feature = "capi")]
pub mod c;
mod cancel;
mod clock;
mod error;
pub mod federation;
mod fork;
mod handle;
pub mod http;
mod identity;
pub mod log;
mod matrix;
#[cfg(feature = "uniffi")]
pub mod mobile;
pub mod node;
pub mod provide;
pub mod rag;
#[cfg(feature = "capi")]
mod registry;
pub mod rt;
pub mod shard;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;
pub mod trust;
mod validate;
pub mod vpk;

pub use cancel::CancelToken;
pub use error::{KwaaiError, Result};
pub use federation::{Federation, SharedKnowledge};
pub use http::HttpServer;
pub use identity::{ResolvedDid, resolve_did};
pub use kwaai_core::ErrorCode;
pub use kwaai_core::event::Item;
pub use log::{LogRecord, LogSink, init_logging};
pub use matrix::Matrix;
pub use node::Node;
pub use rag::Rag;
pub use shard::{Model, ShardEngine};
pub use stream::{JsonStream, MAX_BATCH, Stream};
pub use trust::TrustGraph;
pub use validate::Spelling;
pub use vpk::{HostConsole, VectorCollection, Vpk};

#[cfg(feature = "uniffi")]
uniffi::setup_scaffolding!();

/// The version of the library, the same for every language's package.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A record as JSON, for languages without static types. The members of its objects are in the order of their names.
///
/// # Errors
/// `internal` for a record that JSON cannot hold.
pub fn to_json(record: &impl serde::Serialize) -> Result<serde_json::Value> {
    let mut value = serde_json::to_value(record)
        .map_err(|error| kwaai_core::Error::internal("a record cannot be written as JSON").with_source(error))?;
    value.sort_all_objects();
    Ok(value)
}

/// A record that a language wrote as JSON. `what` is the name of the argument that it is, and empty where its fields are
/// arguments themselves; messages spell names as the language does.
///
/// # Errors
/// `invalid_argument` naming the field and what it must be, `resource_exhausted` for more than 16 MiB.
pub fn from_json<T: serde::de::DeserializeOwned>(what: &str, text: &str, spelling: Spelling) -> Result<T> {
    validate::record(what, &validate::value(what, text)?, spelling)
}
