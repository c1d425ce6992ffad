//! Searches that look in a part of the documents, tell what stands around a hit, and say how long they took.

#[path = "support/hashing.rs"]
mod hashing;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use hashing::Hashing;
use kwaai_core::ErrorCode;
use kwaai_core::event::Item;
use kwaai_core::llm::Embedder;
use kwaai_core::rag::chunk::{Chunking, Strategy};
use kwaai_core::rag::document::Format;
use kwaai_core::rag::{
    DocumentInfo, Hit, IngestEvent, IngestOptions, Metadata, Mode, Rag, RagConfig, SearchOptions, Source, SyncOptions,
};
use kwaai_core::vector::IndexOptions;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const MODES: [Mode; 3] = [Mode::Lexical, Mode::Dense, Mode::Hybrid];

fn said(pairs: &[(&str, &str)]) -> Metadata {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn bytes(name: &str, text: &str) -> Source {
    Source::Bytes { name: name.into(), bytes: text.as_bytes().to_vec() }
}

async fn put(rag: &Rag, source: Source, metadata: Option<Metadata>) -> Vec<IngestEvent> {
    let mut progress = rag.ingest_with(source, IngestOptions { metadata }).unwrap();
    let mut events = Vec::new();
    while let Some(item) = progress.next().await.unwrap() {
        events.extend(Item::value(item));
    }
    events
}

/// Few dimensions, so that a graph is made of few vectors.
fn config() -> RagConfig {
    let embedder: Arc<dyn Embedder> = Arc::new(Hashing::new(32));
    let chunking = Chunking { strategy: Strategy::Paragraph, size: 60, overlap: 0, min: 5, ..Chunking::default() };
    RagConfig { embedder: Some(embedder), chunking, ..RagConfig::default() }
}

async fn open(dir: &Path) -> Rag {
    Rag::open(dir, config()).await.unwrap()
}

async fn named(rag: &Rag, name: &str) -> DocumentInfo {
    rag.documents().await.unwrap().into_iter().find(|document| document.name == name).unwrap()
}

const WORDS: [&str; 12] =
    ["harbour", "ledger", "tower", "wool", "lamp", "salt", "river", "mill", "bell", "sheep", "gate", "rope"];

/// Documents of several formats in folders, of random words, each described by where and when it is from.
async fn library(rag: &Rag, random: &mut StdRng) {
    for number in 0..120 {
        let mut paragraph =
            || -> String { (0..8).map(|_| WORDS[random.random_range(0..WORDS.len())]).collect::<Vec<_>>().join(" ") };
        let text = format!("{}\n\n{}\n\n{}\n", paragraph(), paragraph(), paragraph());
        let folder = ["reports/2023", "reports/2024", "reports/2024/q1", "letters"][number % 4];
        let extension = ["txt", "md", "rst"][number % 3];
        let mut metadata = said(&[("team", ["red", "blue"][number % 2])]);
        if number % 5 != 0 {
            metadata.insert("year".into(), (2020 + number % 5).to_string());
        }
        put(rag, bytes(&format!("{folder}/{number}.{extension}"), &text), Some(metadata)).await;
    }
}

/// Which documents a filter lets through, as it is described.
fn lets_through(options: &SearchOptions, document: &DocumentInfo) -> bool {
    let folder = document.name.rsplit_once('/').unwrap().0;
    let by_name = |pattern: &String| match pattern.as_str() {
        "reports/2024/*" => folder == "reports/2024",
        "reports/**" => folder.starts_with("reports/"),
        "**/*.md" => document.name.ends_with(".md"),
        "letters/?.[rt]*" => {
            folder == "letters" && document.name.len() == "letters/1.txt".len() && !document.name.ends_with(".md")
        }
        other => panic!("{other}"),
    };
    (options.formats.is_empty() || options.formats.contains(&document.format))
        && (options.names.is_empty() || options.names.iter().any(by_name))
        && (options.documents.is_empty() || options.documents.contains(&document.id))
        && options.metadata.iter().all(|(key, value)| document.metadata.get(key) == Some(value))
}

// anchor: around
/// What the reports of a team say about something, each with a passage before and after it.
async fn read_around(rag: &Rag, words: &str, team: &str) -> kwaai_core::Result<Vec<String>> {
    let metadata = Metadata::from([("team".to_owned(), team.to_owned())]);
    let names = vec!["reports/**".to_owned()];
    let found = rag.search(words, 3, SearchOptions { neighbours: 1, names, metadata, ..Mode::Hybrid.into() }).await?;
    Ok(found.hits.into_iter().filter_map(|hit| hit.around).map(|around| around.text).collect())
}
// end: around

#[tokio::test(flavor = "multi_thread")]
async fn a_filtered_search_finds_what_a_search_of_everything_has_left_when_the_rest_is_taken_out() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(8);
    let config = RagConfig { index: IndexOptions { seal_at: 64, ..IndexOptions::default() }, ..config() };
    let rag = Rag::open(dir.path(), config).await.unwrap();
    library(&rag, &mut random).await;
    while rag.stats().await.unwrap().sealed_vectors == 0 {
        tokio::task::yield_now().await;
    }
    let documents = rag.documents().await.unwrap();
    let known: BTreeMap<&str, &DocumentInfo> =
        documents.iter().map(|document| (document.id.as_str(), document)).collect();
    let (mut narrowed, mut empty) = (0, 0);
    for round in 0..120 {
        let mut options = SearchOptions { dense_weight: Some(0.4), ..MODES[round % 3].into() };
        let mut sometimes = || random.random_range(0..3) == 0;
        if sometimes() {
            options.formats.push(Format::Markdown);
        }
        if sometimes() {
            options.formats.push(Format::Rst);
        }
        for pattern in ["reports/2024/*", "reports/**", "**/*.md", "letters/?.[rt]*"] {
            if sometimes() && sometimes() {
                options.names.push(pattern.into());
            }
        }
        if sometimes() {
            options.metadata.insert("team".into(), "red".into());
        }
        if sometimes() {
            options.metadata.insert("year".into(), "2023".into());
        }
        if sometimes() {
            options.documents = documents.iter().step_by(3).map(|document| document.id.clone()).collect();
        }
        let text = [0, 1, 2].map(|_| WORDS[random.random_range(0..WORDS.len())]).join(" ");
        let everything = SearchOptions { dense_weight: Some(0.4), ..options.mode.into() };
        let all = rag.search(&text, 1000, everything).await.unwrap().hits;
        let fitting = |hit: &&Hit| lets_through(&options, known[hit.document_id.as_str()]);
        let expected: Vec<&Hit> = all.iter().filter(fitting).take(6).collect();
        let found = rag.search(&text, 6, options.clone()).await.unwrap().hits;
        assert_eq!(found.len(), expected.len(), "{text}: {options:?}");
        let scores: BTreeMap<&str, f64> = all.iter().map(|hit| (hit.chunk_id.as_str(), hit.score)).collect();
        for (hit, as_good) in found.iter().zip(&expected) {
            // Of equals another may come first, since sums are rounded.
            assert!((hit.score - as_good.score).abs() < 1e-4, "{text}: {options:?}");
            assert!((hit.score - scores[hit.chunk_id.as_str()]).abs() < 1e-4, "{text}: {options:?}");
            assert!(fitting(&hit), "{text}: {options:?}");
        }
        assert!(found.iter().all(|hit| hit.metadata == known[hit.document_id.as_str()].metadata));
        let linked = SearchOptions { links: true, ..options.clone() };
        let linked = rag.search(&text, 6, linked).await.unwrap().hits;
        assert!(linked.iter().all(|hit| fitting(&hit)) && linked.len() == found.len(), "{options:?}");
        narrowed += usize::from(!expected.is_empty() && expected.len() < all.len());
        empty += usize::from(expected.is_empty());
    }
    assert!(narrowed > 60 && empty > 3, "{narrowed} {empty}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_app_says_about_a_document_stays_until_it_says_something_else() {
    let dir = tempfile::tempdir().unwrap();
    let rag = open(dir.path()).await;
    let red = said(&[("team", "red"), ("ключ", "")]);
    put(&rag, bytes("a.txt", "The harbour has a bell."), Some(red.clone())).await;
    put(&rag, bytes("b.txt", "The harbour has a gate."), None).await;
    assert_eq!((named(&rag, "a.txt").await.metadata, named(&rag, "b.txt").await.metadata), (red.clone(), said(&[])));
    put(&rag, bytes("a.txt", "The harbour has two bells."), None).await;
    assert_eq!(named(&rag, "a.txt").await.metadata, red, "another text takes nothing from it");
    let before = rag.stats().await.unwrap();
    let blue = said(&[("team", "blue")]);
    let events = put(&rag, bytes("a.txt", "The harbour has two bells."), Some(blue.clone())).await;
    assert!(events.contains(&IngestEvent::Unchanged { name: "a.txt".into() }), "{events:?}");
    let after = rag.stats().await.unwrap();
    assert!(after.generation > before.generation && after.chunks == before.chunks && after.indexed == after.chunks);
    put(&rag, bytes("a.txt", "The harbour has two bells."), Some(blue.clone())).await;
    assert_eq!(rag.stats().await.unwrap().generation, after.generation, "the same again changes nothing");
    let find = |team: &str| SearchOptions { metadata: said(&[("team", team)]), ..SearchOptions::default() };
    assert!(rag.search("harbour", 5, find("red")).await.unwrap().hits.is_empty());
    assert_eq!(rag.search("harbour", 5, find("blue")).await.unwrap().hits[0].metadata, blue);
    rag.shutdown().await;
    let rag = open(dir.path()).await;
    assert_eq!(named(&rag, "a.txt").await.metadata, blue);
    put(&rag, bytes("a.txt", "The harbour has two bells."), Some(said(&[]))).await;
    assert_eq!(named(&rag, "a.txt").await.metadata, said(&[]));
    put(&rag, bytes("a.txt", "The harbour has two bells."), Some(red)).await;
    rag.delete_document(&named(&rag, "a.txt").await.id).await.unwrap();
    put(&rag, bytes("a.txt", "The harbour has two bells."), None).await;
    assert_eq!(named(&rag, "a.txt").await.metadata, said(&[]), "it went with the document");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_app_says_follows_a_file_that_moves() {
    let dir = tempfile::tempdir().unwrap();
    let rag = open(&dir.path().join("kb")).await;
    let folder = dir.path().join("documents");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("a.txt"), "The harbour has a bell.").unwrap();
    let red = said(&[("team", "red")]);
    put(&rag, Source::Path(folder.clone()), Some(red.clone())).await;
    for (from, to) in [("a.txt", "b.txt"), ("b.txt", "b.txt")] {
        std::fs::rename(folder.join(from), folder.join(to)).unwrap();
        if from == to {
            std::fs::write(folder.join(to), "The harbour has two bells.").unwrap();
        }
        let mut events = rag.sync(&folder, SyncOptions { delete: true, ..SyncOptions::default() }).unwrap();
        while events.next().await.unwrap().is_some() {}
        let documents = rag.documents().await.unwrap();
        assert_eq!((documents.len(), documents[0].name.as_str()), (1, "b.txt"));
        assert_eq!(documents[0].metadata, red, "{from} to {to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_that_mean_nothing_and_metadata_that_is_too_much_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let rag = open(dir.path()).await;
    let many: Metadata = (0..33).map(|number| (number.to_string(), String::new())).collect();
    let wrong = [
        many,
        said(&[("", "x")]),
        said(&[("a\nb", "x")]),
        said(&[(&"k".repeat(65), "x")]),
        said(&[("k", &"v".repeat(8 << 10))]),
    ];
    for metadata in wrong {
        let refused = rag.ingest_with(bytes("a.txt", "text"), IngestOptions { metadata: Some(metadata.clone()) });
        assert_eq!(refused.err().unwrap().code(), ErrorCode::InvalidArgument, "{metadata:?}");
        let options = SearchOptions { metadata, ..SearchOptions::default() };
        assert_eq!(rag.search("text", 1, options).await.unwrap_err().code(), ErrorCode::InvalidArgument);
    }
    assert!(rag.documents().await.unwrap().is_empty());
    put(&rag, bytes("a.txt", "text"), Some(said(&[(&"k".repeat(64), &"v".repeat((8 << 10) - 64))]))).await;
    for options in [
        SearchOptions { names: vec!["[".into()], ..SearchOptions::default() },
        SearchOptions { names: vec![String::new()], ..SearchOptions::default() },
        SearchOptions { names: vec!["*".into(); 65], ..SearchOptions::default() },
        SearchOptions { neighbours: 9, ..SearchOptions::default() },
    ] {
        assert_eq!(rag.search("text", 1, options).await.unwrap_err().code(), ErrorCode::InvalidArgument);
    }
    let asked = kwaai_core::rag::AskOptions { names: vec!["[".into()], ..Default::default() };
    assert_eq!(rag.ask("text?", asked).err().unwrap().code(), ErrorCode::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_around_a_hit_is_a_piece_of_its_document_in_which_nothing_comes_twice() {
    let dir = tempfile::tempdir().unwrap();
    let mut random = StdRng::seed_from_u64(9);
    for overlap in [0, 20] {
        let chunking = Chunking { strategy: Strategy::Fixed, size: 60, overlap, min: 5, ..Chunking::default() };
        let rag = Rag::open(&dir.path().join(overlap.to_string()), RagConfig { chunking, ..config() }).await.unwrap();
        library(&rag, &mut random).await;
        let mut order: BTreeMap<String, Vec<Hit>> = BTreeMap::new();
        for word in WORDS {
            for hit in rag.search(word, 1000, Mode::Lexical).await.unwrap().hits {
                let own = order.entry(hit.document_id.clone()).or_default();
                if own.iter().all(|other| other.span != hit.span) {
                    own.push(hit);
                }
            }
        }
        for (mode, neighbours) in MODES.into_iter().flat_map(|mode| [(mode, 0), (mode, 1), (mode, 3), (mode, 8)]) {
            let options = SearchOptions { neighbours, links: true, ..mode.into() };
            let hits = rag.search("harbour ledger tower", 20, options).await.unwrap().hits;
            assert_eq!(hits.len(), 20);
            for hit in hits {
                let Some(around) = hit.around else {
                    assert_eq!(neighbours, 0);
                    continue;
                };
                let text = rag.document_text(&hit.document_id).await.unwrap();
                assert_eq!(text[around.span.clone()], around.text);
                let mut all: Vec<&Hit> = order[&hit.document_id].iter().collect();
                all.sort_by_key(|other| other.span.start);
                let place = all.iter().position(|other| other.span == hit.span).unwrap();
                let first = all[place.saturating_sub(neighbours)];
                let last = all[(place + neighbours).min(all.len() - 1)];
                assert_eq!(around.span, first.span.start..last.span.end, "{mode:?} {neighbours}");
            }
        }
        let read = read_around(&rag, "harbour ledger tower", "red").await.unwrap();
        assert!(read.len() == 3 && read.iter().all(|text| text.len() > 60), "{read:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locator_names_all_that_stands_around() {
    let dir = tempfile::tempdir().unwrap();
    let rag = open(dir.path()).await;
    let rows: String = (1..=40).map(|number| format!("{number},row number {number} of the table of towns\n")).collect();
    put(&rag, bytes("towns.csv", &format!("id,text\n{rows}")), None).await;
    let lines: String =
        (1..=40).map(|number| format!("line {number} of the story of the lamp of the mill\n\n")).collect();
    put(&rag, bytes("story.txt", &lines), None).await;
    for (text, alone, around) in
        [("row number 20", "row 21", "rows 19-23"), ("line 20 of the story", "line 39", "lines 35-43")]
    {
        let options = SearchOptions { neighbours: 2, ..Mode::Lexical.into() };
        let hit = rag.search(text, 1, options).await.unwrap().hits.remove(0);
        assert_eq!((hit.locator.as_deref(), hit.around.unwrap().locator.as_deref()), (Some(alone), Some(around)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn how_long_the_stages_took_is_told_to_whoever_asks_and_changes_no_answer() {
    let dir = tempfile::tempdir().unwrap();
    let rag = open(dir.path()).await;
    library(&rag, &mut StdRng::seed_from_u64(10)).await;
    for mode in MODES {
        let options = SearchOptions { links: true, ..mode.into() };
        let plain = rag.search("harbour bell", 5, options.clone()).await.unwrap();
        assert!(plain.timings.is_none());
        let timed = rag.search("harbour bell", 5, SearchOptions { timed: true, ..options }).await.unwrap();
        assert_eq!(timed.hits, plain.hits);
        let timings = timed.timings.unwrap();
        let looked = [timings.words_ms > 0.0, timings.meaning_ms > 0.0];
        assert_eq!(looked, [mode != Mode::Dense, mode != Mode::Lexical], "{timings:?}");
        assert!(
            timings.fusing_ms > 0.0
                && timings.links_ms > 0.0
                && timings.total_ms > timings.fusing_ms + timings.links_ms
        );
        let again = rag.search("harbour bell", 5, SearchOptions { timed: true, ..mode.into() }).await.unwrap();
        assert_eq!((again.timings.unwrap().links_ms, timings.model_ms), (0.0, 0.0));
    }
}
