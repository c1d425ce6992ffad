//! Language models and embedders, wherever they run.

mod bert;
mod endpoint;
pub mod hub;
mod model;
pub mod model_cache;
mod openai;
mod remote;
pub(crate) mod tokenizer;

pub use bert::BertEmbedder;
pub use model::{
    BlockHolder, BlockStatus, ChatMessage, ChosenToken, Embedder, FinishReason, GenerateEvent, GenerateRequest, Hop,
    HostWishes, LanguageModel, OutputFormat, Prompt, Role, Text, TokenLogprob, Tool, ToolCall, ToolChoice, Usage,
};
pub use openai::{OpenAiConfig, OpenAiModel};
pub use remote::{EmbeddingApi, RemoteEmbedder, RemoteEmbedderConfig};
