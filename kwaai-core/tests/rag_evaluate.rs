//! Evaluations over a real knowledge base.

use std::sync::Arc;

use kwaai_core::event::{Stream, channel};
use kwaai_core::llm::{Embedder, FinishReason, GenerateEvent, GenerateRequest, LanguageModel, Text, Usage};
use kwaai_core::rag::evaluate::{Evaluation, EvaluationOptions, EvaluationQuestion};
use kwaai_core::rag::{AskOptions, Mode, Rag, RagConfig, Source};
use kwaai_core::{Error, ErrorCode};

const DOCUMENTS: &[(&str, &str)] = &[
    (
        "keys.md",
        "The node keeps its identity in the file identity.key. It was introduced in 2019 by twelve developers.",
    ),
    ("ports.md", "The page of a node listens on port 9090, and the API of its models on port 11435."),
    ("food.md", "Boil the potatoes for twenty minutes, then add butter and <script>alert(1)</script> salt."),
];

const QUESTIONS: &str = r#"[
    {"id": "file", "question": "Which file does the node keep its identity in?", "documents": ["keys.md"], "expected_keywords": ["identity.key", ["file", "directory"]]},
    {"id": "port", "question": "On which port does the page of a node listen?", "documents": ["ports.md"], "numeric_answer": {"correct": 9090}},
    {"question": "How long are the potatoes boiled <script>alert(2)</script>?", "documents": ["food.md"], "expected_keywords": ["twenty minutes", "an hour"], "expected_answer": "Twenty minutes."},
    {"id": "none", "question": "What is the capital of Mongolia?", "unanswerable": true}
]"#;

async fn knowledge(embedder: Option<Arc<dyn Embedder>>) -> (tempfile::TempDir, Rag) {
    let dir = tempfile::tempdir().unwrap();
    let rag = Rag::open(dir.path(), RagConfig { embedder, ..RagConfig::default() }).await.unwrap();
    for (name, text) in DOCUMENTS {
        let mut progress = rag.ingest(Source::Bytes { name: (*name).into(), bytes: text.as_bytes().to_vec() }).unwrap();
        while progress.next().await.unwrap().is_some() {}
    }
    (dir, rag)
}

fn whole(name: &str) -> EvaluationOptions {
    EvaluationOptions { name: name.into(), search: Mode::Hybrid.into(), ask: Some(AskOptions::default()), judge: None }
}

// anchor: evaluated
/// Whether following names helps on questions of one's own, and how sure that is.
async fn links_help(rag: &Rag, questions: &str) -> kwaai_core::Result<(Evaluation, String)> {
    let questions = EvaluationQuestion::read(questions)?;
    let mut options =
        EvaluationOptions { name: "without".into(), ask: Some(AskOptions::default()), ..Default::default() };
    let without = rag.evaluate(questions.clone(), options.clone()).await?;
    (options.name, options.search.links) = ("with links".into(), true);
    let with = rag.evaluate(questions, options).await?;
    for (score, difference) in with.compare(&without)? {
        println!("{score}: {:+.3}, p = {:.2}", difference.mean.value, difference.p);
    }
    let page = with.to_html(Some(&without));
    Ok((with, page))
}
// end: evaluated

