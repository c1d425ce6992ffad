//! What was taken of a peer's word about others.

use kwaai_core::trust;
use serde::Serialize;

/// What was taken of a peer's word.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct TakenWord {
    /// The DID of whose word it is.
    pub recommender: String,
    /// About how many peers it was taken. None when the peer saw nobody or does not say.
    pub count: usize,
    /// When it was said, RFC 3339.
    pub made_at: String,
}

impl From<trust::TakenWord> for TakenWord {
    fn from(taken: trust::TakenWord) -> TakenWord {
        TakenWord { recommender: taken.recommender.to_string(), count: taken.count, made_at: taken.at.to_string() }
    }
}
