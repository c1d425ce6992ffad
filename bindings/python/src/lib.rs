//! The private module `kwaainet._native`: the objects of `kwaai_ffi`, one expression for each verb. What Python users
//! see is written in Python, in `bindings/python/kwaainet`.

use pyo3::prelude::*;

mod array;
mod delivery;
mod error;
mod federation;
mod http;
mod identity;
mod log;
mod node;
mod operation;
mod provide;
mod rag;
mod reply;
mod shard;
mod stream;
#[cfg(feature = "checkout")]
mod testing;
mod trust;
mod vpk;

#[pymodule]
mod _native {
    use super::*;

    #[pymodule_export]
    use crate::delivery::shutdown;
    #[pymodule_export]
    use crate::federation::{Federation, SharedKnowledge, check_provenance, read_knowledge_capability};
    #[pymodule_export]
    use crate::http::HttpServer;
    #[pymodule_export]
    use crate::identity::resolve_did;
    #[pymodule_export]
    use crate::log::{LogQueue, init_logging};
    #[pymodule_export]
    use crate::node::Node;
    #[pymodule_export]
    use crate::operation::Operation;
    #[pymodule_export]
    use crate::provide::{Answer, Embedder, Reader, Signer, Writer};
    #[pymodule_export]
    use crate::rag::{Rag, calibration_at, check_citations, compare_evaluations, evaluation_report};
    #[pymodule_export]
    use crate::shard::{Model, ShardEngine};
    #[pymodule_export]
    use crate::stream::Stream;
    #[cfg(feature = "checkout")]
    #[pymodule_export]
    use crate::testing::{hang, live_handles, norms, numbers, panic, raise_error, seed_did, seed_sign};
    #[pymodule_export]
    use crate::trust::TrustGraph;
    #[pymodule_export]
    use crate::vpk::{HostConsole, VectorCollection, Vpk};

    #[pymodule_export]
    const VERSION: &str = kwaai_ffi::VERSION;

    /// Every error code: its string, its number, and whether it is retryable.
    #[pyfunction]
    fn error_codes() -> Vec<(&'static str, u16, bool)> {
        kwaai_ffi::ErrorCode::ALL.iter().map(|code| (code.as_str(), code.number(), code.is_retryable())).collect()
    }
}
