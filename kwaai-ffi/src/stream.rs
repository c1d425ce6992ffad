//! Streams as objects: pulled, in batches, cancelled from anywhere.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt};
use kwaai_core::Error;
use kwaai_core::event::{self, Item};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::handle::Handle;
use crate::{CancelToken, Result, rt};

/// A batch never holds more items than this, whatever the caller asks for.
pub const MAX_BATCH: usize = 4096;

/// Values that come over time. Dropping it, or [`Stream::cancel`], stops the work behind it.
pub struct Stream<T>(Handle<Ends<T>>);

struct Ends<T> {
    reader: Arc<Mutex<Reader<T>>>,
    cancel: CancellationToken,
    /// Cancels when the object goes. A read under way holds the source as well, so the source's own drop comes too late.
    _stop: Arc<DropGuard>,
}

impl<T> Clone for Ends<T> {
    fn clone(&self) -> Ends<T> {
        Ends { reader: self.reader.clone(), cancel: self.cancel.clone(), _stop: self._stop.clone() }
    }
}

struct Reader<T> {
    source: BoxStream<'static, kwaai_core::Result<Item<T>>>,
    /// An error that came up while a batch was being filled; the next read gets it.
    failure: Option<Error>,
}

impl<T: Send + 'static> Stream<T> {
    /// The object for a stream of the core.
    pub(crate) fn new(source: event::Stream<T>) -> Stream<T> {
        let cancel = source.cancellation();
        Stream::over(source.boxed(), cancel)
    }

    /// [`Stream::new`] over the core's values as records of this layer.
    pub(crate) fn mapped<S: Send + 'static>(source: event::Stream<S>, record: fn(S) -> T) -> Stream<T> {
        let cancel = source.cancellation();
        let item = move |item| match item {
            Item::Value(value) => Item::Value(record(value)),
            Item::Lagged { missed } => Item::Lagged { missed },
        };
        Stream::over(source.map_ok(item).boxed(), cancel)
    }

    fn over(source: BoxStream<'static, kwaai_core::Result<Item<T>>>, cancel: CancellationToken) -> Stream<T> {
        let _stop = Arc::new(cancel.clone().drop_guard());
        let reader = Arc::new(Mutex::new(Reader { source, failure: None }));
        Stream(Handle::new("stream", Ends { reader, cancel, _stop }))
    }

    /// The next item; `None` at the end. An error comes once and ends the stream. A call that is cancelled takes nothing
    /// from the stream.
    pub async fn next(&self, cancel: CancelToken) -> Result<Option<Item<T>>> {
        Ok(self.next_batch(1, cancel).await?.pop())
    }

    /// Waits for the next item and takes with it what else is ready, at most `max` items; empty at the end.
    ///
    /// # Errors
    /// `invalid_argument` when `max` is zero, and the error that the stream ended with, once.
    pub async fn next_batch(&self, max: usize, cancel: CancelToken) -> Result<Vec<Item<T>>> {
        if max == 0 {
            return Err(Error::invalid_argument("a batch of zero items never makes progress").into());
        }
        let reader = self.0.get()?.reader;
        rt::run(&cancel, async move { reader.lock().await.batch(max.min(MAX_BATCH)).await }).await
    }

    /// Stops the work behind the stream; what is durable already stays. Reading on yields what was made before.
    pub fn cancel(&self) {
        // In a forked child there is nothing to stop: the work is the parent's.
        if let Ok(ends) = self.0.get() {
            ends.cancel.cancel();
        }
    }
}

impl<T> Reader<T> {
    async fn batch(&mut self, max: usize) -> kwaai_core::Result<Vec<Item<T>>> {
        if let Some(error) = self.failure.take() {
            return Err(error);
        }
        let mut batch = Vec::new();
        match self.source.try_next().await? {
            Some(item) => batch.push(item),
            None => return Ok(batch),
        }
        while batch.len() < max {
            match self.source.try_next().now_or_never() {
                Some(Ok(Some(item))) => batch.push(item),
                Some(Err(error)) => {
                    self.failure = Some(error);
                    break;
                }
                Some(Ok(None)) | None => break,
            }
        }
        Ok(batch)
    }
}

/// A stream whose values cross as JSON, for C and for languages without static types.
pub trait JsonStream: Send + Sync {
    /// [`Stream::next_batch`].
    fn next_json(self: Arc<Self>, max: usize, cancel: CancelToken) -> BoxFuture<'static, Result<Vec<Item<Value>>>>;

    /// [`Stream::cancel`].
    fn stop(&self);
}

impl<T: Serialize + Send + 'static> JsonStream for Stream<T> {
    fn next_json(self: Arc<Self>, max: usize, cancel: CancelToken) -> BoxFuture<'static, Result<Vec<Item<Value>>>> {
        async move { self.next_batch(max, cancel).await?.into_iter().map(json).collect() }.boxed()
    }

    fn stop(&self) {
        self.cancel();
    }
}

fn json<T: Serialize>(item: Item<T>) -> Result<Item<Value>> {
    match item {
        Item::Lagged { missed } => Ok(Item::Lagged { missed }),
        Item::Value(value) => crate::to_json(&value).map(Item::Value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kwaai_core::ErrorCode;

    fn read<T: Send + 'static>(stream: &Arc<Stream<T>>, max: usize) -> Result<Vec<Item<T>>> {
        let stream = stream.clone();
        rt::wait(None, async move { stream.next_batch(max, CancelToken::new()).await })
    }

    #[test]
    fn a_batch_yields_what_single_steps_yield() {
        let fill = |sender: event::Sender<u32>| {
            (0..10).for_each(|i| sender.send(i));
            sender.finish(Err(Error::timeout("late")));
        };
        let collect = |max: usize| {
            let (sender, source) = event::channel(4);
            fill(sender);
            let stream = Arc::new(Stream::new(source));
            let mut items = Vec::new();
            let end = loop {
                match read(&stream, max) {
                    Ok(batch) if batch.is_empty() => break None,
                    Ok(batch) => items.extend(batch),
                    Err(error) => break Some(error.code),
                }
            };
            assert!(read(&stream, max).unwrap().is_empty(), "after its error the stream has ended");
            (items, end)
        };
        let steps = collect(1);
        assert_eq!(steps.0[0], Item::Lagged { missed: 6 });
        assert_eq!(steps.1, Some(ErrorCode::Timeout));
        for max in [2, 3, 100] {
            assert_eq!(collect(max), steps);
        }
    }

    #[test]
    fn dropping_the_object_stops_the_work_even_while_a_read_waits() {
        let (sender, source) = event::channel::<u32>(1);
        let stream = Arc::new(Stream::new(source));
        let cancelled = sender.cancellation();
        let read = stream.clone().next_json(1, CancelToken::new());
        drop(stream);
        drop(read);
        assert!(cancelled.is_cancelled());
    }
}
