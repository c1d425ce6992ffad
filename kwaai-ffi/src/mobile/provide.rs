//! What an app brings, written in Kotlin or Swift.
//!
//! The foreign functions are asynchronous: polling one starts a coroutine or a task, and dropping it cancels that. It is
//! dropped when nobody waits for the answer any more. Vectors cross as one buffer of bytes.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kwaai_core::Error;
use kwaai_core::llm::{self, FinishReason, Usage};

use super::number::{maybe, whole};
use super::record::GenerateRequest;
use super::{NativeError, Result};
use crate::provide::{
    Answer, Embedder, ForeignEmbedder, ForeignModel, ForeignReader, ForeignSigner, Pieces, Reader, Signer, Writer,
};
use crate::{KwaaiError, LogRecord, LogSink};

/// Turns texts into vectors.
#[uniffi::export(with_foreign)]
#[async_trait]
pub trait EmbedderCode: Send + Sync {
    /// The vectors of the texts one after the other: 32-bit floats, little-endian. `query` is true for what is looked for.
    async fn embed(&self, texts: Vec<String>, query: bool) -> Result<Vec<u8>>;
}

/// Continues conversations.
#[uniffi::export(with_foreign)]
#[async_trait]
pub trait ModelCode: Send + Sync {
    /// Writes the next turn, piece by piece, and says at the end why it ended.
    async fn generate(&self, request: GenerateRequest, pieces: Arc<NativePieces>) -> Result<NativeFinish>;
}

/// Reads documents.
#[uniffi::export(with_foreign)]
#[async_trait]
pub trait ReaderCode: Send + Sync {
    /// The parts of a file.
    async fn read(&self, name: String, bytes: Vec<u8>) -> Result<Vec<NativePart>>;
}

/// Signs.
#[uniffi::export(with_foreign)]
#[async_trait]
pub trait SignerCode: Send + Sync {
    /// The Ed25519 signature of exactly these bytes.
    async fn sign(&self, message: Vec<u8>) -> Result<Vec<u8>>;
}

/// Takes log records.
#[uniffi::export(with_foreign)]
pub trait SinkCode: Send + Sync {
    /// Takes a record, on a thread of its own.
    fn log(&self, record: LogRecord);
}

/// A part of a document.
#[derive(Debug, uniffi::Record)]
pub struct NativePart {
    /// What a citation calls it.
    pub label: Option<String>,
    /// Its text.
    pub text: String,
}

/// The end of a turn.
#[derive(Debug, uniffi::Record)]
pub struct NativeFinish {
    /// Why it ended.
    pub reason: FinishReason,
    /// Tokens read and written, where the model counts them.
    pub usage: Option<Usage>,
}

/// Where a model of the app writes.
#[derive(uniffi::Object)]
pub struct NativePieces(Mutex<Option<Pieces>>);

#[uniffi::export]
impl NativePieces {
    /// Writes a piece; false when nobody reads any more.
    pub fn write(&self, text: String) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).as_mut().is_some_and(|pieces| pieces.write(text))
    }
}

