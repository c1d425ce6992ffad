//! Unary calls over a stream: one request, one reply. The bytes are described in [`wire`](super::wire).

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use libp2p::PeerId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;

use super::dispatch::{Dispatch, short, told};
use super::wire::{REPLY_PREFIX, REQUEST_PREFIX, Reply, ReplyPrefix, Request, RequestPrefix, decode_name, shown};
use crate::{Error, ErrorCode, Result};

/// The protocol of one call per stream.
pub(crate) const PROTOCOL: &str = "/kwaainet/rpc/1.0.0";

/// How many bytes a second a request's body must bring once the time for its head is over.
const SLOWEST: f64 = 16.0 * 1024.0;

/// How much is reserved for a body at once, however long it says it is.
const FIRST_RESERVE: usize = 64 * 1024;

/// Sends a call and waits for its reply; the caller sets the deadline around it.
pub(crate) async fn call<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    peer: PeerId,
    method: &str,
    body: &[u8],
    deadline: Duration,
) -> Result<Bytes> {
    let deadline_ms = u32::try_from(deadline.as_millis()).unwrap_or(u32::MAX).max(1);
    let head = Request::encode_head(method, deadline_ms, body.len())?;
    let sent = async {
        stream.write_all(&head).await?;
        stream.write_all(body).await?;
        stream.flush().await
    }
    .await;
    // A host that refuses may stop reading; its reason is then still to be had.
    match (read_reply(&mut stream, peer).await, sent) {
        (Err(error), Err(broken)) if error.code() == ErrorCode::Unreachable => Err(error.with_source(broken)),
        (reply, _) => reply,
    }
}

/// Reads a reply and turns an error in it into an error here.
pub(crate) async fn read_reply<S: AsyncRead + Unpin>(stream: &mut S, peer: PeerId) -> Result<Bytes> {
    let gone = |error: std::io::Error| {
        Error::unreachable("the peer closed the stream without an answer").with("peer", peer).with_source(error)
    };
    let mut prefix = [0; REPLY_PREFIX];
    stream.read_exact(&mut prefix).await.map_err(gone)?;
    let prefix = ReplyPrefix::decode(&prefix).map_err(|error| error.with("peer", peer))?;
    let rest = read_sized(stream, prefix.len).await.map_err(gone)?;
    match Reply::from_parts(prefix, rest).map_err(|error| error.with("peer", peer))? {
        Reply::Body(body) => Ok(body),
        Reply::Error(code, message) => Err(Error::new(code, shown(&message, 1024)).with("peer", peer)),
    }
}

