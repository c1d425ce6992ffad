//! Language models behind an OpenAI-compatible endpoint: a company's, or Ollama, llama.cpp or vLLM on this machine.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::Response;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::event::{self, Sender, Stream};
use crate::llm::endpoint::Endpoint;
use crate::llm::{ChatMessage, FinishReason, GenerateEvent, GenerateRequest, LanguageModel, Usage};
use crate::{Error, Result};

mod sse;

/// Pieces that a reader may leave unread; a generation of ordinary length never loses any.
const UNREAD: usize = 16_384;

/// Where the model is and how long to wait for it.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenAiConfig {
    /// The address up to and including the version, for example `http://localhost:11434/v1`.
    pub base_url: String,
    /// The model's name at the endpoint.
    pub model: String,
    /// Sent as a bearer token. Never logged and never part of an error.
    pub api_key: Option<String>,
    /// How long making the connection may take; 10 s.
    pub connect_timeout: Duration,
    /// How long the endpoint may be silent, before its first token and between tokens; 120 s.
    pub idle_timeout: Duration,
}

impl OpenAiConfig {
    /// A model at an endpoint, without a key and with the usual patience.
    pub fn new(base_url: impl Into<String>, model: impl Into<String>) -> OpenAiConfig {
        OpenAiConfig {
            base_url: base_url.into(),
            model: model.into(),
            api_key: None,
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(120),
        }
    }
}

impl fmt::Debug for OpenAiConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenAiConfig")
            .field("base_url", &self.base_url)
            .field("model", &self.model)
            .field("api_key", &self.api_key.as_ref().map(|_| "***"))
            .field("connect_timeout", &self.connect_timeout)
            .field("idle_timeout", &self.idle_timeout)
            .finish()
    }
}

/// A [`LanguageModel`] behind an OpenAI-compatible endpoint.
#[derive(Clone)]
pub struct OpenAiModel {
    config: OpenAiConfig,
    endpoint: Endpoint,
}

impl fmt::Debug for OpenAiModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenAiModel").field(&self.config).finish()
    }
}

/// The body of a request, as `POST /chat/completions` takes it.
#[derive(Serialize)]
struct Body<'a> {
    model: &'a str,
    messages: &'a [ChatMessage],
    max_tokens: u32,
    temperature: f32,
    top_p: f32,
    seed: u64,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stop: &'a [String],
    stream: bool,
    stream_options: StreamOptions,
}

#[derive(Serialize)]
struct StreamOptions {
    include_usage: bool,
}

/// One event of the answer. Endpoints differ in what they leave out.
#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    choices: Vec<Choice>,
    #[serde(default)]
    usage: Option<Counts>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Counts {
    #[serde(default)]
    prompt_tokens: u32,
    #[serde(default)]
    completion_tokens: u32,
    #[serde(default)]
    prompt_tokens_details: Option<Details>,
}

#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    cached_tokens: Option<u32>,
}

#[derive(Deserialize)]
struct Choice {
    #[serde(default)]
    delta: Option<Delta>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Delta {
    #[serde(default)]
    content: Option<String>,
}

impl OpenAiModel {
    /// A client of an endpoint. Nothing is sent yet.
    ///
    /// # Errors
    /// `invalid_argument` for an address that is not `http` or `https`, or a key that cannot stand in a header.
    pub fn new(config: OpenAiConfig) -> Result<OpenAiModel> {
        let OpenAiConfig { base_url, model, api_key, connect_timeout, idle_timeout } = config.clone();
        let endpoint = Endpoint::new(&model, &base_url, "/chat/completions", api_key, connect_timeout, idle_timeout)?;
        Ok(OpenAiModel { config, endpoint })
    }

    async fn send(&self, request: &GenerateRequest) -> Result<Response> {
        let body = Body {
            model: &self.config.model,
            messages: &request.messages,
            max_tokens: request.max_tokens,
            temperature: request.temperature,
            top_p: request.top_p,
            // The protocol's integers are signed.
            seed: request.seed & i64::MAX as u64,
            stop: &request.stop,
            stream: true,
            stream_options: StreamOptions { include_usage: true },
        };
        self.endpoint.post(&body, "text/event-stream").await
    }

    /// Reads the answer to its end.
    async fn read(&self, mut response: Response, sender: &Sender<GenerateEvent>) -> Result<()> {
        let mut events = sse::Events::default();
        let mut finish = None;
        let mut usage = Usage::default();
        'answer: loop {
            let bytes = response.chunk().await.map_err(|error| self.endpoint.failure(error))?;
            let is_end = bytes.is_none();
            for data in events.feed(bytes.as_deref())? {
                if data.trim() == "[DONE]" {
                    // Some endpoints never say why they end.
                    finish = finish.or(Some(FinishReason::Stop));
                    break 'answer;
                }
                let chunk: Chunk = match serde_json::from_str(&data) {
                    Ok(chunk) => chunk,
                    // The last event was cut, not wrong.
                    Err(_) if is_end => break 'answer,
                    Err(e) => {
                        let what = format!("{} sent what is not an event of a chat", self.name());
                        return Err(Error::corrupt_data(what).with_source(e));
                    }
                };
                if let Some(error) = chunk.error.filter(|error| !error.is_null()) {
                    return Err(Error::unreachable(format!(
                        "{} failed while answering{}",
                        self.name(),
                        self.endpoint.said(Some(&error))
                    )));
                }
                if let Some(Counts { prompt_tokens, completion_tokens, prompt_tokens_details }) = chunk.usage {
                    let cached_tokens = prompt_tokens_details.and_then(|details| details.cached_tokens).unwrap_or(0);
                    usage = Usage { prompt_tokens, completion_tokens, cached_tokens };
                }
                for choice in chunk.choices.into_iter().take(1) {
                    if let Some(text) = choice.delta.and_then(|delta| delta.content).filter(|text| !text.is_empty()) {
                        sender.send(GenerateEvent::text(text));
                    }
                    if let Some(reason) = choice.finish_reason {
                        finish = Some(if reason == "length" { FinishReason::Length } else { FinishReason::Stop });
                    }
                }
            }
            if is_end {
                break;
            }
        }
        match finish {
            Some(finish_reason) => {
                sender.send(GenerateEvent::done(finish_reason, usage, Vec::new()));
                Ok(())
            }
            None => Err(Error::unreachable(format!("{} broke off in the middle of its answer", self.name()))
                .with_remedy("ask again")),
        }
    }
}

#[async_trait]
impl LanguageModel for OpenAiModel {
    fn name(&self) -> String {
        self.config.model.clone()
    }

    /// `top_k` is not part of this protocol and is not sent.
    ///
    /// # Errors
    /// `unsupported` for what is beyond a conversation and its usual settings, see [`GenerateRequest::require_plain`].
    async fn generate(&self, request: GenerateRequest) -> Result<Stream<GenerateEvent>> {
        request.require_plain(&self.name())?;
        let response = self.send(&request).await?;
        let (sender, stream) = event::channel(UNREAD);
        let model = self.clone();
        tokio::spawn(async move {
            let cancelled: CancellationToken = sender.cancellation();
            let end = tokio::select! {
                end = model.read(response, &sender) => end,
                () = cancelled.cancelled() => Err(Error::cancelled("the reader gave up")),
            };
            sender.finish(end);
        });
        Ok(stream)
    }
}
