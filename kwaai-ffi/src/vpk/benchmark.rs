//! What private vectors cost, as values that come over time.

use std::str::FromStr;
use std::time::Duration;

use kwaai_core::vpk::{self, Mode};
use serde::{Deserialize, Serialize};

use super::record::host_name;
use crate::Result;

/// What is measured; what is left out is as the core has it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BenchmarkOptions {
    /// How many vectors, for each size; 1,000 and 10,000 unless set.
    pub sizes: Option<Vec<usize>>,
    /// How many coordinates each vector has; 384 unless set.
    pub dimension: Option<usize>,
    /// How they are hidden: any of `plain`, `seal` and `split`; all that are possible with so many hosts unless set.
    pub privacies: Option<Vec<String>>,
    /// Who keeps them: `here` or PeerIds; nobody unless set.
    pub hosts: Option<Vec<String>>,
    /// How many questions are asked for each row; 100 unless set.
    pub questions: Option<usize>,
    /// What the vectors are made from; 1 unless set.
    pub seed: Option<u64>,
}

/// How far a benchmark is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct BenchmarkStep {
    /// How many rows are measured.
    pub done: usize,
    /// How many rows there will be.
    pub of: usize,
    /// What was measured, or is being measured now, for people.
    pub about: String,
    /// The row, when it is measured; nothing when its measurement begins.
    pub row: Option<BenchmarkRow>,
}

/// What was measured of one kind of search.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct BenchmarkRow {
    /// How the vectors were hidden; nothing for the exact search on this machine.
    pub privacy: Option<String>,
    /// How many hosts kept them; 0 on this machine.
    pub hosts: usize,
    /// How many there were.
    pub vectors: usize,
    /// How many coordinates each had.
    pub dimension: usize,
    /// Which part of the ten nearest was found, from 0 to 1, on average.
    pub recall: f64,
    /// How long half of the searches took at most, in milliseconds.
    pub p50_ms: f64,
    /// How long all but one in a hundred took at most, in milliseconds.
    pub p99_ms: f64,
    /// How long it took until all vectors were on the owner's disk and found, in milliseconds.
    pub durable_ms: f64,
    /// How long it took until the hosts had all of them and answered the first question, in milliseconds.
    pub searchable_ms: f64,
    /// The bytes of a question to each host.
    pub question_bytes: usize,
    /// The bytes of each host's reply.
    pub reply_bytes: usize,
}

impl BenchmarkOptions {
    pub(super) fn into_core(self) -> Result<vpk::BenchmarkConfig> {
        let usual = vpk::BenchmarkConfig::default();
        let modes = self.privacies.iter().flatten().map(|name| Mode::from_str(name));
        let hosts = self.hosts.iter().flatten().map(|host| host_name(host));
        Ok(vpk::BenchmarkConfig {
            modes: modes.collect::<kwaai_core::Result<_>>()?,
            hosts: hosts.collect::<Result<_>>()?,
            sizes: self.sizes.unwrap_or(usual.sizes),
            dimension: self.dimension.unwrap_or(usual.dimension),
            questions: self.questions.unwrap_or(usual.questions),
            seed: self.seed.unwrap_or(usual.seed),
        })
    }
}

impl From<vpk::BenchmarkStep> for BenchmarkStep {
    fn from(step: vpk::BenchmarkStep) -> BenchmarkStep {
        BenchmarkStep { done: step.done, of: step.of, about: step.about, row: step.row.map(BenchmarkRow::from) }
    }
}

impl From<vpk::BenchmarkRow> for BenchmarkRow {
    fn from(row: vpk::BenchmarkRow) -> BenchmarkRow {
        let ms = |time: Duration| time.as_secs_f64() * 1000.0;
        BenchmarkRow {
            privacy: row.mode.map(|mode| mode.to_string()),
            hosts: row.hosts,
            vectors: row.vectors,
            dimension: row.dimension,
            recall: row.recall,
            p50_ms: ms(row.p50),
            p99_ms: ms(row.p99),
            durable_ms: ms(row.durable),
            searchable_ms: ms(row.searchable),
            question_bytes: row.question_bytes,
            reply_bytes: row.reply_bytes,
        }
    }
}
