//! What an app brings: an embedder, a language model, a document reader, a signer.
//!
//! Foreign code is called on a thread where blocking is allowed, and owes an [`Answer`]: it gives it at once or later,
//! from any thread. Nobody waits longer than the deadline. When nobody waits any more, because the call was cancelled
//! or is overdue, the answer says so, and the language cancels what it started.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use futures::future::BoxFuture;
use kwaai_core::event::{self, Item, Sender};
use kwaai_core::identity::Did;
use kwaai_core::llm::{self, GenerateEvent, LanguageModel, Text};
pub use kwaai_core::llm::{FinishReason, GenerateRequest, Usage};
use kwaai_core::rag::document::{DocumentReader, Part};
use kwaai_core::{Error, identity};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::{KwaaiError, Result, validate};

/// Foreign code that is slower than this is given up, unless it was given a deadline of its own.
pub const DEADLINE: Duration = Duration::from_secs(120);
/// A model may write a token in so many pieces, letter by letter for example.
const PIECES_A_TOKEN: u32 = 16;
/// Pieces of a foreign model's answer that are not read yet.
const PIECES: usize = 16_384;

/// The answer that foreign code owes. Dropping it unanswered fails the call.
pub struct Answer<T> {
    sender: oneshot::Sender<kwaai_core::Result<T>>,
    unwanted: CancellationToken,
}

impl<T> Answer<T> {
    /// Gives the answer.
    pub fn give(self, value: T) {
        // Whoever gave up waiting does not want it.
        drop(self.sender.send(Ok(value)));
    }

    /// Says that there is none, and why.
    pub fn fail(self, error: KwaaiError) {
        drop(self.sender.send(Err(error.into_core())));
    }

    /// Whether nobody waits any more.
    pub fn is_unwanted(&self) -> bool {
        self.unwanted.is_cancelled()
    }

    /// Ends when nobody waits any more, or after the answer was given.
    pub fn unwanted(&self) -> BoxFuture<'static, ()> {
        self.unwanted.clone().cancelled_owned().boxed()
    }
}

/// Where a foreign language model writes its answer, piece by piece. Dropping it unfinished fails the generation.
pub struct Pieces {
    /// `None` once the answer has ended.
    sender: Option<Sender<GenerateEvent>>,
    pieces: u32,
    /// The most pieces that are taken: code that never stops, and never lets its event loop run, would not hear that nobody
    /// reads any more.
    limit: u32,
}

impl Pieces {
    /// Writes a piece; false when nobody reads any more.
    pub fn write(&mut self, text: String) -> bool {
        let Some(sender) = self.sender.as_ref().filter(|sender| !sender.is_cancelled()) else { return false };
        if self.pieces == self.limit {
            self.end(FinishReason::Length, None);
            return false;
        }
        self.pieces += 1;
        sender.send(GenerateEvent::text(text));
        true
    }

    /// Ends the answer. `usage` counts tokens where the model knows them; otherwise each piece counts as one.
    pub fn finish(mut self, finish_reason: FinishReason, usage: Option<Usage>) {
        self.end(finish_reason, usage);
    }

    fn end(&mut self, finish_reason: FinishReason, usage: Option<Usage>) {
        let Some(sender) = self.sender.take() else { return };
        let usage = usage.unwrap_or(Usage { completion_tokens: self.pieces, ..Usage::default() });
        sender.send(GenerateEvent::done(finish_reason, usage, Vec::new()));
        sender.finish(Ok(()));
    }

    /// Ends the answer with an error.
    pub fn fail(self, error: KwaaiError) {
        if let Some(sender) = self.sender {
            sender.finish(Err(error.into_core()));
        }
    }

    /// Whether nobody reads any more.
    pub fn is_unwanted(&self) -> bool {
        self.sender.as_ref().is_none_or(Sender::is_cancelled)
    }

