//! The HTTP server, by requests over real sockets: with a small model of random weights, and with models that fail and wait when
//! the test says so.

#[path = "support/hashing.rs"]
mod hashing;
mod shard_support;

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hashing::Hashing;
use kwaai_core::event::{self, Stream};
use kwaai_core::http::{HttpConfig, HttpServer};
use kwaai_core::llm::{FinishReason, GenerateEvent, GenerateRequest, HostWishes, LanguageModel, Usage};
use kwaai_core::shard::{LoadOptions, Route, ShardEngine};
use kwaai_core::{Config, Error, ErrorCode, Node};
use reqwest::{Client, RequestBuilder, Response};
use serde_json::{Value, json};
use shard_support::{config, write_model};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

// anchor: serve
/// Serves the model of a directory to programs on this machine that speak OpenAI's API.
async fn serve(node: &Node, dir: &Path) -> kwaai_core::Result<HttpServer> {
    let model = node.shards().load(dir, LoadOptions::default()).await?;
    let model: Arc<dyn LanguageModel> = Arc::new(node.shards().language_model(&model, Route::Local));
    let config = HttpConfig { models: vec![("tiny".into(), model)], port: Some(0), ..HttpConfig::default() };
    let server = node.serve_http(config).await?;
    println!("OPENAI_BASE_URL={}", server.base_url());
    Ok(server)
}
// end: serve

const GRACE: Duration = Duration::from_secs(10);

/// A small model of random weights.
async fn tiny() -> Arc<dyn LanguageModel> {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 3, &config(2, 4, 2, 6, true));
    let engine = ShardEngine::local();
    let model = engine.load(dir.path(), LoadOptions::default()).await.unwrap();
    Arc::new(engine.language_model(&model, Route::Local))
}

fn any_port() -> HttpConfig {
    HttpConfig { port: Some(0), ..HttpConfig::default() }
}

async fn serving(models: Vec<(&str, Arc<dyn LanguageModel>)>) -> HttpServer {
    let models = models.into_iter().map(|(name, model)| (name.to_owned(), model)).collect();
    let embedders: Vec<(String, Arc<dyn kwaai_core::llm::Embedder>)> =
        vec![("hash".into(), Arc::new(Hashing::new(32)))];
    HttpServer::start(HttpConfig { models, embedders, ..any_port() }).await.unwrap()
}

fn url(server: &HttpServer, path: &str) -> String {
    format!("http://{}{path}", server.address())
}

fn post(server: &HttpServer, path: &str, body: &Value) -> RequestBuilder {
    Client::new().post(url(server, path)).json(body)
}

async fn answered(server: &HttpServer, path: &str, body: &Value) -> Value {
    let response = post(server, path, body).send().await.unwrap();
    let status = response.status();
    let value: Value = response.json().await.unwrap();
    assert_eq!(status, 200, "{value}");
    value
}

/// The status of a refusal and what is in its envelope.
async fn refused(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let mut value: Value = response.json().await.unwrap();
    assert_eq!(value.as_object().unwrap().len(), 1, "{value}");
    let error = value["error"].take();
    let mut members: Vec<&String> = error.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["code", "message", "param", "type"]);
    (status, error)
}

/// The events of a stream, and whether it ended with `[DONE]`.
fn events(body: &str) -> (Vec<Value>, bool) {
    let mut events: Vec<&str> =
        body.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").expect("only data")).collect();
    let done = events.last() == Some(&"[DONE]");
    if done {
        events.pop();
    }
    (events.into_iter().map(|event| serde_json::from_str(event).unwrap()).collect(), done)
}

async fn streamed(server: &HttpServer, path: &str, body: &Value) -> Vec<Value> {
    let response = post(server, path, body).send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (events, done) = events(&response.text().await.unwrap());
    assert!(done, "{events:?}");
    events
}

/// What one choice of a streamed conversation says, and why it ended.
fn said(events: &[Value], index: usize) -> (String, Value) {
    let of_it = || events.iter().flat_map(|event| event["choices"].as_array().unwrap()).filter(|c| c["index"] == index);
    let text = of_it().filter_map(|choice| choice["delta"]["content"].as_str()).collect();
    (text, of_it().next_back().unwrap()["finish_reason"].clone())
}

