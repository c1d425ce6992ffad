//! Embedding models behind HTTP: an OpenAI-compatible endpoint, or Ollama.
//!
//! `POST {base_url}/embeddings` as in OpenAI's API reference ("Create embeddings"), and `POST {base_url}/api/embed` as in Ollama's API
//! documentation ("Generate embeddings").

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::llm::endpoint::Endpoint;
use crate::llm::{Embedder, Text};
use crate::{Error, ErrorCode, Result};

/// The longest vectors that are taken.
const MOST_DIMENSIONS: usize = 65_536;
/// A number of a vector in text, with what stands around it.
const NUMBER_BYTES: usize = 32;
/// The rest of an answer.
const REST_BYTES: usize = 256 * 1024;
/// A busy endpoint is asked again after so long, and after twice as long each time that follows, unless it says when.
const PAUSE: Duration = Duration::from_millis(500);
/// Nobody waits longer between two tries, whatever an endpoint says.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EmbeddingApi {
    /// As OpenAI does; so do vLLM, llama.cpp, LM Studio and this library's own server.
    #[default]
    OpenAi,
    /// As Ollama does by itself.
    Ollama,
}

/// Where an embedding model is, and how it is asked.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteEmbedderConfig {
    /// How the endpoint speaks.
    pub api: EmbeddingApi,
    /// The address: up to and including the version for OpenAI's API, such as `https://api.openai.com/v1`; that of the server for
    /// Ollama's, such as `http://localhost:11434`.
    pub base_url: String,
    /// The model's name at the endpoint.
    pub model: String,
    /// Sent as a bearer token. Never logged and never part of an error.
    pub api_key: Option<String>,
    /// The length of the vectors. Where it is not set the endpoint is asked for one vector when the embedder is opened; where it is, any
    /// other length is an error.
    pub dimension: Option<usize>,
    /// Whether the endpoint is asked to shorten its vectors to `dimension`, which models such as text-embedding-3 can.
    pub shorten: bool,
    /// Put before what is looked for.
    pub query_prompt: String,
    /// Put before what is found.
    pub document_prompt: String,
    /// So many texts go into a request at most, 1 to 2048; 64.
    pub batch: usize,
    /// How often a request is sent again when the endpoint is busy, cannot be reached or takes too long; 3.
    pub retries: u32,
    /// How long making the connection may take; 10 s.
    pub connect_timeout: Duration,
    /// How long the endpoint may be silent; 120 s.
    pub idle_timeout: Duration,
}

impl RemoteEmbedderConfig {
    /// A model at an OpenAI-compatible endpoint, with the usual patience, and the prompts that models of its name were trained with:
    /// those of nomic-embed-text and mxbai-embed-large are known, others get none. Endpoints put nothing before a text by themselves.
    pub fn openai(base_url: impl Into<String>, model: impl Into<String>) -> RemoteEmbedderConfig {
        RemoteEmbedderConfig::new(EmbeddingApi::OpenAi, base_url.into(), model.into())
    }

    /// A model at an Ollama server, otherwise like [`openai`](RemoteEmbedderConfig::openai).
    pub fn ollama(base_url: impl Into<String>, model: impl Into<String>) -> RemoteEmbedderConfig {
        RemoteEmbedderConfig::new(EmbeddingApi::Ollama, base_url.into(), model.into())
    }

    fn new(api: EmbeddingApi, base_url: String, model: String) -> RemoteEmbedderConfig {
        let called = model.to_ascii_lowercase();
        let (query, document) = if called.contains("nomic-embed-text") {
            ("search_query: ", "search_document: ")
        } else if called.contains("mxbai-embed-large") {
            ("Represent this sentence for searching relevant passages: ", "")
        } else {
            ("", "")
        };
        RemoteEmbedderConfig {
            api,
            base_url,
            model,
            api_key: None,
            dimension: None,
            shorten: false,
            query_prompt: query.to_owned(),
            document_prompt: document.to_owned(),
            batch: 64,
            retries: 3,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
        }
    }

    fn check(&self) -> Result<()> {
        let refused = |what: &str| Err(Error::invalid_argument(what));
        if self.model.trim().is_empty() {
            return refused("an embedding model at an endpoint needs a name");
        }
        if !(1..=2048).contains(&self.batch) {
            return refused("a request has 1 to 2048 texts");
        }
        if self.dimension.is_some_and(|dimension| dimension == 0 || dimension > MOST_DIMENSIONS) {
            return refused("vectors have 1 to 65536 dimensions");
        }
        if self.shorten && self.dimension.is_none() {
            return refused("vectors are shortened to a dimension, which must be given");
        }
        Ok(())
    }
}

