//! Knowledge bases of several nodes searched together, and passages that are proven offline.

#[path = "support/hashing.rs"]
mod hashing;
#[path = "support/statement.rs"]
mod statement;

use std::sync::Arc;
use std::time::Duration;

use hashing::Hashing;
use jiff::{Timestamp, ToSpan};
use kwaai_core::clock::ManualClock;
use kwaai_core::event::Item;
use kwaai_core::identity::Did;
use kwaai_core::llm::{Embedder, Text};
use kwaai_core::rag::{
    FederatedOptions, FederatedResult, Hit, IngestEvent, IngestOptions, KnowledgeCapability, Language, Member, Mode,
    ProvenHit, Rag, RagConfig, ShareTerms, Source,
};
use kwaai_core::trust::{Purpose, Tier};
use kwaai_core::{Config, Error, ErrorCode, Node};
use serde_json::Value;
use statement::{broken, forged, key, rule};

const TIMEOUT: Duration = Duration::from_secs(20);
const GRACE: Duration = Duration::from_secs(2);
const DAY: i64 = 24;

fn hashing() -> Arc<dyn Embedder> {
    Arc::new(Hashing::new(64))
}

fn noon() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

async fn node(name: &str, clock: &ManualClock, bootstrap: Option<&Node>) -> Node {
    let bootstrap = bootstrap.map(|node| node.info().unwrap().addresses[0].to_string()).into_iter().collect();
    let config = Config { name: Some(name.into()), bootstrap, clock: Arc::new(clock.clone()), ..Config::default() };
    Node::start(config).await.unwrap()
}

async fn base(node: &Node, name: &str, embedder: Option<Arc<dyn Embedder>>, documents: &[(&str, &str)]) -> Rag {
    let base = node.rag(name, RagConfig { embedder, ..RagConfig::default() }).await.unwrap();
    for (name, text) in documents {
        let source = Source::Bytes { name: (*name).into(), bytes: text.as_bytes().to_vec() };
        let mut events = base.ingest(source).unwrap();
        while let Some(item) = events.next().await.unwrap() {
            if let Item::Value(IngestEvent::DocumentFailed { message, .. }) = item {
                panic!("{message}");
            }
        }
    }
    base
}

fn terms(holder: Did, name: &str) -> ShareTerms {
    ShareTerms { holder, name: name.into(), expires: noon() + DAY.hours() }
}

/// Alice asks; Bob shares what he knows of gardens.
struct World {
    clock: ManualClock,
    alice: Node,
    bob: Node,
    gardens: Rag,
    capability: KnowledgeCapability,
}

const GARDENS: &[(&str, &str)] = &[
    ("tomatoes.md", "Tomatoes want sun and a stake. Water them at the root, never on the leaves.\n"),
    ("compost.md", "Compost needs air. Turn the heap every fortnight and keep it as damp as a wrung cloth.\n"),
    ("roses.md", "Prune roses in March, above an outward bud.\n"),
];
const KITCHEN: &[(&str, &str)] = &[
    ("mash.md", "Boil the potatoes for twenty minutes. Add salt and butter.\n"),
    ("sauce.md", "Tomatoes, garlic and basil make a sauce in half an hour.\n"),
];

impl World {
    async fn new() -> World {
        let clock = ManualClock::at(noon());
        let bob = node("bob", &clock, None).await;
        let alice = node("alice", &clock, Some(&bob)).await;
        let gardens = base(&bob, "gardens", Some(hashing()), GARDENS).await;
        let capability = bob.share_knowledge(&gardens, &terms(alice.did(), "Bob's gardens")).await.unwrap();
        World { clock, alice, bob, gardens, capability }
    }

    async fn asked_by(&self, node: &Node, text: &str) -> kwaai_core::Result<Vec<ProvenHit>> {
        let shared = node.shared_knowledge(self.bob.peer_id(), self.capability.as_str())?;
        shared.search(text, 3, Mode::Hybrid, TIMEOUT).await
    }

    async fn end(self) {
        for node in [self.alice, self.bob] {
            node.shutdown(GRACE).await.unwrap();
        }
    }
}

