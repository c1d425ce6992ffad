//! Vectors of real texts, by the embedder that knowledge bases use.

use std::path::Path;

use kwaai_core::llm::{BertEmbedder, Embedder, Text, model_cache};

use crate::served::Vectors;

/// So many texts at once, those of about one length together: padding costs as much as text.
const BATCH: usize = 64;

pub fn embed(texts: &Path, vectors: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(texts).unwrap()).unwrap();
    let weights = model_cache::find_all_minilm().unwrap().expect("all-MiniLM-L6-v2 is in the model cache");
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|at| texts[*at].len());
    let mut all = vec![Vec::new(); texts.len()];
    runtime.block_on(async {
        let embedder = BertEmbedder::open(weights).await.unwrap();
        for batch in order.chunks(BATCH) {
            let documents = batch.iter().map(|at| Text::Document(texts[*at].clone())).collect();
            let embedded = embedder.embed(documents).await.unwrap();
            batch.iter().zip(embedded).for_each(|(at, vector)| all[*at] = vector);
        }
    });
    Vectors::write(vectors, all);
}
