//! The training: AdamW on the answers' tokens, over questions that are varied anew in every epoch.

use std::collections::BTreeSet;
use std::time::Instant;

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW};

use crate::Result;
use crate::augment;
use crate::batch::{Batch, Sequence};
use crate::questions::{Example, Questions, bare};
use crate::random::Random;
use crate::vocabulary::Vocabulary;
use crate::weights::{self, Weights};

/// Sequences are sorted by length within this many batches, so that little is padding.
const BATCHES_SORTED_TOGETHER: usize = 8;

/// The numbers that decide how a training goes.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Decides the first weights, the order of the questions and their variations.
    pub seed: u64,
    /// How often each question is seen.
    pub epochs: usize,
    /// Sequences per step.
    pub batch: usize,
    /// The highest learning rate; it rises linearly to it and falls as a cosine to a hundredth of it.
    pub learning_rate: f64,
    /// Steps of the rise.
    pub warmup: usize,
    /// Decay of matrices, per unit of learning rate.
    pub weight_decay: f64,
    /// The gradient is shortened to this length.
    pub clip: f64,
    /// Stops after this many steps whatever the epochs say; for short trials.
    pub max_steps: Option<usize>,
}

impl Default for Recipe {
    fn default() -> Recipe {
        Recipe {
            seed: 7,
            epochs: 16,
            batch: 16,
            learning_rate: 2e-3,
            warmup: 60,
            weight_decay: 0.05,
            clip: 1.0,
            max_steps: None,
        }
    }
}

/// What came out of a training.
pub struct Trained {
    /// The tokenizer.
    pub vocabulary: Vocabulary,
    /// The `config.json`.
    pub config: serde_json::Value,
    /// The weights, rounded to f16.
    pub weights: Weights,
    /// The loss of every step.
    pub losses: Vec<f32>,
}

/// Trains a model; `report` gets lines for a person to read.
pub fn train(questions: &Questions, recipe: &Recipe, mut report: impl FnMut(String)) -> Result<Trained> {
    let mut random = Random::new(recipe.seed);
    let vocabulary = Vocabulary::train(questions)?;
    let config = weights::config(&vocabulary)?;
    let weights = Weights::seeded(&config, &mut random)?;
    let lessons = Lessons::new(questions, &vocabulary)?;
    let steps = recipe.epochs * questions.training.len().div_ceil(recipe.batch);
    let mut optimiser = Optimiser::new(&weights, recipe)?;
    let mut losses = Vec::new();
    report(format!(
        "{} pairs, {} questions to learn from, {} paraphrases held out; {} tokens, {} parameters, {steps} steps",
        questions.pairs.len(),
        questions.training.len(),
        questions.held_out.len(),
        vocabulary.size(),
        weights.parameters()
    ));
    let begin = Instant::now();
    'training: for epoch in 1..=recipe.epochs {
        let first = losses.len();
        for batch in lessons.epoch(recipe.batch, &mut random)? {
            if recipe.max_steps.is_some_and(|limit| losses.len() >= limit) {
                break 'training;
            }
            optimiser.set_learning_rate(rate(recipe, losses.len(), steps));
            let loss = Batch::new(&batch, &vocabulary)?.loss(&weights.llama)?;
            optimiser.step(loss.backward()?)?;
            losses.push(loss.to_scalar::<f32>()?);
        }
        let mean = losses[first..].iter().sum::<f32>() / (losses.len() - first).max(1) as f32;
        let seconds = begin.elapsed().as_secs();
        if epoch % 4 == 0 || epoch == recipe.epochs {
            let right = exact(questions, &questions.held_out, &vocabulary, &weights)?;
            let (right, all) = (right.into_iter().filter(|right| *right).count(), questions.held_out.len());
            report(format!("epoch {epoch}: loss {mean:.4}, {right} of {all} held-out paraphrases right, {seconds} s"));
        } else {
            report(format!("epoch {epoch}: loss {mean:.4}, {seconds} s"));
        }
    }
    weights.round_to_f16()?;
    Ok(Trained { vocabulary, config, weights, losses })
}

/// For each example, whether greedy decoding would answer it exactly right.
pub fn exact(
    questions: &Questions,
    examples: &[Example],
    vocabulary: &Vocabulary,
    weights: &Weights,
) -> Result<Vec<bool>> {
    let mut right = Vec::new();
    for chunk in examples.chunks(64) {
        let sequences: Vec<Sequence> = chunk
            .iter()
            .map(|example| {
                Ok(Sequence {
                    prompt: vocabulary.prompt(&example.question)?,
                    answer: vocabulary.answer(&questions.pairs[example.pair].answer)?,
                })
            })
            .collect::<Result<_>>()?;
        right.extend(Batch::new(&sequences, vocabulary)?.exact(&weights.llama)?);
    }
    Ok(right)
}

fn rate(recipe: &Recipe, step: usize, steps: usize) -> f64 {
    if step < recipe.warmup {
        return recipe.learning_rate * (step + 1) as f64 / recipe.warmup as f64;
    }
    let progress = (step - recipe.warmup) as f64 / steps.saturating_sub(recipe.warmup).max(1) as f64;
    let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress.min(1.0)).cos());
    recipe.learning_rate * (0.01 + 0.99 * cosine)
}

