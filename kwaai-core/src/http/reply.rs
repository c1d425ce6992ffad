//! Answers: JSON, events, and errors in OpenAI's envelope.

use std::convert::Infallible;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use crate::{Error, ErrorCode};

pub(super) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// A request that is not answered, and why.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    pub status: StatusCode,
    message: String,
    param: Option<String>,
    code: Option<&'static str>,
}

impl Failure {
    pub fn new(status: StatusCode, message: impl Into<String>) -> Failure {
        Failure { status, message: message.into(), param: None, code: None }
    }

    /// A request that is wrong, and the field that makes it so.
    pub fn invalid(param: Option<&str>, message: impl Into<String>) -> Failure {
        let failure = Failure::new(StatusCode::BAD_REQUEST, message);
        Failure { param: param.map(str::to_owned), ..failure }
    }

    /// A request for what this server does not do.
    pub fn unsupported(param: &str, message: impl Into<String>) -> Failure {
        Failure::invalid(Some(param), message).with_code("unsupported_parameter")
    }

    pub fn unauthorized(message: &str) -> Failure {
        Failure::new(StatusCode::UNAUTHORIZED, message).with_code("invalid_api_key")
    }

    pub fn no_model(name: &str) -> Failure {
        let message = format!("there is no model {name:.60?} here; GET /v1/models lists those that there are");
        Failure { param: Some("model".into()), ..Failure::new(StatusCode::NOT_FOUND, message) }
            .with_code("model_not_found")
    }

    pub fn no_knowledge(name: &str) -> Failure {
        let message =
            format!("there is no knowledge base {name:.60?} here; GET /v1/knowledge lists those that there are");
        Failure::new(StatusCode::NOT_FOUND, message).with_code("knowledge_not_found")
    }

    /// What a knowledge base says of a document that a request names or brings, where it is the request that is wrong.
    pub fn about_document(error: Error) -> Failure {
        let status = status_of_document(error.code(), error.context().contains_key("limit"));
        match status {
            Some(status) => Failure::new(status, error.to_string()).with_code(error.code().as_str()),
            None => error.into(),
        }
    }

    /// The same, of an event that tells why a document was not taken.
    pub fn of_file(code: &str, message: &str) -> Failure {
        let code = ErrorCode::ALL.iter().copied().find(|own| own.as_str() == code).unwrap_or(ErrorCode::Internal);
        match status_of_document(code, code == ErrorCode::ResourceExhausted) {
            Some(status) => Failure::new(status, message).with_code(code.as_str()),
            None => Error::new(code, message).into(),
        }
    }

    pub fn with_code(self, code: &'static str) -> Failure {
        Failure { code: Some(code), ..self }
    }

    /// The envelope, as it stands in a body and in an event.
    pub fn envelope(&self) -> Value {
        let kind = match self.status.as_u16() {
            429 => "rate_limit_error",
            503 | 504 => "service_unavailable_error",
            500..=599 => "server_error",
            _ => "invalid_request_error",
        };
        json!({"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}})
    }

    pub fn response(&self) -> Response<Body> {
        let mut response = json(self.status, &self.envelope());
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

/// The status of an error that a document causes; `None` where it is the server's own.
fn status_of_document(code: ErrorCode, too_large: bool) -> Option<StatusCode> {
    Some(match code {
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Conflict | ErrorCode::AlreadyExists => StatusCode::CONFLICT,
        ErrorCode::Unsupported => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        ErrorCode::CorruptData => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::ResourceExhausted if too_large => StatusCode::PAYLOAD_TOO_LARGE,
        _ => return None,
    })
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let too_long = error.context().contains_key("max_context");
        let (status, code) = match error.code() {
            ErrorCode::InvalidArgument if too_long => (StatusCode::BAD_REQUEST, Some("context_length_exceeded")),
            ErrorCode::InvalidArgument => (StatusCode::BAD_REQUEST, None),
            ErrorCode::Unsupported => (StatusCode::BAD_REQUEST, Some("unsupported_parameter")),
            // Asked again, it is answered alike: what it conflicts with is not this server's to end.
            ErrorCode::Conflict => (StatusCode::BAD_REQUEST, Some("conflict")),
            ErrorCode::Timeout => (StatusCode::GATEWAY_TIMEOUT, Some("timeout")),
            ErrorCode::Unreachable
            | ErrorCode::UntrustedPeer
            | ErrorCode::PermissionDenied
            | ErrorCode::Busy
            | ErrorCode::ResourceExhausted
            | ErrorCode::Closed
            | ErrorCode::Cancelled => (StatusCode::SERVICE_UNAVAILABLE, Some(error.code().as_str())),
            _ => (StatusCode::INTERNAL_SERVER_ERROR, Some(error.code().as_str())),
        };
        // What the core calls otherwise than the API.
        let param = error.context().get("param").map(|param| match param.as_str() {
            "format" => "response_format".to_owned(),
            "hosts" => "kwaainet".to_owned(),
            own => own.to_owned(),
        });
        Failure { status, message: error.to_string(), param, code }
    }
}

pub(super) fn full(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Response<Body> {
    response(status, kind, Full::new(body.into()).boxed_unsync())
}

pub(super) fn response(status: StatusCode, kind: &'static str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // A browser is to take it for nothing else.
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

pub(super) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    full(status, "application/json", value.to_string())
}

/// One event of a stream. JSON has no line ends of its own.
pub(super) fn event(value: &Value) -> Bytes {
    Bytes::from(format!("data: {value}\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_that_is_wrong_has_a_status_of_its_own_and_the_servers_troubles_have_not() {
        let of = |error: Error| Failure::about_document(error).status.as_u16();
        assert_eq!(of(Error::not_found("x")), 404);
        assert_eq!(of(Error::new(ErrorCode::Conflict, "x")), 409);
        assert_eq!(of(Error::corrupt_data("x")), 422);
        assert_eq!(of(Error::resource_exhausted("x").with("limit", 5)), 413);
        assert_eq!(of(Error::resource_exhausted("the disk is full")), 503);
        assert_eq!(of(Error::closed("x")), 503);
        assert_eq!(Failure::of_file("unsupported", "x").status.as_u16(), 415);
        assert_eq!(Failure::of_file("resource_exhausted", "x").status.as_u16(), 413);
        assert_eq!(Failure::of_file("io", "x").status.as_u16(), 500);
    }

    #[test]
    fn every_code_of_an_error_has_its_status_and_the_envelope_its_four_members() {
        for code in ErrorCode::ALL {
            let failure = Failure::from(Error::new(*code, "why").with_remedy("do").with("param", "format"));
            let expected = match code {
                ErrorCode::InvalidArgument | ErrorCode::Unsupported | ErrorCode::Conflict => 400,
                ErrorCode::Timeout => 504,
                ErrorCode::NotFound
                | ErrorCode::AlreadyExists
                | ErrorCode::CorruptData
                | ErrorCode::Io
                | ErrorCode::Internal => 500,
                _ => 503,
            };
            assert_eq!(failure.status.as_u16(), expected, "{code}");
            let envelope = failure.envelope();
            let error = envelope["error"].as_object().unwrap();
            let mut members: Vec<&String> = error.keys().collect();
            members.sort();
            assert_eq!(members, ["code", "message", "param", "type"]);
            assert_eq!((&error["message"], &error["param"]), (&"why; do".into(), &"response_format".into()));
        }
        let long = Failure::from(Error::invalid_argument("long").with("max_context", 5));
        assert_eq!(long.envelope()["error"]["code"], "context_length_exceeded");
    }
}
