//! A real browser on the page of a knowledge base: Chromium through Playwright, with axe.

#[path = "support/hashing.rs"]
mod hashing;
#[path = "support/judge.rs"]
mod judge;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use async_trait::async_trait;
use hashing::Hashing;
use judge::Process;
use kwaai_core::Result;
use kwaai_core::event::{self, Stream};
use kwaai_core::http::{HttpConfig, HttpServer, KNOWLEDGE_NAME};
use kwaai_core::llm::{BlockHolder, BlockStatus, FinishReason, GenerateEvent, GenerateRequest, LanguageModel, Usage};
use kwaai_core::rag::{Rag, RagConfig, Source};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

const COOKING: &str = "Boil the potatoes for twenty minutes. Add salt and butter. Serve the mash while it is hot.\n";

/// A document whose cited sentence is far from its beginning.
fn keys() -> String {
    let before: String =
        (0..40).map(|number| format!("This line stands long before, it is number {number}.\n\n")).collect();
    format!(
        "# Start\n\n{before}# Keys\n\nThe node keeps its identity in the file identity.key, readable by its owner alone.\nLosing it means a \
         new PeerId.\n\n# Network\n\nPeers find each other through a distributed hash table. The default port for pages is 9090.\n"
    )
}

/// A model that says what it is told to, and then ends or goes on for ever.
struct Scripted(&'static str, bool);

#[async_trait]
impl LanguageModel for Scripted {
    fn name(&self) -> String {
        "scripted".into()
    }

    async fn generate(&self, _: GenerateRequest) -> Result<Stream<GenerateEvent>> {
        let (sender, stream) = event::channel(8);
        sender.send(GenerateEvent::text(self.0));
        if self.1 {
            tokio::spawn(async move { sender.cancellation().cancelled().await });
        } else {
            sender.send(GenerateEvent::done(FinishReason::Stop, Usage::default(), Vec::new()));
            sender.finish(Ok(()));
        }
        Ok(stream)
    }
}

/// A model in blocks as its hosts have them, with what a hostile one may say.
struct InBlocks(Result<BlockStatus>);

#[async_trait]
impl LanguageModel for InBlocks {
    fn name(&self) -> String {
        "llama-8x2048-0123456789abcdef".into()
    }

    async fn generate(&self, _: GenerateRequest) -> Result<Stream<GenerateEvent>> {
        let (sender, stream) = event::channel(8);
        let usage = Usage { prompt_tokens: 3, completion_tokens: 500, cached_tokens: 0 };
        sender.send(GenerateEvent::done(FinishReason::Stop, usage, Vec::new()));
        sender.finish(Ok(()));
        Ok(stream)
    }

    async fn blocks(&self) -> Result<Option<BlockStatus>> {
        self.0.clone().map(Some)
    }
}

fn models(refused: &str) -> Vec<(String, Arc<dyn LanguageModel>)> {
    let host = |peer: &str, start_block, end_block, refused: Option<&str>| BlockHolder {
        peer: peer.into(),
        start_block,
        end_block,
        refused: refused.map(String::from),
        round_trip_ms: Some(12.4),
        block_ms: None,
        waiting: 2,
    };
    let here = BlockStatus { counts: vec![1; 12], here: true, hosts: Vec::new() };
    let hosts = vec![
        host("12D3KooWAlphaAlphaAlphaAlphaAlpha", 0, 4, None),
        host("12D3KooWBravoBravoBravoBravoBravo", 2, 7, None),
        host("12D3KooWHostileHostileHostile", 7, 8, Some(refused)),
    ];
    let spread = BlockStatus { counts: vec![1, 1, 2, 2, 1, 1, 1, 0], here: false, hosts };
    let silent = Err(kwaai_core::Error::unreachable("nobody can be asked"));
    let named = |name: &str, blocks| (name.to_owned(), Arc::new(InBlocks(blocks)) as Arc<dyn LanguageModel>);
    vec![named("whole", Ok(here)), named("spread", Ok(spread)), named("silent", silent)]
}

async fn ingested(rag: &Rag, sources: Vec<Source>) {
    for source in sources {
        let mut stream = rag.ingest(source).unwrap();
        while stream.next().await.unwrap().is_some() {}
    }
}

/// Servers of one check, and where their knowledge bases lie.
#[derive(Default)]
struct Served {
    dirs: Vec<TempDir>,
    servers: Vec<HttpServer>,
    command: serde_json::Map<String, Json>,
}

impl Served {
    async fn open(&mut self, model: Option<Scripted>, sources: Vec<Source>) -> Rag {
        let dir = tempfile::tempdir().unwrap();
        let language_model = model.map(|model| Arc::new(model) as Arc<dyn LanguageModel>);
        let config = RagConfig { embedder: Some(Arc::new(Hashing::new(64))), language_model, ..RagConfig::default() };
        let rag = Rag::open(dir.path(), config).await.unwrap();
        self.dirs.push(dir);
        ingested(&rag, sources).await;
        rag
    }

    async fn serve(&mut self, name: &str, rag: &Rag, called: &str, config: HttpConfig) {
        let config = HttpConfig { port: Some(0), max_upload_bytes: 2_500_000, ..config };
        let server = rag.serve(called, config).await.unwrap();
        self.command.insert(name.into(), format!("http://{}", server.address()).into());
        self.servers.push(server);
    }

    /// All servers that a check may use.
    async fn start() -> Served {
        let mut served = Served::default();
        let document = |name: &str, text: &str| Source::Bytes { name: name.into(), bytes: text.as_bytes().to_vec() };
        let keys = || vec![document("keys.md", &keys())];
        let usual = HttpConfig::default;
        let plain = served.open(None, Vec::new()).await;
        served.serve("plain", &plain, KNOWLEDGE_NAME, usual()).await;
        let both = vec![document("keys.md", &self::keys()), document("cooking.txt", COOKING)];
        let filled = served.open(None, both).await;
        served.serve("filled", &filled, KNOWLEDGE_NAME, usual()).await;
        for (name, model) in [
            ("written", Scripted("It lies in identity.key [1].", false)),
            ("doubted", Scripted("It is made of cheese.", false)),
            ("endless", Scripted("It lies in", true)),
        ] {
            let rag = served.open(Some(model), keys()).await;
            served.serve(name, &rag, KNOWLEDGE_NAME, usual()).await;
        }
        let (one, other) =
            (served.open(None, keys()).await, served.open(None, vec![document("cooking.txt", COOKING)]).await);
        let more = HttpConfig { knowledge: vec![("the kitchen / é".into(), other)], ..usual() };
        served.serve("several", &one, "keys", more).await;
        let locked = served.open(None, Vec::new()).await;
        served.serve("locked", &locked, KNOWLEDGE_NAME, HttpConfig { token: Some("token".into()), ..usual() }).await;

        let models = models("<img src=x onerror=alert(1)> stands too low");
        let server = HttpServer::start(HttpConfig { port: Some(0), models, ..usual() }).await.unwrap();
        served.command.insert("state".into(), format!("http://{}", server.address()).into());
        served.servers.push(server);

        let document = &filled.documents().await.unwrap()[1];
        let from = self::keys().find("The default port").unwrap();
        let to = self::keys().trim_end().len();
        let passage = format!("/#knowledge={KNOWLEDGE_NAME}&document={}&from={from}&to={to}", document.id);
        served.command.insert("passage".into(), passage.into());
        served
    }

    fn ask(&self, judge: &mut Process, what: &str) -> std::result::Result<Json, String> {
        let mut command = self.command.clone();
        command.insert("do".into(), what.into());
        judge.try_ask(&command.into())
    }
}

fn judges() -> PathBuf {
    std::env::current_dir().unwrap().join("../tests/judges/page")
}

fn browser() -> Option<Process> {
    let places = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];
    let browser = places.iter().any(|name| Path::new("/usr/bin").join(name).exists());
    let installed = judges().join("node_modules/playwright-core").is_dir();
    if !browser || !installed || Command::new("node").arg("--version").output().is_err() {
        println!("skipped: the browser that judges the page is not installed; run `.ci/setup --test`");
        return None;
    }
    Some(Process::start(Command::new("node").arg("judge.mjs").current_dir(judges())))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_does_everything_that_the_page_offers() {
    let Some(mut judge) = browser() else { return };
    let only = std::env::var("KWAAINET_PAGE_CHECK").ok();
    let names = judge.ask(&json!({"do": "list"}));
    let names: Vec<&str> = names.as_array().unwrap().iter().filter_map(Json::as_str).collect();
    assert!(names.len() >= 17, "only {} checks", names.len());
    let mut wrong = Vec::new();
    for name in names.into_iter().filter(|name| only.as_ref().is_none_or(|only| only == name)) {
        let served = Served::start().await;
        if let Err(error) = served.ask(&mut judge, name) {
            wrong.push(format!("{name}: {error}"));
        }
    }
    assert!(wrong.is_empty(), "{} checks failed\n{}", wrong.len(), wrong.join("\n").replace("\\n", "\n"));
}

/// Writes the pictures of the documents anew when it is asked to, and otherwise looks that they are there.
#[tokio::test(flavor = "multi_thread")]
async fn the_documents_have_pictures_of_the_page() {
    let pictures = std::env::current_dir().unwrap().join("../docs/pictures");
    if std::env::var_os("KWAAINET_PICTURES").is_some()
        && let Some(mut judge) = browser()
    {
        std::fs::create_dir_all(&pictures).unwrap();
        let root = std::env::current_dir().unwrap().join("..");
        let config = RagConfig::with_cached_embedder().await.unwrap();
        let dir = tempfile::tempdir().unwrap();
        let shown = Rag::open(dir.path(), config).await.unwrap();
        for path in
            ["README.md", "docs/security.md", "docs/trust.md", "docs/network.md", "docs/vpk.md", "examples/data"]
        {
            ingested(&shown, vec![Source::Path(root.join(path))]).await;
        }
        let mut served = Served { dirs: vec![dir], ..Served::default() };
        served.serve("shown", &shown, "Manual", HttpConfig::default()).await;
        let server = HttpServer::start(HttpConfig {
            port: Some(0),
            models: models("stands below the minimum tier"),
            ..HttpConfig::default()
        })
        .await
        .unwrap();
        served.command.insert("state".into(), format!("http://{}", server.address()).into());
        served.servers.push(server);
        served.command.insert("folder".into(), pictures.to_string_lossy().into());
        served.ask(&mut judge, "pictures").unwrap();
    }
    for name in ["answer", "passage", "documents", "search", "statistics", "status"] {
        let bytes = std::fs::read(pictures.join(format!("page-{name}.png"))).unwrap();
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() < 200_000, "{name} has {} bytes", bytes.len());
    }
}
