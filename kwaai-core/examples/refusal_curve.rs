//! Measures how well answers and refusals are told apart.
//!
//! For every question of the evaluation data the evidence is taken three times: as it is, with every passage that holds
//! the answer left out, and in a knowledge base about something else. Prints the area under the ROC curve per data set and
//! how much is answered and refused at the default threshold. Usage:
//!
//! `cargo run -p kwaai-core --example refusal_curve -- DATA_DIR MODEL_DIR|none [QUESTIONS_PER_SET] [FEATURES.tsv]`

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};

use kwaai_core::event::Item;
use kwaai_core::llm::{BertEmbedder, Embedder, Text};
use kwaai_core::rag::{AskOptions, Evidence, Hit, IngestEvent, Rag, RagConfig, Source};
use kwaai_core::{Error, Result};
use serde_json::Value;

/// Remembers vectors, since the same sentences are read again and again.
struct Remembering {
    inner: BertEmbedder,
    known: Mutex<HashMap<String, Vec<f32>>>,
}

#[async_trait::async_trait]
impl Embedder for Remembering {
    fn id(&self) -> String {
        self.inner.id()
    }

    fn dimension(&self) -> usize {
        self.inner.dimension()
    }

    async fn embed(&self, texts: Vec<Text>) -> Result<Vec<Vec<f32>>> {
        let missing: Vec<Text> = {
            let known = self.known.lock().map_err(|_| Error::internal("poisoned"))?;
            texts.iter().filter(|text| !known.contains_key(text.as_str())).cloned().collect()
        };
        let vectors = if missing.is_empty() { Vec::new() } else { self.inner.embed(missing.clone()).await? };
        let mut known = self.known.lock().map_err(|_| Error::internal("poisoned"))?;
        known.extend(missing.iter().map(|text| text.as_str().to_owned()).zip(vectors));
        Ok(texts.iter().map(|text| known[text.as_str()].clone()).collect())
    }
}

/// A question and how to tell the passages that hold its answer.
struct Asked {
    question: String,
    gold: Vec<String>,
}

struct DataSet {
    name: &'static str,
    documents: Vec<(String, String)>,
    questions: Vec<Asked>,
}

fn json(path: &Path) -> Result<Value> {
    let bytes = std::fs::read(path).map_err(|error| Error::file("read", path, error))?;
    serde_json::from_slice(&bytes).map_err(|error| Error::corrupt_data(error.to_string()).with_file(path))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn xquad(data: &Path, file: &str, name: &'static str) -> Result<DataSet> {
    let root = json(&data.join("xquad").join(file))?;
    let mut set = DataSet { name, documents: Vec::new(), questions: Vec::new() };
    for paragraph in list(&root["data"]).iter().flat_map(|article| list(&article["paragraphs"])) {
        let context = text(&paragraph["context"]);
        for question in list(&paragraph["qas"]) {
            set.questions.push(Asked { question: text(&question["question"]), gold: vec![context.clone()] });
        }
        set.documents.push((format!("p{}.txt", set.documents.len()), context));
    }
    Ok(set)
}

fn hotpotqa(data: &Path) -> Result<DataSet> {
    let mut passages = BTreeMap::new();
    let corpus = json(&data.join("hotpotqa/train100_corpus.json"))?;
    for (title, sentences) in corpus.as_object().into_iter().flatten() {
        let body: String = list(sentences).iter().map(text).collect();
        passages.insert(title.clone(), format!("{title}\n{body}"));
    }
    let questions = list(&json(&data.join("hotpotqa/train100_qa.json"))?)
        .iter()
        .map(|entry| Asked {
            question: text(&entry["question"]),
            gold: list(&entry["supporting_facts"])
                .iter()
                .filter_map(|fact| passages.get(&text(&fact[0])).cloned())
                .collect(),
        })
        .collect();
    let documents = passages.into_values().enumerate().map(|(index, body)| (format!("h{index}.txt"), body)).collect();
    Ok(DataSet { name: "hotpotqa", documents, questions })
}

fn musique(data: &Path) -> Result<DataSet> {
    let body = |value: &Value, key: &str| format!("{}\n{}", text(&value["title"]), text(&value[key]));
    let corpus = json(&data.join("musique/train100_corpus.json"))?;
    let documents =
        list(&corpus).iter().enumerate().map(|(index, value)| (format!("m{index}.txt"), body(value, "text")));
    let questions = list(&json(&data.join("musique/train100_qa.json"))?)
        .iter()
        .map(|entry| {
            let supporting = list(&entry["paragraphs"]).iter().filter(|paragraph| paragraph["is_supporting"] == true);
            let gold = supporting.map(|paragraph| body(paragraph, "paragraph_text")).collect();
            Asked { question: text(&entry["question"]), gold }
        })
        .collect();
    Ok(DataSet { name: "musique", documents: documents.collect(), questions })
}

/// The fields of one comma-separated file, quotes undone.
fn csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            '\r' if !quoted => {}
            other => field.push(other),
        }
    }
    rows
}

fn chunking_eval(data: &Path) -> Result<Vec<DataSet>> {
    let folder = data.join("chunking_eval");
    let path = folder.join("questions_df.csv");
    let table = std::fs::read_to_string(&path).map_err(|error| Error::file("read", &path, error))?;
    let mut sets = Vec::new();
    for name in ["state_of_the_union", "wikitexts", "chatlogs", "pubmed", "finance"] {
        let path = folder.join(format!("{name}.md"));
        let body = std::fs::read_to_string(&path).map_err(|error| Error::file("read", &path, error))?;
        let mut questions = Vec::new();
        for row in csv(&table).iter().filter(|row| row.get(2).is_some_and(|corpus| corpus == name)) {
            let references: Value = serde_json::from_str(&row[1]).unwrap_or_default();
            let gold = list(&references).iter().map(|reference| text(&reference["content"])).collect();
            questions.push(Asked { question: row[0].clone(), gold });
        }
        sets.push(DataSet { name, documents: vec![(format!("{name}.md"), body)], questions });
    }
    Ok(sets)
}

