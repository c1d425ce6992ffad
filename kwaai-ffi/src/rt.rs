//! The one runtime, and the one way onto it.
//!
//! Python, C and the others have threads and event loops of their own, so the work cannot run where it is called. One
//! multi-thread runtime serves the process; it is made when it is first needed. [`run`] is the only way in: it spawns,
//! so that the caller's thread never drives a socket; it aborts the work when the caller loses interest; and it turns a
//! panic into an error, so that a defect here does not take the host down. What is ready at once, [`wait`] answers on the
//! caller's thread.
//!
//! A fork leaves the child with the runtime's memory and none of its threads. Everything that belongs to a process hangs
//! on one `Process`, which the child abandons: locks that a vanished thread held are never touched again.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use kwaai_core::Error;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use crate::{CancelToken, KwaaiError, Result};

/// One worker that waits for a file must not stop everything else.
const MIN_WORKERS: usize = 2;
const MAX_WORKERS: usize = 16;
/// Threads for blocking work come and go; an idle one is given back after this time.
const BLOCKING_KEEP_ALIVE: Duration = Duration::from_millis(200);

static CURRENT: AtomicPtr<Process> = AtomicPtr::new(std::ptr::null_mut());

/// What belongs to this process and not to one forked from it.
#[derive(Default)]
pub(crate) struct Process {
    phase: Mutex<Phase>,
    live: Mutex<BTreeMap<&'static str, usize>>,
    /// The handles that C holds.
    #[cfg(feature = "capi")]
    pub(crate) registry: crate::registry::Registry,
}

#[derive(Default)]
enum Phase {
    #[default]
    NotStarted,
    Running(Runtime),
    /// Kept so that what is dropped late is still dropped in a runtime's context.
    Finished(Option<Handle>),
}

/// This process. Never freed: a handle may outlive every other use of it.
pub(crate) fn process() -> &'static Process {
    let current = CURRENT.load(Ordering::Acquire);
    if !current.is_null() {
        // SAFETY: a pointer stored in CURRENT comes from a box that is leaked.
        return unsafe { &*current };
    }
    watch_forks();
    let fresh = Box::into_raw(Box::<Process>::default());
    match CURRENT.compare_exchange(std::ptr::null_mut(), fresh, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: it was leaked just above and stays so.
        Ok(_) => unsafe { &*fresh },
        Err(winner) => {
            // SAFETY: `fresh` was never shared; `winner` is leaked like every pointer in CURRENT.
            unsafe {
                drop(Box::from_raw(fresh));
                &*winner
            }
        }
    }
}

#[cfg(unix)]
fn watch_forks() {
    static WATCHED: AtomicBool = AtomicBool::new(false);
    extern "C" fn abandon() {
        CURRENT.store(std::ptr::null_mut(), Ordering::Release);
    }
    if !WATCHED.swap(true, Ordering::AcqRel) {
        // SAFETY: the hook only stores to an atomic, which is allowed between fork and exec. Registering fails only
        // for want of memory, and then forked children are on their own as they are in most libraries.
        unsafe { libc::pthread_atfork(None, None, Some(abandon)) };
    }
}

#[cfg(not(unix))]
fn watch_forks() {}

impl Process {
    fn phase(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The runtime, made now when this is its first use.
    fn runtime(&self) -> Result<Handle> {
        let mut phase = self.phase();
        if let Phase::NotStarted = *phase {
            *phase = Phase::Running(build()?);
        }
        match &*phase {
            Phase::Running(runtime) => Ok(runtime.handle().clone()),
            _ => Err(Error::closed("the library was shut down; the process is exiting").into()),
        }
    }

    /// The runtime to drop something in, if there ever was one.
    pub(crate) fn context(&self) -> Option<Handle> {
        match &*self.phase() {
            Phase::NotStarted => None,
            Phase::Running(runtime) => Some(runtime.handle().clone()),
            Phase::Finished(handle) => handle.clone(),
        }
    }

    pub(crate) fn count(&self, kind: &'static str, up: bool) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        let count = live.entry(kind).or_default();
        *count = if up { *count + 1 } else { count.saturating_sub(1) };
    }

    #[cfg(feature = "testing")]
    pub(crate) fn live(&self) -> BTreeMap<&'static str, usize> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        live.iter().filter(|(_, count)| **count > 0).map(|(kind, count)| (*kind, *count)).collect()
    }
}

