//! What each of KwaaiNet's credentials says, as typed values.
//!
//! Where KwaaiNet's software writes a claim, its name is kept: `pledgeHash`, `pledgeName`, `eventName`, `eventDate`,
//! `interactionCount`, `linkedIdentity`, `linkType`. For the three types that it names but never fills, the names are
//! this library's:
//!
//! | Type | Claim | Value |
//! |---|---|---|
//! | `VerifiedNodeVC` | `checks` | the names of the checks that were passed |
//! | | `nodeVersion` | the version that was checked, optional |
//! | `UptimeVC`, `ThroughputVC` | `observedFrom`, `observedUntil` | the window, as instants with a time zone |
//! | | `samples` | how often the issuer looked, at least once |
//! | `UptimeVC` | `upShare` | the share of the samples that found the node up, 0 to 1 |
//! | `ThroughputVC` | `model`, `tokensPerSecond` | what was measured, and the rate that was reached |
//!
//! Other claims may stand beside these: they are kept, signed and not read.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Map, Value};

use super::TrustGraph;
use super::credential::{Credential, CredentialType};
use super::proof;
use super::rule::Rule;
use crate::identity::Did;
use crate::{Error, ErrorCode, Result};

/// The longest text of a claim, in bytes.
pub const MAX_CLAIM_TEXT: usize = 512;

/// The most names in a list of checks.
pub const MAX_CHECKS: usize = 64;

/// 2^53 - 1, the largest integer that every reader of JSON takes for the same.
const MAX_COUNT: u64 = (1 << 53) - 1;

/// Faster than any machine will be; a rate beyond it is a mistake.
const MAX_TOKENS_PER_SECOND: f64 = 1e9;

/// What a credential of one of KwaaiNet's types says about its subject.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Claims {
    /// Of a [`CredentialType::FiduciaryPledge`].
    FiduciaryPledge(PledgeClaims),
    /// Of a [`CredentialType::VerifiedNode`].
    VerifiedNode(VerifiedNodeClaims),
    /// Of a [`CredentialType::Uptime`].
    Uptime(UptimeClaims),
    /// Of a [`CredentialType::Throughput`].
    Throughput(ThroughputClaims),
    /// Of a [`CredentialType::SummitAttendee`].
    SummitAttendee(AttendeeClaims),
    /// Of a [`CredentialType::PeerEndorsement`].
    PeerEndorsement(EndorsementClaims),
    /// Of a [`CredentialType::Binding`].
    Binding(BindingClaims),
}

/// Which pledge the subject signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PledgeClaims {
    /// The hash of the pledge's text, as its keeper publishes it.
    pub pledge_hash: String,
    /// The pledge's name and version, such as `GliaNet Fiduciary Pledge v1`.
    pub pledge_name: String,
}

/// Which checks the subject passed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedNodeClaims {
    /// The checks' names, one at least.
    pub checks: Vec<String>,
    /// The version of the node that was checked.
    pub node_version: Option<String>,
}

/// How much of a window the subject was up.
#[derive(Debug, Clone, PartialEq)]
pub struct UptimeClaims {
    /// The window.
    pub window: Window,
    /// The share of the samples that found it up, from 0 to 1.
    pub up_share: f64,
}

/// Which rate the subject reached.
#[derive(Debug, Clone, PartialEq)]
pub struct ThroughputClaims {
    /// The window.
    pub window: Window,
    /// The model's name.
    pub model: String,
    /// Tokens per second, above 0.
    pub tokens_per_second: f64,
}

/// When and how often an issuer looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its beginning.
    pub from: Timestamp,
    /// Its end, after the beginning.
    pub until: Timestamp,
    /// How many samples were taken in it, at least 1.
    pub samples: u64,
}

/// Which event the subject attended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttendeeClaims {
    /// The event's name.
    pub event_name: String,
    /// The day of the event.
    pub event_date: Date,
}

/// What an endorsement rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndorsementClaims {
    /// How many dealings the issuer had with the subject.
    pub interaction_count: u64,
}

/// With whom the subject is linked; see [`TrustGraph::bindings`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BindingClaims {
    /// The identity that the subject is linked to. It proves the link by being the issuer.
    pub linked_identity: Did,
    /// What the linked identity is.
    pub link_type: LinkType,
}

/// What the identity is that a [`CredentialType::Binding`] links its subject to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LinkType {
    /// A person.
    Person,
    /// An organisation.
    Organisation,
    /// A person, known by a passkey: KwaaiNet's only kind.
    Passkey,
    /// A node.
    Node,
}

