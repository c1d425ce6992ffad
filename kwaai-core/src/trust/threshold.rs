//! How good what a credential reports must be for the credential to count.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::credential::CredentialType;
use super::{SETTINGS, TrustGraph, encode, proof, setting};
use crate::{Error, Result};

const THRESHOLDS: &str = "thresholds";
const SECONDS_PER_DAY: i64 = 24 * 60 * 60;

/// Parameters of what `UptimeVC` and `ThroughputVC` must report. A credential that reports nothing counts, as those of
/// KwaaiNet's software do, unless [`Thresholds::require_claims`] says otherwise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Thresholds {
    /// The least share of the observed time that a node must have been up, 0 to 1. The claim is `upShare`.
    pub uptime_min_share: f64,
    /// The fewest days that must have been observed, from `observedFrom` to `observedUntil`.
    pub uptime_min_days: u32,
    /// How far the measured `tokensPerSecond` may stay below what the node announces, as a share of that, 0 to 1.
    pub throughput_tolerance: f64,
    /// Whether a credential that reports nothing counts for nothing.
    pub require_claims: bool,
}

impl Default for Thresholds {
    /// 95% of at least 7 days; at most 20% below what was announced; claims may be missing.
    fn default() -> Thresholds {
        Thresholds { uptime_min_share: 0.95, uptime_min_days: 7, throughput_tolerance: 0.2, require_claims: false }
    }
}

impl Thresholds {
    /// Whether a credential of this type with these claims reports enough; the error says why not, in a short phrase.
    /// `announced` is the rate in tokens per second that its subject announces, where that is known: without it any
    /// measured rate suffices.
    pub fn admit(
        &self,
        kind: CredentialType,
        claims: &Map<String, Value>,
        announced: Option<f64>,
    ) -> std::result::Result<(), String> {
        self.judge(kind, Reported::of(kind, claims).as_ref(), announced)
    }

    pub(super) fn judge(
        &self,
        kind: CredentialType,
        reported: Option<&Reported>,
        announced: Option<f64>,
    ) -> std::result::Result<(), String> {
        match reported {
            Some(Reported::Uptime { share, seconds }) => self.admit_uptime(*share, *seconds),
            Some(Reported::Throughput { rate }) => self.admit_throughput(*rate, announced),
            None if matches!(kind, CredentialType::Uptime | CredentialType::Throughput) => self.admit_nothing(),
            None => Ok(()),
        }
    }

    fn admit_uptime(&self, share: Option<f64>, seconds: Option<i64>) -> std::result::Result<(), String> {
        let share = share.filter(|share| *share <= 1.0).ok_or("it has no readable upShare")?;
        let seconds = seconds.ok_or("it does not say when the node was observed")?;
        if seconds < i64::from(self.uptime_min_days) * SECONDS_PER_DAY {
            return Err(format!("the node was observed for less than {} days", self.uptime_min_days));
        }
        if share < self.uptime_min_share {
            return Err(format!("the node was up for a share of {share}, {} are needed", self.uptime_min_share));
        }
        Ok(())
    }

    fn admit_throughput(&self, rate: Option<f64>, announced: Option<f64>) -> std::result::Result<(), String> {
        let reached = rate.ok_or("it has no readable tokensPerSecond")?;
        match announced.filter(|announced| announced.is_finite()) {
            Some(announced) if reached < announced * (1.0 - self.throughput_tolerance) => {
                Err(format!("the node reached {reached} tokens per second and announces {announced}"))
            }
            _ => Ok(()),
        }
    }

    fn admit_nothing(&self) -> std::result::Result<(), String> {
        match self.require_claims {
            true => Err("it does not say what was observed".into()),
            false => Ok(()),
        }
    }

    fn validate(&self) -> Result<()> {
        for (name, share) in
            [("uptime_min_share", self.uptime_min_share), ("throughput_tolerance", self.throughput_tolerance)]
        {
            if !(0.0..=1.0).contains(&share) {
                return Err(Error::invalid_argument(format!("{name} is a share from 0 to 1, and {share} is not"))
                    .with("threshold", name));
            }
        }
        Ok(())
    }
}

/// What a credential reports of the things that thresholds look at; what cannot be read is `None`.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reported {
    Uptime {
        share: Option<f64>,
        /// From `observedFrom` to `observedUntil`.
        seconds: Option<i64>,
    },
    Throughput {
        rate: Option<f64>,
    },
}

impl Reported {
    /// `None` when nothing is reported, or thresholds do not look at this type.
    pub(super) fn of(kind: CredentialType, claims: &Map<String, Value>) -> Option<Reported> {
        let has = |names: &[&str]| names.iter().any(|name| claims.contains_key(*name));
        match kind {
            CredentialType::Uptime if has(&["upShare", "observedFrom", "observedUntil"]) => {
                let instant = |name: &str| claims.get(name).and_then(|value| proof::date_time(name, value).ok());
                let (from, until) = (instant("observedFrom"), instant("observedUntil"));
                let seconds = from.zip(until).map(|(from, until)| until.as_second().saturating_sub(from.as_second()));
                Some(Reported::Uptime { share: number(claims, "upShare"), seconds })
            }
            CredentialType::Throughput if has(&["tokensPerSecond"]) => {
                Some(Reported::Throughput { rate: number(claims, "tokensPerSecond").filter(|rate| *rate > 0.0) })
            }
            _ => None,
        }
    }
}

