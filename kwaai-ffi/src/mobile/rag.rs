//! `Rag`, for Kotlin and Swift.

use std::sync::Arc;

use kwaai_core::rag::{Calibration, CalibrationQuestion, DocumentInfo, Fault, SearchResult, Stats};

use super::number::whole;
use super::{
    Cancel, FolderOptions, NativeAnswer, NativeHttpServer, NativeIngestion, NativeSync, QuestionOptions, RagOptions,
    Result, SearchOptions, ServerOptions, token,
};
use crate::{Rag, rag};

/// A private knowledge base.
#[derive(uniffi::Object)]
pub struct NativeRag(pub(super) Rag);

#[uniffi::export]
impl NativeRag {
    /// Opens a knowledge base alone.
    #[uniffi::constructor]
    pub async fn open(dir: String, options: RagOptions, cancel: Cancel) -> Result<Arc<NativeRag>> {
        let (options, supplies) = options.into_parts()?;
        Ok(Arc::new(NativeRag(Rag::open(dir, options, supplies, token(cancel)).await?)))
    }

    /// Starts to read a file, or every file of a folder.
    pub async fn ingest_path(&self, path: String, cancel: Cancel) -> Result<Arc<NativeIngestion>> {
        Ok(NativeIngestion::over(self.0.ingest_path(path, token(cancel)).await?))
    }

    /// Starts to read a document from memory.
    pub async fn ingest_bytes(&self, name: String, bytes: Vec<u8>, cancel: Cancel) -> Result<Arc<NativeIngestion>> {
        Ok(NativeIngestion::over(self.0.ingest_bytes(name, bytes, token(cancel)).await?))
    }

    /// Starts to keep the documents of a folder as its files are.
    pub async fn sync(&self, folder: String, options: FolderOptions, cancel: Cancel) -> Result<Arc<NativeSync>> {
        Ok(NativeSync::over(self.0.sync(folder, options.into_parts()?, token(cancel)).await?))
    }

    /// The `k` passages that fit a text best.
    pub async fn search(&self, text: String, k: i64, options: SearchOptions, cancel: Cancel) -> Result<SearchResult> {
        Ok(self.0.search(text, whole("k", k)?, options, token(cancel)).await?)
    }

    /// Starts to answer a question.
    pub async fn ask(&self, question: String, options: QuestionOptions, cancel: Cancel) -> Result<Arc<NativeAnswer>> {
        Ok(NativeAnswer::over(self.0.ask(question, options.into_core()?, token(cancel)).await?))
    }

    /// Learns from questions when to refuse; without any, from sentences of the documents.
    pub async fn calibrate(
        &self,
        questions: Vec<CalibrationQuestion>,
        options: QuestionOptions,
        cancel: Cancel,
    ) -> Result<Calibration> {
        Ok(self.0.calibrate(questions, options.into_core()?, token(cancel)).await?)
    }

    /// Every document.
    pub async fn documents(&self, cancel: Cancel) -> Result<Vec<DocumentInfo>> {
        Ok(self.0.documents(token(cancel)).await?)
    }

    /// The text of a document.
    pub async fn document_text(&self, id: String, cancel: Cancel) -> Result<String> {
        Ok(self.0.document_text(id, token(cancel)).await?)
    }

    /// Removes a document.
    pub async fn delete_document(&self, id: String, cancel: Cancel) -> Result<()> {
        Ok(self.0.delete_document(id, token(cancel)).await?)
    }

    /// What it holds and how it searches.
    pub async fn stats(&self, cancel: Cancel) -> Result<Stats> {
        Ok(self.0.stats(token(cancel)).await?)
    }

    /// Serves it by HTTP under a name. `options` has nothing else that is served.
    pub async fn serve(
        &self,
        name: Option<String>,
        options: ServerOptions,
        cancel: Cancel,
    ) -> Result<Arc<NativeHttpServer>> {
        let (_, options) = options.into_parts()?;
        Ok(Arc::new(NativeHttpServer(self.0.serve(name, options, token(cancel)).await?)))
    }

    /// Stops what is under way and unlocks the directory.
    pub async fn shutdown(&self, cancel: Cancel) -> Result<()> {
        Ok(self.0.shutdown(token(cancel)).await?)
    }

    /// Shuts down and deletes everything that was stored.
    pub async fn destroy(&self, cancel: Cancel) -> Result<()> {
        Ok(self.0.destroy(token(cancel)).await?)
    }
}

/// Compares an answer with the texts of its sources, of which the first is `[1]`.
#[uniffi::export]
pub fn check_native_citations(text: String, sources: Vec<String>) -> Vec<Fault> {
    rag::check_citations(&text, &sources)
}

/// The support above which a question is answered, where the share `alpha` of unsupported answers is tolerated.
///
/// # Errors
/// `invalid_argument` for a share or a support that is not between 0 and 1.
#[uniffi::export]
pub fn calibrated_threshold(calibration: Calibration, alpha: f64) -> Result<Option<f64>> {
    Ok(rag::calibration_at(&calibration, alpha)?.threshold)
}

/// The share of the answerable questions that get an answer, where the share `alpha` is tolerated.
///
/// # Errors
/// `invalid_argument` for a share or a support that is not between 0 and 1.
#[uniffi::export]
pub fn calibrated_answers(calibration: Calibration, alpha: f64) -> Result<f64> {
    Ok(rag::calibration_at(&calibration, alpha)?.answered)
}

/// How often an answerable question has more support than another; `None` without one of either.
///
/// # Errors
/// `invalid_argument` for a support that is not between 0 and 1.
#[uniffi::export]
pub fn calibrated_auroc(calibration: Calibration) -> Result<Option<f64>> {
    Ok(rag::calibration_at(&calibration, 1.0)?.auroc)
}