#[tokio::test(flavor = "multi_thread")]
async fn each_question_counts_for_what_it_can_be_judged_by() {
    let (_dir, rag) = knowledge(None).await;
    let evaluation = rag.evaluate(EvaluationQuestion::read(QUESTIONS).unwrap(), whole("usual")).await.unwrap();
    let of = |place: usize, name: &str| evaluation.questions[place].scores.get(name).copied();
    assert_eq!(
        (of(0, "recall@1"), of(0, "keywords"), of(0, "citations"), of(0, "refusal")),
        (Some(1.0), Some(1.0), Some(1.0), Some(1.0))
    );
    assert_eq!((of(1, "number"), of(1, "keywords")), (Some(1.0), None));
    assert_eq!((of(2, "keywords"), evaluation.questions[2].id.as_str()), (Some(0.5), "3"));
    assert_eq!((of(3, "refusal"), of(3, "recall@1"), evaluation.questions[3].refused), (Some(1.0), None, Some(true)));
    assert_eq!((evaluation.means["keywords"].count, evaluation.means["keywords"].value), (2, 0.75));
    assert_eq!((evaluation.means["refusal"].count, evaluation.failed), (4, 0));
    assert_eq!(evaluation.refusal_auroc, Some(1.0));
    let curve = evaluation.refusal_curve();
    assert_eq!((curve[0].1, curve[0].2, curve[100].2), (1.0, 1.0, 0.0));
    let again = rag.evaluate(EvaluationQuestion::read(QUESTIONS).unwrap(), whole("usual")).await.unwrap();
    assert_eq!(again, evaluation, "the same every time");
    let read: Evaluation = serde_json::from_str(&serde_json::to_string(&evaluation).unwrap()).unwrap();
    assert_eq!(read, evaluation);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ways_are_compared_question_by_question_in_a_page_in_which_nothing_runs() {
    let (_dir, rag) = knowledge(None).await;
    let (with, page) = links_help(&rag, QUESTIONS).await.unwrap();
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "what a document says is text");
    assert!(page.contains("default-src 'none'") && !page.contains("http://") && !page.contains("src="));
    assert_eq!(page.matches("<svg").count(), 2);
    assert!(with.to_markdown().contains("| recall@1 | 1.000 |"), "{}", with.to_markdown());
    let (small, _) = links_help(&rag, include_str!("support/questions.json")).await.unwrap();
    assert_eq!(
        (small.means["refusal"].value, small.means["number"].value, small.means["keywords"].value),
        (1.0, 1.0, 1.0)
    );
    let fewer: Vec<EvaluationQuestion> = EvaluationQuestion::read(QUESTIONS).unwrap().into_iter().take(2).collect();
    let other = rag.evaluate(fewer, whole("fewer")).await.unwrap();
    assert_eq!(with.compare(&other).unwrap_err().code(), ErrorCode::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_that_contradict_themselves_are_refused_before_any_is_asked() {
    let (_dir, rag) = knowledge(None).await;
    let asked = r#"{"id": "a", "question": "Which port?"}"#;
    for (why, questions) in [
        (
            "question 1: nothing answers",
            r#"{"question": "Which port?", "unanswerable": true, "documents": ["keys.md"]}"#.to_owned(),
        ),
        (
            "question 1: numeric_answer",
            r#"{"question": "Which?", "numeric_answer": {"correct": 1, "tolerance": -1}}"#.into(),
        ),
        ("question 1: a keyword", r#"{"question": "Which port?", "expected_keywords": [[]]}"#.into()),
        ("two questions have the id a", format!("{asked}, {asked}")),
        ("two questions have the id 2", r#"{"id": "2", "question": "Which?"}, {"question": "What?"}"#.into()),
    ] {
        let questions = EvaluationQuestion::read(&format!("[{questions}]")).unwrap();
        let error = rag.evaluate(questions, whole("none")).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        assert!(error.message().contains(why), "{}", error.message());
    }
}

/// Fails for questions about ports.
struct Failing;

#[async_trait::async_trait]
impl Embedder for Failing {
    fn id(&self) -> String {
        "failing".into()
    }

    fn dimension(&self) -> usize {
        2
    }

    async fn embed(&self, texts: Vec<Text>) -> kwaai_core::Result<Vec<Vec<f32>>> {
        if texts.iter().any(|text| matches!(text, Text::Query(text) if text.contains("port"))) {
            return Err(Error::unreachable("the embedder is away"));
        }
        Ok(texts.iter().map(|text| vec![text.as_str().len() as f32, 1.0]).collect())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_fails_counts_as_wrong_in_everything_it_could_have_had() {
    let (_dir, rag) = knowledge(Some(Arc::new(Failing))).await;
    let evaluation = rag.evaluate(EvaluationQuestion::read(QUESTIONS).unwrap(), whole("failing")).await.unwrap();
    let failed = &evaluation.questions[1];
    assert!(failed.error.as_deref().is_some_and(|error| error.contains("the embedder is away")));
    let scores: Vec<(&str, f64)> = failed.scores.iter().map(|(name, score)| (name.as_str(), *score)).collect();
    assert_eq!(scores.len(), 9);
    assert!(scores.iter().all(|(_, score)| *score == 0.0) && failed.scores.contains_key("number"));
    assert_eq!((evaluation.failed, evaluation.means["refusal"].count), (1, 4));
    assert!(evaluation.to_markdown().contains("- port: "));
}

/// Gives everything a part of the points, or nothing that can be read.
struct Judge(&'static str);

#[async_trait::async_trait]
impl LanguageModel for Judge {
    fn name(&self) -> String {
        "judge".into()
    }

    async fn generate(&self, request: GenerateRequest) -> kwaai_core::Result<Stream<GenerateEvent>> {
        assert!(request.messages[1].content.contains("Expected: Twenty minutes."));
        let (sender, stream) = channel(8);
        sender.send(GenerateEvent::text(self.0));
        sender.send(GenerateEvent::done(FinishReason::Stop, Usage::default(), Vec::new()));
        sender.finish(Ok(()));
        Ok(stream)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_judge_scores_what_has_an_expected_answer_and_one_that_gives_no_score_fails_the_question() {
    let (_dir, rag) = knowledge(None).await;
    let questions = || EvaluationQuestion::read(QUESTIONS).unwrap();
    let judged = |said| EvaluationOptions { judge: Some(Arc::new(Judge(said))), ..whole("judged") };
    let evaluation = rag.evaluate(questions(), judged("1")).await.unwrap();
    assert_eq!((evaluation.means["judge"].value, evaluation.means["judge"].count), (0.5, 1));
    let evaluation = rag.evaluate(questions(), judged("excellent")).await.unwrap();
    assert_eq!((evaluation.means["judge"].value, evaluation.failed), (0.0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_about_documents_that_are_not_there_are_refused() {
    let (_dir, rag) = knowledge(None).await;
    let ask = |json: &str| rag.evaluate(EvaluationQuestion::read(json).unwrap(), whole("x"));
    let missing = ask(r#"[{"question": "Who?", "documents": ["nowhere.md"]}]"#).await.unwrap_err();
    assert_eq!(missing.code(), ErrorCode::NotFound);
    assert_eq!(ask("[]").await.unwrap_err().code(), ErrorCode::InvalidArgument);
    rag.shutdown().await;
    assert_eq!(ask(QUESTIONS).await.unwrap_err().code(), ErrorCode::Closed);
}