fn names(result: &FederatedResult) -> Vec<(&str, &str)> {
    result.hits.iter().map(|hit| (hit.member.as_str(), hit.found.hit.document.as_str())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn passages_of_two_nodes_are_ranked_together_and_each_is_proven_offline() {
    let world = World::new().await;
    let kitchen = base(&world.alice, "kitchen", Some(hashing()), KITCHEN).await;
    let shared = world.alice.shared_knowledge(world.bob.peer_id(), world.capability.as_str()).unwrap();
    let members = vec![Member::Own("kitchen".into(), kitchen), Member::Shared(shared)];
    let federation = world.alice.federation(members, Some(hashing()), Language::English).unwrap();
    let found = federation.search("watering tomatoes", 4, FederatedOptions::default()).await.unwrap();
    assert!(found.failures.is_empty(), "{:?}", found.failures);
    assert_eq!(names(&found)[..2], [("Bob's gardens", "tomatoes.md"), ("kitchen", "sauce.md")]);
    assert_eq!(found.mode, Mode::Hybrid);
    let again = federation.search("watering tomatoes", 4, FederatedOptions::default()).await.unwrap();
    let hits = |result: &FederatedResult| -> Vec<Hit> { result.hits.iter().map(|hit| hit.found.hit.clone()).collect() };
    assert_eq!(hits(&found), hits(&again), "the same question, the same answer");
    let owners = [world.bob.did(), world.alice.did()];
    let text = serde_json::to_string(&found.hits[0].found).unwrap();
    let passages = [GARDENS.len(), KITCHEN.len()];
    for (hit, (owner, passages)) in found.hits.iter().zip(owners.into_iter().zip(passages)) {
        let proven = hit.found.provenance.check(&hit.found.hit).unwrap();
        assert_eq!((proven.owner, proven.passages, proven.signed), (owner, passages as u64, noon()));
    }
    world.end().await;
    // Nobody is there any more, and the passage is still Bob's.
    let kept: ProvenHit = serde_json::from_str(&text).unwrap();
    assert_eq!(kept.provenance.check(&kept.hit).unwrap().owner, owners[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passage_that_was_changed_or_taken_from_elsewhere_is_not_proven() {
    let world = World::new().await;
    let found = world.asked_by(&world.alice, "compost").await.unwrap();
    let ProvenHit { hit, provenance } = found[0].clone();
    assert_eq!(hit.document, "compost.md");
    provenance.check(&hit).unwrap();
    let not_in = || broken(ErrorCode::CorruptData, "inclusion");
    let changes: [fn(&mut Hit); 5] = [
        |hit| hit.text = hit.text.replace("fortnight", "year"),
        |hit| hit.document = "bible.md".into(),
        |hit| hit.span = hit.span.start + 1..hit.span.end + 1,
        |hit| hit.chunk_id = "0000000000000000".into(),
        |hit| hit.document_id = "0".repeat(32),
    ];
    for change in changes {
        let mut other = hit.clone();
        change(&mut other);
        assert_eq!(rule(provenance.check(&other)), not_in());
    }
    let mut other = provenance.clone();
    other.index ^= 1;
    assert_eq!(rule(other.check(&hit)), not_in());
    other = provenance.clone();
    other.path.reverse();
    other.path.pop();
    assert_eq!(rule(other.check(&hit)), not_in());
    other = provenance.clone();
    other.statement = other.statement.replace("\"passages\":3", "\"passages\":4");
    assert_eq!(rule(other.check(&hit)), broken(ErrorCode::CorruptData, "signature"));
    // Somebody else can sign another tree, but not as Bob.
    let mallory = key(9).did().unwrap();
    other = provenance.clone();
    other.statement = forged(&provenance.statement, 9, |members| {
        members.insert("issuer".into(), mallory.to_string().into());
    })
    .await;
    assert_eq!(other.check(&hit).unwrap().owner, mallory);
    let answer = serde_json::json!({
        "hits": [{"hit": hit, "provenance": other}],
        "statistics": {"passages": 1, "words": 1, "frequencies": []},
    });
    let refused = world.capability.read_answer(answer.to_string().as_bytes(), 3).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::CorruptData);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capability_opens_one_knowledge_base_to_one_holder_until_it_ends_or_is_revoked() {
    let world = World::new().await;
    assert_eq!(world.capability.knowledge_base(), world.gardens.id().await.unwrap());
    assert_eq!((world.capability.owner(), world.capability.holder()), (world.bob.did(), world.alice.did()));
    assert_eq!(world.asked_by(&world.alice, "roses").await.unwrap()[0].hit.document, "roses.md");
    let carol = node("carol", &world.clock, Some(&world.bob)).await;
    assert_eq!(world.asked_by(&carol, "roses").await.unwrap_err().code(), ErrorCode::PermissionDenied);
    // Not shared, although it is open at the same node.
    base(&world.bob, "diary", None, &[("diary.md", "Roses are for Ada.\n")]).await;
    let found = world.asked_by(&world.alice, "Ada").await.unwrap();
    assert!(found.iter().all(|found| found.hit.document != "diary.md"));
    // A policy stands before every capability.
    let open = world.bob.trust().policy().unwrap();
    let closed = open.clone().with_minimum(Purpose::SearchKnowledge, Tier::Trusted).unwrap();
    world.bob.trust().set_policy(closed).unwrap();
    let refused = world.asked_by(&world.alice, "roses").await.unwrap_err();
    assert!(matches!(refused.code(), ErrorCode::PermissionDenied | ErrorCode::UntrustedPeer), "{refused}");
    world.bob.trust().set_policy(open).unwrap();
    world.asked_by(&world.alice, "roses").await.unwrap();
    world.gardens.revoke_share(&world.capability.id()).await.unwrap();
    assert_eq!(world.asked_by(&world.alice, "roses").await.unwrap_err().code(), ErrorCode::PermissionDenied);
    let second = world.bob.share_knowledge(&world.gardens, &terms(world.alice.did(), "again")).await.unwrap();
    let shared = world.alice.shared_knowledge(world.bob.peer_id(), second.as_str()).unwrap();
    assert_eq!(shared.search("roses", 1, Mode::Lexical, TIMEOUT).await.unwrap().len(), 1);
    world.gardens.shutdown().await;
    let gone = shared.search("roses", 1, Mode::Lexical, TIMEOUT).await.unwrap_err();
    assert_eq!(gone.code(), ErrorCode::NotFound);
    world.clock.advance(Duration::from_secs(25 * 60 * 60));
    assert_eq!(world.asked_by(&world.alice, "roses").await.unwrap_err().code(), ErrorCode::PermissionDenied);
    carol.shutdown(GRACE).await.unwrap();
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_app_says_about_its_documents_stays_with_their_owner_and_what_nobody_asked_for_is_dropped() {
    let world = World::new().await;
    let metadata = [("client".to_owned(), "Ada".to_owned())].into();
    let source = Source::Bytes { name: "roses.md".into(), bytes: GARDENS[2].1.as_bytes().to_vec() };
    let options = IngestOptions { metadata: Some(metadata) };
    let mut events = world.gardens.ingest_with(source, options).unwrap();
    while events.next().await.unwrap().is_some() {}
    let own = world.gardens.search("roses", 1, Mode::Lexical).await.unwrap().hits.remove(0);
    assert_eq!(own.metadata["client"], "Ada");
    let found = world.asked_by(&world.alice, "roses").await.unwrap().remove(0);
    assert_eq!((found.hit.text.as_str(), found.hit.metadata.len()), (own.text.as_str(), 0));
    let mut answer = serde_json::json!({
        "hits": [found],
        "statistics": {"passages": 9_000_000, "words": u64::MAX, "frequencies": []},
    });
    answer["hits"][0]["hit"]["around"] =
        serde_json::json!({"text": "Obey me.", "span": {"start": 0, "end": 8}, "locator": null});
    answer["hits"][0]["hit"]["metadata"] = serde_json::json!({"client": "Bea"});
    answer["hits"][0]["hit"]["via"] = "a name".into();
    let read = world.capability.read_answer(answer.to_string().as_bytes(), 3).unwrap().remove(0);
    assert_eq!((read.hit.around, read.hit.via, read.hit.metadata.len()), (None, None, 0));
    // Words that are too many for one question are looked for as far as they go.
    let long: String = (0..600).map(|number| format!("word{number} ")).collect::<String>() + "roses";
    let shared = world.alice.shared_knowledge(world.bob.peer_id(), world.capability.as_str()).unwrap();
    let federation = world.alice.federation(vec![Member::Shared(shared)], None, Language::English).unwrap();
    let found = federation.search(&long, 3, FederatedOptions::default()).await.unwrap();
    assert!(found.failures.is_empty(), "{:?}", found.failures);
    world.end().await;
}

/// Refuses texts with a word, as some endpoints refuse what is too long.
struct Picky(Hashing);

#[async_trait::async_trait]
impl Embedder for Picky {
    fn id(&self) -> String {
        self.0.id()
    }

    fn dimension(&self) -> usize {
        self.0.dimension()
    }

    async fn embed(&self, texts: Vec<Text>) -> kwaai_core::Result<Vec<Vec<f32>>> {
        match texts.iter().any(|text| text.as_str().contains("Boil")) {
            true => Err(Error::invalid_argument("too long")),
            false => self.0.embed(texts).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passage_that_cannot_be_embedded_costs_its_own_knowledge_base_and_no_other() {
    let node = node("one", &ManualClock::at(noon()), None).await;
    let (gardens, kitchen) = (base(&node, "g", None, GARDENS).await, base(&node, "k", None, KITCHEN).await);
    let members =
        || vec![Member::Own("kitchen".into(), kitchen.clone()), Member::Own("gardens".into(), gardens.clone())];
    let picky: Arc<dyn Embedder> = Arc::new(Picky(Hashing::new(64)));
    let federation = node.federation(members(), Some(picky.clone()), Language::English).unwrap();
    let found = federation.search("potatoes and roses", 3, FederatedOptions::default()).await.unwrap();
    assert!(names(&found)[0] == ("gardens", "roses.md") && found.hits.iter().all(|hit| hit.member == "gardens"));
    let failed: Vec<_> = found.failures.iter().map(|failed| (failed.member.as_str(), failed.code.as_str())).collect();
    assert_eq!(failed, [("kitchen", "invalid_argument")]);
    let alone = node.federation(members()[..1].to_vec(), Some(picky), Language::English).unwrap();
    let failed = alone.search("potatoes", 3, FederatedOptions::default()).await.unwrap_err();
    assert_eq!(failed.code(), ErrorCode::InvalidArgument);
    node.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_directory_does_not_answer_for_the_original() {
    let dir = tempfile::tempdir().unwrap();
    let clock = ManualClock::at(noon());
    let data_dir = dir.path().join("node");
    let config = Config { data_dir: Some(data_dir.clone()), clock: Arc::new(clock), ..Config::default() };
    let node = Node::start(config).await.unwrap();
    let original = base(&node, "original", None, &GARDENS[..1]).await;
    original.shutdown().await;
    let kept = data_dir.join("rag");
    std::fs::create_dir(kept.join("copy")).unwrap();
    std::fs::copy(kept.join("original/kwaainet.redb"), kept.join("copy/kwaainet.redb")).unwrap();
    let original = node.rag("original", RagConfig::default()).await.unwrap();
    let copy = node.rag("copy", RagConfig::default()).await.unwrap();
    assert_eq!(copy.id().await.unwrap(), original.id().await.unwrap());
    let refused = node.share_knowledge(&copy, &terms(node.did(), "copy")).await.unwrap_err();
    assert_eq!(refused.code(), ErrorCode::Conflict);
    node.share_knowledge(&original, &terms(node.did(), "original")).await.unwrap();
    node.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_is_gone_is_named_and_the_others_answer() {
    let world = World::new().await;
    let kitchen = base(&world.alice, "kitchen", None, KITCHEN).await;
    // The same words stand in both.
    let copy = base(&world.alice, "copy", None, &KITCHEN[..1]).await;
    let shared = world.alice.shared_knowledge(world.bob.peer_id(), world.capability.as_str()).unwrap();
    let own = |name: &str, base: &Rag| Member::Own(name.into(), base.clone());
    let members = vec![own("kitchen", &kitchen), own("copy", &copy), Member::Shared(shared.clone())];
    let federation = world.alice.federation(members, None, Language::English).unwrap();
    world.bob.shutdown(GRACE).await.unwrap();
    let found = federation.search("potatoes", 5, FederatedOptions::default()).await.unwrap();
    assert_eq!(names(&found), [("kitchen", "mash.md")]);
    assert_eq!(found.hits[0].also, ["copy"]);
    assert_eq!(found.mode, Mode::Lexical, "without an embedder");
    let failed: Vec<_> = found.failures.iter().map(|failure| failure.member.as_str()).collect();
    assert_eq!(failed, ["Bob's gardens"]);
    let alone = world.alice.federation(vec![Member::Shared(shared)], None, Language::English).unwrap();
    assert!(alone.search("potatoes", 5, FederatedOptions::default()).await.is_err(), "nobody was asked");
    let dense = FederatedOptions { mode: Mode::Dense, ..FederatedOptions::default() };
    assert_eq!(federation.search("x", 5, dense).await.unwrap_err().code(), ErrorCode::Unsupported);
    let share = FederatedOptions { dense_weight: Some(2.0), ..FederatedOptions::default() };
    assert_eq!(federation.search("x", 5, share).await.unwrap_err().code(), ErrorCode::InvalidArgument);
    let many = federation.search("x", 65, FederatedOptions::default()).await.unwrap_err();
    assert_eq!(many.code(), ErrorCode::InvalidArgument);
    let twice = world.alice.federation(vec![own("a", &kitchen), own("a", &copy)], None, Language::English);
    assert_eq!(twice.err().unwrap().code(), ErrorCode::InvalidArgument);
    world.alice.shutdown(GRACE).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn passages_in_two_knowledge_bases_rank_as_they_would_in_one() {
    let clock = ManualClock::at(noon());
    let node = node("one", &clock, None).await;
    let words = ["oak", "elm", "ash", "fir", "yew", "bay"];
    let mut seed = 7_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) as usize % below
    };
    let documents: Vec<(String, String)> = (0..60)
        .map(|number| {
            // Rare words in one half, common in the other.
            let of = if number < 30 { &words[..4] } else { &words[2..] };
            let count = 4 + next(9);
            let text = (0..count).map(|_| of[next(of.len())]).collect::<Vec<_>>().join(" ");
            (format!("{number}.txt"), format!("{text} number{number}.\n"))
        })
        .collect();
    let borrowed: Vec<(&str, &str)> = documents.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let whole = base(&node, "whole", None, &borrowed).await;
    let left = base(&node, "left", None, &borrowed[..30]).await;
    let right = base(&node, "right", None, &borrowed[30..]).await;
    let members = vec![Member::Own("left".into(), left), Member::Own("right".into(), right)];
    let federation = node.federation(members, None, Language::English).unwrap();
    for text in ["oak ash", "fir", "bay elm yew", "number17 ash", "ash fir oak yew"] {
        let one = whole.search(text, 5, Mode::Lexical).await.unwrap().hits;
        let several = federation.search(text, 5, FederatedOptions::default()).await.unwrap();
        let of_one: Vec<&str> = one.iter().map(|hit| hit.document.as_str()).collect();
        let of_several: Vec<&str> = several.hits.iter().map(|hit| hit.found.hit.document.as_str()).collect();
        // The index keeps lengths coarsely, so that scores differ a little; the first is the first.
        assert_eq!(of_one[0], of_several[0], "{text}");
        let common = of_one.iter().filter(|name| of_several.contains(name)).count();
        assert!(common >= 4, "{text}: {of_one:?} {of_several:?}");
    }
    node.shutdown(GRACE).await.unwrap();
}

// Written by another implementation of JCS and Ed25519, from the description of the format.
const CAPABILITY: &str = include_str!("golden/knowledge_capability.json").trim_ascii_end();
const PROVEN: &str = include_str!("golden/knowledge_proven_hit.json").trim_ascii_end();

#[tokio::test(flavor = "multi_thread")]
async fn the_bytes_of_a_capability_and_of_a_provenance_are_fixed() {
    let signer = key(1).signer().unwrap();
    let terms = terms(key(2).did().unwrap(), "Gärten");
    let capability = KnowledgeCapability::issue(&*signer, &"0f".repeat(16), &terms, [7; 16], noon()).await.unwrap();
    assert_eq!(capability.as_str(), CAPABILITY);
    let ProvenHit { hit, provenance } = serde_json::from_str(PROVEN).unwrap();
    let proven = provenance.check(&hit).unwrap();
    assert_eq!((proven.owner, proven.knowledge_base), (key(1).did().unwrap(), "0f".repeat(16)));
    assert_eq!((proven.passages, proven.signed), (3, noon()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_capability_that_breaks_a_rule_is_refused_by_it() {
    let owner = key(1).did().unwrap();
    let later = |text: &str| Value::from(text);
    for (change, code, named) in [
        (("name", later("")), ErrorCode::InvalidArgument, "form"),
        (("name", later(&"x".repeat(65))), ErrorCode::InvalidArgument, "form"),
        (("expires", later("2028-01-01T00:00:00Z")), ErrorCode::InvalidArgument, "lifetime"),
        (("expires", later("2026-06-01T12:00:00Z")), ErrorCode::InvalidArgument, "lifetime"),
        (("knowledge_base", later("0f")), ErrorCode::InvalidArgument, "form"),
        (("more", later("x")), ErrorCode::InvalidArgument, "form"),
        (("version", 2.into()), ErrorCode::Unsupported, "version"),
    ] {
        let (name, value) = change;
        let text = forged(CAPABILITY, 1, |members| {
            members.insert(name.into(), value);
        })
        .await;
        assert_eq!(rule(KnowledgeCapability::read(&text)), broken(code, named), "{name}");
    }
    let other = forged(CAPABILITY, 3, |members| {
        members.insert("issuer".into(), owner.to_string().into());
    })
    .await;
    assert_eq!(rule(KnowledgeCapability::read(&other)), broken(ErrorCode::CorruptData, "signature"));
}
