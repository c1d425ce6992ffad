//! The two traits, and the records that cross them.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::event::Stream;

/// Who speaks in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sets the rules.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
}

impl ChatMessage {
    /// A turn of the person.
    pub fn user(content: impl Into<String>) -> ChatMessage {
        ChatMessage { role: Role::User, content: content.into() }
    }

    /// A turn that sets the rules.
    pub fn system(content: impl Into<String>) -> ChatMessage {
        ChatMessage { role: Role::System, content: content.into() }
    }

    /// A turn of the model.
    pub fn assistant(content: impl Into<String>) -> ChatMessage {
        ChatMessage { role: Role::Assistant, content: content.into() }
    }
}

/// What to generate, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
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

impl Default for GenerateRequest {
    fn default() -> GenerateRequest {
        GenerateRequest {
            messages: Vec::new(),
            max_tokens: 256,
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            seed: 0,
            stop: Vec::new(),
        }
    }
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinishReason {
    /// The model ended its turn, or a stop text came.
    Stop,
    /// The limit on tokens, or the model's context, was reached.
    Length,
}

/// Tokens read and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u32,
    /// Tokens generated.
    pub completion_tokens: u32,
}

/// One station of a generation's path.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
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

/// Something that continues a conversation.
#[async_trait]
pub trait LanguageModel: Send + Sync + 'static {
    /// A name for people and for cache keys.
    fn name(&self) -> String;

    /// Starts generating. The stream ends with [`GenerateEvent::Done`] or an error; dropping it stops the work.
    async fn generate(&self, request: GenerateRequest) -> Result<Stream<GenerateEvent>>;
}

/// A text and the role it plays in a search, which some embedders prefix differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// What is looked for.
    Query(String),
    /// What is found.
    Document(String),
}

impl Text {
    /// The text alone.
    pub fn as_str(&self) -> &str {
        match self {
            Text::Query(text) | Text::Document(text) => text,
        }
    }
}

/// Something that turns texts into vectors.
#[async_trait]
pub trait Embedder: Send + Sync + 'static {
    /// A name that changes whenever the vectors would; knowledge bases record and enforce it.
    fn id(&self) -> String;

    /// The length of every vector.
    fn dimension(&self) -> usize;

    /// A unit vector for each text, in order.
    async fn embed(&self, texts: Vec<Text>) -> Result<Vec<Vec<f32>>>;
}
