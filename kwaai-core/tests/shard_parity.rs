//! Logits against Hugging Face transformers: golden files of random models, written by `tests/parity/make_golden.py`.
//! `KWAAI_GOLDEN` names another directory of such files, for example one that was written just now.

use std::path::PathBuf;

use candle_core::{Device, Tensor};
use kwaai_core::shard::weights::{Parts, Weights};
use kwaai_core::shard::{Llama, LoadOptions, ModelConfig, Route, ShardEngine};
use safetensors::SafeTensors;

/// What the issue allows, for logits of any size; ours are far below.
const TOLERANCE: f32 = 1e-3;
/// Hidden states between blocks.
const BLOCK_TOLERANCE: f32 = 1e-4;

fn golden_models() -> Vec<PathBuf> {
    let committed = std::env::current_dir().unwrap().join("../tests/parity/golden");
    let root = std::env::var_os("KWAAI_GOLDEN").map_or(committed, PathBuf::from);
    let mut models: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    models.retain(|path| path.join("golden.safetensors").exists());
    models.sort();
    models
}

fn rows(tensors: &SafeTensors, name: &str) -> Option<Vec<Vec<f32>>> {
    let tensor = tensors.tensor(name).ok()?;
    let values: Vec<f32> =
        tensor.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect();
    Some(values.chunks_exact(tensor.shape()[1]).map(<[f32]>::to_vec).collect())
}

fn tokens(tensors: &SafeTensors) -> Vec<u32> {
    let bytes = tensors.tensor("tokens").unwrap().data().to_vec();
    bytes.chunks_exact(4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn largest_difference(ours: &[Vec<f32>], theirs: &[Vec<f32>]) -> f32 {
    assert_eq!((ours.len(), ours[0].len()), (theirs.len(), theirs[0].len()));
    let pairs = ours.iter().flatten().zip(theirs.iter().flatten());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[tokio::test(flavor = "multi_thread")]
async fn logits_equal_those_of_transformers() {
    let models = golden_models();
    assert!(models.len() >= 3);
    for dir in models {
        let bytes = std::fs::read(dir.join("golden.safetensors")).unwrap();
        let golden = SafeTensors::deserialize(&bytes).unwrap();
        let engine = ShardEngine::local();
        let model = engine.load(&dir, LoadOptions::default()).await.unwrap();
        let logits = engine.logits(&model, &tokens(&golden), Route::Local).await.unwrap();
        let difference = largest_difference(&logits, &rows(&golden, "logits").unwrap());
        println!("{}: logits differ by at most {difference:e}", dir.file_name().unwrap().display());
        assert!(difference <= TOLERANCE, "{}: {difference}", dir.display());
    }
}

#[test]
fn hidden_states_between_blocks_equal_those_of_transformers() {
    for dir in golden_models() {
        let bytes = std::fs::read(dir.join("golden.safetensors")).unwrap();
        let golden = SafeTensors::deserialize(&bytes).unwrap();
        let config = ModelConfig::load(&dir.join("config.json")).unwrap();
        let parts = Parts { blocks: 0..config.blocks, ends: true };
        let weights = Weights::open(&dir).unwrap().load(&config, &parts).unwrap();
        let model = Llama::new(&config, &weights).unwrap();
        let tokens = Tensor::new(tokens(&golden), &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let mut hidden = model.ends.embed(&tokens).unwrap();
        for block in 0..config.blocks {
            let theirs = rows(&golden, &format!("before_block.{block}")).unwrap();
            let ours = hidden.squeeze(0).unwrap().to_vec2::<f32>().unwrap();
            let difference = largest_difference(&ours, &theirs);
            assert!(difference <= BLOCK_TOLERANCE, "{} before block {block}: {difference}", dir.display());
            hidden =
                kwaai_core::shard::Span::new(&config, block..block + 1, &weights).unwrap().forward(&hidden).unwrap();
        }
    }
}
