//! How fast passages with given vectors are kept, and questions answered among them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use kwaai_core::event::Item;
use kwaai_core::llm::{BertEmbedder, Embedder, Text, model_cache};
use kwaai_core::rag::chunk::{Chunking, Strategy};
use kwaai_core::rag::{IngestEvent, Mode, Rag, RagConfig, SearchOptions, Source};
use kwaai_core::{Error, Result};
use serde_json::json;

/// The number of the section that a passage is.
fn section(text: &str) -> Option<usize> {
    text.strip_prefix("# ")?.lines().next()?.trim().parse().ok()
}

/// Gives the vectors that were computed before; those of questions only when it is told to.
struct Given {
    vectors: Vec<Vec<f32>>,
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
            Text::Document(text) => section(text).and_then(|number| self.vectors.get(number).cloned()),
            Text::Query(text) | Text::Plain(text) => self.asked.get(text).cloned(),
        };
        let vectors: Option<Vec<Vec<f32>>> = texts.iter().map(given).collect();
        vectors.ok_or_else(|| Error::not_found("no vector was given for a text"))
    }
}

fn vectors(path: &Path, dimension: usize) -> Vec<Vec<f32>> {
    let bytes = std::fs::read(path).unwrap();
    let row = |row: &[u8]| row.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    bytes.chunks_exact(dimension * 4).map(row).collect()
}

/// The sections of the files in `folder` have their numbers as headings; `questions` is a JSON array; the others are the vectors of both,
/// 32-bit floats.
pub async fn run(folder: &Path, of_texts: &Path, questions: &Path, of_questions: &Path) {
    let questions: Vec<String> = serde_json::from_slice(&std::fs::read(questions).unwrap()).unwrap();
    let weights = model_cache::find_all_minilm().unwrap().expect("all-MiniLM-L6-v2 is in the model cache");
    let bert = BertEmbedder::open(weights).await.unwrap();
    let given = Arc::new(Given {
        vectors: vectors(of_texts, bert.dimension()),
        asked: questions.iter().cloned().zip(vectors(of_questions, bert.dimension())).collect(),
        embeds: AtomicBool::new(false),
        bert,
    });
    let dir = tempfile::tempdir().unwrap();
    let chunking = Chunking { strategy: Strategy::Heading, size: 100_000, overlap: 0, min: 1, ..Chunking::default() };
    let config = RagConfig { embedder: Some(given.clone()), chunking, ..RagConfig::default() };
    let rag = Rag::open(dir.path(), config).await.unwrap();
    let began = Instant::now();
    let mut progress = rag.ingest(Source::Path(folder.to_owned())).unwrap();
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
            found.push(hits.iter().filter_map(|hit| section(&hit.text)).collect::<Vec<_>>());
        }
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        let search = json!({"mode": name, "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99)});
        println!("{}", json!({"search": search, "found": found}));
    }
    rag.destroy().await.unwrap();
}