impl NativePieces {
    fn take(&self) -> Option<Pieces> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

macro_rules! supply {
    ($(#[$doc:meta])* $name:ident of $kind:ident) => {
        $(#[$doc])*
        #[derive(uniffi::Object)]
        pub struct $name(pub(super) $kind);
    };
}
supply!(
    /// An embedder of the app.
    NativeEmbedder of Embedder
);
supply!(
    /// A language model that writes answers.
    NativeWriter of Writer
);
supply!(
    /// A document reader of the app.
    NativeReader of Reader
);
supply!(
    /// A signer of the app.
    NativeSigner of Signer
);

#[uniffi::export]
impl NativeEmbedder {
    /// `id` changes whenever the vectors would.
    #[uniffi::constructor]
    pub fn new(id: String, dimension: i64, deadline_ms: Option<i64>, code: Arc<dyn EmbedderCode>) -> Result<Arc<Self>> {
        let (dimension, deadline_ms) = (whole("dimension", dimension)?, maybe("deadline_ms", deadline_ms)?);
        Ok(Arc::new(NativeEmbedder(Embedder::foreign(id, dimension, deadline_ms, Arc::new(Foreign(code)))?)))
    }
}

#[uniffi::export]
impl NativeWriter {
    /// The deadline counts from one piece to the next.
    #[uniffi::constructor]
    pub fn new(name: String, deadline_ms: Option<i64>, code: Arc<dyn ModelCode>) -> Result<Arc<Self>> {
        let deadline_ms = maybe("deadline_ms", deadline_ms)?;
        Ok(Arc::new(NativeWriter(Writer::foreign(name, deadline_ms, Arc::new(Foreign(code)))?)))
    }
}

#[uniffi::export]
impl NativeReader {
    /// Reads files with these extensions.
    #[uniffi::constructor]
    pub fn new(extensions: Vec<String>, deadline_ms: Option<i64>, code: Arc<dyn ReaderCode>) -> Result<Arc<Self>> {
        let deadline_ms = maybe("deadline_ms", deadline_ms)?;
        Ok(Arc::new(NativeReader(Reader::foreign(extensions, deadline_ms, Arc::new(Foreign(code)))?)))
    }
}

#[uniffi::export]
impl NativeSigner {
    /// Signs for a DID whose key the app keeps.
    #[uniffi::constructor]
    pub fn new(did: String, deadline_ms: Option<i64>, code: Arc<dyn SignerCode>) -> Result<Arc<Self>> {
        let deadline_ms = maybe("deadline_ms", deadline_ms)?;
        Ok(Arc::new(NativeSigner(Signer::foreign(did, deadline_ms, Arc::new(Foreign(code)))?)))
    }
}

/// The app's code behind a trait of the object layer.
struct Foreign<T: ?Sized>(Arc<T>);

impl ForeignEmbedder for Foreign<dyn EmbedderCode> {
    fn embed(&self, texts: Vec<String>, query: bool, answer: Answer<Vec<f32>>) {
        let code = self.0.clone();
        owe(answer, async move { floats(&code.embed(texts, query).await?) });
    }
}

impl ForeignReader for Foreign<dyn ReaderCode> {
    fn read(&self, name: String, bytes: Vec<u8>, answer: Answer<Vec<(Option<String>, String)>>) {
        let code = self.0.clone();
        owe(answer, async move {
            let parts = code.read(name, bytes).await?;
            Ok(parts.into_iter().map(|part| (part.label, part.text)).collect())
        });
    }
}

impl ForeignSigner for Foreign<dyn SignerCode> {
    fn sign(&self, message: Vec<u8>, answer: Answer<Vec<u8>>) {
        let code = self.0.clone();
        owe(answer, async move { code.sign(message).await });
    }
}

impl ForeignModel for Foreign<dyn ModelCode> {
    fn generate(&self, request: llm::GenerateRequest, pieces: Pieces) {
        let request = GenerateRequest::from(request);
        let (code, unwanted) = (self.0.clone(), pieces.unwanted());
        let written = Arc::new(NativePieces(Mutex::new(Some(pieces))));
        tokio::spawn(async move {
            let end = tokio::select! {
                end = code.generate(request, written.clone()) => end,
                () = unwanted => return,
            };
            let Some(pieces) = written.take() else { return };
            match end {
                Ok(NativeFinish { reason, usage }) => pieces.finish(reason, usage),
                Err(error) => pieces.fail(error.into()),
            }
        });
    }
}

/// Gives the answer of `work`, or drops the work when nobody waits for it any more. Object layer and core call foreign code
/// inside the runtime, which is where this spawns.
fn owe<T: Send + 'static>(answer: Answer<T>, work: impl Future<Output = Result<T>> + Send + 'static) {
    let unwanted = answer.unwanted();
    tokio::spawn(async move {
        tokio::select! {
            result = work => match result {
                Ok(value) => answer.give(value),
                Err(error) => answer.fail(KwaaiError::from(error)),
            },
            () = unwanted => {}
        }
    });
}

fn floats(bytes: &[u8]) -> Result<Vec<f32>> {
    let (numbers, rest) = bytes.as_chunks();
    if !rest.is_empty() {
        let message = format!("the embedder gave {} bytes, which are no 32-bit floats", bytes.len());
        return Err(NativeError::from(Error::invalid_argument(message)));
    }
    Ok(numbers.iter().map(|number| f32::from_le_bytes(*number)).collect())
}

/// A sink of the app.
pub(super) struct Sink(pub(super) Arc<dyn SinkCode>);

impl LogSink for Sink {
    fn log(&self, record: LogRecord) {
        self.0.log(record);
    }
}
