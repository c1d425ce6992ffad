//! The model in this repository is what its card says.

use std::path::PathBuf;

use kwaainet_models::evaluation::{REQUIRED, evaluate};
use kwaainet_models::questions::{Example, Questions};
use kwaainet_models::vocabulary::Vocabulary;
use safetensors::{Dtype, SafeTensors};

fn shipped() -> PathBuf {
    std::env::current_dir().unwrap().join("tiny-kwaai")
}

#[test]
fn it_fits_into_four_megabytes() {
    let size: u64 = std::fs::read_dir(shipped()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(size <= 4_000_000, "{size} bytes");
}

#[test]
fn it_has_one_to_two_million_weights_in_f16() {
    let bytes = std::fs::read(shipped().join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let count: usize = tensors.tensors().iter().map(|(_, tensor)| tensor.shape().iter().product::<usize>()).sum();
    assert!((1_000_000..=2_000_000).contains(&count), "{count} weights");
    assert!(tensors.tensors().iter().all(|(_, tensor)| tensor.dtype() == Dtype::F16));
    assert!(tensors.tensor("model.layers.0.self_attn.q_proj.weight").is_ok());
}

#[test]
fn its_tokenizer_is_the_one_that_the_data_gives() {
    let trained = tempfile::tempdir().unwrap();
    Vocabulary::train(&Questions::built_in().unwrap()).unwrap().save(trained.path(), 512).unwrap();
    for file in ["tokenizer.json", "tokenizer_config.json"] {
        let (made, kept) = (std::fs::read(trained.path().join(file)), std::fs::read(shipped().join(file)));
        assert!(made.unwrap() == kept.unwrap(), "{file} is stale; train the model again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_at_least_four_fifths_of_the_held_out_paraphrases() {
    let questions = Questions::built_in().unwrap();
    let score = evaluate(&shipped(), &questions, &questions.held_out).await.unwrap();
    assert!(score.share() >= REQUIRED, "{}", score.summary());
    let card = std::fs::read_to_string(shipped().join("README.md")).unwrap();
    assert!(card.contains(&score.summary()), "the card does not say: {}", score.summary());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_answers_every_question_as_the_data_asks_it() {
    let questions = Questions::built_in().unwrap();
    let asked = questions.pairs.iter().enumerate();
    let asked: Vec<Example> =
        asked.map(|(number, pair)| Example { question: pair.question.clone(), pair: number }).collect();
    let score = evaluate(&shipped(), &questions, &asked).await.unwrap();
    let wrong: Vec<&str> =
        score.answers.iter().filter(|answer| !answer.is_right()).map(|answer| answer.question.as_str()).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}
