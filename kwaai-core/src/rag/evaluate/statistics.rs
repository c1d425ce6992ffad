//! Means with intervals, by drawing the questions again (Efron and Tibshirani, An Introduction to the Bootstrap, 1993).

use serde::{Deserialize, Serialize};

/// So many draws.
const DRAWS: usize = 2_000;

/// A mean, and where it lies in 95 of 100 draws.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// The lower end of the interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// Of how many questions.
    pub count: usize,
}

/// The mean difference of pairs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The mean difference and its interval.
    pub mean: Mean,
    /// The share of draws that have it the other way round or none, of both sides: a paired bootstrap test. Small where it is no chance.
    pub p: f64,
}

impl Mean {
    pub(super) fn of(values: &[f64]) -> Mean {
        let draws = draws(values);
        let at = |share: f64| draws.get((share * draws.len() as f64) as usize).copied().unwrap_or_default();
        Mean { value: mean(values), low: at(0.025), high: at(0.975), count: values.len() }
    }
}

impl Difference {
    pub(super) fn of(differences: &[f64]) -> Difference {
        let draws = draws(differences);
        let share = |side: fn(f64) -> bool| draws.iter().filter(|mean| side(**mean)).count() as f64 / DRAWS as f64;
        let p = 2.0 * share(|mean| mean <= 0.0).min(share(|mean| mean >= 0.0));
        Difference { mean: Mean::of(differences), p: p.min(1.0) }
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The means of samples of the same size, drawn with replacement, in ascending order. The same values give the same draws.
fn draws(values: &[f64]) -> Vec<f64> {
    if values.is_empty() {
        return Vec::new();
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        values[((state >> 11) % values.len() as u64) as usize]
    };
    let mut means: Vec<f64> =
        (0..DRAWS).map(|_| (0..values.len()).map(|_| next()).sum::<f64>() / values.len() as f64).collect();
    means.sort_by(f64::total_cmp);
    means
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_a_mean_is_that_of_its_standard_error() {
        let values: Vec<f64> = (0..400).map(|place| f64::from(place % 2)).collect();
        let found = Mean::of(&values);
        // Two standard errors of 0.025 on both sides.
        assert!(
            (found.value - 0.5).abs() < 1e-12 && (found.low - 0.451).abs() < 0.01 && (found.high - 0.549).abs() < 0.01
        );
        assert_eq!(Mean::of(&values), found);
    }

    #[test]
    fn a_difference_that_is_always_there_is_no_chance_and_one_that_cancels_is() {
        assert_eq!(Difference::of(&[0.5; 20]).p, 0.0);
        let cancels: Vec<f64> = (0..100).map(|place| if place % 2 == 0 { 1.0 } else { -1.0 }).collect();
        assert!(Difference::of(&cancels).p > 0.5);
    }
}
