//! How often one asker is answered.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use super::policy::Minimum;
use super::statement;
use crate::identity::Did;
use crate::{Error, Result};

/// How many questions of one asker are answered within an hour, [words](super::TrustWord) among them.
pub const QUESTIONS_PER_HOUR: u32 = 60;

/// Askers and thresholds that are remembered. Beyond them new thresholds wait until old ones are forgotten.
const MAX_REMEMBERED: usize = 4096;

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24 * HOUR;

/// Who has asked how much of late. It belongs to whatever answers questions, and is forgotten with it.
#[derive(Debug, Default)]
pub struct Askers(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    /// Asker → the begin of its hour, and its questions since.
    questions: BTreeMap<Did, (Timestamp, u32)>,
    /// Asker and subject → the one threshold of the day, and since when.
    thresholds: BTreeMap<(Did, Did), (Timestamp, Minimum)>,
}

impl Askers {
    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a question.
    pub(super) fn admit(&self, asker: Did, now: Timestamp) -> Result<()> {
        let mut remembered = self.remembered();
        let questions = &mut remembered.questions;
        make_room(questions, asker, |(since, _)| runs(*since, HOUR, now));
        if questions.len() >= MAX_REMEMBERED && !questions.contains_key(&asker) {
            // Names cost nothing, so that a crowd of them must not keep out whoever comes next. Who asked the least is forgotten: that
            // gives nobody more questions than a new name would.
            let least = questions.iter().min_by_key(|(_, (since, asked))| (*asked, *since)).map(|(asker, _)| *asker);
            least.map(|least| questions.remove(&least));
        }
        let (_, asked) = questions.entry(asker).or_insert((now, 0));
        if *asked >= QUESTIONS_PER_HOUR {
            return Err(too_many());
        }
        *asked += 1;
        Ok(())
    }

    /// Whether this is the asker's threshold of the day for this subject.
    pub(super) fn may_compare(&self, asker: Did, about: Did, minimum: Minimum, now: Timestamp) -> bool {
        let mut remembered = self.remembered();
        let thresholds = &mut remembered.thresholds;
        let key = (asker, about);
        make_room(thresholds, key, |(since, _)| runs(*since, DAY, now));
        if thresholds.len() >= MAX_REMEMBERED && !thresholds.contains_key(&key) {
            return false;
        }
        thresholds.entry(key).or_insert((now, minimum)).1 == minimum
    }
}

/// Forgets what no longer runs: the entry of this key, and every other when the map is full.
fn make_room<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, runs: impl Fn(&V) -> bool) {
    if map.get(&key).is_some_and(|value| !runs(value)) {
        map.remove(&key);
    }
    if map.len() >= MAX_REMEMBERED {
        map.retain(|_, value| runs(value));
    }
}

/// Whether a time that began then still runs. A clock that was set back ends it.
fn runs(since: Timestamp, seconds: i64, now: Timestamp) -> bool {
    since <= now && !statement::is_older(since, seconds - 1, now)
}

fn too_many() -> Error {
    Error::busy("this node has been asked too many questions of late").with_remedy("ask again in an hour")
}
