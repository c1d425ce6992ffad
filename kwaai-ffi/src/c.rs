//! The C interface, which `include/kwaainet.h` declares. `docs/ffi-rules.md` is its contract.
//!
//! The same rules hold for every function, so that they need no repetition at each:
//!
//! - It returns a `kwaai_status_t`. Outputs come last, then an optional `kwaai_error_t **` that says more.
//! - A handle is looked up at each use: NULL, a handle that was freed, one of another kind, or a number that was never a
//!   handle gives a status, never undefined behaviour.
//! - A verb that waits is written once, in `waiting!`, and declared twice: with `timeout_ms` it waits, under
//!   its name with `_async` it answers an operation at once.
//! - A panic stops here.
#![allow(non_camel_case_types, reason = "these are the names that C callers write")]
#![allow(clippy::too_many_arguments, reason = "C has no other way to return several values")]

#[macro_use]
mod waiting;

mod answer;
mod call;
mod collection;
mod console;
mod federation;
mod http_server;
mod library;
mod model;
mod node;
mod operation;
mod pledge;
mod provide;
mod rag;
mod reply;
mod shards;
mod status;
mod stream;
mod taken;
#[cfg(feature = "testing")]
mod testing;
mod trust;
mod vpk;

pub use answer::*;
pub use call::{KWAAI_UNSET, KWAAI_WAIT_FOREVER};
pub use collection::*;
pub use console::*;
pub use federation::*;
pub use http_server::*;
pub use library::*;
pub use model::*;
pub use node::*;
pub use operation::*;
pub use pledge::*;
pub use provide::*;
pub use rag::*;
pub use shards::*;
pub use status::*;
pub use stream::*;
pub use taken::*;
#[cfg(feature = "testing")]
pub use testing::*;
pub use trust::*;
pub use vpk::*;
