//! Log records for a function of JavaScript.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use kwaai_ffi::{LogRecord, LogSink};
use napi::Env;
use napi::bindgen_prelude::Function;
use napi_derive::napi;

use crate::error::{Result, broken, json, thrown};
use crate::port::{Callback, value};

/// So many records wait while JavaScript is busy.
const WAITING: usize = 4096;

struct Sink {
    function: Arc<Callback>,
    waiting: Arc<AtomicUsize>,
    lost: AtomicU64,
}

impl LogSink for Sink {
    fn log(&self, mut record: LogRecord) {
        if self.waiting.load(Ordering::Relaxed) >= WAITING {
            self.lost.fetch_add(1 + record.dropped, Ordering::Relaxed);
            return;
        }
        record.dropped += self.lost.swap(0, Ordering::Relaxed);
        let Ok(record) = json(&record) else { return };
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let (function, waiting) = (self.function.clone(), self.waiting.clone());
        self.function.port().post(move |env| {
            waiting.fetch_sub(1, Ordering::Relaxed);
            function.call(env, &[value(env, record)]);
        });
    }
}

/// Sends log records to `sink(record)`, each as JSON.
#[napi]
pub fn init_logging(env: Env, filter: String, sink: Function<'_>) -> Result<()> {
    let function = Arc::new(Callback::new(&env, &sink).map_err(broken)?);
    let sink = Sink { function, waiting: Arc::default(), lost: AtomicU64::new(0) };
    kwaai_ffi::init_logging(&filter, Arc::new(sink)).map_err(thrown)
}
