//! An embedder without weights, for tests of everything but quality: words hashed into a vector.

use kwaai_core::Result;
use kwaai_core::llm::{Embedder, Text};
use sha2::{Digest, Sha256};

/// Adds up a pseudo-random unit vector for each word, so that texts with common words are near each other.
pub struct Hashing {
    pub dimension: usize,
    /// How many texts were embedded.
    pub embedded: std::sync::atomic::AtomicUsize,
}

impl Hashing {
    pub fn new(dimension: usize) -> Hashing {
        Hashing { dimension, embedded: Default::default() }
    }
}

#[async_trait::async_trait]
impl Embedder for Hashing {
    fn id(&self) -> String {
        format!("hashing-{}", self.dimension)
    }

    fn dimension(&self) -> usize {
        self.dimension
    }

    async fn embed(&self, texts: Vec<Text>) -> Result<Vec<Vec<f32>>> {
        self.embedded.fetch_add(texts.len(), std::sync::atomic::Ordering::SeqCst);
        Ok(texts.iter().map(|text| vector(text.as_str(), self.dimension)).collect())
    }
}

fn vector(text: &str, dimension: usize) -> Vec<f32> {
    let mut sum = vec![1e-3f32; dimension];
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let digest = Sha256::digest(word.to_lowercase().as_bytes());
        for (place, value) in sum.iter_mut().enumerate() {
            *value += f32::from(digest[place % 32].wrapping_add((place / 32 * 37) as u8)) / 127.5 - 1.0;
        }
    }
    let norm = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
    sum.iter().map(|value| value / norm).collect()
}
