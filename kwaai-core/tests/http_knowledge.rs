//! Knowledge bases over HTTP, by requests over real sockets: documents that come and go, searches, and answers with their sources.

#[path = "support/hashing.rs"]
mod hashing;

use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use hashing::Hashing;
use kwaai_core::clock::ManualClock;
use kwaai_core::event::{self, Stream};
use kwaai_core::http::{HttpConfig, HttpServer, KNOWLEDGE_NAME};
use kwaai_core::llm::{FinishReason, GenerateEvent, GenerateRequest, LanguageModel, Usage};
use kwaai_core::rag::{AskOptions, Mode, REFUSAL, Rag, RagConfig, Source};
use kwaai_core::{Config, ErrorCode, Node};
use proptest::prelude::*;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

// anchor: serve
/// Serves a knowledge base to people and programs on this machine.
async fn serve(rag: &Rag) -> kwaai_core::Result<HttpServer> {
    let server = rag.serve(KNOWLEDGE_NAME, HttpConfig { port: Some(0), ..HttpConfig::default() }).await?;
    println!("the page is at http://{}", server.address());
    println!("OPENAI_BASE_URL={}", server.base_url());
    Ok(server)
}
// end: serve

const KEYS: &str = "# Keys\n\nThe node keeps its identity, its naïve “résumé”, in the file identity.key, readable by its owner alone.\nLosing it means a new PeerId.\n\n\
    # Network\n\nPeers find each other through a distributed hash table. The default port for pages is 9090.\n";
const COOKING: &str = "Boil the potatoes for twenty minutes. Add salt and butter. Serve the mash while it is hot.\n";
const QUESTION: &str = "Which file does the node keep its identity in?";
const CHAT: &str = "/v1/chat/completions";
const BASE: &str = "/v1/knowledge/kwaainet-knowledge";

fn any_port() -> HttpConfig {
    HttpConfig { port: Some(0), ..HttpConfig::default() }
}

fn config() -> RagConfig {
    let clock = Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    RagConfig { embedder: Some(Arc::new(Hashing::new(64))), clock, ..RagConfig::default() }
}

async fn knowledge(dir: &Path, config: RagConfig, documents: &[(&str, &str)]) -> Rag {
    let rag = Rag::open(dir, config).await.unwrap();
    for (name, text) in documents {
        let mut stream = rag.ingest(Source::Bytes { name: (*name).into(), bytes: text.as_bytes().to_vec() }).unwrap();
        while stream.next().await.unwrap().is_some() {}
    }
    rag
}

/// A knowledge base of two documents, and its server.
async fn served(dir: &Path) -> (Rag, HttpServer) {
    let rag = knowledge(dir, config(), &[("keys.md", KEYS), ("cooking.txt", COOKING)]).await;
    let server = serve(&rag).await.unwrap();
    (rag, server)
}

fn request(server: &HttpServer, method: Method, path: &str) -> RequestBuilder {
    Client::new().request(method, format!("http://{}{path}", server.address()))
}

fn get(server: &HttpServer, path: &str) -> RequestBuilder {
    request(server, Method::GET, path)
}

fn post(server: &HttpServer, path: &str, body: &Value) -> RequestBuilder {
    request(server, Method::POST, path).json(body)
}

fn upload(server: &HttpServer, path: &str, bytes: impl Into<Vec<u8>>) -> RequestBuilder {
    let request = request(server, Method::POST, path).header("content-type", "application/octet-stream");
    request.body(bytes.into())
}

