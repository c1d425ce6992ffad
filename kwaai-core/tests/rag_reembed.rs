//! Another embedder for a knowledge base that goes on answering.

#[path = "support/hashing.rs"]
mod hashing;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use hashing::Hashing;
use kwaai_core::event::{Item, Stream};
use kwaai_core::llm::{Embedder, Text};
use kwaai_core::rag::{
    AskOptions, CacheOptions, IngestEvent, Mode, Rag, RagConfig, ReembedEvent, Source, SyncEvent, SyncOptions,
};
use kwaai_core::store::Store;
use kwaai_core::vector::{IndexOptions, VectorIndex};
use kwaai_core::{Error, ErrorCode, Result};
use tokio::sync::Semaphore;

const BEFORE: usize = 64;
const AFTER: usize = 32;

/// An embedder that embeds as often as it is let, and fails from a text on.
struct Gated {
    inner: Hashing,
    calls: Semaphore,
    started: Semaphore,
    fails_after: usize,
    queries: AtomicUsize,
}

impl Gated {
    fn new(dimension: usize, calls: usize) -> Arc<Gated> {
        Gated::failing(dimension, calls, usize::MAX)
    }

    fn failing(dimension: usize, calls: usize, fails_after: usize) -> Arc<Gated> {
        let (calls, started) = (Semaphore::new(calls), Semaphore::new(0));
        Arc::new(Gated { inner: Hashing::new(dimension), calls, started, fails_after, queries: AtomicUsize::new(0) })
    }

    fn free(dimension: usize) -> Arc<Gated> {
        Gated::new(dimension, Semaphore::MAX_PERMITS)
    }

