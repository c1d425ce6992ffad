//! Collections with their hosts, and vectors from seeds.

use kwaai_core::vpk::plain::PlainOwner;
use kwaai_core::vpk::seal::{SealHost, SealOwner};
use kwaai_core::vpk::split::SplitOwner;
use kwaai_core::vpk::{CollectionKey, FieldHost, Host, Metric, Mode, Owner, Scores, SegmentStamp, Step};

/// Xorshift64*: vectors must be the same on every run.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Nearly normal: the sum of twelve uniform numbers.
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| (self.next() >> 40) as f32 / (1u64 << 24) as f32).sum::<f32>() - 6.0
    }

    pub fn vector(&mut self, dimension: usize) -> Vec<f32> {
        (0..dimension).map(|_| self.normal()).collect()
    }

    /// Around a few centres and of very different lengths, as embeddings that nobody normalised.
    pub fn corpus(&mut self, count: usize, dimension: usize) -> Vec<Vec<f32>> {
        let centres: Vec<Vec<f32>> = (0..count / 20 + 1).map(|_| self.vector(dimension)).collect();
        (0..count)
            .map(|at| {
                let length = 10f32.powf(self.normal());
                let centre = &centres[at % centres.len()];
                centre.iter().map(|value| (value + self.normal()) * length).collect()
            })
            .collect()
    }
}

pub struct World {
    pub owner: Box<dyn Owner>,
    pub hosts: Vec<Box<dyn Host>>,
    pub segments: Vec<SegmentStamp>,
}

impl World {
    pub fn new(mode: Mode, dimension: usize) -> World {
        let key = CollectionKey::generate().unwrap();
        let owner: Box<dyn Owner> = match mode {
            Mode::Seal => Box::new(SealOwner::new(&key, dimension, Metric::Cosine).unwrap()),
            Mode::Split => Box::new(SplitOwner::new(&key, dimension, Metric::Cosine, 5, 1).unwrap()),
            _ => Box::new(PlainOwner::new(dimension, Metric::Cosine).unwrap()),
        };
        let mut hosts: Vec<Box<dyn Host>> = (0..owner.hosts())
            .map(|_| -> Box<dyn Host> {
                match mode {
                    Mode::Seal => Box::new(SealHost::new(dimension).unwrap()),
                    Mode::Split => Box::new(FieldHost::split(dimension).unwrap()),
                    _ => Box::new(FieldHost::plain(dimension).unwrap()),
                }
            })
            .collect();
        for (host, session) in hosts.iter_mut().zip(owner.session().unwrap()) {
            host.admit(&session).unwrap();
        }
        World { owner, hosts, segments: Vec::new() }
    }

    pub fn quantized(&self, vectors: &[Vec<f32>]) -> Vec<Vec<i32>> {
        vectors.iter().map(|vector| self.owner.quantizer().quantize(vector).unwrap().values).collect()
    }

    pub fn add(&mut self, vectors: &[Vec<f32>]) -> SegmentStamp {
        let upload = self.owner.seal(&self.quantized(vectors)).unwrap();
        for (host, part) in self.hosts.iter_mut().zip(&upload.parts) {
            host.store(part).unwrap();
        }
        self.segments.push(upload.stamp);
        upload.stamp
    }

    pub fn ask(&self, vector: &[f32]) -> Scores {
        let query = self.owner.quantizer().quantize(vector).unwrap().values;
        let mut question = self.owner.ask(&query, &self.segments).unwrap();
        for (number, (host, part)) in self.hosts.iter().zip(&question.parts).enumerate() {
            let reply = host.answer(part).unwrap();
            if let Step::Done(scores) = question.opening.offer(number, &reply).unwrap() {
                return scores;
            }
        }
        panic!("all hosts have answered");
    }
}

/// The places of the best `k`, equal scores by place.
pub fn best(scores: impl IntoIterator<Item = f64>, k: usize) -> Vec<usize> {
    let mut ranked: Vec<(usize, f64)> = scores.into_iter().enumerate().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    ranked.into_iter().take(k).map(|(place, _)| place).collect()
}

pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}
