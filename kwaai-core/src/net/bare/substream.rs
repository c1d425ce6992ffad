//! A substream that is translated as long as it is negotiated.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{AsyncRead, AsyncWrite};

use super::negotiation::Negotiation;

/// How much of the local writer's bytes is translated at once.
const MAX_CHUNK: usize = 1 << 16;

/// A substream; nothing but its inner one once `negotiation` is gone.
pub(crate) struct Substream<S> {
    inner: S,
    negotiation: Option<Box<Negotiation>>,
}

impl<S> Substream<S> {
    pub(super) fn new(inner: S, negotiation: Negotiation) -> Substream<S> {
        Substream { inner, negotiation: Some(Box::new(negotiation)) }
    }

    fn trim(&mut self) {
        if self.negotiation.as_ref().is_some_and(|negotiation| negotiation.is_over()) {
            self.negotiation = None;
        }
    }
}

/// Sends what was translated, then wakes whoever waits for that.
fn poll_send<S: AsyncWrite + Unpin>(
    negotiation: &mut Negotiation,
    inner: &mut S,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while !negotiation.sendable().is_empty() {
        match ready!(Pin::new(&mut *inner).poll_write(cx, negotiation.sendable()))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            sent => drop(negotiation.sendable().drain(..sent)),
        }
    }
    if let Some(waker) = negotiation.writer.take() {
        waker.wake();
    }
    Poll::Ready(Ok(()))
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Substream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let read = self.read(cx, buffer);
        self.noted(read)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Substream<S> {
    fn noted<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let (Poll::Ready(Err(_)), Some(negotiation)) = (&outcome, &self.negotiation) {
            negotiation.broken();
        }
        outcome
    }

    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self;
        loop {
            let Some(negotiation) = this.negotiation.as_mut() else {
                return Pin::new(&mut this.inner).poll_read(cx, buffer);
            };
            if !negotiation.readable().is_empty() {
                let length = buffer.len().min(negotiation.readable().len());
                buffer[..length].copy_from_slice(&negotiation.readable()[..length]);
                negotiation.readable().drain(..length);
                this.trim();
                return Poll::Ready(Ok(length));
            }
            // A reader that waits has nothing to send first.
            negotiation.hold = false;
            if let Poll::Ready(sent) = poll_send(negotiation, &mut this.inner, cx) {
                sent?;
            }
            if negotiation.inbound_is_open() {
                return Pin::new(&mut this.inner).poll_read(cx, buffer);
            }
            if negotiation.waits_for_local() {
                negotiation.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            let mut chunk = [0; 2048];
            match ready!(Pin::new(&mut this.inner).poll_read(cx, &mut chunk))? {
                0 => {
                    negotiation.ended();
                    if negotiation.readable().is_empty() {
                        return Poll::Ready(Ok(0));
                    }
                }
                length => negotiation.received(&chunk[..length])?,
            }
        }
    }

    fn poll_sent(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(negotiation) = self.negotiation.as_mut() else { return Poll::Ready(Ok(())) };
        let sent = poll_send(negotiation, &mut self.inner, cx);
        if sent.is_pending() {
            negotiation.writer = Some(cx.waker().clone());
        }
        ready!(sent)?;
        self.trim();
        Poll::Ready(Ok(()))
    }

    fn write(&mut self, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let this = self;
        let held = this.negotiation.as_mut().is_some_and(|negotiation| std::mem::take(&mut negotiation.hold));
        if !held {
            ready!(this.poll_sent(cx))?;
        }
        let Some(negotiation) = this.negotiation.as_mut().filter(|it| held || !it.outbound_is_open()) else {
            return Pin::new(&mut this.inner).poll_write(cx, buffer);
        };
        let length = buffer.len().min(MAX_CHUNK);
        negotiation.written(&buffer[..length])?;
        if !negotiation.hold
            && let Poll::Ready(sent) = poll_send(negotiation, &mut this.inner, cx)
        {
            sent?;
        }
        Poll::Ready(Ok(length))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Substream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.write(cx, buffer);
        self.noted(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.negotiation.as_ref().is_some_and(|negotiation| negotiation.hold) {
            return Poll::Ready(Ok(()));
        }
        let flushed = match self.poll_sent(cx) {
            Poll::Ready(Ok(())) => Pin::new(&mut self.inner).poll_flush(cx),
            other => other,
        };
        self.noted(flushed)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(negotiation) = self.negotiation.as_mut() {
            negotiation.hold = false;
        }
        ready!(self.poll_sent(cx))?;
        Pin::new(&mut self.inner).poll_close(cx)
    }
}
