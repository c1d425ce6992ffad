//! OpenAI's own clients, for Python and for JavaScript, through every feature of the HTTP server, with a model of random weights.

#[path = "support/hashing.rs"]
mod hashing;
#[path = "support/judge.rs"]
mod judge;
mod shard_support;

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use hashing::Hashing;
use judge::Process;
use kwaai_core::event::{self, Stream};
use kwaai_core::http::{HttpConfig, HttpServer};
use kwaai_core::llm::{Embedder, FinishReason, GenerateEvent, GenerateRequest, LanguageModel, ToolCall, Usage};
use kwaai_core::rag::{Rag, RagConfig, Source};
use kwaai_core::shard::{LoadOptions, Route, ShardEngine};
use kwaai_core::{Config, Error, Node, Result};
use serde_json::{Value as Json, json};
use shard_support::{config, write_model};

/// As Qwen's: functions are described in the system's turn and called between tags.
const TEMPLATE: &str = "{{ bos_token }}{% if tools %}system: call with <tool_call>{\"name\": n, \"arguments\": a}</tool_call>:\n\
    {% for t in tools %}{{ t | tojson }}\n{% endfor %}{% endif %}{% for m in messages %}{{ m.role }}: {{ m.content }}\
    {% if m.tool_calls %}{% for c in m.tool_calls %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}{% endif %}\n\
    {% endfor %}assistant:";

fn judges(folder: &str) -> PathBuf {
    std::env::current_dir().unwrap().join("../tests/judges").join(folder)
}

/// A model that fails, after these words.
struct Broken(&'static [&'static str]);

#[async_trait]
impl LanguageModel for Broken {
    fn name(&self) -> String {
        "broken".into()
    }

    async fn generate(&self, _: GenerateRequest) -> Result<Stream<GenerateEvent>> {
        let (sender, stream) = event::channel(8);
        self.0.iter().for_each(|piece| sender.send(GenerateEvent::text(*piece)));
        sender.finish(Err(Error::unreachable("a host is gone")));
        Ok(stream)
    }
}

/// A model that calls a function; what one writes between tags is taken apart in the engine, which this stands behind.
struct Caller;

#[async_trait]
impl LanguageModel for Caller {
    fn name(&self) -> String {
        "caller".into()
    }

    async fn generate(&self, request: GenerateRequest) -> Result<Stream<GenerateEvent>> {
        assert_eq!(request.tools.first().map(|tool| tool.name.as_str()), Some("weather"));
        let (sender, stream) = event::channel(8);
        sender.send(GenerateEvent::text("One moment."));
        let arguments = json!({"city": "Bern", "days": 2}).to_string();
        let call = ToolCall { id: "call_1".into(), name: "weather".into(), arguments };
        let (finish_reason, usage, path) = (FinishReason::Stop, Usage::default(), Vec::new());
        sender.send(GenerateEvent::Done { finish_reason, usage, path, tool_calls: vec![call] });
        sender.finish(Ok(()));
        Ok(stream)
    }
}

/// A node that serves a small model, one that fails in the middle, one that fails at once and a knowledge base; and a server with a token.
struct Served {
    node: Node,
    open: HttpServer,
    locked: HttpServer,
    _notes: tempfile::TempDir,
}

