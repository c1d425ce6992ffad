//! Language models behind an OpenAI-compatible endpoint: a company's, or Ollama, llama.cpp or vLLM on this machine.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, Response, StatusCode, Url};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::event::{self, Sender, Stream};
use crate::llm::{ChatMessage, FinishReason, GenerateEvent, GenerateRequest, LanguageModel, Usage};
use crate::{Error, ErrorCode, Result};

mod sse;

/// Pieces that a reader may leave unread; a generation of ordinary length never loses any.
const UNREAD: usize = 16_384;
/// Of an error's body, at most this many bytes are read.
const ERROR_BYTES: usize = 64 * 1024;
/// Of an endpoint's own words, at most this many characters go into an error.
const ERROR_CHARS: usize = 300;

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
    url: Url,
    client: Client,
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
        let wrong = |why: String| {
            Error::invalid_argument(format!("{} is not the address of an endpoint: {why}", config.base_url))
                .with_remedy("give one like http://localhost:11434/v1")
        };
        let address = format!("{}/chat/completions", config.base_url.trim_end_matches('/'));
        let url = Url::parse(&address).map_err(|e| wrong(e.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(wrong(format!("it begins with {}", url.scheme())));
        }
        if config.api_key.as_ref().is_some_and(|key| !key.bytes().all(|byte| byte.is_ascii_graphic())) {
            return Err(Error::invalid_argument("the API key has characters that no key has")
                .with_remedy("check for spaces and line ends"));
        }
        // A redirect could carry the key and the conversation to somebody else.
        let client = Client::builder()
            .connect_timeout(config.connect_timeout)
            .read_timeout(config.idle_timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|e| Error::internal("the HTTP client cannot be made").with_source(e))?;
        Ok(OpenAiModel { config, url, client })
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
        let mut post = self.client.post(self.url.clone()).header("accept", "text/event-stream").json(&body);
        if let Some(key) = &self.config.api_key {
            post = post.bearer_auth(key);
        }
        let response = post.send().await.map_err(|error| self.failure(error))?;
        if response.status() == StatusCode::OK { Ok(response) } else { Err(self.refusal(response).await) }
    }

    /// An error of the connection, without the address, which may hold a secret.
    fn failure(&self, error: reqwest::Error) -> Error {
        let error = error.without_url();
        let name = self.name();
        if error.is_timeout() {
            return Error::timeout(format!("{name} did not answer in time")).with_source(error);
        }
        if error.is_connect() {
            return Error::unreachable(format!("{name} cannot be reached"))
                .with_remedy("check the address and that the server runs")
                .with_source(error);
        }
        Error::unreachable(format!("the connection to {name} broke")).with_source(error)
    }

    /// An answer other than 200.
    async fn refusal(&self, mut response: Response) -> Error {
        let status = response.status();
        let retry_after =
            response.headers().get("retry-after").and_then(|value| value.to_str().ok()).map(str::to_owned);
        let mut body = Vec::new();
        while let Ok(Some(bytes)) = response.chunk().await {
            body.extend_from_slice(&bytes);
            if body.len() > ERROR_BYTES {
                break;
            }
        }
        let said = self.said(serde_json::from_slice(&body).ok().as_ref());
        let (code, remedy) = match status.as_u16() {
            401 | 403 => (ErrorCode::PermissionDenied, "check the API key"),
            404 => (ErrorCode::NotFound, "check the address, which usually ends in /v1, and the model's name"),
            408 | 504 => (ErrorCode::Timeout, "try again"),
            413 => (ErrorCode::ResourceExhausted, "send less text"),
            429 | 502 | 503 => (ErrorCode::Busy, "wait and try again"),
            400..=499 => (ErrorCode::InvalidArgument, "check the model's name and the request"),
            300..=399 => (ErrorCode::InvalidArgument, "give the address that the endpoint redirects to"),
            _ => (ErrorCode::Unreachable, "try again, or look at the endpoint's own log"),
        };
        let mut error = Error::new(code, format!("{} answered {status}{said}", self.name()))
            .with("status", status.as_u16())
            .with_remedy(remedy);
        if let Some(after) = retry_after {
            error = error.with("retry_after", after);
        }
        error
    }

    /// What the endpoint says about an error, short, and without the key, which some repeat.
    fn said(&self, body: Option<&serde_json::Value>) -> String {
        let message = |value: &serde_json::Value| value.get("message").unwrap_or(value).as_str().map(str::to_owned);
        let Some(said) = body.and_then(|body| message(body.get("error").unwrap_or(body))) else { return String::new() };
        let said = match self.config.api_key.as_deref().filter(|key| !key.is_empty()) {
            Some(key) => said.replace(key, "***"),
            None => said,
        };
        format!(": {}", said.chars().filter(|c| !c.is_control()).take(ERROR_CHARS).collect::<String>())
    }

    /// Reads the answer to its end.
    async fn read(&self, mut response: Response, sender: &Sender<GenerateEvent>) -> Result<()> {
        let mut events = sse::Events::default();
        let mut finish = None;
        let mut usage = Usage::default();
        'answer: loop {
            let bytes = response.chunk().await.map_err(|error| self.failure(error))?;
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
                        self.said(Some(&error))
                    )));
                }
                if let Some(Counts { prompt_tokens, completion_tokens }) = chunk.usage {
                    usage = Usage { prompt_tokens, completion_tokens };
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
