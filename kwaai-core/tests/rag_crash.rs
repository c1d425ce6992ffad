//! A knowledge base whose process is killed while it ingests.

#[path = "support/hashing.rs"]
mod hashing;

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use hashing::Hashing;
use kwaai_core::event::Item;
use kwaai_core::rag::{IngestEvent, Mode, Rag, RagConfig, ReembedEvent, Source, SyncEvent, SyncOptions};

const CHILD: &str = "KWAAINET_TEST_INGEST";
const SYNCING: &str = "KWAAINET_TEST_SYNC";
const REEMBEDDING: &str = "KWAAINET_TEST_REEMBED";
/// How often, unless `KWAAINET_CRASH_POINTS` says so.
const ROUNDS: usize = 20;
const FILES: usize = 40;

fn config() -> RagConfig {
    RagConfig { embedder: Some(Arc::new(Hashing::new(64))), ..RagConfig::default() }
}

/// Not a test by itself: the process that is killed. It ingests a folder and reports every event on a line.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_ingests_until_it_is_killed() {
    let Ok(dir) = std::env::var(CHILD) else { return };
    let dir = Path::new(&dir);
    let rag = Rag::open(&dir.join("knowledge"), config()).await.unwrap();
    let mut stream = rag.ingest(Source::Path(dir.join("documents"))).unwrap();
    while let Some(event) = stream.next().await.unwrap() {
        if let Item::Value(event) = event {
            println!("\nevent {}", serde_json::to_string(&event).unwrap());
        }
    }
}