/// The questions to learn from, and what must never be shown.
struct Lessons<'a> {
    vocabulary: &'a Vocabulary,
    examples: &'a [Example],
    answers: Vec<Vec<u32>>,
    forbidden: BTreeSet<String>,
}

impl<'a> Lessons<'a> {
    fn new(questions: &'a Questions, vocabulary: &'a Vocabulary) -> Result<Lessons<'a>> {
        Ok(Lessons {
            vocabulary,
            examples: &questions.training,
            answers: questions.pairs.iter().map(|pair| vocabulary.answer(&pair.answer)).collect::<Result<_>>()?,
            forbidden: questions.held_out.iter().map(|example| bare(&example.question)).collect(),
        })
    }

    /// A variation of a question, unless that happens to be one that is held out.
    fn ask(&self, example: &Example, random: &mut Random) -> String {
        let varied = augment::vary(&example.question, random);
        if self.forbidden.contains(&bare(&varied)) { example.question.clone() } else { varied }
    }

    /// Every question once, varied, in batches of like length and random order.
    fn epoch(&self, batch: usize, random: &mut Random) -> Result<Vec<Vec<Sequence>>> {
        let mut sequences = Vec::with_capacity(self.examples.len());
        for example in self.examples {
            let question = self.ask(example, random);
            let answer = self.answers[example.pair].clone();
            sequences.push(Sequence { prompt: self.vocabulary.prompt(&question)?, answer });
        }
        random.shuffle(&mut sequences);
        for part in sequences.chunks_mut(batch * BATCHES_SORTED_TOGETHER) {
            part.sort_by_key(Sequence::length);
        }
        let mut batches: Vec<Vec<Sequence>> = sequences.chunks(batch).map(<[Sequence]>::to_vec).collect();
        random.shuffle(&mut batches);
        Ok(batches)
    }
}

/// AdamW with clipped gradients; normalisations do not decay.
struct Optimiser {
    variables: Vec<Var>,
    matrices: AdamW,
    norms: AdamW,
    clip: f64,
}

impl Optimiser {
    fn new(weights: &Weights, recipe: &Recipe) -> Result<Optimiser> {
        let variables: Vec<Var> = weights.variables.values().cloned().collect();
        let (matrices, norms): (Vec<Var>, Vec<Var>) = variables.iter().cloned().partition(|var| var.rank() > 1);
        let decayed = ParamsAdamW {
            lr: recipe.learning_rate,
            beta2: 0.98,
            weight_decay: recipe.weight_decay,
            ..ParamsAdamW::default()
        };
        let free = ParamsAdamW { weight_decay: 0.0, ..decayed.clone() };
        Ok(Optimiser {
            variables,
            matrices: AdamW::new(matrices, decayed)?,
            norms: AdamW::new(norms, free)?,
            clip: recipe.clip,
        })
    }

    fn set_learning_rate(&mut self, rate: f64) {
        self.matrices.set_learning_rate(rate);
        self.norms.set_learning_rate(rate);
    }

    fn step(&mut self, mut gradients: GradStore) -> Result<()> {
        let mut squares = 0.0;
        for variable in &self.variables {
            let gradient: &Tensor = gradients.get(variable).ok_or("a weight has no gradient")?;
            squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
        let length = squares.sqrt();
        if !length.is_finite() {
            return Err("the training diverged: the gradient is not finite".into());
        }
        if length > self.clip {
            for variable in &self.variables {
                if let Some(gradient) = gradients.get(variable) {
                    let shortened = (gradient * (self.clip / length))?;
                    gradients.insert(variable, shortened);
                }
            }
        }
        self.matrices.step(&gradients)?;
        self.norms.step(&gradients)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_variation_happens_to_be_a_held_out_question() {
        let questions = Questions::built_in().unwrap();
        let vocabulary = Vocabulary::train(&questions).unwrap();
        let lessons = Lessons::new(&questions, &vocabulary).unwrap();
        let mut random = Random::new(1);
        let mut caught = 0;
        for example in questions.training.iter().cycle().take(20 * questions.training.len()) {
            assert!(!lessons.forbidden.contains(&bare(&lessons.ask(example, &mut random))));
            caught += usize::from(lessons.forbidden.contains(&bare(&augment::vary(&example.question, &mut random))));
        }
        assert!(caught > 0, "variations never meet a held-out question, so nothing was tested");
    }

    #[test]
    fn the_rate_rises_to_its_peak_and_falls_to_a_hundredth() {
        let recipe = Recipe { learning_rate: 1.0, warmup: 10, ..Recipe::default() };
        assert_eq!(rate(&recipe, 9, 110), 1.0);
        assert!(rate(&recipe, 4, 110) < 1.0 && rate(&recipe, 60, 110) < 1.0);
        assert!((rate(&recipe, 110, 110) - 0.01).abs() < 1e-9);
    }
}
