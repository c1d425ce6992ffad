//! Embedding models behind HTTP: against the library's own server, and against servers on real sockets that behave well and badly.

#[allow(dead_code)]
#[path = "support/embedders.rs"]
mod embedders;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use embedders::{golden, write_model};
use kwaai_core::http::{HttpConfig, HttpServer};
use kwaai_core::llm::{BertEmbedder, Embedder, RemoteEmbedder, RemoteEmbedderConfig, Text};
use kwaai_core::rag::{Rag, RagConfig};
use kwaai_core::{Error, ErrorCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const QUERY: fn(&str) -> Text = |text| Text::Query(text.to_owned());
const DOCUMENT: fn(&str) -> Text = |text| Text::Document(text.to_owned());

/// Requests as they came, head and body.
type Requests = Arc<Mutex<Vec<(String, Value)>>>;

/// A server that gives each request the next of the answers, and the last one to those that follow.
async fn scripted(answers: Vec<(&str, String)>) -> (String, Requests) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let requests = Requests::default();
    let (seen, answers): (_, Vec<(String, String)>) =
        (requests.clone(), answers.into_iter().map(|(status, body)| (status.to_owned(), body)).collect());
    tokio::spawn(async move {
        for number in 0.. {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            let (head, body) = loop {
                let mut buffer = [0; 4096];
                let read = socket.read(&mut buffer).await.unwrap();
                assert!(read > 0, "the client went away inside its request");
                bytes.extend_from_slice(&buffer[..read]);
                let text = String::from_utf8_lossy(&bytes).into_owned();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                let length = head
                    .lines()
                    .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok());
                if body.len() >= length.unwrap() {
                    break (head.to_owned(), serde_json::from_str(body).unwrap());
                }
            };
            seen.lock().unwrap().push((head, body));
            let (status, answer) = answers.get(number).or(answers.last()).unwrap();
            let head = format!(
                "HTTP/1.1 {status}\r\nretry-after: 0\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                answer.len()
            );
            // A client that has read enough may be gone.
            let _ = socket.write_all(format!("{head}{answer}").as_bytes()).await;
        }
    });
    (address, requests)
}

/// An answer of OpenAI's API with these vectors, by their indexes.
fn list(vectors: &[(usize, &[f64])]) -> String {
    let data: Vec<Value> = vectors
        .iter()
        .map(|(index, vector)| json!({"object": "embedding", "index": index, "embedding": vector}))
        .collect();
    json!({"object": "list", "data": data, "model": "tiny", "usage": {"prompt_tokens": 1, "total_tokens": 1}})
        .to_string()
}

/// The embedder of a scripted server, whose dimension is known.
async fn known(answers: Vec<(&str, String)>, dimension: usize) -> RemoteEmbedder {
    let (address, _) = scripted(answers).await;
    let config = RemoteEmbedderConfig { dimension: Some(dimension), ..RemoteEmbedderConfig::openai(address, "tiny") };
    RemoteEmbedder::open(config).await.unwrap()
}