fn build() -> Result<Runtime> {
    let workers = std::thread::available_parallelism().map_or(MIN_WORKERS, usize::from);
    Builder::new_multi_thread()
        .worker_threads(workers.clamp(MIN_WORKERS, MAX_WORKERS))
        .thread_keep_alive(BLOCKING_KEEP_ALIVE)
        .thread_name("kwaainet")
        .enable_all()
        .build()
        .map_err(|error| Error::resource_exhausted("cannot start the library's threads").with_source(error).into())
}

/// Runs `future` on the library's runtime and waits for it, on whatever executor polls this.
///
/// # Errors
/// The future's own; `cancelled` when `cancel` was; `internal` when it panicked; `closed` after [`shutdown`]. Dropping
/// the returned future aborts the work.
pub async fn run<T, F>(cancel: &CancelToken, future: F) -> Result<T>
where
    F: Future<Output = kwaai_core::Result<T>> + Send + 'static,
    T: Send + 'static,
{
    if cancel.is_cancelled() {
        return Err(cancelled());
    }
    let mut task = AbortOnDrop(process().runtime()?.spawn(future));
    tokio::select! {
        biased;
        joined = &mut task.0 => match joined {
            Ok(result) => result.map_err(KwaaiError::from),
            Err(error) if error.is_panic() => Err(panicked(error.into_panic().as_ref())),
            Err(_) => Err(gone()),
        },
        () = cancel.cancelled() => Err(cancelled()),
    }
}

/// [`run`] for work that blocks its thread, such as reading a database. Cancelling stops the wait, not the work.
pub async fn blocking<T: Send + 'static>(
    cancel: &CancelToken,
    work: impl FnOnce() -> kwaai_core::Result<T> + Send + 'static,
) -> Result<T> {
    run(cancel, async move {
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(Error::closed("the library was shut down while the call was under way")),
        }
    })
    .await
}

/// [`run`] for a caller without an executor: `done` gets the result, on a thread of the runtime, where it must not
/// block. When the runtime goes away first, `done` is dropped uncalled.
///
/// # Errors
/// `closed` after [`shutdown`].
pub fn start<T, F>(future: F, done: impl FnOnce(Result<T>) + Send + 'static) -> Result<()>
where
    F: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    process().runtime()?.spawn(async move { done(future.await) });
    Ok(())
}

/// Blocks the calling thread until `future` is done, at most for `limit`.
///
/// # Errors
/// The future's own; `timeout` after `limit`; `unsupported` on a thread of an async runtime, which must not block.
pub fn wait<T, F>(limit: Option<Duration>, future: F) -> Result<T>
where
    F: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    may_block()?;
    let (sender, receiver) = std::sync::mpsc::sync_channel(1);
    let bounded = async move {
        match limit {
            None => future.await,
            Some(limit) => tokio::time::timeout(limit, future).await.unwrap_or_else(|_| Err(overdue(limit))),
        }
    };
    let mut work = Box::pin(bounded);
    // What is ready is answered here: the way to a thread of the runtime and back takes two switches.
    let runtime = process().runtime()?;
    let first = {
        let _context = runtime.enter();
        catch_unwind(AssertUnwindSafe(|| work.as_mut().now_or_never()))
    };
    match first {
        Ok(Some(result)) => return result,
        Ok(None) => {}
        Err(payload) => return Err(panicked(payload.as_ref())),
    }
    // The receiver waits in `recv` below and cannot be gone.
    start(work, move |result| drop(sender.send(result)))?;
    receiver.recv().unwrap_or_else(|_| Err(gone()))
}

