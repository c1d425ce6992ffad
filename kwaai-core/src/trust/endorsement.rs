//! What endorsements by peers are worth.
//!
//! All endorsements of a peer together add at most the 0.05 that KwaaiNet gives the type. An endorser whom this node named
//! as an issuer for the type fills it alone. Others fill what is left by what they are worth themselves: their own score, times how they
//! answer for what they endorsed before. An endorser's own score is taken without endorsements, so worth does not grow by
//! being passed around: a million identities that sign for each other are worth nothing, and behind one attack edge the
//! one that it reaches gains what the honest endorser is worth, and the others nothing.

use super::experience::Evidence;

/// Who endorses more peers than this divides its worth among them.
pub const ENDORSEMENT_BUDGET: usize = 20;

/// Who endorses more peers than this endorses nobody.
pub const MAX_ENDORSED: usize = 256;

/// How an endorser answers for what it endorsed, from 0 to 1: (1 - 2d)², d being the mean of bad / (total + 2) over those
/// of its endorsed that this node dealt with. 1 when it dealt with none.
pub fn answer_for(endorsed: impl IntoIterator<Item = Evidence>) -> f64 {
    let (mut count, mut sum) = (0usize, 0.0);
    for evidence in endorsed.into_iter().filter(|evidence| evidence.total() > 0.0) {
        count += 1;
        sum += evidence.bad / (evidence.total() + 2.0);
    }
    if count == 0 { 1.0 } else { (1.0 - 2.0 * sum / count as f64).max(0.0).powi(2) }
}

/// What an endorsement is worth, as a share of the type's weight: the endorser's score times how it
/// [answers](answer_for) for what it endorsed, divided when it endorses more than [`ENDORSEMENT_BUDGET`] peers.
pub fn worth(score: f64, answers: f64, endorsed: usize) -> f64 {
    match endorsed {
        0..=ENDORSEMENT_BUDGET => score * answers,
        _ if endorsed > MAX_ENDORSED => 0.0,
        _ => score * answers * ENDORSEMENT_BUDGET as f64 / endorsed as f64,
    }
}

/// What the endorsements of one peer add to its score: the weight of the type, filled by the worth of each endorser times the
/// age factor of its endorsement, and never more than full.
pub fn endorsed_score(endorsers: impl IntoIterator<Item = (f64, f64)>) -> f64 {
    let filled: f64 = endorsers.into_iter().map(|(worth, factor)| worth.max(0.0) * factor).sum();
    super::CredentialType::PeerEndorsement.weight() * filled.min(1.0)
}
