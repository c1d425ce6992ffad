//! What UniFFI is told about types of the core and of std: the fields stand here again, and the compiler compares them.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use kwaai_core::llm;
use kwaai_core::llm::hub::FetchEvent;
use kwaai_core::rag::document;
use serde_json::{Map, Value};

use crate::to_json;

type FinishReason = kwaai_core::llm::FinishReason;
type Usage = kwaai_core::llm::Usage;
type Hop = kwaai_core::llm::Hop;
type Mode = kwaai_core::rag::Mode;
type Rank = kwaai_core::rag::Rank;
type Hit = kwaai_core::rag::Hit;
type SearchResult = kwaai_core::rag::SearchResult;
type Around = kwaai_core::rag::Around;
type Timings = kwaai_core::rag::Timings;
type Citation = kwaai_core::rag::Citation;
type Answer = kwaai_core::rag::Answer;
type AskEvent = kwaai_core::rag::AskEvent;
type Evidence = kwaai_core::rag::Evidence;
type IngestEvent = kwaai_core::rag::IngestEvent;
type OutsourceEvent = kwaai_core::rag::OutsourceEvent;
type Outsourced = kwaai_core::rag::Outsourced;
type ReembedEvent = kwaai_core::rag::ReembedEvent;
type SyncEvent = kwaai_core::rag::SyncEvent;
type EmbedderInfo = kwaai_core::rag::EmbedderInfo;
type DocumentInfo = kwaai_core::rag::DocumentInfo;
type Stats = kwaai_core::rag::Stats;
type CalibrationQuestion = kwaai_core::rag::CalibrationQuestion;
type Calibration = kwaai_core::rag::Calibration;
type CacheStats = kwaai_core::rag::CacheStats;
type Mean = kwaai_core::rag::evaluate::Mean;
type Difference = kwaai_core::rag::evaluate::Difference;
type QuestionResult = kwaai_core::rag::evaluate::QuestionResult;
type Evaluation = kwaai_core::rag::evaluate::Evaluation;
type FaultKind = kwaai_core::rag::FaultKind;
type Fault = kwaai_core::rag::Fault;
type MemberFailure = kwaai_core::rag::MemberFailure;
type Provenance = kwaai_core::rag::Provenance;
type ProvenHit = kwaai_core::rag::ProvenHit;
type Thresholds = kwaai_core::trust::Thresholds;

/// From the first up to and without the last.
#[derive(Debug, Clone, uniffi::Record)]
pub struct Span {
    /// The first.
    pub start: i64,
    /// One past the last.
    pub end: i64,
}

/// How many there are of something.
type Count = usize;
uniffi::custom_type!(Count, i64, {
    remote,
    lower: |count| i64::try_from(count).unwrap_or(i64::MAX),
    try_lift: |count| Ok(usize::try_from(count)?),
});

/// Bytes of a text.
type ByteSpan = Range<usize>;
uniffi::custom_type!(ByteSpan, Span, {
    remote,
    lower: |span| Span {
        start: i64::try_from(span.start).unwrap_or(i64::MAX),
        end: i64::try_from(span.end).unwrap_or(i64::MAX),
    },
    try_lift: |span| Ok(usize::try_from(span.start)?..usize::try_from(span.end)?),
});

/// Blocks of a model.
type BlockSpan = Range<u32>;
uniffi::custom_type!(BlockSpan, Span, {
    remote,
    lower: |span| Span { start: span.start.into(), end: span.end.into() },
    try_lift: |span| Ok(u32::try_from(span.start)?..u32::try_from(span.end)?),
});

/// Details by name.
type Details = BTreeMap<String, String>;
uniffi::custom_type!(Details, HashMap<String, String>, {
    remote,
    lower: |details| details.into_iter().collect(),
    try_lift: |details| Ok(details.into_iter().collect()),
});

/// Scores by their names.
type Scores = BTreeMap<String, f64>;
uniffi::custom_type!(Scores, HashMap<String, f64>, {
    remote,
    lower: |scores| scores.into_iter().collect(),
    try_lift: |scores| Ok(scores.into_iter().collect()),
});

/// Means by the names of their scores.
type Means = BTreeMap<String, Mean>;
uniffi::custom_type!(Means, HashMap<String, Mean>, {
    remote,
    lower: |means| means.into_iter().collect(),
    try_lift: |means| Ok(means.into_iter().collect()),
});

