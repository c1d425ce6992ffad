//! A knowledge base as an app uses it, with an embedder that needs no weights.

#[path = "support/hashing.rs"]
mod hashing;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashing::Hashing;
use kwaai_core::ErrorCode;
use kwaai_core::event::Item;
use kwaai_core::llm::Embedder;
use kwaai_core::rag::chunk::Chunking;
use kwaai_core::rag::{Answer, AskOptions, IngestEvent, Mode, REFUSAL, Rag, RagConfig, Source};
use kwaai_core::store::write_atomic;

const KEYS: &str = "# Keys\n\nThe node keeps its identity in the file identity.key, readable by its owner alone.\nLosing it means a new PeerId.\n\n\
    # Network\n\nPeers find each other through a distributed hash table. The default port for pages is 9090.\n";
const COOKING: &str = "Boil the potatoes for twenty minutes. Add salt and butter. Serve the mash while it is hot.\n";

fn hashing() -> Arc<Hashing> {
    Arc::new(Hashing::new(128))
}

fn with(embedder: &Arc<Hashing>) -> RagConfig {
    RagConfig { embedder: Some(embedder.clone() as Arc<dyn Embedder>), ..RagConfig::default() }
}

fn folder(dir: &Path) -> std::path::PathBuf {
    let folder = dir.join("documents");
    write_atomic(&folder.join("keys.md"), KEYS.as_bytes()).unwrap();
    write_atomic(&folder.join("deep/cooking.txt"), COOKING.as_bytes()).unwrap();
    folder
}

async fn ingest(rag: &Rag, source: Source) -> Vec<IngestEvent> {
    let mut stream = rag.ingest(source).unwrap();
    let mut events = Vec::new();
    while let Some(item) = stream.next().await.unwrap() {
        events.extend(item.value());
    }
    events
}

fn bytes(name: &str, text: &str) -> Source {
    Source::Bytes { name: name.into(), bytes: text.as_bytes().to_vec() }
}

async fn answer(rag: &Rag, question: &str) -> Answer {
    rag.answer(question, AskOptions::default()).await.unwrap()
}