/// Whether a passage shares text with what holds the answer.
fn holds(hit: &Hit, gold: &str) -> bool {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (passage, gold) = (squeeze(&hit.text), squeeze(gold));
    if passage.contains(&gold) || gold.contains(&passage) {
        return true;
    }
    // A passage may begin or end inside the gold text.
    let start = gold.chars().take(60).collect::<String>();
    let end: String = gold.chars().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect();
    passage.contains(&start) || passage.contains(&end)
}

fn auroc(positive: &[f64], negative: &[f64]) -> f64 {
    let mut sum = 0.0;
    for p in positive {
        for n in negative {
            sum += if p > n {
                1.0
            } else if p == n {
                0.5
            } else {
                0.0
            };
        }
    }
    sum / (positive.len() * negative.len()).max(1) as f64
}

fn features(evidence: &Evidence) -> String {
    let number = |value: Option<f32>| value.map_or(f64::NAN, f64::from);
    [
        number(evidence.nearest_passage),
        number(evidence.nearest_sentence),
        evidence.passage_coverage,
        evidence.sentence_coverage,
        evidence.unknown,
        evidence.lexical_lead,
        f64::from(u8::from(evidence.agreement)),
        evidence.joint_coverage,
        evidence.matched,
    ]
    .map(|value| format!("{value:.5}"))
    .join("\t")
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [data, model, ..] = arguments.as_slice() else {
        return Err(Error::invalid_argument(
            "usage: refusal_curve DATA_DIR MODEL_DIR|none [QUESTIONS_PER_SET] [FEATURES.tsv]",
        ));
    };
    let per_set: usize = arguments.get(2).and_then(|number| number.parse().ok()).unwrap_or(60);
    let data = Path::new(data);
    let embedder: Option<Arc<dyn Embedder>> = match model.as_str() {
        "none" => None,
        dir => Some(Arc::new(Remembering { inner: BertEmbedder::open(dir).await?, known: Mutex::default() })),
    };
    let mut sets = vec![xquad(data, "xquad.en.json", "xquad-en")?, hotpotqa(data)?, musique(data)?];
    sets.extend(chunking_eval(data)?);
    for set in &mut sets {
        let step = (set.questions.len() / per_set).max(1);
        let mut place = 0;
        set.questions.retain(|_| {
            place += 1;
            (place - 1) % step == 0
        });
        set.questions.truncate(per_set);
    }
    let mut table = String::new();
    println!(
        "set\tquestions\tAUROC gold removed\tAUROC other topic\tanswered\trefused (gold removed)\trefused (other topic)"
    );
    for (index, set) in sets.iter().enumerate() {
        let dir = std::env::temp_dir().join(format!("kwaainet-refusal-{}-{}", std::process::id(), set.name));
        let rag = Rag::open(&dir, RagConfig { embedder: embedder.clone(), ..RagConfig::default() }).await?;
        let folder = dir.join("documents");
        for (name, body) in &set.documents {
            kwaai_core::store::write_atomic(&folder.join(name), body.as_bytes())?;
        }
        let mut stream = rag.ingest(Source::Path(folder.clone()))?;
        while let Some(event) = stream.next().await? {
            if let Item::Value(IngestEvent::DocumentFailed { message, .. }) = event {
                println!("# {message}");
            }
        }
        std::fs::remove_dir_all(&folder).map_err(|error| Error::file("delete", &folder, error))?;
        let options = AskOptions::default();
        let (mut with, mut without, mut foreign) = (Vec::new(), Vec::new(), Vec::new());
        let mut note = |kind: &str, evidence: &Evidence, scores: &mut Vec<f64>| {
            let _ = writeln!(table, "{}\t{kind}\t{}", set.name, features(evidence));
            scores.push(evidence.support());
        };
        for asked in &set.questions {
            note("answerable", &rag.evidence(&asked.question, options, |_| true).await?, &mut with);
            let keep = |hit: &Hit| !asked.gold.iter().any(|gold| holds(hit, gold));
            note("removed", &rag.evidence(&asked.question, options, keep).await?, &mut without);
        }
        let others = sets.iter().enumerate().filter(|(other, _)| *other != index);
        for asked in others.flat_map(|(_, other)| other.questions.iter().take(per_set / 8 + 1)) {
            note("foreign", &rag.evidence(&asked.question, options, |_| true).await?, &mut foreign);
        }
        let share = |scores: &[f64], answered: bool| {
            let count = scores.iter().filter(|score| (**score >= options.min_support) == answered).count();
            count as f64 / scores.len().max(1) as f64
        };
        println!(
            "{}\t{}\t{:.3}\t{:.3}\t{:.2}\t{:.2}\t{:.2}",
            set.name,
            set.questions.len(),
            auroc(&with, &without),
            auroc(&with, &foreign),
            share(&with, true),
            share(&without, false),
            share(&foreign, false)
        );
        rag.destroy().await?;
    }
    if let Some(path) = arguments.get(3) {
        kwaai_core::store::write_atomic(Path::new(path), table.as_bytes())?;
    }
    Ok(())
}
