//! Picks the next token from logits, the same way for the same seed on every machine.

use std::collections::{BTreeMap, BTreeSet};

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

/// Samples tokens. The settings of a request apply in this order, each to what the one before left:
///
/// 1. what [`OutputFormat`](crate::llm::OutputFormat) does not allow is left out;
/// 2. `repetition_penalty` divides the positive logits of the tokens that prompt and answer have and multiplies the negative
///    ones (Keskar et al. 2019, arXiv 1909.05858, section 4.1);
/// 3. `frequency_penalty` times the count of a token in the answer, and `presence_penalty` once for a token that the answer has,
///    are subtracted (OpenAI's API reference);
/// 4. `logit_bias` is added;
/// 5. at temperature 0 the likeliest token is taken, and what follows has no say; otherwise logits are divided by the
///    temperature;
/// 6. the `top_k` likeliest stay (Fan, Lewis, Dauphin 2018, arXiv 1805.04833);
/// 7. of them the likeliest that together reach `top_p` (Holtzman et al. 2019, arXiv 1904.09751);
/// 8. of them those with at least `min_p` times the probability of the likeliest (Nguyen et al. 2024, arXiv 2407.01082).
///
/// From 5 on that is the order of transformers. Exponentials are computed in software, in 64 bits, so that equal logits and an
/// equal seed give the same token on every machine.
#[derive(Debug, Clone)]
pub struct Sampler {
    temperature: f64,
    top_k: usize,
    top_p: f64,
    min_p: f64,
    repetition_penalty: f32,
    frequency_penalty: f32,
    presence_penalty: f32,
    logit_bias: BTreeMap<u32, f32>,
    random: SplitMix64,
    /// The tokens of the prompt, and how often the answer has each of its own.
    prompt: BTreeSet<u32>,
    counts: BTreeMap<u32, u32>,
}

