//! Trains the tiny Llama that ships with kwaainet: a demonstration model that answers questions about this project.
//!
//! Data in `data/questions.jsonl`, the trained model in `tiny-kwaai/`. The forward pass is kwaai-core's own blocks, the
//! gradients are candle's.

/// Whatever goes wrong ends the program with its message.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

pub mod augment;
pub mod batch;
pub mod card;
pub mod evaluation;
pub mod questions;
pub mod random;
pub mod trainer;
pub mod vocabulary;
pub mod weights;
