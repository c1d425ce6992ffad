//! The two traits, and the records that cross them.

use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::Stream;
use crate::trust::Minimum;
use crate::{Error, Result};

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
    /// A function, which the model called.
    Tool,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub content: String,
    /// Of a turn of the model: the functions that it called.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// Of a function's turn: the call that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

impl ChatMessage {
    /// A turn of the person.
    pub fn user(content: impl Into<String>) -> ChatMessage {
        ChatMessage::new(Role::User, content)
    }

    /// A turn that sets the rules.
    pub fn system(content: impl Into<String>) -> ChatMessage {
        ChatMessage::new(Role::System, content)
    }

    /// A turn of the model.
    pub fn assistant(content: impl Into<String>) -> ChatMessage {
        ChatMessage::new(Role::Assistant, content)
    }

    /// A turn without calls of functions.
    pub fn new(role: Role, content: impl Into<String>) -> ChatMessage {
        ChatMessage { role, content: content.into(), tool_calls: Vec::new(), tool_call_id: None }
    }
}

/// A function that a model may call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it does, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its arguments: the JSON schema of an object. Without one it takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<Value>,
}

/// Which functions a model calls.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ToolChoice {
    /// It decides by itself.
    #[default]
    Auto,
    /// It calls at least one.
    Required,
    /// It calls the one of this name.
    Named(String),
}

/// A call of a function, which the app carries out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolCall {
    /// What the answer refers to.
    pub id: String,
    /// The function.
    pub name: String,
    /// Its arguments, a JSON object as text.
    pub arguments: String,
}

/// A text to continue as it stands, in place of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Prompt {
    /// As text; the tokenizer adds the special tokens that begin one.
    Text(String),
    /// As the ids of its tokens.
    Tokens(Vec<u32>),
}

/// What the generated text is held to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputFormat {
    /// A JSON object, of any members.
    JsonObject,
    /// What this JSON schema allows.
    JsonSchema(Value),
    /// What this regular expression matches.
    Regex(String),
    /// What this grammar describes, in the dialect of Lark that llguidance reads.
    Lark(String),
}

/// What to generate, and how. Where [`Sampler`](crate::shard::sampler::Sampler) samples, its documentation has the order in
/// which the settings are applied.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GenerateRequest {
    /// The conversation so far, ending with the turn to answer.
    pub messages: Vec<ChatMessage>,
    /// A text to continue, in place of `messages`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prompt: Option<Prompt>,
    /// At most this many tokens are generated.
    pub max_tokens: u32,
    /// 0 takes the likeliest token each time; higher values sample more freely.
    pub temperature: f32,
    /// Samples among the likeliest tokens that together have this probability; 1 is all of them.
    pub top_p: f32,
    /// Samples among this many likeliest tokens; 0 is all of them.
    pub top_k: u32,
    /// Samples among the tokens that are at least this share as probable as the likeliest; 0 is all of them.
    #[serde(skip_serializing_if = "is_zero")]
    pub min_p: f32,
    /// Above 1, tokens that the prompt or the answer has are less likely, below 1 more; 1 changes nothing.
    #[serde(skip_serializing_if = "is_one")]
    pub repetition_penalty: f32,
    /// Taken from a token's logit for each time that the answer has it; 0 changes nothing.
    #[serde(skip_serializing_if = "is_zero")]
    pub frequency_penalty: f32,
    /// Taken once from the logit of each token that the answer has; 0 changes nothing.
    #[serde(skip_serializing_if = "is_zero")]
    pub presence_penalty: f32,
    /// Added to the logits of these tokens.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub logit_bias: BTreeMap<u32, f32>,
    /// Makes sampling repeatable.
    pub seed: u64,
    /// The text ends before the first of these.
    pub stop: Vec<String>,
    /// How many of the likeliest tokens come with each token and its log-probability; none come unless set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u32>,
    /// Functions that the model may call.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// Which of them it calls.
    #[serde(skip_serializing_if = "is_default")]
    pub tool_choice: ToolChoice,
    /// What the text is held to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<OutputFormat>,
    /// What the hosts must be whose blocks compute it.
    #[serde(skip_serializing_if = "is_default")]
    pub hosts: HostWishes,
}

