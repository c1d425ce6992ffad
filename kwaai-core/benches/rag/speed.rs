//! How fast passages with given vectors are kept, and questions answered among them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use kwaai_core::event::Item;
use kwaai_core::llm::{BertEmbedder, Embedder, Text, model_cache};
use kwaai_core::rag::chunk::Chunking;
use kwaai_core::rag::{IngestEvent, Mode, Rag, RagConfig, SearchOptions, Source};
use kwaai_core::{Error, Result};
use serde_json::json;

/// Gives the vectors that were computed before; those of questions only when it is told to.
struct Given {
    vectors: HashMap<String, Vec<f32>>,
    asked: HashMap<String, Vec<f32>>,
    embeds: AtomicBool,
    bert: BertEmbedder,
}

#[async_trait::async_trait]
impl Embedder for Given {
    fn id(&self) -> String {
        self.bert.id()
    }

    fn dimension(&self) -> usize {
        self.bert.dimension()
    }

    async fn embed(&self, texts: Vec<Text>) -> Result<Vec<Vec<f32>>> {
        if self.embeds.load(Ordering::Relaxed) {
            return self.bert.embed(texts).await;
        }
        let given = |text: &Text| match text {
            Text::Document(text) => self.vectors.get(text).cloned(),
            Text::Query(text) => self.asked.get(text).cloned(),
        };
        let vectors: Option<Vec<Vec<f32>>> = texts.iter().map(given).collect();
        vectors.ok_or_else(|| Error::not_found("no vector was given for a text"))
    }
}

fn vectors(path: &Path, dimension: usize, texts: &[String]) -> HashMap<String, Vec<f32>> {
    let bytes = std::fs::read(path).unwrap();
    let rows = bytes.chunks_exact(dimension * 4).map(|row| -> Vec<f32> {
        row.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
    });
    texts.iter().cloned().zip(rows).collect()
}

/// `texts` and `questions` are JSON arrays, the others their vectors, 32-bit floats.
pub async fn run(texts: &Path, of_texts: &Path, questions: &Path, of_questions: &Path) {
    let read = |path: &Path| -> Vec<String> { serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap() };
    let (texts, questions) = (read(texts), read(questions));
    let weights = model_cache::find_all_minilm().unwrap().expect("all-MiniLM-L6-v2 is in the model cache");
    let bert = BertEmbedder::open(weights).await.unwrap();
    let given = Arc::new(Given {
        vectors: vectors(of_texts, bert.dimension(), &texts),
        asked: vectors(of_questions, bert.dimension(), &questions),
        embeds: AtomicBool::new(false),
        bert,
    });
    let folder = tempfile::tempdir().unwrap();
    for (number, text) in texts.iter().enumerate() {
        let part = folder.path().join((number / 1000).to_string());
        std::fs::create_dir_all(&part).unwrap();
        std::fs::write(part.join(format!("{number}.txt")), text).unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let chunking = Chunking { size: 100_000, overlap: 0, min: 1, ..Chunking::default() };
    let config = RagConfig { embedder: Some(given.clone()), chunking, ..RagConfig::default() };
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
    for (name, mode, links, embeds) in [
        ("lexical", Mode::Lexical, false, false),
        ("dense", Mode::Dense, false, false),
        ("hybrid", Mode::Hybrid, false, false),
        ("links", Mode::Hybrid, true, false),
        ("hybrid, question embedded", Mode::Hybrid, false, true),
    ] {
        given.embeds.store(embeds, Ordering::Relaxed);
        let (mut times, mut found) = (Vec::new(), Vec::new());
        for question in &questions {
            let options = SearchOptions { links, ..mode.into() };
            let began = Instant::now();
            let hits = rag.search(question, 10, options).await.unwrap().hits;
            times.push(began.elapsed().as_secs_f64() * 1000.0);
            let place =
                |name: &str| name.rsplit('/').next().and_then(|file| file.strip_suffix(".txt")?.parse::<usize>().ok());
            found.push(hits.iter().filter_map(|hit| place(&hit.document)).collect::<Vec<_>>());
        }
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        let search = json!({"mode": name, "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99)});
        println!("{}", json!({"search": search, "found": found}));
    }
    rag.destroy().await.unwrap();
}
