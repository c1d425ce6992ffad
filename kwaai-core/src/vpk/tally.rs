//! How many changes a host made, and how many of them were noticed.

use std::collections::BTreeMap;

use super::Mode;

/// The ways in which a host changes what it answers.
pub(super) const KINDS: [&str; 6] = ["flip", "scale", "swap", "replay", "drop", "roll back"];

/// So many changes are tried: `KWAAINET_TAMPER_TRIALS`, or fewer, to be quick.
pub(super) fn trials(default: usize) -> usize {
    std::env::var("KWAAINET_TAMPER_TRIALS").map_or(default, |trials| trials.parse().unwrap())
}

/// For each kind, the changes that were noticed and all of them.
#[derive(Default)]
pub(super) struct Tally(BTreeMap<&'static str, (usize, usize)>);

impl Tally {
    pub(super) fn count(&mut self, kind: &'static str, noticed: bool) {
        let (seen, all) = self.0.entry(kind).or_default();
        *seen += usize::from(noticed);
        *all += 1;
    }

    pub(super) fn changes(&self) -> usize {
        self.0.values().map(|(_, all)| all).sum()
    }

    /// Says what became of them, and fails unless each was noticed and none of the kinds is missing.
    pub(super) fn close(self, mode: Mode) {
        let noticed: usize = self.0.values().map(|(noticed, _)| noticed).sum();
        println!("tampering under {mode}: {noticed} of {} noticed, by kind {:?}", self.changes(), self.0);
        assert_eq!(noticed, self.changes());
        assert!(KINDS.iter().all(|kind| self.0.contains_key(kind)));
    }
}
