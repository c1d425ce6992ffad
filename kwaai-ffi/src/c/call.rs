//! What every function of the C interface does on its way in and out.

use std::ffi::{CStr, c_char};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use kwaai_core::Error;
use serde::Serialize;

use super::status::{export, kwaai_error_t, kwaai_status_t};
use crate::registry::Kind;
use crate::rt::{self, process};
use crate::{CancelToken, Result};

/// As `timeout_ms`: wait without a limit.
pub const KWAAI_WAIT_FOREVER: u32 = u32::MAX;

/// Runs the body of a function, and turns its error or its panic into a status and, if asked for, an error object.
///
/// # Safety
/// `error` is NULL or may be written to.
pub(super) unsafe fn boundary(error: *mut *mut kwaai_error_t, body: impl FnOnce() -> Result<()>) -> kwaai_status_t {
    let result = catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| Err(rt::panicked(payload.as_ref())));
    let (status, object) = match result {
        Ok(()) => (kwaai_status_t::KWAAI_OK, std::ptr::null_mut()),
        Err(failure) if error.is_null() => (failure.code.into(), std::ptr::null_mut()),
        Err(failure) => (failure.code.into(), export(&failure)),
    };
    if !error.is_null() {
        // SAFETY: the caller's promise.
        unsafe { error.write(object) };
    }
    status
}

/// Waits for a call of the object layer.
pub(super) fn wait<T, F>(timeout_ms: u32, call: impl FnOnce(CancelToken) -> F) -> Result<T>
where
    F: Future<Output = Result<T>> + Send + 'static,
    T: Send + 'static,
{
    let limit = (timeout_ms != KWAAI_WAIT_FOREVER).then(|| Duration::from_millis(timeout_ms.into()));
    rt::wait(limit, call(CancelToken::new()))
}

pub(super) fn resolve<T: Kind>(handle: *const T::Opaque) -> Result<Arc<T>> {
    process().registry.get::<T>(handle)
}

pub(super) fn free<T: Kind>(handle: *const T::Opaque) -> kwaai_status_t {
    if handle.is_null() {
        return kwaai_status_t::KWAAI_OK;
    }
    let body = || process().registry.remove::<T>(handle).map(drop);
    // SAFETY: no error object is asked for.
    unsafe { boundary(std::ptr::null_mut(), body) }
}

/// A text from C.
///
/// # Safety
/// `text` is NULL or ends with NUL.
pub(super) unsafe fn text(name: &str, text: *const c_char) -> Result<String> {
    // SAFETY: the caller's promise.
    unsafe { optional_text(name, text) }?.ok_or_else(|| Error::invalid_argument(format!("{name} is NULL")).into())
}

/// A text from C that may be left out as NULL.
///
/// # Safety
/// `text` is NULL or ends with NUL.
pub(super) unsafe fn optional_text(name: &str, text: *const c_char) -> Result<Option<String>> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    match text.to_str() {
        Ok(text) => Ok(Some(text.to_string())),
        Err(error) => Err(Error::invalid_argument(format!("{name} is not UTF-8")).with_source(error).into()),
    }
}

/// A place that the caller wants a result in. Checked before anything is done, so that nothing is done in vain.
pub(super) struct Out<T>(*mut T);

impl<T> Out<T> {
    /// # Safety
    /// `place` is NULL or may be written to until the function returns.
    pub(super) unsafe fn new(name: &str, place: *mut T, empty: T) -> Result<Out<T>> {
        if place.is_null() {
            return Err(Error::invalid_argument(format!("{name} is NULL")).into());
        }
        // SAFETY: the caller's promise.
        unsafe { place.write(empty) };
        Ok(Out(place))
    }

    pub(super) fn set(self, value: T) -> Result<()> {
        // SAFETY: promised to `new`.
        unsafe { self.0.write(value) };
        Ok(())
    }
}

impl Out<*mut c_char> {
    /// # Safety
    /// As for [`Out::new`].
    pub(super) unsafe fn text(name: &str, place: *mut *mut c_char) -> Result<Out<*mut c_char>> {
        // SAFETY: the caller's promise.
        unsafe { Out::new(name, place, std::ptr::null_mut()) }
    }

    pub(super) fn set_text(self, text: String) -> Result<()> {
        self.set(process().registry.insert_text(text)?)
    }

    pub(super) fn set_json(self, value: &impl Serialize) -> Result<()> {
        let text = serde_json::to_string(value)
            .map_err(|error| Error::internal("a record cannot be written as JSON").with_source(error))?;
        self.set_text(text)
    }
}

impl<T> Out<*mut T> {
    /// # Safety
    /// As for [`Out::new`].
    pub(super) unsafe fn handle(name: &str, place: *mut *mut T) -> Result<Out<*mut T>> {
        // SAFETY: the caller's promise.
        unsafe { Out::new(name, place, std::ptr::null_mut()) }
    }

    pub(super) fn set_handle<K: Kind<Opaque = T>>(self, object: K) -> Result<()> {
        self.set(process().registry.insert(object)?)
    }
}
