//! Overwriting what deleted documents left in the database's file, a while after.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::rag::ingest::blocking;
use crate::rag::reembed::Opened;
use crate::rag::store::KnowledgeStore;

/// So long after a deletion it begins: more of them often follow.
const AFTER: Duration = Duration::from_secs(2);
/// All that is free in the file is written, so that it is not done more often than this while the knowledge base is open.
const APART: Duration = Duration::from_secs(600);

/// Knows when it is due. A shutdown does it at once, and an opening what a crash left.
pub(super) struct Traces {
    opened: Weak<Opened>,
    closing: CancellationToken,
    tasks: TaskTracker,
    is_coming: AtomicBool,
    last: Mutex<Option<Instant>>,
}

impl Traces {
    pub fn new(opened: &Arc<Opened>, closing: CancellationToken, tasks: TaskTracker) -> Arc<Traces> {
        let opened = Arc::downgrade(opened);
        Arc::new(Traces { opened, closing, tasks, is_coming: AtomicBool::new(false), last: Mutex::default() })
    }

    /// Documents may have gone.
    pub fn later(self: &Arc<Traces>) {
        if !self.is_coming.swap(true, Ordering::AcqRel) {
            let traces = self.clone();
            self.tasks.spawn(async move { traces.wait_and_wipe().await });
        }
    }

    async fn wait_and_wipe(&self) {
        let is_due = match self.knowledge() {
            Some(knowledge) => blocking(move || knowledge.has_traces()).await.unwrap_or(true),
            None => false,
        };
        if !is_due {
            return self.is_coming.store(false, Ordering::Release);
        }
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = last.map_or(Duration::ZERO, |last| APART.saturating_sub(last.elapsed()));
        let waited = self.closing.run_until_cancelled(tokio::time::sleep(rest.max(AFTER))).await;
        // What goes from now on is for the next time.
        self.is_coming.store(false, Ordering::Release);
        let (Some(()), Some(knowledge)) = (waited, self.knowledge()) else { return };
        if let Err(error) = blocking(move || knowledge.wipe()).await {
            tracing::warn!(code = %error.code(), "what was deleted could not be overwritten");
        }
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Nothing, once nobody has the knowledge base any more.
    fn knowledge(&self) -> Option<Arc<KnowledgeStore>> {
        Some(self.opened.upgrade()?.get()?.knowledge)
    }
}