impl LinkType {
    /// Every kind.
    pub const ALL: [LinkType; 4] = [LinkType::Person, LinkType::Organisation, LinkType::Passkey, LinkType::Node];

    /// The kind's name in `linkType`.
    pub fn as_str(self) -> &'static str {
        match self {
            LinkType::Person => "PersonBinding",
            LinkType::Organisation => "OrganisationBinding",
            LinkType::Passkey => "PasskeyBinding",
            LinkType::Node => "NodeBinding",
        }
    }
}

impl fmt::Display for LinkType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for LinkType {
    type Err = Error;

    fn from_str(text: &str) -> Result<LinkType> {
        LinkType::ALL.into_iter().find(|link| link.as_str() == text).ok_or_else(|| {
            let known = LinkType::ALL.map(LinkType::as_str).join(", ");
            Error::invalid_argument(format!("{text:.60?} is no linkType; they are {known}"))
        })
    }
}

impl Claims {
    /// What a credential says, or `None` when it is of none of KwaaiNet's types, has several subjects, or claims nothing
    /// beyond its type.
    ///
    /// # Errors
    /// `invalid_argument` with `claim` in its context, when a claim of its type is missing, of another JSON type, or out
    /// of its range.
    pub fn read(credential: &Credential) -> Result<Option<Claims>> {
        match (credential.kind(), credential.claims()) {
            (Some(kind), Some(claims)) if claims.keys().any(|name| name != "id") => Claims::of(kind, claims).map(Some),
            _ => Ok(None),
        }
    }

    /// Reads the claims of a type. Names that the type does not have are passed over.
    ///
    /// # Errors
    /// As [`Claims::read`].
    pub fn of(kind: CredentialType, claims: &Map<String, Value>) -> Result<Claims> {
        let said = Said { kind, claims };
        Ok(match kind {
            CredentialType::FiduciaryPledge => Claims::FiduciaryPledge(PledgeClaims {
                pledge_hash: said.text("pledgeHash")?,
                pledge_name: said.text("pledgeName")?,
            }),
            CredentialType::VerifiedNode => Claims::VerifiedNode(VerifiedNodeClaims {
                checks: said.texts("checks")?,
                node_version: said.has("nodeVersion").then(|| said.text("nodeVersion")).transpose()?,
            }),
            CredentialType::Uptime => Claims::Uptime(UptimeClaims { window: said.window()?, up_share: said.share()? }),
            CredentialType::Throughput => Claims::Throughput(ThroughputClaims {
                window: said.window()?,
                model: said.text("model")?,
                tokens_per_second: said.rate()?,
            }),
            CredentialType::SummitAttendee => Claims::SummitAttendee(AttendeeClaims {
                event_name: said.text("eventName")?,
                event_date: said.date("eventDate")?,
            }),
            CredentialType::PeerEndorsement => {
                Claims::PeerEndorsement(EndorsementClaims { interaction_count: said.count("interactionCount", 0)? })
            }
            CredentialType::Binding => {
                Claims::Binding(BindingClaims { linked_identity: said.identity()?, link_type: said.link()? })
            }
        })
    }

    /// Checks that what a credential says under the names of its type can be meant: each name that is there has a value of its
    /// kind, and a window ends after it begins and before the credential was made. Names may be missing, since KwaaiNet's
    /// own software leaves most types empty.
    ///
    /// # Errors
    /// `invalid_argument` with the [`Rule`] `claims` and the `claim` that breaks it.
    pub(super) fn check(credential: &Credential) -> Result<()> {
        let (Some(kind), Some(claims)) = (credential.kind(), credential.claims()) else { return Ok(()) };
        let said = Said { kind, claims };
        names(kind).iter().filter(|name| said.has(name)).try_for_each(|name| said.check(name))?;
        if !matches!(kind, CredentialType::Uptime | CredentialType::Throughput) {
            return Ok(());
        }
        let ends = ["observedFrom", "observedUntil"].map(|name| (name, said.has(name)));
        if ends.iter().all(|(_, there)| *there) {
            said.span()?;
        }
        let Some(made) = credential.summary().valid_from else { return Ok(()) };
        for (name, _) in ends.into_iter().filter(|(_, there)| *there) {
            if proof::is_future(said.instant(name)?, made) {
                return Err(said.wrong(name, "before the credential was made"));
            }
        }
        Ok(())
    }

