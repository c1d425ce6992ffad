//! Answers and refusals with the real embedding model.

use std::path::PathBuf;
use std::sync::Arc;

use kwaai_core::llm::{BertEmbedder, model_cache};
use kwaai_core::rag::{Answer, AskOptions, Mode, REFUSAL, Rag, RagConfig, Source};

const NODE: &str = "# The node\n\nThe node lives inside the process of the app. It listens on TCP and QUIC and dials nobody but the bootstraps \
    it is given. When it is shut down, every open connection is drained for at most five seconds.\n\n\
    # Identity\n\nIts Ed25519 key is kept in the file identity.key, which only the owner of the directory can read. Whoever loses that file \
    gets a new PeerId at the next start. A second node on the same directory is refused.\n\n\
    # Trust\n\nA credential counts for less as it grows older: its weight halves every 365 days. Peers with a score of 0.70 or more are \
    called Trusted.\n";
const FERRY: &str = "# Ferry to Hven\n\nThe boat leaves Landskrona every ninety minutes between six in the morning and nine in the evening. Bicycles \
    travel free of charge. Dogs must be kept on a lead.\n\nThe crossing takes thirty minutes. Tickets are sold on board, by card only.\n";
const LAB: &str = "Samples are frozen at minus eighty degrees within two hours of collection. Thawed samples are never frozen again.\n\n\
    Dr. Amara Okafor is responsible for the freezer and keeps the log.\n";

fn weights() -> Option<PathBuf> {
    let found = model_cache::find_all_minilm().unwrap();
    if found.is_none() {
        println!("skipped: the weights of all-MiniLM-L6-v2 are not in the model cache");
    }
    found
}

async fn knowledge(dir: &std::path::Path, weights: PathBuf) -> Rag {
    let embedder = Arc::new(BertEmbedder::open(weights).await.unwrap());
    let rag = Rag::open(dir, RagConfig { embedder: Some(embedder), ..RagConfig::default() }).await.unwrap();
    for (name, text) in [("node.md", NODE), ("ferry.md", FERRY), ("lab.txt", LAB)] {
        let mut stream = rag.ingest(Source::Bytes { name: name.into(), bytes: text.as_bytes().to_vec() }).unwrap();
        while stream.next().await.unwrap().is_some() {}
    }
    rag
}

async fn answer(rag: &Rag, question: &str) -> Answer {
    rag.answer(question, AskOptions::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_documents_say_is_quoted_and_the_rest_refused() {
    let Some(weights) = weights() else { return };
    let dir = tempfile::tempdir().unwrap();
    let rag = knowledge(dir.path(), weights).await;
    for (question, words) in [
        ("Which file holds the key?", "identity.key"),
        ("How fast does a credential lose its value?", "365 days"),
        ("Can I take my bike on the boat?", "Bicycles travel free of charge."),
        ("How long is the ferry ride?", "thirty minutes"),
        ("Who looks after the freezer?", "Okafor"),
        ("At what temperature are samples stored?", "minus eighty degrees"),
        ("What happens if I start two nodes in one folder?", "is refused"),
    ] {
        let answer = answer(&rag, question).await;
        assert!(!answer.refused && answer.text.contains(words), "{question}: {answer:#?}");
        assert!(answer.citations.iter().any(|citation| citation.quote.contains(words.split(' ').next().unwrap())));
    }
    for question in [
        "What is the capital of Mongolia?",
        "Who won the football world cup in 2014?",
        "How do I bake sourdough bread?",
        "What did the company earn in the third quarter?",
        "Which antibiotic treats pneumonia?",
    ] {
        let answer = answer(&rag, question).await;
        assert!(answer.refused && answer.text.starts_with(REFUSAL), "{question}: {answer:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn meaning_finds_what_words_do_not() {
    let Some(weights) = weights() else { return };
    let dir = tempfile::tempdir().unwrap();
    let rag = knowledge(dir.path(), weights).await;
    let query = "pets aboard ship";
    assert!(rag.search(query, 3, Mode::Lexical).await.unwrap().hits.iter().all(|hit| hit.document != "ferry.md"));
    assert_eq!(rag.search(query, 3, Mode::Dense).await.unwrap().hits[0].document, "ferry.md");
    assert_eq!(rag.search(query, 3, Mode::Hybrid).await.unwrap().hits[0].document, "ferry.md");
}
