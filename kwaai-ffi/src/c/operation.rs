//! Calls that are under way while the program does something else.

use std::ffi::c_void;
use std::future::Future;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use kwaai_core::Error;

use super::call::{KWAAI_WAIT_FOREVER, Out, boundary, resolve};
use super::provide::Context;
use super::reply::{Kept, Reply};
use super::status::{kwaai_error_t, kwaai_status_t};
use crate::registry::Kind;
use crate::rt::{self, process};
use crate::{CancelToken, KwaaiError, Result};

/// A call that was started and is answered later.
pub struct kwaai_op_t;

/// A function that is told when an operation has ended.
#[repr(C)]
pub struct kwaai_done_t {
    /// Handed to `call` and `drop`.
    pub context: *mut c_void,
    /// Called once, on a thread of the library or on the one that asks; it must not block.
    pub call: Option<unsafe extern "C" fn(context: *mut c_void)>,
    /// Called once, after `call`, or instead of it when the operation is freed first. May be NULL.
    pub drop: Option<unsafe extern "C" fn(context: *mut c_void)>,
}

/// Handed to C; the work holds the shared part.
pub(super) struct Operation {
    shared: Arc<Shared>,
    cancel: CancelToken,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    outcome: Option<Result<Option<Kept>>>,
    watcher: Option<Watcher>,
}

struct Watcher {
    context: Context,
    call: unsafe extern "C" fn(*mut c_void),
}

impl Watcher {
    fn tell(self) {
        // SAFETY: the program promised that the function may be called with its context.
        unsafe { (self.call)(self.context.pointer()) };
    }
}

impl Kind for Operation {
    const TAG: u8 = 8;
    const NAME: &'static str = "operation";
    type Opaque = kwaai_op_t;
}

/// Ends the operation whatever becomes of its work: one that the end of the library overtakes is dropped unfinished.
struct Ending(Arc<Shared>);

