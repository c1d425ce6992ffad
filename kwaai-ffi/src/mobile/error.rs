//! The error of the object layer, as both languages can throw it.

use std::collections::HashMap;
use std::fmt;

use kwaai_core::ErrorCode;
use uniffi::UnexpectedUniFFICallbackError;

use crate::KwaaiError;

/// What went wrong. The packages make an exception of their own of it, with a class or a case for each code.
#[derive(Debug, Clone, uniffi::Error)]
pub enum NativeError {
    /// The one case; `KwaaiError` says what the fields are.
    Failed {
        /// The fixed code.
        code: String,
        /// The fixed number of the code.
        number: i32,
        /// For people.
        reason: String,
        /// Named details.
        context: HashMap<String, String>,
        /// Whether the same call may succeed later.
        retryable: bool,
        /// The failures underneath.
        beneath: Option<String>,
    },
}

impl From<KwaaiError> for NativeError {
    fn from(error: KwaaiError) -> NativeError {
        NativeError::Failed {
            code: error.code.as_str().to_string(),
            number: i32::from(error.number),
            reason: error.message,
            context: error.context.into_iter().collect(),
            retryable: error.retryable,
            beneath: error.cause,
        }
    }
}

impl From<kwaai_core::Error> for NativeError {
    fn from(error: kwaai_core::Error) -> NativeError {
        KwaaiError::from(error).into()
    }
}

/// What the app's code threw although it may only throw [`NativeError`].
impl From<UnexpectedUniFFICallbackError> for NativeError {
    fn from(error: UnexpectedUniFFICallbackError) -> NativeError {
        KwaaiError::foreign(ErrorCode::Internal, error.reason.clone(), Some(error.reason)).into()
    }
}

impl From<NativeError> for KwaaiError {
    fn from(error: NativeError) -> KwaaiError {
        let NativeError::Failed { code, reason, context, beneath, .. } = error;
        let known = ErrorCode::ALL.iter().find(|known| known.as_str() == code).copied();
        let mut error = KwaaiError::foreign(known.unwrap_or(ErrorCode::Internal), reason, beneath);
        error.context = context.into_iter().collect();
        error
    }
}

impl fmt::Display for NativeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NativeError::Failed { code, reason, .. } = self;
        write!(f, "{code}: {reason}")
    }
}

impl std::error::Error for NativeError {}
