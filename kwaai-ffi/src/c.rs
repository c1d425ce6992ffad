//! The C interface, which `include/kwaainet.h` declares.
//!
//! The same rules hold for every function, so that they need no repetition at each:
//!
//! - It returns a `kwaai_status_t`. Outputs come last, then an optional `kwaai_error_t **` that says more.
//! - A handle is looked up at each use: NULL, a handle that was freed, one of another kind, or a number that was never a
//!   handle gives a status, never undefined behaviour.
//! - A call that waits takes `timeout_ms`; [`KWAAI_WAIT_FOREVER`] waits without a limit.
//! - A panic stops here.
#![allow(non_camel_case_types, reason = "these are the names that C callers write")]
#![allow(clippy::too_many_arguments, reason = "C has no other way to return several values")]

mod call;
mod library;
mod node;
mod status;
mod stream;
mod trust;

pub use call::KWAAI_WAIT_FOREVER;
pub use library::*;
pub use node::*;
pub use status::*;
pub use stream::*;
pub use trust::*;
