//! How fast passages with given vectors are kept, and questions answered among them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use kwaai_core::event::Item;
use kwaai_core::llm::{BertEmbedder, Embedder, Text, model_cache};
use kwaai_core::rag::chunk::Chunking;
use kwaai_core::rag::{IngestEvent, Mode, Rag, RagConfig, SearchOptions, Source};
use kwaai_core::{Error, Result};
use serde_json::json;

/// Gives the vectors that were computed before; questions it embeds when it has none.
struct Given {
    vectors: HashMap<String, Vec<f32>>,
    questions: BertEmbedder,
}

#[async_trait::async_trait]
impl Embedder for Given {
    fn id(&self) -> String {
        self.questions.id()
    }

    fn dimension(&self) -> usize {
        self.questions.dimension()
    }

    async fn embed(&self, texts: Vec<Text>) -> Result<Vec<Vec<f32>>> {
        let mut vectors = Vec::with_capacity(texts.len());
        for text in texts {
            match (self.vectors.get(text.as_str()), &text) {
                (Some(vector), _) => vectors.push(vector.clone()),
                (None, Text::Query(_)) => vectors.extend(self.questions.embed(vec![text]).await?),
                (None, Text::Document(_)) => return Err(Error::not_found("no vector was given for a passage")),
            }
        }
        Ok(vectors)
    }
}

/// `texts` and `questions` are JSON arrays; `vectors` the vectors of the texts, 32-bit floats.
pub async fn run(texts: &Path, vectors: &Path, questions: &Path) {
    let read = |path: &Path| -> Vec<String> { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let (texts, questions) = (read(texts), read(questions));
    let weights = model_cache::find_all_minilm().unwrap().expect("all-MiniLM-L6-v2 is in the model cache");
    let bert = BertEmbedder::open(weights).await.unwrap();
    let bytes = std::fs::read(vectors).unwrap();
    let rows = bytes.chunks_exact(bert.dimension() * 4).map(|row| -> Vec<f32> {
        row.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
    });
    let given: HashMap<String, Vec<f32>> = texts.iter().cloned().zip(rows).collect();
    let folder = tempfile::tempdir().unwrap();
    for (number, text) in texts.iter().enumerate() {
        let part = folder.path().join((number / 1000).to_string());
        std::fs::create_dir_all(&part).unwrap();
        std::fs::write(part.join(format!("{number}.txt")), text).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let chunking = Chunking { size: 100_000, overlap: 0, min: 1, ..Chunking::default() };
    let embedder = Arc::new(Given { vectors: given, questions: bert });
    let config = RagConfig { embedder: Some(embedder), chunking, ..RagConfig::default() };
    let rag = Rag::open(dir.path(), config).await.unwrap();
    let began = Instant::now();
    let mut progress = rag.ingest(Source::Path(folder.path().to_owned())).unwrap();
    while let Some(item) = progress.next().await.unwrap() {
        if let Item::Value(IngestEvent::DocumentFailed { name, message, .. }) = item {
            panic!("{name}: {message}");
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let chunks = rag.stats().await.unwrap().chunks;
    println!("{}", json!({"ingest": {"chunks": chunks, "seconds": seconds, "per_second": chunks as f64 / seconds}}));
    for (name, mode, links) in [
        ("lexical", Mode::Lexical, false),
        ("dense", Mode::Dense, false),
        ("hybrid", Mode::Hybrid, false),
        ("links", Mode::Hybrid, true),
    ] {
        let mut times = Vec::new();
        for question in &questions {
            let options = SearchOptions { links, ..mode.into() };
            let began = Instant::now();
            rag.search(question, 10, options).await.unwrap();
            times.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!("{}", json!({"search": {"mode": name, "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99)}}));
    }
    rag.destroy().await.unwrap();
}