async fn error_of(answer: String, texts: usize) -> Error {
    let embedder = known(vec![("200 OK", answer)], 2).await;
    embedder.embed(vec![DOCUMENT("x"); texts]).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_librarys_own_server_gives_the_vectors_of_the_model_behind_it() {
    let (golden, dir) = (golden(), tempfile::tempdir().unwrap());
    let nomic = golden["cases"].as_array().unwrap().iter().find(|case| case["name"] == "nomic").unwrap();
    write_model(&golden, nomic, dir.path());
    let local = Arc::new(BertEmbedder::open(dir.path()).await.unwrap());
    let name = "nomic-embed-text";
    let server = HttpServer::start(HttpConfig {
        embedders: vec![(name.into(), local.clone())],
        port: Some(0),
        ..HttpConfig::default()
    })
    .await
    .unwrap();
    let base_url = server.base_url();
    let config = RemoteEmbedderConfig { batch: 2, ..RemoteEmbedderConfig::openai(&base_url, name) };
    let remote = RemoteEmbedder::open(config).await.unwrap();
    assert_eq!(remote.dimension(), local.dimension());
    let texts = vec![
        QUERY("the ferry to Hven"),
        DOCUMENT("the ferry to Hven"),
        DOCUMENT("the key of the pump"),
        Text::Plain("boat".into()),
        QUERY("boat"),
    ];
    let expected = local.embed(texts.clone()).await.unwrap();
    let vectors = remote.embed(texts).await.unwrap();
    for (a, b) in vectors.iter().flatten().zip(expected.iter().flatten()) {
        assert!((a - b).abs() < 1e-5);
    }
    let error = RemoteEmbedder::open(RemoteEmbedderConfig::openai(base_url, "gone")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    server.shutdown(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vectors_come_in_the_order_of_their_texts_and_at_length_one() {
    let first = list(&[(1, &[0.0, 2.0]), (0, &[3.0, 4.0])]);
    let second = r#"{"data":[{"embedding":[-5,0]}]}"#.to_owned();
    let (address, requests) = scripted(vec![("200 OK", first), ("200 OK", second)]).await;
    let config = RemoteEmbedderConfig {
        dimension: Some(2),
        batch: 2,
        api_key: Some("sk-secret".to_owned()),
        query_prompt: "ask: ".to_owned(),
        document_prompt: "tell: ".to_owned(),
        ..RemoteEmbedderConfig::openai(format!("{address}/v1/"), "tiny")
    };
    let embedder = RemoteEmbedder::open(config).await.unwrap();
    assert!(!format!("{embedder:?}").contains("sk-secret"));
    let vectors = embedder.embed(vec![QUERY("a"), DOCUMENT("b"), Text::Plain("c".into())]).await.unwrap();
    assert_eq!(vectors, [[0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]]);
    let requests = requests.lock().unwrap();
    let (head, body) = &requests[0];
    assert!(head.starts_with("POST /v1/embeddings HTTP/1.1"), "{head}");
    assert!(head.to_ascii_lowercase().contains("authorization: bearer sk-secret"));
    assert_eq!(*body, json!({"model": "tiny", "input": ["ask: a", "tell: b"], "encoding_format": "float"}));
    assert_eq!(requests[1].1["input"], json!(["c"]));
    assert_eq!(requests.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn ollama_is_asked_in_its_own_words() {
    let answer =
        |vectors: Value| ("200 OK", json!({"model": "m", "embeddings": vectors, "total_duration": 7}).to_string());
    let (address, requests) = scripted(vec![answer(json!([[1, 0, 0]])), answer(json!([[0, 3, 0], [0, 0, 1]]))]).await;
    let embedder = RemoteEmbedder::open(RemoteEmbedderConfig::ollama(&address, "nomic-embed-text:v1.5")).await.unwrap();
    assert_eq!(embedder.dimension(), 3, "the endpoint was asked for one vector");
    assert_eq!(embedder.embed(vec![QUERY("a"), DOCUMENT("b")]).await.unwrap(), [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
    let requests = requests.lock().unwrap().clone();
    assert!(requests[1].0.starts_with("POST /api/embed HTTP/1.1"), "{}", requests[1].0);
    let expected =
        json!({"model": "nomic-embed-text:v1.5", "input": ["search_query: a", "search_document: b"], "truncate": true});
    assert_eq!(requests[1].1, expected);
    let (address, requests) = scripted(vec![answer(json!([[1, 0]]))]).await;
    let config =
        RemoteEmbedderConfig { dimension: Some(2), shorten: true, ..RemoteEmbedderConfig::ollama(address, "m") };
    RemoteEmbedder::open(config).await.unwrap().embed(vec![DOCUMENT("b")]).await.unwrap();
    assert_eq!(requests.lock().unwrap()[0].1["dimensions"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_endpoint_is_asked_again_and_one_that_refuses_is_not() {
    let good = ("200 OK", list(&[(0, &[1.0, 0.0])]));
    let busy = ("503 Service Unavailable", r#"{"error":{"message":"loading"}}"#.to_owned());
    for (answers, retries, outcome, asked) in [
        (vec![busy.clone(), busy.clone(), good.clone()], 3, Ok(()), 3),
        (vec![busy.clone(), busy.clone(), good.clone()], 1, Err(ErrorCode::Busy), 2),
        (vec![("429 Too Many Requests", "{}".into()), good.clone()], 0, Err(ErrorCode::Busy), 1),
        (vec![("401 Unauthorized", "{}".into()), good.clone()], 3, Err(ErrorCode::PermissionDenied), 1),
        (vec![("404 Not Found", "{}".into()), good.clone()], 3, Err(ErrorCode::NotFound), 1),
        (vec![("400 Bad Request", "{}".into()), good.clone()], 3, Err(ErrorCode::InvalidArgument), 1),
        (vec![("500 Internal Server Error", "no".into()), good.clone()], 3, Ok(()), 2),
    ] {
        let (address, requests) = scripted(answers).await;
        let mut config = RemoteEmbedderConfig { retries, ..RemoteEmbedderConfig::openai(address, "tiny") };
        config.dimension = Some(2);
        let result = RemoteEmbedder::open(config).await.unwrap().embed(vec![DOCUMENT("x")]).await;
        assert_eq!(result.map(drop).map_err(|error| error.code()), outcome);
        assert_eq!(requests.lock().unwrap().len(), asked);
    }
    let answer = r#"{"error":{"message":"sk-secret is no key\n"}}"#;
    let (address, _) = scripted(vec![("401 Unauthorized", answer.to_owned())]).await;
    let config =
        RemoteEmbedderConfig { api_key: Some("sk-secret".into()), ..RemoteEmbedderConfig::openai(address, "tiny") };
    let error = RemoteEmbedder::open(config).await.unwrap_err();
    assert!(error.message().contains("*** is no key") && !format!("{error:?}").contains("sk-secret"), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_are_no_vectors_of_the_texts_is_refused() {
    for (answer, texts, code, said) in [
        (list(&[(0, &[1.0, 0.0])]), 2, ErrorCode::CorruptData, "1 vectors for 2 texts"),
        (list(&[(0, &[1.0, 0.0]), (0, &[1.0, 0.0])]), 2, ErrorCode::CorruptData, "index 0"),
        (list(&[(0, &[1.0, 0.0]), (7, &[1.0, 0.0])]), 2, ErrorCode::CorruptData, "index 7"),
        (list(&[(0, &[0.0, 0.0])]), 1, ErrorCode::CorruptData, "zeros"),
        (list(&[(0, &[1e200, 1e200])]), 1, ErrorCode::CorruptData, "finite"),
        (list(&[(0, &[1.0, 0.0, 0.0])]), 1, ErrorCode::Conflict, "3 dimensions instead of 2"),
        (list(&[(0, &[])]), 1, ErrorCode::Conflict, "0 dimensions"),
        (r#"{"data":[{"index":0,"embedding":[null,1]}]}"#.into(), 1, ErrorCode::CorruptData, "no embeddings"),
        (r#"{"data":[{"index":0,"embedding":[NaN,1]}]}"#.into(), 1, ErrorCode::CorruptData, "no embeddings"),
        (r#"{"data":[{"index":0,"embedding":[1e999,1]}]}"#.into(), 1, ErrorCode::CorruptData, "no embeddings"),
        (r#"{"data":[{"index":0,"embedding":"AACAPw=="}]}"#.into(), 1, ErrorCode::CorruptData, "no embeddings"),
        ("<html>".into(), 1, ErrorCode::CorruptData, "no embeddings"),
        (" ".repeat(400_000), 1, ErrorCode::CorruptData, "bytes"),
    ] {
        let error = error_of(answer, texts).await;
        assert_eq!(error.code(), code, "{said}: {error}");
        assert!(error.message().contains(said) && error.context().contains_key("remedy"), "{said}: {error}");
    }
    // An endpoint without vectors tells no dimension.
    let (address, _) = scripted(vec![("200 OK", list(&[(0, &[])]))]).await;
    let error = RemoteEmbedder::open(RemoteEmbedderConfig::openai(address, "tiny")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CorruptData);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_there_is_unreachable_and_silence_a_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", silent.local_addr().unwrap());
    let idle_timeout = Duration::from_millis(50);
    let config = RemoteEmbedderConfig { idle_timeout, retries: 0, ..RemoteEmbedderConfig::ollama(address, "m") };
    assert_eq!(RemoteEmbedder::open(config.clone()).await.unwrap_err().code(), ErrorCode::Timeout);
    drop(silent);
    let error = RemoteEmbedder::open(config.clone()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unreachable);
    assert!(!format!("{error:?}").contains("http://"), "an address may hold a secret: {error:?}");
    // Where the dimension is given, a knowledge base opens while the endpoint is away.
    assert!(RemoteEmbedder::open(RemoteEmbedderConfig { dimension: Some(4), ..config.clone() }).await.is_ok());
    for wrong in [
        RemoteEmbedderConfig { base_url: "ftp://host".into(), ..config.clone() },
        RemoteEmbedderConfig { model: " ".into(), ..config.clone() },
        RemoteEmbedderConfig { api_key: Some("a b".into()), ..config.clone() },
        RemoteEmbedderConfig { batch: 0, ..config.clone() },
        RemoteEmbedderConfig { dimension: Some(0), ..config.clone() },
        RemoteEmbedderConfig { dimension: Some(70_000), ..config.clone() },
        RemoteEmbedderConfig { shorten: true, ..config },
    ] {
        assert_eq!(RemoteEmbedder::open(wrong).await.unwrap_err().code(), ErrorCode::InvalidArgument);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_follows_the_model_and_the_prompts_and_not_the_address() {
    let open = async |config: RemoteEmbedderConfig| {
        RemoteEmbedder::open(RemoteEmbedderConfig { dimension: Some(2), ..config }).await.unwrap().id()
    };
    let config = RemoteEmbedderConfig::openai("http://localhost:1/v1", "tiny");
    let id = open(config.clone()).await;
    assert!(id.starts_with("tiny@endpoint-"), "{id}");
    assert_eq!(open(RemoteEmbedderConfig::ollama("http://localhost:2", "tiny")).await, id);
    let others = [
        RemoteEmbedderConfig { model: "other".into(), ..config.clone() },
        RemoteEmbedderConfig { query_prompt: "ask: ".into(), ..config.clone() },
        RemoteEmbedderConfig { document_prompt: "ask: ".into(), ..config.clone() },
        RemoteEmbedderConfig { shorten: true, ..config },
    ];
    let mut ids = std::collections::BTreeSet::from([id]);
    for other in others {
        ids.insert(open(other).await);
    }
    assert_eq!(ids.len(), 5, "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_knowledge_base_keeps_to_the_dimension_it_was_made_with() {
    let dir = tempfile::tempdir().unwrap();
    let open = async |vector: &[f64]| {
        let (address, _) = scripted(vec![("200 OK", list(&[(0, vector)]))]).await;
        let embedder = RemoteEmbedder::open(RemoteEmbedderConfig::openai(address, "tiny")).await.unwrap();
        Rag::open(dir.path(), RagConfig { embedder: Some(Arc::new(embedder)), ..RagConfig::default() }).await
    };
    let rag = open(&[1.0, 0.0]).await.unwrap();
    assert_eq!(rag.stats().await.unwrap().embedder.unwrap().dimension, 2);
    rag.shutdown().await;
    let error = open(&[1.0, 0.0, 0.0]).await.err().unwrap();
    assert_eq!(error.code(), ErrorCode::Conflict, "{error}");
    assert!(error.message().contains("2 dimensions") && error.message().contains("3 dimensions"), "{error}");
}