    /// The type of a credential that says this.
    pub fn kind(&self) -> CredentialType {
        match self {
            Claims::FiduciaryPledge(_) => CredentialType::FiduciaryPledge,
            Claims::VerifiedNode(_) => CredentialType::VerifiedNode,
            Claims::Uptime(_) => CredentialType::Uptime,
            Claims::Throughput(_) => CredentialType::Throughput,
            Claims::SummitAttendee(_) => CredentialType::SummitAttendee,
            Claims::PeerEndorsement(_) => CredentialType::PeerEndorsement,
            Claims::Binding(_) => CredentialType::Binding,
        }
    }

    /// The claims as they stand in a credential, without the subject's `id`. They are written as they are; what is out of
    /// its range is refused when it is read or issued.
    pub fn to_map(&self) -> Map<String, Value> {
        let mut map = Map::new();
        let mut say = |name: &str, value: Value| drop(map.insert(name.into(), value));
        match self {
            Claims::FiduciaryPledge(claims) => {
                say("pledgeHash", claims.pledge_hash.as_str().into());
                say("pledgeName", claims.pledge_name.as_str().into());
            }
            Claims::VerifiedNode(claims) => {
                say("checks", claims.checks.clone().into());
                if let Some(version) = &claims.node_version {
                    say("nodeVersion", version.as_str().into());
                }
            }
            Claims::Uptime(claims) => {
                claims.window.say(&mut say);
                say("upShare", claims.up_share.into());
            }
            Claims::Throughput(claims) => {
                claims.window.say(&mut say);
                say("model", claims.model.as_str().into());
                say("tokensPerSecond", claims.tokens_per_second.into());
            }
            Claims::SummitAttendee(claims) => {
                say("eventName", claims.event_name.as_str().into());
                say("eventDate", claims.event_date.to_string().into());
            }
            Claims::PeerEndorsement(claims) => say("interactionCount", claims.interaction_count.into()),
            Claims::Binding(claims) => {
                say("linkedIdentity", claims.linked_identity.to_string().into());
                say("linkType", claims.link_type.as_str().into());
            }
        }
        map
    }
}

impl Window {
    fn say(&self, say: &mut impl FnMut(&str, Value)) {
        say("observedFrom", self.from.to_string().into());
        say("observedUntil", self.until.to_string().into());
        say("samples", self.samples.into());
    }
}

impl TrustGraph {
    /// Issues a credential whose claims are those of its type; otherwise as [`TrustGraph::issue`].
    ///
    /// # Errors
    /// `invalid_argument` with `claim` in its context when a claim is out of its range; as [`TrustGraph::issue`].
    pub async fn issue_claims(&self, subject: Did, claims: Claims, valid_for: Option<Duration>) -> Result<Credential> {
        let map = claims.to_map();
        Claims::of(claims.kind(), &map)?;
        self.issue(claims.kind(), subject, map, valid_for).await
    }
}

/// The names that a type gives a meaning.
fn names(kind: CredentialType) -> &'static [&'static str] {
    match kind {
        CredentialType::FiduciaryPledge => &["pledgeHash", "pledgeName"],
        CredentialType::VerifiedNode => &["checks", "nodeVersion"],
        CredentialType::Uptime => &["observedFrom", "observedUntil", "samples", "upShare"],
        CredentialType::Throughput => &["observedFrom", "observedUntil", "samples", "model", "tokensPerSecond"],
        CredentialType::SummitAttendee => &["eventName", "eventDate"],
        CredentialType::PeerEndorsement => &["interactionCount"],
        CredentialType::Binding => &["linkedIdentity", "linkType"],
    }
}

/// The claims of a credential of a type, as JSON has them.
struct Said<'a> {
    kind: CredentialType,
    claims: &'a Map<String, Value>,
}

