//! Which passages are found for questions whose passages are known, and how well answers and refusals are told apart.

use std::path::Path;
use std::sync::Arc;

use kwaai_core::event::Item;
use kwaai_core::rag::chunk::Chunking;
use kwaai_core::rag::{AskOptions, Hit, IngestEvent, Language, Mode, Rag, RagConfig, SearchOptions, Source};
use serde::Deserialize;
use serde_json::json;

use crate::cache::Remembering;

/// So many documents are told of for each question.
const FOUND: usize = 20;

#[derive(Deserialize)]
struct Set {
    language: Language,
    passages: Vec<Passage>,
    questions: Vec<Question>,
    /// How passages are cut further; whole unless set.
    #[serde(default)]
    chunk: Option<usize>,
    /// Of how many questions the evidence is taken; of all unless set.
    #[serde(default)]
    evidence: Option<usize>,
}

#[derive(Deserialize)]
struct Passage {
    name: String,
    text: String,
}

#[derive(Deserialize)]
struct Question {
    text: String,
    gold: Vec<usize>,
}

pub async fn run(set: &Path, cache: &Path) {
    let set: Set = serde_json::from_slice(&std::fs::read(set).unwrap()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (place, passage) in set.passages.iter().enumerate() {
        let name =
            if passage.name.is_empty() { format!("{place}.txt") } else { format!("{place}/{}.txt", passage.name) };
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, &passage.text).unwrap();
    }
    // A passage is one document and one hit, as the golds are.
    let size = set.chunk.unwrap_or(100_000);
    let chunking =
        Chunking { size, overlap: if set.chunk.is_some() { size / 4 } else { 0 }, min: 1, ..Chunking::default() };
    let embedder = Arc::new(Remembering::open(cache).await);
    let config = RagConfig { embedder: Some(embedder), language: Some(set.language), chunking, ..RagConfig::default() };
    let rag = Rag::open(dir.path(), config).await.unwrap();
    let mut progress = rag.ingest(Source::Path(folder.path().to_owned())).unwrap();
    while let Some(item) = progress.next().await.unwrap() {
        if let Item::Value(IngestEvent::DocumentFailed { name, message, .. }) = item {
            panic!("{name}: {message}");
        }
    }
    let stats = rag.stats().await.unwrap();
    println!("{}", json!({"documents": stats.documents, "chunks": stats.chunks, "dense_weight": stats.dense_weight}));
    let place =
        |hit: &Hit| -> usize { hit.document.split(['/', '.']).next().and_then(|number| number.parse().ok()).unwrap() };
    for (number, question) in set.questions.iter().enumerate() {
        let mut found = serde_json::Map::new();
        for (name, mode, links) in [
            ("lexical", Mode::Lexical, false),
            ("dense", Mode::Dense, false),
            ("hybrid", Mode::Hybrid, false),
            ("links", Mode::Hybrid, true),
            ("lexical+links", Mode::Lexical, true),
            ("dense+links", Mode::Dense, true),
        ] {
            let options = SearchOptions { links, ..mode.into() };
            let hits = rag.search(&question.text, FOUND * 3, options).await.unwrap().hits;
            let mut places: Vec<usize> = Vec::new();
            for place in hits.iter().map(place) {
                if !places.contains(&place) {
                    places.push(place);
                }
            }
            places.truncate(FOUND);
            found.insert(name.into(), json!(places));
        }
        let mut line = json!({"question": number, "found": found});
        if set.evidence.is_none_or(|most| number < most) {
            let options = AskOptions::default();
            let with = rag.evidence(&question.text, options.clone(), |_| true).await.unwrap();
            let gold = &question.gold;
            let without = rag.evidence(&question.text, options, |hit| !gold.contains(&place(hit))).await.unwrap();
            line["with"] = json!({"support": with.support(), "evidence": with});
            line["without"] = json!({"support": without.support(), "evidence": without});
        }
        println!("{line}");
    }
    rag.destroy().await.unwrap();
}