/// What the hosts of an answer must be, beyond what the node's policy asks of all. A model that runs on this machine has none, and
/// fulfils every wish.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HostWishes {
    /// Where each of them stands at least: a tier, or a score from 0 to 1. It holds for those as well that take the place of one that fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_tier: Option<Minimum>,
    /// How many milliseconds a token is expected to take at most, over all hosts and the ways between, when the answer begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_token_ms: Option<f64>,
    /// Keeps the path for further answers, with room for so many tokens at its hosts, the model's context at most: one that begins
    /// as this one does goes on where it ends. Hosts reserve the memory, and end a session that is idle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_tokens: Option<u32>,
    /// Lets another host read along with each run of blocks, where there is one, so that a host that fails costs no more time than it
    /// takes to notice. It computes, reserves and learns as much as the other one.
    #[serde(skip_serializing_if = "is_default")]
    pub standby: bool,
}

impl HostWishes {
    /// Refuses a time that is none, and no tokens.
    ///
    /// # Errors
    /// `invalid_argument`.
    pub(crate) fn check(&self) -> Result<()> {
        match self.max_token_ms {
            Some(ms) if !ms.is_finite() || ms <= 0.0 => {
                Err(Error::invalid_argument("max_token_ms is no time above zero").with("param", "max_token_ms"))
            }
            _ if self.keep_tokens == Some(0) => {
                Err(Error::invalid_argument("keep_tokens is 0; leave it out to keep nothing")
                    .with("param", "keep_tokens"))
            }
            _ => Ok(()),
        }
    }
}

fn is_zero(value: &f32) -> bool {
    *value == 0.0
}

