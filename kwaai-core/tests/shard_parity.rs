//! Logits against Hugging Face transformers: golden files of random models, written by `tests/parity/make_golden.py` and
//! `tests/parity/make_gguf.py`. `KWAAI_GOLDEN` names another directory of such files, for example one that was written just
//! now.

use std::path::PathBuf;

use candle_core::{Device, Tensor};
use kwaai_core::shard::weights::{Parts, Weights};
use kwaai_core::shard::{Family, Llama, LoadOptions, ModelConfig, Route, ShardEngine, Span};
use safetensors::SafeTensors;
use serde_json::Value;

/// What the issue allows, for logits of any size; ours are far below.
const TOLERANCE: f32 = 1e-3;
/// Hidden states between blocks, for a root mean square of 1.
const BLOCK_TOLERANCE: f32 = 1e-4;

/// Directories with a golden file, and what is in them.
fn golden_models(holding: &str) -> Vec<PathBuf> {
    let committed = std::env::current_dir().unwrap().join("../tests/parity/golden");
    let root = std::env::var_os("KWAAI_GOLDEN").map_or(committed, PathBuf::from);
    let mut models: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    models.retain(|path| path.join("golden.safetensors").exists() && path.join(holding).exists());
    models.sort();
    models
}

fn rows(tensors: &SafeTensors, name: &str) -> Option<Vec<Vec<f32>>> {
    let tensor = tensors.tensor(name).ok()?;
    let values: Vec<f32> =
        tensor.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    Some(values.chunks_exact(tensor.shape()[1]).map(<[f32]>::to_vec).collect())
}

fn numbers(tensors: &SafeTensors, name: &str) -> Option<Vec<u32>> {
    let bytes = tensors.tensor(name).ok()?.data().to_vec();
    Some(bytes.chunks_exact(4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap())).collect())
}

/// Those rows of ours that the golden file has kept.
fn kept(golden: &SafeTensors, ours: Vec<Vec<f32>>) -> Vec<Vec<f32>> {
    match numbers(golden, "rows") {
        None => ours,
        Some(places) => places.into_iter().map(|place| ours[place as usize].clone()).collect(),
    }
}

fn largest_difference(ours: &[Vec<f32>], theirs: &[Vec<f32>]) -> f32 {
    assert_eq!((ours.len(), ours[0].len()), (theirs.len(), theirs[0].len()));
    let pairs = ours.iter().flatten().zip(theirs.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn best(row: &[f32]) -> usize {
    (0..row.len()).max_by(|one, other| row[*one].total_cmp(&row[*other])).unwrap()
}

/// Compares the logits of a model with its golden file; returns how many positions were compared.
async fn logits_equal(dir: &std::path::Path, model: &std::path::Path) -> (Family, usize) {
    let bytes = std::fs::read(dir.join("golden.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&bytes).unwrap();
    let engine = ShardEngine::local();
    let model = engine.load(model, LoadOptions::default()).await.unwrap();
    let logits = engine.logits(&model, &numbers(&golden, "tokens").unwrap(), Route::Local).await.unwrap();
    let (ours, theirs) = (kept(&golden, logits), rows(&golden, "logits").unwrap());
    let difference = largest_difference(&ours, &theirs);
    let name = dir.file_name().unwrap().display();
    println!("{name}: logits differ by at most {difference:e}");
    assert!(difference <= TOLERANCE, "{name}: {difference}");
    for (place, (one, other)) in ours.iter().zip(&theirs).enumerate() {
        let (chosen, theirs_best) = (best(one), best(other));
        // Two that lie nearer than the arithmetic is exact have no order.
        let tied = (other[theirs_best] - other[chosen]).abs() <= 2.0 * difference;
        assert!(chosen == theirs_best || tied, "{name}: another token is best at row {place}");
    }
    (model.config().family, ours.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn logits_equal_those_of_transformers() {
    let mut compared = std::collections::HashMap::new();
    for dir in golden_models("config.json") {
        let (family, positions) = logits_equal(&dir, &dir).await;
        *compared.entry(family).or_insert(0) += positions;
    }
    for family in Family::ALL {
        assert!(compared[&family] >= 150, "{family:?}: {} positions", compared[&family]);
    }
}

#[test]
fn hidden_states_between_blocks_equal_those_of_transformers() {
    for dir in golden_models("config.json") {
        let bytes = std::fs::read(dir.join("golden.safetensors")).unwrap();
        let golden = SafeTensors::deserialize(&bytes).unwrap();
        let config = ModelConfig::load(&dir.join("config.json")).unwrap();
        let parts = Parts { blocks: 0..config.blocks, ends: true };
        let weights = Weights::open(&dir).unwrap().load(&config, &parts).unwrap();
        let model = Llama::new(&config, &weights).unwrap();
        let tokens = Tensor::new(numbers(&golden, "tokens").unwrap(), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let mut hidden = model.ends.embed(&tokens).unwrap();
        for block in 0..config.blocks {
            let theirs = rows(&golden, &format!("before_block.{block}")).unwrap();
            let ours = kept(&golden, hidden.squeeze(0).unwrap().to_vec2::<f32>().unwrap());
            let squares: f32 = theirs.iter().flatten().map(|value| value * value).sum();
            let scale = (squares / (theirs.len() * theirs[0].len()) as f32).sqrt().max(1.0);
            let difference = largest_difference(&ours, &theirs) / scale;
            assert!(difference <= BLOCK_TOLERANCE, "{} before block {block}: {difference}", dir.display());
            hidden = Span::new(&config, block..block + 1, &weights).unwrap().forward(&hidden).unwrap();
        }
    }
}

/// Only with the committed files: `make parity` writes no GGUF.
fn gguf_models() -> Vec<PathBuf> {
    let models = golden_models("model.gguf");
    assert!(std::env::var_os("KWAAI_GOLDEN").is_some() || models.len() >= 4);
    models
}

#[tokio::test(flavor = "multi_thread")]
async fn gguf_files_of_another_writer_give_the_logits_of_transformers() {
    for dir in gguf_models() {
        logits_equal(&dir, &dir.join("model.gguf")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vocabularies_in_gguf_cut_texts_as_sentencepiece_and_tiktoken_do() {
    for dir in gguf_models().into_iter().filter(|dir| dir.join("texts.json").exists()) {
        let model = ShardEngine::local().load(dir.join("model.gguf"), LoadOptions::default()).await.unwrap();
        let texts: Value = serde_json::from_slice(&std::fs::read(dir.join("texts.json")).unwrap()).unwrap();
        for entry in texts.as_array().unwrap() {
            let text = entry["text"].as_str().unwrap();
            let ids = model.tokens().unwrap().encode(text, false).unwrap();
            assert_eq!(serde_json::json!(ids), entry["ids"], "{}: {text:?}", dir.display());
            let mut decoder = model.tokens().unwrap().decoder();
            let mut shown: String = ids.iter().map(|id| decoder.push(*id).unwrap()).collect();
            shown += &decoder.finish().unwrap();
            assert_eq!(shown, model.tokens().unwrap().decode(&ids).unwrap(), "{}: {text:?}", dir.display());
        }
    }
}
