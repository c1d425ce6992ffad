//! The guide's tasks in Rust. Each function is one task, and a test.

#![cfg(feature = "vpk")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use kwaai_core::event::Item;
use kwaai_core::http::{HttpConfig, HttpServer, KNOWLEDGE_NAME};
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::llm::{ChatMessage, Embedder, GenerateEvent, LanguageModel, Text};
use kwaai_core::node::{BlockShare, Contribution};
use kwaai_core::rag::{
    AskOptions, FederatedHit, FederatedOptions, FederatedResult, IngestEvent, Language, Member, ProvenHit, Rag,
    RagConfig, ShareTerms, Source,
};
use kwaai_core::shard::{Blocks, Route};
use kwaai_core::trust::{CredentialType, Disclosure, Disclosures, Purpose, Status, Tier, TrustAnswer, TrustGraph};
use kwaai_core::vpk::{
    CollectionConfig, DepotPolicy, Found, HostName, Item as VectorItem, Metric, Mode, Placement, RecoverConfig, Unlock,
};
use kwaai_core::{Config, ErrorCode, Node, Result};

type Done = std::result::Result<(), Box<dyn std::error::Error>>;

fn root() -> PathBuf {
    std::env::current_dir().unwrap().join("..")
}

// anchor: start
async fn start() -> Result<(String, String)> {
    let node = Node::start(Config { name: Some("alice".into()), ..Config::default() }).await?;
    println!("{} is {} and signs as {}", node.name(), node.peer_id(), node.did());
    let (name, did) = (node.name().to_owned(), node.did().to_string());
    node.shutdown(Duration::from_secs(5)).await?;
    Ok((name, did))
}
// end: start

#[tokio::test(flavor = "multi_thread")]
async fn a_node_starts_and_says_who_it_is() -> Done {
    let (name, did) = start().await?;
    assert_eq!(name, "alice");
    assert!(did.starts_with("did:key:z6Mk"));
    Ok(())
}

// anchor: messages
async fn messages() -> Result<String> {
    let alice = Node::start(Config::default()).await?;
    let bob = Node::start(Config::default()).await?;
    let mut inbox = bob.messages();

    alice.connect(&bob.info()?.addresses[0].to_string()).await?;
    alice.send_message(bob.peer_id(), "hello Bob").await?;

    let mut received = String::new();
    if let Some(Item::Value(message)) = inbox.next().await? {
        received = format!("{} from {}", message.text, message.from);
    }
    for node in [alice, bob] {
        node.shutdown(Duration::ZERO).await?;
    }
    Ok(received)
}
// end: messages

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_exchange_a_text() -> Done {
    assert!(messages().await?.starts_with("hello Bob from 12D3KooW"));
    Ok(())
}

// anchor: trust
async fn trust(issuer: &TrustGraph, mine: &TrustGraph, peer: &TrustGraph) -> Result<Tier> {
    let credential = issuer.issue(CredentialType::VerifiedNode, peer.did(), serde_json::Map::new(), None).await?;
    mine.import_credential(&credential.to_json()).await?;
    mine.trust_issuer(issuer.did(), &[CredentialType::VerifiedNode])?;

    let score = mine.score(&peer.did())?;
    for reason in &score.reasons {
        println!("{:.2} from {}: {}", reason.contribution, reason.issuer, reason.why);
    }
    Ok(score.tier)
}
// end: trust

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_of_a_trusted_issuer_raises_the_tier() -> Done {
    let dirs = [tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?];
    let [issuer, mine, peer] = dirs.each_ref().map(|dir| TrustGraph::open_dir(dir.path()));
    assert_eq!(trust(&issuer?, &mine?, &peer?).await?, Tier::Known);
    Ok(())
}

