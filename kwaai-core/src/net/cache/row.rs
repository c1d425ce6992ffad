//! One row of the cache: where a peer was reached, when last, and how often.

use libp2p::Multiaddr;

use crate::net::address::{MAX_ADDRESS, check_dialable, is_relayed, peer_of};

/// The layout of a row; another number is not read.
const VERSION: u8 = 1;
/// So many days of acquaintance count for the rank of a peer, so that newcomers displace old friends only after a while.
const MAX_DAYS: u32 = 14;

const DAY: i64 = 24 * 3600;

/// Where a peer was reached, when last, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Row {
    /// The address that was dialled, without the PeerId, and through no relay.
    pub address: Multiaddr,
    /// Seconds since 1970.
    pub last: i64,
    /// On how many days it was reached.
    pub days: u32,
    /// Whether the owner named it, as a bootstrap or a relay.
    pub named: bool,
}

impl Row {
    /// The row with another time of reaching the peer.
    pub(super) fn again(&self, now: i64) -> (i64, u32) {
        let another_day = now.div_euclid(DAY) > self.last.div_euclid(DAY);
        (self.last.max(now), self.days.saturating_add(u32::from(another_day)))
    }

    /// Greater for a peer that is likelier to answer.
    pub(super) fn rank(&self) -> (bool, i64) {
        (self.named, self.last.saturating_add(DAY * i64::from(self.days.min(MAX_DAYS))))
    }

    /// Version, flags (1: named), the time of the last success and the number of days, both little-endian in eight and four
    /// bytes, then the address in its binary form.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut row = vec![VERSION, u8::from(self.named)];
        row.extend(self.last.to_le_bytes());
        row.extend(self.days.to_le_bytes());
        row.extend(self.address.to_vec());
        row
    }

    /// `None` for what this library would not have written.
    pub(super) fn decode(row: &[u8]) -> Option<Row> {
        let (&[version, flags], rest) = row.split_first_chunk::<2>()?;
        let (last, rest) = rest.split_first_chunk()?;
        let (days, address) = rest.split_first_chunk()?;
        let (last, days) = (i64::from_le_bytes(*last), u32::from_le_bytes(*days));
        if version != VERSION || flags > 1 || last < 0 || days == 0 || address.len() > MAX_ADDRESS {
            return None;
        }
        let address = Multiaddr::try_from(address.to_vec()).ok()?;
        let usable = check_dialable(&address).is_ok() && !is_relayed(&address) && peer_of(&address).is_none();
        usable.then_some(Row { address, last, days, named: flags == 1 })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row() -> Row {
        Row { address: "/ip4/192.0.2.1/tcp/8080".parse().unwrap(), last: 1_780_000_000, days: 3, named: true }
    }

    #[test]
    fn a_row_has_these_bytes() {
        let bytes = *b"\x01\x01\x00\xa5\x18\x6a\x00\x00\x00\x00\x03\x00\x00\x00\x04\xc0\x00\x02\x01\x06\x1f\x90";
        assert_eq!(row().encode(), bytes);
        assert_eq!(Row::decode(&bytes), Some(row()));
    }

    #[test]
    fn a_row_that_nobody_could_have_written_is_none() {
        let good = row().encode();
        for (place, byte) in [(0, 2), (1, 2), (9, 0xff), (10, 0), (14, 0xff)] {
            let mut bad = good.clone();
            bad[place] = byte;
            assert_eq!(Row::decode(&bad), None, "byte {place}");
        }
        let peer = libp2p::PeerId::random();
        for address in [
            "/ip4/192.0.2.1".to_owned(),
            "/memory/1".to_owned(),
            format!("/ip4/192.0.2.1/tcp/1/p2p/{peer}"),
            format!("/ip4/192.0.2.1/tcp/1/p2p/{peer}/p2p-circuit/p2p/{peer}"),
            format!("/dns4/{}/tcp/1", "x".repeat(MAX_ADDRESS)),
        ] {
            let bad = Row { address: address.parse().unwrap(), ..row() };
            assert_eq!(Row::decode(&bad.encode()), None, "{address}");
        }
    }

    #[test]
    fn a_peer_counts_for_more_when_it_was_reached_later_and_on_more_days() {
        let today = Row { named: false, ..row() };
        assert!(today.rank() < row().rank());
        assert!(Row { days: 4, ..today.clone() }.rank() > today.rank());
        assert_eq!(Row { days: 99, ..today.clone() }.rank(), Row { days: MAX_DAYS, ..today.clone() }.rank());
        assert_eq!(today.again(today.last + 60), (today.last + 60, 3));
        assert_eq!(today.again(today.last + DAY), (today.last + DAY, 4));
        assert_eq!(today.again(0), (today.last, 3), "a clock that was set back takes nothing away");
    }

    proptest! {
        #[test]
        fn fuzz_what_was_written_is_read_and_nothing_else_panics(
            last in 0..i64::MAX, days in 1..u32::MAX, named: bool, ip: [u8; 4], port: u16,
            noise in prop::collection::vec(any::<u8>(), 0..300), cut: prop::sample::Index, byte: u8,
        ) {
            let address = format!("/ip4/{}.{}.{}.{}/udp/{port}/quic-v1", ip[0], ip[1], ip[2], ip[3]).parse().unwrap();
            let row = Row { address, last, days, named };
            let bytes = row.encode();
            prop_assert_eq!(Row::decode(&bytes), Some(row));
            let mut changed = bytes.clone();
            changed[cut.index(bytes.len())] = byte;
            for tried in [&noise[..], &bytes[..cut.index(bytes.len())], &changed[..]] {
                if let Some(read) = Row::decode(tried) {
                    prop_assert_eq!(read.encode(), tried);
                }
            }
        }
    }
}
