//! What each privacy mode tells a host, as data: the interface returns it and `docs/vpk.md` prints it.

use std::fmt;

use crate::{Error, Result};

/// How knowledge is hidden from the hosts that keep it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Mode {
    /// Not at all. For a machine of one's own, or by explicit choice.
    Plain = 1,
    /// Masked vectors and encrypted questions, for a single host.
    Seal = 2,
    /// Secret shares, for three or more hosts that do not work together.
    Split = 3,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Mode; 3] = [Mode::Plain, Mode::Seal, Mode::Split];

    /// Its name: `plain`, `seal` or `split`.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Plain => "plain",
            Mode::Seal => "seal",
            Mode::Split => "split",
        }
    }

    /// What it tells a host.
    pub fn leakage(self) -> &'static Leakage {
        match self {
            Mode::Plain => &PLAIN,
            Mode::Seal => &SEAL,
            Mode::Split => &SPLIT,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Mode {
    type Err = Error;

    fn from_str(text: &str) -> Result<Mode> {
        Mode::ALL
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or_else(|| Error::invalid_argument("a privacy mode is plain, seal or split"))
    }
}

/// What a host learns under a mode, and what that rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    pub learned: &'static str,
    /// What must hold for the rest to stay hidden.
    pub rests_on: &'static str,
}

const PLAIN: Leakage = Leakage {
    vectors: true,
    queries: true,
    matches: true,
    answers_checked: false,
    learned: "everything: the vectors, each question and its answers. Texts can be reconstructed from their vectors.",
    rests_on: "the host being you, or someone to whom you would give the documents themselves.",
};

const SEAL: Leakage = Leakage {
    vectors: false,
    queries: false,
    matches: false,
    answers_checked: true,
    learned: "how many vectors there are and in which batches they came, their dimension, when and how often is asked, from \
              which peer, and whether it is asked again after the host answered wrongly.",
    rests_on: "XChaCha20 as a stream of masks used once each, HKDF-SHA256, and ring learning with errors at about 128 bits \
               against classical computers. The crate that computes on ciphertexts was not audited, and neither was this.",
};

const SPLIT: Leakage = Leakage {
    vectors: false,
    queries: false,
    matches: false,
    answers_checked: true,
    learned: "how many vectors there are and in which batches they came, their dimension, when and how often is asked, and \
              from which peer.",
    rests_on: "no more than the chosen number of hosts working together, now or ever: one more, and they read everything. \
               Against fewer it rests on nothing but the operating system's random numbers, whatever computers can do.",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mode_has_a_name_that_is_found_again() {
        for mode in Mode::ALL {
            assert_eq!(mode.as_str().parse::<Mode>().unwrap(), mode);
        }
        assert!("rotation".parse::<Mode>().is_err());
    }

    #[test]
    fn the_documentation_prints_each_statement() {
        let text = include_str!("../../../docs/vpk.md").split_whitespace().collect::<Vec<_>>().join(" ");
        for mode in Mode::ALL {
            let leakage = mode.leakage();
            for statement in [leakage.learned, leakage.rests_on] {
                let statement = statement.split_whitespace().collect::<Vec<_>>().join(" ");
                assert!(text.contains(&statement), "docs/vpk.md does not say of {mode}: {statement}");
            }
        }
    }
}