// anchor: policy
async fn policy(host: &Node, stranger: &Node) -> Result<ErrorCode> {
    let trust = host.trust();
    trust.set_policy(trust.policy()?.with_minimum(Purpose::Message, Tier::Verified)?)?;

    stranger.connect(&host.info()?.addresses[0].to_string()).await?;
    match stranger.send_message(host.peer_id(), "let me in").await {
        Ok(()) => Ok(ErrorCode::Internal),
        Err(error) => {
            println!("{}: {error}", error.code());
            Ok(error.code())
        }
    }
}
// end: policy

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_below_the_minimum_tier_is_refused() -> Done {
    let (host, stranger) = (Node::start(Config::default()).await?, Node::start(Config::default()).await?);
    assert_eq!(policy(&host, &stranger).await?, ErrorCode::PermissionDenied);
    let refused = host.trust().require(&stranger.did(), Purpose::Message).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::UntrustedPeer);
    for node in [host, stranger] {
        node.shutdown(Duration::ZERO).await?;
    }
    Ok(())
}

// anchor: share_blocks
async fn share_blocks(host: &Node, model: &Path) -> Result<()> {
    let share = BlockShare { model: model.into(), blocks: (0..2).into() };
    let contribution = Contribution { blocks: vec![share], min_tier: Some(Tier::Known), ..Contribution::default() };
    for offer in host.contribute(contribution).await? {
        println!("serves blocks {} to {} of {}", offer.start, offer.end, offer.model);
    }
    Ok(())
}
// end: share_blocks

// anchor: chat
async fn chat(node: &Node, model: &Path) -> Result<String> {
    let shards = node.shards();
    let model = shards.load(model, Blocks::None).await?;
    let question = ChatMessage::user("What is KwaaiNet?");
    let mut answer = shards.chat(&model, vec![question], Route::Peers).await?;

    let mut text = String::new();
    while let Some(Item::Value(event)) = answer.next().await? {
        match event {
            GenerateEvent::Token { text: piece, .. } => text += &piece,
            GenerateEvent::Done { path, .. } => {
                for hop in path {
                    println!("blocks {} to {} at {:?}: {:.1} ms", hop.start_block, hop.end_block, hop.peer, hop.ms);
                }
            }
        }
    }
    Ok(text)
}
// end: chat

#[tokio::test(flavor = "multi_thread")]
async fn a_model_answers_from_blocks_on_two_hosts() -> Done {
    let model = root().join("examples/models/tiny-kwaai");
    let issuer = Keypair::generate();
    let dir = tempfile::tempdir()?;
    issuer.save(&dir.path().join("identity.key"))?;
    let issuer = TrustGraph::open_dir(dir.path())?;
    let mut nodes = Vec::new();
    for _ in 0..3 {
        let node = Node::start(Config::default()).await?;
        node.trust().trust_issuer(issuer.did(), &[CredentialType::VerifiedNode])?;
        nodes.push(node);
    }
    for node in &nodes {
        for about in &nodes {
            let credential = issuer.issue(CredentialType::VerifiedNode, about.did(), Default::default(), None).await?;
            node.trust().import_credential(&credential.to_json()).await?;
        }
    }
    let [app, left, right] = &nodes[..] else { unreachable!("three nodes were started") };
    for host in [left, right] {
        app.connect(&host.info()?.addresses[0].to_string()).await?;
    }
    share_blocks(left, &model).await?;
    let blocks = app.shards().load(&model, Blocks::None).await?.config().blocks as u32;
    right.shards().serve(&model, 2..blocks).await?;
    assert!(chat(app, &model).await?.len() > 20);
    for node in &nodes {
        node.shutdown(Duration::ZERO).await?;
    }
    Ok(())
}

// anchor: documents
async fn documents(rag: &Rag, folder: &Path) -> Result<usize> {
    let mut progress = rag.ingest(Source::Path(folder.into()))?;
    let mut ingested = 0;
    while let Some(Item::Value(event)) = progress.next().await? {
        match event {
            IngestEvent::Reading { name } => println!("reading {name}"),
            IngestEvent::DocumentFailed { name, message, .. } => eprintln!("{name}: {message}"),
            IngestEvent::Finished { ingested: count, .. } => ingested = count,
            _ => {}
        }
    }
    Ok(ingested)
}
// end: documents