fn finished(events: &[IngestEvent]) -> (usize, usize, usize) {
    match events.last() {
        Some(IngestEvent::Finished { ingested, unchanged, failed, .. }) => (*ingested, *unchanged, *failed),
        other => panic!("ended with {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_ingested_searched_and_quoted() {
    let dir = tempfile::tempdir().unwrap();
    let rag = Rag::open(&dir.path().join("kb"), with(&hashing())).await.unwrap();
    let events = ingest(&rag, Source::Path(folder(dir.path()))).await;
    assert_eq!(events[0], IngestEvent::Found { files: 2 });
    assert_eq!(finished(&events), (2, 0, 0));
    let names: Vec<String> = rag.documents().await.unwrap().into_iter().map(|document| document.name).collect();
    assert_eq!(names, ["deep/cooking.txt", "keys.md"]);
    let result = rag.search("identity file", 3, Mode::Hybrid).await.unwrap();
    assert_eq!((result.mode, result.note), (Mode::Hybrid, None));
    assert_eq!(result.hits[0].document, "keys.md");
    let answer = answer(&rag, "Which file does the node keep its identity in?").await;
    assert!(!answer.refused, "{answer:?}");
    assert!(answer.text.contains("identity.key") && answer.text.contains("[1]"), "{answer:?}");
    for (index, citation) in answer.citations.iter().enumerate() {
        assert_eq!(citation.number, index + 1);
        assert!(answer.text.contains(&format!("[{}]", citation.number)));
        let text = rag.document_text(&citation.document_id).await.unwrap();
        assert_eq!(&text[citation.span.clone()], citation.quote);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_embedder_it_searches_by_words_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let rag = Rag::open(&dir.path().join("kb"), RagConfig::default()).await.unwrap();
    ingest(&rag, Source::Path(folder(dir.path()))).await;
    let result = rag.search("potatoes", 5, Mode::Hybrid).await.unwrap();
    assert_eq!(result.mode, Mode::Lexical);
    assert!(result.note.unwrap().contains("embedder"));
    assert_eq!(result.hits.len(), 1);
    assert!(rag.stats().await.unwrap().note.is_some());
    assert_eq!(rag.search("potatoes", 5, Mode::Dense).await.unwrap_err().code(), ErrorCode::Unsupported);
    let answered = answer(&rag, "Which file keeps the identity of the node?").await;
    assert!(!answered.refused && answered.text.contains("identity.key"), "{answered:?}");
    let refused = answer(&rag, "What is the capital of Mongolia?").await;
    assert!(refused.refused && refused.text.starts_with(REFUSAL) && refused.citations.is_empty(), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_embedder_given_later_fills_in_the_missing_vectors() {
    let dir = tempfile::tempdir().unwrap();
    let source = Source::Path(folder(dir.path()));
    let rag = Rag::open(&dir.path().join("kb"), RagConfig::default()).await.unwrap();
    ingest(&rag, source.clone()).await;
    rag.shutdown().await;
    let rag = Rag::open(&dir.path().join("kb"), with(&hashing())).await.unwrap();
    assert!(rag.stats().await.unwrap().note.unwrap().contains("ingest them again"));
    assert_eq!(finished(&ingest(&rag, source).await), (2, 0, 0));
    let stats = rag.stats().await.unwrap();
    assert_eq!((stats.vectors, stats.note), (stats.chunks, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_knowledge_base_answers_honestly() {
    let dir = tempfile::tempdir().unwrap();
    let rag = Rag::open(dir.path(), with(&hashing())).await.unwrap();
    let answer = answer(&rag, "Anything?").await;
    assert!(answer.refused && answer.text.starts_with(REFUSAL) && answer.support == 0.0);
    assert!(rag.search("anything", 5, Mode::Hybrid).await.unwrap().hits.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_folder_again_is_unchanged_and_embeds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = hashing();
    let source = Source::Path(folder(dir.path()));
    let rag = Rag::open(&dir.path().join("kb"), with(&embedder)).await.unwrap();
    ingest(&rag, source.clone()).await;
    let (before, stats) = (embedder.embedded.load(Ordering::SeqCst), rag.stats().await.unwrap());
    assert_eq!(finished(&ingest(&rag, source).await), (0, 2, 0));
    assert_eq!(embedder.embedded.load(Ordering::SeqCst), before);
    assert_eq!(rag.stats().await.unwrap(), stats);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_document_replaces_its_old_version_and_keeps_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let rag = Rag::open(dir.path(), with(&hashing())).await.unwrap();
    ingest(&rag, bytes("a.txt", "The colour of the door is vermilion.")).await;
    let before = rag.documents().await.unwrap();
    ingest(&rag, bytes("a.txt", "The colour of the door is turquoise.")).await;
    let after = rag.documents().await.unwrap();
    assert_eq!((after.len(), &after[0].id), (1, &before[0].id));
    assert!(rag.search("vermilion", 5, Mode::Lexical).await.unwrap().hits.is_empty());
    assert_eq!(rag.search("turquoise", 5, Mode::Lexical).await.unwrap().hits.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_one_name_from_two_folders_are_two_documents() {
    let dir = tempfile::tempdir().unwrap();
    let rag = Rag::open(&dir.path().join("kb"), RagConfig::default()).await.unwrap();
    for folder in ["one", "two"] {
        let folder = dir.path().join(folder);
        write_atomic(&folder.join("notes.md"), format!("Notes of {}.", folder.display()).as_bytes()).unwrap();
        ingest(&rag, Source::Path(folder)).await;
    }
    let names: Vec<String> = rag.documents().await.unwrap().into_iter().map(|document| document.name).collect();
    assert_eq!(names, ["notes (2).md", "notes.md"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn text_that_was_embedded_before_is_not_embedded_again() {
    let dir = tempfile::tempdir().unwrap();
    let embedder = hashing();
    let rag = Rag::open(dir.path(), with(&embedder)).await.unwrap();
    ingest(&rag, bytes("a.txt", COOKING)).await;
    let before = embedder.embedded.load(Ordering::SeqCst);
    ingest(&rag, bytes("copy.txt", COOKING)).await;
    assert_eq!(embedder.embedded.load(Ordering::SeqCst), before);
    let stats = rag.stats().await.unwrap();
    assert_eq!((stats.documents, stats.vectors), (2, stats.chunks));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_is_reported_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let folder = folder(dir.path());
    write_atomic(&folder.join("broken.pdf"), b"%PDF-1.7 not really").unwrap();
    write_atomic(&folder.join("empty.txt"), b"").unwrap();
    let rag = Rag::open(&dir.path().join("kb"), with(&hashing())).await.unwrap();
    let events = ingest(&rag, Source::Path(folder)).await;
    assert_eq!(finished(&events), (2, 0, 2));
    let failed: Vec<(&str, &str)> = events
        .iter()
        .filter_map(|event| match event {
            IngestEvent::DocumentFailed { name, code, .. } => Some((name.as_str(), code.as_str())),
            _ => None,
        })
        .collect();
    assert_eq!(failed, [("broken.pdf", "corrupt_data"), ("empty.txt", "invalid_argument")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_document_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let rag = Rag::open(dir.path(), with(&hashing())).await.unwrap();
    ingest(&rag, bytes("a.txt", COOKING)).await;
    let before = rag.stats().await.unwrap();
    ingest(&rag, bytes("b.txt", KEYS)).await;
    let id = rag.documents().await.unwrap()[1].id.clone();
    rag.delete_document(&id).await.unwrap();
    let after = rag.stats().await.unwrap();
    assert_eq!(
        (after.documents, after.chunks, after.vectors, after.indexed),
        (before.documents, before.chunks, before.vectors, before.indexed)
    );
    assert!(rag.search("identity", 5, Mode::Lexical).await.unwrap().hits.is_empty());
    let near = rag.search(KEYS, 5, Mode::Hybrid).await.unwrap().hits;
    assert!(near.iter().all(|hit| hit.document == "a.txt"));
    assert_eq!(rag.document_text(&id).await.unwrap_err().code(), ErrorCode::NotFound);
    assert_eq!(rag.delete_document(&id).await.unwrap_err().code(), ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_a_query_is_syntax() {
    let dir = tempfile::tempdir().unwrap();
    let rag = Rag::open(dir.path(), with(&hashing())).await.unwrap();
    ingest(&rag, bytes("a.txt", COOKING)).await;
    let plain = rag.search("potatoes butter", 5, Mode::Lexical).await.unwrap().hits;
    for query in [
        "potatoes AND butter",
        "\"potatoes (butter",
        "potatoes: *butter*",
        "+potatoes -butter",
        "potatoes^2 butter~1 \\",
        "[potatoes TO butter]",
    ] {
        let hits = rag.search(query, 5, Mode::Lexical).await.unwrap().hits;
        assert_eq!(hits.len(), plain.len(), "{query}");
        assert_eq!(hits[0].chunk_id, plain[0].chunk_id, "{query}");
    }
    for query in ["", " ", "* ( \" AND", "\u{0}\u{fffd}", &"x".repeat(32 << 10)] {
        rag.search(query, 5, Mode::Hybrid).await.unwrap();
    }
    let error = rag.search(&"x".repeat((32 << 10) + 1), 5, Mode::Hybrid).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_read_without_the_knowledge_bases_that_lie_in_it() {
    let dir = tempfile::tempdir().unwrap();
    folder(dir.path());
    let other = Rag::open(&dir.path().join("other"), with(&hashing())).await.unwrap();
    ingest(&other, bytes("a.txt", COOKING)).await;
    let rag = Rag::open(&dir.path().join("own"), with(&hashing())).await.unwrap();
    ingest(&rag, Source::Path(dir.path().to_owned())).await;
    let documents = rag.documents().await.unwrap();
    assert!(!documents.is_empty());
    for name in documents.iter().map(|document| &document.name) {
        assert!(!name.starts_with("own/") && !name.starts_with("other/"), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_question_gives_the_same_bytes() {
    let mut seen = Vec::new();
    for _ in 0..2 {
        let dir = tempfile::tempdir().unwrap();
        let rag = Rag::open(&dir.path().join("kb"), with(&hashing())).await.unwrap();
        ingest(&rag, Source::Path(folder(dir.path()))).await;
        for _ in 0..5 {
            let hits = rag.search("the node and the potatoes", 5, Mode::Hybrid).await.unwrap();
            let answer = answer(&rag, "Which port do pages use by default?").await;
            seen.push(serde_json::to_string(&(hits, answer)).unwrap());
        }
    }
    assert!(seen.iter().all(|bytes| *bytes == seen[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_open_is_busy_until_the_first_is_shut_down() {
    let dir = tempfile::tempdir().unwrap();
    let rag = Rag::open(dir.path(), RagConfig::default()).await.unwrap();
    assert_eq!(Rag::open(dir.path(), RagConfig::default()).await.err().unwrap().code(), ErrorCode::Busy);
    let clone = rag.clone();
    rag.shutdown().await;
    rag.shutdown().await;
    assert_eq!(clone.documents().await.unwrap_err().code(), ErrorCode::Closed);
    assert_eq!(clone.ingest(bytes("a.txt", "x")).err().unwrap().code(), ErrorCode::Closed);
    let again = Rag::open(dir.path(), RagConfig::default()).await.unwrap();
    drop(again);
    Rag::open(dir.path(), RagConfig::default()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_that_cannot_be_kept_are_refused_before_anything_is_made() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("kb");
    for (size, overlap, min) in [(0, 0, 0), (10, 10, 0), (10, 2, 11)] {
        let chunking = Chunking { size, overlap, min, ..Chunking::default() };
        let error = Rag::open(&home, RagConfig { chunking, ..RagConfig::default() }).await.err().unwrap();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(!home.exists(), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn destroying_deletes_what_it_stored_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let kb = dir.path().join("kb");
    let rag = Rag::open(&kb, with(&hashing())).await.unwrap();
    ingest(&rag, bytes("a.txt", COOKING)).await;
    rag.destroy().await.unwrap();
    assert!(!kb.exists());
    let rag = Rag::open(&kb, RagConfig::default()).await.unwrap();
    write_atomic(&kb.join("mine.txt"), b"x").unwrap();
    rag.destroy().await.unwrap();
    assert_eq!(std::fs::read_dir(&kb).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_ingestion_keeps_whole_documents_only() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("documents");
    for file in 0..600 {
        write_atomic(&folder.join(format!("f{file:03}.txt")), format!("{COOKING} Number{file}.").as_bytes()).unwrap();
    }
    let rag = Rag::open(&dir.path().join("kb"), with(&hashing())).await.unwrap();
    let mut stream = rag.ingest(Source::Path(folder)).unwrap();
    let mut done = 0;
    let end = loop {
        match stream.next().await {
            Ok(Some(Item::Value(IngestEvent::DocumentDone { .. }))) => {
                done += 1;
                stream.cancel();
            }
            Ok(Some(_)) => {}
            Ok(None) => break None,
            Err(error) => break Some(error.code()),
        }
    };
    assert_eq!(end, Some(ErrorCode::Cancelled));
    let stats = rag.stats().await.unwrap();
    assert_eq!(stats.documents, done);
    assert!(done < 600);
    assert_eq!((stats.chunks, stats.chunks), (stats.vectors, stats.indexed));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_embedder_is_a_conflict() {
    let dir = tempfile::tempdir().unwrap();
    Rag::open(dir.path(), with(&hashing())).await.unwrap().shutdown().await;
    let other = Arc::new(Hashing::new(64));
    assert_eq!(Rag::open(dir.path(), with(&other)).await.err().unwrap().code(), ErrorCode::Conflict);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_come_together_share_no_name_with_each_other_or_with_what_stays_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    write_atomic(&old.join("notes.md"), b"The old kiln stands by the river.\n").unwrap();
    write_atomic(&new.join("notes (2).md"), b"The second kiln stands by the mill.\n").unwrap();
    write_atomic(&new.join("notes.md"), b"The third kiln stands by the quarry.\n").unwrap();
    let rag = Rag::open(&dir.path().join("kb"), with(&hashing())).await.unwrap();
    assert_eq!(finished(&ingest(&rag, Source::Path(old.join("notes.md"))).await), (1, 0, 0));
    assert_eq!(finished(&ingest(&rag, Source::Path(new.clone())).await), (2, 0, 0));
    let documents = rag.documents().await.unwrap();
    let names: Vec<&str> = documents.iter().map(|document| document.name.as_str()).collect();
    assert_eq!(names, ["notes (2).md", "notes (3).md", "notes.md"]);
    for document in &documents {
        rag.delete_document(&document.id).await.unwrap();
    }
    let stats = rag.stats().await.unwrap();
    assert_eq!((stats.chunks, stats.vectors, stats.indexed), (0, 0, 0), "no passage is left behind");
}

/// What the files of a directory hold of a word, in any case.
fn files_with(dir: &Path, word: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, word));
        } else if std::fs::read(&path)
            .unwrap()
            .to_ascii_lowercase()
            .windows(word.len())
            .any(|part| part == word.as_bytes())
        {
            found.push(path);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_deleted_document_is_left_in_any_file() {
    let dir = tempfile::tempdir().unwrap();
    let rag = Rag::open(dir.path(), with(&hashing())).await.unwrap();
    let word = |place: usize, what: &str| format!("{what}q{}zz", (b'a' + place as u8) as char);
    let document = |place: usize| {
        let sentences = format!("The {} of a node is said here again. ", word(place, "text")).repeat(40);
        bytes(&format!("{}.md", word(place, "name")), &format!("# {}\n\n{sentences}", word(place, "head")))
    };
    for place in 0..20 {
        ingest(&rag, document(place)).await;
    }
    for (place, info) in
        rag.documents().await.unwrap().into_iter().enumerate().take(14).filter(|(place, _)| place % 2 == 0)
    {
        assert_eq!(info.name, format!("{}.md", word(place, "name")));
        rag.delete_document(&info.id).await.unwrap();
    }
    let again = format!("{}.md", word(15, "name"));
    ingest(&rag, bytes(&again, "Something else stands in it now.")).await;
    rag.shutdown().await;
    for place in (0..14).step_by(2) {
        for what in ["text", "head", "name"] {
            assert_eq!(files_with(dir.path(), &word(place, what)), [""; 0].map(Path::new), "{place}");
        }
    }
    assert!(files_with(dir.path(), &word(15, "text")).is_empty(), "what was replaced is gone as well");
    for place in [1, 13, 14, 16, 19] {
        assert!(!files_with(dir.path(), &word(place, "text")).is_empty(), "{place} is there");
    }
    // What a crash left is overwritten when it is opened again.
    let rag = Rag::open(dir.path(), with(&hashing())).await.unwrap();
    let last = rag.documents().await.unwrap().pop().unwrap();
    rag.delete_document(&last.id).await.unwrap();
    drop(rag);
    let rag = loop {
        match Rag::open(dir.path(), with(&hashing())).await {
            Err(error) if error.code() == ErrorCode::Busy => tokio::task::yield_now().await,
            opened => break opened.unwrap(),
        }
    };
    assert!(files_with(dir.path(), &word(19, "text")).is_empty());
    // While it is open, a while after.
    let last = rag.documents().await.unwrap().pop().unwrap();
    rag.delete_document(&last.id).await.unwrap();
    let gone = async {
        while !files_with(dir.path(), &word(18, "text")).is_empty() {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), gone).await.expect("it is overwritten");
    rag.shutdown().await;
}
