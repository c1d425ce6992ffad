//! What the server measures, named by OpenTelemetry's conventions for HTTP servers.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;

use crate::llm::Usage;
use crate::metric::{Bucket, Instrument, Measurement};

/// Seconds, as OpenTelemetry advises for this histogram, and longer ones for long answers.
const BOUNDS: [f64; 17] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 30.0, 60.0, 300.0];

#[derive(Default)]
pub(super) struct Meter {
    answered: Mutex<BTreeMap<(&'static str, u16), Durations>>,
    active: AtomicUsize,
    read: AtomicU64,
    written: AtomicU64,
}

#[derive(Default, Clone)]
struct Durations {
    counts: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

impl Meter {
    /// A request whose answer began.
    pub fn answered(&self, route: &'static str, status: u16, took: Duration) {
        let seconds = took.as_secs_f64();
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let durations = answered.entry((route, status)).or_default();
        durations.count += 1;
        durations.sum += seconds;
        for (count, _) in durations.counts.iter_mut().zip(BOUNDS).filter(|(_, bound)| seconds <= *bound) {
            *count += 1;
        }
    }

    pub fn measurements(&self) -> Vec<Measurement> {
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut all: Vec<Measurement> = answered
            .into_iter()
            .map(|((route, status), durations)| {
                let about = "Requests by the time until their answer began.";
                let name = "http.server.request.duration";
                let buckets = BOUNDS.into_iter().zip(durations.counts);
                let measured = Measurement {
                    count: Some(durations.count),
                    buckets: buckets.map(|(at_most, count)| Bucket { at_most, count }).collect(),
                    ..Measurement::number(Instrument::Histogram, name, "s", about, durations.sum)
                };
                measured.with("http.route", route).with("http.response.status_code", status.to_string())
            })
            .collect();
        let active = self.active.load(Ordering::Relaxed) as f64;
        let about = "Requests that are being answered.";
        let name = "http.server.active_requests";
        all.push(Measurement::number(Instrument::Gauge, name, "{request}", about, active));
        for (kind, count) in [("input", &self.read), ("output", &self.written)] {
            let count = count.load(Ordering::Relaxed) as f64;
            let about = "Tokens of answers that came to their end.";
            let tokens = Measurement::number(Instrument::Counter, "kwaainet.http.tokens", "{token}", about, count);
            all.push(tokens.with("gen_ai.token.type", kind));
        }
        all
    }

    pub fn work(&self) -> Work {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Work { active: self.active.load(Ordering::Relaxed), read: count(&self.read), written: count(&self.written) }
    }

    /// A request that is being answered, until this is dropped.
    pub fn generating(self: &Arc<Meter>, turn: OwnedSemaphorePermit) -> Generating {
        self.active.fetch_add(1, Ordering::Relaxed);
        Generating { meter: self.clone(), _turn: turn }
    }
}

/// What there is to do, and what was done.
pub(super) struct Work {
    /// Requests that are being answered.
    pub active: usize,
    /// Tokens of prompts of answers that came to their end.
    pub read: u64,
    /// Tokens of these answers.
    pub written: u64,
}

/// A request that is being answered.
pub(super) struct Generating {
    meter: Arc<Meter>,
    _turn: OwnedSemaphorePermit,
}

impl Generating {
    pub fn count(&self, usage: &Usage) {
        self.meter.read.fetch_add(usage.prompt_tokens.into(), Ordering::Relaxed);
        self.meter.written.fetch_add(usage.completion_tokens.into(), Ordering::Relaxed);
    }
}

impl Drop for Generating {
    fn drop(&mut self) {
        self.meter.active.fetch_sub(1, Ordering::Relaxed);
    }
}
