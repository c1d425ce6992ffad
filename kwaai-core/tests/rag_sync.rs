//! A folder and a knowledge base kept alike, with real files and an embedder that needs no weights.

#[path = "support/hashing.rs"]
mod hashing;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hashing::Hashing;
use kwaai_core::ErrorCode;
use kwaai_core::event::{Item, Stream};
use kwaai_core::llm::{Embedder, Text};
use kwaai_core::rag::chunk::{Chunking, Strategy};
use kwaai_core::rag::{AskOptions, Hit, Mode, Rag, RagConfig, Source, SyncEvent, SyncOptions};

struct Bench {
    dir: tempfile::TempDir,
    embedder: Arc<Hashing>,
    rag: Rag,
}

impl Bench {
    async fn new() -> Bench {
        Bench::with(Chunking::default()).await
    }

    async fn with(chunking: Chunking) -> Bench {
        let dir = tempfile::tempdir().unwrap();
        let embedder = Arc::new(Hashing::new(64));
        let own: Arc<dyn Embedder> = embedder.clone();
        let config = RagConfig { embedder: Some(own), chunking, ..RagConfig::default() };
        let rag = Rag::open(&dir.path().join("kb"), config).await.unwrap();
        Bench { dir, embedder, rag }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    async fn sync(&self, folder: &str, options: SyncOptions) -> Vec<SyncEvent> {
        let mut stream = self.rag.sync(&self.path(folder), options).unwrap();
        let mut events = Vec::new();
        while let Some(item) = stream.next().await.unwrap() {
            events.extend(item.value());
        }
        events
    }

    async fn names(&self) -> Vec<String> {
        self.rag.documents().await.unwrap().into_iter().map(|document| document.name).collect()
    }

    async fn finds(&self, words: &str) -> bool {
        !self.rag.search(words, 5, Mode::Lexical).await.unwrap().hits.is_empty()
    }

    fn embedded(&self) -> usize {
        self.embedder.embedded.load(Ordering::SeqCst)
    }
}

fn deleting() -> SyncOptions {
    SyncOptions { delete: true, ..SyncOptions::default() }
}

/// Added, changed, moved, deleted, missing, unchanged, failed.
fn counts(events: &[SyncEvent]) -> [usize; 7] {
    match events.last() {
        Some(SyncEvent::Finished { added, changed, moved, deleted, missing, unchanged, failed }) => {
            [*added, *changed, *moved, *deleted, *missing, *unchanged, *failed]
        }
        other => panic!("ended with {other:?}"),
    }
}

/// The next event that a watch reports of which this is true.
async fn wait(stream: &mut Stream<SyncEvent>, what: impl Fn(&SyncEvent) -> bool) -> SyncEvent {
    let found = async {
        loop {
            match stream.next().await.unwrap() {
                Some(Item::Value(event)) if what(&event) => return event,
                Some(_) => {}
                None => panic!("the watch ended"),
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found).await.expect("it is reported within a minute")
}

#[tokio::test(flavor = "multi_thread")]
async fn new_changed_moved_and_deleted_files_are_followed() {
    let bench = Bench::new().await;
    bench.write("docs/a.txt", "The apples are red.");
    bench.write("docs/b.txt", "The pears are green.");
    bench.write("docs/c.txt", "The plums are blue.");
    assert_eq!(counts(&bench.sync("docs", deleting()).await), [3, 0, 0, 0, 0, 0, 0]);
    let before = bench.embedded();
    assert_eq!(counts(&bench.sync("docs", deleting()).await), [0, 0, 0, 0, 0, 3, 0]);

    bench.write("docs/a.txt", "The apples are yellow.");
    std::fs::create_dir(bench.path("docs/deep")).unwrap();
    std::fs::rename(bench.path("docs/b.txt"), bench.path("docs/deep/pears.txt")).unwrap();
    std::fs::remove_file(bench.path("docs/c.txt")).unwrap();
    bench.write("docs/d.txt", "The quinces are hard.");
    let events = bench.sync("docs", deleting()).await;
    assert_eq!(counts(&events), [1, 1, 1, 1, 0, 0, 0]);
    assert!(events.iter().any(
        |event| matches!(event, SyncEvent::Moved { before, name, .. } if before == "b.txt" && name == "deep/pears.txt")
    ));
    assert_eq!(bench.names().await, ["a.txt", "d.txt", "deep/pears.txt"]);
    assert_eq!(bench.embedded(), before + 2, "what moved is not embedded again");
    for (words, found) in [("yellow", true), ("red", false), ("pears", true), ("plums", false), ("quinces", true)] {
        assert_eq!(bench.finds(words).await, found, "{words}");
    }
    let stats = bench.rag.stats().await.unwrap();
    assert_eq!((stats.documents, stats.chunks, stats.vectors, stats.indexed), (3, 3, 3, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_same_contents_move_by_their_names() {
    let bench = Bench::new().await;
    let files = ["a/x.txt", "b/y.txt", "b/z.txt"];
    for file in files {
        bench.write(&format!("docs/{file}"), "The same words.");
    }
    bench.sync("docs", deleting()).await;
    std::fs::create_dir(bench.path("docs/c")).unwrap();
    for (from, to) in [("b/z.txt", "c/x.txt"), ("a/x.txt", "c/u.txt"), ("b/y.txt", "c/y.txt")] {
        std::fs::rename(bench.path("docs").join(from), bench.path("docs").join(to)).unwrap();
    }
    let events = bench.sync("docs", deleting()).await;
    assert_eq!(counts(&events), [0, 0, 3, 0, 0, 0, 0]);
    let mut moves: Vec<(&str, &str)> = events
        .iter()
        .filter_map(|event| match event {
            SyncEvent::Moved { before, name, .. } => Some((before.as_str(), name.as_str())),
            _ => None,
        })
        .collect();
    moves.sort_unstable();
    assert_eq!(moves, [("a/x.txt", "c/x.txt"), ("b/y.txt", "c/y.txt"), ("b/z.txt", "c/u.txt")]);
    assert_eq!(bench.names().await, ["c/u.txt", "c/x.txt", "c/y.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_same_size_and_time_is_seen() {
    let bench = Bench::new().await;
    bench.write("docs/a.txt", "The door is red.");
    let time = std::fs::metadata(bench.path("docs/a.txt")).unwrap().modified().unwrap();
    bench.sync("docs", SyncOptions::default()).await;
    bench.write("docs/a.txt", "The door is old.");
    std::fs::File::options().write(true).open(bench.path("docs/a.txt")).unwrap().set_modified(time).unwrap();
    assert_eq!(counts(&bench.sync("docs", SyncOptions::default()).await), [0, 1, 0, 0, 0, 0, 0]);
    assert!(bench.finds("old").await && !bench.finds("red").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_beside_each_other_are_left_alone() {
    let bench = Bench::new().await;
    for folder in ["docs", "docs2", "docs/inner"] {
        bench.write(&format!("{folder}/notes.md"), &format!("Notes of {}.", folder.replace('/', " ")));
    }
    bench.sync("docs2", deleting()).await;
    bench.sync("docs", deleting()).await;
    let ids = bench.rag.documents().await.unwrap();
    std::fs::remove_dir_all(bench.path("docs2")).unwrap();
    std::fs::create_dir(bench.path("docs2")).unwrap();
    bench.write("docs2/notes.md", "Notes of docs2, again.");
    std::fs::remove_file(bench.path("docs/notes.md")).unwrap();
    assert_eq!(counts(&bench.sync("docs2", deleting()).await), [0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(
        bench.rag.documents().await.unwrap().len(),
        ids.len(),
        "the other folder's file is gone, its document is not"
    );
    assert_eq!(counts(&bench.sync("docs", SyncOptions::default()).await)[3..5], [0, 1]);
    // A file of another folder with the name of a document that is only missing does not take its place.
    bench.write("docs3/notes (2).md", "Notes of docs3.");
    bench.sync("docs3", deleting()).await;
    assert_eq!(bench.rag.documents().await.unwrap().len(), ids.len() + 1);
    assert_eq!(counts(&bench.sync("docs", deleting()).await)[3..5], [1, 0]);
    assert!(bench.finds("again").await && bench.finds("docs3").await);
    assert_eq!(bench.rag.documents().await.unwrap().len(), ids.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_uploaded_keeps_its_name_from_a_folder() {
    let bench = Bench::new().await;
    let mut stream =
        bench.rag.ingest(Source::Bytes { name: "a.txt".into(), bytes: b"Uploaded words.".to_vec() }).unwrap();
    while stream.next().await.unwrap().is_some() {}
    bench.write("docs/a.txt", "Words of a file.");
    bench.sync("docs", deleting()).await;
    assert_eq!(bench.names().await, ["a (2).txt", "a.txt"]);
    assert!(bench.finds("uploaded").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_keeps_its_old_version_and_holds_nobody_up() {
    let bench = Bench::new().await;
    bench.write("docs/a.txt", "The old words.");
    bench.sync("docs", deleting()).await;
    std::fs::write(bench.path("docs/a.txt"), [0u8, 159, 146, 150, 0, 1, 2, 3, 0, 0]).unwrap();
    bench.write("docs/b.pdf", "no such thing");
    bench.write("docs/c.txt", "The new words.");
    let events = bench.sync("docs", deleting()).await;
    assert_eq!(counts(&events), [1, 0, 0, 0, 0, 0, 2]);
    let failed: Vec<&str> = events
        .iter()
        .filter_map(|event| if let SyncEvent::Failed { name, .. } = event { Some(name.as_str()) } else { None })
        .collect();
    assert_eq!(failed, ["a.txt", "b.pdf"]);
    assert!(bench.finds("old").await && bench.finds("new").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_extensions_that_were_asked_for_are_touched() {
    let bench = Bench::new().await;
    bench.write("docs/a.txt", "Apples.");
    bench.write("docs/b.md", "Pears.");
    bench.sync("docs", SyncOptions::default()).await;
    bench.write("docs/b.md", "Plums.");
    let only = SyncOptions { extensions: vec![".TXT".into()], ..deleting() };
    assert_eq!(counts(&bench.sync("docs", only.clone()).await), [0, 0, 0, 0, 0, 1, 0]);
    assert!(bench.finds("pears").await);
    std::fs::remove_file(bench.path("docs/b.md")).unwrap();
    assert_eq!(counts(&bench.sync("docs", only).await), [0, 0, 0, 0, 0, 1, 0]);
    assert!(bench.finds("pears").await, "nobody looked for it");
    let wrong = SyncOptions { extensions: vec!["exe".into()], ..SyncOptions::default() };
    assert_eq!(bench.rag.sync(&bench.path("docs"), wrong).err().unwrap().code(), ErrorCode::InvalidArgument);
    let never = SyncOptions { watch: true, interval: Duration::ZERO, ..SyncOptions::default() };
    assert_eq!(bench.rag.sync(&bench.path("docs"), never).err().unwrap().code(), ErrorCode::InvalidArgument);
    let mut stream = bench.rag.sync(&bench.path("none"), SyncOptions::default()).unwrap();
    assert_eq!(stream.next().await.unwrap_err().code(), ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_knowledge_base_does_not_read_itself() {
    let bench = Bench::new().await;
    bench.write("a.txt", "Apples.");
    bench.sync("", deleting()).await;
    assert_eq!(bench.names().await, ["a.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_came_under_another_name_as_well_is_kept_alike_under_both() {
    let bench = Bench::new().await;
    let ingest = async |source: Source| {
        let mut stream = bench.rag.ingest(source).unwrap();
        while stream.next().await.unwrap().is_some() {}
    };
    ingest(Source::Bytes { name: "a.txt".into(), bytes: b"Uploaded words.".to_vec() }).await;
    bench.write("all/docs/a.txt", "The apples are red.");
    bench.sync("all/docs", deleting()).await;
    ingest(Source::Path(bench.path("all/docs"))).await;
    assert_eq!(bench.names().await, ["a (2).txt", "a.txt"], "the file goes by the name that it has");
    assert!(bench.finds("uploaded").await);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(bench.path("all/docs"), bench.path("link")).unwrap();
        ingest(Source::Path(bench.path("link"))).await;
        assert_eq!(bench.names().await, ["a (2).txt", "a.txt"], "whichever way leads there");
    }

    ingest(Source::Path(bench.path("all"))).await;
    assert_eq!(bench.names().await, ["a (2).txt", "a.txt", "docs/a.txt"]);
    bench.write("all/docs/a.txt", "The apples are yellow.");
    assert_eq!(counts(&bench.sync("all/docs", deleting()).await), [0, 2, 0, 0, 0, 0, 0]);
    assert!(!bench.finds("red").await && bench.finds("yellow").await);
    std::fs::remove_file(bench.path("all/docs/a.txt")).unwrap();
    assert_eq!(counts(&bench.sync("all/docs", deleting()).await), [0, 0, 0, 2, 0, 0, 0]);
    assert_eq!(bench.names().await, ["a.txt"]);
}

/// Refuses everything until it is mended.
struct Broken {
    mended: AtomicBool,
    inner: Hashing,
}

#[async_trait::async_trait]
impl Embedder for Broken {
    fn id(&self) -> String {
        self.inner.id()
    }

    fn dimension(&self) -> usize {
        self.inner.dimension()
    }

    async fn embed(&self, texts: Vec<Text>) -> kwaai_core::Result<Vec<Vec<f32>>> {
        match self.mended.load(Ordering::SeqCst) {
            true => self.inner.embed(texts).await,
            false => Err(kwaai_core::Error::invalid_argument("the model is not loaded")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedder_that_refuses_is_asked_again_whatever_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let broken = Arc::new(Broken { mended: AtomicBool::new(false), inner: Hashing::new(64) });
    let own: Arc<dyn Embedder> = broken.clone();
    let config = RagConfig { embedder: Some(own), ..RagConfig::default() };
    let rag = Rag::open(&dir.path().join("kb"), config).await.unwrap();
    let docs = dir.path().join("docs");
    std::fs::create_dir(&docs).unwrap();
    std::fs::write(docs.join("a.txt"), "The apples are red.").unwrap();
    let options =
        SyncOptions { watch: true, polling: true, interval: Duration::from_millis(50), ..SyncOptions::default() };
    let mut stream = rag.sync(&docs, options).unwrap();
    wait(&mut stream, |event| matches!(event, SyncEvent::Failed { code, .. } if code == "invalid_argument")).await;
    broken.mended.store(true, Ordering::SeqCst);
    wait(&mut stream, |event| matches!(event, SyncEvent::Added { name, .. } if name == "a.txt")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_paragraph_is_all_that_is_embedded_again() {
    let bench =
        Bench::with(Chunking { strategy: Strategy::Heading, size: 200, overlap: 0, min: 20, ..Chunking::default() })
            .await;
    let paragraph =
        |number: usize| format!("## Part {number}\n\nThis is what part {number} says about its matter.\n\n");
    let text: String = (0..40).map(paragraph).collect();
    bench.write("docs/a.md", &text);
    bench.sync("docs", SyncOptions::default()).await;
    let before = bench.embedded();
    assert_eq!(before, 40);
    let ids = |hits: Vec<Hit>| hits.into_iter().map(|hit| hit.chunk_id).collect::<Vec<_>>();
    let last = ids(bench.rag.search("part 39", 1, Mode::Lexical).await.unwrap().hits);
    bench.write("docs/a.md", &text.replace("what part 7 says", "now a good deal more of what part 7 says"));
    bench.sync("docs", SyncOptions::default()).await;
    assert_eq!(bench.embedded(), before + 1);
    assert_eq!(ids(bench.rag.search("part 39", 1, Mode::Lexical).await.unwrap().hits), last, "what stays keeps its id");
    // The same text twice in a file, and in a second file of the same run.
    bench.write("docs/b.md", &("## Again\n\nThe same words stand here twice over.\n\n".repeat(2)));
    bench.sync("docs", SyncOptions::default()).await;
    assert_eq!(bench.embedded(), before + 2);
    let stats = bench.rag.stats().await.unwrap();
    assert_eq!((stats.chunks, stats.vectors, stats.indexed), (42, 42, 42));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_follows_changes_until_it_is_dropped() {
    for polling in [false, true] {
        let bench = Bench::new().await;
        bench.write("docs/a.txt", "The apples are red.");
        let interval = if polling { Duration::from_millis(50) } else { Duration::from_secs(3600) };
        let options = SyncOptions { watch: true, polling, interval, ..deleting() };
        let mut stream = bench.rag.sync(&bench.path("docs"), options).unwrap();
        let watching = wait(&mut stream, |event| matches!(event, SyncEvent::Watching { .. })).await;
        assert_eq!(watching, SyncEvent::Watching { events: !polling, note: None });
        bench.write("docs/deep/b.txt", "The pears are green.");
        wait(&mut stream, |event| matches!(event, SyncEvent::Added { name, .. } if name == "deep/b.txt")).await;
        assert!(bench.finds("pears").await, "what is reported can be found");
        bench.write("docs/a.txt", "The apples are yellow.");
        wait(&mut stream, |event| matches!(event, SyncEvent::Changed { name, .. } if name == "a.txt")).await;
        std::fs::rename(bench.path("docs/a.txt"), bench.path("docs/z.txt")).unwrap();
        wait(&mut stream, |event| matches!(event, SyncEvent::Moved { name, .. } if name == "z.txt")).await;
        std::fs::remove_file(bench.path("docs/z.txt")).unwrap();
        wait(&mut stream, |event| matches!(event, SyncEvent::Deleted { name, .. } if name == "z.txt")).await;
        drop(stream);
        // The watch lets go of the knowledge base; a shutdown would wait for it otherwise.
        tokio::time::timeout(Duration::from_secs(60), bench.rag.shutdown()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_ends_with_its_knowledge_base_and_when_it_is_cancelled() {
    let bench = Bench::new().await;
    bench.write("docs/a.txt", "The apples are red.");
    let options = SyncOptions { watch: true, ..SyncOptions::default() };
    let mut cancelled = bench.rag.sync(&bench.path("docs"), options.clone()).unwrap();
    wait(&mut cancelled, |event| matches!(event, SyncEvent::Watching { .. })).await;
    cancelled.cancel();
    let mut closed = bench.rag.sync(&bench.path("docs"), options).unwrap();
    wait(&mut closed, |event| matches!(event, SyncEvent::Watching { .. })).await;
    bench.rag.shutdown().await;
    for mut stream in [cancelled, closed] {
        let end = loop {
            match stream.next().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("a watch does not end by itself"),
                Err(error) => break error.code(),
            }
        };
        assert_eq!(end, ErrorCode::Cancelled);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hits_and_citations_say_where_they_stand() {
    let bench = Bench::new().await;
    let rows: String = (1..60).map(|row| format!("pump{row},{} kW,hall {row}\n", row * 3)).collect();
    bench.write("docs/pumps.csv", &format!("name,power,place\n{rows}"));
    bench.sync("docs", SyncOptions::default()).await;
    let hit = bench.rag.search("pump33", 1, Mode::Lexical).await.unwrap().hits.remove(0);
    let text = bench.rag.document_text(&hit.document_id).await.unwrap();
    assert_eq!(&text[hit.span.clone()], hit.text);
    assert!(hit.locator.unwrap().starts_with("rows "));
    let answer =
        bench.rag.answer("What power has pump33?", AskOptions { k: 3, ..AskOptions::default() }).await.unwrap();
    let citation = &answer.citations[0];
    assert!(citation.quote.contains("name: pump33; power: 99 kW"), "{answer:?}");
    assert_eq!(citation.locator.as_deref(), Some("row 34"));
    // A value that is cut into several passages is called the same in each.
    let sentences: String = (0..60).map(|number| format!("Step {number} turns the valve of hall{number}. ")).collect();
    bench.write("docs/manual.json", &serde_json::json!({"manual": {"valves": sentences}}).to_string());
    bench.sync("docs", SyncOptions::default()).await;
    let hit = bench.rag.search("hall55", 1, Mode::Lexical).await.unwrap().hits.remove(0);
    assert!(hit.span.start > 0 && hit.locator.as_deref() == Some("manual.valves"), "{hit:?}");
    let answer = bench.rag.answer("Which step turns the valve of hall55?", AskOptions::default()).await.unwrap();
    assert_eq!(answer.citations[0].locator.as_deref(), Some("manual.valves"), "{answer:?}");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn names_of_every_kind_are_kept_and_links_lead_nowhere() {
    let bench = Bench::new().await;
    let long = format!("{}.txt", "n".repeat(251));
    let names = [
        "two\nlines.txt",
        " spaces .md",
        "日本語 🙂.txt",
        "نص.txt",
        "e\u{301}.txt",
        "\u{e9}.txt",
        "a\"b'c<d>.md",
        &long,
    ];
    for (number, name) in names.iter().enumerate() {
        bench.write(&format!("docs/{name}"), &format!("The words of file number{number}."));
    }
    bench.write("elsewhere/secret.txt", "The secret words.");
    std::os::unix::fs::symlink(bench.path("elsewhere"), bench.path("docs/folder")).unwrap();
    std::os::unix::fs::symlink(bench.path("elsewhere/secret.txt"), bench.path("docs/file.txt")).unwrap();
    std::os::unix::fs::symlink(bench.path("docs"), bench.path("docs/loop")).unwrap();
    use std::os::unix::ffi::OsStringExt;
    let broken = std::ffi::OsString::from_vec(b"broken\xff.txt".to_vec());
    std::fs::write(bench.path("docs").join(broken), "Words of a file without a name.").unwrap();
    assert_eq!(counts(&bench.sync("docs", deleting()).await), [names.len(), 0, 0, 0, 0, 0, 0]);
    for (number, name) in names.iter().enumerate() {
        let hits = bench.rag.search(&format!("number{number}"), 1, Mode::Lexical).await.unwrap().hits;
        assert_eq!(hits[0].document, *name);
    }
    assert!(!bench.finds("secret").await);
    for name in &names[1..] {
        std::fs::remove_file(bench.path(&format!("docs/{name}"))).unwrap();
    }
    assert_eq!(counts(&bench.sync("docs", deleting()).await), [0, 0, 0, names.len() - 1, 0, 1, 0]);
    assert_eq!(bench.names().await, [names[0]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_deleted_document_remains() {
    let bench = Bench::new().await;
    bench.write("docs/a.txt", "The zanzibar words of a file. They are few.");
    bench.write("docs/b.txt", "Other words.");
    bench.sync("docs", deleting()).await;
    std::fs::remove_file(bench.path("docs/a.txt")).unwrap();
    bench.sync("docs", deleting()).await;
    let stats = bench.rag.stats().await.unwrap();
    assert_eq!((stats.documents, stats.chunks, stats.vectors, stats.indexed), (1, 1, 1, 1));
    for mode in [Mode::Lexical, Mode::Dense, Mode::Hybrid] {
        let hits = bench.rag.search("zanzibar words of a file", 5, mode).await.unwrap().hits;
        assert!(hits.iter().all(|hit| hit.document == "b.txt"), "{mode:?}: {hits:?}");
    }
    // Its vectors are gone too: the same words are embedded anew.
    let before = bench.embedded();
    bench.write("docs/c.txt", "The zanzibar words of a file. They are few.");
    bench.sync("docs", deleting()).await;
    assert_eq!(bench.embedded(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_words_many_times_over_are_as_many_passages() {
    let bench = Bench::new().await;
    bench.write("docs/a.csv", &format!("name,number\n{}", "the same,row\n".repeat(3000)));
    bench.sync("docs", SyncOptions::default()).await;
    let stats = bench.rag.stats().await.unwrap();
    assert!(stats.chunks > 50 && (stats.vectors, stats.indexed) == (stats.chunks, stats.chunks), "{stats:?}");
    assert!(bench.embedded() < 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_tells_of_a_missing_file_each_time_and_of_what_failed_once() {
    let bench = Bench::new().await;
    bench.write("docs/a.txt", "The apples are red.");
    bench.write("docs/b.pdf", "no such thing");
    let options =
        SyncOptions { watch: true, polling: true, interval: Duration::from_millis(20), ..SyncOptions::default() };
    let mut stream = bench.rag.sync(&bench.path("docs"), options).unwrap();
    wait(&mut stream, |event| matches!(event, SyncEvent::Failed { name, .. } if name == "b.pdf")).await;
    let not_again = |event: &SyncEvent| {
        assert!(!matches!(event, SyncEvent::Failed { .. }), "{event:?}");
    };
    for _ in 0..2 {
        std::fs::remove_file(bench.path("docs/a.txt")).unwrap();
        wait(&mut stream, |event| {
            not_again(event);
            matches!(event, SyncEvent::Missing { name, .. } if name == "a.txt")
        })
        .await;
        assert!(bench.finds("apples").await, "without deletion it stays");
        // It is back, and a pass has seen it so: another file is new to that pass.
        bench.write("docs/a.txt", "The apples are red.");
        let mark = format!("mark{}.txt", bench.names().await.len());
        bench.write(&format!("docs/{mark}"), &format!("The {mark} is here."));
        wait(&mut stream, |event| {
            not_again(event);
            matches!(event, SyncEvent::Added { name, .. } if *name == mark)
        })
        .await;
    }
    bench.write("docs/b.pdf", "no such thing either");
    wait(&mut stream, |event| matches!(event, SyncEvent::Failed { name, .. } if name == "b.pdf")).await;
    drop(stream);
    bench.rag.shutdown().await;
}

// anchor: follow
/// Keeps a folder and a knowledge base alike, until the stream is dropped.
async fn follow(rag: &Rag, folder: &Path) -> kwaai_core::Result<Stream<SyncEvent>> {
    let options = SyncOptions { delete: true, watch: true, ..SyncOptions::default() };
    let mut events = rag.sync(folder, options)?;
    while let Some(item) = events.next().await? {
        match item {
            Item::Value(SyncEvent::Failed { name, message, .. }) => eprintln!("{name}: {message}"),
            Item::Value(SyncEvent::Watching { .. }) => break,
            _ => {}
        }
    }
    Ok(events)
}
// end: follow

// anchor: place
/// Where the best passages for some words stand.
async fn places(rag: &Rag, words: &str) -> kwaai_core::Result<Vec<String>> {
    let found = rag.search(words, 3, Mode::Hybrid).await?;
    let place = |hit: &Hit| format!("{}, {}", hit.document, hit.locator.as_deref().unwrap_or("somewhere"));
    Ok(found.hits.iter().map(place).collect())
}
// end: place

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_of_the_manual_run() {
    let bench = Bench::new().await;
    bench.write("docs/guide.md", "# Install\n\n## Linux\nUse the package of your system; it is called kwaainet.\n");
    let _watch = follow(&bench.rag, &bench.path("docs")).await.unwrap();
    assert_eq!(places(&bench.rag, "package of the system").await.unwrap(), ["guide.md, Install > Linux"]);
}
