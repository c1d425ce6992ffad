//! Streams that are pulled: progress, tokens, messages, node events.
//!
//! The producer never waits for the reader. A stream keeps a bounded number of items; a reader that falls further
//! behind is told how many it missed, at the place where they are missing.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::{Error, Result};

/// What a stream yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item<T> {
    /// The next value.
    Value(T),
    /// The reader was too slow: this many values were dropped here.
    Lagged {
        /// How many values are missing.
        missed: u64,
    },
}

impl<T> Item<T> {
    /// The value, unless this item says that values were dropped.
    pub fn value(self) -> Option<T> {
        match self {
            Item::Value(value) => Some(value),
            Item::Lagged { .. } => None,
        }
    }
}

struct State<T> {
    items: VecDeque<T>,
    capacity: usize,
    missed: u64,
    end: Option<Result<()>>,
    waker: Option<Waker>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
    cancel: CancellationToken,
}

impl<T> Shared<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reading end. Dropping it cancels the work behind it.
pub struct Stream<T> {
    shared: Arc<Shared<T>>,
    /// Set where nobody but the reader ends the stream.
    until: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

/// The writing end, held by the worker.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

/// A stream that keeps at most `capacity` unread items.
pub fn channel<T>(capacity: usize) -> (Sender<T>, Stream<T>) {
    let state = State { items: VecDeque::new(), capacity: capacity.max(1), missed: 0, end: None, waker: None };
    let shared = Arc::new(Shared { state: Mutex::new(state), cancel: CancellationToken::new() });
    (Sender { shared: shared.clone() }, Stream { shared, until: None })
}

/// [`channel`] for a sender that never finishes by itself: cancelling ends the stream after what was sent before.
pub(crate) fn subscription<T>(capacity: usize) -> (Sender<T>, Stream<T>) {
    let (sender, mut stream) = channel(capacity);
    stream.until = Some(Box::pin(sender.cancellation().cancelled_owned()));
    (sender, stream)
}

impl<T> Sender<T> {
    /// Adds an item; the oldest unread one is dropped when the stream is full.
    pub fn send(&self, item: T) {
        let waker = {
            let mut state = self.shared.state();
            if state.items.len() == state.capacity {
                state.items.pop_front();
                state.missed += 1;
            }
            state.items.push_back(item);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends the stream: with `Ok` it ends after its last item, with `Err` the reader gets the error after it.
    pub fn finish(self, end: Result<()>) {
        self.end(end);
    }

    fn end(&self, end: Result<()>) {
        let waker = {
            let mut state = self.shared.state();
            if state.end.is_none() {
                state.end = Some(end);
            }
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the reader gave up.
    pub fn is_cancelled(&self) -> bool {
        self.shared.cancel.is_cancelled()
    }

    /// Cancelled when the reader gives up; workers hand it to what they wait for.
    pub fn cancellation(&self) -> CancellationToken {
        self.shared.cancel.clone()
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.end(Err(Error::closed("the worker behind this stream went away before it finished")));
    }
}

impl<T> Stream<T> {
    /// The next item; `None` at the end. An error is yielded once, then the stream has ended.
    pub async fn next(&mut self) -> Result<Option<Item<T>>> {
        std::future::poll_fn(|cx| self.poll_item(cx)).await
    }

    /// Waits for the next item and takes what else is ready, at most `max` items. Empty at the end.
    pub async fn next_batch(&mut self, max: usize) -> Result<Vec<Item<T>>> {
        let mut batch = Vec::new();
        if max == 0 {
            return Err(Error::invalid_argument("a batch of zero items never makes progress"));
        }
        match self.next().await? {
            Some(item) => batch.push(item),
            None => return Ok(batch),
        }
        let mut state = self.shared.state();
        if state.missed == 0 {
            let ready = state.items.len().min(max - 1);
            batch.extend(state.items.drain(..ready).map(Item::Value));
        }
        Ok(batch)
    }

    /// Stops the work behind the stream; what is durable already stays. Reading on yields what was made before.
    pub fn cancel(&self) {
        self.shared.cancel.cancel();
    }

    /// A handle that cancels this stream from elsewhere, for example while `next` waits.
    pub fn cancellation(&self) -> CancellationToken {
        self.shared.cancel.clone()
    }

    fn poll_item(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Item<T>>>> {
        let mut state = self.shared.state();
        if state.missed > 0 {
            let missed = std::mem::take(&mut state.missed);
            return Poll::Ready(Ok(Some(Item::Lagged { missed })));
        }
        if let Some(item) = state.items.pop_front() {
            return Poll::Ready(Ok(Some(Item::Value(item))));
        }
        match &mut state.end {
            Some(end) => Poll::Ready(std::mem::replace(end, Ok(())).map(|()| None)),
            None => {
                state.waker = Some(cx.waker().clone());
                drop(state);
                match &mut self.until {
                    Some(until) => until.as_mut().poll(cx).map(|()| Ok(None)),
                    None => Poll::Pending,
                }
            }
        }
    }
}

impl<T> Drop for Stream<T> {
    fn drop(&mut self) {
        self.shared.cancel.cancel();
    }
}

impl<T> futures::Stream for Stream<T> {
    type Item = Result<Item<T>>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_item(cx).map(Result::transpose)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_missed_and_reads_on() {
        let (sender, mut stream) = channel(2);
        for i in 0..5 {
            sender.send(i);
        }
        sender.finish(Ok(()));
        assert_eq!(stream.next().await.unwrap(), Some(Item::Lagged { missed: 3 }));
        assert_eq!(stream.next_batch(10).await.unwrap(), vec![Item::Value(3), Item::Value(4)]);
        assert_eq!(stream.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn an_error_comes_after_the_last_item_and_only_once() {
        let (sender, mut stream) = channel(8);
        sender.send(1);
        sender.finish(Err(Error::timeout("late")));
        assert_eq!(stream.next().await.unwrap(), Some(Item::Value(1)));
        assert_eq!(stream.next().await.unwrap_err().code(), crate::ErrorCode::Timeout);
        assert_eq!(stream.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn dropping_the_reader_cancels_the_worker() {
        let (sender, stream) = channel::<()>(1);
        drop(stream);
        assert!(sender.is_cancelled());
        sender.cancellation().cancelled().await;
    }

    #[tokio::test]
    async fn a_worker_that_vanishes_ends_the_stream_with_closed() {
        let (sender, mut stream) = channel::<()>(1);
        drop(sender);
        assert_eq!(stream.next().await.unwrap_err().code(), crate::ErrorCode::Closed);
    }
}