/// Differences by the names of their scores.
type Differences = BTreeMap<String, Difference>;
uniffi::custom_type!(Differences, HashMap<String, Difference>, {
    remote,
    lower: |differences| differences.into_iter().collect(),
    try_lift: |differences| Ok(differences.into_iter().collect()),
});

/// What a credential says about its subject: an object, written as JSON.
type Claims = Map<String, Value>;
uniffi::custom_type!(Claims, String, {
    remote,
    lower: |claims| to_json(&claims).map(|claims| claims.to_string()).unwrap_or_default(),
    try_lift: |claims| Ok(serde_json::from_str(&claims)?),
});

/// What a document was read as: `text`, `markdown`, `pdf`, `docx` or `custom`.
type Format = document::Format;
uniffi::custom_type!(Format, String, {
    remote,
    lower: |format| to_json(&format).ok().and_then(|name| Some(name.as_str()?.to_string())).unwrap_or_default(),
    try_lift: |name| Ok(serde_json::from_value(Value::String(name))?),
});

/// Who speaks in a conversation.
#[derive(Debug, Clone, Copy, uniffi::Enum)]
pub enum Role {
    /// Sets the rules.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One turn of a conversation.
#[derive(Debug, Clone, uniffi::Record)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl From<ChatMessage> for llm::ChatMessage {
    fn from(message: ChatMessage) -> llm::ChatMessage {
        let role = match message.role {
            Role::System => llm::Role::System,
            Role::User => llm::Role::User,
            Role::Assistant => llm::Role::Assistant,
        };
        llm::ChatMessage::new(role, message.content)
    }
}

/// What a model of the app is asked: the part of the core's request that is not refused before it gets there.
#[derive(Debug, Clone, uniffi::Record)]
pub struct GenerateRequest {
    /// The conversation so far, ending with the turn to answer.
    pub messages: Vec<ChatMessage>,
    /// At most this many tokens are generated.
    pub max_tokens: u32,
    /// 0 takes the likeliest token each time; higher values sample more freely.
    pub temperature: f32,
    /// Samples among the likeliest tokens that together have this probability; 1 is all of them.
    pub top_p: f32,
    /// Samples among this many likeliest tokens; 0 is all of them.
    pub top_k: u32,
    /// Makes sampling repeatable.
    pub seed: u64,
    /// The text ends before the first of these.
    pub stop: Vec<String>,
}

impl From<llm::GenerateRequest> for GenerateRequest {
    fn from(request: llm::GenerateRequest) -> GenerateRequest {
        let turn = |message: llm::ChatMessage| {
            let role = match message.role {
                llm::Role::System => Role::System,
                llm::Role::Assistant => Role::Assistant,
                llm::Role::User | llm::Role::Tool => Role::User,
            };
            ChatMessage { role, content: message.content }
        };
        GenerateRequest {
            messages: request.messages.into_iter().map(turn).collect(),
            max_tokens: request.max_tokens,
            temperature: request.temperature,
            top_p: request.top_p,
            top_k: request.top_k,
            seed: request.seed,
            stop: request.stop,
        }
    }
}

/// Why a generation ended.
#[uniffi::remote(Enum)]
pub enum FinishReason {
    /// The model ended its turn, or a stop text came.
    Stop,
    /// The limit on tokens, or the model's context, was reached.
    Length,
}

/// Tokens read and written.
#[uniffi::remote(Record)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens generated.
    pub completion_tokens: u32,
    /// Those of the prompt's tokens that were not read anew, for they were kept from an answer before.
    #[uniffi(default = 0)]
    pub cached_tokens: u32,
}

/// One station of a generation's path.
#[uniffi::remote(Record)]
pub struct Hop {
    /// The peer that computed, or `None` for this process.
    pub peer: Option<String>,
    /// The first block computed there.
    pub start_block: u32,
    /// One past the last block computed there.
    pub end_block: u32,
    /// Milliseconds from sending to having the answer, median over the generated tokens.
    pub ms: f64,
}

