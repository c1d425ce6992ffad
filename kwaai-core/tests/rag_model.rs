//! A knowledge base under random operations beside a simple model of one: a map from names to texts.
//!
//! `KWAAINET_SEED` chooses other operations.

#[path = "support/hashing.rs"]
mod hashing;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use hashing::Hashing;
use kwaai_core::ErrorCode;
use kwaai_core::event::Item;
use kwaai_core::rag::chunk::{Chunking, Strategy};
use kwaai_core::rag::{DocumentInfo, IngestEvent, Mode, Rag, RagConfig, SearchOptions, Source};
use kwaai_core::vector::IndexOptions;

const OPERATIONS: usize = 1000;
const WORDS: usize = 40;
const NAMES: usize = 30;
const ALL: usize = 1000;

/// Xorshift: the same operations on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % limit as u64) as usize
    }

    fn name(&mut self) -> String {
        format!("{}.txt", self.below(NAMES))
    }

    fn word(&mut self) -> String {
        format!("w{}x", self.below(WORDS))
    }

    fn text(&mut self) -> String {
        let sentences: Vec<String> = (0..1 + self.below(5))
            .map(|_| (0..2 + self.below(6)).map(|_| self.word()).collect::<Vec<_>>().join(" ") + ".")
            .collect();
        sentences.join(" ") + "\n"
    }
}

async fn open(dir: &Path) -> Rag {
    let chunking = Chunking { strategy: Strategy::Sentence, size: 40, overlap: 0, min: 1, ..Chunking::default() };
    // The graph over the vectors is made early and often.
    let index = IndexOptions { seal_at: 64, ..IndexOptions::default() };
    let config = RagConfig { embedder: Some(Arc::new(Hashing::new(32))), chunking, index, ..RagConfig::default() };
    Rag::open(dir, config).await.unwrap()
}

/// How many documents were new or changed, and how many were not.
async fn ingest(rag: &Rag, source: Source) -> (usize, usize) {
    let mut events = rag.ingest(source).unwrap();
    let mut last = None;
    while let Some(item) = events.next().await.unwrap() {
        if let Item::Value(event) = item {
            last = Some(event);
        }
    }
    match last {
        Some(IngestEvent::Finished { ingested, unchanged, failed: 0, .. }) => (ingested, unchanged),
        other => panic!("ended with {other:?}"),
    }
}

type Model = BTreeMap<String, String>;

async fn put(rag: &Rag, model: &mut Model, name: String, text: String) {
    let source = Source::Bytes { name: name.clone(), bytes: text.as_bytes().to_vec() };
    let same = model.get(&name) == Some(&text);
    assert_eq!(ingest(rag, source).await, if same { (0, 1) } else { (1, 0) }, "{name}");
    model.insert(name, text);
}

async fn document(rag: &Rag, name: &str) -> DocumentInfo {
    rag.documents().await.unwrap().into_iter().find(|document| document.name == name).unwrap()
}

/// Everything that stands in the knowledge base stands in the model, and the other way round.
async fn check(rag: &Rag, model: &Model) {
    let documents = rag.documents().await.unwrap();
    let names: Vec<&str> = documents.iter().map(|document| document.name.as_str()).collect();
    assert_eq!(names, model.keys().map(String::as_str).collect::<Vec<_>>());
    for document in &documents {
        assert_eq!(&rag.document_text(&document.id).await.unwrap(), &model[&document.name]);
    }
    let stats = rag.stats().await.unwrap();
    let chunks: usize = documents.iter().map(|document| document.chunks).sum();
    assert_eq!((stats.documents, stats.chunks), (documents.len() as u64, chunks as u64));
    assert_eq!((stats.vectors, stats.indexed), (chunks as u64, chunks as u64));
    let all = rag.search("w1x", ALL, Mode::Dense).await.unwrap().hits;
    assert_eq!(all.len(), chunks, "every passage has its vector, and no other has");
    for hit in all {
        assert_eq!(model[&hit.document][hit.span], hit.text);
    }
}

