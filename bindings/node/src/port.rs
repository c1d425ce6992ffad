//! The one way from threads of the runtime into a JavaScript environment.
//!
//! Each environment, the main one and every worker, has a port: a thread-safe function that runs jobs on the
//! environment's own thread. It keeps the process alive only while a call is pending, so that an idle node or an unread
//! stream does not. When the environment ends the port closes first, under a lock that every post takes: nothing is sent to
//! an environment that is gone.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::{Arc, Mutex, PoisonError};

use napi::bindgen_prelude::{Function, JsValue, ToNapiValue};
use napi::{Env, Result, check_status, sys};

type Job = Box<dyn FnOnce(sys::napi_env) + Send>;

/// Where jobs for one environment go.
pub(crate) struct Port(Mutex<Option<Door>>);

/// The thread-safe function; there is none once the environment ended.
struct Door(sys::napi_threadsafe_function);

// SAFETY: Node-API allows a thread-safe function to be called from any thread.
unsafe impl Send for Door {}

thread_local! {
    /// The port of the environment that runs on this thread.
    static PORT: RefCell<Option<(sys::napi_env, Arc<Port>)>> = const { RefCell::new(None) };
    /// How many calls of this thread's environment are under way.
    static PENDING: Cell<usize> = const { Cell::new(0) };
}

impl Port {
    /// The port of this environment, made at its first use.
    pub(crate) fn of(env: &Env) -> Result<Arc<Port>> {
        PORT.with_borrow_mut(|slot| match slot {
            Some((owner, port)) if *owner == env.raw() => Ok(port.clone()),
            _ => {
                let port = Arc::new(Port(Mutex::new(Some(Door::make(env)?))));
                // Hooks run in the opposite order of their making: this one before that of the thread-safe function.
                let closing = port.clone();
                env.add_env_cleanup_hook((), move |()| closing.close())?;
                PENDING.set(0);
                *slot = Some((env.raw(), port.clone()));
                Ok(port)
            }
        })
    }

    /// Runs a job on the environment's thread, soon. It is dropped when the environment is gone. Never blocks.
    pub(crate) fn post(&self, job: impl FnOnce(sys::napi_env) + Send + 'static) {
        let door = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Door(function)) = &*door else { return };
        let data = Box::into_raw(Box::new(Box::new(job) as Job));
        // SAFETY: the lock keeps the environment from ending meanwhile. The queue has no limit.
        let status = unsafe {
            sys::napi_call_threadsafe_function(*function, data.cast(), sys::ThreadsafeFunctionCallMode::nonblocking)
        };
        drop(door);
        if status != sys::Status::napi_ok {
            // SAFETY: it was refused, so it is still ours.
            drop(unsafe { Box::from_raw(data) });
        }
    }

    /// A call begins: the process stays until [`Port::ended`]. On the environment's thread only.
    pub(crate) fn began(&self, env: sys::napi_env) {
        PENDING.set(PENDING.get() + 1);
        if PENDING.get() == 1 {
            self.stay(env, true);
        }
    }

    /// A call has ended.
    pub(crate) fn ended(&self, env: sys::napi_env) {
        PENDING.set(PENDING.get().saturating_sub(1));
        if PENDING.get() == 0 {
            self.stay(env, false);
        }
    }

    fn stay(&self, env: sys::napi_env, stay: bool) {
        if let Some(Door(function)) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // SAFETY: the door is open, so the environment is alive, and this is its thread. Neither call fails then.
            unsafe {
                if stay {
                    sys::napi_ref_threadsafe_function(env, *function);
                } else {
                    sys::napi_unref_threadsafe_function(env, *function);
                }
            }
        }
    }

    fn close(&self) {
        let door = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Door(function)) = door {
            // SAFETY: it is released once, since it was taken out. What is queued comes back to `run` without an environment.
            unsafe { sys::napi_release_threadsafe_function(function, sys::ThreadsafeFunctionReleaseMode::abort) };
        }
    }
}

impl Door {
    fn make(env: &Env) -> Result<Door> {
        let mut function = null_mut();
        let name = env.create_string("kwaainet")?;
        // SAFETY: the environment is alive, it called us. Without a function of JavaScript, `run` is required and given.
        unsafe {
            check_status!(sys::napi_create_threadsafe_function(
                env.raw(),
                null_mut(),
                null_mut(),
                name.raw(),
                0,
                1,
                null_mut(),
                None,
                null_mut(),
                Some(run),
                &mut function,
            ))?;
            check_status!(sys::napi_unref_threadsafe_function(env.raw(), function))?;
        }
        Ok(Door(function))
    }
}

unsafe extern "C" fn run(env: sys::napi_env, _: sys::napi_value, _: *mut c_void, data: *mut c_void) {
    // SAFETY: only `post` sends data, each box once.
    let job = unsafe { Box::from_raw(data.cast::<Job>()) };
    // Without an environment it has ended, and the job is dropped.
    if !env.is_null() {
        job(env);
    }
}

/// A function of JavaScript, held from any thread and called on its own.
pub(crate) struct Callback {
    port: Arc<Port>,
    reference: sys::napi_ref,
}

// SAFETY: the reference is only used on the environment's thread, in jobs of its port.
unsafe impl Send for Callback {}
// SAFETY: as above.
unsafe impl Sync for Callback {}

impl Callback {
    pub(crate) fn new(env: &Env, function: &Function<'_>) -> Result<Callback> {
        let port = Port::of(env)?;
        let mut reference = null_mut();
        // SAFETY: the function is alive during the call that brought it.
        check_status!(unsafe { sys::napi_create_reference(env.raw(), function.raw(), 1, &mut reference) })?;
        Ok(Callback { port, reference })
    }

    pub(crate) fn port(&self) -> &Arc<Port> {
        &self.port
    }

    /// Calls the function. On the environment's thread only. What it throws becomes an uncaught exception: the functions
    /// of the facade throw nothing.
    pub(crate) fn call(&self, env: sys::napi_env, arguments: &[sys::napi_value]) {
        let (mut function, mut this) = (null_mut(), null_mut());
        // SAFETY: a job gives us the environment, alive and on its thread.
        unsafe {
            sys::napi_get_reference_value(env, self.reference, &mut function);
            sys::napi_get_undefined(env, &mut this);
            sys::napi_call_function(env, this, function, arguments.len(), arguments.as_ptr(), null_mut());
        }
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        struct Reference(sys::napi_ref);
        // SAFETY: it travels to the environment's thread and is used there.
        unsafe impl Send for Reference {}
        let reference = Reference(self.reference);
        self.port.post(move |env| {
            let Reference(reference) = { reference };
            // SAFETY: it was made once and is deleted once, on the environment's thread. One of an environment that
            // ended went with it.
            unsafe { sys::napi_delete_reference(env, reference) };
        });
    }
}

/// Something as a value of JavaScript; `undefined` when it cannot be one, which is only for want of memory.
pub(crate) fn value(env: sys::napi_env, value: impl ToNapiValue) -> sys::napi_value {
    // SAFETY: called from jobs, which have the environment on its thread.
    unsafe {
        ToNapiValue::to_napi_value(env, value).unwrap_or_else(|_| {
            let mut undefined = null_mut();
            sys::napi_get_undefined(env, &mut undefined);
            undefined
        })
    }
}