/// What a generation yields.
#[derive(Debug, Clone, uniffi::Enum)]
pub enum GenerateEvent {
    /// A piece of text, always whole characters.
    Token {
        /// The text.
        text: String,
    },
    /// The end of the generation.
    Done {
        /// Why it ended.
        finish_reason: FinishReason,
        /// Tokens read and written.
        usage: Usage,
        /// Where the blocks were computed, in order; empty for a model behind an endpoint.
        path: Vec<Hop>,
    },
}

impl From<llm::GenerateEvent> for GenerateEvent {
    fn from(event: llm::GenerateEvent) -> GenerateEvent {
        match event {
            llm::GenerateEvent::Token { text, .. } => GenerateEvent::Token { text },
            llm::GenerateEvent::Done { finish_reason, usage, path, .. } => {
                GenerateEvent::Done { finish_reason, usage, path }
            }
        }
    }
}

/// How a download gets on.
#[derive(Debug, Clone, uniffi::Enum)]
pub enum DownloadEvent {
    /// First of all, unless nothing is missing: what there is to fetch.
    Found {
        /// How many files.
        files: usize,
        /// How many bytes, where the hub says it of all files.
        bytes: Option<u64>,
    },
    /// So much of it is here.
    Progress {
        /// In bytes; less than before where a file had to be begun anew.
        bytes: u64,
        /// How much there will be, where it is known.
        total: Option<u64>,
    },
    /// Last of all: everything is here.
    Finished {
        /// The folder of the model, or its GGUF file.
        path: String,
    },
}

impl From<FetchEvent> for DownloadEvent {
    fn from(event: FetchEvent) -> DownloadEvent {
        match event {
            FetchEvent::Found { files, bytes } => DownloadEvent::Found { files, bytes },
            FetchEvent::Progress { bytes, total } => DownloadEvent::Progress { bytes, total },
            FetchEvent::Finished { path } => DownloadEvent::Finished { path: path.to_string_lossy().into_owned() },
        }
    }
}

/// How passages are found.
#[uniffi::remote(Enum)]
pub enum Mode {
    /// By their words: BM25.
    Lexical,
    /// By their meaning: the cosine of embeddings.
    Dense,
    /// Both: a weighted sum of the cosine and of the BM25 score in parts of the highest that the question allows.
    Hybrid,
}

/// The place of a passage in one of the two searches.
#[uniffi::remote(Record)]
pub struct Rank {
    /// From 1.
    pub rank: usize,
    /// The BM25 score, or the cosine.
    pub score: f32,
}

/// A passage found.
#[uniffi::remote(Record)]
pub struct Hit {
    /// The id of its document.
    pub document_id: String,
    /// The name of its document.
    pub document: String,
    /// Its id: 16 hexadecimal digits.
    pub chunk_id: String,
    /// Its text.
    pub text: String,
    /// The bytes of the document's text that it covers.
    pub span: Range<usize>,
    /// Where it stands in the document, for people: `page 3`, or a heading.
    pub section: Option<String>,
    /// Where it stands as exactly as the format allows: `page 12, table 3`, `Installation > Linux`, `rows 7-9`, `lines 10-24`.
    pub locator: Option<String>,
    /// What the hits are ordered by: the BM25 score, the cosine, or the fused score. Comparable within one search only.
    pub score: f64,
    /// Its place in the search by words, unless it was not among the first.
    pub lexical: Option<Rank>,
    /// Its place in the search by meaning, unless it was not among the first.
    pub dense: Option<Rank>,
    /// The name, in the question or in another passage, that led to its document.
    pub via: Option<String>,
    /// What the app said about its document.
    pub metadata: Details,
    /// The passage with those around it, where they were asked for.
    pub around: Option<Around>,
}

/// A passage with those of the same document around it, as one piece of the document.
#[uniffi::remote(Record)]
pub struct Around {
    /// The text.
    pub text: String,
    /// The bytes of the document's text that it covers.
    pub span: Range<usize>,
    /// Where it stands in the document.
    pub locator: Option<String>,
}

/// How long the stages of a search took, in milliseconds.
#[uniffi::remote(Record)]
pub struct Timings {
    /// Finding passages by their words.
    pub words_ms: f64,
    /// Embedding the text, and finding the vectors near to it.
    pub meaning_ms: f64,
    /// Bringing the two together, reading the passages, and seeing to it that they differ.
    pub fusing_ms: f64,
    /// Following names.
    pub links_ms: f64,
    /// Waiting for the language model.
    pub model_ms: f64,
    /// All of it.
    pub total_ms: f64,
}

