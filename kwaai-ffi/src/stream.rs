//! Streams as objects: pulled, in batches, cancelled from anywhere.

use std::collections::VecDeque;
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
    /// What was taken from the source and not yet handed out. A read that is cancelled at the moment at which it ends leaves
    /// its values here.
    ready: VecDeque<Item<T>>,
    /// An error that came up meanwhile; it comes after what is ready.
    failure: Option<Error>,
    ended: bool,
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
        let reader = Reader { source, ready: VecDeque::new(), failure: None, ended: false };
        let reader = Arc::new(Mutex::new(reader));
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
        let (reader, max) = (self.0.get()?.reader, max.min(MAX_BATCH));
        if cancel.is_cancelled() {
            return Err(rt::cancelled());
        }
        // What came before is handed out without a task.
        if let Ok(mut reader) = reader.try_lock() {
            reader.gather(max);
            if let Some(batch) = reader.take(max)? {
                return Ok(batch);
            }
        }
        loop {
            let filled = reader.clone();
            rt::run(&cancel, async move {
                filled.lock().await.fill(max).await;
                Ok(())
            })
            .await?;
            // Taken here and not in the task: what a task has in hand when it is cancelled is lost.
            if let Some(batch) = reader.lock().await.take(max)? {
                return Ok(batch);
            }
        }
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
    /// Waits until something is ready, and takes with it what else has come.
    async fn fill(&mut self, max: usize) {
        if self.ready.is_empty() && self.failure.is_none() && !self.ended {
            let first = self.source.try_next().await;
            self.keep(first);
        }
        self.gather(max);
    }

    /// Takes what has come, as far as `max` items are not ready yet.
    fn gather(&mut self, max: usize) {
        while self.ready.len() < max && self.failure.is_none() && !self.ended {
            match self.source.try_next().now_or_never() {
                Some(next) => self.keep(next),
                None => break,
            }
        }
    }

    fn keep(&mut self, next: kwaai_core::Result<Option<Item<T>>>) {
        match next {
            Ok(Some(item)) => self.ready.push_back(item),
            Ok(None) => self.ended = true,
            Err(error) => {
                self.failure = Some(error);
                self.ended = true;
            }
        }
    }

    /// What is ready; nothing at the end, and `None` when another reader was faster.
    fn take(&mut self, max: usize) -> Result<Option<Vec<Item<T>>>> {
        if !self.ready.is_empty() {
            return Ok(Some(self.ready.drain(..max.min(self.ready.len())).collect()));
        }
        match self.failure.take() {
            Some(error) => Err(error.into()),
            None => Ok(self.ended.then(Vec::new)),
        }
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
    fn reads_that_are_cancelled_at_any_moment_lose_no_value() {
        const COUNT: u32 = 20_000;
        let (sender, source) = event::channel(COUNT as usize);
        let stream = Arc::new(Stream::new(source));
        let writer = std::thread::spawn(move || {
            for value in 0..COUNT {
                sender.send(value);
                if value % 64 == 0 {
                    std::thread::yield_now();
                }
            }
            sender.finish(Ok(()));
        });
        let mut values = Vec::new();
        loop {
            let cancel = CancelToken::new();
            let read = stream.clone();
            let (token, canceller) = (cancel.clone(), cancel);
            let cancelling = std::thread::spawn(move || canceller.cancel());
            let batch = rt::wait(None, async move { read.next_batch(3, token).await });
            cancelling.join().unwrap();
            match batch {
                Ok(batch) if batch.is_empty() => break,
                Ok(batch) => values.extend(batch),
                Err(error) => assert_eq!(error.code, ErrorCode::Cancelled),
            }
        }
        writer.join().unwrap();
        assert_eq!(values.len(), COUNT as usize);
        assert!((0..COUNT).map(Item::Value).eq(values), "in their order");
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
