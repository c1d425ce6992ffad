//! Unary calls on streams that other implementations open by a name of theirs.
//!
//! KwaaiNet's nodes open a stream by the protocol's own name, and on it send one call in the frame of go-libp2p-daemon; the answer
//! comes in such a frame too ([`frame`]). Such a name is offered to peers only while something serves it. Places, the gate
//! and the pace of a body are those of our own calls; a call has no deadline of its own there, so that all have one.

mod inbound;

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use libp2p::PeerId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};

pub(crate) use inbound::{Behaviour, Offered};

use super::dispatch::{Dispatch, short, told};
use super::hivemind::frame::{self, Answer, Call, OVERHEAD};
use super::limits::{Permit, Quota};
use super::rpc;
use super::wire::{MAX_REQUEST_BODY, Reply};
use crate::{Error, ErrorCode, Result};

/// How long an answer may take once the call has come.
const ANSWER: Duration = Duration::from_secs(30);

/// Whom the gate refuses is told so when the call has no more bytes than this; more is not read.
const HEARD_OUT: usize = 64 * 1024;

/// Calls that are longer than ours may be, of one peer and in all.
const LARGE: (usize, usize) = (2, 16);

/// The room for calls that are longer than ours may be.
pub(crate) fn large() -> std::sync::Arc<Quota> {
    Quota::new(LARGE.0, LARGE.1)
}

/// Serves the one call of a stream.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    dispatch: &Dispatch,
    caller: PeerId,
    protocol: &str,
    mut stream: S,
) {
    let limits = &dispatch.limits;
    let length = match timeout(limits.header_timeout, frame::read_length(&mut stream)).await {
        Ok(Ok(length)) => length,
        Ok(Err(error)) if error.code() == ErrorCode::CorruptData => return dispatch.cut_off(caller, &error).await,
        // Silent or gone.
        Ok(Err(_)) | Err(_) => return,
    };
    let timing = dispatch.timing(protocol);
    let admitted = dispatch.admit_foreign(caller, protocol).await;
    if let Err(error) = &admitted
        && length > HEARD_OUT
    {
        return timing.end(Some(error.code()));
    }
    let _large: Option<Permit> = match length > MAX_REQUEST_BODY + OVERHEAD {
        false => None,
        true => match dispatch.large.take(caller) {
            Some(permit) => Some(permit),
            None => return timing.end(Some(ErrorCode::Busy)),
        },
    };
    let Ok(message) = rpc::read_body(&mut stream, length, limits.header_timeout).await else { return };
    let call = match Call::decode(&message) {
        Ok(call) => call,
        Err(error) => return dispatch.cut_off(caller, &error).await,
    };
    drop(message);
    let deadline = Instant::now() + ANSWER.min(limits.max_call_duration);
    let answered = async {
        let handler = admitted?;
        if call.method != protocol {
            return Err(Error::invalid_argument("the call names another protocol than its stream"));
        }
        let work = AssertUnwindSafe(handler.call(caller, call.data.into())).catch_unwind();
        work.await.unwrap_or_else(|_panic| {
            tracing::error!(peer = %short(&caller), protocol, "a handler panicked");
            Err(Error::internal("a handler panicked"))
        })
    };
    let outcome = timeout_at(deadline, answered).await;
    let outcome = outcome.unwrap_or_else(|_| Err(Error::timeout("the deadline passed at the host")));
    timing.end(outcome.as_ref().err().map(Error::code));
    let outcome = outcome.map(|body| body.to_vec()).map_err(|error| match told(&error) {
        Reply::Error(_, message) => message,
        Reply::Body(_) => String::new(),
    });
    let frame = Answer { id: call.id, outcome }.encode();
    // The caller may be gone.
    let _ = timeout(limits.header_timeout, rpc::send(&mut stream, &frame)).await;
}

/// Refuses names that cannot be offered to peers, or are our own.
pub(crate) fn check(protocol: &str) -> Result<()> {
    match protocol.starts_with('/') && !protocol.starts_with("/kwaainet/") {
        true => Ok(()),
        false => Err(Error::invalid_argument("a stream of others has a name that begins with a slash and is not ours")
            .with("name", protocol)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_ours_or_without_a_slash_is_not_offered() {
        check("/kwaai/storage/1.0.0").unwrap();
        for name in ["storage", "", super::rpc::PROTOCOL] {
            assert_eq!(check(name).unwrap_err().code(), ErrorCode::InvalidArgument, "{name}");
        }
    }
}