/// What proves that a passage stood in a knowledge base, as its owner signed.
#[uniffi::remote(Record)]
pub struct Provenance {
    /// What the owner signed.
    pub statement: String,
    /// Which leaf the passage is, from 0.
    pub index: u64,
    /// The hashes beside the way from the leaf to the root, from below, each as 64 hexadecimal digits.
    pub path: Vec<String>,
}

/// A passage with what proves where it comes from.
#[uniffi::remote(Record)]
pub struct ProvenHit {
    /// The passage.
    pub hit: Hit,
    /// What proves that it stood there.
    pub provenance: Provenance,
}

/// A knowledge base that was not searched.
#[uniffi::remote(Record)]
pub struct MemberFailure {
    /// Its name.
    pub member: String,
    /// The code of the error, for example `unreachable`.
    pub code: String,
    /// What went wrong and what can be done.
    pub message: String,
}

/// What a search found, and how it searched.
#[uniffi::remote(Record)]
pub struct SearchResult {
    /// Best first; equal scores in the order of their ids.
    pub hits: Vec<Hit>,
    /// The mode that was used.
    pub mode: Mode,
    /// Why it is not the mode that was asked for.
    pub note: Option<String>,
    /// How long it took, where that was asked for.
    pub timings: Option<Timings>,
}

/// What `[n]` in an answer stands for.
#[uniffi::remote(Record)]
pub struct Citation {
    /// The number in the brackets, from 1.
    pub number: usize,
    /// The id of the document.
    pub document_id: String,
    /// The name of the document.
    pub document: String,
    /// The id of the passage.
    pub chunk_id: String,
    /// Where it stands in the document, for people: `page 3`, or a heading.
    pub section: Option<String>,
    /// Where the cited bytes stand, as exactly as the format allows: `page 12, table 3`, `Installation > Linux`, `row 7`.
    pub locator: Option<String>,
    /// The bytes of the document's text that are cited.
    pub span: Range<usize>,
    /// Those bytes: a sentence where the answer quotes, the passage where a model wrote it.
    pub quote: String,
}

/// An answer, or the refusal of one.
#[uniffi::remote(Record)]
pub struct Answer {
    /// The text, with `[n]` after what a source supports.
    pub text: String,
    /// The sources, by number.
    pub citations: Vec<Citation>,
    /// Whether the documents support no answer; the text is then a refusal and the reason.
    pub refused: bool,
    /// Why it was refused, why it is not the answer of the language model, or why it is not all that the model began.
    pub why: Option<String>,
    /// How well the documents support an answer, 0 to 1.
    pub support: f64,
    /// What the decision was made from.
    pub evidence: Evidence,
    /// How the passages were found.
    pub mode: Mode,
    /// Why they were not found in the mode that was asked for.
    pub note: Option<String>,
    /// The language model that wrote the text; `None` for quotes and refusals.
    pub model: Option<String>,
}

/// What asking yields.
#[uniffi::remote(Enum)]
pub enum AskEvent {
    /// A piece of the answer.
    Text {
        /// The text.
        text: String,
    },
    /// What came so far does not count: what the model cited does not stand there. The answer follows anew.
    Retracted {
        /// Why.
        why: String,
    },
    /// The whole answer and its sources.
    Done {
        /// The answer.
        answer: Box<Answer>,
    },
}

/// What speaks for and against an answer being in the documents. Shares are between 0 and 1.
#[uniffi::remote(Record)]
pub struct Evidence {
    /// The cosine of the question and the nearest passage; `None` without an embedder.
    pub nearest_passage: Option<f32>,
    /// The cosine of the question and the nearest sentence of the first passages.
    pub nearest_sentence: Option<f32>,
    /// The largest share of the question's words, weighted by their rarity, that one passage contains.
    pub passage_coverage: f64,
    /// The same for the first three passages together.
    pub joint_coverage: f64,
    /// How much rarity the words amount to that one passage contains: about 5 for a word that one passage in a hundred
    /// contains, and as much again for each further such word.
    pub matched: f64,
    /// The share that one sentence contains; words of the one before it and of the heading count half.
    pub sentence_coverage: f64,
    /// The share of the question's words, weighted by rarity, that no document contains.
    pub unknown: f64,
    /// How far the first passage by words stands out against the fifth, in parts of its score.
    pub lexical_lead: f64,
    /// Whether the nearest passage by meaning is among the first three by words.
    pub agreement: bool,
}

