//! Streams, pulled in batches.

use std::sync::Arc;

use kwaai_ffi::{Item, JsonStream};
use napi_derive::napi;
use serde_json::Value;

use crate::operation::Operation;

/// Values that come over time. `streams.ts` makes iterators of it.
#[napi]
pub struct Stream(Arc<dyn JsonStream>);

impl Stream {
    pub(crate) fn new(stream: impl JsonStream + 'static) -> Stream {
        Stream(Arc::new(stream))
    }
}

#[napi]
impl Stream {
    /// Waits for the next value and takes with it what else is ready, as JSON: a list in which each value is in a list of
    /// its own and a bare number says how many values are missing there. Empty at the end.
    #[napi]
    pub fn next_batch(&self, max: u32) -> Operation {
        let stream = self.0.clone();
        Operation::new(move |cancel| async move {
            let batch = stream.next_json(max as usize, cancel).await?;
            let items = batch.into_iter().map(|item| match item {
                Item::Value(value) => Value::Array(vec![value]),
                Item::Lagged { missed } => missed.into(),
            });
            Ok(Value::Array(items.collect()).to_string())
        })
    }

    /// Stops the work behind the stream.
    #[napi]
    pub fn cancel(&self) {
        self.0.stop();
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // A read under way holds the stream too; without its object in JavaScript nobody wants what comes.
        self.0.stop();
    }
}
