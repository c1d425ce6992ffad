//! `Rag`.

use std::sync::Arc;

use kwaai_ffi::http::HttpOptions;
use kwaai_ffi::rag::{EmbedderName, Options, SearchOptions, SyncOptions};
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

use crate::error::{Result, json, parse, thrown};
use crate::http::HttpServer;
use crate::operation::Operation;
use crate::provide::Supplies;
use crate::stream::Stream;
use crate::vpk::VectorCollection;

/// A private knowledge base.
#[napi]
pub struct Rag(pub(crate) Arc<kwaai_ffi::Rag>);

impl From<kwaai_ffi::Rag> for Rag {
    fn from(rag: kwaai_ffi::Rag) -> Rag {
        Rag(Arc::new(rag))
    }
}

#[napi]
impl Rag {
    #[napi]
    pub fn open(dir: String, options: String, supplies: &Supplies) -> Result<Operation> {
        let options: Options = parse("", &options)?;
        let supplies = supplies.take();
        Ok(Operation::new(|cancel| async { kwaai_ffi::Rag::open(dir, options, supplies, cancel).await.map(Rag::from) }))
    }

    #[napi]
    pub fn ingest_path(&self, path: String, options: String) -> Result<Operation> {
        let (rag, options) = (self.0.clone(), parse("", &options)?);
        Ok(Operation::new(move |cancel| async move { rag.ingest_path(path, options, cancel).await.map(Stream::new) }))
    }

    /// The bytes are copied once.
    #[napi]
    pub fn ingest_bytes(&self, name: String, bytes: Uint8Array, options: String) -> Result<Operation> {
        let (rag, bytes, options) = (self.0.clone(), bytes.to_vec(), parse("", &options)?);
        Ok(Operation::new(move |cancel| async move {
            rag.ingest_bytes(name, bytes, options, cancel).await.map(Stream::new)
        }))
    }

    #[napi]
    pub fn sync(&self, folder: String, options: String) -> Result<Operation> {
        let (rag, options): (_, SyncOptions) = (self.0.clone(), parse("", &options)?);
        Ok(Operation::new(move |cancel| async move { rag.sync(folder, options, cancel).await.map(Stream::new) }))
    }

    #[napi]
    pub fn reembed(&self, chosen: String, supplies: &Supplies) -> Result<Operation> {
        let (rag, chosen): (_, Option<EmbedderName>) = (self.0.clone(), parse("embedder", &chosen)?);
        let supplies = supplies.take();
        Ok(Operation::new(move |cancel| async move { rag.reembed(chosen, supplies, cancel).await.map(Stream::new) }))
    }

    #[napi]
    pub fn outsource(&self, collection: &VectorCollection, texts: bool) -> Operation {
        let (rag, collection) = (self.0.clone(), collection.0.clone());
        Operation::new(move |cancel| async move { rag.outsource(&collection, texts, cancel).await.map(Stream::new) })
    }

    #[napi]
    pub fn search(&self, text: String, k: u32, options: String) -> Result<Operation> {
        let (rag, options): (_, SearchOptions) = (self.0.clone(), parse("", &options)?);
        Ok(Operation::new(
            move |cancel| async move { rag.search(text, k as usize, options, cancel).await.and_then(json) },
        ))
    }

    #[napi]
    pub fn ask(&self, question: String, options: String) -> Result<Operation> {
        let (rag, options) = (self.0.clone(), parse("", &options)?);
        Ok(Operation::new(move |cancel| async move { rag.ask(question, options, cancel).await.map(Stream::new) }))
    }

    #[napi]
    pub fn calibrate(&self, questions: String, options: String) -> Result<Operation> {
        let (rag, questions, options) = (self.0.clone(), parse("questions", &questions)?, parse("", &options)?);
        Ok(Operation::new(move |cancel| async move { rag.calibrate(questions, options, cancel).await.and_then(json) }))
    }

    #[napi]
    pub fn evaluate(&self, questions: String, options: String, supplies: &Supplies) -> Result<Operation> {
        let (rag, questions, options) = (self.0.clone(), parse("questions", &questions)?, parse("", &options)?);
        let supplies = supplies.take();
        Ok(Operation::new(move |cancel| async move {
            rag.evaluate(questions, options, supplies, cancel).await.and_then(json)
        }))
    }

    #[napi]
    pub fn cache_stats(&self) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.cache_stats(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn cache_clear(&self) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.cache_clear(cancel).await })
    }

    #[napi]
    pub fn documents(&self) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.documents(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn document_text(&self, id: String) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.document_text(id, cancel).await })
    }

    #[napi]
    pub fn delete_document(&self, id: String) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.delete_document(id, cancel).await })
    }

    #[napi]
    pub fn stats(&self) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.stats(cancel).await.and_then(json) })
    }

    #[napi]
    pub fn serve(&self, name: Option<String>, options: String) -> Result<Operation> {
        let (rag, options): (_, HttpOptions) = (self.0.clone(), parse("", &options)?);
        Ok(Operation::new(move |cancel| async move { rag.serve(name, options, cancel).await.map(HttpServer::from) }))
    }

    #[napi]
    pub fn shutdown(&self) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.shutdown(cancel).await })
    }

    #[napi]
    pub fn destroy(&self) -> Operation {
        let rag = self.0.clone();
        Operation::new(move |cancel| async move { rag.destroy(cancel).await })
    }
}

/// What is wrong with the citations of an answer, as JSON.
#[napi]
pub fn check_citations(text: String, sources: Vec<String>) -> Result<String> {
    json(kwaai_ffi::rag::check_citations(&text, &sources)).map_err(thrown)
}

/// The mean difference of each score that two evaluations have, all as JSON.
#[napi]
pub fn compare_evaluations(evaluation: String, other: String) -> Result<String> {
    let (own, other) = (parse("", &evaluation)?, parse("other", &other)?);
    kwaai_ffi::rag::compare_evaluations(&own, &other).and_then(json).map_err(thrown)
}

/// An evaluation, as JSON, for people.
#[napi]
pub fn evaluation_report(evaluation: String, beside: Option<String>, form: String) -> Result<String> {
    let beside = beside.map(|beside| parse("beside", &beside)).transpose()?;
    let form = parse("form", &format!("\"{form}\""))?;
    Ok(kwaai_ffi::rag::evaluation_report(&parse("", &evaluation)?, beside.as_ref(), form))
}

/// What a calibration says where a share of unsupported answers is tolerated, both as JSON.
#[napi]
pub fn calibration_at(calibration: String, alpha: f64) -> Result<String> {
    kwaai_ffi::rag::calibration_at(&parse("", &calibration)?, alpha).and_then(json).map_err(thrown)
}