impl Said<'_> {
    fn wrong(&self, name: &'static str, expected: &str) -> Error {
        let found = if self.has(name) { "is not" } else { "is missing; it is" };
        Rule::Claims.invalid(format!("the claim {name} of the {} {found} {expected}", self.kind)).with("claim", name)
    }

    fn check(&self, name: &'static str) -> Result<()> {
        match name {
            "checks" => self.texts(name).map(drop),
            "observedFrom" | "observedUntil" => self.instant(name).map(drop),
            "samples" => self.count(name, 1).map(drop),
            "interactionCount" => self.count(name, 0).map(drop),
            "upShare" => self.share().map(drop),
            "tokensPerSecond" => self.rate().map(drop),
            // KwaaiNet's software takes the day as its operator types it.
            "eventDate" => self.date(name).map(drop).or_else(|error| self.instant(name).map(drop).map_err(|_| error)),
            "linkedIdentity" => self.any_identity(),
            "linkType" => self.link().map(drop),
            _ => self.text(name).map(drop),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.claims.contains_key(name)
    }

    fn text(&self, name: &'static str) -> Result<String> {
        self.claims
            .get(name)
            .and_then(text_of)
            .ok_or_else(|| self.wrong(name, &format!("a text of 1 to {MAX_CLAIM_TEXT} bytes")))
    }

    fn texts(&self, name: &'static str) -> Result<Vec<String>> {
        let listed =
            self.claims.get(name).and_then(Value::as_array).filter(|list| (1..=MAX_CHECKS).contains(&list.len()));
        listed
            .and_then(|list| list.iter().map(text_of).collect())
            .ok_or_else(|| self.wrong(name, &format!("a list of 1 to {MAX_CHECKS} texts")))
    }

    fn count(&self, name: &'static str, least: u64) -> Result<u64> {
        self.claims
            .get(name)
            .and_then(Value::as_u64)
            .filter(|count| (least..=MAX_COUNT).contains(count))
            .ok_or_else(|| self.wrong(name, &format!("an integer from {least} to 2^53 - 1")))
    }

    fn number(&self, name: &'static str, expected: &str, fits: impl Fn(f64) -> bool) -> Result<f64> {
        let number = self.claims.get(name).and_then(Value::as_f64).filter(|number| fits(*number));
        number.ok_or_else(|| self.wrong(name, expected))
    }

    fn date(&self, name: &'static str) -> Result<Date> {
        let day = self.claims.get(name).and_then(Value::as_str).and_then(|text| {
            // The parser takes more spellings than the one that is written.
            text.parse().ok().filter(|day: &Date| day.to_string() == text)
        });
        day.ok_or_else(|| self.wrong(name, "a day such as 2026-01-31"))
    }

    fn instant(&self, name: &'static str) -> Result<Timestamp> {
        let instant = self.claims.get(name).and_then(|value| proof::date_time(name, value).ok());
        instant.ok_or_else(|| self.wrong(name, "an instant such as 2026-01-31T12:00:00Z"))
    }

    fn span(&self) -> Result<(Timestamp, Timestamp)> {
        let (from, until) = (self.instant("observedFrom")?, self.instant("observedUntil")?);
        if until <= from {
            return Err(self.wrong("observedUntil", "after observedFrom"));
        }
        Ok((from, until))
    }

    fn window(&self) -> Result<Window> {
        let (from, until) = self.span()?;
        Ok(Window { from, until, samples: self.count("samples", 1)? })
    }

    fn share(&self) -> Result<f64> {
        self.number("upShare", "a number from 0 to 1", |share| (0.0..=1.0).contains(&share))
    }

    fn rate(&self) -> Result<f64> {
        self.number("tokensPerSecond", "a number above 0 and up to 10^9", |rate| {
            rate > 0.0 && rate <= MAX_TOKENS_PER_SECOND
        })
    }

    fn identity(&self) -> Result<Did> {
        self.parsed("linkedIdentity", "a did:key of an Ed25519 key")
    }

    /// KwaaiNet links passkeys, whose keys are not read here.
    fn any_identity(&self) -> Result<()> {
        match self.identity() {
            Err(error) if !self.claims.get("linkedIdentity").is_some_and(is_foreign_key) => Err(error),
            _ => Ok(()),
        }
    }

    fn link(&self) -> Result<LinkType> {
        self.parsed("linkType", "the kind of an identity")
    }

    fn parsed<T: FromStr<Err = Error>>(&self, name: &'static str, expected: &str) -> Result<T> {
        let parsed = self.claims.get(name).and_then(Value::as_str).map(str::parse);
        match parsed {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(self.wrong(name, expected).with_source(error)),
            None => Err(self.wrong(name, expected)),
        }
    }
}

/// Whether this is a did:key of a kind that is not read here.
fn is_foreign_key(value: &Value) -> bool {
    let did = value.as_str().filter(|text| text.starts_with("did:key:")).map(str::parse::<Did>);
    did.is_some_and(|did| did.is_err_and(|error| error.code() == ErrorCode::Unsupported))
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().filter(|text| (1..=MAX_CLAIM_TEXT).contains(&text.len())).map(String::from)
}