impl Sampler {
    /// A sampler for one generation.
    ///
    /// # Errors
    /// `invalid_argument` for a setting outside of its range, which the message names.
    pub fn new(request: &GenerateRequest) -> Result<Sampler> {
        let range = |name: &'static str, value: f32, fits: bool, says: &str| match fits {
            true => Ok(()),
            false => Err(Error::invalid_argument(format!("{name} is {value}; it is {says}")).with("param", name)),
        };
        let (temperature, top_p) = (request.temperature, request.top_p);
        let least = "a number from 0, which always takes the likeliest token";
        range("temperature", temperature, temperature.is_finite() && temperature >= 0.0, least)?;
        range("top_p", top_p, top_p > 0.0 && top_p <= 1.0, "above 0 and at most 1")?;
        range("min_p", request.min_p, (0.0..=1.0).contains(&request.min_p), "from 0 to 1")?;
        let repetition = request.repetition_penalty;
        range("repetition_penalty", repetition, repetition.is_finite() && repetition > 0.0, "a number above 0")?;
        for (name, value) in
            [("frequency_penalty", request.frequency_penalty), ("presence_penalty", request.presence_penalty)]
        {
            range(name, value, value.is_finite(), "a number")?;
        }
        for bias in request.logit_bias.values() {
            range("logit_bias", *bias, bias.is_finite(), "a number for each token")?;
        }
        Ok(Sampler {
            temperature: temperature.into(),
            top_k: request.top_k as usize,
            top_p: top_p.into(),
            min_p: request.min_p.into(),
            repetition_penalty: repetition,
            frequency_penalty: request.frequency_penalty,
            presence_penalty: request.presence_penalty,
            logit_bias: request.logit_bias.clone(),
            random: SplitMix64(request.seed),
            prompt: BTreeSet::new(),
            counts: BTreeMap::new(),
        })
    }

    /// Takes note of the tokens of the prompt, which the penalty on repetitions counts.
    pub fn read(&mut self, prompt: &[u32]) {
        self.prompt.extend(prompt);
    }

    /// The next token. Equal logits are ranked by token id, lowest first.
    ///
    /// # Errors
    /// `corrupt_data` for no logits, or one that is not finite.
    pub fn pick(&mut self, logits: &[f32]) -> Result<u32> {
        self.pick_of(logits, |_| true)
    }

    /// The next token of those that are allowed.
    ///
    /// # Errors
    /// As [`pick`](Self::pick); `internal` when none is allowed.
    pub fn pick_of(&mut self, logits: &[f32], allowed: impl Fn(u32) -> bool) -> Result<u32> {
        if logits.is_empty() || logits.iter().any(|logit| !logit.is_finite()) {
            return Err(Error::corrupt_data("the model computed logits that are not finite"));
        }
        let ids: Vec<u32> = (0..logits.len() as u32).filter(|id| allowed(*id)).collect();
        if ids.is_empty() {
            return Err(Error::internal("no token is allowed here"));
        }
        let token = match self.adjusted(logits) {
            Some(adjusted) => self.draw(&adjusted, ids),
            None => self.draw(logits, ids),
        };
        *self.counts.entry(token).or_default() += 1;
        Ok(token)
    }

    /// The logits after penalties and biases, if there are any.
    fn adjusted(&self, logits: &[f32]) -> Option<Vec<f32>> {
        let penalties = self.frequency_penalty != 0.0 || self.presence_penalty != 0.0;
        if self.repetition_penalty == 1.0 && !penalties && self.logit_bias.is_empty() {
            return None;
        }
        let mut logits = logits.to_vec();
        if self.repetition_penalty != 1.0 {
            for id in self.prompt.iter().chain(self.counts.keys().filter(|id| !self.prompt.contains(*id))) {
                if let Some(logit) = logits.get_mut(*id as usize) {
                    *logit =
                        if *logit > 0.0 { *logit / self.repetition_penalty } else { *logit * self.repetition_penalty };
                }
            }
        }
        for (id, count) in &self.counts {
            if let Some(logit) = logits.get_mut(*id as usize) {
                *logit -= *count as f32 * self.frequency_penalty + self.presence_penalty;
            }
        }
        for (id, bias) in &self.logit_bias {
            if let Some(logit) = logits.get_mut(*id as usize) {
                *logit += bias;
            }
        }
        Some(logits)
    }

    fn draw(&mut self, logits: &[f32], mut ranked: Vec<u32>) -> u32 {
        let likelier = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
        if self.temperature == 0.0 {
            return ranked.into_iter().min_by(likelier).unwrap_or_default();
        }
        if self.top_k > 0 && self.top_k < ranked.len() {
            ranked.select_nth_unstable_by(self.top_k - 1, likelier);
            ranked.truncate(self.top_k);
        }
        ranked.sort_unstable_by(likelier);
        let highest = f64::from(logits[ranked[0] as usize]);
        let weight = |id: &u32| libm::exp((f64::from(logits[*id as usize]) - highest) / self.temperature);
        let mut weights: Vec<f64> = ranked.iter().map(weight).collect();
        if self.top_p < 1.0 {
            let goal = self.top_p * weights.iter().sum::<f64>();
            let mut sum = 0.0;
            let kept = weights.iter().take_while(|weight| {
                let wanted = sum < goal;
                sum += **weight;
                wanted
            });
            let kept = kept.count().max(1);
            weights.truncate(kept);
        }
        // The likeliest has the weight 1.
        let kept = weights.iter().take_while(|weight| **weight >= self.min_p).count().max(1);
        weights.truncate(kept);
        let mut left = self.random.unit() * weights.iter().sum::<f64>();
        for (id, weight) in ranked.iter().zip(&weights) {
            left -= weight;
            if left < 0.0 {
                return *id;
            }
        }
        // Rounding may leave a hair's breadth after the last one.
        ranked[weights.len() - 1]
    }
}

