//! A training lowers the loss and depends on nothing but its seed.

use kwaainet_models::questions::Questions;
use kwaainet_models::trainer::{Recipe, Trained, train};

fn short(seed: u64) -> Trained {
    let recipe = Recipe { seed, batch: 8, warmup: 2, max_steps: Some(8), ..Recipe::default() };
    train(&Questions::built_in().unwrap(), &recipe, |_| {}).unwrap()
}

fn bits(trained: &Trained) -> Vec<(String, Vec<u32>)> {
    let values = |variable: &candle_core::Var| variable.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let variables = trained.weights.variables.iter();
    variables.map(|(name, var)| (name.clone(), values(var).into_iter().map(f32::to_bits).collect())).collect()
}

#[test]
fn a_few_steps_lower_the_loss() {
    let losses = short(7).losses;
    assert_eq!(losses.len(), 8);
    assert!(losses[7] < losses[0] - 0.5, "{losses:?}");
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_does_not() {
    let (first, second) = (short(3), short(3));
    assert_eq!(first.losses, second.losses);
    assert_eq!(first.config, second.config);
    assert!(bits(&first) == bits(&second), "the weights differ");
    assert!(bits(&first) != bits(&short(4)), "the seed decides nothing");
}