    /// Ends when nobody reads any more.
    pub fn unwanted(&self) -> BoxFuture<'static, ()> {
        match &self.sender {
            Some(sender) => sender.cancellation().cancelled_owned().boxed(),
            None => std::future::ready(()).boxed(),
        }
    }
}

/// Turns texts into vectors, in a language of the app's choice.
pub trait ForeignEmbedder: Send + Sync + 'static {
    /// Embeds the texts: their vectors, one after the other. `query` is true for what is looked for, false for what is
    /// found.
    fn embed(&self, texts: Vec<String>, query: bool, answer: Answer<Vec<f32>>);
}

/// Continues conversations, in a language of the app's choice.
pub trait ForeignModel: Send + Sync + 'static {
    /// Writes the next turn.
    fn generate(&self, request: GenerateRequest, pieces: Pieces);
}

/// Reads documents, in a language of the app's choice.
pub trait ForeignReader: Send + Sync + 'static {
    /// The parts of a file: what a citation calls each, where it has a name, and its text.
    fn read(&self, name: String, bytes: Vec<u8>, answer: Answer<Vec<(Option<String>, String)>>);
}

/// Signs, in a language of the app's choice.
pub trait ForeignSigner: Send + Sync + 'static {
    /// The Ed25519 signature (RFC 8032) of exactly these bytes, 64 bytes long.
    fn sign(&self, message: Vec<u8>, answer: Answer<Vec<u8>>);
}

/// An embedder of the app.
#[derive(Clone)]
pub struct Embedder(pub(crate) Arc<dyn llm::Embedder>);

impl Embedder {
    /// `id` changes whenever the vectors would; a knowledge base refuses to be opened with another one.
    ///
    /// # Errors
    /// `invalid_argument` for an empty id, a dimension that is zero or above 65,536, or a deadline of zero.
    pub fn foreign(
        id: String,
        dimension: u32,
        deadline_ms: Option<u64>,
        code: Arc<dyn ForeignEmbedder>,
    ) -> Result<Embedder> {
        const MAX_DIMENSION: u32 = 65_536;
        if id.trim().is_empty() {
            return Err(Error::invalid_argument("an embedder needs an id, such as the name of its model").into());
        }
        if dimension == 0 || dimension > MAX_DIMENSION {
            let message = format!("an embedder has 1 to {MAX_DIMENSION} dimensions, not {dimension}");
            return Err(Error::invalid_argument(message).into());
        }
        let call = Call { what: "embedder", deadline: deadline(deadline_ms)? };
        Ok(Embedder(Arc::new(EmbedderOf { id, dimension: dimension as usize, call, code })))
    }
}

/// What an app brings to a knowledge base.
#[derive(Clone, Default)]
pub struct Supplies {
    /// Turns texts into vectors; `Options::embedder` must be left out then.
    pub embedder: Option<Embedder>,
    /// Writes the answers; `Options::endpoint` must be left out then.
    pub writer: Option<Writer>,
    /// Read formats that the library does not.
    pub readers: Vec<Reader>,
}

/// A language model that writes the answers of a knowledge base: one of the app, or one of a shard engine.
#[derive(Clone)]
pub struct Writer(pub(crate) Arc<dyn LanguageModel>);

impl Writer {
    /// A language model of the app. The deadline counts from one piece to the next.
    ///
    /// # Errors
    /// `invalid_argument` for an empty name or a deadline of zero.
    pub fn foreign(name: String, deadline_ms: Option<u64>, code: Arc<dyn ForeignModel>) -> Result<Writer> {
        if name.trim().is_empty() {
            return Err(Error::invalid_argument("a language model needs a name").into());
        }
        Ok(Writer(Arc::new(ModelOf { name, deadline: deadline(deadline_ms)?, code })))
    }
}

/// A document reader of the app.
#[derive(Clone)]
pub struct Reader(pub(crate) Arc<dyn DocumentReader>);

