//! Which of the hosts that were found are to keep a collection.
//!
//! Hosts that belong together count as one, for whoever has one of them may have the others. Belonging together is what can be
//! seen: one bound identity (a person or an organisation that both nodes are [linked](crate::trust::Binding) to), or one address
//! range. A range is a /24 of IPv4 and a /48 of IPv6, what one customer or one rack has. Loopback is one range, this machine; and
//! so are all hosts that are reached through relays alone, because nobody knows where they are.
//!
//! What cannot be seen is not known: two nodes without a link, in two ranges, may still be one person's.

use std::net::IpAddr;
use std::time::Duration;

use libp2p::PeerId;
use serde::{Deserialize, Serialize};

use super::{Mode, split};
use crate::identity::Did;
use crate::net::range::Range;
use crate::trust::Tier;
use crate::{Error, ErrorCode, Result};

/// What a host must have left unless something else is asked for.
const FREE_BYTES: u64 = 16 << 20;

const LOOPBACK: &str = "loopback";

/// What is asked of hosts that are not named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Placement {
    /// How many hosts keep the collection. `None` takes as many as its mode needs, and one to spare where there is one.
    pub replicas: Option<usize>,
    /// The bytes that each must have left for this owner; 16 MiB unless set.
    pub free_bytes: u64,
    /// The lowest tier; `None` takes the trust policy's minimum of `store_vectors`.
    pub min_tier: Option<Tier>,
    /// Whether hosts in one address range count as one; true unless set. Without it one machine can be many hosts.
    pub distinct_networks: bool,
}

impl Default for Placement {
    fn default() -> Placement {
        Placement { replicas: None, free_bytes: FREE_BYTES, min_tier: None, distinct_networks: true }
    }
}

/// A node that says that it hosts, as it was found when it was asked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HostOffer {
    /// Who it is.
    pub host: PeerId,
    /// How far this node trusts it.
    pub tier: Tier,
    /// The bytes that it has left for this node; 0 when it was refused.
    pub free_bytes: u64,
    /// How long it took to answer, on a connection that stood; `None` when it was not asked or did not answer.
    pub latency: Option<Duration>,
    /// The identities that are proven to be its person's or its organisation's.
    pub operators: Vec<Did>,
    /// The address ranges that its connections come from; none when it is reached through relays alone.
    pub networks: Vec<String>,
    /// Why it cannot keep anything; `None` when it can.
    pub refusal: Option<Error>,
}

impl HostOffer {
    pub(super) fn new(host: PeerId) -> HostOffer {
        HostOffer {
            host,
            tier: Tier::Unknown,
            free_bytes: 0,
            latency: None,
            operators: Vec::new(),
            networks: Vec::new(),
            refusal: None,
        }
    }

    pub(super) fn is_fit(&self) -> bool {
        self.refusal.is_none()
    }

    /// Whether two count as one.
    fn belongs_to(&self, other: &HostOffer, placement: &Placement) -> bool {
        let shared = |own: &[String], others: &[String]| {
            (own.is_empty() && others.is_empty()) || own.iter().any(|range| others.contains(range))
        };
        self.host == other.host
            || self.operators.iter().any(|operator| other.operators.contains(operator))
            || (placement.distinct_networks && shared(&self.networks, &other.networks))
    }
}

/// The range of an address, which is this machine for loopback.
pub(super) fn range(address: IpAddr) -> String {
    match address.to_canonical().is_loopback() {
        true => LOOPBACK.to_owned(),
        false => Range::site(address).to_string(),
    }
}

/// How many hosts a mode needs, of which so many may work together.
pub(super) fn needed(mode: Mode, colluding: usize) -> usize {
    if mode == Mode::Split { 2 * colluding + 1 } else { 1 }
}

/// How many are looked for: at least, and at most.
pub(super) fn wanted(mode: Mode, colluding: usize, placement: &Placement) -> Result<(usize, usize)> {
    let least = needed(mode, colluding);
    match placement.replicas {
        None => Ok((least, (least + 1).min(split::MAX_HOSTS))),
        Some(count) if (least..=split::MAX_HOSTS).contains(&count) => Ok((count, count)),
        Some(count) => Err(Error::invalid_argument(format!(
            "a collection under {mode} has {least} to {} hosts, not {count}",
            split::MAX_HOSTS
        ))
        .with("argument", "replicas")),
    }
}

