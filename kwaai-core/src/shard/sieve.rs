//! How large the states after a block have been so far, as a sieve for answers that nobody can have meant.
//!
//! Honest states differ widely: in many models the first token's are a thousand times larger than others', in a few dimensions.
//! What is far larger than anything before it is noticed all the same. What stays within is not: a sieve proves nothing.

use super::wire::Hidden;

/// A state this many times larger than any before it is out of range.
const FARTHEST: f64 = 64.0;
/// No value of an honest state is larger, from the first step on.
const LARGEST: f32 = 1e7;

/// The largest root mean square of a token's state so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sieve {
    largest: f64,
}

impl Sieve {
    /// Whether the states after a block are no larger than those before them let expect, and none that was something before
    /// the block is zero throughout after it: a block adds to what it reads.
    pub fn fits(&self, before: &Hidden, after: &Hidden) -> bool {
        let limit = if self.largest > 0.0 { self.largest * FARTHEST } else { f64::INFINITY };
        after.values.iter().all(|value| value.abs() <= LARGEST)
            && sizes(before).zip(sizes(after)).all(|(before, after)| after <= limit && (after > 0.0 || before == 0.0))
    }

    /// Takes note of states that were accepted.
    pub fn learn(&mut self, hidden: &Hidden) {
        self.largest = sizes(hidden).fold(self.largest, f64::max);
    }
}

fn sizes(hidden: &Hidden) -> impl Iterator<Item = f64> {
    let size = hidden.size.max(1) as usize;
    hidden.values.chunks(size).map(move |state| {
        let squares: f64 = state.iter().map(|value| f64::from(*value) * f64::from(*value)).sum();
        (squares / size as f64).sqrt()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(values: &[f32]) -> Hidden {
        Hidden { tokens: values.len() as u32 / 2, size: 2, values: values.to_vec() }
    }

    #[test]
    fn what_is_far_larger_than_before_or_nothing_at_all_does_not_fit() {
        let mut sieve = Sieve::default();
        let fits = |sieve: &Sieve, values: &[f32]| sieve.fits(&states(&vec![0.5; values.len()]), &states(values));
        assert!(fits(&sieve, &[3000.0, 0.1]), "nothing is known before the first step");
        assert!(!fits(&sieve, &[1.0, 2e7]) && !fits(&sieve, &[1.0, 1.0, 0.0, 0.0]));
        assert!(sieve.fits(&states(&[0.0, 0.0]), &states(&[0.0, 0.0])), "nothing became of nothing");
        sieve.learn(&states(&[1.0, 1.0, 0.01, 0.01]));
        assert!(fits(&sieve, &[-63.0, 63.0, 1e-6, 0.0]), "small ones are common");
        assert!(!fits(&sieve, &[1.0, 1.0, 92.0, 0.0]));
        sieve.learn(&states(&[2.0, 2.0]));
        assert!(fits(&sieve, &[1.0, 1.0, 92.0, 0.0]));
    }
}
