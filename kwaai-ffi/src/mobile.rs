//! The interface that Kotlin and Swift are generated from: the objects of this crate, an expression for each verb.
//!
//! The names begin with `Native`, because the packages have classes of the plain names in front of them. Records cross as
//! they are; `record` tells UniFFI about those that belong to the core. Numbers that come in are signed, which is what
//! both languages count with, and a negative one is refused (`number`). Dropping a future gives up on its call, which is how
//! Kotlin cancels; Swift's futures run on when their task is cancelled, so that every verb takes a [`NativeCancel`] too.
//!
//! UniFFI's own tokio support is not used: [`crate::rt::run`] spawns, so the futures may be polled anywhere.

mod error;
mod federation;
mod http;
mod library;
mod node;
mod number;
mod options;
mod provide;
mod rag;
mod record;
mod shard;
mod stream;
#[cfg(feature = "testing")]
mod testing;
mod trust;
mod vpk;

pub use error::NativeError;
pub use federation::{
    NamedOwn, NativeFederation, NativeSharedKnowledge, check_native_provenance, read_native_capability,
};
pub use http::{NamedBert, NamedEmbedder, NamedEndpoint, NamedKnowledge, NamedWriter, NativeHttpServer, ServerOptions};
pub use library::{ErrorCodeInfo, error_codes, init_native_logging, native_version};
pub use node::NativeNode;
pub use options::{
    BlockShareOptions, CacheLimits, ChatOptions, ChunkingSizes, EmbedderChoice, EmbeddingEndpointOptions,
    EndpointOptions, EvaluateOptions, FindOptions, FolderOptions, KnownQuestion, NodeLimits, NodeOptions,
    NodeRelayLimits, QuestionOptions, RagOptions, SearchOptions,
};
pub use provide::{
    EmbedderCode, ModelCode, NativeEmbedder, NativeFinish, NativePart, NativePieces, NativeReader, NativeSigner,
    NativeWriter, ReaderCode, SignerCode, SinkCode,
};
pub use rag::{
    NativeRag, calibrated_answers, calibrated_auroc, calibrated_threshold, check_native_citations,
    compared_evaluations, evaluation_html, evaluation_json, evaluation_markdown,
};
pub use record::{ChatMessage, DownloadEvent, GenerateEvent, GenerateRequest, Role, Span};
pub use shard::{BlockSelection, NativeMatrix, NativeModel, NativeShardEngine};
pub use stream::{
    AskBatch, BenchmarkBatch, DownloadBatch, GenerateBatch, IngestBatch, MessageBatch, NativeAnswer, NativeBenchmark,
    NativeDownload, NativeEvents, NativeGeneration, NativeIngestion, NativeMessages, NativeOutsourcing,
    NativeReembedding, NativeSync, NodeEventBatch, OutsourceBatch, ReembedBatch, SyncBatch,
};
#[cfg(feature = "testing")]
pub use stream::{NativeNumbers, NumberBatch};
#[cfg(feature = "testing")]
pub use testing::{live_handles, numbers, provoke_error, provoke_panic, seed_did, seed_sign, wait_forever};
pub use trust::NativeTrustGraph;
pub use vpk::{NativeCollection, NativeConsole, NativeVpk};

use std::sync::Arc;

use crate::CancelToken;

/// The result of every verb.
type Result<T> = std::result::Result<T, NativeError>;

/// Gives up on the calls that it was handed to.
#[derive(Default, uniffi::Object)]
pub struct NativeCancel(CancelToken);

#[uniffi::export]
impl NativeCancel {
    /// One that nobody has cancelled.
    #[uniffi::constructor]
    pub fn new() -> Arc<NativeCancel> {
        Arc::default()
    }

    /// Gives up, now and for every later call.
    pub fn cancel(&self) {
        self.0.cancel();
    }
}

type Cancel = Option<Arc<NativeCancel>>;

fn token(cancel: Cancel) -> CancelToken {
    cancel.map(|cancel| cancel.0.clone()).unwrap_or_default()
}