fn number(claims: &Map<String, Value>, name: &str) -> Option<f64> {
    claims.get(name).and_then(Value::as_f64).filter(|number| *number >= 0.0)
}

impl TrustGraph {
    /// How good what credentials report must be.
    pub fn thresholds(&self) -> Result<Thresholds> {
        self.store.read(|transaction| Ok(setting(transaction, THRESHOLDS)?.unwrap_or_default()))
    }

    /// Replaces how good what credentials report must be, durably.
    ///
    /// # Errors
    /// `invalid_argument` with the `threshold` that is no share from 0 to 1.
    pub fn set_thresholds(&self, thresholds: &Thresholds) -> Result<()> {
        thresholds.validate()?;
        let text = encode(thresholds)?;
        self.store.write(|transaction| {
            transaction.open_table(SETTINGS)?.insert(THRESHOLDS, text.as_str())?;
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ErrorCode;

    fn uptime(share: Value, until: &str) -> Map<String, Value> {
        let claims = json!({
            "id": "did:key:x", "upShare": share, "observedFrom": "2026-05-01T00:00:00Z", "observedUntil": until,
        });
        claims.as_object().unwrap().clone()
    }

    fn rate(tokens_per_second: Value) -> Map<String, Value> {
        json!({"tokensPerSecond": tokens_per_second}).as_object().unwrap().clone()
    }

    #[test]
    fn an_uptime_counts_from_its_share_and_its_days_on() {
        let why = |share: Value, until: &str| {
            Thresholds::default().admit(CredentialType::Uptime, &uptime(share, until), None).err().unwrap_or_default()
        };
        assert_eq!(why(0.95.into(), "2026-05-08T00:00:00Z"), "");
        assert_eq!(why(1.into(), "2026-05-08T00:00:00Z"), "");
        assert_eq!(why(0.949.into(), "2026-05-08T00:00:00Z"), "the node was up for a share of 0.949, 0.95 are needed");
        assert_eq!(why(1.into(), "2026-05-07T23:59:59Z"), "the node was observed for less than 7 days");
        assert_eq!(why(1.into(), "2026-04-08T00:00:00Z"), "the node was observed for less than 7 days");
        assert_eq!(why(1.01.into(), "2026-05-08T00:00:00Z"), "it has no readable upShare");
        assert_eq!(why("1".into(), "2026-05-08T00:00:00Z"), "it has no readable upShare");
        assert_eq!(why(1.into(), "soon"), "it does not say when the node was observed");
    }

    #[test]
    fn a_rate_counts_unless_it_stays_too_far_below_the_announced_one() {
        let counts = |reached: Value, announced| {
            Thresholds::default().admit(CredentialType::Throughput, &rate(reached), announced).is_ok()
        };
        assert!(counts(8.0.into(), Some(10.0)) && counts(80.into(), Some(10.0)) && counts(0.1.into(), None));
        assert!(!counts(7.99.into(), Some(10.0)));
        assert!(!counts("fast".into(), None) && !counts((-1).into(), None));
        assert!(counts(8.0.into(), Some(f64::NAN)), "an announcement that is no number is none");
    }

    #[test]
    fn a_credential_that_reports_nothing_counts_unless_claims_are_required() {
        let strict = Thresholds { require_claims: true, ..Thresholds::default() };
        for kind in CredentialType::ALL {
            let reports = matches!(kind, CredentialType::Uptime | CredentialType::Throughput);
            assert!(Thresholds::default().admit(kind, &Map::new(), Some(10.0)).is_ok());
            assert_eq!(strict.admit(kind, &Map::new(), None).is_err(), reports, "{kind}");
        }
    }

    #[tokio::test]
    async fn thresholds_are_kept_and_what_is_no_share_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let lax = Thresholds { uptime_min_share: 0.5, ..Thresholds::default() };
        let graph = TrustGraph::open_dir(dir.path()).unwrap();
        assert_eq!(graph.thresholds().unwrap(), Thresholds::default());
        graph.set_thresholds(&lax).unwrap();
        for share in [f64::NAN, -0.1, 1.1] {
            for wrong in [
                Thresholds { uptime_min_share: share, ..lax.clone() },
                Thresholds { throughput_tolerance: share, ..lax.clone() },
            ] {
                assert_eq!(graph.set_thresholds(&wrong).unwrap_err().code(), ErrorCode::InvalidArgument);
            }
        }
        drop(graph);
        assert_eq!(TrustGraph::open_dir(dir.path()).unwrap().thresholds().unwrap(), lax);
    }
}
