//! A call that takes time: nothing happens until it is started.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;
use kwaai_ffi::{CancelToken, ErrorCode, KwaaiError, rt};
use napi::Env;
use napi::bindgen_prelude::{Function, Null, ToNapiValue};
use napi_derive::napi;

use crate::error::{Result, broken, text, thrown};
use crate::port::{Callback, value};

type Outcome = std::result::Result<Box<dyn Reply>, KwaaiError>;

/// What a call answers, once there is an environment to make it a value of.
trait Reply: Send {
    fn into_js(self: Box<Self>, env: napi::sys::napi_env) -> napi::Result<napi::sys::napi_value>;
}

impl<T: ToNapiValue + Send> Reply for T {
    fn into_js(self: Box<Self>, env: napi::sys::napi_env) -> napi::Result<napi::sys::napi_value> {
        // SAFETY: called from a job, which has the environment on its thread.
        unsafe { T::to_napi_value(env, *self) }
    }
}

/// A call that takes time. `bridge.ts` makes a promise of it.
#[napi]
pub struct Operation {
    work: Mutex<Option<BoxFuture<'static, Outcome>>>,
    cancel: CancelToken,
}

impl Operation {
    /// The operation that makes `call` with the token that cancels it.
    pub(crate) fn new<T, F>(call: impl FnOnce(CancelToken) -> F + Send + 'static) -> Operation
    where
        F: Future<Output = kwaai_ffi::Result<T>> + Send + 'static,
        T: ToNapiValue + Send + 'static,
    {
        let cancel = CancelToken::new();
        let token = cancel.clone();
        let work = async move { call(token).await.map(|value| Box::new(value) as Box<dyn Reply>) }.boxed();
        Operation { work: Mutex::new(Some(work)), cancel }
    }
}

#[napi]
impl Operation {
    /// Starts the call; `callback(error, value)` is called once when it is done, with the error's record as JSON.
    #[napi]
    pub fn start(&self, env: Env, callback: Function<'_>) -> Result<()> {
        let Some(work) = self.work.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            let message = "this call was made already".to_owned();
            return Err(thrown(KwaaiError::foreign(ErrorCode::InvalidArgument, message, None)));
        };
        let callback = Callback::new(&env, &callback).map_err(broken)?;
        let port = callback.port().clone();
        port.began(env.raw());
        let owed = Owed(Some(callback));
        rt::start(async move { Ok(work.await) }, move |outcome| owed.give(outcome.and_then(std::convert::identity)))
            .map_err(thrown)
    }

    /// Cancels the call.
    #[napi]
    pub fn cancel(&self) {
        self.cancel.cancel();
    }
}

/// The outcome that a caller waits for. It comes even when the runtime goes away first.
struct Owed(Option<Callback>);

impl Owed {
    fn give(mut self, outcome: Outcome) {
        if let Some(callback) = self.0.take() {
            settle(callback, outcome);
        }
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if let Some(callback) = self.0.take() {
            settle(callback, Err(rt::gone()));
        }
    }
}

fn settle(callback: Callback, outcome: Outcome) {
    let port = callback.port().clone();
    port.post(move |env| {
        callback.port().ended(env);
        let answer = outcome.and_then(|reply| {
            reply.into_js(env).map_err(|error| {
                KwaaiError::foreign(
                    ErrorCode::Internal,
                    "an answer has no form in JavaScript".into(),
                    Some(error.reason.clone()),
                )
            })
        });
        match answer {
            Ok(answer) => callback.call(env, &[value(env, Null), answer]),
            Err(error) => callback.call(env, &[value(env, text(&error))]),
        }
    });
}