impl Reader {
    /// Reads files with these extensions, without the dot.
    ///
    /// # Errors
    /// `invalid_argument` for no extension, one that is empty or holds a dot or a slash, or a deadline of zero.
    pub fn foreign(extensions: Vec<String>, deadline_ms: Option<u64>, code: Arc<dyn ForeignReader>) -> Result<Reader> {
        let sound = |extension: &String| !extension.is_empty() && !extension.contains(['.', '/', '\\']);
        if extensions.is_empty() || !extensions.iter().all(sound) {
            return Err(Error::invalid_argument("a reader needs the extensions of its files, such as \"epub\"").into());
        }
        let call = Call { what: "document reader", deadline: deadline(deadline_ms)? };
        Ok(Reader(Arc::new(ReaderOf { extensions, call, code })))
    }
}

/// A signer of the app.
#[derive(Clone)]
pub struct Signer(pub(crate) Arc<dyn identity::Signer>);

impl Signer {
    /// Signs for a DID whose key the app keeps.
    ///
    /// # Errors
    /// `invalid_argument` for what is no DID of an Ed25519 key, or a deadline of zero.
    pub fn foreign(did: String, deadline_ms: Option<u64>, code: Arc<dyn ForeignSigner>) -> Result<Signer> {
        let did = validate::did(&did)?;
        let call = Call { what: "signer", deadline: deadline(deadline_ms)? };
        Ok(Signer(Arc::new(SignerOf { did, call, code })))
    }
}

fn deadline(ms: Option<u64>) -> Result<Duration> {
    match ms {
        None => Ok(DEADLINE),
        Some(0) => Err(Error::invalid_argument("the deadline is 0 milliseconds; nobody answers in no time").into()),
        Some(ms) => validate::millis("deadline_ms", ms),
    }
}

/// One call into foreign code.
#[derive(Clone, Copy)]
struct Call {
    what: &'static str,
    deadline: Duration,
}

impl Call {
    async fn make<T: Send + 'static>(self, begin: impl FnOnce(Answer<T>) + Send + 'static) -> kwaai_core::Result<T> {
        let (sender, receiver) = oneshot::channel();
        let unwanted = CancellationToken::new();
        let _cancels = unwanted.clone().drop_guard();
        let answer = Answer { sender, unwanted };
        // Its panic drops the answer, which is an error below.
        drop(tokio::task::spawn_blocking(move || begin(answer)));
        match tokio::time::timeout(self.deadline, receiver).await {
            Ok(Ok(Ok(value))) => Ok(value),
            Ok(Ok(Err(error))) => Err(self.failed(error)),
            Ok(Err(_)) => Err(Error::internal(format!("the {} of the app ended without an answer", self.what))),
            Err(_) => Err(self.overdue()),
        }
    }

    fn overdue(self) -> Error {
        Error::timeout(format!("the {} of the app took too long", self.what))
            .with("deadline_ms", self.deadline.as_millis())
            .with("provider", self.what)
    }

    /// The error of foreign code, saying whose it is.
    fn failed(self, error: Error) -> Error {
        let mut named = Error::new(error.code(), format!("the {} of the app failed: {}", self.what, error.message()));
        for (key, value) in error.context() {
            named = named.with(key, value);
        }
        named.with("provider", self.what).with_source(error)
    }
}

struct EmbedderOf {
    id: String,
    dimension: usize,
    call: Call,
    code: Arc<dyn ForeignEmbedder>,
}

#[async_trait]
impl llm::Embedder for EmbedderOf {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    async fn embed(&self, texts: Vec<Text>) -> kwaai_core::Result<Vec<Vec<f32>>> {
        let (count, query) = (texts.len(), matches!(texts.first(), Some(Text::Query(_))));
        let texts = texts.into_iter().map(|text| match text {
            Text::Query(text) | Text::Document(text) | Text::Plain(text) => text,
        });
        let (texts, code) = (texts.collect(), self.code.clone());
        let flat = self.call.make(move |answer| code.embed(texts, query, answer)).await?;
        if flat.len() != count * self.dimension {
            return Err(Error::invalid_argument(format!(
                "the embedder {} gave {} numbers for {count} texts of {} dimensions",
                self.id,
                flat.len(),
                self.dimension
            ))
            .with_remedy("give one vector of exactly the embedder's dimension for each text"));
        }
        flat.chunks_exact(self.dimension).map(unit).collect()
    }
}

