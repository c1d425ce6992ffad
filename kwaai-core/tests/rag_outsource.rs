//! A knowledge base whose vectors are at other people's nodes, over real sockets and real files.

#![cfg(feature = "vpk")]

#[path = "support/hashing.rs"]
mod hashing;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hashing::Hashing;
use kwaai_core::event::{Item, Stream};
use kwaai_core::llm::{Embedder, Text};
use kwaai_core::rag::{
    AskOptions, CalibrationQuestion, IngestEvent, Mode, OutsourceEvent, OutsourceOptions, Outsourced, Rag, RagConfig,
    ReembedEvent, SearchOptions, Source,
};
use kwaai_core::trust::Tier;
use kwaai_core::vector::IndexOptions;
use kwaai_core::vpk::{
    Collection, CollectionConfig, DepotPolicy, HostName, Metric, Mode as Privacy, Placement, RecoverConfig, Unlock,
};
use kwaai_core::{Config, ErrorCode, Node, Result};

const DIMENSION: usize = 64;
const GRACE: Duration = Duration::from_secs(2);
const ALL: &str = "valve pump hall";

async fn node(dir: &Path) -> Node {
    Node::start(Config { data_dir: Some(dir.to_owned()), ..Config::default() }).await.unwrap()
}

/// A node that hosts for everybody.
async fn host() -> Node {
    let node = Node::start(Config::default()).await.unwrap();
    open_house(&node).await;
    node
}

async fn open_house(node: &Node) {
    let policy = DepotPolicy { min_tier: Some(Tier::Unknown), ..DepotPolicy::of(256 << 20) };
    node.vpk().host(policy).await.unwrap();
}

fn shape(mode: Privacy, hosts: Vec<HostName>) -> CollectionConfig {
    let colluding = usize::from(mode == Privacy::Split);
    let placement = Placement::default();
    CollectionConfig { mode, dimension: DIMENSION, metric: Metric::Cosine, hosts, colluding, placement }
}

/// An owner, so many hosts, and a collection at them.
async fn world(mode: Privacy, count: usize) -> (Node, Vec<Node>, Collection) {
    let (owner, mut hosts) = (Node::start(Config::default()).await.unwrap(), Vec::new());
    for _ in 0..count {
        let host = host().await;
        owner.connect(&host.info().unwrap().addresses[0].to_string()).await.unwrap();
        hosts.push(host);
    }
    let names = hosts.iter().map(|host| HostName::Peer(host.peer_id())).collect();
    let collection = owner.vpk().create("notes", shape(mode, names)).await.unwrap();
    (owner, hosts, collection)
}

fn config(embedder: &Arc<Hashing>) -> RagConfig {
    RagConfig { embedder: Some(embedder.clone()), ..RagConfig::default() }
}

fn text(number: usize) -> String {
    format!("The valve number{number} stands in hall{} beside pump{}.\n", number % 7, number * 3)
}

fn named(number: usize, text: String) -> Source {
    Source::Bytes { name: format!("valve{number}.txt"), bytes: text.into_bytes() }
}