/// The log-probability of a token, and the `top` likeliest tokens with theirs, as the model computed them: `ln softmax`, before
/// any setting. Equals are ranked by token id.
pub fn logprobs(logits: &[f32], token: u32, top: usize) -> (f32, Vec<(u32, f32)>) {
    let highest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = logits.iter().map(|logit| libm::exp(f64::from(*logit) - f64::from(highest))).sum();
    let all = f64::from(highest) + libm::log(sum);
    let logprob = |id: u32| logits.get(id as usize).map_or(f32::NEG_INFINITY, |logit| (f64::from(*logit) - all) as f32);
    let likelier = |a: &u32, b: &u32| logits[*b as usize].total_cmp(&logits[*a as usize]).then(a.cmp(b));
    let mut ranked: Vec<u32> = (0..logits.len() as u32).collect();
    let top = top.min(ranked.len());
    if top > 0 && top < ranked.len() {
        ranked.select_nth_unstable_by(top - 1, likelier);
    }
    ranked.truncate(top);
    ranked.sort_unstable_by(likelier);
    (logprob(token), ranked.into_iter().map(|id| (id, logprob(id))).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ErrorCode;

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

    /// The tokens that can come and their probabilities, worked out from the definitions alone: dense vectors, no partial sorting,
    /// each rule by itself.
    fn reference(logits: &[f64], request: &GenerateRequest, prompt: &[u32], answer: &[u32]) -> Vec<f64> {
        let mut logits = logits.to_vec();
        for (id, logit) in logits.iter_mut().enumerate() {
            let id = id as u32;
            let count = answer.iter().filter(|token| **token == id).count();
            if prompt.contains(&id) || count > 0 {
                let penalty = f64::from(request.repetition_penalty);
                *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
            }
            *logit -= count as f64 * f64::from(request.frequency_penalty);
            *logit -= if count > 0 { f64::from(request.presence_penalty) } else { 0.0 };
            *logit += request.logit_bias.get(&id).map_or(0.0, |bias| f64::from(*bias));
        }
        let exponentials: Vec<f64> =
            logits.iter().map(|logit| (logit / f64::from(request.temperature)).exp()).collect();
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|a, b| exponentials[*b].total_cmp(&exponentials[*a]).then(a.cmp(b)));
        if request.top_k > 0 {
            order.truncate(request.top_k as usize);
        }
        let share =
            |order: &[usize], id: usize| exponentials[id] / order.iter().map(|id| exponentials[*id]).sum::<f64>();
        let among = order.clone();
        let mut before = 0.0;
        order.retain(|id| {
            let stays = before < f64::from(request.top_p);
            before += share(&among, *id);
            stays
        });
        let among = order.clone();
        order.retain(|id| share(&among, *id) >= f64::from(request.min_p) * share(&among, among[0]) * (1.0 - 1e-12));
        let mut probabilities = vec![0.0; logits.len()];
        for id in &order {
            probabilities[*id] = share(&order, *id);
        }
        probabilities
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
        #[test]
        fn every_setting_gives_the_probabilities_that_its_definition_says(
            logits in proptest::collection::vec(-6.0f32..6.0, 2..24),
            temperature in 0.2f32..2.0,
            top_k in 0u32..12,
            top_p in 0.2f32..1.0,
            min_p in 0.0f32..0.4,
            penalties in (0.5f32..2.0, -1.0f32..2.0, -1.0f32..2.0),
            bias in -4.0f32..4.0,
            seed in any::<u64>(),
        ) {
            let request = GenerateRequest {
                temperature, top_k, top_p, min_p, seed,
                repetition_penalty: penalties.0,
                frequency_penalty: penalties.1,
                presence_penalty: penalties.2,
                logit_bias: [(1, bias), (9999, 1.0)].into(),
                ..GenerateRequest::default()
            };
            let prompt = [0, 7, 7];
            let dense: Vec<f64> = logits.iter().map(|logit| f64::from(*logit)).collect();
            let mut sampler = Sampler::new(&request).unwrap();
            sampler.read(&prompt);
            let mut answer = Vec::new();
            for _ in 0..3 {
                let probabilities = reference(&dense, &request, &prompt, &answer);
                let mut seen = vec![0u32; logits.len()];
                for draw in 0..3000u64 {
                    let mut fresh = sampler.clone();
                    fresh.random = SplitMix64(draw.wrapping_mul(0x2545_f491_4f6c_dd1d));
                    seen[fresh.pick(&logits).unwrap() as usize] += 1;
                }
                for (count, probability) in seen.into_iter().zip(&probabilities) {
                    let share = f64::from(count) / 3000.0;
                    prop_assert!((share - probability).abs() < 0.05, "{share} for {probability}");
                    prop_assert!(*probability > 0.0 || count == 0);
                }
                answer.push(sampler.pick(&logits).unwrap());
            }
        }
    }

    #[test]
    fn penalties_and_biases_also_decide_greedily() {
        let request = GenerateRequest { frequency_penalty: 1.0, ..GenerateRequest::default() };
        let mut often = Sampler::new(&request).unwrap();
        let tokens: Vec<u32> = (0..5).map(|_| often.pick(&[3.0, 2.5, 0.0]).unwrap()).collect();
        // 3, 2.5 | 2, 2.5 | 2, 1.5 | 1, 1.5 | 1, 0.5
        assert_eq!(tokens, [0, 1, 0, 1, 0]);
        let request = GenerateRequest { presence_penalty: 1.0, ..GenerateRequest::default() };
        let mut once = Sampler::new(&request).unwrap();
        let tokens: Vec<u32> = (0..4).map(|_| once.pick(&[3.0, 2.5, 0.0]).unwrap()).collect();
        assert_eq!(tokens, [0, 1, 0, 0]);
        let request = GenerateRequest { repetition_penalty: 2.0, ..GenerateRequest::default() };
        let mut read = Sampler::new(&request).unwrap();
        read.read(&[0]);
        assert_eq!(read.pick(&[3.0, 2.5, 0.0]).unwrap(), 1);
        let mut negative = Sampler::new(&request).unwrap();
        negative.read(&[0]);
        assert_eq!(negative.pick(&[-1.0, -1.5]).unwrap(), 1);
        let request = GenerateRequest { logit_bias: [(2, 5.0)].into(), ..GenerateRequest::default() };
        assert_eq!(Sampler::new(&request).unwrap().pick(&[3.0, 2.5, 0.0]).unwrap(), 2);
    }

    #[test]
    fn what_is_not_allowed_never_comes_however_likely() {
        let mut warm = sampler(1.0, 0, 1.0, 3);
        assert!((0..200).all(|_| warm.pick_of(&[9.0, 0.0, 1.0], |id| id != 0).unwrap() != 0));
        assert_eq!(sampler(0.0, 0, 1.0, 3).pick_of(&[9.0, 0.0, 1.0], |id| id != 0).unwrap(), 2);
        assert_eq!(sampler(1.0, 1, 1.0, 3).pick_of(&[9.0, 0.0, 1.0], |id| id != 0).unwrap(), 2);
        let error = sampler(1.0, 1, 1.0, 3).pick_of(&[9.0], |_| false).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Internal);
    }

    #[test]
    fn logprobs_are_the_logarithms_of_the_softmax() {
        // numpy: x - np.log(np.exp(x).sum()) of [1, 2, 3, 3]
        let (chosen, top) = logprobs(&[1.0, 2.0, 3.0, 3.0], 1, 3);
        assert!((chosen - -1.917_575_8).abs() < 1e-6, "{chosen}");
        assert_eq!(top.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [2, 3, 1]);
        assert!((top[0].1 - -0.917_575_8).abs() < 1e-6 && top[0].1 == top[1].1 && top[2].1 == chosen);
        assert!(logprobs(&[1.0, 2.0], 0, 0).1.is_empty());
        assert_eq!(logprobs(&[1.0, 2.0], 0, 9).1.len(), 2);
        // Far apart, nothing overflows.
        assert_eq!(logprobs(&[-3.0e38, 3.0e38], 1, 1), (0.0, vec![(1, 0.0)]));
    }

    /// What a seed gives is part of the interface: a text that was made once can be made again.
    #[test]
    fn a_seed_gives_the_same_tokens_on_every_machine() {
        let logits: Vec<f32> = (0..64).map(|id| ((id * 37) % 64) as f32 / 11.0).collect();
        let mut sampler = Sampler::new(&GenerateRequest {
            temperature: 0.8,
            top_k: 40,
            top_p: 0.95,
            min_p: 0.02,
            repetition_penalty: 1.1,
            seed: 2024,
            ..GenerateRequest::default()
        })
        .unwrap();
        let tokens: Vec<u32> = (0..12).map(|_| sampler.pick(&logits).unwrap()).collect();
        // What a script of the same rules in Python's floats drew.
        assert_eq!(tokens, [24, 19, 31, 57, 29, 62, 12, 17, 50, 12, 12, 3]);
    }

    #[test]
    fn values_outside_their_range_are_refused() {
        let with = |temperature, top_p| {
            Sampler::new(&GenerateRequest { temperature, top_p, ..GenerateRequest::default() }).is_err()
        };
        assert!(with(-1.0, 1.0) && with(f32::NAN, 1.0) && with(1.0, 0.0) && with(1.0, 1.5) && with(1.0, f32::NAN));
        let usual = GenerateRequest::default;
        for (request, param) in [
            (GenerateRequest { min_p: 1.5, ..usual() }, "min_p"),
            (GenerateRequest { repetition_penalty: 0.0, ..usual() }, "repetition_penalty"),
            (GenerateRequest { frequency_penalty: f32::NAN, ..usual() }, "frequency_penalty"),
            (GenerateRequest { presence_penalty: f32::INFINITY, ..usual() }, "presence_penalty"),
            (GenerateRequest { logit_bias: [(3, f32::NAN)].into(), ..usual() }, "logit_bias"),
        ] {
            assert_eq!(Sampler::new(&request).unwrap_err().context()["param"], param);
        }
        assert!(sampler(0.0, 0, 1.0, 0).pick(&[1.0, f32::NAN]).is_err());
        assert!(sampler(0.0, 0, 1.0, 0).pick(&[]).is_err());
    }
}
