//! What an app brings: functions of JavaScript behind the traits of `kwaai_ffi::provide`.
//!
//! Each call hands the function an [`Owing`] first, by which the facade gives the answer, now or later.

use std::sync::{Arc, Mutex, PoisonError};

use kwaai_core::llm::{FinishReason, GenerateRequest, Usage};
use kwaai_ffi::provide::{
    self, Answer, Embedder, ForeignEmbedder, ForeignModel, ForeignReader, ForeignSigner, Pieces, Reader, Writer,
};
use kwaai_ffi::rt;
use napi::Env;
use napi::bindgen_prelude::{Float32Array, Function, Uint8Array};
use napi_derive::napi;

use crate::error::{Result, broken, foreign, json, parse, thrown, whole};
use crate::port::{Callback, value};
use crate::shard::{Model, ShardEngine};

/// What an app brings to a knowledge base.
#[napi]
#[derive(Default)]
pub struct Supplies(Mutex<provide::Supplies>);

impl Supplies {
    /// What was collected. It is used once.
    pub(crate) fn take(&self) -> provide::Supplies {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut provide::Supplies)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

#[napi]
impl Supplies {
    #[napi(constructor)]
    #[allow(clippy::new_without_default, reason = "the constructor of JavaScript")]
    pub fn new() -> Supplies {
        Supplies::default()
    }

    /// `function(owing, texts, query)`
    #[napi]
    pub fn embedder(
        &self,
        env: Env,
        id: String,
        dimension: u32,
        deadline_ms: Option<f64>,
        function: Function<'_>,
    ) -> Result<()> {
        let code = code(&env, &function)?;
        let embedder = Embedder::foreign(id, dimension, deadline_ms.map(whole), code).map_err(thrown)?;
        self.change(|supplies| supplies.embedder = Some(embedder));
        Ok(())
    }

    /// A model of a shard engine.
    #[napi]
    pub fn writer(&self, engine: &ShardEngine, model: &Model, route: Option<String>) -> Result<()> {
        let writer = engine.0.writer(&model.0, route).map_err(thrown)?;
        self.change(|supplies| supplies.writer = Some(writer));
        Ok(())
    }

    /// `function(owing, request)`, the request as JSON.
    #[napi]
    pub fn model(&self, env: Env, name: String, deadline_ms: Option<f64>, function: Function<'_>) -> Result<()> {
        let code = code(&env, &function)?;
        let writer = Writer::foreign(name, deadline_ms.map(whole), code).map_err(thrown)?;
        self.change(|supplies| supplies.writer = Some(writer));
        Ok(())
    }

    /// `function(owing, name, bytes)`
    #[napi]
    pub fn reader(
        &self,
        env: Env,
        extensions: Vec<String>,
        deadline_ms: Option<f64>,
        function: Function<'_>,
    ) -> Result<()> {
        let code = code(&env, &function)?;
        let reader = Reader::foreign(extensions, deadline_ms.map(whole), code).map_err(thrown)?;
        self.change(|supplies| supplies.readers.push(reader));
        Ok(())
    }
}

/// A signer of the app: `function(owing, message)`.
#[napi]
pub struct Signer(pub(crate) provide::Signer);

#[napi]
impl Signer {
    #[napi(constructor)]
    pub fn new(env: Env, did: String, deadline_ms: Option<f64>, function: Function<'_>) -> Result<Signer> {
        let code = code(&env, &function)?;
        provide::Signer::foreign(did, deadline_ms.map(whole), code).map(Signer).map_err(thrown)
    }
}

/// A function of JavaScript that is called from the runtime.
struct Code(Arc<Callback>);

fn code(env: &Env, function: &Function<'_>) -> Result<Arc<Code>> {
    Ok(Arc::new(Code(Arc::new(Callback::new(env, function).map_err(broken)?))))
}

impl ForeignEmbedder for Code {
    fn embed(&self, texts: Vec<String>, query: bool, answer: Answer<Vec<f32>>) {
        let function = self.0.clone();
        self.0.port().post(move |env| {
            let owing = value(env, Owing::new(Owed::Vectors(answer)));
            function.call(env, &[owing, value(env, texts), value(env, query)]);
        });
    }
}

impl ForeignModel for Code {
    fn generate(&self, request: GenerateRequest, pieces: Pieces) {
        let function = self.0.clone();
        let request = match json(&request) {
            Ok(request) => request,
            Err(error) => return pieces.fail(error),
        };
        self.0.port().post(move |env| {
            let owing = value(env, Owing::new(Owed::Text(pieces)));
            function.call(env, &[owing, value(env, request)]);
        });
    }
}

impl ForeignReader for Code {
    fn read(&self, name: String, bytes: Vec<u8>, answer: Answer<Vec<(Option<String>, String)>>) {
        let function = self.0.clone();
        self.0.port().post(move |env| {
            let owing = value(env, Owing::new(Owed::Parts(answer)));
            function.call(env, &[owing, value(env, name), value(env, Uint8Array::new(bytes))]);
        });
    }
}

impl ForeignSigner for Code {
    fn sign(&self, message: Vec<u8>, answer: Answer<Vec<u8>>) {
        let function = self.0.clone();
        self.0.port().post(move |env| {
            let owing = value(env, Owing::new(Owed::Signature(answer)));
            function.call(env, &[owing, value(env, Uint8Array::new(message))]);
        });
    }
}

enum Owed {
    Vectors(Answer<Vec<f32>>),
    Text(Pieces),
    Parts(Answer<Vec<(Option<String>, String)>>),
    Signature(Answer<Vec<u8>>),
}

/// The answer that a function of the app owes. An answer of another kind than what is owed, or a second one, is ignored;
/// dropping it unanswered fails the call.
#[napi]
pub struct Owing(Mutex<Option<Owed>>);

impl Owing {
    fn new(owed: Owed) -> Owing {
        Owing(Mutex::new(Some(owed)))
    }