fn asking(more: Value) -> Value {
    let mut body = json!({
        "model": "tiny", "messages": [{"role": "user", "content": "What is a block?"}], "max_tokens": 20, "seed": 7,
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

const CHAT: &str = "/v1/chat/completions";
const TEXT: &str = "/v1/completions";

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_is_answered_at_once_and_as_a_stream_alike() {
    let server = serving(vec![("tiny", tiny().await)]).await;
    let whole = answered(&server, CHAT, &asking(json!({}))).await;
    assert_eq!((&whole["object"], &whole["model"]), (&json!("chat.completion"), &json!("tiny")));
    assert!(whole["id"].as_str().unwrap().starts_with("chatcmpl-") && whole["created"].is_i64());
    let choice = &whole["choices"][0];
    assert_eq!((&choice["index"], &choice["logprobs"]), (&json!(0), &Value::Null));
    assert_eq!(choice["message"]["role"], "assistant");
    let text = choice["message"]["content"].as_str().unwrap();
    assert!(!text.is_empty());
    let usage = &whole["usage"];
    let count = |name: &str| usage[name].as_u64().unwrap();
    assert_eq!(count("prompt_tokens") + count("completion_tokens"), count("total_tokens"));
    assert!(count("completion_tokens") <= 20);
    assert_eq!(whole["kwaainet"]["path"][0]["end_block"], 2);

    let options = json!({"stream": true, "stream_options": {"include_usage": true}});
    let events = streamed(&server, CHAT, &asking(options)).await;
    let first = &events[0];
    assert_eq!(
        (&first["object"], &first["choices"][0]["delta"]["role"]),
        (&json!("chat.completion.chunk"), &json!("assistant"))
    );
    assert_eq!(said(&events, 0), (text.to_owned(), choice["finish_reason"].clone()));
    let (last, before) = events.split_last().unwrap();
    assert_eq!((&last["usage"], &last["choices"]), (usage, &json!([])));
    assert!(before.iter().all(|event| event["usage"].is_null() && event["id"] == first["id"]));

    let without = streamed(&server, CHAT, &asking(json!({"stream": true}))).await;
    assert!(without.iter().all(|event| event.get("usage").is_none() && event["choices"] != json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_serves_the_model_of_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    write_model(dir.path(), 3, &config(2, 4, 2, 6, true));
    let node = Node::start(Config::default()).await.unwrap();
    let server = serve(&node, dir.path()).await.unwrap();
    let answer = answered(&server, CHAT, &asking(json!({}))).await;
    let same = answered(&serving(vec![("tiny", tiny().await)]).await, CHAT, &asking(json!({}))).await;
    assert_eq!(answer["choices"], same["choices"]);
    node.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn choices_differ_by_their_seeds_and_a_seed_repeats() {
    let server = serving(vec![("tiny", tiny().await)]).await;
    let three = answered(&server, CHAT, &asking(json!({"n": 3}))).await;
    let text = |answer: &Value, index: usize| answer["choices"][index]["message"]["content"].clone();
    assert_eq!(three["choices"].as_array().unwrap().len(), 3);
    assert!(text(&three, 0) != text(&three, 1) && text(&three, 1) != text(&three, 2));
    for index in 0..3 {
        let one = answered(&server, CHAT, &asking(json!({"seed": 7 + index}))).await;
        assert_eq!(text(&one, 0), text(&three, index));
        // The choices of one request read its prompt once.
        assert_eq!(one["usage"]["prompt_tokens"], three["usage"]["prompt_tokens"]);
    }
    let events = streamed(&server, CHAT, &asking(json!({"n": 3, "stream": true}))).await;
    for index in 0..3 {
        assert_eq!(said(&events, index).0, text(&three, index).as_str().unwrap());
    }
    let unseeded = || async { answered(&server, CHAT, &asking(json!({"seed": null}))).await };
    assert_ne!(text(&unseeded().await, 0), text(&unseeded().await, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn stop_texts_end_the_answer_and_are_not_in_it() {
    let server = serving(vec![("tiny", tiny().await)]).await;
    let whole = answered(&server, CHAT, &asking(json!({"max_tokens": 60}))).await;
    let text = whole["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    let stop: String = text.chars().skip(5).take(3).collect();
    let body = asking(json!({"max_tokens": 60, "stop": ["never said by anybody", stop]}));
    let stopped = answered(&server, CHAT, &body).await;
    assert_eq!(stopped["choices"][0]["message"]["content"], text[..text.find(&stop).unwrap()]);
    assert_eq!(stopped["choices"][0]["finish_reason"], "stop");
    let mut body = body;
    body["stream"] = true.into();
    assert_eq!(said(&streamed(&server, CHAT, &body).await, 0).0, text[..text.find(&stop).unwrap()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tokens_of_an_answer_add_up_to_its_text() {
    let server = serving(vec![("tiny", tiny().await)]).await;
    let options = json!({"logprobs": true, "top_logprobs": 3, "temperature": 0.7});
    let whole = answered(&server, CHAT, &asking(options.clone())).await;
    let choice = &whole["choices"][0];
    let tokens = choice["logprobs"]["content"].as_array().unwrap();
    assert_eq!(tokens.len() as u64, whole["usage"]["completion_tokens"].as_u64().unwrap());
    let bytes: Vec<u8> =
        tokens.iter().flat_map(|token| token["bytes"].as_array().unwrap()).map(|b| b.as_u64().unwrap() as u8).collect();
    assert_eq!(String::from_utf8_lossy(&bytes), choice["message"]["content"].as_str().unwrap());
    for token in tokens {
        let top = token["top_logprobs"].as_array().unwrap();
        let values: Vec<f64> = top.iter().map(|entry| entry["logprob"].as_f64().unwrap()).collect();
        assert!(values.len() == 3 && values.is_sorted_by(|a, b| a >= b) && values[0] < 0.0);
        assert!(token["logprob"].as_f64().unwrap() <= values[0]);
    }
    let mut body = asking(options);
    body["stream"] = true.into();
    let events = streamed(&server, CHAT, &body).await;
    let parts = events.iter().flat_map(|event| event["choices"][0]["logprobs"]["content"].as_array()).flatten();
    assert_eq!(parts.collect::<Vec<_>>(), tokens.iter().collect::<Vec<_>>());

    let text =
        answered(&server, TEXT, &json!({"model": "tiny", "prompt": "Once", "logprobs": 2, "seed": 1, "max_tokens": 6}))
            .await;
    let choice = &text["choices"][0];
    let count = text["usage"]["completion_tokens"].as_u64().unwrap() as usize;
    for (name, length) in
        [("tokens", count), ("token_logprobs", count), ("top_logprobs", count), ("text_offset", count)]
    {
        assert_eq!(choice["logprobs"][name].as_array().unwrap().len(), length, "{name}");
    }
    let tokens = choice["logprobs"]["tokens"].as_array().unwrap().iter();
    let ends = tokens.scan(0, |end, token| {
        *end += token.as_str().unwrap().chars().count();
        Some(*end)
    });
    let begins: Vec<usize> = std::iter::once(0).chain(ends).take(count).collect();
    assert_eq!(choice["logprobs"]["text_offset"], json!(begins));
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_and_tokens_are_continued_as_they_stand() {
    let server = serving(vec![("tiny", tiny().await)]).await;
    let ask = |prompt: Value| {
        let body = json!({"model": "tiny", "prompt": prompt, "max_tokens": 8, "seed": 3, "temperature": 1});
        let server = &server;
        async move { answered(server, TEXT, &body).await }
    };
    let one = ask(json!("abc")).await;
    assert_eq!(one["object"], "text_completion");
    assert_eq!(one["usage"]["prompt_tokens"], 3);
    // In the tokenizer of this model a token is a byte, in the order of GPT-2's letters.
    let two = ask(json!(["abc", "xyz"])).await;
    let text = |answer: &Value, index: usize| answer["choices"][index]["text"].clone();
    assert_eq!(text(&two, 0), text(&one, 0));
    assert_ne!(text(&two, 1), text(&two, 0));
    assert_eq!((&two["choices"][1]["index"], &two["usage"]["prompt_tokens"]), (&json!(1), &json!(6)));
    let tokens = ask(json!([[10, 20, 30], [10, 20, 31]])).await;
    assert_eq!(text(&ask(json!([10, 20, 30])).await, 0), text(&tokens, 0));

    let body = json!({"model": "tiny", "prompt": ["abc", "xyz"], "n": 2, "max_tokens": 8, "seed": 3, "stream": true,
        "stream_options": {"include_usage": true}});
    let events = streamed(&server, TEXT, &body).await;
    let all = |index: usize| {
        let of_it =
            events.iter().flat_map(|event| event["choices"].as_array().unwrap()).filter(|c| c["index"] == index);
        of_it.filter_map(|choice| choice["text"].as_str()).collect::<String>()
    };
    assert_eq!(all(0), text(&two, 0).as_str().unwrap());
    assert_eq!(all(2), text(&two, 1).as_str().unwrap());
    assert_eq!(events.last().unwrap()["usage"]["prompt_tokens"], 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn embeddings_come_as_numbers_and_as_base64_alike() {
    let server = serving(vec![]).await;
    let numbers = answered(&server, "/v1/embeddings", &json!({"model": "hash", "input": ["one two", "three"]})).await;
    assert_eq!((&numbers["object"], &numbers["data"][1]["index"]), (&json!("list"), &json!(1)));
    let body = json!({"model": "hash", "input": "three", "encoding_format": "base64"});
    let coded = answered(&server, "/v1/embeddings", &body).await;
    let bytes = BASE64.decode(coded["data"][0]["embedding"].as_str().unwrap()).unwrap();
    let decoded: Vec<f32> = bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect();
    let plain: Vec<f32> = numbers["data"][1]["embedding"]
        .as_array()
        .unwrap()
        .iter()
        .map(|value| value.as_f64().unwrap() as f32)
        .collect();
    assert!(!plain.is_empty());
    assert_eq!(decoded, plain);
    for (input, param) in [
        (json!({"input": []}), "input"),
        (json!({"input": ""}), "input"),
        (json!({"input": [1, 2]}), "input"),
        (json!({"input": "x", "dimensions": 3}), "dimensions"),
        (json!({"input": "x", "encoding_format": "hex"}), "encoding_format"),
        (json!({}), "input"),
    ] {
        let mut body = input;
        body["model"] = "hash".into();
        let (status, error) = refused(post(&server, "/v1/embeddings", &body).send().await.unwrap()).await;
        assert_eq!((status, &error["param"]), (400, &json!(param)), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_listed_and_found_by_name() {
    let server = serving(vec![("org/tiny one", tiny().await)]).await;
    let get = |path: &str| Client::new().get(url(&server, path)).send();
    let list: Value = get("/v1/models").await.unwrap().json().await.unwrap();
    let names: Vec<&Value> = list["data"].as_array().unwrap().iter().map(|model| &model["id"]).collect();
    assert_eq!(names, ["org/tiny one", "hash"]);
    for path in ["/v1/models/org%2Ftiny%20one", "/v1/models/org/tiny%20one"] {
        let one: Value = get(path).await.unwrap().json().await.unwrap();
        assert_eq!((&one["id"], &one["object"]), (&json!("org/tiny one"), &json!("model")));
    }
    let (status, error) = refused(get("/v1/models/other").await.unwrap()).await;
    assert_eq!((status, &error["code"], &error["param"]), (404, &json!("model_not_found"), &json!("model")));
    let (status, error) = refused(post(&server, CHAT, &asking(json!({}))).send().await.unwrap()).await;
    assert_eq!((status, &error["code"]), (404, &json!("model_not_found")));
    assert_eq!(refused(get("/v1/other").await.unwrap()).await.0, 404);
    let wrong = get(CHAT).await.unwrap();
    assert_eq!(wrong.headers()["allow"], "POST");
    assert_eq!(refused(wrong).await.0, 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_named() {
    let server = serving(vec![("tiny", tiny().await)]).await;
    for (more, param) in [
        (json!({"messages": []}), json!("messages")),
        (json!({"messages": "hello"}), json!("messages")),
        (json!({"messages": [{"role": "wizard", "content": "x"}]}), json!("messages[0].role")),
        (json!({"messages": [{"role": "user"}]}), json!("messages[0].content")),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
            json!("messages[0].content[0].type"),
        ),
        (json!({"messages": [{"role": "tool", "content": "x"}]}), json!("messages[0].tool_call_id")),
        (json!({"temperature": 3}), json!("temperature")),
        (json!({"temperature": "warm"}), json!("temperature")),
        (json!({"top_p": -0.1}), json!("top_p")),
        (json!({"max_tokens": 0}), json!("max_tokens")),
        (json!({"max_completion_tokens": 1.5}), json!("max_completion_tokens")),
        (json!({"n": 0}), json!("n")),
        (json!({"n": 1000}), json!("n")),
        (json!({"seed": "one"}), json!("seed")),
        (json!({"stop": ["a", "b", "c", "d", "e"]}), json!("stop")),
        (json!({"stop": [1]}), json!("stop")),
        (json!({"stream": "yes"}), json!("stream")),
        (json!({"stream_options": {"include_usage": true}}), json!("stream_options")),
        (json!({"frequency_penalty": 2.5}), json!("frequency_penalty")),
        (json!({"logit_bias": {"x": 1}}), json!("logit_bias")),
        (json!({"logit_bias": {"1": 101}}), json!("logit_bias")),
        (json!({"logit_bias": {"99999": 1}}), json!("logit_bias")),
        (json!({"top_logprobs": 2}), json!("logprobs")),
        (json!({"logprobs": true, "top_logprobs": 21}), json!("top_logprobs")),
        (json!({"response_format": {"type": "yaml"}}), json!("response_format.type")),
        (json!({"response_format": {"type": "json_schema"}}), json!("response_format.json_schema")),
        (json!({"tools": [{"type": "retrieval"}]}), json!("tools[0].type")),
        (json!({"tools": [{"type": "function", "function": {}}]}), json!("tools[0].function.name")),
        (json!({"tool_choice": "required"}), json!("tools")),
        (json!({"functions": []}), json!("functions")),
        (json!({"kwaainet": true}), json!("kwaainet")),
        (json!({"kwaainet": {"min_tier": "high"}}), json!("kwaainet.min_tier")),
        (json!({"kwaainet": {"min_tier": 3}}), json!("kwaainet.min_tier")),
        (json!({"kwaainet": {"max_token_ms": 0}}), json!("kwaainet.max_token_ms")),
        (json!({"kwaainet": {"keep_tokens": 0}}), json!("kwaainet.keep_tokens")),
        (json!({"kwaainet": {"tier": "known"}}), json!("kwaainet.tier")),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "#/nowhere"}}}}),
            json!("response_format"),
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "string", "pattern": "("}}}}),
            json!("response_format"),
        ),
        // The template of this model knows no functions.
        (json!({"tools": [{"type": "function", "function": {"name": "f"}}]}), json!("tools")),
    ] {
        let (status, error) = refused(post(&server, CHAT, &asking(more.clone())).send().await.unwrap()).await;
        assert_eq!((status, &error["param"], &error["type"]), (400, &param, &json!("invalid_request_error")), "{more}");
    }
    let long = "word ".repeat(1000);
    let more = json!({"messages": [{"role": "user", "content": long}]});
    let (status, error) = refused(post(&server, CHAT, &asking(more)).send().await.unwrap()).await;
    assert_eq!((status, &error["code"]), (400, &json!("context_length_exceeded")));
    assert!(!error["message"].as_str().unwrap().contains("word word"));
    for (more, param) in [
        (json!({"prompt": null}), "prompt"),
        (json!({"prompt": []}), "prompt"),
        (json!({"prompt": [["x"]]}), "prompt"),
        (json!({"echo": true}), "echo"),
        (json!({"suffix": "x"}), "suffix"),
        (json!({"best_of": 2}), "best_of"),
        (json!({"logprobs": 6}), "logprobs"),
    ] {
        let mut body = json!({"model": "tiny", "prompt": "x"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (status, error) = refused(post(&server, TEXT, &body).send().await.unwrap()).await;
        assert_eq!((status, &error["param"]), (400, &json!(param)), "{more}");
    }
    for body in ["", "{", "[]", "\u{feff}{}"] {
        let request = Client::new().post(url(&server, CHAT)).header("content-type", "application/json").body(body);
        assert_eq!(refused(request.send().await.unwrap()).await.0, 400, "{body}");
    }
    // What a client sends for other servers is left alone.
    let more = json!({"user": "u", "store": false, "metadata": {"a": "b"}, "service_tier": "auto", "stop": null,
        "unheard_of": 1, "temperature": null, "tools": [], "modalities": ["text"], "response_format": {"type": "text"}});
    answered(&server, CHAT, &asking(more)).await;
}

/// A model that says what it is told to, and lets the test see when it is given up.
struct Scripted {
    /// The pieces that come at once, and whether it fails after them; otherwise it waits until it is given up.
    pieces: Vec<&'static str>,
    then: Then,
    /// How often it was asked, and given up.
    seen: watch::Sender<(usize, usize)>,
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    Fail,
    Wait,
    End,
}

impl Scripted {
    fn new(pieces: &[&'static str], then: Then) -> (Arc<Scripted>, watch::Receiver<(usize, usize)>) {
        let (sender, seen) = watch::channel((0, 0));
        (Arc::new(Scripted { pieces: pieces.to_vec(), then, seen: sender }), seen)
    }
}

#[async_trait]
impl LanguageModel for Scripted {
    fn name(&self) -> String {
        "scripted".into()
    }

    async fn generate(&self, _: GenerateRequest) -> kwaai_core::Result<Stream<GenerateEvent>> {
        self.seen.send_modify(|seen| seen.0 += 1);
        let (sender, stream) = event::channel(64);
        for piece in &self.pieces {
            sender.send(GenerateEvent::text(*piece));
        }
        match self.then {
            Then::Fail => sender.finish(Err(Error::unreachable("a host is gone").with("peer", "x"))),
            Then::End => {
                sender.send(GenerateEvent::done(FinishReason::Stop, Usage::default(), Vec::new()));
                sender.finish(Ok(()));
            }
            Then::Wait => {
                let seen = self.seen.clone();
                tokio::spawn(async move {
                    sender.cancellation().cancelled().await;
                    seen.send_modify(|seen| seen.1 += 1);
                });
            }
        }
        Ok(stream)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_before_the_first_word_has_its_status_and_one_after_it_ends_the_stream_with_an_error() {
    let (silent, _) = Scripted::new(&[], Then::Fail);
    let (broken, _) = Scripted::new(&["half an ", "answer"], Then::Fail);
    let server = serving(vec![("silent", silent), ("broken", broken)]).await;
    for stream in [false, true] {
        let body = asking(json!({"model": "silent", "stream": stream}));
        let response = post(&server, CHAT, &body).send().await.unwrap();
        assert_eq!(response.headers()["retry-after"], "1");
        let (status, error) = refused(response).await;
        assert_eq!((status, &error["code"]), (503, &json!("unreachable")));
    }
    let (status, error) = refused(post(&server, CHAT, &asking(json!({"model": "broken"}))).send().await.unwrap()).await;
    assert_eq!((status, &error["message"]), (503, &json!("a host is gone")));
    for path in [CHAT, TEXT] {
        let body = asking(json!({"model": "broken", "stream": true, "prompt": "x"}));
        let response = post(&server, path, &body).send().await.unwrap();
        assert_eq!(response.status(), 200);
        let body = response.text().await.unwrap();
        let (events, done) = events(&body);
        assert!(!done);
        let (last, before) = events.split_last().unwrap();
        assert_eq!(last["error"]["message"], "a host is gone");
        let texts =
            before.iter().flat_map(|event| [&event["choices"][0]["delta"]["content"], &event["choices"][0]["text"]]);
        assert_eq!(texts.filter_map(Value::as_str).collect::<String>(), "half an answer");
    }
}

/// What does not come within a minute does not come.
async fn patiently<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(60), work).await.expect("it takes too long")
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_away_stops_the_work() {
    let (silent, mut silent_seen) = Scripted::new(&[], Then::Wait);
    let (begun, mut begun_seen) = Scripted::new(&["a", "b"], Then::Wait);
    let server = serving(vec![("silent", silent), ("begun", begun)]).await;
    let send = async |body: &Value| {
        let body = body.to_string();
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            server.address(),
            body.len()
        );
        socket.write_all((head + &body).as_bytes()).await.unwrap();
        socket
    };
    // Two choices of an answer that has begun, and answers that have not.
    let mut socket = send(&asking(json!({"model": "begun", "stream": true, "n": 2}))).await;
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains("\"b\"") {
        assert!(socket.read_buf(&mut read).await.unwrap() > 0);
    }
    assert_eq!(*begun_seen.borrow(), (2, 0));
    drop(socket);
    patiently(begun_seen.wait_for(|seen| *seen == (2, 2))).await.unwrap();
    for (stream, count) in [(false, 1), (true, 2)] {
        let socket = send(&asking(json!({"model": "silent", "stream": stream}))).await;
        patiently(silent_seen.wait_for(|seen| seen.0 == count)).await.unwrap();
        drop(socket);
        patiently(silent_seen.wait_for(|seen| seen.1 == count)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_can_be_answered_at_once_are_told_to_come_again() {
    let (model, _) = Scripted::new(&["a"], Then::Wait);
    let (quick, _) = Scripted::new(&["a"], Then::End);
    let models: Vec<(String, Arc<dyn LanguageModel>)> = vec![("tiny".into(), model), ("quick".into(), quick)];
    let server = HttpServer::start(HttpConfig { models, max_requests: 2, ..any_port() }).await.unwrap();
    let body = asking(json!({"stream": true}));
    let one = post(&server, CHAT, &body).send().await.unwrap();
    let two = post(&server, CHAT, &body).send().await.unwrap();
    let quick = asking(json!({"model": "quick"}));
    let third = post(&server, CHAT, &quick).send().await.unwrap();
    assert_eq!(third.headers()["retry-after"], "1");
    let (status, error) = refused(third).await;
    assert_eq!(
        (status, &error["code"], &error["type"]),
        (429, &json!("rate_limit_exceeded"), &json!("rate_limit_error"))
    );
    // What costs nothing is still answered.
    assert_eq!(Client::new().get(url(&server, "/v1/models")).send().await.unwrap().status(), 200);
    drop(one);
    while post(&server, CHAT, &quick).send().await.unwrap().status() != 200 {
        tokio::task::yield_now().await;
    }
    drop(two);
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_too_large_are_refused_however_they_are_sent() {
    let server = HttpServer::start(HttpConfig { max_body_bytes: 1000, ..any_port() }).await.unwrap();
    let large = "x".repeat(2000);
    let request = || Client::new().post(url(&server, CHAT)).header("content-type", "application/json");
    assert_eq!(refused(request().body(large.clone()).send().await.unwrap()).await.0, 413);
    let pieces = futures::stream::iter([Ok::<_, std::io::Error>(large.clone()), Ok(large)]);
    let chunked = request().body(reqwest::Body::wrap_stream(pieces));
    assert_eq!(refused(chunked.send().await.unwrap()).await.0, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn off_loopback_there_is_no_server_without_a_token_and_no_answer_either() {
    let everywhere = HttpConfig { host: IpAddr::V4(Ipv4Addr::UNSPECIFIED), ..any_port() };
    let error = HttpServer::start(everywhere.clone()).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    let unfit = HttpConfig { token: Some("two words".into()), ..any_port() };
    let error = HttpServer::start(unfit).await.unwrap_err();
    assert!(!format!("{error:?}").contains("two words"));

    let config = HttpConfig { token: Some("secret-token".into()), ..everywhere };
    assert!(!format!("{config:?}").contains("secret-token"));
    let server = HttpServer::start(config).await.unwrap();
    let at = |path: &str| Client::new().get(format!("http://127.0.0.1:{}{path}", server.address().port()));
    assert_eq!(at("/healthz").send().await.unwrap().json::<Value>().await.unwrap(), json!({"status": "ok"}));
    for path in ["/v1/models", "/metrics", "/v1/other"] {
        let response = at(path).send().await.unwrap();
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let (status, error) = refused(response).await;
        assert_eq!((status, &error["code"]), (401, &json!("invalid_api_key")));
        let (status, error) = refused(at(path).bearer_auth("secret-tokem").send().await.unwrap()).await;
        assert_eq!(status, 401);
        assert!(!error.to_string().contains("secret-toke"));
    }
    assert_eq!(at("/v1/models").bearer_auth("secret-token").send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_site_gets_nothing() {
    let (model, _) = Scripted::new(&["a"], Then::End);
    let server = serving(vec![("tiny", model)]).await;
    let ask = || post(&server, CHAT, &asking(json!({})));
    assert_eq!(refused(ask().header("origin", "https://evil.example").send().await.unwrap()).await.0, 403);
    let rebound = format!("evil.example:{}", server.address().port());
    assert_eq!(refused(ask().header("host", rebound).send().await.unwrap()).await.0, 421);
    let form =
        Client::new().post(url(&server, CHAT)).header("content-type", "text/plain").body(asking(json!({})).to_string());
    assert_eq!(refused(form.send().await.unwrap()).await.0, 415);
    assert_eq!(ask().send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_cannot_have_one_port_or_two_models_one_name() {
    let server = serving(vec![]).await;
    let taken = HttpConfig { port: Some(server.address().port()), ..any_port() };
    assert_eq!(HttpServer::start(taken).await.unwrap_err().code(), ErrorCode::Busy);
    let (model, _) = Scripted::new(&[], Then::End);
    let models: Vec<(String, Arc<dyn LanguageModel>)> = vec![("a".into(), model.clone()), ("a".into(), model)];
    let twice = HttpServer::start(HttpConfig { models, ..any_port() }).await.unwrap_err();
    assert_eq!(twice.code(), ErrorCode::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_ends_with_its_node_or_its_last_handle_and_frees_what_it_served() {
    let node = Node::start(Config::default()).await.unwrap();
    let (model, mut seen) = Scripted::new(&["a"], Then::Wait);
    let models: Vec<(String, Arc<dyn LanguageModel>)> = vec![("tiny".into(), model)];
    let server = node.serve_http(HttpConfig { models, ..any_port() }).await.unwrap();
    let metrics = Client::new().get(url(&server, "/metrics")).send().await.unwrap();
    assert_eq!(metrics.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    let metrics = metrics.text().await.unwrap();
    assert!(metrics.contains("kwaainet_uptime_seconds ") && metrics.contains("http_server_active_requests 0"));

    let mut answer = post(&server, CHAT, &asking(json!({"stream": true}))).send().await.unwrap();
    assert!(answer.chunk().await.unwrap().is_some());
    node.shutdown(Duration::ZERO).await.unwrap();
    seen.wait_for(|seen| seen.1 == 1).await.unwrap();
    while let Ok(Some(_)) = answer.chunk().await {}
    assert!(!server.is_open());
    assert!(TcpStream::connect(server.address()).await.is_err());
    assert_eq!(node.serve_http(any_port()).await.unwrap_err().code(), ErrorCode::Closed);

    let server = serving(vec![]).await;
    let address = server.address();
    drop(server);
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_what_there_is_and_its_page_shows_it_without_a_knowledge_base() {
    let config = HttpConfig {
        port: Some(0),
        token: Some("secret".into()),
        models: vec![("tiny".into(), tiny().await)],
        ..HttpConfig::default()
    };
    let server = HttpServer::start(config).await.unwrap();
    let at = |path: &str| format!("http://{}{path}", server.address());
    let client = reqwest::Client::new();
    let (status, _) = refused(client.get(at("/v1/status")).send().await.unwrap()).await;
    assert_eq!(status, 401, "it says who computes for whom");
    let ask = || async {
        let answer = client.get(at("/v1/status")).bearer_auth("secret").send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.json::<Value>().await.unwrap()
    };
    let status = ask().await;
    assert_eq!(status["models"][0]["name"], "tiny");
    assert_eq!(status["models"][0]["blocks"], json!({"counts": [1, 1], "here": true, "hosts": []}));
    assert_eq!((&status["node"], &status["tokens"]), (&Value::Null, &json!({"input": 0, "output": 0})));
    assert_eq!(status["requests"], json!({"active": 0, "at_once": 8}));
    let answer = client.post(at(CHAT)).bearer_auth("secret").json(&asking(json!({}))).send().await.unwrap();
    let usage = answer.json::<Value>().await.unwrap()["usage"].clone();
    let tokens = ask().await["tokens"].clone();
    assert_eq!((&tokens["input"], &tokens["output"]), (&usage["prompt_tokens"], &usage["completion_tokens"]));
    for path in ["/status", "/page/status.js", "/page/status.css", "/page/style.css", "/page/api.js", "/page/dom.js"] {
        let page = client.get(at(path)).send().await.unwrap();
        assert_eq!(page.status(), 200, "{path}");
        assert!(page.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
    }
    for path in ["/", "/page/chat.js"] {
        let (status, _) = refused(client.get(at(path)).bearer_auth("secret").send().await.unwrap()).await;
        assert_eq!(status, 404, "{path} is the page of knowledge bases");
    }
}

/// Keeps the wishes of each request, and ends.
struct Noting(std::sync::Mutex<Vec<HostWishes>>);

#[async_trait]
impl LanguageModel for Noting {
    fn name(&self) -> String {
        "noting".into()
    }

    async fn generate(&self, request: GenerateRequest) -> kwaai_core::Result<Stream<GenerateEvent>> {
        self.0.lock().unwrap().push(request.hosts);
        let (sender, stream) = event::channel(8);
        sender.send(GenerateEvent::done(FinishReason::Stop, Usage::default(), Vec::new()));
        sender.finish(Ok(()));
        Ok(stream)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wishes_about_hosts_come_in_the_body_or_in_headers() {
    let noting = Arc::new(Noting(std::sync::Mutex::default()));
    let server = serving(vec![("tiny", noting.clone())]).await;
    let all = json!({"kwaainet": {"min_tier": "verified", "max_token_ms": 12.5, "keep_tokens": 900, "standby": true}});
    for (more, tier, ms, keep) in [
        (json!({}), None, None, None),
        (all, None, None, Some("7")),
        (json!({}), Some("0.55"), Some("40"), Some("800")),
        (json!({"kwaainet": {"min_tier": "trusted", "standby": false}}), Some("known"), Some("40"), None),
    ] {
        let mut request = post(&server, CHAT, &asking(more));
        let headers =
            [("X-Kwaainet-Min-Tier", tier), ("X-Kwaainet-Max-Token-Ms", ms), ("X-Kwaainet-Keep-Tokens", keep)];
        for (name, value) in headers {
            request = value.into_iter().fold(request, |request, value| request.header(name, value));
        }
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    let text = json!({"model": "tiny", "prompt": "A", "kwaainet": {"min_tier": "known"}});
    assert_eq!(post(&server, TEXT, &text).send().await.unwrap().status(), 200);
    let wishes = |min_tier: Option<&str>, max_token_ms, keep_tokens| HostWishes {
        min_tier: min_tier.map(|text| text.parse().unwrap()),
        max_token_ms,
        keep_tokens,
        standby: keep_tokens == Some(900),
    };
    assert_eq!(
        *noting.0.lock().unwrap(),
        [
            wishes(None, None, None),
            wishes(Some("verified"), Some(12.5), Some(900)),
            wishes(Some("0.55"), Some(40.0), Some(800)),
            wishes(Some("trusted"), Some(40.0), None),
            wishes(Some("known"), None, None),
        ]
    );
    let wrong = [
        ("X-Kwaainet-Min-Tier", "high"),
        ("X-Kwaainet-Max-Token-Ms", "soon"),
        ("X-Kwaainet-Keep-Tokens", "0"),
        ("X-Kwaainet-Standby", "1"),
    ];
    for (name, value) in wrong {
        let response = post(&server, CHAT, &asking(json!({}))).header(name, value).send().await.unwrap();
        let (status, error) = refused(response).await;
        assert_eq!((status, &error["param"]), (400, &json!(name.to_ascii_lowercase())));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_lets_what_is_under_way_come_to_its_end() {
    let (finish, told) = watch::channel(false);
    struct Patient(watch::Receiver<bool>);
    #[async_trait]
    impl LanguageModel for Patient {
        fn name(&self) -> String {
            "patient".into()
        }
        async fn generate(&self, _: GenerateRequest) -> kwaai_core::Result<Stream<GenerateEvent>> {
            let (sender, stream) = event::channel(8);
            let mut told = self.0.clone();
            sender.send(GenerateEvent::text("first"));
            tokio::spawn(async move {
                told.wait_for(|told| *told).await.unwrap();
                sender.send(GenerateEvent::text(" last"));
                sender.send(GenerateEvent::done(FinishReason::Stop, Usage::default(), Vec::new()));
                sender.finish(Ok(()));
            });
            Ok(stream)
        }
    }
    let server = serving(vec![("tiny", Arc::new(Patient(told)))]).await;
    let answer = post(&server, CHAT, &asking(json!({"stream": true}))).send().await.unwrap();
    let closing = tokio::spawn({
        let server = server.clone();
        async move { server.shutdown(GRACE).await }
    });
    while TcpStream::connect(server.address()).await.is_ok() {
        tokio::task::yield_now().await;
    }
    finish.send(true).unwrap();
    let (events, done) = events(&answer.text().await.unwrap());
    assert!(done);
    assert_eq!(said(&events, 0), ("first last".to_owned(), json!("stop")));
    closing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_of_another_kind_says_what_it_cannot_be_given() {
    let config = kwaai_core::llm::OpenAiConfig::new("http://127.0.0.1:9/v1", "far");
    let far: Arc<dyn LanguageModel> = Arc::new(kwaai_core::llm::OpenAiModel::new(config).unwrap());
    let server = serving(vec![("tiny", far)]).await;
    let (status, error) = refused(post(&server, CHAT, &asking(json!({"logprobs": true}))).send().await.unwrap()).await;
    assert_eq!(
        (status, &error["param"], &error["code"]),
        (400, &json!("top_logprobs"), &json!("unsupported_parameter"))
    );
    let (status, error) = refused(post(&server, CHAT, &asking(json!({}))).send().await.unwrap()).await;
    assert_eq!((status, &error["code"]), (503, &json!("unreachable")));
}