fn is_one(value: &f32) -> bool {
    *value == 1.0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl GenerateRequest {
    /// Refuses what a model does not know that takes conversations and the settings that every endpoint has.
    ///
    /// # Errors
    /// `unsupported`, naming the first setting that it would have to leave out.
    pub fn require_plain(&self, model: &str) -> Result<()> {
        let with_calls = |message: &ChatMessage| message.role == Role::Tool || !message.tool_calls.is_empty();
        let beyond = [
            ("prompt", self.prompt.is_some()),
            ("min_p", !is_zero(&self.min_p)),
            ("repetition_penalty", !is_one(&self.repetition_penalty)),
            ("frequency_penalty", !is_zero(&self.frequency_penalty)),
            ("presence_penalty", !is_zero(&self.presence_penalty)),
            ("logit_bias", !self.logit_bias.is_empty()),
            ("top_logprobs", self.top_logprobs.is_some()),
            ("tools", !self.tools.is_empty() || self.messages.iter().any(with_calls)),
            ("format", self.format.is_some()),
            ("hosts", !is_default(&self.hosts)),
        ];
        match beyond.iter().find(|(_, asked)| *asked) {
            Some((name, _)) => Err(Error::unsupported(format!("{model} cannot be given {name}")).with("param", name)),
            None => Ok(()),
        }
    }
}

impl Default for GenerateRequest {
    fn default() -> GenerateRequest {
        GenerateRequest {
            messages: Vec::new(),
            prompt: None,
            max_tokens: 256,
            temperature: 0.0,
            top_p: 1.0,
            top_k: 0,
            min_p: 0.0,
            repetition_penalty: 1.0,
            frequency_penalty: 0.0,
            presence_penalty: 0.0,
            logit_bias: BTreeMap::new(),
            seed: 0,
            stop: Vec::new(),
            top_logprobs: None,
            tools: Vec::new(),
            tool_choice: ToolChoice::Auto,
            format: None,
            hosts: HostWishes::default(),
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
    /// Those of the prompt's tokens that were not read anew, for they were kept from an answer before.
    #[serde(default)]
    pub cached_tokens: u32,
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

/// A token and how likely the model found it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TokenLogprob {
    /// Its text; U+FFFD stands for bytes that are no character by themselves.
    pub text: String,
    /// Its bytes, none for a special token.
    pub bytes: Vec<u8>,
    /// The natural logarithm of its probability.
    pub logprob: f32,
}

/// A token that was generated, with the likeliest tokens at its place. Probabilities are the model's own, before any
/// setting of the request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChosenToken {
    /// The token.
    pub chosen: TokenLogprob,
    /// The likeliest tokens, the likeliest first.
    pub top: Vec<TokenLogprob>,
}

/// What a generation yields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum GenerateEvent {
    /// A piece of text, always whole characters.
    Token {
        /// The text.
        text: String,
        /// The tokens that it was decoded from, if the request asked for them. A token whose text is held back comes with the
        /// text that follows.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tokens: Vec<ChosenToken>,
    },
    /// The end of the generation.
    Done {
        /// Why it ended.
        finish_reason: FinishReason,
        /// Tokens read and written.
        usage: Usage,
        /// Where the blocks were computed, in order; empty for a model behind an endpoint.
        path: Vec<Hop>,
        /// The functions that the model calls, after its text.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        tool_calls: Vec<ToolCall>,
    },
}

impl GenerateEvent {
    /// A piece of text without its tokens.
    pub fn text(text: impl Into<String>) -> GenerateEvent {
        GenerateEvent::Token { text: text.into(), tokens: Vec::new() }
    }

    /// The end of a generation that called no function.
    pub fn done(finish_reason: FinishReason, usage: Usage, path: Vec<Hop>) -> GenerateEvent {
        GenerateEvent::Done { finish_reason, usage, path, tool_calls: Vec::new() }
    }
}

/// Something that continues a conversation.
#[async_trait]
pub trait LanguageModel: Send + Sync + 'static {
    /// A name for people and for cache keys.
    fn name(&self) -> String;

    /// Starts generating. The stream ends with [`GenerateEvent::Done`] or an error; dropping it stops the work.
    async fn generate(&self, request: GenerateRequest) -> Result<Stream<GenerateEvent>>;

    /// Which of its blocks are up, and at whom; `None` for a model that is not computed in blocks.
    ///
    /// # Errors
    /// Those of asking.
    async fn blocks(&self) -> Result<Option<BlockStatus>> {
        Ok(None)
    }
}

/// Which blocks of a model are up, and at whom.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BlockStatus {
    /// For each block, how many have it that may compute it; 1 for a model that runs on this machine.
    pub counts: Vec<u32>,
    /// Whether it runs on this machine.
    pub here: bool,
    /// Who offers blocks, in the order of peers and blocks; nobody for a model that runs here.
    pub hosts: Vec<BlockHolder>,
}

/// A peer that offers a run of blocks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BlockHolder {
    /// The peer.
    pub peer: String,
    /// The first block.
    pub start_block: u32,
    /// One past the last block.
    pub end_block: u32,
    /// Why it is not used; `None` where it is.
    pub refused: Option<String>,
    /// The last measured round trip in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// Milliseconds for one block and one token, as measured or as it announces.
    pub block_ms: Option<f64>,
    /// Steps that wait there.
    pub waiting: u32,
}

/// A text and the role it plays in a search, which some embedders prefix differently.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    /// What is looked for.
    Query(String),
    /// What is found.
    Document(String),
    /// Neither: nothing is put before it.
    Plain(String),
}

impl Text {
    /// The text alone.
    pub fn as_str(&self) -> &str {
        match self {
            Text::Query(text) | Text::Document(text) | Text::Plain(text) => text,
        }
    }

    /// The text behind what is wanted before a query or before a document.
    pub fn with_prompt(&self, query: &str, document: &str) -> String {
        match self {
            Text::Query(text) => format!("{query}{text}"),
            Text::Document(text) => format!("{document}{text}"),
            Text::Plain(text) => text.clone(),
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

    /// How many tokens it reads of the texts together; 0 where it does not say.
    fn count_tokens(&self, _texts: &[Text]) -> usize {
        0
    }
}
