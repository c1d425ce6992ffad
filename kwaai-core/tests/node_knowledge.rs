//! Knowledge bases of a node in directories of the app's, over real files.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kwaai_core::rag::{Rag, RagConfig, Source};
use kwaai_core::{Config, Error, ErrorCode, Node, Result};

const GRACE: Duration = Duration::from_secs(2);

async fn start(dir: &Path) -> Node {
    Node::start(Config { data_dir: Some(dir.to_owned()), ..Config::default() }).await.unwrap()
}

// anchor: disk
/// Opens a large knowledge base of a node on a disk of its own.
async fn corpus(node: &Node, disk: &Path) -> Result<Rag> {
    node.rag_at("corpus", &disk.join("corpus"), RagConfig::default()).await
}
// end: disk

async fn ingest(rag: &Rag, name: &str) {
    let bytes = b"The pump in the cellar is checked every Monday.\n".to_vec();
    let mut stream = rag.ingest(Source::Bytes { name: name.into(), bytes }).unwrap();
    while stream.next().await.unwrap().is_some() {}
}

async fn documents(rag: &Rag) -> Vec<String> {
    rag.documents().await.unwrap().into_iter().map(|document| document.name).collect()
}

async fn at(node: &Node, name: &str, dir: &Path) -> Result<Rag> {
    node.rag_at(name, dir, RagConfig::default()).await
}

async fn named(node: &Node, name: &str) -> Result<Rag> {
    node.rag(name, RagConfig::default()).await
}

fn refused(result: Result<Rag>, code: ErrorCode) -> Error {
    let error = result.err().expect("it is refused");
    assert_eq!(error.code(), code, "{error}");
    error
}

