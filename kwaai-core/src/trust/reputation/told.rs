//! What a node tells of its own experience, and what it takes of the experience of others.

use jiff::Timestamp;

use super::{Ledger, MAX_PER_RECOMMENDER, MAX_RECOMMENDATIONS, Said, lies_ahead};
use crate::Result;
use crate::identity::Did;
use crate::trust::experience::Evidence;
use crate::trust::word::Seen;

impl Ledger {
    /// What was seen of everybody but `except`, in thousandths of an answer: the most evidence first, of the same the newest.
    pub(in crate::trust) fn seen(&self, except: &[Did], now: Timestamp) -> Vec<Seen> {
        let mut seen: Vec<(Seen, Option<Timestamp>)> = self
            .state()
            .experience
            .iter()
            .filter(|(peer, _)| !except.contains(peer))
            .map(|(peer, experience)| {
                let evidence = in_thousandths(experience.evidence(now));
                (Seen { peer: *peer, evidence }, experience.last().min(Some(now)))
            })
            .filter(|(seen, _)| seen.evidence.total() > 0.0)
            .collect();
        seen.sort_by(|(a, a_last), (b, b_last)| {
            let by_weight = b.evidence.total().total_cmp(&a.evidence.total());
            by_weight.then(b_last.cmp(a_last)).then(a.peer.cmp(&b.peer))
        });
        seen.truncate(MAX_PER_RECOMMENDER);
        seen.into_iter().map(|(seen, _)| seen).collect()
    }

    /// Puts what a recommender saw in the place of what it said until `at`, and answers about how many peers it was taken.
    /// What it said later stays.
    pub(in crate::trust) fn take_word(
        &self,
        recommender: Did,
        seen: &[Seen],
        at: Timestamp,
        now: Timestamp,
    ) -> Result<usize> {
        let mut count = 0;
        if seen.is_empty() {
            return Ok(count);
        }
        self.change(now, |state| {
            let kept = state.said.get(&recommender).into_iter().flatten();
            let gives_way = |said: &Said| said.at <= at || lies_ahead(said.at, now);
            let older: Vec<Did> = kept.filter(|(_, said)| gives_way(said)).map(|(about, _)| *about).collect();
            for about in older {
                state.unsay(recommender, about);
            }
            if state.recommendations + seen.len() > MAX_RECOMMENDATIONS {
                state.make_room_for_words(now);
            }
            let words = state.said.entry(recommender).or_default();
            for Seen { peer, evidence } in seen {
                if words.contains_key(peer) || words.len() >= MAX_PER_RECOMMENDER {
                    continue;
                }
                let said = Said { evidence: *evidence, at };
                words.insert(*peer, said);
                state.recommendations += 1;
                state.pending.said.insert((recommender, *peer), Some(said));
                count += 1;
            }
            Ok(())
        })?;
        Ok(count)
    }
}

/// Finer than this no experience is told: the digits would tell its days apart.
fn in_thousandths(evidence: Evidence) -> Evidence {
    let rounded = |weight: f64| (weight * 1000.0).round() / 1000.0;
    Evidence { good: rounded(evidence.good), bad: rounded(evidence.bad) }
}