// anchor: ask
async fn ask(rag: &Rag, question: &str) -> Result<Option<String>> {
    let answer = rag.answer(question, AskOptions::default()).await?;
    if answer.refused {
        println!("{}", answer.why.unwrap_or_default());
        return Ok(None);
    }
    for citation in &answer.citations {
        println!("[{}] {}: {}", citation.number, citation.document, citation.quote);
    }
    Ok(Some(answer.text))
}
// end: ask

#[tokio::test(flavor = "multi_thread")]
async fn documents_answer_with_sources_or_not_at_all() -> Done {
    let dir = tempfile::tempdir()?;
    let rag = Rag::open(dir.path(), RagConfig::default()).await?;
    assert_eq!(documents(&rag, &root().join("examples/data")).await?, 2);
    let answer = ask(&rag, "Whom does an owner tell before withdrawing a computer?").await?;
    assert!(answer.is_some_and(|text| text.contains("librarian") && text.contains("[1]")));
    assert_eq!(ask(&rag, "Which composer wrote the opera about a barber in Seville?").await?, None);
    rag.shutdown().await;
    Ok(())
}

// anchor: errors
async fn errors(node: &Node) -> Result<()> {
    let call = node.connect("/ip4/127.0.0.1/tcp/9/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X");
    match tokio::time::timeout(Duration::from_secs(5), call).await {
        Err(_) => println!("gave up; dropping the call cancelled it"),
        Ok(Err(error)) if error.is_retryable() => println!("later perhaps: {error}"),
        Ok(Err(error)) if error.code() == ErrorCode::InvalidArgument => println!("never: {error}"),
        Ok(other) => {
            other?;
        }
    }
    Ok(())
}
// end: errors

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_peer_is_an_error_worth_a_retry() -> Done {
    let node = Node::start(Config::default()).await?;
    errors(&node).await?;
    let address = "/ip4/127.0.0.1/tcp/9/p2p/12D3KooWPjceQrSwdWXPyLLeABRXmuqt69Rg3sBYbU1Nft9HyQ6X";
    let error = node.connect(address).await.unwrap_err();
    assert!(error.code() == ErrorCode::Unreachable && error.is_retryable());
    node.shutdown(Duration::ZERO).await?;
    Ok(())
}

// anchor: bring_your_own
struct Letters;

#[async_trait]
impl Embedder for Letters {
    fn id(&self) -> String {
        "letters".into()
    }

    fn dimension(&self) -> usize {
        26
    }

    async fn embed(&self, texts: Vec<Text>) -> Result<Vec<Vec<f32>>> {
        let count = |text: &Text| {
            let mut vector = [0.0; 26];
            for letter in text.as_str().bytes().filter(u8::is_ascii_lowercase) {
                vector[usize::from(letter - b'a')] += 1.0;
            }
            let length: f32 = vector.iter().map(|x| x * x).sum::<f32>().sqrt().max(1.0);
            vector.iter().map(|x| x / length).collect()
        };
        Ok(texts.iter().map(count).collect())
    }
}

async fn bring_your_own(dir: &Path) -> Result<Rag> {
    Rag::open(dir, RagConfig { embedder: Some(Arc::new(Letters)), ..RagConfig::default() }).await
}
// end: bring_your_own

#[tokio::test(flavor = "multi_thread")]
async fn an_embedder_of_the_app_is_used_and_recorded() -> Done {
    let dir = tempfile::tempdir()?;
    let rag = bring_your_own(dir.path()).await?;
    let mut progress = rag.ingest(Source::Bytes { name: "a.txt".into(), bytes: b"a harbour pump".to_vec() })?;
    while progress.next().await?.is_some() {}
    let stats = rag.stats().await?;
    assert_eq!(stats.embedder.map(|embedder| embedder.id).as_deref(), Some("letters"));
    assert_eq!(stats.vectors, 1);
    rag.shutdown().await;
    Ok(())
}

