//! Models of a hub that are on this machine.

use kwaai_core::llm::hub::CachedModel;
use serde::Serialize;

/// One revision of a model of a hub that is on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct DownloadedModel {
    /// `owner/name`.
    pub id: String,
    /// The commit.
    pub revision: String,
    /// How long its files are together, in bytes; of those in part what is there.
    pub bytes: u64,
    /// Whether all of it is here, and not only the bytes that some blocks needed.
    pub whole: bool,
    /// The folder of its files.
    pub path: String,
}

impl From<CachedModel> for DownloadedModel {
    fn from(model: CachedModel) -> DownloadedModel {
        DownloadedModel {
            id: model.id,
            revision: model.revision,
            bytes: model.bytes,
            whole: model.whole,
            path: model.path.to_string_lossy().into_owned(),
        }
    }
}
