//! Models by the id of a hub, fetched from a server on this machine.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kwaai_core::ErrorCode;
use kwaai_core::llm::hub;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const ID: &str = "someone/small-bert";

/// A hub that has these files of one model; a length may be announced that does not come.
async fn serving(files: &[(&str, &str)], announced: Option<usize>) -> (String, Arc<AtomicUsize>) {
    let files: BTreeMap<String, String> = files
        .iter()
        .map(|(name, body)| (format!("GET /{ID}/resolve/main/{name} HTTP/1.1"), body.to_string()))
        .collect();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                request.push(stream.read_u8().await.unwrap());
            }
            count.fetch_add(1, Ordering::SeqCst);
            let first = String::from_utf8(request).unwrap().lines().next().unwrap().to_owned();
            let (status, body) = files.get(&first).map_or(("404 Not Found", ""), |body| ("200 OK", body));
            let length = announced.unwrap_or(body.len());
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
            stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        }
    });
    (endpoint, asked)
}

const FILES: [(&str, &str); 4] = [
    ("config.json", "{}"),
    ("tokenizer.json", "{}"),
    ("model.safetensors", "weights"),
    ("1_Pooling/config.json", "{}"),
];

#[tokio::test]
async fn a_model_is_fetched_once_and_then_taken_from_the_cache() {
    let (endpoint, asked) = serving(&FILES, None).await;
    let cache = tempfile::tempdir().unwrap();
    let folder = hub::fetch(ID, &endpoint, cache.path()).await.unwrap();
    assert_eq!(std::fs::read_to_string(folder.join("model.safetensors")).unwrap(), "weights");
    assert!(folder.join("1_Pooling/config.json").is_file());
    assert!(!folder.join("sentence_bert_config.json").exists(), "what the hub does not have is not needed");
    let requests = asked.load(Ordering::SeqCst);
    assert_eq!(hub::fetch(ID, &endpoint, cache.path()).await.unwrap(), folder);
    assert_eq!(asked.load(Ordering::SeqCst), requests);
}

#[tokio::test]
async fn a_model_that_breaks_off_or_is_missing_leaves_nothing_behind() {
    let cache = tempfile::tempdir().unwrap();
    let (endpoint, _) = serving(&FILES, Some(1000)).await;
    let error = hub::fetch(ID, &endpoint, cache.path()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unreachable, "{error:?}");
    let (endpoint, _) = serving(&FILES[..1], None).await;
    let error = hub::fetch(ID, &endpoint, cache.path()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert_eq!(std::fs::read_dir(cache.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_id_cannot_leave_the_cache_or_the_hub() {
    let cache = tempfile::tempdir().unwrap();
    for id in ["minilm", "../x", "a/b/c", "a/..", "", "a b", "a/b?c", "/etc", "http://x/y"] {
        let error = hub::fetch(id, "http://127.0.0.1:9", cache.path()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotFound, "{id}");
    }
}

#[tokio::test]
async fn a_folder_is_taken_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    assert_eq!(hub::embedding_model(path).await.unwrap(), dir.path());
}