async fn json_of(request: RequestBuilder, expected: u16) -> Value {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    assert_eq!(status, expected, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The code of a refusal, whose envelope is checked.
async fn refused(request: RequestBuilder, expected: u16) -> Value {
    let mut value = json_of(request, expected).await;
    let error = value["error"].take();
    let mut members: Vec<&String> = error.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["code", "message", "param", "type"]);
    error
}

/// The events of a stream, and whether it ended with `[DONE]`.
async fn events(response: Response) -> (Vec<Value>, bool) {
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let body = response.text().await.unwrap();
    let mut events: Vec<&str> =
        body.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").expect("only data")).collect();
    let done = events.last() == Some(&"[DONE]");
    if done {
        events.pop();
    }
    (events.into_iter().map(|event| serde_json::from_str(event).unwrap()).collect(), done)
}

fn asking(model: &str, question: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": question}]})
}

/// What a streamed conversation says.
fn said(events: &[Value]) -> String {
    events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_come_are_listed_and_go() {
    let dir = tempfile::tempdir().unwrap();
    let rag = knowledge(dir.path(), config(), &[]).await;
    let server = serve(&rag).await.unwrap();
    let documents = format!("{BASE}/documents");
    let new = json_of(upload(&server, &format!("{documents}?name=a/caf%C3%A9%20+.md"), KEYS), 201).await;
    assert_eq!((&new["object"], &new["name"]), (&json!("document"), &json!("a/café +.md")));
    assert_eq!(
        (&new["outcome"], &new["bytes"], &new["format"]),
        (&json!("ingested"), &json!(KEYS.len()), &json!("markdown"))
    );
    assert!(new["chunks"].as_u64().unwrap() > 0 && new["warnings"] == json!([]) && new["ms"].is_u64());
    let again = json_of(upload(&server, &format!("{documents}?name=a/caf%C3%A9%20+.md"), KEYS), 200).await;
    assert_eq!((&again["outcome"], &again["id"]), (&json!("unchanged"), &new["id"]));
    json_of(upload(&server, &format!("{documents}?name=cooking.txt"), COOKING), 201).await;

    let listed = json_of(get(&server, &documents), 200).await;
    assert_eq!(listed["data"], json!(rag.documents().await.unwrap()));
    let stats = json_of(get(&server, BASE), 200).await;
    assert_eq!((&stats["documents"], &stats["name"]), (&json!(2), &json!(KNOWLEDGE_NAME)));
    assert_eq!(stats["embedder"], json!({"id": "hashing-64", "dimension": 64}));
    assert_eq!(json_of(get(&server, "/v1/knowledge"), 200).await["data"], json!([stats]));

    let one = format!("{documents}/{}", new["id"].as_str().unwrap());
    let document = json_of(get(&server, &one), 200).await;
    assert_eq!(document["text"], json!(rag.document_text(new["id"].as_str().unwrap()).await.unwrap()));
    assert_eq!((&document["chunks"], &document["ingested_at_ms"]), (&new["chunks"], &json!(1_767_225_600_000_i64)));
    let gone = json_of(request(&server, Method::DELETE, &one), 200).await;
    assert_eq!(gone, json!({"object": "document.deleted", "id": new["id"], "deleted": true}));
    for method in [Method::DELETE, Method::GET] {
        assert_eq!(refused(request(&server, method, &one), 404).await["code"], "not_found");
    }
    assert_eq!(rag.documents().await.unwrap().len(), 1);
}

/// A query that uploads a file of this name and says this about it.
fn described(name: &str, metadata: &str) -> String {
    let coded: String = metadata.bytes().map(|byte| format!("%{byte:02X}")).collect();
    format!("{BASE}/documents?name={name}&metadata={coded}")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_about_a_file_comes_with_it_is_shown_and_narrows_searches_down() {
    let dir = tempfile::tempdir().unwrap();
    let rag = knowledge(dir.path(), config(), &[]).await;
    let server = serve(&rag).await.unwrap();
    let said = json!({"team": "night “shift” & co", "clé": "né"});
    let new = json_of(upload(&server, &described("keys.md", &said.to_string()), KEYS), 201).await;
    assert_eq!(new["metadata"], said);
    json_of(upload(&server, &described("cooking.txt", "{\"team\": \"day\"}"), COOKING), 201).await;
    let one = format!("{BASE}/documents/{}", new["id"].as_str().unwrap());
    assert_eq!(json_of(get(&server, &one), 200).await["metadata"], said);
    let listed = json_of(get(&server, &format!("{BASE}/documents")), 200).await;
    assert_eq!(listed["data"][1]["metadata"], said);

    // The same bytes with something else said, with nothing said, and with an empty map.
    for (query, outcome) in [
        (described("keys.md", r#"{"team": "late"}"#), json!({"team": "late"})),
        (format!("{BASE}/documents?name=keys.md"), json!({"team": "late"})),
        (described("keys.md", "null"), json!({"team": "late"})),
        (described("keys.md", "{}"), json!({})),
        (described("keys.md", &said.to_string()), said.clone()),
    ] {
        let again = json_of(upload(&server, &query, KEYS), 200).await;
        assert_eq!((&again["outcome"], &again["metadata"]), (&json!("unchanged"), &outcome), "{query}");
    }
    let mut streamed = upload(&server, &described("late.txt", r#"{"team": "late"}"#), COOKING);
    streamed = streamed.header("accept", "text/event-stream");
    let (seen, _) = events(streamed.send().await.unwrap()).await;
    assert_eq!(seen.last().unwrap()["metadata"], json!({"team": "late"}));

    let now = 1_767_225_600_000_i64;
    for (narrow, expected) in [
        (json!({"metadata": {"team": "day"}}), vec!["cooking.txt"]),
        (json!({"metadata": {"team": "nobody"}}), vec![]),
        (json!({"metadata": said}), vec!["keys.md"]),
        (json!({"formats": ["markdown"]}), vec!["keys.md"]),
        (json!({"names": ["c*.txt", "k*"]}), vec!["cooking.txt", "keys.md"]),
        (json!({"since_ms": now, "before_ms": now + 1, "names": ["cooking*"]}), vec!["cooking.txt"]),
        (json!({"since_ms": now + 1}), vec![]),
        (json!({"before_ms": now}), vec![]),
    ] {
        let mut body = json!({"query": "salt identity", "k": 20});
        body.as_object_mut().unwrap().extend(narrow.as_object().unwrap().clone());
        let found = json_of(post(&server, &format!("{BASE}/search"), &body), 200).await;
        let hits = found["hits"].as_array().unwrap().iter();
        let mut documents: Vec<&str> = hits.map(|hit| hit["document"].as_str().unwrap()).collect();
        documents.sort();
        documents.dedup();
        assert_eq!(documents, expected, "{narrow}");
    }
    for (body, part) in [
        (json!({"query": "x", "formats": ["papyrus"]}), "papyrus"),
        (json!({"query": "x", "metadata": {"team": 3}}), "string"),
        (json!({"query": "x", "names": ["[a"]}), "pattern"),
        (json!({"query": "x", "since_ms": "today"}), "today"),
    ] {
        let error = refused(post(&server, &format!("{BASE}/search"), &body), 400).await;
        assert!(error["message"].as_str().unwrap().contains(part), "{body}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_that_is_none_or_too_much_is_refused_before_the_file_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let rag = knowledge(dir.path(), config(), &[]).await;
    let server = serve(&rag).await.unwrap();
    let many: serde_json::Map<String, Value> = (0..33).map(|key| (key.to_string(), json!(""))).collect();
    for metadata in [
        "",
        "team",
        "[]",
        "\"team\"",
        "{\"team\": 3}",
        "{\"team\": null}",
        "{\"team\": {\"a\": \"b\"}}",
        "{\"\": \"night\"}",
        &json!({"team": "x".repeat(8193)}).to_string(),
        &Value::from(many).to_string(),
    ] {
        let error = refused(upload(&server, &described("keys.md", metadata), KEYS), 400).await;
        assert_eq!(error["param"], "metadata", "{metadata:.40} {error}");
    }
    let path = format!("{BASE}/documents?name=keys.md&metadata=%ff");
    assert_eq!(refused(upload(&server, &path, KEYS), 400).await["param"], "metadata");
    assert!(rag.documents().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_taken_is_refused_with_the_status_of_its_fault_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let rag = knowledge(dir.path(), config(), &[("keys.md", KEYS)]).await;
    let server = rag.serve(KNOWLEDGE_NAME, HttpConfig { max_upload_bytes: 2000, ..any_port() }).await.unwrap();
    let path = |query: &str| format!("{BASE}/documents{query}");
    for (query, bytes, status, code) in [
        ("?name=a.exe", b"MZ\x00\x01".to_vec(), 415, json!("unsupported")),
        ("?name=a.pdf", b"no pdf at all".to_vec(), 422, json!("corrupt_data")),
        ("?name=keys.md", Vec::new(), 400, Value::Null),
        ("?name=long.txt", vec![b'a'; 2001], 413, json!("request_too_large")),
        ("", KEYS.into(), 400, Value::Null),
        ("?name=", KEYS.into(), 400, Value::Null),
        ("?name=a%00b.md", KEYS.into(), 400, Value::Null),
        ("?name=%ff.md", KEYS.into(), 400, Value::Null),
    ] {
        assert_eq!(refused(upload(&server, &path(query), bytes), status).await["code"], code, "{query}");
    }
    let long = format!("?name={}", "n".repeat(1025));
    assert_eq!(refused(upload(&server, &path(&long), KEYS), 400).await["param"], "name");
    for form in ["text/plain", "multipart/form-data; boundary=b", "application/x-www-form-urlencoded"] {
        let request = request(&server, Method::POST, &path("?name=a.md")).header("content-type", form).body(KEYS);
        refused(request, 415).await;
    }
    let foreign = upload(&server, &path("?name=a.md"), KEYS).header("origin", "https://evil.example");
    refused(foreign, 403).await;
    let known: Vec<String> = rag.documents().await.unwrap().into_iter().map(|info| info.name).collect();
    assert_eq!(known, ["keys.md"]);
    assert_eq!(rag.stats().await.unwrap().generation, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_tells_how_it_gets_on_to_whoever_accepts_events() {
    let dir = tempfile::tempdir().unwrap();
    let rag = knowledge(dir.path(), config(), &[]).await;
    let server = serve(&rag).await.unwrap();
    let send = |name: &str, text: &str| {
        let request = upload(&server, &format!("{BASE}/documents?name={name}"), text);
        request.header("accept", "text/event-stream").send()
    };
    let (seen, _) = events(send("keys.md", KEYS).await.unwrap()).await;
    let (last, before) = seen.split_last().unwrap();
    let kinds: Vec<&str> = before.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["found", "reading", "embedded"]);
    assert_eq!((&last["object"], &last["outcome"]), (&json!("document"), &json!("ingested")));
    let (seen, _) = events(send("a.exe", "MZ").await.unwrap()).await;
    assert_eq!(seen.last().unwrap()["error"]["code"], "unsupported");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_finds_what_the_knowledge_base_finds() {
    let dir = tempfile::tempdir().unwrap();
    let (rag, server) = served(dir.path()).await;
    let path = format!("{BASE}/search");
    for (mode, name) in [(Mode::Hybrid, "hybrid"), (Mode::Lexical, "lexical"), (Mode::Dense, "dense")] {
        let found = json_of(post(&server, &path, &json!({"query": "identity file", "k": 2, "mode": name})), 200).await;
        assert_eq!(found, json!(rag.search("identity file", 2, mode).await.unwrap()));
    }
    let hit = &json_of(post(&server, &path, &json!({"query": "identity file"})), 200).await["hits"][0];
    assert!(hit["lexical"]["rank"].is_u64() && hit["dense"]["score"].is_f64() && hit["locator"].is_string());
    let narrow = json!({"query": "salt", "documents": [hit["document_id"]], "mode": null});
    for hit in json_of(post(&server, &path, &narrow), 200).await["hits"].as_array().unwrap() {
        assert_eq!(hit["document"], "keys.md");
    }
    for (body, part) in [
        (json!({}), "query is missing"),
        (json!({"query": "  "}), "query must be"),
        (json!({"query": "x", "k": 0}), "k must be"),
        (json!({"query": "x", "mode": "both"}), "both"),
        (json!({"query": "x", "top_k": 3}), "top_k"),
        (json!({"query": "x", "diversity": 2}), "diversity"),
        (json!({"query": "x", "rerank": 5}), "language model"),
    ] {
        let error = refused(post(&server, &path, &body), 400).await;
        assert!(error["message"].as_str().unwrap().contains(part), "{body}: {error}");
    }
    let absent = json!({"query": "x", "documents": ["0123"]});
    assert_eq!(refused(post(&server, &path, &absent), 404).await["code"], "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_has_the_form_that_was_written_down() {
    let dir = tempfile::tempdir().unwrap();
    let rag = Rag::open(dir.path(), RagConfig { embedder: None, ..config() }).await.unwrap();
    let mut stream = rag
        .ingest(Source::Bytes { name: "keys.md".into(), bytes: "# Keys\n\nThe key lies in identity.key.\n".into() })
        .unwrap();
    while stream.next().await.unwrap().is_some() {}
    let server = serve(&rag).await.unwrap();
    let body = json!({"question": "Where does the key lie?", "min_support": 0.0, "mode": "lexical"});
    let mut whole = json_of(post(&server, &format!("{BASE}/ask"), &body), 200).await;
    // The numbers of the evidence belong to the knowledge base.
    for name in ["evidence", "support"] {
        assert!(whole.as_object_mut().unwrap().remove(name).is_some());
    }
    let citation = &mut whole["citations"][0];
    for name in ["document_id", "chunk_id"] {
        assert!(citation.as_object_mut().unwrap().remove(name).unwrap().is_string());
    }
    let expected = json!({
        "text": "The key lies in identity.key. [1]", "refused": false, "why": null, "mode": "lexical", "note": null, "model": null,
        "citations": [{
            "number": 1, "document": "keys.md", "section": "Keys", "locator": "Keys",
            "span": {"start": 8, "end": 37}, "quote": "The key lies in identity.key.",
        }],
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&whole[name], value, "{name}");
    }
    let mut body = body;
    body["stream"] = true.into();
    let (seen, done) = events(post(&server, &format!("{BASE}/ask"), &body).send().await.unwrap()).await;
    assert!(!done);
    assert_eq!(seen[0], json!({"kind": "text", "text": "The key lies in identity.key. [1]"}));
    assert_eq!((&seen[1]["kind"], &seen[1]["answer"]["text"], seen.len()), (&json!("done"), &whole["text"], 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn programs_that_know_openais_api_are_answered_from_the_documents() {
    let dir = tempfile::tempdir().unwrap();
    let (rag, server) = served(dir.path()).await;
    let models = json_of(get(&server, "/v1/models"), 200).await;
    assert_eq!(models["data"][0]["id"], KNOWLEDGE_NAME);
    let answer = rag.answer(QUESTION, AskOptions::default()).await.unwrap();
    let mut body = asking(KNOWLEDGE_NAME, QUESTION);
    // A question that says enough needs nothing of what was said before.
    let earlier = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "potatoes"},
        {"role": "assistant", "content": "Boil them."}, {"role": "user", "content": [{"type": "text", "text": QUESTION}]}]);
    body["messages"] = earlier;
    body["temperature"] = json!(0.3);
    body["tools"] = json!([]);
    let whole = json_of(post(&server, CHAT, &body), 200).await;
    let message = &whole["choices"][0]["message"];
    assert_eq!((&whole["object"], &whole["model"]), (&json!("chat.completion"), &json!(KNOWLEDGE_NAME)));
    assert_eq!((&message["content"], &message["role"]), (&json!(answer.text), &json!("assistant")));
    assert_eq!(whole["choices"][0]["finish_reason"], "stop");
    assert_eq!(whole["kwaainet"]["sources"], json!(answer.citations));
    assert_eq!((&whole["kwaainet"]["refused"], &whole["kwaainet"]["support"]), (&json!(false), &json!(answer.support)));

    // Each mark of the text has its passage, and the address at which the page shows it.
    let annotations = message["annotations"].as_array().unwrap();
    let first = &annotations[0]["url_citation"];
    let (start, end) = (first["start_index"].as_u64().unwrap() as usize, first["end_index"].as_u64().unwrap() as usize);
    assert_eq!(answer.text.chars().skip(start).take(end - start).collect::<String>(), "[1]");
    let citation = &answer.citations[0];
    let text = rag.document_text(&citation.document_id).await.unwrap();
    assert_eq!(text[citation.span.clone()], citation.quote);
    let url = format!(
        "http://{}/#knowledge={KNOWLEDGE_NAME}&document={}&from={}&to={}",
        server.address(),
        citation.document_id,
        citation.span.start,
        citation.span.end
    );
    assert_eq!((&first["url"], annotations[0]["type"].as_str()), (&json!(url), Some("url_citation")));

    body["stream"] = true.into();
    let (chunks, done) = events(post(&server, CHAT, &body).send().await.unwrap()).await;
    assert!(
        done && chunks.iter().all(|chunk| chunk["object"] == "chat.completion.chunk" && chunk["id"] == chunks[0]["id"])
    );
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    assert_eq!(said(&chunks), answer.text);
    let sources = chunks.iter().find(|chunk| chunk.get("kwaainet").is_some()).unwrap();
    assert_eq!(
        (&sources["kwaainet"], &sources["choices"][0]["delta"]["annotations"]),
        (&whole["kwaainet"], &message["annotations"])
    );
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "stop");

    // One that says too little by itself is looked for together with the one before.
    assert_eq!(
        json_of(post(&server, CHAT, &asking(KNOWLEDGE_NAME, "And in Mongolia?")), 200).await["kwaainet"]["refused"],
        true
    );
    let mut follows = asking(KNOWLEDGE_NAME, "And in Mongolia?");
    follows["messages"] = json!([{"role": "user", "content": QUESTION}, {"role": "assistant", "content": answer.text},
        {"role": "user", "content": "And in Mongolia?"}, {"role": "assistant", "content": ""}]);
    let followed = json_of(post(&server, CHAT, &follows), 200).await;
    assert_eq!(
        (&followed["kwaainet"]["refused"], &followed["kwaainet"]["sources"][0]["document"]),
        (&json!(false), &json!("keys.md"))
    );

    let refusal = json_of(post(&server, CHAT, &asking(KNOWLEDGE_NAME, "What is the capital of Mongolia?")), 200).await;
    let content = refusal["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(content.starts_with(REFUSAL) && refusal["kwaainet"]["refused"] == true, "{refusal}");
    assert!(refusal["kwaainet"]["why"].is_string() && refusal["kwaainet"]["sources"] == json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_knowledge_base_cannot_do_is_refused_by_the_name_of_its_field() {
    let dir = tempfile::tempdir().unwrap();
    let (_rag, server) = served(dir.path()).await;
    for (more, param) in [
        (json!({"n": 2}), "n"),
        (json!({"tools": [{"type": "function", "function": {"name": "f"}}]}), "tools"),
        (json!({"response_format": {"type": "json_object"}}), "response_format"),
        (json!({"logprobs": true}), "logprobs"),
        (json!({"kwaainet": {"k": 0}}), ""),
        (json!({"kwaainet": {"trust": 1}}), "kwaainet"),
        (json!({"messages": []}), "messages"),
        (json!({"messages": [{"role": "assistant", "content": "x"}]}), "messages"),
        (json!({"messages": [{"role": "user", "content": "  "}]}), "messages"),
        (json!({"max_tokens": 0}), "max_tokens"),
    ] {
        let mut body = asking(KNOWLEDGE_NAME, QUESTION);
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let error = refused(post(&server, CHAT, &body), 400).await;
        assert_eq!(error["param"].as_str().unwrap_or_default(), param, "{more}");
    }
    for (body, part) in [
        (json!({}), "question"),
        (json!({"question": " "}), "empty"),
        (json!({"question": "x", "k": 0}), "k must be"),
        (json!({"question": "x", "min_support": 2}), "min_support"),
        (json!({"question": "x", "mode": "both"}), "both"),
        (json!({"question": "x", "top_k": 1}), "top_k"),
    ] {
        let error = refused(post(&server, &format!("{BASE}/ask"), &body), 400).await;
        assert!(error["message"].as_str().unwrap().contains(part), "{error}");
    }
    for path in ["/v1/knowledge/other", "/v1/knowledge/other/documents"] {
        assert_eq!(refused(get(&server, path), 404).await["code"], "knowledge_not_found");
    }
    for path in ["/v1/knowledge/", "/v1/knowledge//documents", &format!("{BASE}/documents/"), &format!("{BASE}/a/b/c")]
    {
        assert_eq!(refused(get(&server, path), 404).await["code"], "unknown_url", "{path}");
    }
    for (method, path, allowed) in [
        (Method::PUT, format!("{BASE}/documents"), "GET, HEAD, POST"),
        (Method::PATCH, format!("{BASE}/documents/x"), "GET, HEAD, DELETE"),
        (Method::GET, format!("{BASE}/ask"), "POST"),
        (Method::OPTIONS, BASE.to_owned(), "GET, HEAD"),
    ] {
        let response = request(&server, method, &path).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.headers()["allow"].to_str().unwrap()),
            (405, allowed),
            "{path}"
        );
        assert!(response.headers().get("access-control-allow-origin").is_none());
    }
}

/// A model that says what it is told to, and then ends or waits until it is given up.
struct Scripted {
    pieces: &'static [&'static str],
    waits: bool,
    ends: FinishReason,
    given_up: watch::Sender<usize>,
}

impl Scripted {
    fn new(pieces: &'static [&'static str], waits: bool) -> (Arc<Scripted>, watch::Receiver<usize>) {
        let (given_up, seen) = watch::channel(0);
        (Arc::new(Scripted { pieces, waits, ends: FinishReason::Stop, given_up }), seen)
    }
}

#[async_trait]
impl LanguageModel for Scripted {
    fn name(&self) -> String {
        "scripted".into()
    }

    async fn generate(&self, _: GenerateRequest) -> kwaai_core::Result<Stream<GenerateEvent>> {
        let (sender, stream) = event::channel(64);
        for piece in self.pieces {
            sender.send(GenerateEvent::text(*piece));
        }
        if self.waits {
            let given_up = self.given_up.clone();
            tokio::spawn(async move {
                sender.cancellation().cancelled().await;
                given_up.send_modify(|count| *count += 1);
            });
        } else {
            sender.send(GenerateEvent::done(self.ends, Usage::default(), Vec::new()));
            sender.finish(Ok(()));
        }
        Ok(stream)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_was_retracted_stands_in_the_text_of_a_client() {
    let dir = tempfile::tempdir().unwrap();
    let (model, _) = Scripted::new(&["Your keys are ", "made of cheese."], false);
    let rag = knowledge(dir.path(), RagConfig { language_model: Some(model), ..config() }, &[("keys.md", KEYS)]).await;
    let server = serve(&rag).await.unwrap();
    let mut body = asking(KNOWLEDGE_NAME, QUESTION);
    body["stream"] = true.into();
    let (chunks, done) = events(post(&server, CHAT, &body).send().await.unwrap()).await;
    let text = said(&chunks);
    assert!(done && text.contains("identity.key") && !text.contains("cheese"), "{text}");
    // Whoever knows the events is told.
    let ask = post(&server, &format!("{BASE}/ask"), &json!({"question": QUESTION, "stream": true}));
    let (seen, _) = events(ask.send().await.unwrap()).await;
    let kinds: Vec<&str> = seen.iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert!(kinds.contains(&"retracted") && kinds.last() == Some(&"done"), "{kinds:?}");
    assert!(!seen.last().unwrap()["answer"]["text"].as_str().unwrap().contains("cheese"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_cut_ends_by_its_length_and_indexes_of_code_are_no_annotations() {
    let dir = tempfile::tempdir().unwrap();
    let code = "The program reads its path from argv[1] and its mode from argv[2] at the start.\n";
    let pieces = &["It reads its path from argv[1] and its mode from argv[2] [1].", " Its mode is only"];
    let model = Scripted { pieces, waits: false, ends: FinishReason::Length, given_up: watch::channel(0).0 };
    let config = RagConfig { language_model: Some(Arc::new(model)), ..config() };
    let rag = knowledge(dir.path(), config, &[("program.md", code)]).await;
    let server = serve(&rag).await.unwrap();
    let mut body = asking(KNOWLEDGE_NAME, "From where does the program read its path and its mode?");
    let whole = json_of(post(&server, CHAT, &body), 200).await;
    let choice = &whole["choices"][0];
    assert_eq!((&choice["message"]["content"], &choice["finish_reason"]), (&json!(pieces[0]), &json!("length")));
    let annotations = choice["message"]["annotations"].as_array().unwrap();
    let starts: Vec<u64> =
        annotations.iter().filter_map(|annotation| annotation["url_citation"]["start_index"].as_u64()).collect();
    assert_eq!(starts, [pieces[0].rfind("[1]").unwrap() as u64]);
    body["stream"] = true.into();
    let (chunks, done) = events(post(&server, CHAT, &body).send().await.unwrap()).await;
    assert!(done && said(&chunks) == pieces[0]);
    assert_eq!(chunks.last().unwrap()["choices"][0]["finish_reason"], "length");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_away_withdraws_the_question_and_makes_room_for_another() {
    let dir = tempfile::tempdir().unwrap();
    let (model, mut given_up) = Scripted::new(&["The file "], true);
    let rag = knowledge(dir.path(), RagConfig { language_model: Some(model), ..config() }, &[("keys.md", KEYS)]).await;
    let server = rag.serve(KNOWLEDGE_NAME, HttpConfig { max_requests: 1, ..any_port() }).await.unwrap();
    let ask = format!("{BASE}/ask");
    let mut response = post(&server, &ask, &json!({"question": QUESTION, "stream": true})).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    let busy = [
        post(&server, &ask, &json!({"question": QUESTION})),
        post(&server, CHAT, &asking(KNOWLEDGE_NAME, QUESTION)),
        post(&server, &format!("{BASE}/search"), &json!({"query": "x"})),
    ];
    for request in busy {
        assert_eq!(refused(request, 429).await["code"], "rate_limit_exceeded");
    }
    // What costs little is still answered.
    json_of(get(&server, BASE), 200).await;
    drop(response);
    given_up.wait_for(|count| *count == 1).await.unwrap();
    while post(&server, &format!("{BASE}/search"), &json!({"query": "x"})).send().await.unwrap().status() != 200 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upload_keeps_nobody_from_searching() {
    let dir = tempfile::tempdir().unwrap();
    let rag = knowledge(dir.path(), config(), &[("keys.md", KEYS)]).await;
    let server = rag.serve(KNOWLEDGE_NAME, HttpConfig { max_requests: 1, ..any_port() }).await.unwrap();
    let documents = format!("{BASE}/documents?name=slow.md");
    let mut slow = TcpStream::connect(server.address()).await.unwrap();
    let head = format!(
        "POST {documents} HTTP/1.1\r\nHost: {}\r\nContent-Type: text/markdown\r\nContent-Length: 12\r\nExpect: 100-continue\r\n\r\n",
        server.address()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body when the upload has its place.
    let mut heard = [0; 12];
    slow.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"HTTP/1.1 100");
    slow.write_all(b"Slow").await.unwrap();
    json_of(post(&server, &format!("{BASE}/search"), &json!({"query": "identity"})), 200).await;
    assert_eq!(refused(upload(&server, &documents, KEYS), 429).await["code"], "rate_limit_exceeded");
    slow.write_all(b" words.\n").await.unwrap();
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("201 Created") {
        assert_ne!(slow.read_buf(&mut answer).await.unwrap(), 0, "the upload is answered");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_got_can_be_asked_for_by_its_head_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (_rag, server) = served(dir.path()).await;
    for path in ["/", "/healthz", "/v1/models", BASE, &format!("{BASE}/documents")] {
        let whole = get(&server, path).send().await.unwrap();
        let head = request(&server, Method::HEAD, path).send().await.unwrap();
        assert_eq!(
            (head.status(), head.headers()["content-length"].clone()),
            (whole.status(), whole.headers()["content-length"].clone())
        );
        assert!(head.bytes().await.unwrap().is_empty() && !whole.bytes().await.unwrap().is_empty());
    }
    let never = request(&server, Method::HEAD, &format!("{BASE}/search")).send().await.unwrap();
    assert_eq!((never.status().as_u16(), &never.headers()["allow"]), (405, &"POST".parse().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_knowledge_bases_stand_beside_each_other_by_any_names() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let keys = knowledge(one.path(), config(), &[("keys.md", KEYS)]).await;
    let food = knowledge(other.path(), config(), &[("cooking.txt", COOKING)]).await;
    let knowledge = vec![("my/keys é".to_owned(), keys.clone()), ("food".to_owned(), food.clone())];
    let node = Node::start(Config::default()).await.unwrap();
    let server = node.serve_http(HttpConfig { knowledge: knowledge.clone(), ..any_port() }).await.unwrap();
    let listed = json_of(get(&server, "/v1/knowledge"), 200).await;
    let names: Vec<&Value> = listed["data"].as_array().unwrap().iter().map(|entry| &entry["name"]).collect();
    assert_eq!(names, ["my/keys é", "food"]);
    let path = "/v1/knowledge/my%2Fkeys%20%C3%A9/documents";
    assert_eq!(json_of(get(&server, path), 200).await["data"][0]["name"], "keys.md");
    let answer = json_of(post(&server, CHAT, &asking("my/keys é", QUESTION)), 200).await;
    let url = &answer["choices"][0]["message"]["annotations"][0]["url_citation"]["url"];
    assert!(url.as_str().unwrap().contains("#knowledge=my%2Fkeys%20%C3%A9&document="), "{url}");
    let answer = json_of(post(&server, CHAT, &asking("food", QUESTION)), 200).await;
    assert_eq!(answer["kwaainet"]["refused"], true);

    // One that is closed says so, and hides no other.
    food.shutdown().await;
    let listed = json_of(get(&server, "/v1/knowledge"), 200).await;
    assert_eq!((&listed["data"][0]["documents"], &listed["data"][1]["error"]["code"]), (&json!(1), &json!("closed")));
    assert_eq!(refused(get(&server, "/v1/knowledge/food"), 503).await["code"], "closed");
    assert_eq!(refused(post(&server, CHAT, &asking("food", QUESTION)), 503).await["code"], "closed");

    let twice = HttpConfig { knowledge: vec![knowledge[0].clone(), knowledge[0].clone()], ..any_port() };
    assert_eq!(HttpServer::start(twice).await.unwrap_err().code(), ErrorCode::InvalidArgument);
    node.shutdown(Duration::ZERO).await.unwrap();
    assert!(!server.is_open());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_ends_with_its_knowledge_base_whose_port_is_9090_unless_it_is_told_another() {
    let dir = tempfile::tempdir().unwrap();
    let (rag, server) = served(dir.path()).await;
    let usual = rag.serve(KNOWLEDGE_NAME, HttpConfig::default()).await;
    match &usual {
        Ok(server) => assert_eq!(server.address().port(), 9090),
        Err(taken) => {
            assert_eq!(taken.code(), ErrorCode::Busy);
            assert!(taken.message().contains("127.0.0.1:9090"));
        }
    }
    rag.shutdown().await;
    assert!(!server.is_open());
    assert!(TcpStream::connect(server.address()).await.is_err());
    assert_eq!(rag.serve(KNOWLEDGE_NAME, any_port()).await.unwrap_err().code(), ErrorCode::Closed);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_open_to_everybody_runs_nothing_from_elsewhere_and_says_nothing_without_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let rag = knowledge(dir.path(), config(), &[("keys.md", KEYS)]).await;
    let config = HttpConfig { token: Some("secret".into()), ..any_port() };
    let server = rag.serve(KNOWLEDGE_NAME, config.clone()).await.unwrap();
    let page = get(&server, "/").send().await.unwrap();
    assert_eq!(
        (page.status().as_u16(), &page.headers()["content-type"]),
        (200, &"text/html; charset=utf-8".parse().unwrap())
    );
    let headers = page.headers();
    assert_eq!(
        headers["content-security-policy"],
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    assert_eq!(
        (&headers["x-content-type-options"], &headers["referrer-policy"]),
        (&"nosniff".parse().unwrap(), &"no-referrer".parse().unwrap())
    );
    let text = page.text().await.unwrap();
    assert!(
        !text.contains("keys.md")
            && !text.contains("<style")
            && !text.contains(" style=")
            && !text.contains(" onclick")
    );
    // Everything that it names is there, and is its own.
    let named: Vec<&str> = text.split(['"']).skip(1).step_by(2).filter(|value| value.starts_with("/page/")).collect();
    assert!(named.len() >= 3, "{named:?}");
    for asset in named {
        let response = get(&server, asset).send().await.unwrap();
        assert_eq!(response.status(), 200, "{asset}");
        let text = response.text().await.unwrap();
        for away in ["http:", "https:", "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            let own = text.replace("http://www.w3.org/2000/svg", "");
            assert!(!own.contains(away), "{asset} has {away}");
        }
    }
    refused(get(&server, "/v1/knowledge"), 401).await;
    refused(upload(&server, &format!("{BASE}/documents?name=a.md"), KEYS), 401).await;
    json_of(get(&server, "/v1/knowledge").bearer_auth("secret"), 200).await;
    refused(request(&server, Method::POST, "/").json(&json!({})), 405).await;
    // A server without knowledge bases has nothing to show.
    let without = HttpServer::start(HttpConfig { token: None, ..config }).await.unwrap();
    assert_eq!(refused(get(&without, "/"), 404).await["code"], "unknown_url");
}

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap());

/// A server that stays for all cases.
static SERVED: LazyLock<(tempfile::TempDir, Rag, HttpServer)> = LazyLock::new(|| {
    RUNTIME.block_on(async {
        let dir = tempfile::tempdir().unwrap();
        let (rag, server) = served(dir.path()).await;
        (dir, rag, server)
    })
});

/// Paths of the interface, with names and members that nobody means.
fn paths() -> impl Strategy<Value = (Method, String)> {
    let method = prop::sample::select(vec![Method::GET, Method::POST, Method::DELETE, Method::PUT]);
    let base = prop::sample::select(vec![BASE.to_owned(), "/v1/knowledge".to_owned(), "/v1/knowledge/x".to_owned()]);
    let tail = prop::sample::select(vec!["", "/documents", "/documents/", "/search", "/ask", "/documents?name="]);
    let rest = "[a-z0-9%/.?=&+-]{0,24}";
    (method, base, tail, rest).prop_map(|(method, base, tail, rest)| (method, format!("{base}{tail}{rest}")))
}

/// Bodies that are almost questions, searches and files.
fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let name = prop::sample::select(vec!["question", "query", "k", "mode", "stream", "min_support", "max_tokens", "x"]);
    let value = prop_oneof![
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        "\\PC{0,12}".prop_map(|text| json!(text)),
        prop::sample::select(vec![json!(null), json!(true), json!([]), json!({}), json!("dense"), json!("keys")]),
    ];
    let object = prop::collection::btree_map(name, value, 0..5).prop_map(|map| json!(map).to_string().into_bytes());
    prop_oneof![3 => object, 1 => prop::collection::vec(any::<u8>(), 0..200)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn fuzz_whatever_is_asked_of_a_knowledge_base_is_answered_or_refused((method, path) in paths(), body in bodies(), file in any::<bool>()) {
        let server = &SERVED.2;
        RUNTIME.block_on(async {
            let kind = if file { "application/octet-stream" } else { "application/json" };
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {kind}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                server.address(), body.len()
            );
            let mut socket = TcpStream::connect(server.address()).await.unwrap();
            socket.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
            let mut answer = Vec::new();
            // The server may close before it has read a body that it does not want.
            let _ = socket.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer).into_owned();
            let status: u16 = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
            assert!(matches!(status, 200..=201 | 400 | 404 | 405 | 413 | 415 | 422), "{method} {path}: {answer}");
        });
    }
}