/// Reads exactly `len` bytes, reserving memory only as they come.
async fn read_sized<S: AsyncRead + Unpin>(stream: &mut S, len: usize) -> std::io::Result<Bytes> {
    let mut out = Vec::with_capacity(len.min(FIRST_RESERVE));
    stream.take(len as u64).read_to_end(&mut out).await?;
    if out.len() < len {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(out.into())
}

/// Reads a request's body, unless it comes so slowly that its sender does nothing but hold a place.
pub(super) async fn read_body<S: AsyncRead + Unpin>(
    stream: &mut S,
    len: usize,
    patience: Duration,
) -> std::io::Result<Bytes> {
    let began = Instant::now();
    let mut out = Vec::with_capacity(len.min(FIRST_RESERVE));
    while out.len() < len {
        let due = began + patience + Duration::from_secs_f64(out.len() as f64 / SLOWEST);
        let mut rest = (&mut *stream).take((len - out.len()).min(FIRST_RESERVE) as u64);
        if tokio::time::timeout_at(due, rest.read_buf(&mut out)).await?? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(out.into())
}

/// Why a frame could not be read.
pub(crate) enum Unread {
    /// The peer went away in the middle of it.
    Gone,
    /// The peer broke the protocol.
    Broken(Error),
}

impl From<std::io::Error> for Unread {
    fn from(_: std::io::Error) -> Unread {
        Unread::Gone
    }
}

impl From<Error> for Unread {
    fn from(error: Error) -> Unread {
        Unread::Broken(error)
    }
}

async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> std::result::Result<(RequestPrefix, String), Unread> {
    let mut prefix = [0; REQUEST_PREFIX];
    stream.read_exact(&mut prefix).await?;
    let prefix = RequestPrefix::decode(&prefix)?;
    let mut method = vec![0; prefix.method_len];
    stream.read_exact(&mut method).await?;
    Ok((prefix, decode_name(&method)?))
}

/// Serves one call to its end, or until its caller is gone.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(dispatch: &Dispatch, caller: PeerId, mut stream: S) {
    let limits = &dispatch.limits;
    let head = match tokio::time::timeout(limits.header_timeout, read_head(&mut stream)).await {
        Ok(Ok(head)) => head,
        Ok(Err(Unread::Broken(why))) => return dispatch.cut_off(caller, &why).await,
        // Silent or gone: dropping the stream is all there is to say.
        Ok(Err(Unread::Gone)) | Err(_) => return,
    };
    let (prefix, method) = head;
    let timing = dispatch.timing(&method);
    let deadline = Instant::now() + Duration::from_millis(u64::from(prefix.deadline_ms)).min(limits.max_call_duration);

    let admitted = tokio::time::timeout_at(deadline, dispatch.admit_call(caller, &method)).await;
    let handler = match admitted.unwrap_or_else(|_| Err(Error::timeout("the deadline passed at the gate"))) {
        Ok(handler) => handler,
        Err(error) => {
            timing.end(Some(error.code()));
            return refuse(&mut stream, &told(&error), prefix.body_len, limits.header_timeout).await;
        }
    };
    let body = read_body(&mut stream, prefix.body_len, limits.header_timeout);
    let Ok(Ok(body)) = tokio::time::timeout_at(deadline, body).await else {
        return;
    };

    let work = AssertUnwindSafe(handler.call(caller, body)).catch_unwind();
    let mut beyond = [0; 1];
    let answer = tokio::select! {
        // A caller that closes its side, or says more than its request, has given up.
        _ = stream.read(&mut beyond) => return,
        answer = tokio::time::timeout_at(deadline, work) => answer,
    };
    let reply = match answer {
        Ok(Ok(Ok(body))) => Reply::Body(body),
        Ok(Ok(Err(error))) => {
            tracing::debug!(peer = %short(&caller), method, code = %error.code(), "a call failed");
            told(&error)
        }
        Ok(Err(_panic)) => {
            tracing::error!(peer = %short(&caller), method, "a handler panicked");
            Reply::Error(ErrorCode::Internal, "the peer failed to serve the call".into())
        }
        Err(_) => Reply::Error(ErrorCode::Timeout, "the deadline passed at the host".into()),
    };
    timing.end(reply.code());
    let frame = reply.encode().or_else(|error| told(&error).encode());
    let Ok(frame) = frame else { return };
    let slack = limits.header_timeout.max(deadline.saturating_duration_since(Instant::now()));
    let Ok(Ok(())) = tokio::time::timeout(slack, send(&mut stream, &frame)).await else { return };
    // The caller closes its side when it has the reply. Until then the place counts as taken, so that a shutdown does
    // not close the connection over a reply on its way; a caller that dawdles holds it no longer than a silent one.
    let _ = tokio::time::timeout(limits.header_timeout, stream.read(&mut beyond)).await;
}

pub(super) async fn send<S: AsyncWrite + Unpin>(stream: &mut S, frame: &[u8]) -> std::io::Result<()> {
    stream.write_all(frame).await?;
    stream.shutdown().await
}

/// Answers without serving, and reads on for a while so that a caller that is still sending gets to the answer.
pub(crate) async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    reply: &Reply,
    unread: usize,
    timeout: Duration,
) {
    let Ok(frame) = reply.encode() else { return };
    let farewell = async {
        send(stream, &frame).await?;
        tokio::io::copy(&mut stream.take(unread as u64), &mut tokio::io::sink()).await
    };
    // Whether the caller hears it is the caller's affair.
    let _ = tokio::time::timeout(timeout, farewell).await;
}
