//! Picks the next token from logits, the same way for the same seed on every machine.

use crate::llm::GenerateRequest;
use crate::{Error, Result};

/// SplitMix64 (Steele, Lea, Flood 2014): its sequence is fixed for ever, which a library's default generator is not.
#[derive(Debug, Clone)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `[0, 1)`, with 53 bits.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Temperature, then the `top_k` likeliest, then the likeliest that together reach `top_p`.
#[derive(Debug, Clone)]
pub struct Sampler {
    temperature: f64,
    top_k: usize,
    top_p: f64,
    random: SplitMix64,
}

impl Sampler {
    /// A sampler for one generation.
    ///
    /// # Errors
    /// `invalid_argument` for a negative or infinite temperature, or a `top_p` outside of (0, 1].
    pub fn new(request: &GenerateRequest) -> Result<Sampler> {
        if !request.temperature.is_finite() || request.temperature < 0.0 {
            return Err(Error::invalid_argument(format!(
                "temperature is {}; it is a number from 0, which always takes the likeliest token",
                request.temperature
            )));
        }
        if !(request.top_p > 0.0 && request.top_p <= 1.0) {
            return Err(Error::invalid_argument(format!("top_p is {}; it is above 0 and at most 1", request.top_p)));
        }
        Ok(Sampler {
            temperature: request.temperature.into(),
            top_k: request.top_k as usize,
            top_p: request.top_p.into(),
            random: SplitMix64(request.seed),
        })
    }

    /// The next token. Equal logits are ranked by token id, lowest first.
    ///
    /// # Errors
    /// `corrupt_data` for no logits, or one that is not finite.
    pub fn pick(&mut self, logits: &[f32]) -> Result<u32> {
        if logits.is_empty() || logits.iter().any(|logit| !logit.is_finite()) {
            return Err(Error::corrupt_data("the model computed logits that are not finite"));
        }
        let likelier = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
        let ids = 0..logits.len() as u32;
        if self.temperature == 0.0 {
            return Ok(ids.min_by(likelier).unwrap_or_default());
        }
        let mut ranked: Vec<u32> = ids.collect();
        if self.top_k > 0 && self.top_k < ranked.len() {
            ranked.select_nth_unstable_by(self.top_k - 1, likelier);
            ranked.truncate(self.top_k);
        }
        ranked.sort_unstable_by(likelier);
        let highest = f64::from(logits[ranked[0] as usize]);
        let weight = |id: &u32| ((f64::from(logits[*id as usize]) - highest) / self.temperature).exp();
        let mut weights: Vec<f64> = ranked.iter().map(weight).collect();
        let mut total: f64 = weights.iter().sum();
        if self.top_p < 1.0 {
            let goal = self.top_p * total;
            let mut sum = 0.0;
            let kept = weights.iter().take_while(|weight| {
                let wanted = sum < goal;
                sum += **weight;
                wanted
            });
            let kept = kept.count().max(1);
            weights.truncate(kept);
            total = weights.iter().sum();
        }
        let mut left = self.random.unit() * total;
        for (id, weight) in ranked.iter().zip(&weights) {
            left -= weight;
            if left < 0.0 {
                return Ok(*id);
            }
        }
        // Rounding may leave a hair's breadth after the last one.
        Ok(ranked[weights.len() - 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(temperature: f32, top_k: u32, top_p: f32, seed: u64) -> Sampler {
        Sampler::new(&GenerateRequest { temperature, top_k, top_p, seed, ..GenerateRequest::default() }).unwrap()
    }

    #[test]
    fn greedy_takes_the_likeliest_and_of_equals_the_first() {
        assert_eq!(sampler(0.0, 0, 1.0, 7).pick(&[1.0, 3.0, 3.0, -2.0]).unwrap(), 1);
    }

    #[test]
    fn the_sequence_of_the_generator_is_the_published_one() {
        let mut random = SplitMix64(1234567);
        assert_eq!([random.next(), random.next()], [6457827717110365317, 3203168211198807973]);
    }

    #[test]
    fn a_seed_repeats_and_another_seed_does_not() {
        let logits: Vec<f32> = (0..50).map(|i| (i as f32 * 0.7).sin()).collect();
        let run = |seed| {
            let mut sampler = sampler(1.0, 0, 1.0, seed);
            (0..40).map(|_| sampler.pick(&logits).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(run(5), run(5));
        assert_ne!(run(5), run(6));
    }

    #[test]
    fn frequencies_follow_the_probabilities() {
        let logits = [0.1f32, 0.2, 0.3, 0.4].map(f32::ln);
        let mut counts = [0u32; 4];
        let mut sampler = sampler(1.0, 0, 1.0, 1);
        for _ in 0..20_000 {
            counts[sampler.pick(&logits).unwrap() as usize] += 1;
        }
        for (count, share) in counts.into_iter().zip([0.1, 0.2, 0.3, 0.4]) {
            assert!((f64::from(count) / 20_000.0 - share).abs() < 0.015, "{counts:?}");
        }
    }

    #[test]
    fn top_k_and_top_p_leave_only_the_likeliest() {
        let logits = [0.1f32, 0.2, 0.3, 0.4].map(f32::ln);
        let seen = |mut sampler: Sampler| {
            let mut ids: Vec<u32> = (0..500).map(|_| sampler.pick(&logits).unwrap()).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        assert_eq!(seen(sampler(1.0, 2, 1.0, 3)), [2, 3]);
        assert_eq!(seen(sampler(1.0, 0, 0.65, 3)), [2, 3]);
        assert_eq!(seen(sampler(1.0, 0, 0.1, 3)), [3]);
        assert_eq!(seen(sampler(1.0, 0, 1.0, 3)), [0, 1, 2, 3]);
    }

    #[test]
    fn values_outside_their_range_are_refused() {
        let with = |temperature, top_p| {
            Sampler::new(&GenerateRequest { temperature, top_p, ..GenerateRequest::default() }).is_err()
        };
        assert!(with(-1.0, 1.0) && with(f32::NAN, 1.0) && with(1.0, 0.0) && with(1.0, 1.5) && with(1.0, f32::NAN));
        assert!(sampler(0.0, 0, 1.0, 0).pick(&[1.0, f32::NAN]).is_err());
        assert!(sampler(0.0, 0, 1.0, 0).pick(&[]).is_err());
    }
}