/// A question whose answer is known to stand in documents, or in none.
#[uniffi::remote(Record)]
pub struct CalibrationQuestion {
    /// The question.
    pub question: String,
    /// The ids of the documents that answer it; none where nothing does.
    #[uniffi(default = [])]
    pub documents: Vec<String>,
}

/// The support of questions that are known to be answered, and of others.
#[uniffi::remote(Record)]
pub struct Calibration {
    /// Of those that the documents answer, in ascending order.
    pub answerable: Vec<f64>,
    /// Of those that they do not, in ascending order.
    pub unanswerable: Vec<f64>,
    /// Whether the questions were made of the documents' own sentences.
    pub from_passages: bool,
    /// The generation of the knowledge base that it was made with.
    pub generation: u64,
}

/// What is wrong with a citation.
#[uniffi::remote(Enum)]
pub enum FaultKind {
    /// The number in the brackets is that of no source.
    WrongNumber,
    /// The text stands in another source than in the one that is cited.
    Misattributed,
    /// The text is put together from pieces that stand apart.
    Stitched,
    /// What is quoted stands in no source, or the address of a page or a picture in none.
    Fabricated,
    /// Nothing is cited for it.
    Uncited,
    /// A number stands in none of the sources that are cited for it.
    WrongFigure,
}

/// Something that a source was said to say and does not.
#[uniffi::remote(Record)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// The bytes of the answer that it concerns.
    pub span: Range<usize>,
    /// The numbers that are cited there.
    pub cited: Vec<usize>,
    /// The source in which the text stands, where there is one.
    pub found_in: Option<usize>,
}

/// How an ingestion gets on.
#[uniffi::remote(Enum)]
pub enum IngestEvent {
    /// First of all: how many files there are.
    Found {
        /// Files that will be read.
        files: usize,
    },
    /// A file is being read and cut.
    Reading {
        /// The document's name.
        name: String,
    },
    /// Passages of a document were embedded. Not sent by a knowledge base without an embedder.
    Embedded {
        /// The document's name.
        name: String,
        /// Passages done, those that were known from before included.
        done: usize,
        /// Passages of the document.
        total: usize,
    },
    /// A document is durable and can be found.
    DocumentDone {
        /// Its name.
        name: String,
        /// Its id.
        document_id: String,
        /// How many passages it has.
        chunks: usize,
        /// Milliseconds from opening its file to the commit.
        ms: u64,
        /// What of it could not be read although the rest could, for people.
        warnings: Vec<String>,
    },
    /// A document is stored already, as it is.
    Unchanged {
        /// Its name.
        name: String,
    },
    /// A document could not be ingested; what was stored under its name stays.
    DocumentFailed {
        /// Its name.
        name: String,
        /// The code of the error, for example `corrupt_data`.
        code: String,
        /// What went wrong and what can be done.
        message: String,
    },
    /// Last of all.
    Finished {
        /// Documents that are new or replaced.
        ingested: usize,
        /// Documents that were stored already.
        unchanged: usize,
        /// Documents that could not be ingested.
        failed: usize,
        /// Passages of the ingested documents.
        chunks: usize,
    },
}

/// How a change of the embedder gets on.
#[uniffi::remote(Enum)]
pub enum ReembedEvent {
    /// First of all: how much there is to do.
    Found {
        /// Passages of the knowledge base.
        passages: usize,
        /// Those that have a vector of this embedder from before, when it was interrupted.
        done: usize,
    },
    /// Passages were embedded, and their vectors are durable.
    Embedded {
        /// Passages done.
        done: usize,
        /// Passages of the knowledge base, with those that came meanwhile.
        total: usize,
    },
    /// Last of all: the new embedder has taken the place of the other.
    Finished {
        /// Passages that have its vectors now.
        passages: usize,
        /// Texts that were embedded by this run.
        embedded: usize,
    },
}

