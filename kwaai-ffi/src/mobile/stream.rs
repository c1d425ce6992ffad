//! Values that come over time, an object for each kind of value: UniFFI has no generic objects.

use std::sync::Arc;

use kwaai_core::llm;
use kwaai_core::llm::hub::FetchEvent;
use kwaai_core::rag::{AskEvent, IngestEvent, OutsourceEvent, ReembedEvent, SyncEvent};

use super::number::whole;
use super::record::{DownloadEvent, GenerateEvent};
use super::{Cancel, Result, token};
use crate::node::{MessageRecord, NodeEvent};
use crate::vpk::BenchmarkStep;
use crate::{Item, Stream};

macro_rules! stream {
    ($(#[$doc:meta])* $name:ident, $batch:ident of $value:ty as $shown:ty) => {
        $(#[$doc])*
        #[derive(uniffi::Object)]
        pub struct $name(Stream<$value>);

        /// What was ready at once.
        #[derive(Debug, uniffi::Record)]
        pub struct $batch {
            /// The values, oldest first.
            pub values: Vec<$shown>,
            /// How many were dropped since the last batch, because nobody read them in time.
            pub missed: i64,
        }

        impl $name {
            pub(super) fn over(stream: Stream<$value>) -> Arc<$name> {
                Arc::new($name(stream))
            }
        }

        #[uniffi::export]
        impl $name {
            /// Waits for the next value and takes with it what else is ready, at most `max` values; nothing at the end.
            pub async fn next_batch(&self, max: i64, cancel: Cancel) -> Result<Option<$batch>> {
                let items = self.0.next_batch(whole("max", max)?, token(cancel)).await?;
                if items.is_empty() {
                    return Ok(None);
                }
                let mut batch = $batch { values: Vec::with_capacity(items.len()), missed: 0 };
                for item in items {
                    match item {
                        Item::Value(value) => batch.values.push(value.into()),
                        Item::Lagged { missed } => batch.missed += i64::try_from(missed).unwrap_or(i64::MAX),
                    }
                }
                Ok(Some(batch))
            }

            /// Stops the work behind the stream; what is durable already stays.
            pub fn cancel(&self) {
                self.0.cancel();
            }
        }
    };
}

stream!(
    /// Messages as they arrive.
    NativeMessages, MessageBatch of MessageRecord as MessageRecord
);
stream!(
    /// What happens on the network.
    NativeEvents, NodeEventBatch of NodeEvent as NodeEvent
);
stream!(
    /// Tokens as they are made.
    NativeGeneration, GenerateBatch of llm::GenerateEvent as GenerateEvent
);
stream!(
    /// How a download gets on.
    NativeDownload, DownloadBatch of FetchEvent as DownloadEvent
);
stream!(
    /// How an ingestion gets on.
    NativeIngestion, IngestBatch of IngestEvent as IngestEvent
);
stream!(
    /// How a folder is kept alike.
    NativeSync, SyncBatch of SyncEvent as SyncEvent
);
stream!(
    /// How a change of the embedder gets on.
    NativeReembedding, ReembedBatch of ReembedEvent as ReembedEvent
);
stream!(
    /// How vectors get to a collection.
    NativeOutsourcing, OutsourceBatch of OutsourceEvent as OutsourceEvent
);
stream!(
    /// An answer as it is written.
    NativeAnswer, AskBatch of AskEvent as AskEvent
);
stream!(
    /// How a benchmark gets on.
    NativeBenchmark, BenchmarkBatch of BenchmarkStep as BenchmarkStep
);
#[cfg(feature = "testing")]
stream!(
    /// Numbers on demand.
    NativeNumbers, NumberBatch of u32 as u32
);
