//! Work that holds up a thread, off the async workers.

use crate::{Error, Result};

/// Runs `work` on a thread that may block. Dropping the future stops the wait, not the work.
///
/// # Errors
/// Those of `work`; `internal` when it panicked or the runtime is going down.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let joined = tokio::task::spawn_blocking(work).await;
    joined.unwrap_or_else(|error| Err(Error::internal("a task did not finish").with_source(error)))
}
