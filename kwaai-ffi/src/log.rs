//! Log records for the app, when it asks for them.
//!
//! The library says what it does through `tracing` and prints nothing. [`init_logging`] brings that to a sink of the
//! app. A call site never waits for the sink: it would wait for an interpreter's lock there. Records go through a bounded
//! queue to one thread; when the queue is full they are counted and dropped.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::SystemTime;

use kwaai_core::Error;
use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::Result;

/// So many records wait for the sink.
const QUEUE: usize = 4096;

/// Something that happened inside the library. Never holds a prompt, a document, a vector or a key.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "uniffi", derive(uniffi::Record))]
pub struct LogRecord {
    /// Milliseconds since 1970, UTC.
    pub at_ms: u64,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// The part of the library, for example `kwaai_core::net`.
    pub target: String,
    /// What happened.
    pub message: String,
    /// Details by name.
    pub fields: BTreeMap<String, String>,
    /// How many records before this one were dropped because the sink was too slow.
    pub dropped: u64,
}

/// Where log records go.
pub trait LogSink: Send + Sync + 'static {
    /// Takes a record, on a thread of its own. Errors and panics of a sink are nobody's business and are dropped.
    fn log(&self, record: LogRecord);
}

/// Sends what the library says from now on to a sink. `filter` is written as for `RUST_LOG`, for example `info` or
/// `warn,kwaai_core::net=debug`.
///
/// # Errors
/// `invalid_argument` for a filter that is malformed; `already_exists` when the process has a sink already, from here or
/// from elsewhere.
pub fn init_logging(filter: &str, sink: Arc<dyn LogSink>) -> Result<()> {
    let filter = EnvFilter::builder().parse(filter).map_err(|error| {
        Error::invalid_argument("the log filter is malformed")
            .with_remedy("write it like \"info\" or \"warn,kwaai_core::net=debug\"")
            .with_source(error)
    })?;
    let (records, queue) = sync_channel(QUEUE);
    let layer = Forward { records, dropped: AtomicU64::new(0) };
    tracing_subscriber::registry().with(layer.with_filter(filter)).try_init().map_err(|_| {
        Error::already_exists("this process has a log sink already").with_remedy("call init_logging once, at the start")
    })?;
    std::thread::Builder::new()
        .name("kwaainet-log".into())
        .spawn(move || deliver(&queue, sink.as_ref()))
        .map_err(|error| Error::resource_exhausted("cannot start the thread for log records").with_source(error))?;
    Ok(())
}

fn deliver(queue: &Receiver<LogRecord>, sink: &dyn LogSink) {
    while let Ok(record) = queue.recv() {
        drop(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| sink.log(record))));
    }
}

struct Forward {
    records: SyncSender<LogRecord>,
    dropped: AtomicU64,
}

impl<S: Subscriber> Layer<S> for Forward {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let record = LogRecord {
            at_ms: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
            level: event.metadata().level().as_str().to_ascii_lowercase(),
            target: event.metadata().target().to_owned(),
            message: fields.message,
            fields: fields.others,
            dropped,
        };
        if let Err(TrySendError::Full(lost)) = self.records.try_send(record) {
            self.dropped.fetch_add(lost.dropped + 1, Ordering::Relaxed);
        }
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: BTreeMap<String, String>,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            // Writing to a String does not fail.
            let _ = write!(self.message, "{value:?}");
        } else {
            self.others.insert(field.name().to_owned(), format!("{value:?}"));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.others.insert(field.name().to_owned(), value.to_owned());
        }
    }
}