impl Ending {
    fn end(&self, outcome: Result<Kept>) {
        let watcher = {
            let mut state = self.0.state();
            if state.outcome.is_some() {
                return;
            }
            state.outcome = Some(outcome.map(Some));
            self.0.ended.notify_all();
            state.watcher.take()
        };
        if let Some(watcher) = watcher {
            watcher.tell();
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.end(Err(rt::gone()));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Operation {
    pub(super) fn start<R, F>(call: impl FnOnce(CancelToken) -> F) -> Result<Operation>
    where
        F: Future<Output = Result<R>> + Send + 'static,
        R: Reply,
    {
        let (shared, cancel) = (Arc::<Shared>::default(), CancelToken::new());
        let (work, ending) = (call(cancel.clone()), Ending(shared.clone()));
        rt::start(work, move |result| ending.end(result.map(Reply::keep)))?;
        Ok(Operation { shared, cancel })
    }

    /// Takes the answer when it is of the kind that is asked for.
    pub(super) fn take<T>(
        &self,
        what: &str,
        pick: impl FnOnce(Kept) -> std::result::Result<T, Box<Kept>>,
    ) -> Result<T> {
        let mut state = self.shared.state();
        let kept = match &mut state.outcome {
            None => return Err(under_way()),
            Some(Err(error)) => return Err(error.clone()),
            Some(Ok(kept)) => kept,
        };
        match kept.take().map(pick) {
            Some(Ok(value)) => Ok(value),
            Some(Err(other)) => {
                *kept = Some(*other);
                Err(Error::invalid_argument(format!("this operation does not answer {what}")).into())
            }
            None => Err(Error::closed("the answer of this operation was taken before").into()),
        }
    }
}

fn under_way() -> KwaaiError {
    Error::busy("this operation is under way").with_remedy("wait for it with kwaai_op_wait").into()
}

/// Says whether an operation has ended, without waiting.
///
/// Ownership: nothing changes hands. Threads: any. NULL: `op` and `out_done` are needed. Lifetime: the operation must not
/// have been freed; if it was, `KWAAI_CLOSED`.
///
/// # Safety
/// `out_done` may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_op_poll(op: *const kwaai_op_t, out_done: *mut bool) -> kwaai_status_t {
    let body = || {
        // SAFETY: the caller's promise.
        let done = unsafe { Out::empty("out_done", out_done) }?;
        done.set(resolve::<Operation>(op)?.shared.state().outcome.is_some())
    };
    // SAFETY: no error object is asked for.
    unsafe { boundary(std::ptr::null_mut(), body) }
}

/// Waits until an operation has ended, however it ended. `KWAAI_TIMEOUT` when it is still under way; it goes on then.
///
/// Ownership: nothing changes hands. Threads: any but those of the library; several may wait for one operation. NULL:
/// `error` may be NULL. Lifetime: the operation must not have been freed; freeing it meanwhile ends the wait.
///
/// # Safety
/// `error` is NULL or may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_op_wait(
    op: *const kwaai_op_t,
    timeout_ms: u32,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let body = || {
        let operation = resolve::<Operation>(op)?;
        rt::may_block()?;
        let limit = Duration::from_millis(timeout_ms.into());
        let deadline = (timeout_ms != KWAAI_WAIT_FOREVER).then(|| Instant::now() + limit);
        let mut state = operation.shared.state();
        while state.outcome.is_none() {
            let Some(deadline) = deadline else {
                state = operation.shared.ended.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::timeout("the operation is still under way").with("limit_ms", timeout_ms).into());
            }
            state = operation.shared.ended.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Asks for a call when an operation has ended, for programs with a loop of their own. One that has ended already calls at
/// once. An operation has one such function; `KWAAI_ALREADY_EXISTS` for a second one.
///
/// Ownership: takes `done` in any case; its `drop` is called exactly once. Threads: any; `done.call` may be called on
/// another one. NULL: `done.call` is needed; `error` may be NULL. Lifetime: `done.context` must live until `done.drop`.
///
/// # Safety
/// The functions of `done` may be called with its context, from any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_op_on_done(
    op: *const kwaai_op_t,
    done: kwaai_done_t,
    error: *mut *mut kwaai_error_t,
) -> kwaai_status_t {
    let context = Context::new(done.context, done.drop);
    let body = || {
        let call = done.call.ok_or_else(|| Error::invalid_argument("done.call is NULL"))?;
        let operation = resolve::<Operation>(op)?;
        let watcher = Watcher { context, call };
        let mut state = operation.shared.state();
        if state.outcome.is_some() {
            drop(state);
            watcher.tell();
            return Ok(());
        }
        if state.watcher.is_some() {
            return Err(Error::already_exists("somebody is told already when this operation has ended").into());
        }
        state.watcher = Some(watcher);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Cancels an operation. It ends soon after, as a rule with `KWAAI_CANCELLED`; one that has ended stays as it is.
///
/// Ownership: the handle stays to be freed. Threads: any, also while another waits for it. NULL:
/// `KWAAI_INVALID_ARGUMENT`. Lifetime: the operation must not have been freed; if it was, `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_op_cancel(op: *const kwaai_op_t) -> kwaai_status_t {
    let body = || {
        resolve::<Operation>(op)?.cancel.cancel();
        Ok(())
    };
    // SAFETY: no error object is asked for.
    unsafe { boundary(std::ptr::null_mut(), body) }
}

/// How an operation ended: `KWAAI_OK`, or the status of the call; `KWAAI_BUSY` while it is under way. Takes nothing and may
/// be asked again.
///
/// Ownership: nothing changes hands. Threads: any. NULL: `error` may be NULL. Lifetime: the operation must not have been
/// freed; if it was, `KWAAI_CLOSED`.
///
/// # Safety
/// `error` is NULL or may be written to until the function returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kwaai_op_result(op: *const kwaai_op_t, error: *mut *mut kwaai_error_t) -> kwaai_status_t {
    let body = || match &resolve::<Operation>(op)?.shared.state().outcome {
        None => Err(under_way()),
        Some(Err(error)) => Err(error.clone()),
        Some(Ok(_)) => Ok(()),
    };
    // SAFETY: the caller's promise.
    unsafe { boundary(error, body) }
}

/// Frees an operation. One that is under way is cancelled; whoever waits for it gets `KWAAI_OK` once it has ended.
///
/// Ownership: takes the handle, and an answer that nobody took. Threads: any. NULL: fine, nothing happens. Lifetime:
/// freeing twice answers `KWAAI_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn kwaai_op_free(op: *mut kwaai_op_t) -> kwaai_status_t {
    if op.is_null() {
        return kwaai_status_t::KWAAI_OK;
    }
    let body = || {
        let operation = process().registry.remove::<Operation>(op)?;
        // Before it is cancelled: who frees an operation does not want to be told of its end.
        let watcher = operation.shared.state().watcher.take();
        operation.cancel.cancel();
        drop(watcher);
        Ok(())
    };
    // SAFETY: no error object is asked for.
    unsafe { boundary(std::ptr::null_mut(), body) }
}
