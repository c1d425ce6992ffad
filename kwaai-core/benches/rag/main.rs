//! What a knowledge base finds, answers and refuses, and how fast. Prints one JSON object a line.
//!
//! `rag quality SET CACHE` reads a set, `{"language", "passages": [{"name", "text"}], "questions": [{"text", "gold": [place]}]}`,
//! keeps each passage as a document, and tells for each question which it finds in each mode, and the evidence for an answer with
//! and without the passages that hold it. Vectors are kept in `CACHE`.
//!
//! `rag speed TEXTS VECTORS QUESTIONS VECTORS` keeps texts whose vectors are given, and searches them; `rag embedding TEXTS` embeds some.
//! `rag citations SET` checks true and false citations of the passages of a set, and `rag conformal` what calibration promises.

mod cache;
mod citations;
mod embedding;
mod quality;
mod speed;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    match arguments[..] {
        ["quality", set, cache] => runtime.block_on(quality::run(set.as_ref(), cache.as_ref())),
        ["speed", texts, vectors, questions, asked] => {
            runtime.block_on(speed::run(texts.as_ref(), vectors.as_ref(), questions.as_ref(), asked.as_ref()));
        }
        ["embedding", texts] => runtime.block_on(embedding::run(texts.as_ref())),
        ["citations", set] => citations::run(set.as_ref()),
        ["conformal"] => citations::conformal(),
        _ => eprintln!(
            "rag quality SET CACHE | rag speed TEXTS VECTORS QUESTIONS VECTORS | rag embedding TEXTS | rag citations SET | rag conformal"
        ),
    }
}