impl Served {
    async fn start() -> Served {
        let node = Node::start(Config::default()).await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let mut shape = config(1, 4, 2, 6, true);
        shape["max_position_embeddings"] = json!(4096);
        write_model(dir.path(), 3, &shape);
        let tokenizer = json!({"bos_token": "<s>", "eos_token": "</s>", "chat_template": TEMPLATE});
        std::fs::write(dir.path().join("tokenizer_config.json"), tokenizer.to_string()).unwrap();
        let engine: ShardEngine = node.shards();
        let model = engine.load(dir.path(), LoadOptions::default()).await.unwrap();
        let tiny: Arc<dyn LanguageModel> = Arc::new(engine.language_model(&model, Route::Local));
        let models: Vec<(String, Arc<dyn LanguageModel>)> = vec![
            ("tiny".into(), tiny),
            ("broken".into(), Arc::new(Broken(&["half an ", "answer"]))),
            ("silent".into(), Arc::new(Broken(&[]))),
            ("caller".into(), Arc::new(Caller)),
        ];
        let embedders: Vec<(String, Arc<dyn Embedder>)> = vec![("hash".into(), Arc::new(Hashing::new(24)))];
        let notes = tempfile::tempdir().unwrap();
        let rag = Rag::open(notes.path(), RagConfig::default()).await.unwrap();
        let bytes = b"# Pumps\n\nThe pump in the cellar is checked every Monday by the janitor.\n".to_vec();
        let mut reading = rag.ingest(Source::Bytes { name: "pumps.md".into(), bytes }).unwrap();
        while reading.next().await.unwrap().is_some() {}
        let knowledge = vec![("notes".into(), rag)];
        let config =
            HttpConfig { port: Some(0), models, embedders, knowledge, max_requests: 64, ..HttpConfig::default() };
        let locked = HttpConfig { token: Some("token".into()), ..config.clone() };
        let open = node.serve_http(config).await.unwrap();
        let locked = node.serve_http(locked).await.unwrap();
        Served { node, open, locked, _notes: notes }
    }

    fn ask(&self, judge: &mut Process, what: Json) -> Json {
        let mut command = json!({"base": self.open.base_url(), "locked": self.locked.base_url()});
        command.as_object_mut().unwrap().extend(what.as_object().unwrap().clone());
        judge.ask(&command)
    }

    /// Has every check run, and shows what they found.
    fn judged(&self, judge: &mut Process, least: usize) {
        let found = self.ask(judge, json!({"do": "all"}));
        let found = found.as_object().unwrap();
        assert!(found.len() >= least, "only {} checks ran", found.len());
        let wrong: Vec<String> = found
            .iter()
            .filter(|(_, said)| !said.is_null())
            .map(|(name, said)| format!("{name}: {}", said.as_str().unwrap()))
            .collect();
        assert!(wrong.is_empty(), "{} of {} checks failed\n{}", wrong.len(), found.len(), wrong.join("\n"));
    }
}

fn python() -> Option<Process> {
    let python = judges("openai").join(".venv/bin/python");
    if !python.exists() {
        println!("skipped: the judge of OpenAI's Python client is not installed; run `.ci/setup --test`");
        return None;
    }
    Some(Process::start(Command::new(python).arg("judge.py").current_dir(judges("openai"))))
}

#[tokio::test(flavor = "multi_thread")]
async fn openais_python_client_is_served_in_everything_it_can_do() {
    let Some(mut judge) = python() else { return };
    let served = Served::start().await;
    served.judged(&mut judge, 15);
    served.node.shutdown(std::time::Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_random_schemas_are_what_the_schemas_allow() {
    let Some(mut judge) = python() else { return };
    let served = Served::start().await;
    // Beside 200 that are followed, each ninth is one that is not, and refused.
    let judged = served.ask(&mut judge, json!({"do": "schemas", "count": 225, "seed": 20}));
    let wrong = judged["wrong"].as_array().unwrap();
    assert!(wrong.is_empty(), "{} of 225: {:#}", wrong.len(), judged["wrong"]);
    assert_eq!(judged["refused"], 25);
    assert!(judged["endless"].as_u64().unwrap() < 20, "{}", judged["endless"]);
    served.node.shutdown(std::time::Duration::ZERO).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn openais_javascript_client_is_served_in_everything_it_can_do() {
    let installed = judges("openai").join("node_modules/openai").is_dir();
    if !installed || Command::new("node").arg("--version").output().is_err() {
        println!("skipped: the judge of OpenAI's JavaScript client is not installed; run `.ci/setup --test`");
        return;
    }
    let served = Served::start().await;
    let mut judge = Process::start(Command::new("node").arg("judge.mjs").current_dir(judges("openai")));
    served.judged(&mut judge, 13);
}