fn write_documents(folder: &Path, round: usize) {
    for file in 0..FILES {
        // Every third changes with the round, so that replacing is interrupted too.
        let version = if file % 3 == 0 { round } else { 0 };
        let sentences: String =
            (0..30).map(|line| format!("Sentence {line} about topic{file} in version{version}. ")).collect();
        let text = format!("{sentences}\n\nThe secret of file {file} is needle{file}v{version}.\n");
        kwaai_core::store::write_atomic(&folder.join(format!("f{file}.txt")), text.as_bytes()).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_ingestion_leaves_every_document_whole_or_absent() {
    let dir = tempfile::tempdir().unwrap();
    let rounds = std::env::var("KWAAINET_CRASH_POINTS").map_or(ROUNDS, |points| points.parse().unwrap());
    let mut interrupted = 0;
    for round in 0..rounds {
        write_documents(&dir.path().join("documents"), round);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_ingests_until_it_is_killed", "--nocapture"])
            .env(CHILD, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut left = rand::random_range(1..FILES * 3);
        let mut done = Vec::new();
        let mut finished = false;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some(event) = line.strip_prefix("event ") else { continue };
            match serde_json::from_str(event).unwrap() {
                IngestEvent::DocumentDone { name, .. } => done.push(name),
                IngestEvent::Finished { .. } => finished = true,
                _ => {}
            }
            left -= 1;
            if left == 0 {
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        interrupted += usize::from(!finished);
        check(&dir.path().join("knowledge"), round, &done).await;
    }
    assert!(interrupted > rounds / 2, "only {interrupted} rounds were interrupted");
}

async fn check(dir: &Path, round: usize, done: &[String]) {
    let rag = Rag::open(dir, config()).await.unwrap();
    let stats = rag.stats().await.unwrap();
    assert_eq!((stats.chunks, stats.chunks), (stats.indexed, stats.vectors), "round {round}");
    let documents = rag.documents().await.unwrap();
    assert_eq!(documents.iter().map(|document| document.chunks as u64).sum::<u64>(), stats.chunks);
    for name in done {
        assert!(documents.iter().any(|document| document.name == *name), "{name} was reported done");
    }
    for document in documents {
        let text = rag.document_text(&document.id).await.unwrap();
        let needle = text.split_whitespace().last().unwrap().trim_end_matches('.').to_owned();
        for mode in [Mode::Lexical, Mode::Dense] {
            // One word says nothing to the hashing embedder, the whole passage does.
            let hits = rag.search(&needle, 1, Mode::Lexical).await.unwrap().hits;
            let query = if mode == Mode::Dense { hits[0].text.clone() } else { needle.clone() };
            let hit = rag.search(&query, 1, mode).await.unwrap().hits.remove(0);
            assert_eq!(hit.document_id, document.id, "{mode:?} in round {round}");
            assert!(hit.text.contains(&needle));
            assert_eq!(&text[hit.span.clone()], hit.text);
        }
    }
    // What a replaced version said is found no more, unless the process died before that document was replaced.
    for file in (0..FILES).step_by(3).filter(|_| round > 0) {
        let needle = format!("needle{file}v{}", round - 1);
        for hit in rag.search(&needle, 5, Mode::Lexical).await.unwrap().hits {
            assert!(rag.document_text(&hit.document_id).await.unwrap().contains(&needle));
        }
    }
    rag.shutdown().await;
}

/// Not a test by itself: the process that is killed. It synchronises a folder and reports every event on a line.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_synchronises_until_it_is_killed() {
    let Ok(dir) = std::env::var(SYNCING) else { return };
    let dir = Path::new(&dir);
    let rag = Rag::open(&dir.join("knowledge"), config()).await.unwrap();
    let options = SyncOptions { delete: true, ..SyncOptions::default() };
    let mut stream = rag.sync(&dir.join("documents"), options).unwrap();
    while let Some(event) = stream.next().await.unwrap() {
        if let Item::Value(event) = event {
            println!("\nevent {}", serde_json::to_string(&event).unwrap());
        }
    }
}

/// In every round a third of the files changes, a third moves to another name, and a third stays.
fn change_documents(folder: &Path, round: usize) {
    std::fs::create_dir_all(folder).unwrap();
    for file in 0..FILES {
        let text =
            |version: usize| format!("The secret of file {file} in version {version} is needle{file}v{version}.\n");
        let (moved, before) = (|round: usize| folder.join(format!("m{file}r{round}.txt")), round.wrapping_sub(1));
        match file % 3 {
            0 => std::fs::write(folder.join(format!("f{file}.txt")), text(round)).unwrap(),
            1 if round == 0 => std::fs::write(moved(0), text(0)).unwrap(),
            1 => std::fs::rename(moved(before), moved(round)).unwrap(),
            _ => std::fs::write(folder.join(format!("f{file}.txt")), text(0)).unwrap(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_synchronisation_leaves_every_document_old_or_new() {
    let dir = tempfile::tempdir().unwrap();
    let rounds = std::env::var("KWAAINET_CRASH_POINTS").map_or(ROUNDS, |points| points.parse().unwrap());
    let mut interrupted = 0;
    let mut known = BTreeSet::new();
    for round in 0..rounds {
        change_documents(&dir.path().join("documents"), round);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_synchronises_until_it_is_killed", "--nocapture"])
            .env(SYNCING, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut left = rand::random_range(1..FILES * 2);
        let mut finished = false;
        let mut done = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some(event) = line.strip_prefix("event ") else { continue };
            match serde_json::from_str(event).unwrap() {
                SyncEvent::Added { name, .. } | SyncEvent::Changed { name, .. } | SyncEvent::Moved { name, .. } => {
                    done.push(name)
                }
                SyncEvent::Finished { .. } => finished = true,
                _ => {}
            }
            left -= 1;
            if left == 0 {
                // Anywhere, also in the middle of a commit.
                std::thread::sleep(Duration::from_micros(rand::random_range(0..30_000)));
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        interrupted += usize::from(!finished);
        let rag = Rag::open(&dir.path().join("knowledge"), config()).await.unwrap();
        let stats = rag.stats().await.unwrap();
        assert_eq!((stats.chunks, stats.chunks), (stats.indexed, stats.vectors), "round {round}");
        let documents = rag.documents().await.unwrap();
        assert!(
            done.iter().all(|name| documents.iter().any(|document| document.name == *name)),
            "what was reported is stored"
        );
        let mut found = BTreeSet::new();
        for document in documents {
            let text = rag.document_text(&document.id).await.unwrap();
            let needle = text.split_whitespace().last().unwrap().trim_end_matches('.').to_owned();
            let hits = rag.search(&needle, 2, Mode::Lexical).await.unwrap().hits;
            assert_eq!(hits.len(), 1, "{needle} is found once, old or new, in round {round}");
            assert_eq!(hits[0].document_id, document.id);
            found.insert(needle.split_once('v').unwrap().0.to_owned());
        }
        assert!(known.is_subset(&found), "round {round} lost {:?}", known.difference(&found).collect::<Vec<_>>());
        known = found;
        rag.shutdown().await;
    }
    assert!(interrupted > rounds / 3, "only {interrupted} rounds were interrupted");
    let rag = Rag::open(&dir.path().join("knowledge"), config()).await.unwrap();
    let options = SyncOptions { delete: true, ..SyncOptions::default() };
    let mut stream = rag.sync(&dir.path().join("documents"), options).unwrap();
    while stream.next().await.unwrap().is_some() {}
    assert_eq!(rag.documents().await.unwrap().len(), FILES);
}

const TEXTS: usize = 1500;

fn valve(number: usize) -> String {
    format!("The valve number{number} stands in hall{} beside pump{}.\n", number % 7, number * 3)
}

fn of_dimension(dimension: usize) -> RagConfig {
    RagConfig { embedder: Some(Arc::new(Hashing::new(dimension))), ..RagConfig::default() }
}

/// The knowledge base with the embedder that is recorded, of two, and the dimension of that.
async fn opened(dir: &Path) -> (Rag, usize) {
    match Rag::open(dir, of_dimension(64)).await {
        Ok(rag) => (rag, 64),
        Err(error) => {
            assert_eq!(error.code(), kwaai_core::ErrorCode::Conflict, "{error}");
            (Rag::open(dir, of_dimension(32)).await.unwrap(), 32)
        }
    }
}

/// Not a test by itself: the process that is killed. It gives the knowledge base the other embedder and reports every event on a line.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_reembeds_until_it_is_killed() {
    let Ok(dir) = std::env::var(REEMBEDDING) else { return };
    let (rag, dimension) = opened(Path::new(&dir)).await;
    let mut stream = rag.reembed(Arc::new(Hashing::new(96 - dimension))).unwrap();
    while let Some(event) = stream.next().await.unwrap() {
        if let Item::Value(event) = event {
            println!("\nevent {}", serde_json::to_string(&event).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_change_of_the_embedder_goes_on_where_it_was_and_all_vectors_are_of_one() {
    let dir = tempfile::tempdir().unwrap();
    let (documents, knowledge) = (tempfile::tempdir().unwrap(), dir.path().join("knowledge"));
    for number in 0..TEXTS {
        std::fs::write(documents.path().join(format!("valve{number}.txt")), valve(number)).unwrap();
    }
    let (rag, mut dimension) = opened(&knowledge).await;
    let mut stream = rag.ingest(Source::Path(documents.path().to_owned())).unwrap();
    while stream.next().await.unwrap().is_some() {}
    rag.shutdown().await;

    let rounds = std::env::var("KWAAINET_CRASH_POINTS").map_or(ROUNDS, |points| points.parse().unwrap());
    let (mut interrupted, mut exchanged, mut durable) = (0, 0, 0);
    for round in 0..rounds {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_reembeds_until_it_is_killed", "--nocapture"])
            .env(REEMBEDDING, &knowledge)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut left = rand::random_range(1..TEXTS / 128 + 3);
        let mut finished = false;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let Some(event) = line.strip_prefix("event ") else { continue };
            match serde_json::from_str(event).unwrap() {
                ReembedEvent::Found { passages, done } => {
                    assert_eq!(passages, TEXTS);
                    assert!(done >= durable, "round {round} has {done} of {durable} that were reported");
                    durable = done;
                }
                ReembedEvent::Embedded { done, total } => {
                    assert_eq!(total, TEXTS);
                    durable = done;
                }
                ReembedEvent::Finished { .. } => finished = true,
            }
            left -= 1;
            if left == 0 {
                std::thread::sleep(Duration::from_micros(rand::random_range(0..30_000)));
                child.kill().unwrap();
                break;
            }
        }
        child.wait().unwrap();
        interrupted += usize::from(!finished);
        let (rag, now) = opened(&knowledge).await;
        if now != dimension {
            (dimension, durable) = (now, 0);
            exchanged += 1;
        } else {
            assert!(!finished, "it was reported");
        }
        let stats = rag.stats().await.unwrap();
        assert_eq!(stats.embedder.as_ref().map(|embedder| embedder.dimension), Some(now));
        assert_eq!((stats.chunks, stats.vectors), (TEXTS as u64, TEXTS as u64), "round {round}");
        for number in [0, TEXTS / 2, TEXTS - 1] {
            let hits = rag.search(&valve(number), 1, Mode::Dense).await.unwrap().hits;
            assert_eq!(hits[0].document, format!("valve{number}.txt"));
        }
        rag.shutdown().await;
    }
    assert!(interrupted > rounds / 3, "only {interrupted} rounds were interrupted");
    assert!(exchanged > 0 || rounds < ROUNDS, "no round got to the exchange");
}
