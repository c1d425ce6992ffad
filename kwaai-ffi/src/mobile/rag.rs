//! `Rag`, for Kotlin and Swift.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use kwaai_core::rag::evaluate::{Difference, Evaluation};
use kwaai_core::rag::{CacheStats, Calibration, CalibrationQuestion, DocumentInfo, Fault, SearchResult, Stats};

use super::number::whole;
use super::{
    Cancel, EmbedderChoice, EvaluateOptions, FolderOptions, KnownQuestion, NativeAnswer, NativeCollection,
    NativeHttpServer, NativeIngestion, NativeOutsourcing, NativeReembedding, NativeSync, QuestionOptions, RagOptions,
    Result, SearchOptions, ServerOptions, token,
};
use crate::rag::{IngestOptions, ReportForm};
use crate::{Rag, rag, to_json};

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
    pub async fn ingest_path(
        &self,
        path: String,
        metadata: Option<HashMap<String, String>>,
        cancel: Cancel,
    ) -> Result<Arc<NativeIngestion>> {
        Ok(NativeIngestion::over(self.0.ingest_path(path, described(metadata), token(cancel)).await?))
    }

    /// Starts to read a document from memory.
    pub async fn ingest_bytes(
        &self,
        name: String,
        bytes: Vec<u8>,
        metadata: Option<HashMap<String, String>>,
        cancel: Cancel,
    ) -> Result<Arc<NativeIngestion>> {
        Ok(NativeIngestion::over(self.0.ingest_bytes(name, bytes, described(metadata), token(cancel)).await?))
    }

    /// Starts to keep the documents of a folder as its files are.
    pub async fn sync(&self, folder: String, options: FolderOptions, cancel: Cancel) -> Result<Arc<NativeSync>> {
        Ok(NativeSync::over(self.0.sync(folder, options.into_parts()?, token(cancel)).await?))
    }

    /// Starts to give it another embedder.
    pub async fn reembed(&self, choice: EmbedderChoice, cancel: Cancel) -> Result<Arc<NativeReembedding>> {
        let (chosen, supplies) = choice.into_parts()?;
        Ok(NativeReembedding::over(self.0.reembed(chosen, supplies, token(cancel)).await?))
    }

    /// Starts to bring its vectors to a collection.
    pub async fn outsource(
        &self,
        collection: Arc<NativeCollection>,
        texts: bool,
        cancel: Cancel,
    ) -> Result<Arc<NativeOutsourcing>> {
        Ok(NativeOutsourcing::over(self.0.outsource(&collection.0, texts, token(cancel)).await?))
    }

    /// The `k` passages that fit a text best.
    pub async fn search(&self, text: String, k: i64, options: SearchOptions, cancel: Cancel) -> Result<SearchResult> {
        Ok(self.0.search(text, whole("k", k)?, options.into_core()?, token(cancel)).await?)
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

    /// Asks questions whose answers are known, and scores what comes back.
    pub async fn evaluate(
        &self,
        questions: Vec<KnownQuestion>,
        options: EvaluateOptions,
        cancel: Cancel,
    ) -> Result<Evaluation> {
        let (options, supplies) = options.into_parts()?;
        let questions = questions.into_iter().map(Into::into).collect();
        Ok(self.0.evaluate(questions, options, supplies, token(cancel)).await?)
    }

    /// What became of the answers that are kept.
    pub async fn cache_stats(&self, cancel: Cancel) -> Result<CacheStats> {
        Ok(self.0.cache_stats(token(cancel)).await?)
    }

    /// Forgets the answers that are kept.
    pub async fn cache_clear(&self, cancel: Cancel) -> Result<()> {
        Ok(self.0.cache_clear(token(cancel)).await?)
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

fn described(metadata: Option<HashMap<String, String>>) -> IngestOptions {
    IngestOptions { metadata: metadata.map(|metadata| metadata.into_iter().collect()) }
}

/// The mean difference of each score that two evaluations of the same questions have.
///
/// # Errors
/// `invalid_argument` when the questions are not the same.
#[uniffi::export]
pub fn compared_evaluations(evaluation: Evaluation, other: Evaluation) -> Result<BTreeMap<String, Difference>> {
    Ok(rag::compare_evaluations(&evaluation, &other)?)
}

/// The means as a table.
#[uniffi::export]
pub fn evaluation_markdown(evaluation: Evaluation) -> String {
    rag::evaluation_report(&evaluation, None, ReportForm::Markdown)
}

/// A page that needs nothing beside itself, with another evaluation beside it.
#[uniffi::export]
pub fn evaluation_html(evaluation: Evaluation, beside: Option<Evaluation>) -> String {
    rag::evaluation_report(&evaluation, beside.as_ref(), ReportForm::Html)
}

/// All of it, as JSON.
#[uniffi::export]
pub fn evaluation_json(evaluation: Evaluation) -> Result<String> {
    Ok(to_json(&evaluation)?.to_string())
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