/// How vectors get to a collection.
#[uniffi::remote(Enum)]
pub enum OutsourceEvent {
    /// First of all: how much there is to do.
    Found {
        /// Passages of the knowledge base.
        passages: usize,
        /// Those whose vectors the collection has from before.
        done: usize,
    },
    /// The collection has taken vectors.
    Brought {
        /// Passages done.
        done: usize,
        /// Passages of the knowledge base, with those that came meanwhile.
        total: usize,
    },
    /// Last of all: the collection answers, and the hosts have everything.
    Finished {
        /// Passages whose vectors it holds.
        passages: usize,
        /// Vectors that were brought by this run.
        brought: usize,
    },
}

/// How a synchronisation gets on.
#[uniffi::remote(Enum)]
pub enum SyncEvent {
    /// What a pass found. While watching, only passes that found something new are reported.
    Compared {
        /// Files in the folder.
        files: usize,
        /// Those of them that are new, changed or moved.
        pending: usize,
        /// Documents whose files are gone and did not move.
        gone: usize,
    },
    /// A file is being read and cut.
    Reading {
        /// The document's name.
        name: String,
    },
    /// Passages of a document were embedded.
    Embedded {
        /// The document's name.
        name: String,
        /// Passages done, those that were known from before included.
        done: usize,
        /// Passages of the document.
        total: usize,
    },
    /// A new document is durable and can be found.
    Added {
        /// Its name.
        name: String,
        /// Its id.
        document_id: String,
        /// How many passages it has.
        chunks: usize,
        /// Milliseconds from opening its file to the commit.
        ms: u64,
        /// What of it could not be read although the rest could, for people.
        warnings: Vec<String>,
    },
    /// A document was replaced by its new version.
    Changed {
        /// Its name.
        name: String,
        /// Its id, which is that of the version before.
        document_id: String,
        /// How many passages it has.
        chunks: usize,
        /// Milliseconds from opening its file to the commit.
        ms: u64,
        /// What of it could not be read although the rest could, for people.
        warnings: Vec<String>,
    },
    /// A file of the same contents appeared where another one vanished.
    Moved {
        /// The document's name before, which is found no more.
        before: String,
        /// Its name now.
        name: String,
        /// Its id now.
        document_id: String,
    },
    /// A document was deleted, since its file is gone.
    Deleted {
        /// Its name.
        name: String,
        /// The id it had.
        document_id: String,
    },
    /// A document's file is gone. The document stays, since deletion was not asked for.
    Missing {
        /// Its name.
        name: String,
        /// Its id.
        document_id: String,
    },
    /// A file or a folder could not be read; what was stored of it stays.
    Failed {
        /// The document's name, or the path inside the folder.
        name: String,
        /// The code of the error, for example `corrupt_data`.
        code: String,
        /// What went wrong and what can be done.
        message: String,
    },
    /// A pass is over.
    Finished {
        /// Documents that are new.
        added: usize,
        /// Documents that were replaced.
        changed: usize,
        /// Documents that moved.
        moved: usize,
        /// Documents that were deleted.
        deleted: usize,
        /// Documents whose files are gone and that stay.
        missing: usize,
        /// Files that are stored as they are.
        unchanged: usize,
        /// Files and folders that could not be read.
        failed: usize,
    },
    /// From now on changes are followed. Sent once, after the first pass.
    Watching {
        /// Whether the file system reports changes; otherwise the folder is looked through at every interval.
        events: bool,
        /// Why it does not, where it was to.
        note: Option<String>,
    },
}

/// The embedder whose vectors a knowledge base holds.
#[uniffi::remote(Record)]
pub struct EmbedderInfo {
    /// Its id.
    pub id: String,
    /// The length of its vectors.
    pub dimension: usize,
}

/// A document of a knowledge base.
#[uniffi::remote(Record)]
pub struct DocumentInfo {
    /// 32 hexadecimal digits, made from the name.
    pub id: String,
    /// The name that citations use: the path inside the folder it was found in, or the file's name.
    pub name: String,
    /// The file it came from, unless it was given as bytes.
    pub source: Option<String>,
    /// What it was read as.
    pub format: Format,
    /// SHA-256 of the file's bytes, in hexadecimal digits.
    pub content_hash: String,
    /// The size of the file in bytes.
    pub bytes: u64,
    /// How many passages it was cut into.
    pub chunks: usize,
    /// What of it could not be read, for people; for example a damaged page.
    pub warnings: Vec<String>,
    /// When it was ingested, in milliseconds since 1970.
    pub ingested_at_ms: i64,
    /// What the app said about it.
    pub metadata: Details,
}

