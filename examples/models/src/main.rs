//! `train --seed 7 --out DIR` makes the model, `evaluate --model DIR` scores one.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use kwaainet_models::Result;
use kwaainet_models::card::model_card;
use kwaainet_models::evaluation::{REQUIRED, Score, evaluate};
use kwaainet_models::questions::Questions;
use kwaainet_models::trainer::{Recipe, train};
use kwaainet_models::weights::MAX_CONTEXT;

const USAGE: &str = "usage:
  kwaainet-models train [--seed N] [--data FILE] --out DIR
      trains a model, saves it with its card, and scores it
  kwaainet-models evaluate [--data FILE] --model DIR
      asks a model every held-out paraphrase and prints what it got wrong
FILE has one JSON object per line with question, answer and paraphrases; data/questions.jsonl is built in.";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.first().map(String::as_str) {
        Some("train") => train_command(&arguments[1..]).await,
        Some("evaluate") => evaluate_command(&arguments[1..]).await,
        _ => Err(USAGE.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn train_command(arguments: &[String]) -> Result<()> {
    let [seed, data, out] = options(arguments, ["--seed", "--data", "--out"])?;
    let mut recipe = Recipe::default();
    if let Some(seed) = seed {
        recipe.seed = seed.parse().map_err(|_| format!("--seed {seed:?} is no whole number"))?;
    }
    let out = PathBuf::from(out.ok_or("--out is missing; it names the directory to write")?);
    std::fs::create_dir_all(&out).map_err(|error| format!("cannot make {}: {error}", out.display()))?;
    let questions = questions(data)?;
    let begin = Instant::now();
    let trained = train(&questions, &recipe, |line| println!("{line}"))?;
    println!("trained in {} s", begin.elapsed().as_secs());
    trained.vocabulary.save(&out, MAX_CONTEXT)?;
    trained.weights.save(&trained.config, &out)?;
    let score = evaluate(&out, &questions, &questions.held_out).await?;
    let (parameters, vocabulary) = (trained.weights.parameters(), trained.vocabulary.size());
    let card = model_card(&questions, &score, parameters, vocabulary, recipe.seed);
    std::fs::write(out.join("README.md"), card)?;
    judge(&score)
}

async fn evaluate_command(arguments: &[String]) -> Result<()> {
    let [data, model] = options(arguments, ["--data", "--model"])?;
    let model = model.ok_or("--model is missing; it names a model directory")?;
    let questions = questions(data)?;
    let score = evaluate(Path::new(&model), &questions, &questions.held_out).await?;
    for answer in score.answers.iter().filter(|answer| !answer.is_right()) {
        println!("asked:    {}\nexpected: {}\nsaid:     {}\n", answer.question, answer.expected, answer.said);
    }
    judge(&score)
}

fn questions(data: Option<String>) -> Result<Questions> {
    data.map_or_else(Questions::built_in, |file| Questions::read(Path::new(&file)))
}

fn judge(score: &Score) -> Result<()> {
    println!("{}", score.summary());
    if score.share() < REQUIRED {
        return Err(format!("a model to ship answers at least {:.0}%", 100.0 * REQUIRED).into());
    }
    Ok(())
}

/// The values of named options, each given at most once.
fn options<const N: usize>(arguments: &[String], names: [&str; N]) -> Result<[Option<String>; N]> {
    let mut values = [const { None }; N];
    for pair in arguments.chunks(2) {
        let place = names.iter().position(|name| *name == pair[0]);
        let place = place.ok_or_else(|| format!("unknown option {:?}\n{USAGE}", pair[0]))?;
        let value = pair.get(1).ok_or_else(|| format!("{} needs a value", pair[0]))?;
        if values[place].replace(value.clone()).is_some() {
            return Err(format!("{} is given twice", pair[0]).into());
        }
    }
    Ok(values)
}
