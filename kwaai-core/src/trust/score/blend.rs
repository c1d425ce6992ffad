//! How evidence moves the score that credentials give, and when a tier is held.

use super::super::experience::Evidence;
use super::super::policy::Tier;
use super::super::propagation::Heard;

/// The credential part counts as so many answers.
pub const PRIOR_ANSWERS: f64 = 10.0;

/// A bad answer that others report counts as so many when peers are chosen. Honest peers give few, so a warning tells more than
/// praise does, and a peer that deceives each asker once is known by the warnings of the deceived.
pub const WARNING: f64 = 4.0;

/// A tier is held until the lower bound lies so far below its threshold.
pub const HYSTERESIS: f64 = 0.02;

/// A score out of its parts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blend {
    /// From 0 to 1.
    pub value: f64,
    /// The value with the evidence read with caution.
    pub lower_bound: f64,
    /// The share of good answers to expect of the peer, one answer being supposed beforehand: half good without
    /// credentials, and good when they give a third or more. Of what others report [`Heard::choice`] is taken, and bad answers count
    /// [`WARNING`] times.
    pub expectation: f64,
}

/// The score of a peer whose credentials give `credentials`, with own evidence and what others report:
///
/// ```text
/// value = standing × (10 × credentials + good) / (10 + good + bad)
/// ```
///
/// That is alpha × credentials + (1 - alpha) × the share of good answers, with alpha = 10 / (10 + answers). The share is not
/// smoothed towards a half, since a good answer would then lower a high score: here more good answers never lower anything, and
/// more bad ones never raise anything. The lower bound takes [`Evidence::cautious`] instead of the evidence. Without
/// evidence and with a standing of 1 both are `credentials` itself. Results are rounded to 10^-15.
pub fn blend(credentials: f64, own: Evidence, heard: Heard, standing: f64) -> Blend {
    let evidence = own.and(heard.evidence);
    let at = |prior: f64, evidence: Evidence| {
        let share = (prior + evidence.good) / (PRIOR_ANSWERS + evidence.total());
        ((standing * share).clamp(0.0, 1.0) * 1e15).round() / 1e15
    };
    let supposed = (0.5 + 1.5 * credentials).min(1.0);
    let (good, bad) = (own.good + heard.choice.good, own.bad + WARNING * heard.choice.bad);
    let expectation = standing * (supposed + good) / (1.0 + good + bad);
    if evidence.total() <= 0.0 && standing >= 1.0 {
        return Blend { value: credentials, lower_bound: credentials, expectation };
    }
    Blend {
        value: at(PRIOR_ANSWERS * credentials, evidence),
        lower_bound: at(PRIOR_ANSWERS * credentials, own.cautious().and(heard.evidence)),
        expectation,
    }
}

/// The tier of a lower bound, given what it was before: `replay` shows the bounds of the past, newest first, until it is
/// told that that is enough.
pub(super) fn tier(lower_bound: f64, replay: impl FnOnce(&mut dyn FnMut(f64) -> bool)) -> Tier {
    let plain = Tier::of(lower_bound);
    let above = Tier::of(lower_bound + HYSTERESIS);
    if above == plain {
        return plain;
    }
    let mut held = plain;
    replay(&mut |before| {
        if Tier::of(before) >= above {
            held = above;
            return true;
        }
        Tier::of(before + HYSTERESIS) < above
    });
    held
}
