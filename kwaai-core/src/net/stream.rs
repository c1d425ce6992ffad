//! Raw streams: opened by name, accepted or refused by the host, then left to the two applications.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use libp2p::PeerId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::dispatch::{Dispatch, short, told};
use super::limits::Permit;
use super::rpc::{Unread, read_reply, refuse};
use super::wire::{MAX_NAME, Opening, Reply, corrupt, decode_name};
use crate::{Error, Result};

/// The protocol of raw streams.
pub(crate) const PROTOCOL: &str = "/kwaainet/stream/1.0.0";

/// Names what is wanted and waits until the host accepts; the caller sets the deadline around it.
pub(crate) async fn open<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, peer: PeerId, protocol: &str) -> Result<S> {
    let opening = Opening { protocol: protocol.to_owned() }.encode()?;
    let sent = async {
        stream.write_all(&opening).await?;
        stream.flush().await
    }
    .await;
    let accepted = read_reply(&mut stream, peer).await;
    if !accepted?.is_empty() {
        return Err(corrupt("the peer answered the opening of a stream with a body").with("peer", peer));
    }
    sent.map_err(|error| Error::unreachable("the stream broke while it was opened").with_source(error))?;
    Ok(stream)
}

async fn read_opening<S: AsyncRead + Unpin>(stream: &mut S) -> std::result::Result<String, Unread> {
    let len = usize::from(stream.read_u8().await?);
    if len == 0 || len > MAX_NAME {
        return Err(corrupt(format!("a protocol name of {len} bytes")).into());
    }
    let mut name = vec![0; len];
    stream.read_exact(&mut name).await?;
    Ok(decode_name(&name)?)
}

/// Serves one raw stream to its end.
pub(crate) async fn serve<S>(dispatch: &Dispatch, caller: PeerId, mut stream: S, permit: Permit)
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let timeout = dispatch.limits.header_timeout;
    let protocol = match tokio::time::timeout(timeout, read_opening(&mut stream)).await {
        Ok(Ok(protocol)) => protocol,
        Ok(Err(Unread::Broken(why))) => return dispatch.cut_off(caller, &why).await,
        Ok(Err(Unread::Gone)) | Err(_) => return,
    };
    let (handler, stopped) = match dispatch.admit_stream(caller, &protocol).await {
        Ok(admitted) => admitted,
        Err(error) => return refuse(&mut stream, &told(&error), 0, timeout).await,
    };
    let accepted = async {
        let frame = Reply::Body(Default::default()).encode().map_err(io::Error::other)?;
        stream.write_all(&frame).await?;
        stream.flush().await
    };
    if !matches!(tokio::time::timeout(timeout, accepted).await, Ok(Ok(()))) {
        return;
    }
    let served = Served::new(stream, stopped.clone(), permit);
    let outcome = tokio::select! {
        biased;
        () = stopped.cancelled() => return,
        outcome = handler.serve(caller, Box::new(served)) => outcome,
    };
    if let Err(error) = outcome {
        tracing::debug!(peer = %short(&caller), protocol, code = %error.code(), "a stream ended with an error");
    }
}

/// A stream that this node serves. It holds its place under the limits, and breaks when serving stops, wherever the
/// handler put it.
struct Served<S> {
    stream: S,
    stopped: CancellationToken,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    _permit: Permit,
}

impl<S> Served<S> {
    fn new(stream: S, stopped: CancellationToken, permit: Permit) -> Served<S> {
        Served { stream, stop: Box::pin(stopped.clone().cancelled_owned()), stopped, _permit: permit }
    }

    fn check(&self) -> io::Result<()> {
        match self.stopped.is_cancelled() {
            true => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "this node stopped serving the stream")),
            false => Ok(()),
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Served<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        // Reading is where a handler waits for long, so it is woken when serving stops.
        let _ = self.stop.as_mut().poll(cx);
        Pin::new(&mut self.stream).poll_read(cx, out)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Served<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
