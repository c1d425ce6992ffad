//! Giving up on a call.

use tokio_util::sync::CancellationToken;

/// Handed to a call that takes long; cancelling it makes the call answer `cancelled`. Clones cancel together.
///
/// Cancelling stops the wait and the work behind it, never half of a commit.
#[derive(Debug, Clone, Default)]
pub struct CancelToken(CancellationToken);

impl CancelToken {
    /// A token that nobody has cancelled.
    pub fn new() -> CancelToken {
        CancelToken::default()
    }

    /// Cancels every call that was given this token, now and later.
    pub fn cancel(&self) {
        self.0.cancel();
    }

    /// Whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    pub(crate) async fn cancelled(&self) {
        self.0.cancelled().await;
    }
}

impl From<CancellationToken> for CancelToken {
    fn from(token: CancellationToken) -> CancelToken {
        CancelToken(token)
    }
}
