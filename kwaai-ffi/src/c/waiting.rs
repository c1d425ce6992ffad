//! Verbs that wait, each in two forms from one definition.

/// Defines for each verb a function that waits and one that starts an operation.
///
/// The body runs before anything is waited for. It checks the arguments and answers the call that is to be made. The
/// function that waits has the arguments, `timeout_ms`, the outputs and `error`; the other one has the arguments,
/// `out_op` and `error`. `tests/header.rs` reads these definitions line by line for the header.
macro_rules! waiting {
    ($(
        $(#[doc = $doc:literal])*
        fn $name:ident / $begun:ident($($arg:ident: $kind:ty),* $(,)?) -> ($($out:ident: $place:ty),* $(,)?) $body:block
    )*) => { $(
        $(#[doc = $doc])*
        ///
        /// # Safety
        /// Texts end with NUL, arrays are as long as is said, and outputs may be written to until the function returns.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(
            $($arg: $kind,)*
            timeout_ms: u32,
            $($out: *mut $place,)*
            error: *mut *mut $crate::c::kwaai_error_t,
        ) -> $crate::c::kwaai_status_t {
            let body = || -> $crate::Result<()> {
                // SAFETY: the caller's promise.
                let places = ($(unsafe { $crate::c::call::Out::empty(stringify!($out), $out) }?,)*);
                #[allow(unused_unsafe, reason = "some verbs take nothing but handles and numbers")]
                // SAFETY: the caller's promise.
                let call = unsafe { $body };
                $crate::c::reply::Reply::put($crate::c::call::wait(timeout_ms, call)?, places)
            };
            // SAFETY: the caller's promise.
            unsafe { $crate::c::call::boundary(error, body) }
        }

        #[doc = concat!("Begins what `", stringify!($name), "` does and returns at once.")]
        ///
        /// Ownership: the caller frees `*out_op` with `kwaai_op_free`; what the arguments point to is copied. Threads: any,
        #[doc = concat!("also in a callback. NULL: as for `", stringify!($name), "`. Lifetime: handles among the arguments")]
        /// may be freed at once.
        ///
        /// # Safety
        /// Texts end with NUL, arrays are as long as is said, and outputs may be written to until the function returns.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $begun(
            $($arg: $kind,)*
            out_op: *mut *mut $crate::c::kwaai_op_t,
            error: *mut *mut $crate::c::kwaai_error_t,
        ) -> $crate::c::kwaai_status_t {
            let body = || -> $crate::Result<()> {
                // SAFETY: the caller's promise.
                let place = unsafe { $crate::c::call::Out::empty("out_op", out_op) }?;
                #[allow(unused_unsafe, reason = "some verbs take nothing but handles and numbers")]
                // SAFETY: the caller's promise.
                let call = unsafe { $body };
                place.set_handle($crate::c::operation::Operation::start(call)?)
            };
            // SAFETY: the caller's promise.
            unsafe { $crate::c::call::boundary(error, body) }
        }
    )* };
}