fn is_empty(dir: &Path) -> bool {
    std::fs::read_dir(dir).unwrap().next().is_none()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_knowledge_base_lies_where_the_app_says_and_is_found_there_by_its_name() {
    let (home, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (dir, other) = (disk.path().join("corpus"), disk.path().join("other"));
    let first = start(home.path()).await;
    let rag = corpus(&first, disk.path()).await.unwrap();
    ingest(&rag, "pumps.txt").await;
    assert!(dir.join("kwaainet.redb").exists());
    // While it is open, by its name alone, and by its place however it is written.
    let winding = disk.path().join("other/..").join("corpus");
    std::fs::create_dir(&other).unwrap();
    assert_eq!(documents(&named(&first, "corpus").await.unwrap()).await, ["pumps.txt"]);
    assert_eq!(documents(&at(&first, "corpus", &winding).await.unwrap()).await, ["pumps.txt"]);
    let error = refused(at(&first, "corpus", &other).await, ErrorCode::Conflict);
    assert!(error.context().contains_key("remedy") && error.message().contains("corpus"), "{error}");
    first.shutdown(GRACE).await.unwrap();
    drop((first, rag));

    let second = start(home.path()).await;
    let error = refused(at(&second, "corpus", &other).await, ErrorCode::Conflict);
    assert_eq!(Path::new(&error.context()["file"]), dir);
    assert!(is_empty(&other));
    let rag = named(&second, "corpus").await.unwrap();
    assert_eq!(documents(&rag).await, ["pumps.txt"]);
    assert!(!home.path().join("rag").exists());
    rag.shutdown().await;
    assert_eq!(documents(&at(&second, "corpus", &dir).await.unwrap()).await, ["pumps.txt"]);

    // It goes from there, and its name is free.
    named(&second, "corpus").await.unwrap().destroy().await.unwrap();
    assert!(!dir.exists());
    let rag = named(&second, "corpus").await.unwrap();
    assert!(documents(&rag).await.is_empty() && home.path().join("rag/corpus").exists());
    rag.destroy().await.unwrap();
    assert!(documents(&at(&second, "corpus", &other).await.unwrap()).await.is_empty());
    second.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_is_missing_is_said_to_be_and_nothing_is_made_in_its_place() {
    let (home, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (dir, away) = (disk.path().join("corpus"), disk.path().join("away"));
    let first = start(home.path()).await;
    let rag = at(&first, "corpus", &dir).await.unwrap();
    ingest(&rag, "pumps.txt").await;
    rag.shutdown().await;

    std::fs::rename(&dir, &away).unwrap();
    for given in [None, Some(&dir)] {
        let found = match given {
            Some(given) => at(&first, "corpus", given).await,
            None => named(&first, "corpus").await,
        };
        let error = refused(found, ErrorCode::NotFound);
        assert_eq!(Path::new(&error.context()["file"]), dir);
        assert!(!dir.exists() && !home.path().join("rag").exists());
    }
    // Where a disk is mounted there is an empty directory without it.
    std::fs::create_dir(&dir).unwrap();
    refused(named(&first, "corpus").await, ErrorCode::NotFound);
    assert!(is_empty(&dir));
    refused(at(&first, "corpus", &disk.path().join("fresh")).await, ErrorCode::Conflict);

    // Where it was moved to it is found, from then on by its name too.
    assert_eq!(documents(&at(&first, "corpus", &away).await.unwrap()).await, ["pumps.txt"]);
    first.shutdown(GRACE).await.unwrap();
    drop((first, rag));
    let second = start(home.path()).await;
    let rag = named(&second, "corpus").await.unwrap();
    assert_eq!(documents(&rag).await, ["pumps.txt"]);
    rag.shutdown().await;

    // Another disk in its place has another knowledge base.
    std::fs::rename(&away, disk.path().join("drawer")).unwrap();
    Rag::open(&away, RagConfig::default()).await.unwrap().shutdown().await;
    let error = refused(named(&second, "corpus").await, ErrorCode::Conflict);
    assert_eq!(Path::new(&error.context()["file"]), away);
    second.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_is_not_free_is_refused_and_left_as_it_is() {
    let (home, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let node = start(home.path()).await;
    let under = |name: &str| disk.path().join(name);
    // Files of somebody else, a file, a place that cannot be made, and the node's own directory.
    std::fs::create_dir(under("photos")).unwrap();
    std::fs::write(under("photos").join("cat.jpg"), b"cat").unwrap();
    let error = refused(at(&node, "corpus", &under("photos")).await, ErrorCode::Conflict);
    assert!(error.context().contains_key("remedy"), "{error}");
    assert_eq!(std::fs::read_dir(under("photos")).unwrap().count(), 1);
    refused(at(&node, "corpus", &under("photos").join("cat.jpg")).await, ErrorCode::InvalidArgument);
    refused(at(&node, "corpus", &under("unmounted").join("corpus")).await, ErrorCode::NotFound);
    assert!(!under("unmounted").exists());
    for own in [home.path().to_owned(), home.path().join("corpus"), home.path().join("rag/corpus")] {
        refused(at(&node, "corpus", &own).await, ErrorCode::InvalidArgument);
    }
    refused(at(&node, "../corpus", &under("corpus")).await, ErrorCode::InvalidArgument);

    // The directory of another node, and of another knowledge base, of this node or not.
    let other = start(&under("node")).await;
    refused(at(&node, "corpus", &under("node")).await, ErrorCode::Busy);
    let lent = at(&other, "letters", &under("lent")).await.unwrap();
    ingest(&lent, "letter.txt").await;
    other.shutdown(GRACE).await.unwrap();
    drop((other, lent));
    let before = std::fs::read(under("node").join("identity.key")).unwrap();
    refused(at(&node, "corpus", &under("node")).await, ErrorCode::Conflict);
    assert_eq!(std::fs::read(under("node").join("identity.key")).unwrap(), before);
    let error = refused(at(&node, "corpus", &under("lent")).await, ErrorCode::Conflict);
    assert!(error.message().contains("letters"), "{error}");
    // By its name it goes with its disk.
    let lent = at(&node, "letters", &under("lent")).await.unwrap();
    assert_eq!(documents(&lent).await, ["letter.txt"]);
    refused(at(&node, "corpus", &under("lent")).await, ErrorCode::Conflict);
    lent.shutdown().await;
    refused(at(&node, "corpus", &under("lent")).await, ErrorCode::Conflict);
    assert_eq!(documents(&named(&node, "letters").await.unwrap()).await, ["letter.txt"]);

    // One that lies in the node's directory is not left behind.
    let inside = named(&node, "notes").await.unwrap();
    ingest(&inside, "note.txt").await;
    refused(at(&node, "notes", &under("notes")).await, ErrorCode::Conflict);
    inside.shutdown().await;
    let error = refused(at(&node, "notes", &under("notes")).await, ErrorCode::Conflict);
    assert!(error.context().contains_key("remedy") && !under("notes").exists(), "{error}");
    assert_eq!(documents(&named(&node, "notes").await.unwrap()).await, ["note.txt"]);

    // One that was opened alone is taken as it is, by a path that is relative.
    let alone = Rag::open(&under("alone"), RagConfig::default()).await.unwrap();
    ingest(&alone, "alone.txt").await;
    alone.shutdown().await;
    let up = std::env::current_dir().unwrap().components().skip(1).map(|_| "..").collect::<PathBuf>();
    let relative = up.join(under("alone").strip_prefix("/").unwrap());
    assert_eq!(documents(&at(&node, "alone", &relative).await.unwrap()).await, ["alone.txt"]);
    let error = refused(at(&node, "alone", &under("elsewhere")).await, ErrorCode::Conflict);
    assert!(Path::new(&error.context()["file"]).is_absolute());
    node.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_in_memory_keeps_one_on_a_disk_for_as_long_as_it_runs() {
    let disk = tempfile::tempdir().unwrap();
    let dir = disk.path().join("corpus");
    for round in 0..2 {
        let node = Node::start(Config::default()).await.unwrap();
        let rag = at(&node, "corpus", &dir).await.unwrap();
        assert_eq!(documents(&rag).await.len(), round);
        ingest(&rag, &format!("{round}.txt")).await;
        rag.shutdown().await;
        assert_eq!(documents(&named(&node, "corpus").await.unwrap()).await.len(), round + 1);
        node.shutdown(GRACE).await.unwrap();
    }
}