/// The vector at length one, which is what cosines are computed from.
fn unit(vector: &[f32]) -> kwaai_core::Result<Vec<f32>> {
    let norm = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    if !norm.is_finite() || norm == 0.0 {
        return Err(Error::invalid_argument(
            "the embedder of the app gave a vector that is not finite or has no length",
        ));
    }
    Ok(vector.iter().map(|value| (f64::from(*value) / norm) as f32).collect())
}

struct ModelOf {
    name: String,
    deadline: Duration,
    code: Arc<dyn ForeignModel>,
}

#[async_trait]
impl LanguageModel for ModelOf {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn generate(&self, request: GenerateRequest) -> kwaai_core::Result<event::Stream<GenerateEvent>> {
        request.require_plain(&self.name)?;
        let (written, mut pieces) = event::channel(PIECES);
        let (sender, stream) = event::channel(PIECES);
        let (code, deadline) = (self.code.clone(), self.deadline);
        let limit = request.max_tokens.saturating_mul(PIECES_A_TOKEN);
        drop(tokio::task::spawn_blocking(move || {
            code.generate(request, Pieces { sender: Some(written), pieces: 0, limit })
        }));
        let call = Call { what: "language model", deadline };
        let unread = sender.cancellation();
        tokio::spawn(async move {
            let end = loop {
                let next = tokio::select! {
                    // Dropping `pieces` tells the foreign code that nobody reads any more.
                    () = unread.cancelled() => break Ok(()),
                    next = tokio::time::timeout(deadline, pieces.next()) => next,
                };
                match next {
                    Ok(Ok(Some(Item::Value(value)))) => sender.send(value),
                    Ok(Ok(Some(Item::Lagged { missed }))) => {
                        break Err(Error::resource_exhausted(
                            "the language model of the app wrote faster than it was read",
                        )
                        .with("missed", missed));
                    }
                    Ok(Ok(None)) => break Ok(()),
                    Ok(Err(error)) => break Err(call.failed(error)),
                    Err(_) => break Err(call.overdue()),
                }
            };
            sender.finish(end);
        });
        Ok(stream)
    }
}

struct ReaderOf {
    extensions: Vec<String>,
    call: Call,
    code: Arc<dyn ForeignReader>,
}

#[async_trait]
impl DocumentReader for ReaderOf {
    fn extensions(&self) -> Vec<String> {
        self.extensions.clone()
    }

    async fn read(&self, name: &str, bytes: Vec<u8>) -> kwaai_core::Result<Vec<Part>> {
        let (name, code) = (name.to_owned(), self.code.clone());
        let parts = self.call.make(move |answer| code.read(name, bytes, answer)).await?;
        Ok(parts.into_iter().map(|(label, text)| Part { label, text }).collect())
    }
}

struct SignerOf {
    did: Did,
    call: Call,
    code: Arc<dyn ForeignSigner>,
}

#[async_trait]
impl identity::Signer for SignerOf {
    fn did(&self) -> Did {
        self.did
    }

    async fn sign(&self, message: &[u8]) -> kwaai_core::Result<[u8; 64]> {
        let (message, code) = (message.to_vec(), self.code.clone());
        let signature = self.call.make(move |answer| code.sign(message, answer)).await?;
        signature.try_into().map_err(|wrong: Vec<u8>| {
            Error::invalid_argument(format!("the signer of the app gave {} bytes; a signature has 64", wrong.len()))
        })
    }
}
