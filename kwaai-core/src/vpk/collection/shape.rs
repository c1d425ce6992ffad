//! What a collection is, as it was made.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::vpk::placement::needed;
use crate::vpk::plain::PlainOwner;
use crate::vpk::replica::Replicas;
use crate::vpk::request::Call;
use crate::vpk::seal::{self, SealOwner};
use crate::vpk::segment::CHECKS;
use crate::vpk::split::{self, SplitOwner};
use crate::vpk::{CollectionId, CollectionKey, HostName, MAX_PART, MAX_SEGMENT, Metric, Mode, Owner, Placement, plain};
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
    /// Who keeps it: 1 to 16 hosts with a copy each under `Plain` and `Seal`, 2t + 1 to 16 under `Split`. Where none is named, they are chosen.
    pub hosts: Vec<HostName>,
    /// Under `Split`, t: how many of them may work together and still learn nothing. 0 otherwise.
    pub colluding: usize,
    /// What is asked of hosts that are chosen.
    pub placement: Placement,
}

impl CollectionConfig {
    /// What can be said against it before its hosts are chosen.
    pub(in crate::vpk) fn check_but_hosts(&self) -> Result<()> {
        match (self.mode == Mode::Split, self.colluding) {
            (true, 0) => Err(Error::invalid_argument("under split at least one host may work with others")),
            (false, 1..) => Err(Error::invalid_argument(format!("under {} a host has nobody to work with", self.mode))),
            _ => Ok(()),
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        self.check_but_hosts()?;
        let mut hosts = self.hosts.clone();
        hosts.sort();
        hosts.dedup();
        if hosts.len() != self.hosts.len() {
            return Err(Error::invalid_argument("a host keeps one part of a collection, not two"));
        }
        if self.mode != Mode::Split && !(1..=split::MAX_HOSTS).contains(&self.hosts.len()) {
            let message = format!("a collection under {} has 1 to {} hosts", self.mode, split::MAX_HOSTS);
            return Err(Error::invalid_argument(message));
        }
        Ok(())
    }

    /// The owner's side under a key.
    pub(super) fn owner(&self, key: &CollectionKey) -> Result<Arc<dyn Owner>> {
        let hosts = self.hosts.len();
        let owner: Arc<dyn Owner> = match self.mode {
            Mode::Plain => Arc::new(PlainOwner::new(self.dimension, self.metric)?),
            Mode::Seal => Arc::new(SealOwner::new(key, self.dimension, self.metric)?),
            Mode::Split => {
                return Ok(Arc::new(SplitOwner::new(key, self.dimension, self.metric, hosts, self.colluding)?));
            }
        };
        Ok(if hosts > 1 { Arc::new(Replicas::new(owner, hosts)) } else { owner })
    }

    /// How many hosts must have a segment before it is searched there.
    pub(super) fn needed(&self) -> usize {
        needed(self.mode, self.colluding)
    }

    /// How many hosts must hand a segment out before it can be read.
    pub(super) fn readable(&self) -> usize {
        self.colluding + 1
    }

    /// What makes the collection at a host.
    pub(super) fn creation(&self) -> Call {
        Call::Create { mode: self.mode, dimension: self.dimension as u32 }
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
    /// By which id its hosts know it; its own where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    site: Option<String>,
    #[serde(default)]
    placement: Placement,
    /// The id of the knowledge base that has its vectors here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) knowledge: Option<String>,
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
            site: None,
            placement: config.placement.clone(),
            knowledge: None,
        }
    }

    /// The same elsewhere, under a new key.
    pub(super) fn moved(&self, site: CollectionId, hosts: &[HostName], key: &CollectionKey) -> Record {
        Record {
            epoch: key.epoch(),
            hosts: hosts.iter().map(HostName::to_string).collect(),
            site: Some(site.to_string()),
            ..self.clone()
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

    pub(super) fn site(&self) -> Result<CollectionId> {
        self.site.as_ref().unwrap_or(&self.id).parse()
    }

    pub(super) fn config(&self) -> Result<CollectionConfig> {
        let metric = match self.metric.as_str() {
            "cosine" => Metric::Cosine,
            "dot" => Metric::Dot,
            _ => return Err(damaged()),
        };
        let hosts = self.hosts.iter().map(|host| host.parse()).collect::<Result<Vec<HostName>>>()?;
        let (dimension, colluding, placement) = (self.dimension, self.colluding, self.placement.clone());
        Ok(CollectionConfig { mode: self.mode.parse()?, dimension, metric, hosts, colluding, placement })
    }
}

pub(super) fn damaged() -> Error {
    Error::corrupt_data("the record of a collection is damaged").with_remedy("restore the database from a backup")
}