// anchor: ask_others
async fn ask_others(app: &Node, host: &Node, subject: Did) -> Result<(TrustAnswer, Status, TrustAnswer)> {
    let (trust, kind) = (host.trust(), CredentialType::FiduciaryPledge);
    let credential = trust.issue_revocable(kind, subject, serde_json::Map::new(), None).await?;
    trust.import_credential(&credential.to_json()).await?;
    trust.trust_issuer(host.did(), &[kind])?;
    trust.set_disclosures(&Disclosures::default().with(Tier::Unknown, Disclosure::Tier))?;

    app.connect(&host.info()?.addresses[0].to_string()).await?;
    let before = app.ask_trust(host.peer_id(), subject).await?.answer;

    trust.revoke(credential.id())?;
    let status = trust.status(&credential)?;
    let after = app.ask_trust(host.peer_id(), subject).await?.answer;
    println!("{before:?}, then {status:?}: {after:?}");
    Ok((before, status, after))
}
// end: ask_others

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_is_asked_before_and_after_a_credential_is_withdrawn() -> Done {
    let (app, host) = (Node::start(Config::default()).await?, Node::start(Config::default()).await?);
    let answered = ask_others(&app, &host, Keypair::from_seed([5; 32]).did()?).await?;
    assert_eq!(answered, (TrustAnswer::Tier(Tier::Known), Status::Revoked, TrustAnswer::Unknown));
    for node in [app, host] {
        node.shutdown(Duration::ZERO).await?;
    }
    Ok(())
}

// anchor: keep_vectors
async fn keep_vectors(owner: &Node, host: &Node, other: &Node) -> Result<Found> {
    host.vpk().host(DepotPolicy { min_tier: Some(Tier::Unknown), ..DepotPolicy::of(64 << 20) }).await?;
    let address = host.info()?.addresses[0].to_string();
    owner.connect(&address).await?;

    let (mode, metric, hosts) = (Mode::Seal, Metric::Cosine, vec![HostName::Peer(host.peer_id())]);
    let config = CollectionConfig { mode, dimension: 3, metric, hosts, colluding: 0, placement: Placement::default() };
    let notes = owner.vpk().create("notes", config).await?;
    println!("the host learns {}", notes.leakage().learned);
    let items = [(1, [1.0, 0.0, 0.0], "dumplings"), (2, [0.0, 1.0, 0.0], "soup")];
    let items = items.map(|(id, vector, text)| VectorItem::new(id, vector.to_vec()).with_payload(text));
    notes.upsert(items.to_vec()).await?;
    notes.flush().await?;

    let key = notes.export_key("a long walk").await?;
    other.connect(&address).await?;
    let unlock = Unlock::Passphrase("a long walk");
    let recovered = other.vpk().recover("notes", &key, unlock, RecoverConfig::default()).await?;
    let found = recovered.search(&[0.9, 0.1, 0.0], 1, &serde_json::Map::new()).await?;
    println!("{:?}", found.hits);
    Ok(found)
}
// end: keep_vectors

#[tokio::test(flavor = "multi_thread")]
async fn a_host_finds_what_it_cannot_read() -> Done {
    let (owner, host) = (Node::start(Config::default()).await?, Node::start(Config::default()).await?);
    let other = Node::start(Config::default()).await?;
    let found = keep_vectors(&owner, &host, &other).await?;
    assert_eq!((found.hits[0].id, found.hits[0].payload.as_deref()), (1, Some(&b"dumplings"[..])));
    for node in [owner, host, other] {
        node.shutdown(Duration::ZERO).await?;
    }
    Ok(())
}

// anchor: serve_openai
async fn serve_openai(node: &Node, model: &Path) -> Result<HttpServer> {
    let shards = node.shards();
    let model = shards.load(model, Blocks::All).await?;
    let tiny: Arc<dyn LanguageModel> = Arc::new(shards.language_model(&model, Route::Local));
    let config = HttpConfig { models: vec![("tiny".into(), tiny)], port: Some(0), ..HttpConfig::default() };
    let server = node.serve_http(config).await?;
    println!("OPENAI_BASE_URL={}", server.base_url());
    Ok(server)
}
// end: serve_openai

