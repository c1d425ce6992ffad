//! Relays (circuit relay v2): this node as one, if its owner says so, and the relays that this node is reached through.
//!
//! A relay forwards encrypted bytes between two peers that cannot reach each other. It learns who talks to whom and how
//! much, never what.

mod client;
mod server;

use std::time::Duration;

pub(crate) use client::{Refusal, Reservations, TICK};
pub(crate) use server::Server;

use crate::{Error, Result};

/// The longest duration that fits the protocol's field, in whole weeks.
const MAX_DURATION: Duration = Duration::from_secs(100 * 7 * 24 * 3600);

/// How much a relay gives. The defaults let a model answer through it: the usual 128 KiB and two minutes of a circuit
/// would end in the middle of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayLimits {
    /// Peers that can be reached through this node at the same time. A quarter of the places is kept for peers that
    /// [`Purpose::RelayFreely`](crate::trust::Purpose::RelayFreely) admits.
    pub max_reservations: usize,
    /// How long a reservation lasts unless it is renewed.
    pub reservation_duration: Duration,
    /// Circuits at the same time.
    pub max_circuits: usize,
    /// Circuits that one peer opened at the same time.
    pub max_circuits_per_peer: usize,
    /// The same for a peer that [`Purpose::RelayFreely`](crate::trust::Purpose::RelayFreely) does not admit.
    pub max_circuits_per_stranger: usize,
    /// Bytes that one circuit may carry in each direction.
    pub max_circuit_bytes: u64,
    /// How long a circuit may last.
    pub max_circuit_duration: Duration,
}

impl Default for RelayLimits {
    /// 128 reservations of an hour; 128 circuits, 16 of a peer and 4 of a stranger, of 4 GiB and two hours each.
    fn default() -> RelayLimits {
        RelayLimits {
            max_reservations: 128,
            reservation_duration: Duration::from_secs(3600),
            max_circuits: 128,
            max_circuits_per_peer: 16,
            max_circuits_per_stranger: 4,
            max_circuit_bytes: 4 << 30,
            max_circuit_duration: Duration::from_secs(2 * 3600),
        }
    }
}

impl RelayLimits {
    /// Refuses limits under which nothing would be relayed, or that the protocol cannot say.
    pub(crate) fn validate(&self) -> Result<()> {
        let wrong = |name: &str, what: &str| {
            Err(Error::invalid_argument(format!("the relay's limit {name} {what}"))
                .with("limit", name)
                .with_remedy("leave it out for the default"))
        };
        let counts = [
            ("max_reservations", self.max_reservations as u64),
            ("max_circuits", self.max_circuits as u64),
            ("max_circuits_per_peer", self.max_circuits_per_peer as u64),
            ("max_circuit_bytes", self.max_circuit_bytes),
        ];
        if let Some((name, _)) = counts.into_iter().find(|(_, value)| *value == 0) {
            return wrong(name, "is 0, and nothing would be relayed");
        }
        let durations =
            [("reservation_duration", self.reservation_duration), ("max_circuit_duration", self.max_circuit_duration)];
        let spoken = Duration::from_secs(1)..=MAX_DURATION;
        match durations.into_iter().find(|(_, value)| !spoken.contains(value)) {
            Some((name, _)) => wrong(name, "is not between a second and a hundred weeks"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_relay_nothing_are_refused_by_name() {
        RelayLimits::default().validate().unwrap();
        let error = RelayLimits { max_circuits: 0, ..RelayLimits::default() }.validate().unwrap_err();
        assert_eq!(error.context()["limit"], "max_circuits");
        for duration in [Duration::ZERO, Duration::MAX] {
            let limits = RelayLimits { max_circuit_duration: duration, ..RelayLimits::default() };
            assert_eq!(limits.validate().unwrap_err().context()["limit"], "max_circuit_duration");
        }
    }
}
