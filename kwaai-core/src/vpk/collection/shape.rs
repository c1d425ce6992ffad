//! What a collection is, as it was made.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::vpk::plain::PlainOwner;
use crate::vpk::seal::{self, SealOwner};
use crate::vpk::segment::CHECKS;
use crate::vpk::split::{self, SplitOwner};
use crate::vpk::{CollectionId, CollectionKey, HostName, MAX_PART, MAX_SEGMENT, Metric, Mode, Owner, plain};
use crate::{Error, Result};

/// What a collection is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionConfig {
    /// How its vectors are hidden.
    pub mode: Mode,
    /// How many coordinates each has.
    pub dimension: usize,
    /// How they are compared.
    pub metric: Metric,
    /// Who keeps it: one host under `Plain` and `Seal`, 2t + 1 to 16 under `Split`.
    pub hosts: Vec<HostName>,
    /// Under `Split`, t: how many of them may work together and still learn nothing. 0 otherwise.
    pub colluding: usize,
}

impl CollectionConfig {
    pub(super) fn check(&self) -> Result<()> {
        let mut hosts = self.hosts.clone();
        hosts.sort();
        hosts.dedup();
        if hosts.len() != self.hosts.len() {
            return Err(Error::invalid_argument("a host keeps one part of a collection, not two"));
        }
        let single = self.mode != Mode::Split;
        if single && (self.hosts.len() != 1 || self.colluding != 0) {
            return Err(Error::invalid_argument(format!("a collection under {} has one host", self.mode)));
        }
        Ok(())
    }

    /// The owner's side under a key.
    pub(super) fn owner(&self, key: &CollectionKey) -> Result<Arc<dyn Owner>> {
        Ok(match self.mode {
            Mode::Plain => Arc::new(PlainOwner::new(self.dimension, self.metric)?),
            Mode::Seal => Arc::new(SealOwner::new(key, self.dimension, self.metric)?),
            Mode::Split => {
                Arc::new(SplitOwner::new(key, self.dimension, self.metric, self.hosts.len(), self.colluding)?)
            }
        })
    }

    /// How many hosts must have a segment before it is searched there.
    pub(super) fn needed(&self) -> usize {
        if self.mode == Mode::Split { 2 * self.colluding + 1 } else { 1 }
    }

    /// How many vectors make a segment that one call carries.
    pub(super) fn segment(&self) -> usize {
        let width = match self.mode {
            Mode::Plain => plain::WIDTH,
            Mode::Seal => seal::WIDTH,
            Mode::Split => split::WIDTH,
        };
        ((MAX_PART - 64) / (self.dimension * width) - CHECKS).min(MAX_SEGMENT)
    }
}

/// As the owner's database keeps it, in JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    id: String,
    pub(super) epoch: u32,
    mode: String,
    dimension: usize,
    metric: String,
    hosts: Vec<String>,
    colluding: usize,
    /// Counted up with each payload, so that no place is used twice.
    pub(super) versions: u32,
}

impl Record {
    pub(super) fn new(config: &CollectionConfig, key: &CollectionKey) -> Record {
        Record {
            id: key.collection().to_string(),
            epoch: key.epoch(),
            mode: config.mode.to_string(),
            dimension: config.dimension,
            metric: if config.metric == Metric::Dot { "dot" } else { "cosine" }.into(),
            hosts: config.hosts.iter().map(HostName::to_string).collect(),
            colluding: config.colluding,
            versions: 0,
        }
    }

    pub(super) fn read(text: &str) -> Result<Record> {
        serde_json::from_str(text).map_err(|error| damaged().with_source(error))
    }

    pub(super) fn write(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|error| Error::internal("a record cannot be written").with_source(error))
    }

    pub(super) fn id(&self) -> Result<CollectionId> {
        self.id.parse()
    }

    pub(super) fn config(&self) -> Result<CollectionConfig> {
        let metric = match self.metric.as_str() {
            "cosine" => Metric::Cosine,
            "dot" => Metric::Dot,
            _ => return Err(damaged()),
        };
        let hosts = self.hosts.iter().map(|host| host.parse()).collect::<Result<Vec<HostName>>>()?;
        let (dimension, colluding) = (self.dimension, self.colluding);
        Ok(CollectionConfig { mode: self.mode.parse()?, dimension, metric, hosts, colluding })
    }
}

pub(super) fn damaged() -> Error {
    Error::corrupt_data("the record of a collection is damaged").with_remedy("restore the database from a backup")
}
