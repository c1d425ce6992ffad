//! What is said of hosts and collections.

use std::str::FromStr;

use kwaai_core::Error;
use kwaai_core::vpk::{self, Depot, HostName, Metric, Mode, PartState};
use serde::{Deserialize, Serialize, Serializer};

use super::offer::DiscoverOptions;
use super::{Metadata, Payload};
use crate::Result;

/// What a collection is to be.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CollectionOptions {
    /// How many coordinates each vector has.
    pub dimension: usize,
    /// How its vectors are hidden: `plain`, `seal` or `split`.
    pub privacy: String,
    /// Who keeps it: `here` or PeerIds. Where none is named, they are found.
    pub hosts: Vec<String>,
    /// How vectors are compared: `cosine`, unless set, or `dot`.
    #[serde(default)]
    pub metric: Option<String>,
    /// Under `split`, how many of the hosts may work together and still learn nothing; 1 unless set.
    #[serde(default)]
    pub colluding: Option<usize>,
    /// Of hosts that are found, how many keep it; as many as are needed, and one to spare where there is one, unless set.
    #[serde(default)]
    pub replicas: Option<usize>,
    /// The bytes that each must have left; 16 MiB unless set.
    #[serde(default)]
    pub free_bytes: Option<u64>,
    /// Their lowest tier; the policy's minimum of `store_vectors` unless set.
    #[serde(default)]
    pub min_tier: Option<String>,
    /// Whether hosts in one address range count as one; true unless set.
    #[serde(default)]
    pub distinct_networks: Option<bool>,
}

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Repair {
    /// The hosts that did not have what they should, or could not be asked.
    pub lost: Vec<String>,
    /// Those that have it in their place.
    pub added: Vec<String>,
}

impl From<vpk::Repair> for Repair {
    fn from(repair: vpk::Repair) -> Repair {
        Repair { lost: names(&repair.lost), added: names(&repair.added) }
    }
}

/// What a collection is, as it was made.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct CollectionConfig {
    /// How many coordinates each vector has.
    pub dimension: usize,
    /// How its vectors are hidden: `plain`, `seal` or `split`.
    pub privacy: String,
    /// Who keeps it: `here` or PeerIds.
    pub hosts: Vec<String>,
    /// How vectors are compared: `cosine` or `dot`.
    pub metric: String,
    /// Under `split`, how many of the hosts may work together and still learn nothing.
    pub colluding: usize,
}

/// What a host learns, and what that rests on.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Leakage {
    /// A host can read the stored vectors.
    pub vectors: bool,
    /// A host can read what is searched for.
    pub queries: bool,
    /// A host can tell which vectors were found.
    pub matches: bool,
    /// A wrong answer is noticed.
    pub answers_checked: bool,
    /// What a host learns nevertheless.
    pub learned: String,
    /// What must hold for the rest to stay hidden.
    pub rests_on: String,
}

/// How a collection stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct CollectionStats {
    /// How many vectors there are.
    pub vectors: usize,
    /// How many of them are with the owner alone, not sealed yet.
    pub buffered: usize,
    /// In how many segments the others are.
    pub segments: usize,
    /// How many places in them hold nothing any more.
    pub deleted: usize,
    /// The number of the key.
    pub epoch: u32,
    /// The hosts for which something waits.
    pub behind: Vec<String>,
    /// The hosts that answered wrongly since the collection was opened.
    pub liars: Vec<String>,
}

/// A vector that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct FoundVector {
    /// Its id.
    pub id: i64,
    /// The cosine or the dot product with the question.
    pub score: f64,
    /// The bytes that were put in with it; in JSON as base64.
    #[serde(serialize_with = "base64")]
    pub payload: Option<Payload>,
    /// Its metadata.
    pub metadata: Metadata,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct FoundVectors {
    /// The best hits, the best first; equal scores in the order of their ids.
    pub hits: Vec<FoundVector>,
    /// The hosts that are known to have answered wrongly.
    pub liars: Vec<String>,
}

/// What a host was found to have. Each part is `right`, `wrong`, `missing`, `unknown` when the host could not be asked, or
/// `undecided` when too few hosts have a part.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct HostReport {
    /// Which host.
    pub host: String,
    /// Whether everything is right.
    pub right: bool,
    /// Of each segment, in their order.
    pub segments: Vec<String>,
    /// Of each payload, in the order of their vectors' ids.
    pub payloads: Vec<String>,
    /// Of the manifest.
    pub manifest: String,
}

/// What a node keeps, and for whom.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct HostedVectors {
    /// The bytes on the disk that it may take for all owners together.
    pub capacity_bytes: u64,
    /// Those for one owner.
    pub tenant_bytes: u64,
    /// The collections of one owner.
    pub tenant_collections: u32,
    /// The bytes of memory for answering.
    pub memory_bytes: u64,
    /// The lowest tier that may keep something here; nothing where the policy's minimum stands.
    pub min_tier: Option<String>,
    /// The bytes on the disk that are taken.
    pub used_bytes: u64,
    /// The owners of what is kept.
    pub tenants: Vec<Tenant>,
}