    fn take(&self) -> Option<Owed> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[napi]
impl Owing {
    /// The numbers are copied once.
    #[napi]
    pub fn vectors(&self, values: Float32Array) {
        if let Some(Owed::Vectors(answer)) = self.take() {
            answer.give(values.to_vec());
        }
    }

    /// A list of `[label or null, text]`, as JSON.
    #[napi]
    pub fn parts(&self, parts: String) -> Result<()> {
        let parts = parse("parts", &parts)?;
        if let Some(Owed::Parts(answer)) = self.take() {
            answer.give(parts);
        }
        Ok(())
    }

    #[napi]
    pub fn signature(&self, bytes: Uint8Array) {
        if let Some(Owed::Signature(answer)) = self.take() {
            answer.give(bytes.to_vec());
        }
    }

    /// Writes a piece of a text; false when nobody reads any more.
    #[napi]
    pub fn write(&self, text: String) -> bool {
        match &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Owed::Text(pieces)) => pieces.write(text),
            _ => false,
        }
    }

    /// Ends a text, because the model stopped or at its limit.
    #[napi]
    pub fn finish(&self, at_limit: bool, usage: Option<String>) -> Result<()> {
        let usage = usage.map(|usage| parse::<Usage>("usage", &usage)).transpose()?;
        if let Some(Owed::Text(pieces)) = self.take() {
            pieces.finish(if at_limit { FinishReason::Length } else { FinishReason::Stop }, usage);
        }
        Ok(())
    }

    /// Says that there is no answer, and why.
    #[napi]
    pub fn fail(&self, code: String, message: String, cause: Option<String>) {
        let error = foreign(&code, message, cause);
        match self.take() {
            Some(Owed::Vectors(answer)) => answer.fail(error),
            Some(Owed::Text(pieces)) => pieces.fail(error),
            Some(Owed::Parts(answer)) => answer.fail(error),
            Some(Owed::Signature(answer)) => answer.fail(error),
            None => {}
        }
    }

    /// Calls `callback()` when nobody waits for the answer any more, or after it was given.
    #[napi]
    pub fn unwanted(&self, env: Env, callback: Function<'_>) -> Result<()> {
        let unwanted = match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(Owed::Vectors(answer)) => answer.unwanted(),
            Some(Owed::Text(pieces)) => pieces.unwanted(),
            Some(Owed::Parts(answer)) => answer.unwanted(),
            Some(Owed::Signature(answer)) => answer.unwanted(),
            None => return Ok(()),
        };
        let callback = Callback::new(&env, &callback).map_err(broken)?;
        let done = move |_| {
            let port = callback.port().clone();
            port.post(move |env| callback.call(env, &[]));
        };
        let wait = async {
            unwanted.await;
            Ok(())
        };
        rt::start(wait, done).map_err(thrown)
    }
}
