//! What calls are told: every part may be left out, and numbers are checked.

use std::collections::HashMap;
use std::sync::Arc;

use kwaai_core::llm::GenerateRequest;
use kwaai_core::rag::document::Format;
use kwaai_core::rag::evaluate::{EvaluationQuestion, Keyword, NumericAnswer};
use kwaai_core::rag::{self, AskOptions, CacheOptions, Mode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::number::{maybe, whole};
use super::record::ChatMessage;
use super::{NativeEmbedder, NativeReader, NativeWriter};
use crate::node::{BlockShare, LimitOptions, NodeConfig, RelayOptions};
use crate::provide::Supplies;
use crate::rag::{ChunkingOptions, EmbedderName, EmbeddingEndpoint, Endpoint, EvaluationOptions, Options, SyncOptions};
use crate::{Result, Spelling, validate};

/// What a node is told at its start.
#[derive(uniffi::Record)]
pub struct NodeOptions {
    /// `ephemeral`, `desktop`, `mobile` or `server`.
    pub preset: Option<String>,
    /// The readable name.
    pub name: Option<String>,
    /// Where the data is kept.
    pub data_dir: Option<String>,
    /// The key file.
    pub identity_key: Option<String>,
    /// Multiaddresses to listen on.
    pub listen: Option<Vec<String>>,
    /// Multiaddresses of the nodes to join the network through.
    pub bootstrap: Option<Vec<String>>,
    /// Whether to look for nodes on the local network.
    pub mdns: Option<bool>,
    /// Whether to take part in the DHT of hivemind and Petals.
    pub hivemind: Option<bool>,
    /// Multiaddresses of relays to be reached through.
    pub trusted_relays: Option<Vec<String>>,
    /// Whether to relay for others.
    pub relay: Option<bool>,
    /// How much a relay gives.
    pub relay_limits: Option<NodeRelayLimits>,
    /// Multiaddresses to announce in place of those that are listened on.
    pub announce_addr: Option<Vec<String>>,
    /// The public address.
    pub public_ip: Option<String>,
    /// The port that the router forwards.
    pub public_port: Option<i64>,
    /// Whether nobody can dial this node.
    pub force_private: Option<bool>,
    /// How many peers must see this node at the same address.
    pub identify_min_confirmations: Option<i64>,
    /// For how long nobody could try to dial this node before that counts, in milliseconds.
    pub identify_timeout_ms: Option<i64>,
    /// Whether to ask the router to forward ports.
    pub upnp: Option<bool>,
    /// Whether to remember peers for the next start.
    pub peer_cache: Option<bool>,
    /// How much peers may take.
    pub limits: Option<NodeLimits>,
    /// For tests: the identity is made from this number.
    pub seed: Option<i64>,
    /// For tests: a clock that stands at this instant, RFC 3339.
    pub clock: Option<String>,
}

impl NodeOptions {
    pub(super) fn config(self) -> Result<NodeConfig> {
        Ok(NodeConfig {
            preset: self.preset,
            name: self.name,
            data_dir: self.data_dir,
            identity_key: self.identity_key,
            listen: self.listen,
            bootstrap: self.bootstrap,
            mdns: self.mdns,
            hivemind: self.hivemind,
            trusted_relays: self.trusted_relays,
            relay: self.relay,
            relay_limits: self.relay_limits.map(NodeRelayLimits::into_parts).transpose()?.unwrap_or_default(),
            announce_addr: self.announce_addr,
            public_ip: self.public_ip,
            public_port: maybe("public_port", self.public_port)?,
            force_private: self.force_private,
            identify_min_confirmations: maybe("identify_min_confirmations", self.identify_min_confirmations)?,
            identify_timeout_ms: maybe("identify_timeout_ms", self.identify_timeout_ms)?,
            upnp: self.upnp,
            peer_cache: self.peer_cache,
            limits: self.limits.map(NodeLimits::into_parts).transpose()?.unwrap_or_default(),
            seed: maybe("seed", self.seed)?,
            clock: self.clock,
        })
    }
}

macro_rules! limits {
    ($(#[$what:meta])* $limits:ident is $argument:literal, $options:ident;
     $($(#[$doc:meta])* $name:ident),+ $(; $(#[$share_doc:meta])* $share:ident)?) => {
        $(#[$what])*
        #[derive(uniffi::Record)]
        pub struct $limits {
            $($(#[$doc])* #[uniffi(default = None)] pub $name: Option<i64>,)+
            $($(#[$share_doc])* #[uniffi(default = None)] pub $share: Option<f64>,)?
        }

        impl $limits {
            fn into_parts(self) -> Result<$options> {
                Ok($options {
                    $($name: maybe(concat!($argument, ".", stringify!($name)), self.$name)?,)+
                    $($share: self.$share,)?
                })
            }
        }
    };
}

limits! {
    /// How much a relay gives, where that is not the usual.
    NodeRelayLimits is "relay_limits", RelayOptions;
    /// Peers that can be reached through this node at the same time.
    max_reservations,
    /// How long a reservation lasts unless it is renewed, in milliseconds.
    reservation_duration_ms,
    /// Circuits at the same time.
    max_circuits,
    /// Circuits that one peer opened at the same time.
    max_circuits_per_peer,
    /// The same for a peer that the policy does not let relay freely.
    max_circuits_per_stranger,
    /// Bytes that one circuit may carry in each direction.
    max_circuit_bytes,
    /// How long a circuit may last, in milliseconds.
    max_circuit_duration_ms
}

limits! {
    /// The limits to change; the others stay as the preset has them.
    NodeLimits is "limits", LimitOptions;
    /// Connections in both directions together.
    max_connections,
    /// Connections that others opened.
    max_incoming_connections,
    /// Connections that others opened from one IPv4 /24 or IPv6 /56 of the internet.
    max_incoming_per_range,
    /// The same for an IPv4 /16 or IPv6 /48.
    max_incoming_per_wide_range,
    /// The same for an IPv4 /24 or IPv6 /56 of loopback and home networks; no bound of its own unless set.
    max_incoming_per_local_range,
    /// Connections with one peer.
    max_connections_per_peer,
    /// Incoming connections whose handshake is under way.
    max_pending_incoming,
    /// Outgoing connections whose handshake is under way.
    max_pending_outgoing,
    /// Connections that lookups in the DHT opened and nothing else asked for, and that stand after them.
    max_lookup_connections,
    /// Calls of one peer served at the same time.
    max_calls_per_peer,
    /// Calls served at the same time.
    max_calls,
    /// Streams of one peer served at the same time.
    max_streams_per_peer,
    /// Streams served at the same time.
    max_streams,
    /// Unread messages that are kept.
    inbox,
    /// Unread events that are kept for one reader.
    events,
    /// Keys for which this node remembers who provides them.
    max_provided_keys,
    /// How long a connection without any stream is kept, in milliseconds.
    idle_connection_ms,
    /// How long a peer may take to say what a stream is for, in milliseconds.
    header_timeout_ms,
    /// How long the gate may take to decide, in milliseconds.
    gate_timeout_ms,
    /// No call is served for longer, in milliseconds.
    max_call_duration_ms;
    /// New connections are refused above this share of the machine's memory, 0 to 1.
    max_memory_share
}

/// Blocks of one model to compute for others: a run of them, or a number, or as many as fit, these two where the swarm has them
/// least.
#[derive(uniffi::Record)]
pub struct BlockShareOptions {
    /// The directory or GGUF file of the model, or its id at a hub.
    pub model: String,
    /// The first block of a run.
    #[uniffi(default = None)]
    pub start_block: Option<i64>,
    /// One past the last block of a run.
    #[uniffi(default = None)]
    pub end_block: Option<i64>,
    /// How many.
    #[uniffi(default = None)]
    pub count: Option<i64>,
    /// Bytes that those that fit may take with what their sessions keep; what is free without a reserve unless set.
    #[uniffi(default = None)]
    pub memory_bytes: Option<i64>,
}

impl BlockShareOptions {
    pub(super) fn share(self) -> Result<BlockShare> {
        Ok(BlockShare {
            model: self.model,
            start_block: maybe("start_block", self.start_block)?,
            end_block: maybe("end_block", self.end_block)?,
            count: maybe("count", self.count)?,
            memory_bytes: maybe("memory_bytes", self.memory_bytes)?,
        })
    }
}

/// What to generate, and how; what is left out has the default of the library.
#[derive(uniffi::Record)]
pub struct ChatOptions {
    /// The conversation so far.
    pub messages: Vec<ChatMessage>,
    /// At most this many tokens are generated.
    pub max_tokens: Option<i64>,
    /// 0 takes the likeliest token each time.
    pub temperature: Option<f64>,
    /// Samples among the likeliest tokens that together have this probability.
    pub top_p: Option<f64>,
    /// Samples among this many likeliest tokens.
    pub top_k: Option<i64>,
    /// Makes sampling repeatable.
    pub seed: Option<i64>,
    /// The text ends before the first of these.
    pub stop: Vec<String>,
    /// `local` or `peers`.
    pub route: Option<String>,
}

impl ChatOptions {
    pub(super) fn request(self) -> Result<(GenerateRequest, Option<String>)> {
        let usual = GenerateRequest::default();
        let request = GenerateRequest {
            messages: self.messages.into_iter().map(Into::into).collect(),
            max_tokens: maybe("max_tokens", self.max_tokens)?.unwrap_or(usual.max_tokens),
            temperature: self.temperature.map_or(usual.temperature, |value| value as f32),
            top_p: self.top_p.map_or(usual.top_p, |value| value as f32),
            top_k: maybe("top_k", self.top_k)?.unwrap_or(usual.top_k),
            seed: maybe("seed", self.seed)?.unwrap_or(usual.seed),
            stop: self.stop,
            ..usual
        };
        Ok((request, self.route))
    }
}

/// How passages are found, for searching and for asking.
#[derive(uniffi::Record)]
pub struct FindOptions {
    /// The documents to look in, by their ids; empty for all.
    pub documents: Vec<String>,
    /// Only what was ingested then or later, in milliseconds since 1970.
    pub since_ms: Option<i64>,
    /// Only what was ingested before, in milliseconds since 1970.
    pub before_ms: Option<i64>,
    /// Only documents that were read as one of these, such as `pdf`; empty for all.
    pub formats: Vec<String>,
    /// Only documents whose names fit one of these patterns; empty for all.
    pub names: Vec<String>,
    /// Only documents that the app gave these values for these keys.
    pub metadata: HashMap<String, String>,
    /// So many passages before and after each come with it.
    pub neighbours: i64,
    /// So many other wordings, by the language model, are looked for as well.
    pub wordings: i64,
    /// How much a passage counts that the language model makes up, 0 to 1.
    pub hypothesis: f64,
    /// So many passages are put in order by the language model.
    pub rerank: i64,
}

/// How to search.
#[derive(uniffi::Record)]
pub struct SearchOptions {
    /// How passages are found.
    pub mode: Mode,
    /// Whether documents gain that the question, or a passage found, calls by their names.
    pub links: bool,
    /// Where to look, and with what help.
    pub find: FindOptions,
    /// How much hits are to differ from one another, 0 to 1.
    pub diversity: f64,
    /// How much meaning counts in a hybrid search against words, 0 to 1.
    pub dense_weight: Option<f64>,
    /// Whether to tell how long each stage took.
    pub timed: bool,
}

impl SearchOptions {
    pub(super) fn into_core(self) -> Result<rag::SearchOptions> {
        let find = self.find;
        Ok(rag::SearchOptions {
            mode: self.mode,
            links: self.links,
            documents: find.documents,
            since_ms: find.since_ms,
            before_ms: find.before_ms,
            formats: formats(find.formats)?,
            names: find.names,
            metadata: find.metadata.into_iter().collect(),
            neighbours: whole("neighbours", find.neighbours)?,
            timed: self.timed,
            diversity: self.diversity,
            dense_weight: self.dense_weight,
            wordings: whole("wordings", find.wordings)?,
            hypothesis: find.hypothesis,
            rerank: whole("rerank", find.rerank)?,
        })
    }
}

/// How a question is answered; what is left out has the default of the library.
#[derive(uniffi::Record)]
pub struct QuestionOptions {
    /// How many passages are considered.
    pub k: Option<i64>,
    /// How they are found.
    pub mode: Option<Mode>,
    /// The least support that is answered, 0 to 1.
    pub min_support: Option<f64>,
    /// The longest generated answer, in tokens.
    pub max_tokens: Option<i64>,
    /// Whether documents gain that the question or a passage names.
    pub links: Option<bool>,
    /// Where to look, and with what help.
    pub find: FindOptions,
    /// The share of questions without an answer in the documents that may get one all the same, 0 to 1.
    pub max_unsupported: Option<f64>,
    /// How much a language model is given to read, in estimated tokens.
    pub max_context_tokens: Option<i64>,
    /// The turns before the question, the earliest first.
    pub history: Vec<ChatMessage>,
}

impl QuestionOptions {
    pub(super) fn into_core(self) -> Result<AskOptions> {
        let (usual, find) = (AskOptions::default(), self.find);
        Ok(AskOptions {
            k: maybe("k", self.k)?.unwrap_or(usual.k),
            mode: self.mode.unwrap_or(usual.mode),
            links: self.links.unwrap_or(usual.links),
            documents: find.documents,
            since_ms: find.since_ms,
            before_ms: find.before_ms,
            formats: formats(find.formats)?,
            names: find.names,
            metadata: find.metadata.into_iter().collect(),
            neighbours: whole("neighbours", find.neighbours)?,
            wordings: whole("wordings", find.wordings)?,
            hypothesis: find.hypothesis,
            rerank: whole("rerank", find.rerank)?,
            min_support: self.min_support.unwrap_or(usual.min_support),
            max_unsupported: self.max_unsupported,
            max_tokens: maybe("max_tokens", self.max_tokens)?.unwrap_or(usual.max_tokens),
            max_context_tokens: maybe("max_context_tokens", self.max_context_tokens)?
                .unwrap_or(usual.max_context_tokens),
            history: self.history.into_iter().map(Into::into).collect(),
        })
    }
}

fn formats(names: Vec<String>) -> Result<Vec<Format>> {
    let format = |name| validate::record("formats", &Value::String(name), Spelling::Camel);
    names.into_iter().map(format).collect()
}

/// A question whose answer is known.
#[derive(uniffi::Record)]
pub struct KnownQuestion {
    /// What the report calls it; its place in the list unless set.
    pub id: Option<String>,
    /// The question.
    pub question: String,
    /// The documents that answer it, by their ids or names.
    pub documents: Vec<String>,
    /// What the answer must say: of each list one.
    pub keywords: Vec<Vec<String>>,
    /// The number that it must give.
    pub number: Option<f64>,
    /// What is as near to the number counts as right.
    pub tolerance: f64,
    /// The answer in words, for a judge.
    pub expected_answer: Option<String>,
    /// Whether the right answer is that there is none.
    pub unanswerable: bool,
}

impl From<KnownQuestion> for EvaluationQuestion {
    fn from(asked: KnownQuestion) -> EvaluationQuestion {
        let tolerance = asked.tolerance;
        EvaluationQuestion {
            id: asked.id.unwrap_or_default(),
            question: asked.question,
            documents: asked.documents,
            keywords: asked.keywords.into_iter().map(Keyword::AnyOf).collect(),
            numeric: asked.number.map(|correct| NumericAnswer { correct, tolerance }),
            expected_answer: asked.expected_answer,
            unanswerable: asked.unanswerable,
        }
    }
}

/// What to evaluate.
#[derive(uniffi::Record)]
pub struct EvaluateOptions {
    /// What the report calls it.
    pub name: String,
    /// How passages are looked for.
    pub search: SearchOptions,
    /// How questions are asked; without it only what is found is judged.
    pub ask: Option<QuestionOptions>,
    /// A model behind an endpoint that judges answers.
    pub endpoint: Option<EndpointOptions>,
    /// A model of the app, or of a shard engine, that judges answers.
    pub writer: Option<Arc<NativeWriter>>,
}

impl EvaluateOptions {
    pub(super) fn into_parts(self) -> Result<(EvaluationOptions, Supplies)> {
        let options = EvaluationOptions {
            name: self.name,
            search: self.search.into_core()?,
            ask: self.ask.map(QuestionOptions::into_core).transpose()?,
            judge: self.endpoint.map(Endpoint::from),
        };
        let writer = self.writer.map(|writer| writer.0.clone());
        Ok((options, Supplies { writer, ..Supplies::default() }))
    }
}

/// Which answers are given again; what is left out has the default of the library.
#[derive(uniffi::Record)]
pub struct CacheLimits {
    /// Kept at most.
    pub answers: Option<i64>,
    /// An older answer is not given again, in milliseconds.
    pub ttl_ms: Option<i64>,
    /// The least cosine of two questions that ask the same in other words.
    pub similarity: Option<f64>,
}

impl CacheLimits {
    fn into_core(self) -> Result<CacheOptions> {
        let usual = CacheOptions::default();
        Ok(CacheOptions {
            answers: maybe("cache.answers", self.answers)?.unwrap_or(usual.answers),
            ttl_ms: maybe("cache.ttl_ms", self.ttl_ms)?.unwrap_or(usual.ttl_ms),
            similarity: self.similarity.map_or(usual.similarity, |similarity| similarity as f32),
        })
    }
}

/// How a folder is kept alike; what is left out is off, or has the default of the library.
#[derive(uniffi::Record)]
pub struct FolderOptions {
    /// Whether to go on after the first pass.
    pub watch: bool,
    /// While watching: the folder is looked through at least this often, in milliseconds.
    pub interval_ms: Option<i64>,
    /// While watching: do without the file system's events.
    pub polling: bool,
    /// Only files with these extensions; none for every file that can be read.
    pub extensions: Vec<String>,
    /// Whether a document is deleted when its file is gone.
    pub delete: bool,
}

impl FolderOptions {
    pub(super) fn into_parts(self) -> Result<SyncOptions> {
        let FolderOptions { watch, interval_ms, polling, extensions, delete } = self;
        Ok(SyncOptions { watch, interval_ms: maybe("interval_ms", interval_ms)?, polling, extensions, delete })
    }
}

/// How a knowledge base works.
#[derive(uniffi::Record)]
pub struct RagOptions {
    /// The folder or the hub id of an embedding model, or `none`.
    pub embedder: Option<String>,
    /// An embedding model behind an endpoint.
    pub embedding_endpoint: Option<EmbeddingEndpointOptions>,
    /// An embedder of the app.
    pub own_embedder: Option<Arc<NativeEmbedder>>,
    /// A model behind an endpoint that writes the answers.
    pub endpoint: Option<EndpointOptions>,
    /// A model of the app, or of a shard engine, that writes the answers.
    pub writer: Option<Arc<NativeWriter>>,
    /// How documents are cut.
    pub chunking: Option<ChunkingSizes>,
    /// The language whose word forms are brought together.
    pub language: Option<String>,
    /// Read formats that the library does not.
    pub readers: Vec<Arc<NativeReader>>,
    /// Which answers are given again to the same question; none unless set.
    pub cache: Option<CacheLimits>,
    /// For a knowledge base of a node: the directory that it lies in, where that is not the node's.
    pub data_dir: Option<String>,
}

/// Which embedder a knowledge base is to have from now on.
#[derive(uniffi::Record)]
pub struct EmbedderChoice {
    /// The folder or the hub id of an embedding model.
    pub embedder: Option<String>,
    /// An embedding model behind an endpoint.
    pub embedding_endpoint: Option<EmbeddingEndpointOptions>,
    /// An embedder of the app.
    pub own_embedder: Option<Arc<NativeEmbedder>>,
}

impl EmbedderChoice {
    pub(super) fn into_parts(self) -> Result<(Option<EmbedderName>, Supplies)> {
        let own = self.own_embedder.map(|embedder| embedder.0.clone());
        let embedder = embedder_name(self.embedder, self.embedding_endpoint)?;
        Ok((embedder, Supplies { embedder: own, ..Supplies::default() }))
    }
}

/// An embedder by what is given of the two.
fn embedder_name(name: Option<String>, endpoint: Option<EmbeddingEndpointOptions>) -> Result<Option<EmbedderName>> {
    match endpoint {
        Some(endpoint) => Ok(Some(EmbedderName::Endpoint(endpoint.into_parts()?))),
        None => Ok(name.map(EmbedderName::Named)),
    }
}

/// An embedding model behind an endpoint.
#[derive(uniffi::Record)]
pub struct EmbeddingEndpointOptions {
    /// For example `https://api.openai.com/v1`, or `http://localhost:11434` for Ollama.
    pub base_url: String,
    /// The model's name there.
    pub model: String,
    /// Sent as a bearer token.
    pub api_key: Option<String>,
    /// `openai` or `ollama`.
    pub api: Option<String>,
    /// The length of its vectors.
    pub dimension: Option<i64>,
    /// Put before what is looked for.
    pub query_prompt: Option<String>,
    /// Put before what is found.
    pub document_prompt: Option<String>,
}

impl EmbeddingEndpointOptions {
    fn into_parts(self) -> Result<EmbeddingEndpoint> {
        Ok(EmbeddingEndpoint {
            base_url: self.base_url,
            model: self.model,
            api_key: self.api_key,
            api: named("embedder.api", self.api)?,
            dimension: maybe("embedder.dimension", self.dimension)?,
            query_prompt: self.query_prompt,
            document_prompt: self.document_prompt,
        })
    }
}

/// A language model behind an OpenAI-compatible endpoint.
#[derive(uniffi::Record)]
pub struct EndpointOptions {
    /// For example `http://localhost:11434/v1`.
    pub base_url: String,
    /// The model's name there.
    pub model: String,
    /// Sent as a bearer token.
    pub api_key: Option<String>,
}

impl From<EndpointOptions> for Endpoint {
    fn from(endpoint: EndpointOptions) -> Endpoint {
        Endpoint { base_url: endpoint.base_url, model: endpoint.model, api_key: endpoint.api_key }
    }
}

/// How documents are cut; sizes count characters.
#[derive(uniffi::Record)]
pub struct ChunkingSizes {
    /// `sentence`, `paragraph`, `fixed` or `heading`.
    pub strategy: Option<String>,
    /// The longest passage.
    pub size: Option<i64>,
    /// How much of a passage is repeated at the start of the next.
    pub overlap: Option<i64>,
    /// A shorter rest is joined to the passage before it.
    pub min: Option<i64>,
}

impl RagOptions {
    pub(super) fn into_parts(self) -> Result<(Options, Supplies)> {
        let chunking = match self.chunking {
            None => ChunkingOptions::default(),
            Some(sizes) => ChunkingOptions {
                strategy: named("chunking.strategy", sizes.strategy)?,
                size: maybe("chunking.size", sizes.size)?,
                overlap: maybe("chunking.overlap", sizes.overlap)?,
                min: maybe("chunking.min", sizes.min)?,
            },
        };
        let endpoint = self.endpoint.map(Endpoint::from);
        let embedder = embedder_name(self.embedder, self.embedding_endpoint)?;
        let language = named("language", self.language)?;
        let supplies = Supplies {
            embedder: self.own_embedder.map(|embedder| embedder.0.clone()),
            writer: self.writer.map(|writer| writer.0.clone()),
            readers: self.readers.into_iter().map(|reader| reader.0.clone()).collect(),
        };
        let cache = self.cache.map(CacheLimits::into_core).transpose()?;
        let data_dir = self.data_dir;
        Ok((Options { embedder, endpoint, chunking, language, cache, data_dir }, supplies))
    }
}

/// A choice by its name, or the usual one.
pub(super) fn named<T: DeserializeOwned + Default>(what: &str, name: Option<String>) -> Result<T> {
    name.map_or(Ok(T::default()), |name| validate::record(what, &Value::String(name), Spelling::Camel))
}