/// By words, exactly the passages that have the word are found.
async fn search(rag: &Rag, model: &Model, word: &str, within: Option<&DocumentInfo>) {
    let times = |text: &str| text.split(|c: char| !c.is_alphanumeric()).filter(|other| *other == word).count();
    let has = |text: &str| times(text) > 0;
    let documents = within.map(|document| document.id.clone()).into_iter().collect();
    let options = SearchOptions { documents, ..Mode::Lexical.into() };
    let hits = rag.search(word, ALL, options).await.unwrap().hits;
    let mut found: Vec<&str> = hits.iter().map(|hit| hit.document.as_str()).collect();
    found.sort_unstable();
    found.dedup();
    let named = |name: &str| within.is_none_or(|document| document.name == name);
    let expected: Vec<&str> =
        model.iter().filter(|(name, text)| named(name) && has(text)).map(|(name, _)| name.as_str()).collect();
    let mut sorted = expected.clone();
    sorted.sort_unstable();
    assert_eq!(found, sorted, "{word}");
    let most: usize = expected.iter().map(|name| times(&model[*name])).sum();
    assert!(hits.len() <= most && hits.iter().all(|hit| has(&hit.text)), "{word}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_random_operations_leave_what_a_simple_model_says() {
    let seed = std::env::var("KWAAINET_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x9e37_79b9_7f4a_7c15);
    let mut random = Random(seed);
    let (dir, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut model = Model::new();
    let mut rag = open(dir.path()).await;
    for _ in 0..OPERATIONS {
        // Two handles are one knowledge base.
        let handle = rag.clone();
        match random.below(100) {
            0..40 => {
                let (name, text) = (random.name(), random.text());
                put(&handle, &mut model, name, text).await;
            }
            40..50 => {
                if let Some((name, text)) = model.iter().nth(random.below(NAMES)) {
                    let (name, text) = (name.clone(), text.clone());
                    put(&handle, &mut model, name, text).await;
                }
            }
            50..65 => {
                let name = random.name();
                if model.remove(&name).is_some() {
                    let id = document(&rag, &name).await.id;
                    handle.delete_document(&id).await.unwrap();
                    assert_eq!(rag.document_text(&id).await.unwrap_err().code(), ErrorCode::NotFound);
                }
                let unknown = handle.delete_document(&"0".repeat(32)).await.unwrap_err();
                assert_eq!(unknown.code(), ErrorCode::NotFound);
            }
            65..70 => {
                // Files beside documents that were given as bytes are other documents, unless they are of other names.
                let folder = files.path().join(format!("{}", random.0));
                std::fs::create_dir(&folder).unwrap();
                let count = 1 + random.below(4);
                for _ in 0..count {
                    let (number, name, text) = (random.0, random.name(), random.text());
                    let name = format!("{number}-{name}");
                    std::fs::write(folder.join(&name), &text).unwrap();
                    model.insert(name, text);
                }
                assert_eq!(ingest(&handle, Source::Path(folder.clone())).await, (count, 0));
                std::fs::remove_dir_all(folder).unwrap();
            }
            70..90 => search(&handle, &model, &random.word(), None).await,
            90..94 => {
                let name = random.name();
                if model.contains_key(&name) {
                    search(&handle, &model, &random.word(), Some(&document(&rag, &name).await)).await;
                }
            }
            94..97 => check(&handle, &model).await,
            _ => {
                rag.shutdown().await;
                assert_eq!(handle.documents().await.unwrap_err().code(), ErrorCode::Closed);
                rag = open(dir.path()).await;
            }
        }
    }
    check(&rag, &model).await;
    rag.shutdown().await;
    rag = open(dir.path()).await;
    check(&rag, &model).await;
    rag.destroy().await.unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).map_or(0, Iterator::count), 0, "nothing is left");
}

const CHILD: &str = "KWAAINET_TEST_SECOND_PROCESS";

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_told_busy_and_finds_everything_once_the_first_is_done() {
    if let Some(dir) = std::env::var_os(CHILD) {
        match Rag::open(Path::new(&dir), RagConfig::default()).await {
            Ok(rag) => println!("found {}", rag.search("w1x", 5, Mode::Lexical).await.unwrap().hits.len()),
            Err(error) => println!("found {}", error.code()),
        }
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let rag = open(dir.path()).await;
    put(&rag, &mut Model::new(), "a.txt".into(), "w1x w2x.\n".into()).await;
    let second = || {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args([
            "--exact",
            "--nocapture",
            "a_second_process_is_told_busy_and_finds_everything_once_the_first_is_done",
        ]);
        String::from_utf8(child.env(CHILD, dir.path()).output().unwrap().stdout).unwrap()
    };
    assert!(second().contains("found busy"));
    assert_eq!(rag.search("w1x", 5, Mode::Lexical).await.unwrap().hits.len(), 1, "the first goes on");
    rag.shutdown().await;
    assert!(second().contains("found 1"));
}