async fn ingest(rag: &Rag, source: Source) -> String {
    let (mut stream, mut id) = (rag.ingest(source).unwrap(), String::new());
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
async fn knowledge(dir: &Path, embedder: &Arc<Hashing>, documents: usize) -> Rag {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..documents {
        std::fs::write(folder.path().join(format!("valve{number}.txt")), text(number)).unwrap();
    }
    let rag = Rag::open(dir, config(embedder)).await.unwrap();
    ingest(&rag, Source::Path(folder.path().to_owned())).await;
    rag
}

// anchor: outsource
/// Brings the vectors of a knowledge base to a collection, and tells how far that is.
async fn send_away(rag: &Rag, collection: &Collection) -> Result<()> {
    let mut progress = rag.outsource(collection)?;
    while let Some(item) = progress.next().await? {
        if let Item::Value(OutsourceEvent::Brought { done, total }) = item {
            println!("{done} of {total} passages");
        }
    }
    Ok(())
}
// end: outsource

async fn rest<T>(mut stream: Stream<T>) -> Result<Vec<T>> {
    let mut events = Vec::new();
    while let Some(item) = stream.next().await? {
        events.push(item.value().expect("no event is lost"));
    }
    Ok(events)
}

async fn outsourced(rag: &Rag) -> Option<Outsourced> {
    rag.stats().await.unwrap().outsourced
}

async fn first(rag: &Rag, number: usize) -> String {
    let found = rag.search(&text(number), 1, Mode::Dense).await.unwrap();
    found.hits.first().map(|hit| hit.document.clone()).unwrap_or_default()
}

/// What is asked, in each way in which vectors matter.
fn questions() -> Vec<SearchOptions> {
    let hybrid = SearchOptions::from(Mode::Hybrid);
    vec![
        Mode::Dense.into(),
        hybrid.clone(),
        Mode::Lexical.into(),
        SearchOptions { links: true, ..hybrid.clone() },
        SearchOptions { diversity: 0.5, ..Mode::Dense.into() },
        SearchOptions { diversity: 0.3, ..Mode::Lexical.into() },
        SearchOptions { names: vec!["valve1*.txt".into()], ..hybrid },
    ]
}

/// Every answer, as the passages and their scores.
async fn answers(rag: &Rag) -> Vec<Vec<(String, f64)>> {
    let mut all = Vec::new();
    for options in questions() {
        for number in [3, 17, 80] {
            let asked = format!("valve number{number} hall{} pump{}", number % 7, number * 3);
            let hits = rag.search(&asked, 8, options.clone()).await.unwrap().hits;
            assert!(hits.len() >= 3, "{options:?}");
            all.push(hits.into_iter().map(|hit| (hit.chunk_id, hit.score)).collect());
        }
    }
    all
}

/// Whether all is as before, but for what the whole numbers of a collection round.
fn assert_same(before: &[Vec<(String, f64)>], after: &[Vec<(String, f64)>]) {
    const ROUNDED: f64 = 2e-3;
    for (before, after) in before.iter().zip(after) {
        assert_eq!(before.len(), after.len());
        for (place, (known, found)) in before.iter().zip(after).enumerate() {
            assert!((known.1 - found.1).abs() < ROUNDED, "{before:?}\n{after:?}");
            let alone = before.iter().enumerate().all(|(at, other)| at == place || (other.1 - known.1).abs() > ROUNDED);
            // What is as good as the last may be another.
            assert!(!alone || place + 1 == before.len() || known.0 == found.0, "{before:?}\n{after:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_cannot_read_find_what_was_found_at_home() {
    for (mode, hosts) in [(Privacy::Plain, 1), (Privacy::Seal, 1), (Privacy::Split, 3)] {
        let (owner, hosts, collection) = world(mode, hosts).await;
        let (dir, embedder) = (tempfile::tempdir().unwrap(), Arc::new(Hashing::new(DIMENSION)));
        let rag = knowledge(dir.path(), &embedder, 150).await;
        let before = answers(&rag).await;
        let asked = AskOptions { mode: Mode::Dense, min_support: 0.1, ..AskOptions::default() };
        let answered = rag.answer("Where does the valve number17 stand?", asked.clone()).await.unwrap();
        let events = rest(rag.outsource(&collection).unwrap()).await.unwrap();
        assert_eq!(events[0], OutsourceEvent::Found { passages: 150, done: 0 });
        assert_eq!(events[1], OutsourceEvent::Brought { done: 150, total: 150 });
        assert_eq!(events.last(), Some(&OutsourceEvent::Finished { passages: 150, brought: 150 }));
        let stats = rag.stats().await.unwrap();
        assert_eq!((stats.vectors, stats.sealed_vectors, stats.mode), (150, 0, Mode::Hybrid));
        let id = collection.id().to_string();
        let expected = Outsourced { collection: id, attached: true, complete: true, waiting: 0 };
        assert_eq!(stats.outsourced, Some(expected));
        // The hosts have everything, and nothing waits at the owner.
        assert_eq!((collection.stats().vectors, collection.stats().buffered), (150, 0));
        assert_same(&before, &answers(&rag).await);
        let again = rag.answer("Where does the valve number17 stand?", asked.clone()).await.unwrap();
        assert_eq!((again.text, again.refused), (answered.text, answered.refused));
        let unanswered = CalibrationQuestion { question: "Who painted it?".into(), documents: Vec::new() };
        assert_eq!(rag.calibrate(vec![unanswered], asked).await.unwrap().unanswerable.len(), 1);
        rag.shutdown().await;
        for node in hosts.into_iter().chain([owner]) {
            node.shutdown(GRACE).await.unwrap();
        }
    }
}

/// How many of the vectors have bytes in the files of a directory.
async fn traces(dir: &Path, embedder: &Hashing, numbers: std::ops::Range<usize>) -> usize {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        files.push(std::fs::read(entry).unwrap());
    }
    let texts = numbers.map(|number| Text::Document(text(number))).collect();
    let mut found = 0;
    for vector in embedder.embed(texts).await.unwrap() {
        let bytes: Vec<u8> = vector[20..24].iter().flat_map(|value| value.to_le_bytes()).collect();
        let holds = |file: &Vec<u8>| file.windows(bytes.len()).any(|window| window == bytes);
        found += usize::from(files.iter().any(holds));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_vector_is_left_on_the_disk_and_nothing_comes_to_it() {
    let (owner, hosts, collection) = world(Privacy::Seal, 1).await;
    let (dir, embedder) = (tempfile::tempdir().unwrap(), Arc::new(Hashing::new(DIMENSION)));
    let rag = knowledge(dir.path(), &embedder, 40).await;
    // Some were there and are deleted, which leaves them in pages that are free.
    let documents = rag.documents().await.unwrap();
    for document in documents.iter().filter(|document| document.name.starts_with("valve1")) {
        rag.delete_document(&document.id).await.unwrap();
    }
    assert!(traces(dir.path(), &embedder, 0..40).await >= 29);
    send_away(&rag, &collection).await.unwrap();
    assert_eq!(traces(dir.path(), &embedder, 0..40).await, 0);
    for number in 100..110 {
        ingest(&rag, named(number, text(number))).await;
    }
    assert_eq!(first(&rag, 105).await, "valve105.txt");
    assert_eq!(traces(dir.path(), &embedder, 0..110).await, 0);
    rag.shutdown().await;
    // What waits for a collection that is not there is not written down either.
    let rag = Rag::open(dir.path(), config(&embedder)).await.unwrap();
    ingest(&rag, named(111, text(111))).await;
    rag.shutdown().await;
    assert_eq!(traces(dir.path(), &embedder, 0..112).await, 0);
    for node in hosts.into_iter().chain([owner]) {
        node.shutdown(GRACE).await.unwrap();
    }
}

/// The payload of the nearest vector in a collection.
async fn payload(collection: &Collection, embedder: &Hashing, number: usize) -> Option<serde_json::Value> {
    let vector = embedder.embed(vec![Text::Query(text(number))]).await.unwrap().remove(0);
    let found = collection.search(&vector, 1, &serde_json::Map::new()).await.unwrap();
    found.hits[0].payload.as_deref().map(|payload| serde_json::from_slice(payload).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_that_go_along_are_read_on_another_device_and_by_no_host() {
    for (mode, count) in [(Privacy::Seal, 1), (Privacy::Split, 3)] {
        let owner = Node::start(Config::default()).await.unwrap();
        let dirs: Vec<_> = (0..count).map(|_| tempfile::tempdir().unwrap()).collect();
        let mut hosts = Vec::new();
        for dir in &dirs {
            let host = node(dir.path()).await;
            open_house(&host).await;
            owner.connect(&host.info().unwrap().addresses[0].to_string()).await.unwrap();
            hosts.push(host);
        }
        let names = hosts.iter().map(|host| HostName::Peer(host.peer_id())).collect();
        let collection = owner.vpk().create("sealed", shape(mode, names)).await.unwrap();
        let (dir, embedder) = (tempfile::tempdir().unwrap(), Arc::new(Hashing::new(DIMENSION)));
        let rag = knowledge(dir.path(), &embedder, 30).await;
        send_away(&rag, &collection).await.unwrap();
        assert_eq!(payload(&collection, &embedder, 17).await, None, "texts stay at home unless told otherwise");

        let with_texts = OutsourceOptions { texts: true };
        let events = rest(rag.outsource_with(&collection, with_texts).unwrap()).await.unwrap();
        assert_eq!(events.last(), Some(&OutsourceEvent::Finished { passages: 30, brought: 30 }), "{mode:?}");
        ingest(&rag, named(40, text(40))).await;
        let again = rest(rag.outsource_with(&collection, with_texts).unwrap()).await.unwrap();
        assert_eq!(again.last(), Some(&OutsourceEvent::Finished { passages: 31, brought: 0 }));
        let id = rag.search(&text(17), 1, Mode::Lexical).await.unwrap().hits.remove(0).document_id;
        let expected = serde_json::json!({
            "document_id": id, "document": "valve17.txt", "heading": null, "text": text(17).trim_end(),
        });
        assert_eq!(payload(&collection, &embedder, 17).await, Some(expected.clone()));
        assert_eq!(payload(&collection, &embedder, 40).await.unwrap()["document"], "valve40.txt");
        assert_eq!(first(&rag, 17).await, "valve17.txt");
        assert_eq!(traces(dir.path(), &embedder, 0..41).await, 0);

        let exported = collection.export_key("correct horse battery").await.unwrap();
        let machine = Node::start(Config::default()).await.unwrap();
        for host in &hosts {
            machine.connect(&host.info().unwrap().addresses[0].to_string()).await.unwrap();
        }
        let word = Unlock::Passphrase("correct horse battery");
        let theirs = machine.vpk().recover("theirs", &exported, word, RecoverConfig::default()).await.unwrap();
        assert_eq!(payload(&theirs, &embedder, 17).await, Some(expected));

        rag.shutdown().await;
        for node in hosts.into_iter().chain([owner, machine]) {
            node.shutdown(GRACE).await.unwrap();
        }
        for dir in &dirs {
            for entry in std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()) {
                let holds = |needle: &[u8]| {
                    entry.is_file() && std::fs::read(&entry).unwrap().windows(needle.len()).any(|part| part == needle)
                };
                assert!(!holds(b"valve17.txt") && !holds(b"number17"), "{mode:?}: {}", entry.display());
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_do_not_go_where_hosts_could_read_them() {
    let (owner, hosts, collection) = world(Privacy::Plain, 1).await;
    let (dir, embedder) = (tempfile::tempdir().unwrap(), Arc::new(Hashing::new(DIMENSION)));
    let rag = knowledge(dir.path(), &embedder, 3).await;
    let refused = rest(rag.outsource_with(&collection, OutsourceOptions { texts: true }).unwrap()).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::InvalidArgument);
    assert_eq!((outsourced(&rag).await, collection.stats().vectors), (None, 0));
    rag.shutdown().await;
    for node in hosts.into_iter().chain([owner]) {
        node.shutdown(GRACE).await.unwrap();
    }
}

/// Embeds so many texts and then never answers.
struct Halting {
    inner: Hashing,
    left: AtomicUsize,
}

#[async_trait::async_trait]
impl Embedder for Halting {
    fn id(&self) -> String {
        "halting".into()
    }

    fn dimension(&self) -> usize {
        self.inner.dimension()
    }

    async fn embed(&self, texts: Vec<Text>) -> kwaai_core::Result<Vec<Vec<f32>>> {
        let enough = |left: usize| left.checked_sub(texts.len());
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, enough).is_err() {
            std::future::pending::<()>().await;
        }
        self.inner.embed(texts).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_change_of_the_embedder_left_half_made_is_not_left_either() {
    let (owner, hosts, collection) = world(Privacy::Seal, 1).await;
    let (dir, embedder) = (tempfile::tempdir().unwrap(), Arc::new(Hashing::new(DIMENSION)));
    let rag = knowledge(dir.path(), &embedder, 200).await;
    let half = Arc::new(Halting { inner: Hashing::new(DIMENSION + 32), left: AtomicUsize::new(150) });
    let mut stream = rag.reembed(half.clone()).unwrap();
    while !matches!(stream.next().await.unwrap().unwrap().value(), Some(ReembedEvent::Embedded { done, .. }) if done > 0)
    {
    }
    drop(stream);
    assert!(traces(dir.path(), &half.inner, 0..200).await > 0);
    while let Err(error) = send_away(&rag, &collection).await {
        assert_eq!(error.code(), ErrorCode::Busy, "the change has not stopped yet: {error:?}");
        tokio::task::yield_now().await;
    }
    assert_eq!(traces(dir.path(), &half.inner, 0..200).await, 0);
    assert_eq!(traces(dir.path(), &embedder, 0..200).await, 0);
    assert!(outsourced(&rag).await.unwrap().complete);
    rag.shutdown().await;
    for node in hosts.into_iter().chain([owner]) {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_and_goes_reaches_the_hosts_and_what_stays_is_not_brought_again() {
    let (owner, hosts, collection) = world(Privacy::Seal, 1).await;
    let (dir, embedder) = (tempfile::tempdir().unwrap(), Arc::new(Hashing::new(DIMENSION)));
    let rag = knowledge(dir.path(), &embedder, 60).await;
    // While the vectors are on their way, too.
    let stream = rag.outsource(&collection).unwrap();
    let new = ingest(&rag, named(200, text(200))).await;
    rest(stream).await.unwrap();
    assert_eq!(first(&rag, 200).await, "valve200.txt");
    rag.delete_document(&new).await.unwrap();
    assert_ne!(first(&rag, 200).await, "valve200.txt");
    assert_eq!(collection.stats().vectors, 60);

    let long = |part: &str| (0..40).map(|line| format!("{part} {}", text(1000 + line))).collect::<String>();
    ingest(&rag, named(300, long("old"))).await;
    let with_it = collection.stats().vectors;
    assert!(with_it > 62, "it has several passages");
    let embedded = embedder.embedded.load(Ordering::SeqCst);
    ingest(&rag, named(300, format!("{}\n\n{}", long("old"), text(2000)))).await;
    let more = embedder.embedded.load(Ordering::SeqCst) - embedded;
    assert!(more <= 2, "{more} passages were embedded for one that changed");
    assert_eq!(rag.stats().await.unwrap().vectors as usize, collection.stats().vectors);
    assert_eq!(outsourced(&rag).await.unwrap().waiting, 0);

    for document in rag.documents().await.unwrap() {
        rag.delete_document(&document.id).await.unwrap();
    }
    let stats = collection.stats();
    assert_eq!((stats.vectors, stats.segments, stats.buffered), (0, 0, 0), "no row is left at a host");
    assert!(rag.search(ALL, 5, Mode::Hybrid).await.unwrap().hits.is_empty());
    rag.shutdown().await;
    for node in hosts.into_iter().chain([owner]) {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_away_is_said_to_be_and_words_are_found_all_the_same() {
    let (home, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (owner, other) = (Node::start(Config::default()).await.unwrap(), node(home.path()).await);
    open_house(&other).await;
    let (peer, address) = (other.peer_id(), other.info().unwrap().addresses[0].to_string());
    owner.connect(&address).await.unwrap();
    let collection = owner.vpk().create("notes", shape(Privacy::Seal, vec![HostName::Peer(peer)])).await.unwrap();
    let embedder = Arc::new(Hashing::new(DIMENSION));
    let rag = knowledge(dir.path(), &embedder, 30).await;
    other.shutdown(GRACE).await.unwrap();
    drop(other);
    let error = rest(rag.outsource(&collection).unwrap()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unreachable, "{error}");
    // Those at home go on to answer, and are all there.
    assert_eq!(first(&rag, 7).await, "valve7.txt");
    let standing = outsourced(&rag).await.unwrap();
    assert!(!standing.complete && !standing.attached, "{standing:?}");

    let other = node(home.path()).await;
    open_house(&other).await;
    owner.connect(&other.info().unwrap().addresses[0].to_string()).await.unwrap();
    let events = rest(rag.outsource(&collection).unwrap()).await.unwrap();
    assert_eq!(events[0], OutsourceEvent::Found { passages: 30, done: 30 });
    assert_eq!(events.last(), Some(&OutsourceEvent::Finished { passages: 30, brought: 0 }));
    assert_eq!(first(&rag, 7).await, "valve7.txt");

    other.shutdown(GRACE).await.unwrap();
    drop(other);
    for mode in [Mode::Dense, Mode::Hybrid] {
        assert_eq!(rag.search(&text(7), 1, mode).await.unwrap_err().code(), ErrorCode::Unreachable);
    }
    assert_eq!(rag.answer("number7", AskOptions::default()).await.unwrap_err().code(), ErrorCode::Unreachable);
    assert_eq!(rag.search("number7", 1, Mode::Lexical).await.unwrap().hits[0].document, "valve7.txt");
    // What comes meanwhile is kept for it.
    ingest(&rag, named(500, text(500))).await;
    let other = node(home.path()).await;
    open_house(&other).await;
    owner.connect(&other.info().unwrap().addresses[0].to_string()).await.unwrap();
    assert_eq!(first(&rag, 500).await, "valve500.txt");
    rag.shutdown().await;
    for node in [owner, other] {
        node.shutdown(GRACE).await.unwrap();
    }
}

async fn refused(rag: &Rag, collection: &Collection) -> kwaai_core::Error {
    rest(rag.outsource(collection).unwrap()).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_that_does_not_fit_is_refused_with_what_would() {
    let owner = host().await;
    let make = async |name: &str, config| owner.vpk().create(name, config).await.unwrap();
    let here = || shape(Privacy::Plain, vec![HostName::Here]);
    let right = make("right", here()).await;
    let (dir, embedder) = (tempfile::tempdir().unwrap(), Arc::new(Hashing::new(DIMENSION)));
    let rag = knowledge(dir.path(), &embedder, 5).await;
    let short = make("short", CollectionConfig { dimension: 32, ..here() }).await;
    let inner = make("inner", CollectionConfig { metric: Metric::Dot, ..here() }).await;
    let full = make("full", here()).await;
    full.upsert(vec![kwaai_core::vpk::Item::new(1, vec![1.0; DIMENSION])]).await.unwrap();
    for (collection, code) in
        [(&short, ErrorCode::InvalidArgument), (&inner, ErrorCode::InvalidArgument), (&full, ErrorCode::Conflict)]
    {
        let error = refused(&rag, collection).await;
        assert_eq!(error.code(), code, "{error}");
        assert!(error.context().contains_key("remedy"), "{error}");
        assert_eq!(outsourced(&rag).await, None);
    }
    send_away(&rag, &right).await.unwrap();
    let error = refused(&rag, &make("other", here()).await).await;
    assert_eq!((error.code(), &error.context()["collection"]), (ErrorCode::Conflict, &right.id().to_string()));
    rag.shutdown().await;
    let other = IndexOptions { metric: kwaai_core::vector::Metric::Euclidean, ..IndexOptions::default() };
    let error = Rag::open(dir.path(), RagConfig { index: other, ..config(&embedder) }).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::Conflict);

    // Passages without vectors, and a knowledge base that never had an embedder.
    let dir = tempfile::tempdir().unwrap();
    let rag = Rag::open(dir.path(), RagConfig::default()).await.unwrap();
    ingest(&rag, named(1, text(1))).await;
    let empty = make("empty", here()).await;
    assert_eq!(refused(&rag, &empty).await.code(), ErrorCode::Unsupported);
    rag.shutdown().await;
    let rag = Rag::open(dir.path(), config(&embedder)).await.unwrap();
    let error = refused(&rag, &empty).await;
    assert!(error.code() == ErrorCode::Conflict && error.message().contains("valve1.txt"), "{error}");
    // One that was refused is nobody's.
    empty.upsert(vec![kwaai_core::vpk::Item::new(1, vec![1.0; DIMENSION])]).await.unwrap();
    rag.shutdown().await;
    owner.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collection_is_for_one_knowledge_base_until_its_vectors_are_home() {
    let (owner, hosts, collection) = world(Privacy::Seal, 1).await;
    let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let embedder = Arc::new(Hashing::new(DIMENSION));
    // They hold the same documents, so that their passages have the same ids.
    let rag = knowledge(dir.path(), &embedder, 20).await;
    let other = knowledge(other_dir.path(), &embedder, 20).await;
    send_away(&rag, &collection).await.unwrap();
    let item = || vec![kwaai_core::vpk::Item::new(1, vec![1.0; DIMENSION])];
    let error = refused(&other, &collection).await;
    assert!(error.code() == ErrorCode::Conflict && error.context().contains_key("remedy"), "{error}");
    assert_eq!(outsourced(&other).await, None);
    for error in [collection.upsert(item()).await.err(), collection.delete(vec![1]).await.err()] {
        assert_eq!(error.unwrap().code(), ErrorCode::Conflict, "the app changes nothing in it either");
    }
    assert_eq!(collection.stats().vectors, 20);
    assert_eq!(first(&rag, 7).await, "valve7.txt");
    assert_eq!(first(&other, 7).await, "valve7.txt");

    rest(rag.reembed(embedder.clone()).unwrap()).await.unwrap();
    let stats = collection.stats();
    assert_eq!((stats.vectors, stats.segments), (0, 0), "nothing is left at the host either");
    send_away(&other, &collection).await.unwrap();
    assert_eq!(refused(&rag, &collection).await.code(), ErrorCode::Conflict);
    assert_eq!(first(&other, 7).await, "valve7.txt");

    other.destroy().await.unwrap();
    assert_eq!(collection.stats().vectors, 0);
    collection.upsert(item()).await.unwrap();
    assert_eq!(refused(&rag, &collection).await.code(), ErrorCode::Conflict, "the app has something in it");
    rag.shutdown().await;
    for node in hosts.into_iter().chain([owner]) {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_a_collection_is_outlives_the_process_and_the_way_there_is_gone_on_with() {
    let (home, host_home) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (dir, other_dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let embedder = Arc::new(Hashing::new(DIMENSION));
    let rag = knowledge(dir.path(), &embedder, 10).await;
    let other = knowledge(other_dir.path(), &embedder, 10).await;
    let (owner, host) = (node(home.path()).await, node(host_home.path()).await);
    open_house(&host).await;
    owner.connect(&host.info().unwrap().addresses[0].to_string()).await.unwrap();
    let notes = shape(Privacy::Seal, vec![HostName::Peer(host.peer_id())]);
    let collection = owner.vpk().create("notes", notes).await.unwrap();
    // The host goes before it has anything.
    host.shutdown(GRACE).await.unwrap();
    drop(host);
    assert_eq!(refused(&rag, &collection).await.code(), ErrorCode::Unreachable);
    rag.shutdown().await;
    owner.shutdown(GRACE).await.unwrap();
    drop((owner, collection, rag));

    let (owner, host) = (node(home.path()).await, node(host_home.path()).await);
    open_house(&host).await;
    owner.connect(&host.info().unwrap().addresses[0].to_string()).await.unwrap();
    let collection = owner.vpk().open("notes").await.unwrap();
    assert_eq!(refused(&other, &collection).await.code(), ErrorCode::Conflict);
    let rag = Rag::open(dir.path(), config(&embedder)).await.unwrap();
    send_away(&rag, &collection).await.unwrap();
    assert_eq!(first(&rag, 7).await, "valve7.txt");
    rag.shutdown().await;

    // Home again without having been given the collection, it goes on to be this knowledge base's, and what is left in it goes first.
    let rag = Rag::open(dir.path(), config(&embedder)).await.unwrap();
    rest(rag.reembed(embedder.clone()).unwrap()).await.unwrap();
    let gone = rag.documents().await.unwrap().into_iter().find(|document| document.name == "valve3.txt").unwrap();
    rag.delete_document(&gone.id).await.unwrap();
    assert_eq!(refused(&other, &collection).await.code(), ErrorCode::Conflict);
    assert_eq!(collection.stats().vectors, 10);
    send_away(&rag, &collection).await.unwrap();
    assert_eq!(collection.stats().vectors, 9);
    for base in [rag, other] {
        base.shutdown().await;
    }
    for node in [owner, host] {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn opened_again_it_finds_words_until_it_is_given_the_collection_and_forgets_nothing_until_then() {
    let (owner, hosts, collection) = world(Privacy::Seal, 1).await;
    let (dir, embedder) = (tempfile::tempdir().unwrap(), Arc::new(Hashing::new(DIMENSION)));
    let rag = knowledge(dir.path(), &embedder, 20).await;
    send_away(&rag, &collection).await.unwrap();
    rag.shutdown().await;
    assert_eq!(rag.outsource(&collection).err().unwrap().code(), ErrorCode::Closed);

    let rag = Rag::open(dir.path(), config(&embedder)).await.unwrap();
    for mode in [Mode::Dense, Mode::Hybrid] {
        let error = rag.search("number7", 1, mode).await.unwrap_err();
        assert!(error.code() == ErrorCode::Conflict && error.context()["remedy"].contains("outsource"), "{error}");
    }
    assert_eq!(rag.search("number7", 1, Mode::Lexical).await.unwrap().hits[0].document, "valve7.txt");
    let stats = rag.stats().await.unwrap();
    assert_eq!((stats.mode, stats.vectors), (Mode::Lexical, 20));
    assert!(stats.note.unwrap().contains("collection"));
    // Documents come and go, and the process dies before the collection hears of it.
    ingest(&rag, named(100, text(100))).await;
    let gone = rag.documents().await.unwrap().into_iter().find(|document| document.name == "valve3.txt").unwrap();
    rag.delete_document(&gone.id).await.unwrap();
    assert_eq!(outsourced(&rag).await.unwrap().waiting, 2);
    assert_eq!(collection.stats().vectors, 20);
    rag.shutdown().await;

    let rag = Rag::open(dir.path(), config(&embedder)).await.unwrap();
    let embedded = embedder.embedded.load(Ordering::SeqCst);
    let events = rest(rag.outsource(&collection).unwrap()).await.unwrap();
    assert_eq!(events[0], OutsourceEvent::Found { passages: 20, done: 19 });
    assert_eq!(events.last(), Some(&OutsourceEvent::Finished { passages: 20, brought: 1 }));
    assert_eq!(embedder.embedded.load(Ordering::SeqCst), embedded + 1, "its vector was nowhere on the disk");
    assert_eq!(collection.stats().vectors, 20);
    assert_eq!(first(&rag, 100).await, "valve100.txt");
    assert_ne!(first(&rag, 3).await, "valve3.txt");
    assert_eq!(outsourced(&rag).await.map(|standing| (standing.attached, standing.waiting)), Some((true, 0)));
    rag.shutdown().await;

    // Without its embedder it says that by words alone, and differs by words where vectors are needed, or says that it cannot.
    let rag = Rag::open(dir.path(), RagConfig::default()).await.unwrap();
    assert_eq!(rag.search("number7", 1, Mode::Hybrid).await.unwrap().mode, Mode::Lexical);
    let differing = SearchOptions { diversity: 0.5, ..Mode::Lexical.into() };
    assert_eq!(rag.search(ALL, 3, differing).await.unwrap_err().code(), ErrorCode::Unsupported);
    rag.shutdown().await;
    for node in hosts.into_iter().chain([owner]) {
        node.shutdown(GRACE).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_home_is_to_embed_again_and_the_collection_counts_no_more() {
    let (owner, hosts, collection) = world(Privacy::Plain, 1).await;
    let (dir, embedder) = (tempfile::tempdir().unwrap(), Arc::new(Hashing::new(DIMENSION)));
    let rag = knowledge(dir.path(), &embedder, 50).await;
    let before = answers_dense(&rag).await;
    send_away(&rag, &collection).await.unwrap();
    rest(rag.reembed(Arc::new(Hashing::new(DIMENSION))).unwrap()).await.unwrap();
    assert_eq!(outsourced(&rag).await, None);
    owner.vpk().destroy("notes").await.unwrap();
    assert_eq!(answers_dense(&rag).await, before);
    ingest(&rag, named(100, text(100))).await;
    rag.shutdown().await;
    let rag = Rag::open(dir.path(), config(&embedder)).await.unwrap();
    assert_eq!(first(&rag, 100).await, "valve100.txt");
    assert_eq!(rag.stats().await.unwrap().vectors, 51);
    // And away again, to a new one.
    let next = owner.vpk().create("next", shape(Privacy::Plain, vec![HostName::Peer(hosts[0].peer_id())])).await;
    send_away(&rag, &next.unwrap()).await.unwrap();
    assert_eq!(first(&rag, 100).await, "valve100.txt");
    rag.shutdown().await;
    for node in hosts.into_iter().chain([owner]) {
        node.shutdown(GRACE).await.unwrap();
    }
}

async fn answers_dense(rag: &Rag) -> Vec<String> {
    let hits = rag.search(&text(17), 10, Mode::Dense).await.unwrap().hits;
    hits.into_iter().map(|hit| hit.chunk_id).collect()
}

const BRINGING: &str = "KWAAINET_TEST_OUTSOURCE";
const TEXTS: usize = 1600;

/// The node, its collection at itself, and the knowledge base of a directory.
async fn opened(dir: &Path) -> (Node, Collection, Rag) {
    let node = node(&dir.join("node")).await;
    open_house(&node).await;
    let collection = match node.vpk().open("notes").await {
        Ok(collection) => collection,
        Err(_) => node.vpk().create("notes", shape(Privacy::Plain, vec![HostName::Here])).await.unwrap(),
    };
    let embedder = Arc::new(Hashing::new(DIMENSION));
    let rag = Rag::open(&dir.join("knowledge"), config(&embedder)).await.unwrap();
    (node, collection, rag)
}

/// Not a test by itself: the process that is killed. It brings the vectors to the collection and reports every event on a line.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_outsources_until_it_is_killed() {
    let Ok(dir) = std::env::var(BRINGING) else { return };
    let (_node, collection, rag) = opened(Path::new(&dir)).await;
    let mut stream = rag.outsource(&collection).unwrap();
    while let Some(event) = stream.next().await.unwrap() {
        if let Item::Value(event) = event {
            println!("\nevent {}", serde_json::to_string(&event).unwrap());
        }
    }
    // What comes afterwards is told as well, or waits.
    for number in 0.. {
        ingest(&rag, named(TEXTS, format!("{} round{number}", text(TEXTS)))).await;
        println!("\nevent {}", serde_json::to_string(&OutsourceEvent::Brought { done: TEXTS, total: TEXTS }).unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_loses_no_vector_and_tells_the_collection_what_it_missed() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = Arc::new(Hashing::new(DIMENSION));
    std::fs::create_dir_all(dir.path().join("knowledge")).unwrap();
    knowledge(&dir.path().join("knowledge"), &embedder, TEXTS).await.shutdown().await;
    let rounds = std::env::var("KWAAINET_CRASH_POINTS").map_or(8, |points| points.parse().unwrap());
    let mut durable = 0;
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_outsources_until_it_is_killed", "--nocapture"])
            .env(BRINGING, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut left = rand::random_range(1..7);
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some(event) = line.strip_prefix("event ") else { continue };
            match serde_json::from_str(event).unwrap() {
                OutsourceEvent::Found { done, .. } => {
                    assert!(done + 1 >= durable, "round {round} has {done} of {durable} that were reported");
                }
                OutsourceEvent::Brought { done, .. } => durable = done,
                OutsourceEvent::Finished { .. } => {}
            }
            left -= 1;
            if left == 0 {
                std::thread::sleep(Duration::from_micros(rand::random_range(0..30_000)));
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        let (node, collection, rag) = opened(dir.path()).await;
        let stats = rag.stats().await.unwrap();
        assert_eq!(stats.vectors, stats.chunks, "round {round}");
        // Sometimes it goes on with what is left of the last, sometimes with everything told.
        if round % 2 == 1 || round + 1 == rounds {
            send_away(&rag, &collection).await.unwrap();
            assert_eq!(collection.stats().vectors as u64, stats.chunks, "round {round}");
            for number in [0, TEXTS / 2, TEXTS - 1] {
                assert_eq!(first(&rag, number).await, format!("valve{number}.txt"));
            }
            assert_eq!(outsourced(&rag).await.map(|standing| (standing.complete, standing.waiting)), Some((true, 0)));
        }
        rag.shutdown().await;
        node.shutdown(GRACE).await.unwrap();
    }
}
