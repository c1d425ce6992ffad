//! What every function of the C interface does on its way in and out.

use std::ffi::{CStr, c_char};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use kwaai_core::Error;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::status::{export, kwaai_error_t, kwaai_status_t};
use crate::registry::Kind;
use crate::rt::{self, process};
use crate::{CancelToken, Result, validate};

/// As `timeout_ms`: wait without a limit.
pub const KWAAI_WAIT_FOREVER: u32 = u32::MAX;

/// As a number of milliseconds that may be left out: leaves it out. 0 is 0 milliseconds, as in every language.
pub const KWAAI_UNSET: u64 = u64::MAX;

/// A number of milliseconds that may be left out.
pub(super) fn optional_ms(ms: u64) -> Option<u64> {
    (ms != KWAAI_UNSET).then_some(ms)
}

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

/// A handle that may be left out as NULL.
pub(super) fn optional<T: Kind>(handle: *const T::Opaque) -> Result<Option<Arc<T>>> {
    if handle.is_null() { Ok(None) } else { resolve(handle).map(Some) }
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

/// An array from C.
///
/// # Safety
/// `values` is NULL or has `count` values that nobody changes while the slice is used.
pub(super) unsafe fn slice<'a, T>(name: &str, values: *const T, count: usize) -> Result<&'a [T]> {
    if count == 0 {
        return Ok(&[]);
    }
    if values.is_null() {
        return Err(Error::invalid_argument(format!("{name} is NULL")).into());
    }
    if count > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(Error::invalid_argument(format!("{count} values of {name} are more than memory holds")).into());
    }
    // SAFETY: the caller's promise, and the length was checked.
    Ok(unsafe { std::slice::from_raw_parts(values, count) })
}

/// An array of texts from C.
///
/// # Safety
/// `texts` is NULL or has `count` texts that end with NUL.
pub(super) unsafe fn texts(name: &str, texts: *const *const c_char, count: usize) -> Result<Vec<String>> {
    // SAFETY: the caller's promise.
    let texts = unsafe { slice(name, texts, count) }?;
    // SAFETY: the caller's promise.
    texts.iter().map(|entry| unsafe { text(name, *entry) }).collect()
}

/// A record from C, as JSON; its default where it is left out as NULL.
///
/// # Safety
/// `json` is NULL or ends with NUL.
pub(super) unsafe fn record<T: DeserializeOwned + Default>(name: &str, json: *const c_char) -> Result<T> {
    // SAFETY: the caller's promise.
    let text = unsafe { optional_text(name, json) }?;
    text.map_or_else(|| Ok(T::default()), |text| validate::json(name, &text))
}

/// What an output holds when the call fails.
pub(super) trait Place {
    const EMPTY: Self;
}

impl<T> Place for *mut T {
    const EMPTY: *mut T = std::ptr::null_mut();
}

impl Place for f64 {
    const EMPTY: f64 = 0.0;
}

impl Place for usize {
    const EMPTY: usize = 0;
}

impl Place for u32 {
    const EMPTY: u32 = 0;
}

impl Place for bool {
    const EMPTY: bool = false;
}

/// A place that the caller wants a result in. Checked before anything is done, so that nothing is done in vain.
pub(super) struct Out<T>(*mut T);

impl<T: Place> Out<T> {
    /// # Safety
    /// `place` is NULL or may be written to until the function returns.
    pub(super) unsafe fn empty(name: &str, place: *mut T) -> Result<Out<T>> {
        if place.is_null() {
            return Err(Error::invalid_argument(format!("{name} is NULL")).into());
        }
        // SAFETY: the caller's promise.
        unsafe { place.write(T::EMPTY) };
        Ok(Out(place))
    }

    pub(super) fn set(self, value: T) -> Result<()> {
        // SAFETY: promised to `empty`.
        unsafe { self.0.write(value) };
        Ok(())
    }
}

impl Out<*mut c_char> {
    pub(super) fn set_text(self, text: String) -> Result<()> {
        self.set(process().registry.insert_text(text)?)
    }

    pub(super) fn set_json(self, value: &impl Serialize) -> Result<()> {
        self.set_text(crate::to_json(value)?.to_string())
    }
}

impl<T> Out<*mut T> {
    pub(super) fn set_handle<K: Kind<Opaque = T>>(self, object: K) -> Result<()> {
        self.set(process().registry.insert(object)?)
    }

    pub(super) fn set_shared<K: Kind<Opaque = T>>(self, object: Arc<K>) -> Result<()> {
        self.set(process().registry.share(object)?)
    }
}