    fn embedded(&self) -> usize {
        self.inner.embedded.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Embedder for Gated {
    fn id(&self) -> String {
        self.inner.id()
    }

    fn dimension(&self) -> usize {
        self.inner.dimension
    }

    async fn embed(&self, texts: Vec<Text>) -> Result<Vec<Vec<f32>>> {
        let asks = texts.iter().all(|text| matches!(text, Text::Query(_)));
        self.queries.fetch_add(usize::from(asks), Ordering::SeqCst);
        self.started.add_permits(1);
        self.calls.acquire().await.unwrap().forget();
        if self.embedded() + texts.len() > self.fails_after {
            return Err(Error::unreachable("the embedder went away"));
        }
        self.inner.embed(texts).await
    }
}

fn config(embedder: &Arc<Gated>) -> RagConfig {
    RagConfig { embedder: Some(embedder.clone()), ..RagConfig::default() }
}

// anchor: exchange
/// Gives a knowledge base another embedder, and tells how far that is.
async fn exchange(rag: &Rag, embedder: Arc<dyn Embedder>) -> Result<()> {
    let mut progress = rag.reembed(embedder)?;
    while let Some(item) = progress.next().await? {
        if let Item::Value(ReembedEvent::Embedded { done, total }) = item {
            println!("{done} of {total} passages");
        }
    }
    Ok(())
}
// end: exchange

fn text(number: usize) -> String {
    format!("The valve number{number} stands in hall{} beside pump{}.\n", number % 7, number * 3)
}

fn document(number: usize) -> Source {
    Source::Bytes { name: format!("valve{number}.txt"), bytes: text(number).into_bytes() }
}

async fn ingest(rag: &Rag, source: Source) -> String {
    let mut stream = rag.ingest(source).unwrap();
    let mut id = String::new();
    while let Some(item) = stream.next().await.unwrap() {
        match item {
            Item::Value(IngestEvent::DocumentDone { document_id, .. }) => id = document_id,
            Item::Value(IngestEvent::DocumentFailed { message, .. }) => panic!("{message}"),
            _ => {}
        }
    }
    id
}

/// A knowledge base of so many passages, each of a document of its own.
async fn knowledge(dir: &Path, config: RagConfig, documents: usize) -> Rag {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..documents {
        let Source::Bytes { name, bytes } = document(number) else { unreachable!() };
        std::fs::write(folder.path().join(name), bytes).unwrap();
    }
    let rag = Rag::open(dir, config).await.unwrap();
    ingest(&rag, Source::Path(folder.path().to_owned())).await;
    rag
}

async fn value<T>(stream: &mut Stream<T>) -> Option<T> {
    stream.next().await.unwrap().map(|item| item.value().expect("no event is lost"))
}

async fn rest<T>(mut stream: Stream<T>) -> Vec<T> {
    let mut events = Vec::new();
    while let Some(event) = value(&mut stream).await {
        events.push(event);
    }
    events
}

async fn embedder_of(rag: &Rag) -> String {
    rag.stats().await.unwrap().embedder.unwrap().id
}

/// The document that a search by meaning finds first, for the text of some document.
async fn first(rag: &Rag, number: usize) -> String {
    let found = rag.search(&text(number), 1, Mode::Dense).await.unwrap();
    found.hits.first().map(|hit| hit.document.clone()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vectors_of_before_answer_until_the_new_ones_are_whole_and_then_nothing_else_does() {
    let dir = tempfile::tempdir().unwrap();
    let before = Gated::free(BEFORE);
    let rag = knowledge(dir.path(), config(&before), 200).await;
    let after = Gated::new(AFTER, 1);
    let mut stream = rag.reembed(after.clone()).unwrap();
    assert_eq!(value(&mut stream).await, Some(ReembedEvent::Found { passages: 200, done: 0 }));
    assert_eq!(value(&mut stream).await, Some(ReembedEvent::Embedded { done: 128, total: 200 }));
    // The next texts wait inside the new embedder.
    after.started.acquire_many(2).await.unwrap().forget();

    let (asked, embedded) = (before.queries.load(Ordering::SeqCst), before.embedded());
    assert_eq!(first(&rag, 17).await, "valve17.txt");
    assert_eq!(before.queries.load(Ordering::SeqCst), asked + 1);
    assert_eq!(embedder_of(&rag).await, "hashing-64");
    assert_eq!(rag.reembed(Gated::free(16)).err().unwrap().code(), ErrorCode::Busy);
    let new = ingest(&rag, document(500)).await;
    assert_eq!(before.embedded(), embedded + 2, "what comes is embedded by both");
    // Text that is there already, some of which the new embedder has seen, is embedded by nobody.
    let copies = tempfile::tempdir().unwrap();
    for number in (0..200).step_by(2) {
        std::fs::write(copies.path().join(format!("copy{number}.txt")), text(number)).unwrap();
    }
    let embedded = before.embedded();
    ingest(&rag, Source::Path(copies.path().to_owned())).await;
    assert_eq!(before.embedded(), embedded);
    let gone = rag.documents().await.unwrap().into_iter().find(|document| document.name == "valve3.txt").unwrap();
    rag.delete_document(&gone.id).await.unwrap();
    assert_eq!(first(&rag, 500).await, "valve500.txt");

    after.calls.add_permits(Semaphore::MAX_PERMITS / 2);
    let events = rest(stream).await;
    assert_eq!(events.last(), Some(&ReembedEvent::Finished { passages: 300, embedded: after.embedded() }));
    assert!((200..=201).contains(&after.embedded()), "{} of 201 texts, one of which was deleted", after.embedded());
    let last = before.embedded();
    let stats = rag.stats().await.unwrap();
    assert_eq!(stats.embedder.as_ref().unwrap().id, "hashing-32");
    assert_eq!((stats.chunks, stats.vectors, stats.indexed), (300, 300, 300));
    for number in [1, 17, 199, 500] {
        assert_eq!(first(&rag, number).await, format!("valve{number}.txt"));
    }
    assert_ne!(first(&rag, 3).await, "valve3.txt");
    let hits = rag.search(&text(500), 1, Mode::Hybrid).await.unwrap().hits;
    assert_eq!((hits[0].document_id.as_str(), hits[0].dense.is_some()), (new.as_str(), true));
    ingest(&rag, document(501)).await;
    assert_eq!(first(&rag, 501).await, "valve501.txt");
    assert_eq!(before.embedded(), last, "nobody asks the embedder of before");
    rag.shutdown().await;

    let error = Rag::open(dir.path(), config(&before)).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::Conflict);
    assert!(error.message().contains("hashing-32") && error.message().contains("hashing-64"), "{error}");
    let rag = Rag::open(dir.path(), config(&Gated::free(AFTER))).await.unwrap();
    assert_eq!(first(&rag, 501).await, "valve501.txt");
    rag.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_error_and_a_restart_nothing_is_embedded_twice() {
    let dir = tempfile::tempdir().unwrap();
    let before = Gated::free(BEFORE);
    let rag = knowledge(dir.path(), config(&before), 300).await;
    // The same text in another document is embedded once.
    let Source::Bytes { bytes, .. } = document(7) else { unreachable!() };
    ingest(&rag, Source::Bytes { name: "copy.txt".into(), bytes }).await;
    let broken = Gated::failing(AFTER, Semaphore::MAX_PERMITS, 128);
    let mut stream = rag.reembed(broken.clone()).unwrap();
    let error = loop {
        match stream.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it cannot finish"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), ErrorCode::Unreachable);
    assert_eq!(embedder_of(&rag).await, "hashing-64");
    assert_eq!(first(&rag, 250).await, "valve250.txt");
    // Cancelled while texts are embedded.
    let slow = Gated::new(AFTER, 1);
    let mut stream = rag.reembed(slow.clone()).unwrap();
    let Some(ReembedEvent::Found { passages: 301, done }) = value(&mut stream).await else { panic!() };
    assert!(done >= 128, "{done}");
    slow.started.acquire_many(2).await.unwrap().forget();
    stream.cancel();
    while let Ok(Some(_)) = stream.next().await {}
    rag.shutdown().await;

    let rag = Rag::open(dir.path(), config(&before)).await.unwrap();
    let rest_of = Gated::free(AFTER);
    let events = rest(rag.reembed(rest_of.clone()).unwrap()).await;
    assert!(matches!(events.first(), Some(ReembedEvent::Found { passages: 301, done }) if *done >= 256), "{events:?}");
    let Some(ReembedEvent::Finished { passages: 301, embedded }) = events.last() else { panic!("{events:?}") };
    // How much meaning counts is found out with sentences of their own, after the exchange.
    let texts = broken.embedded() + slow.embedded() + embedded;
    assert_eq!(texts, 300);
    let stats = rag.stats().await.unwrap();
    assert_eq!((stats.chunks, stats.vectors), (301, 301));
    assert_eq!(first(&rag, 250).await, "valve250.txt");
    // Once more with the same: there is nothing to do.
    let same = Gated::free(AFTER);
    let events = rest(rag.reembed(same).unwrap()).await;
    assert_eq!(events.last(), Some(&ReembedEvent::Finished { passages: 301, embedded: 0 }));
    rag.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_third_embedder_gives_up_what_was_made_of_the_second() {
    let dir = tempfile::tempdir().unwrap();
    let rag = knowledge(dir.path(), config(&Gated::free(BEFORE)), 150).await;
    let second = Gated::new(AFTER, 1);
    let mut stream = rag.reembed(second.clone()).unwrap();
    second.started.acquire_many(2).await.unwrap().forget();
    stream.cancel();
    while let Ok(Some(_)) = stream.next().await {}
    let third = Gated::free(16);
    let events = rest(rag.reembed(third).unwrap()).await;
    assert_eq!(events[0], ReembedEvent::Found { passages: 150, done: 0 });
    assert_eq!(events.last(), Some(&ReembedEvent::Finished { passages: 150, embedded: 150 }));
    assert_eq!(embedder_of(&rag).await, "hashing-16");
    assert_eq!(first(&rag, 99).await, "valve99.txt");
    rag.shutdown().await;
    // What could not be deleted before the shutdown is deleted when it is opened.
    Rag::open(dir.path(), config(&Gated::free(16))).await.unwrap().shutdown().await;
    // The collections of the first two are gone: others of their names can have another dimension.
    let store = Store::open(dir.path()).unwrap();
    for (name, there) in [("rag", false), ("rag-2", false), ("rag-3", true)] {
        let opened = VectorIndex::open(&store, name, 5, IndexOptions::default());
        assert_eq!(opened.err().map(|error| error.code()), there.then_some(ErrorCode::Conflict), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_knowledge_base_without_an_embedder_gets_its_first_one() {
    let dir = tempfile::tempdir().unwrap();
    let rag = knowledge(dir.path(), RagConfig::default(), 80).await;
    assert_eq!(rag.search("valve number5", 1, Mode::Dense).await.unwrap_err().code(), ErrorCode::Unsupported);
    let embedder = Gated::free(AFTER);
    exchange(&rag, embedder.clone()).await.unwrap();
    assert_eq!(first(&rag, 5).await, "valve5.txt");
    let stats = rag.stats().await.unwrap();
    assert_eq!((stats.vectors, stats.mode, stats.note), (80, Mode::Hybrid, None));
    // What was stored without vectors counts as embedded now.
    let embedded = embedder.embedded();
    let mut stream = rag.ingest(document(5)).unwrap();
    let mut unchanged = false;
    while let Some(event) = value(&mut stream).await {
        unchanged |= matches!(event, IngestEvent::Unchanged { .. });
    }
    assert!(unchanged);
    assert_eq!(embedder.embedded(), embedded);
    rag.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_answers_and_calibrations_are_those_of_the_embedder_of_before() {
    let dir = tempfile::tempdir().unwrap();
    let config = RagConfig { cache: Some(CacheOptions::default()), ..config(&Gated::free(BEFORE)) };
    let rag = knowledge(dir.path(), config, 80).await;
    let options = AskOptions { mode: Mode::Dense, min_support: 0.0, ..AskOptions::default() };
    let question = "Where does the valve number5 stand?";
    rag.answer(question, options.clone()).await.unwrap();
    rag.answer(question, options.clone()).await.unwrap();
    assert_eq!(rag.cache_stats().hits, 1);
    let asked = kwaai_core::rag::CalibrationQuestion { question: question.into(), documents: Vec::new() };
    rag.calibrate(vec![asked], options.clone()).await.unwrap();
    let strict = AskOptions { max_unsupported: Some(0.5), ..options.clone() };
    assert!(rag.answer(question, strict.clone()).await.is_ok());
    let generation = rag.stats().await.unwrap().generation;
    rest(rag.reembed(Gated::free(AFTER)).unwrap()).await;
    assert_eq!(rag.answer(question, strict).await.unwrap_err().code(), ErrorCode::Conflict);
    rag.answer(question, options).await.unwrap();
    assert_eq!(rag.cache_stats().hits, 1);
    assert!(rag.stats().await.unwrap().generation > generation);
    rag.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_followed_goes_on_with_the_new_embedder() {
    let (dir, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let rag = Rag::open(dir.path(), config(&Gated::free(BEFORE))).await.unwrap();
    let write = |number: usize| {
        let Source::Bytes { name, bytes } = document(number) else { unreachable!() };
        std::fs::write(folder.path().join(name), bytes).unwrap();
    };
    (0..5).for_each(write);
    let interval = std::time::Duration::from_millis(20);
    let options = SyncOptions { watch: true, polling: true, interval, ..SyncOptions::default() };
    let mut followed = rag.sync(folder.path(), options).unwrap();
    while !matches!(value(&mut followed).await, Some(SyncEvent::Watching { .. })) {}
    rest(rag.reembed(Gated::free(AFTER)).unwrap()).await;
    write(9);
    let mut seen = BTreeSet::new();
    while !seen.contains("valve9.txt") {
        if let Some(SyncEvent::Added { name, .. }) = value(&mut followed).await {
            seen.insert(name);
        }
    }
    assert_eq!(first(&rag, 9).await, "valve9.txt");
    let stats = rag.stats().await.unwrap();
    assert_eq!((stats.chunks, stats.vectors), (6, 6));
    drop(followed);
    rag.shutdown().await;
}