impl fmt::Debug for RemoteEmbedderConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteEmbedderConfig")
            .field("api", &self.api)
            .field("base_url", &self.base_url)
            .field("model", &self.model)
            .field("api_key", &self.api_key.as_ref().map(|_| "***"))
            .field("dimension", &self.dimension)
            .finish_non_exhaustive()
    }
}

/// An [`Embedder`] behind an endpoint. Texts leave this machine, unless the endpoint is on it.
///
/// Its vectors are scaled to the length 1. Its id is the model's name, and a digest of the prompts and of the dimension it asks for: of
/// the weights an endpoint tells nothing, so that a model that is exchanged under its name is not noticed, but by its dimension.
#[derive(Clone)]
pub struct RemoteEmbedder {
    config: RemoteEmbedderConfig,
    endpoint: Endpoint,
    dimension: usize,
}

impl fmt::Debug for RemoteEmbedder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemoteEmbedder").field("config", &self.config).field("dimension", &self.dimension).finish()
    }
}

#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    input: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding_format: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    truncate: Option<bool>,
}

/// An answer of OpenAI's API.
#[derive(Deserialize)]
struct List {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: Option<usize>,
    embedding: Vec<f64>,
}

/// An answer of Ollama's.
#[derive(Deserialize)]
struct Embeddings {
    embeddings: Vec<Vec<f64>>,
}

impl RemoteEmbedder {
    /// Opens a model at an endpoint, which is asked for a vector where the dimension is not given.
    ///
    /// # Errors
    /// `invalid_argument` for an address that is not `http` or `https`, a key that cannot stand in a header, a model without a name, and
    /// numbers out of range; those of [`embed`](Embedder::embed) for the vector that is asked for.
    pub async fn open(config: RemoteEmbedderConfig) -> Result<RemoteEmbedder> {
        config.check()?;
        let path = match config.api {
            EmbeddingApi::OpenAi => "/embeddings",
            EmbeddingApi::Ollama => "/api/embed",
        };
        let RemoteEmbedderConfig { base_url, model, api_key, connect_timeout, idle_timeout, .. } = &config;
        let endpoint = Endpoint::new(model, base_url, path, api_key.clone(), *connect_timeout, *idle_timeout)?;
        let dimension = config.dimension;
        let mut embedder = RemoteEmbedder { config, endpoint, dimension: dimension.unwrap_or(0) };
        if dimension.is_none() {
            let vectors = embedder.ask(&["dimension".to_owned()]).await?;
            embedder.dimension = vectors.first().map_or(0, Vec::len);
        }
        Ok(embedder)
    }