#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_speaks_openais_api_is_answered() -> Done {
    let node = Node::start(Config::default()).await?;
    let server = serve_openai(&node, &root().join("examples/models/tiny-kwaai")).await?;
    let asked = serde_json::json!({"model": "tiny", "messages": [{"role": "user", "content": "What is KwaaiNet?"}]});
    let url = format!("{}/chat/completions", server.base_url());
    let answer: serde_json::Value = reqwest::Client::new().post(url).json(&asked).send().await?.json().await?;
    assert!(answer["choices"][0]["message"]["content"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
    node.shutdown(Duration::ZERO).await?;
    assert!(!server.is_open());
    Ok(())
}

// anchor: serve_knowledge
async fn serve_knowledge(rag: &Rag) -> Result<HttpServer> {
    let server = rag.serve(KNOWLEDGE_NAME, HttpConfig { port: Some(0), ..HttpConfig::default() }).await?;
    println!("open http://{} in a browser, or ask {KNOWLEDGE_NAME} at {}", server.address(), server.base_url());
    Ok(server)
}
// end: serve_knowledge

#[tokio::test(flavor = "multi_thread")]
async fn a_knowledge_base_answers_programs_that_speak_openais_api() -> Done {
    let dir = tempfile::tempdir()?;
    let rag = Rag::open(dir.path(), RagConfig::default()).await?;
    let bytes = b"The canteen serves dumplings on Fridays.".to_vec();
    let mut stream = rag.ingest(Source::Bytes { name: "food.txt".into(), bytes })?;
    while stream.next().await?.is_some() {}
    let server = serve_knowledge(&rag).await?;
    let messages = serde_json::json!([{"role": "user", "content": "What does the canteen serve on Fridays?"}]);
    let asked = serde_json::json!({"model": KNOWLEDGE_NAME, "messages": messages});
    let url = format!("{}/chat/completions", server.base_url());
    let answer: serde_json::Value = reqwest::Client::new().post(url).json(&asked).send().await?.json().await?;
    assert_eq!(answer["kwaainet"]["sources"][0]["document"], "food.txt");
    rag.shutdown().await;
    assert!(!server.is_open());
    Ok(())
}

// anchor: search_together
async fn search_together(bob: &Node, gardens: &Rag, alice: &Node, kitchen: &Rag) -> Result<FederatedResult> {
    let month = Timestamp::now() + SignedDuration::from_hours(30 * 24);
    let terms = ShareTerms { holder: alice.did(), name: "Bob's gardens".into(), expires: month };
    let capability = bob.share_knowledge(gardens, &terms).await?;
    let shared = alice.shared_knowledge(bob.peer_id(), capability.as_str())?;
    let members = vec![Member::Own("kitchen".into(), kitchen.clone()), Member::Shared(shared)];
    let together = alice.federation(members, None, Language::English)?;
    let found = together.search("What do tomatoes need?", 8, FederatedOptions::default()).await?;
    for FederatedHit { member, found: ProvenHit { hit, provenance }, .. } in &found.hits {
        println!("{member}: {:?}, signed by {}", hit.text, provenance.check(hit)?.owner);
    }
    Ok(found)
}
// end: search_together

#[tokio::test(flavor = "multi_thread")]
async fn what_two_nodes_know_is_searched_together() -> Done {
    let bob = Node::start(Config::default()).await?;
    let alice = Node::start(Config::default()).await?;
    alice.connect(&bob.info()?.addresses[0].to_string()).await?;
    let (gardens, kitchen) =
        (bob.rag("gardens", RagConfig::default()).await?, alice.rag("kitchen", RagConfig::default()).await?);
    for (rag, name, text) in [
        (&gardens, "tomatoes.md", "Tomatoes want sun and a stake."),
        (&kitchen, "sauce.md", "Tomatoes, garlic and basil make a sauce."),
    ] {
        let mut stream = rag.ingest(Source::Bytes { name: name.into(), bytes: text.as_bytes().to_vec() })?;
        while stream.next().await?.is_some() {}
    }
    let found = search_together(&bob, &gardens, &alice, &kitchen).await?;
    let mut members: Vec<&str> = found.hits.iter().map(|hit| hit.member.as_str()).collect();
    members.sort_unstable();
    assert_eq!(members, ["Bob's gardens", "kitchen"]);
    for node in [alice, bob] {
        node.shutdown(Duration::from_secs(1)).await?;
    }
    Ok(())
}