/// Chooses `least` to `most` hosts, none of which belongs to another or to one of those that are `taken`: the fastest first.
///
/// # Errors
/// `not_found` when there are fewer, with how many were `found` and `needed`, and why the others were `refused`.
pub(super) fn choose(
    offers: &[HostOffer],
    taken: &[HostOffer],
    (least, most): (usize, usize),
    placement: &Placement,
) -> Result<Vec<PeerId>> {
    let free: Vec<&HostOffer> = offers
        .iter()
        .filter(|offer| offer.is_fit() && !taken.iter().any(|other| offer.belongs_to(other, placement)))
        .collect();
    let mut fastest = free.clone();
    fastest.sort_by_key(|offer| (offer.latency, offer.host));
    let mut chosen = independent(&fastest, placement);
    if chosen.len() < least {
        // Fast ones may stand in the way of several others; who belongs to few stands in the way of few.
        let mut loners = fastest;
        loners.sort_by_key(|offer| free.iter().filter(|other| offer.belongs_to(other, placement)).count());
        chosen = independent(&loners, placement);
    }
    if chosen.len() < least {
        return Err(too_few(offers, free.len(), chosen.len(), least));
    }
    chosen.truncate(most);
    Ok(chosen)
}

/// Takes one after the other that does not belong to one before.
fn independent(offers: &[&HostOffer], placement: &Placement) -> Vec<PeerId> {
    let mut chosen: Vec<&HostOffer> = Vec::new();
    for offer in offers {
        if !chosen.iter().any(|other| offer.belongs_to(other, placement)) {
            chosen.push(offer);
        }
    }
    chosen.into_iter().map(|offer| offer.host).collect()
}