/// Whom a node keeps something for.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct Tenant {
    /// The DID of the owner.
    pub owner: String,
    /// The bytes that it is charged with.
    pub bytes: u64,
    /// How many collections it has.
    pub collections: u32,
}

impl CollectionOptions {
    pub(super) fn into_core(self) -> Result<vpk::CollectionConfig> {
        let mode = Mode::from_str(&self.privacy)?;
        let metric = match self.metric.as_deref() {
            None | Some("cosine") => Metric::Cosine,
            Some("dot") => Metric::Dot,
            Some(_) => return Err(Error::invalid_argument("vectors are compared by cosine or dot").into()),
        };
        let hosts = self.hosts.iter().map(|host| host_name(host)).collect::<Result<_>>()?;
        let colluding = self.colluding.unwrap_or(usize::from(mode == Mode::Split));
        let wanted = DiscoverOptions {
            free_bytes: self.free_bytes,
            min_tier: self.min_tier,
            distinct_networks: self.distinct_networks,
        };
        let placement = wanted.placement(self.replicas)?;
        Ok(vpk::CollectionConfig { mode, dimension: self.dimension, metric, hosts, colluding, placement })
    }
}

/// `here`, or a peer by its PeerId or its DID.
pub(super) fn host_name(text: &str) -> Result<HostName> {
    if text == HostName::Here.to_string() {
        Ok(HostName::Here)
    } else {
        crate::validate::peer(text).map(HostName::Peer)
    }
}

impl From<vpk::CollectionConfig> for CollectionConfig {
    fn from(config: vpk::CollectionConfig) -> CollectionConfig {
        CollectionConfig {
            dimension: config.dimension,
            privacy: config.mode.to_string(),
            hosts: names(&config.hosts),
            metric: if config.metric == Metric::Dot { "dot" } else { "cosine" }.into(),
            colluding: config.colluding,
        }
    }
}

impl From<&vpk::Leakage> for Leakage {
    fn from(leakage: &vpk::Leakage) -> Leakage {
        Leakage {
            vectors: leakage.vectors,
            queries: leakage.queries,
            matches: leakage.matches,
            answers_checked: leakage.answers_checked,
            learned: leakage.learned.into(),
            rests_on: leakage.rests_on.into(),
        }
    }
}

impl From<vpk::CollectionStats> for CollectionStats {
    fn from(stats: vpk::CollectionStats) -> CollectionStats {
        CollectionStats {
            vectors: stats.vectors,
            buffered: stats.buffered,
            segments: stats.segments,
            deleted: stats.deleted,
            epoch: stats.epoch,
            behind: names(&stats.behind),
            liars: names(&stats.liars),
        }
    }
}

impl FoundVectors {
    pub(super) fn of(found: vpk::Found) -> kwaai_core::Result<FoundVectors> {
        let hits = found.hits.into_iter().map(|hit| {
            let large = || Error::unsupported("a vector has an id that only Rust programs can show").with("id", hit.id);
            let id = i64::try_from(hit.id).ok().filter(|id| *id < 1 << 53).ok_or_else(large)?;
            Ok(FoundVector { id, score: hit.score, payload: hit.payload, metadata: hit.metadata })
        });
        Ok(FoundVectors { hits: hits.collect::<kwaai_core::Result<_>>()?, liars: names(&found.liars) })
    }
}

impl From<vpk::HostReport> for HostReport {
    fn from(report: vpk::HostReport) -> HostReport {
        let states = |parts: &[PartState]| parts.iter().map(|part| state(*part).to_owned()).collect();
        HostReport {
            host: report.host.to_string(),
            right: report.is_right(),
            segments: states(&report.segments),
            payloads: states(&report.payloads),
            manifest: state(report.manifest).into(),
        }
    }
}

impl HostedVectors {
    pub(super) fn of(depot: &Depot) -> kwaai_core::Result<HostedVectors> {
        let (policy, tenants) = (depot.policy(), depot.tenants()?);
        Ok(HostedVectors {
            capacity_bytes: policy.capacity_bytes,
            tenant_bytes: policy.tenant_bytes,
            tenant_collections: policy.tenant_collections,
            memory_bytes: policy.memory_bytes,
            min_tier: policy.min_tier.map(|tier| tier.to_string()),
            used_bytes: tenants.iter().fold(0, |sum, tenant| sum.saturating_add(tenant.bytes)),
            tenants: tenants
                .into_iter()
                .map(|tenant| Tenant {
                    owner: tenant.owner.to_string(),
                    bytes: tenant.bytes,
                    collections: tenant.collections,
                })
                .collect(),
        })
    }
}

fn names(hosts: &[HostName]) -> Vec<String> {
    hosts.iter().map(HostName::to_string).collect()
}

fn state(part: PartState) -> &'static str {
    match part {
        PartState::Right => "right",
        PartState::Wrong => "wrong",
        PartState::Missing => "missing",
        PartState::Unknown => "unknown",
        PartState::Undecided => "undecided",
    }
}

fn base64<S: Serializer>(payload: &Option<Payload>, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    payload.as_ref().map(|bytes| multibase::Base::Base64Pad.encode(bytes)).serialize(serializer)
}
