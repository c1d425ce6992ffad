//! What is counted while the network runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::ErrorCode;
use crate::metric::{Bucket, Instrument, Measurement};

/// Bounds of the durations that are told apart, in seconds.
const BOUNDS: [f64; 13] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Methods that are told apart on each side; calls of others are counted together, so that no peer makes the list long.
const MAX_METHODS: usize = 64;
/// OpenTelemetry's name for what is not told apart.
pub(crate) const OTHER: &str = "_OTHER";

/// Bytes of the streams of every connection, without what encryption and multiplexing add.
#[derive(Default)]
pub(crate) struct Traffic {
    pub received: AtomicU64,
    pub sent: AtomicU64,
}

/// Which side of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Client,
    Server,
}

#[derive(Default)]
struct Histogram {
    counts: [u64; BOUNDS.len()],
    count: u64,
    sum: f64,
}

/// A call that is being measured. One that is dropped without an end was cancelled.
pub(crate) struct Timing<'a> {
    meter: &'a Meter,
    side: Side,
    method: &'a str,
    began: Instant,
    outcome: Option<ErrorCode>,
}

impl Timing<'_> {
    /// The call ended, with an error or without.
    pub(crate) fn end(mut self, error: Option<ErrorCode>) {
        self.outcome = error;
    }
}

impl Drop for Timing<'_> {
    fn drop(&mut self) {
        self.meter.called(self.side, self.method, self.outcome, self.began.elapsed());
    }
}

type Calls = BTreeMap<(Side, String, Option<ErrorCode>), Histogram>;

/// Everything that is counted.
#[derive(Default)]
pub(crate) struct Meter {
    pub opened: [AtomicU64; 2],
    pub refused: AtomicU64,
    pub unreached: AtomicU64,
    calls: Mutex<Calls>,
}

impl Meter {
    fn calls(&self) -> MutexGuard<'_, Calls> {
        // No code that can panic runs under this lock.
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Measures a call from now on.
    pub(crate) fn timing<'a>(&'a self, side: Side, method: &'a str) -> Timing<'a> {
        Timing { meter: self, side, method, began: Instant::now(), outcome: Some(ErrorCode::Cancelled) }
    }

    fn called(&self, side: Side, method: &str, outcome: Option<ErrorCode>, took: Duration) {
        let mut calls = self.calls();
        let mut key = (side, method.to_owned(), outcome);
        if !calls.contains_key(&key) {
            let mut methods: Vec<_> = calls.keys().filter(|known| known.0 == side).map(|known| &known.1).collect();
            methods.dedup();
            if methods.len() >= MAX_METHODS && !methods.contains(&&key.1) {
                key.1 = OTHER.to_owned();
            }
        }
        let histogram = calls.entry(key).or_default();
        let seconds = took.as_secs_f64();
        histogram.count += 1;
        histogram.sum += seconds;
        if let Some(place) = BOUNDS.iter().position(|bound| seconds <= *bound) {
            histogram.counts[place] += 1;
        }
    }

    /// The durations of calls, by side, method and outcome.
    pub(crate) fn durations(&self) -> Vec<Measurement> {
        let calls = self.calls();
        let metrics = calls.iter().map(|((side, method, error), histogram)| {
            let (name, description) = match side {
                Side::Client => {
                    ("rpc.client.call.duration", "How long calls of this node took, by method and outcome.")
                }
                Side::Server => {
                    ("rpc.server.call.duration", "How long this node took to serve calls, by method and outcome.")
                }
            };
            let mut count = 0;
            let buckets = BOUNDS.iter().zip(histogram.counts).map(|(bound, own)| {
                count += own;
                Bucket { at_most: *bound, count }
            });
            let metric = Measurement {
                buckets: buckets.collect(),
                count: Some(histogram.count),
                ..Measurement::number(Instrument::Histogram, name, "s", description, histogram.sum)
            };
            let metric = metric.with("rpc.system.name", "kwaainet").with("rpc.method", method.as_str());
            match error {
                Some(code) => metric.with("error.type", code.as_str()),
                None => metric,
            }
        });
        metrics.collect()
    }
}

/// A count that only grows.
pub(crate) fn counter(
    name: &'static str,
    unit: &'static str,
    description: &'static str,
    count: &AtomicU64,
) -> Measurement {
    Measurement::number(Instrument::Counter, name, unit, description, count.load(Ordering::Relaxed) as f64)
}

/// What something is now.
pub(crate) fn gauge(name: &'static str, unit: &'static str, description: &'static str, value: usize) -> Measurement {
    Measurement::number(Instrument::Gauge, name, unit, description, value as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_by_method_and_outcome() {
        let meter = Meter::default();
        for ms in [0, 3, 70_000] {
            meter.called(Side::Server, "a", None, Duration::from_millis(ms));
        }
        meter.called(Side::Server, "a", Some(ErrorCode::Busy), Duration::ZERO);
        let metrics = meter.durations();
        let counts: Vec<_> = metrics[0].buckets.iter().map(|bucket| bucket.count).collect();
        assert_eq!((counts[0], counts[1], counts[2], counts[12], metrics[0].count), (1, 1, 2, 2, Some(3)));
        assert!((metrics[0].value - 70.003).abs() < 1e-9);
        assert_eq!(metrics[1].attributes["error.type"], "busy");
        assert!(!metrics[0].attributes.contains_key("error.type"));
    }

    #[test]
    fn a_call_that_nobody_waits_for_any_more_was_cancelled() {
        let meter = Meter::default();
        drop(meter.timing(Side::Client, "a"));
        assert_eq!(meter.durations()[0].attributes["error.type"], "cancelled");
    }

    #[test]
    fn many_methods_do_not_make_the_list_long() {
        let meter = Meter::default();
        for method in 0..1000 {
            meter.timing(Side::Client, &method.to_string()).end(None);
        }
        let metrics = meter.durations();
        assert_eq!(metrics.len(), MAX_METHODS + 1);
        let other = metrics.iter().find(|metric| metric.attributes["rpc.method"] == OTHER).unwrap();
        assert_eq!(other.count, Some(1000 - MAX_METHODS as u64));
    }
}