fn too_few(offers: &[HostOffer], free: usize, found: usize, needed: usize) -> Error {
    let fit = offers.iter().filter(|offer| offer.is_fit()).count();
    let count = |code: ErrorCode| {
        offers.iter().filter(|offer| offer.refusal.as_ref().is_some_and(|error| error.code() == code)).count()
    };
    let reasons = [
        (fit - found.min(fit), "belong to others by their operator or address range"),
        (count(ErrorCode::UntrustedPeer), "are below the minimum tier"),
        (count(ErrorCode::ResourceExhausted), "have too little room"),
        (count(ErrorCode::PermissionDenied), "do not admit this node"),
    ];
    let told: usize = reasons.iter().map(|(count, _)| count).sum();
    let rest = (offers.len() - found).saturating_sub(told);
    let refused: Vec<String> = reasons
        .into_iter()
        .chain([(rest, "did not answer as hosts")])
        .filter(|(count, _)| *count > 0)
        .map(|(count, why)| format!("{count} {why}"))
        .collect();
    let refused = if refused.is_empty() { "nobody else was found".to_owned() } else { refused.join(", ") };
    Error::not_found(format!("{found} independent hosts were found, and {needed} are needed: {refused}"))
        .with("found", found)
        .with("needed", needed)
        .with("refused", refused)
        .with("fit", free)
        .with_remedy(
            "name the hosts, ask for fewer replicas, or lower what is asked of them; `discover` says what each lacks",
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Keypair;

    fn peer(seed: u8) -> PeerId {
        Keypair::from_seed([seed; 32]).peer_id()
    }

    fn did(seed: u8) -> Did {
        Keypair::from_seed([seed; 32]).did().unwrap()
    }

    fn offer(seed: u8, latency: u64, network: &str) -> HostOffer {
        HostOffer {
            latency: Some(Duration::from_millis(latency)),
            networks: vec![range(network.parse().unwrap())],
            free_bytes: 1 << 30,
            ..HostOffer::new(peer(seed))
        }
    }

    #[test]
    fn a_range_is_what_one_customer_has_and_loopback_is_one_machine() {
        for (address, expected) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.1", "192.0.2.0/24"),
            ("2001:db8:1:2::9", "2001:db8:1::/48"),
            ("127.0.0.1", LOOPBACK),
            ("127.9.9.9", LOOPBACK),
            ("::1", LOOPBACK),
        ] {
            assert_eq!(range(address.parse().unwrap()), expected);
        }
    }

    #[test]
    fn one_operator_one_range_and_one_key_count_as_one_host() {
        let placement = Placement::default();
        let mut offers = vec![
            offer(1, 30, "192.0.2.1"),
            offer(2, 10, "192.0.2.200"),
            offer(3, 20, "198.51.100.1"),
            offer(4, 5, "203.0.113.1"),
            offer(4, 4, "203.0.114.1"),
        ];
        offers[2].operators = vec![did(90), did(91)];
        offers[3].operators = vec![did(91)];
        offers[4].operators = vec![did(91)];
        // The second is faster than the first in its range; the fourth is there twice and the third's; the fastest wins.
        assert_eq!(choose(&offers, &[], (1, 9), &placement).unwrap(), [peer(4), peer(2)]);
        let anywhere = Placement { distinct_networks: false, ..placement.clone() };
        assert_eq!(choose(&offers, &[], (1, 9), &anywhere).unwrap(), [peer(4), peer(2), peer(1)]);
        // Beside a host that is there already.
        let taken = [offer(9, 1, "192.0.2.3")];
        assert_eq!(choose(&offers, &taken, (1, 1), &placement).unwrap(), [peer(4)]);
    }

    #[test]
    fn a_fast_host_that_belongs_to_two_others_gives_way_when_both_are_needed() {
        let mut offers = vec![offer(1, 1, "192.0.2.1"), offer(2, 20, "198.51.100.1"), offer(3, 30, "203.0.113.1")];
        offers[0].operators = vec![did(90), did(91)];
        offers[1].operators = vec![did(90)];
        offers[2].operators = vec![did(91)];
        assert_eq!(choose(&offers, &[], (1, 1), &Placement::default()).unwrap(), [peer(1)]);
        assert_eq!(choose(&offers, &[], (2, 2), &Placement::default()).unwrap(), [peer(2), peer(3)]);
    }

    #[test]
    fn hosts_behind_relays_count_as_one_because_nobody_knows_where_they_are() {
        let hidden = |seed| HostOffer { networks: Vec::new(), ..offer(seed, 1, "127.0.0.1") };
        let offers = [hidden(1), hidden(2), offer(3, 5, "127.0.0.1"), offer(4, 6, "127.0.0.2")];
        assert_eq!(choose(&offers, &[], (1, 9), &Placement::default()).unwrap().len(), 2);
    }

    #[test]
    fn who_finds_too_few_is_told_how_many_there_are_and_why_the_others_were_refused() {
        let mut offers: Vec<HostOffer> = (1..=6).map(|seed| offer(seed, 1, "192.0.2.1")).collect();
        offers[2].refusal = Some(Error::untrusted_peer("low"));
        offers[3].refusal = Some(Error::resource_exhausted("full"));
        offers[4].refusal = Some(Error::permission_denied("no"));
        offers[5].refusal = Some(Error::timeout("silent"));
        let error = choose(&offers, &[], (3, 4), &Placement::default()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotFound);
        assert_eq!(
            error.message(),
            "1 independent hosts were found, and 3 are needed: 1 belong to others by their operator or address range, 1 are \
             below the minimum tier, 1 have too little room, 1 do not admit this node, 1 did not answer as hosts"
        );
        assert_eq!((error.context()["found"].as_str(), error.context()["needed"].as_str()), ("1", "3"));
        assert!(
            choose(&[], &[], (1, 1), &Placement::default()).unwrap_err().message().ends_with("nobody else was found")
        );
    }

    #[test]
    fn as_many_hosts_are_wanted_as_the_mode_needs_and_one_to_spare() {
        let asked = |replicas| Placement { replicas, ..Placement::default() };
        assert_eq!(wanted(Mode::Seal, 0, &asked(None)).unwrap(), (1, 2));
        assert_eq!(wanted(Mode::Split, 1, &asked(None)).unwrap(), (3, 4));
        assert_eq!(wanted(Mode::Split, 1, &asked(Some(5))).unwrap(), (5, 5));
        for (mode, count) in [(Mode::Split, 2), (Mode::Seal, 0), (Mode::Split, 17)] {
            assert_eq!(wanted(mode, 1, &asked(Some(count))).unwrap_err().code(), ErrorCode::InvalidArgument);
        }
    }
}