/// What became of the answers that are kept.
#[uniffi::remote(Record)]
pub struct CacheStats {
    /// Answers that are kept now.
    pub answers: usize,
    /// Questions that were answered from them.
    pub hits: u64,
    /// Those of them that were worded otherwise.
    pub similar: u64,
    /// Questions that were not.
    pub misses: u64,
    /// Answers that were too old, or of a knowledge base that changed since.
    pub outdated: u64,
}

/// A mean, and where it lies in 95 of 100 draws.
#[uniffi::remote(Record)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Of how many questions.
    pub count: usize,
}

/// The mean difference of pairs.
#[uniffi::remote(Record)]
pub struct Difference {
    /// The mean difference and its interval.
    pub mean: Mean,
    /// The share of draws that have it the other way round or none: small where it is no chance.
    pub p: f64,
}

/// What came of one question.
#[uniffi::remote(Record)]
pub struct QuestionResult {
    /// The question's id.
    pub id: String,
    /// The question.
    pub question: String,
    /// The scores by their names, each 0 to 1.
    pub scores: Scores,
    /// The text of the answer.
    pub answer: Option<String>,
    /// Whether it was refused.
    pub refused: Option<bool>,
    /// The support of the answer.
    pub support: Option<f64>,
    /// Whether the right answer is that there is none.
    pub unanswerable: bool,
    /// Why it failed; every score that it could have had is 0 then.
    pub error: Option<String>,
}

/// What came of all questions.
#[uniffi::remote(Record)]
pub struct Evaluation {
    /// The name of what was evaluated.
    pub name: String,
    /// The mean of each score over the questions that have it.
    pub means: Means,
    /// How well support tells what has an answer from what has none.
    pub refusal_auroc: Option<f64>,
    /// Questions that failed.
    pub failed: usize,
    /// Each question.
    pub questions: Vec<QuestionResult>,
}

/// What a knowledge base holds and how it searches.
#[uniffi::remote(Record)]
pub struct Stats {
    /// Documents.
    pub documents: u64,
    /// Passages.
    pub chunks: u64,
    /// Passages with a vector.
    pub vectors: u64,
    /// Passages in the word index; equal to `chunks`.
    pub indexed: u64,
    /// Vectors that are reached through a graph.
    pub sealed_vectors: u64,
    /// How often the knowledge base was changed.
    pub generation: u64,
    /// The embedder whose vectors it holds.
    pub embedder: Option<EmbedderInfo>,
    /// The language model that writes answers.
    pub language_model: Option<String>,
    /// How it searches unless told otherwise.
    pub mode: Mode,
    /// How much meaning counts against words in a hybrid search, 0 to 1.
    pub dense_weight: f64,
    /// Why the mode is not hybrid, or why some passages are found by words alone.
    pub note: Option<String>,
    /// Where the vectors are, or are brought, if that is not here.
    pub outsourced: Option<Outsourced>,
}

/// A knowledge base whose vectors are in a collection at other people's nodes, or on their way there.
#[uniffi::remote(Record)]
pub struct Outsourced {
    /// The id of the collection.
    pub collection: String,
    /// Whether the collection was given since the knowledge base was opened, so that it is searched.
    pub attached: bool,
    /// Whether all vectors are there, and nothing of them is left where the knowledge base lies.
    pub complete: bool,
    /// What the collection was not told yet: passages that came or went.
    pub waiting: u64,
}

/// What credentials about uptime and throughput must report to count. Parts that are left out have what holds at first.
#[uniffi::remote(Record)]
pub struct Thresholds {
    /// The least share of the observed time that a node must have been up, 0 to 1.
    #[uniffi(default = 0.95)]
    pub uptime_min_share: f64,
    /// The fewest days that must have been observed.
    #[uniffi(default = 7)]
    pub uptime_min_days: u32,
    /// How far the measured throughput may stay below the announced one, as a share of that, 0 to 1.
    #[uniffi(default = 0.2)]
    pub throughput_tolerance: f64,
    /// Whether a credential that reports nothing counts for nothing.
    #[uniffi(default = false)]
    pub require_claims: bool,
}
