//! `ShardEngine` and `Model`.

use std::sync::Arc;

use kwaai_ffi::Matrix;
use napi::bindgen_prelude::{Float32Array, ToNapiValue};
use napi::{Env, sys};
use napi_derive::napi;

use crate::error::{Result, json, parse, thrown};
use crate::operation::Operation;
use crate::stream::Stream;

/// Loads models, serves their blocks, and generates.
#[napi]
pub struct ShardEngine(pub(crate) Arc<kwaai_ffi::ShardEngine>);

/// A loaded model.
#[napi]
pub struct Model(pub(crate) Arc<kwaai_ffi::Model>);

#[napi]
impl ShardEngine {
    #[napi]
    pub fn open() -> Operation {
        Operation::new(|cancel| async {
            kwaai_ffi::ShardEngine::open(cancel).await.map(|engine| ShardEngine(Arc::new(engine)))
        })
    }

    #[napi]
    pub fn load(&self, dir: String, blocks: String) -> Result<Operation> {
        let (engine, blocks) = (self.0.clone(), parse("blocks", &blocks)?);
        Ok(Operation::new(move |cancel| async move {
            engine.load(dir, blocks, cancel).await.map(|model| Model(Arc::new(model)))
        }))
    }

    #[napi]
    pub fn download(&self, model: String, blocks: String) -> Result<Operation> {
        let (engine, blocks) = (self.0.clone(), parse("blocks", &blocks)?);
        Ok(Operation::new(move |cancel| async move { engine.download(model, blocks, cancel).await.map(Stream::new) }))
    }

    #[napi]
    pub fn downloaded(&self) -> Operation {
        let engine = self.0.clone();
        Operation::new(move |cancel| async move { engine.downloaded(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn remove_download(&self, model: String) -> Operation {
        let engine = self.0.clone();
        Operation::new(
            move |cancel| async move { engine.remove_download(model, cancel).await.map(|freed| freed as f64) },
        )
    }

    #[napi]
    pub fn serve(&self, dir: String, start_block: u32, end_block: u32) -> Operation {
        let engine = self.0.clone();
        Operation::new(
            move |cancel| async move { engine.serve(dir, start_block, end_block, cancel).await.and_then(json) },
        )
    }

    #[napi]
    pub fn stop_serving(&self, model_id: String) -> Operation {
        let engine = self.0.clone();
        Operation::new(move |cancel| async move { engine.stop_serving(model_id, cancel).await })
    }

    #[napi]
    pub fn served(&self) -> Operation {
        let engine = self.0.clone();
        Operation::new(move |cancel| async move { engine.served(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn coverage(&self, model: &Model) -> Operation {
        let (engine, model) = (self.0.clone(), model.0.clone());
        Operation::new(move |cancel| async move { engine.coverage(&model, cancel).await.and_then(json) })
    }

    #[napi]
    pub fn calibrate(&self, dir: String, options: String) -> Result<Operation> {
        let (engine, options) = (self.0.clone(), parse("", &options)?);
        Ok(Operation::new(move |cancel| async move { engine.calibrate(dir, options, cancel).await.and_then(json) }))
    }

    #[napi]
    pub fn benchmark(&self, model: &Model, options: String) -> Result<Operation> {
        let (engine, model, options) = (self.0.clone(), model.0.clone(), parse("", &options)?);
        Ok(Operation::new(move |cancel| async move { engine.benchmark(&model, options, cancel).await.and_then(json) }))
    }

    #[napi]
    pub fn generate(&self, model: &Model, request: String, route: Option<String>) -> Result<Operation> {
        let (engine, model, request) = (self.0.clone(), model.0.clone(), parse("", &request)?);
        Ok(Operation::new(move |cancel| async move {
            engine.generate(&model, request, route, cancel).await.map(Stream::new)
        }))
    }

    #[napi]
    pub fn logits(&self, model: &Model, tokens: Vec<u32>, route: Option<String>) -> Operation {
        let (engine, model) = (self.0.clone(), model.0.clone());
        Operation::new(move |cancel| async move { engine.logits(&model, tokens, route, cancel).await.map(Rows) })
    }

    #[napi]
    pub fn embed(&self, texts: Vec<String>, model: Option<String>, query: bool) -> Operation {
        let engine = self.0.clone();
        Operation::new(move |cancel| async move { engine.embed(texts, model, query, cancel).await.map(Rows) })
    }

    #[napi]
    pub fn shutdown(&self) {
        self.0.shutdown();
    }
}

#[napi]
impl Model {
    /// What it is, as JSON.
    #[napi]
    pub fn info(&self) -> Result<String> {
        json(self.0.info()).map_err(thrown)
    }

    #[napi]
    pub fn shutdown(&self) {
        self.0.shutdown();
    }
}

/// Rows of numbers: `[rows, columns, values]`, the values handed over without a copy.
pub(crate) struct Rows(pub(crate) Matrix);

impl ToNapiValue for Rows {
    unsafe fn to_napi_value(env: sys::napi_env, rows: Rows) -> napi::Result<sys::napi_value> {
        let place = Env::from_raw(env);
        let mut list = place.create_array(3)?;
        list.set(0, u32::try_from(rows.0.rows).unwrap_or(u32::MAX))?;
        list.set(1, u32::try_from(rows.0.columns).unwrap_or(u32::MAX))?;
        list.set(2, Float32Array::new(rows.0.values))?;
        // SAFETY: passed on from the caller.
        unsafe { ToNapiValue::to_napi_value(env, list) }
    }
}
