//! Language models and embedders, wherever they run.

mod bert;
pub mod hub;
mod model;
pub mod model_cache;
mod openai;

pub use bert::BertEmbedder;
pub use model::{
    ChatMessage, Embedder, FinishReason, GenerateEvent, GenerateRequest, Hop, LanguageModel, Role, Text, Usage,
};
pub use openai::{OpenAiConfig, OpenAiModel};