/// Refuses a thread of an async runtime, which must not block.
pub(crate) fn may_block() -> Result<()> {
    if Handle::try_current().is_ok() {
        return Err(Error::unsupported("a blocking call was made on a thread of an async runtime")
            .with_remedy("make it on a thread of your own")
            .into());
    }
    Ok(())
}

/// Ends the runtime for good, waiting at most `grace` for what cannot be interrupted. Every later call answers
/// `closed`. For a host that is about to exit.
pub fn shutdown(grace: Duration) {
    let before = {
        let mut phase = process().phase();
        let handle = match &*phase {
            Phase::Running(runtime) => Some(runtime.handle().clone()),
            Phase::NotStarted => None,
            Phase::Finished(_) => return,
        };
        std::mem::replace(&mut *phase, Phase::Finished(handle))
    };
    if let Phase::Running(runtime) = before {
        runtime.shutdown_timeout(grace);
    }
}

/// A panic as an error. Its text names the place in this library, never the user's data.
pub(crate) fn panicked(payload: &(dyn Any + Send)) -> KwaaiError {
    let text = payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    let error = Error::internal("a defect in the library stopped this call; please report it");
    match text {
        Some(text) => error.with("panic", text).into(),
        None => error.into(),
    }
}

/// What a call answers that took longer than its caller waits.
pub fn overdue(limit: Duration) -> KwaaiError {
    Error::timeout("the call took too long").with("limit_ms", limit.as_millis()).into()
}

/// What a call answers that [`shutdown`] overtook.
pub fn gone() -> KwaaiError {
    Error::closed("the library was shut down while the call was under way").into()
}

pub(crate) fn cancelled() -> KwaaiError {
    Error::cancelled("the call was cancelled").into()
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kwaai_core::ErrorCode;

    fn wait_for<T: Send + 'static>(
        cancel: &CancelToken,
        future: impl Future<Output = kwaai_core::Result<T>> + Send + 'static,
    ) -> Result<T> {
        let cancel = cancel.clone();
        wait(None, async move { run(&cancel, future).await })
    }

    #[test]
    fn a_panic_becomes_an_internal_error_that_says_what_happened() {
        let error = wait_for::<()>(&CancelToken::new(), async { panic!("a broken invariant") }).unwrap_err();
        assert_eq!(error.code, ErrorCode::Internal);
        assert_eq!(error.context["panic"], "a broken invariant");
    }

    #[test]
    fn cancelling_answers_cancelled_and_drops_the_work() {
        let (dropped, gone) = std::sync::mpsc::channel::<()>();
        let cancel = CancelToken::new();
        let (started, running) = std::sync::mpsc::channel();
        let waiter = std::thread::spawn({
            let cancel = cancel.clone();
            move || {
                wait_for::<()>(&cancel, async move {
                    let _held = dropped;
                    started.send(()).map_err(|_| Error::internal("the test went away"))?;
                    std::future::pending().await
                })
            }
        });
        running.recv().unwrap();
        cancel.cancel();
        assert_eq!(waiter.join().unwrap().unwrap_err().code, ErrorCode::Cancelled);
        assert!(gone.recv().is_err(), "the future was dropped");
    }

    #[test]
    fn a_token_that_is_cancelled_already_starts_nothing() {
        let cancel = CancelToken::new();
        cancel.cancel();
        let error = wait_for::<()>(&cancel, async { panic!("must not run") }).unwrap_err();
        assert_eq!(error.code, ErrorCode::Cancelled);
    }

    #[test]
    fn a_wait_ends_with_timeout_at_its_limit() {
        let error = wait::<(), _>(Some(Duration::from_millis(1)), std::future::pending()).unwrap_err();
        assert_eq!(error.code, ErrorCode::Timeout);
        assert!(error.retryable);
    }

    #[test]
    fn a_blocking_call_on_a_runtime_thread_is_refused_instead_of_wedging_it() {
        let error = wait(None, async { wait(None, async { Ok(()) }) }).unwrap_err();
        assert_eq!(error.code, ErrorCode::Unsupported);
    }
}