    /// The vectors of so many texts as go into a request, asking again while that may help.
    async fn ask(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let mut pause = PAUSE;
        let mut left = self.config.retries;
        loop {
            let error = match self.ask_once(texts).await {
                Ok(vectors) => return Ok(vectors),
                Err(error) => error,
            };
            if left == 0 || !error.is_retryable() {
                return Err(error);
            }
            left -= 1;
            let said = error.context().get("retry_after").and_then(|seconds| seconds.trim().parse().ok());
            tokio::time::sleep(said.map_or(pause, Duration::from_secs).min(LONGEST_PAUSE)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn ask_once(&self, texts: &[String]) -> Result<Vec<Vec<f32>>> {
        let config = &self.config;
        let is_openai = config.api == EmbeddingApi::OpenAi;
        let body = Body {
            model: &config.model,
            input: texts,
            dimensions: config.dimension.filter(|_| config.shorten),
            encoding_format: is_openai.then_some("float"),
            // As a model of this machine does: the rest of a text beyond its length is not read.
            truncate: (!is_openai).then_some(true),
        };
        let mut response = self.endpoint.post(&body, "application/json").await?;
        let longest = if self.dimension == 0 { MOST_DIMENSIONS } else { self.dimension };
        let most = texts.len().saturating_mul(longest * NUMBER_BYTES + 256) + REST_BYTES;
        let mut bytes = Vec::new();
        while let Some(more) = response.chunk().await.map_err(|error| self.endpoint.failure(error))? {
            bytes.extend_from_slice(&more);
            if bytes.len() > most {
                return Err(self.nonsense(&format!("more than {most} bytes")));
            }
        }
        let vectors = match config.api {
            EmbeddingApi::OpenAi => self.in_order(self.parse::<List>(&bytes)?.data, texts.len())?,
            EmbeddingApi::Ollama => self.parse::<Embeddings>(&bytes)?.embeddings,
        };
        if vectors.len() != texts.len() {
            return Err(self.nonsense(&format!("{} vectors for {} texts", vectors.len(), texts.len())));
        }
        vectors.into_iter().map(|vector| self.unit(vector)).collect()
    }

    fn parse<T: for<'de> Deserialize<'de>>(&self, bytes: &[u8]) -> Result<T> {
        serde_json::from_slice(bytes).map_err(|error| self.nonsense("no embeddings").with_source(error))
    }

    /// Vectors in the order of their texts. Some endpoints leave the index out.
    fn in_order(&self, data: Vec<Item>, count: usize) -> Result<Vec<Vec<f64>>> {
        if data.len() != count {
            return Err(self.nonsense(&format!("{} vectors for {count} texts", data.len())));
        }
        let mut vectors = vec![None; count];
        for (place, item) in data.into_iter().enumerate() {
            let index = item.index.unwrap_or(place);
            match vectors.get_mut(index) {
                Some(free @ None) => *free = Some(item.embedding),
                _ => return Err(self.nonsense(&format!("a vector of the index {index} among {count}"))),
            }
        }
        Ok(vectors.into_iter().flatten().collect())
    }

    /// A vector of the length 1, as all of this library's are.
    fn unit(&self, vector: Vec<f64>) -> Result<Vec<f32>> {
        let count = vector.len();
        if self.dimension != 0 && count != self.dimension {
            return Err(Error::conflict(format!(
                "{} gave a vector of {count} dimensions instead of {}",
                self.endpoint.name, self.dimension
            ))
            .with_remedy("check the model's name; a knowledge base keeps the dimension it was made with"));
        }
        if count == 0 || count > MOST_DIMENSIONS {
            return Err(self.nonsense(&format!("a vector of {count} dimensions")));
        }
        let norm = vector.iter().map(|value| value * value).sum::<f64>().sqrt();
        if !norm.is_finite() {
            return Err(self.nonsense("a vector that is not of finite numbers"));
        }
        if norm < f64::from(f32::MIN_POSITIVE) {
            return Err(self.nonsense("a vector of zeros, which has no direction"));
        }
        Ok(vector.into_iter().map(|value| (value / norm) as f32).collect())
    }

    fn nonsense(&self, what: &str) -> Error {
        Error::new(ErrorCode::CorruptData, format!("{} answered with {what}", self.endpoint.name))
            .with_remedy("check that the address is that of an embedding model, and the endpoint's own log")
    }
}

#[async_trait]
impl Embedder for RemoteEmbedder {
    fn id(&self) -> String {
        let RemoteEmbedderConfig { model, query_prompt, document_prompt, dimension, shorten, .. } = &self.config;
        let mut digest = Sha256::new();
        for part in [query_prompt, document_prompt] {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        digest.update((dimension.filter(|_| *shorten).unwrap_or(0) as u64).to_le_bytes());
        let digest: String = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        format!("{model}@endpoint-{digest}")
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    /// # Errors
    /// `unreachable` and `timeout` for an endpoint that cannot be reached or does not answer, `busy` for one that has too much to do,
    /// each after the retries; `permission_denied` for a refused key; `not_found` and `invalid_argument` for what it does not know or
    /// take; `conflict` for vectors of another dimension; `corrupt_data` for an answer that is none: not as many vectors as texts, no
    /// finite numbers, vectors of zeros.
    async fn embed(&self, texts: Vec<Text>) -> Result<Vec<Vec<f32>>> {
        let RemoteEmbedderConfig { query_prompt, document_prompt, batch, .. } = &self.config;
        let texts: Vec<String> = texts.iter().map(|text| text.with_prompt(query_prompt, document_prompt)).collect();
        let mut vectors = Vec::with_capacity(texts.len());
        for batch in texts.chunks(*batch) {
            vectors.extend(self.ask(batch).await?);
        }
        Ok(vectors)
    }
}
