//! What an app brings, as the scenarios ask for it.

use std::sync::{Arc, LazyLock, Mutex};

use kwaai_core::llm::{FinishReason, GenerateRequest};
use kwaai_ffi::provide::{Answer, ForeignEmbedder, ForeignModel, ForeignReader, ForeignSigner, Pieces};
use kwaai_ffi::{CancelToken, ErrorCode, KwaaiError, LogRecord, LogSink, rt, testing};

/// How foreign code fails: with an error of ours, or with an exception of its language.
#[derive(Clone)]
pub struct Failing(pub Option<String>);

impl Failing {
    fn error(&self) -> Option<KwaaiError> {
        let code = self.0.as_deref()?;
        let code = ErrorCode::ALL.iter().find(|known| known.as_str() == code).copied();
        let (code, message) = match code {
            Some(code) => (code, "on demand"),
            None => (ErrorCode::Internal, "an exception on demand"),
        };
        Some(KwaaiError::foreign(code, message.into(), Some(message.into())))
    }
}

/// Counts letters.
pub struct Letters {
    pub dimension: usize,
    pub fails: Failing,
}

impl ForeignEmbedder for Letters {
    fn embed(&self, texts: Vec<String>, _: bool, answer: Answer<Vec<f32>>) {
        if let Some(error) = self.fails.error() {
            return answer.fail(error);
        }
        let mut vectors = Vec::new();
        for text in texts {
            let mut vector = vec![0.0_f32; self.dimension];
            for letter in text.to_ascii_lowercase().bytes().filter(u8::is_ascii_lowercase) {
                vector[usize::from(letter - b'a') % self.dimension] += 1.0;
            }
            vectors.extend(vector);
        }
        answer.give(vectors);
    }
}

/// Always says the same.
pub struct Parrot {
    pub reply: String,
    pub fails: Failing,
}

impl ForeignModel for Parrot {
    fn generate(&self, _: GenerateRequest, mut pieces: Pieces) {
        if let Some(error) = self.fails.error() {
            return pieces.fail(error);
        }
        for word in self.reply.split_inclusive(' ') {
            if !pieces.write(word.to_owned()) {
                return;
            }
        }
        pieces.finish(FinishReason::Stop, None);
    }
}

/// Reads `label: text`, a section a line.
pub struct Lines {
    pub fails: Failing,
}

impl ForeignReader for Lines {
    fn read(&self, _: String, bytes: Vec<u8>, answer: Answer<Vec<(Option<String>, String)>>) {
        if let Some(error) = self.fails.error() {
            return answer.fail(error);
        }
        let text = String::from_utf8_lossy(&bytes);
        let parts = text.lines().map(|line| match line.split_once(": ") {
            Some((label, text)) => (Some(label.to_owned()), text.to_owned()),
            None => (None, line.to_owned()),
        });
        answer.give(parts.collect());
    }
}

/// Signs with the key of a seed.
pub struct Seeded {
    pub seed: u64,
    pub fails: Failing,
}

impl ForeignSigner for Seeded {
    fn sign(&self, message: Vec<u8>, answer: Answer<Vec<u8>>) {
        if let Some(error) = self.fails.error() {
            return answer.fail(error);
        }
        let signing = testing::seed_sign(self.seed, message, CancelToken::new());
        let started = rt::start(signing, move |signed| match signed {
            Ok(signature) => answer.give(signature),
            Err(error) => answer.fail(error),
        });
        started.expect("the runtime runs");
    }
}

/// The sink of this process, and what it got.
#[derive(Default)]
pub struct Sink(pub Mutex<Vec<LogRecord>>);

pub static SINK: LazyLock<Arc<Sink>> = LazyLock::new(Arc::default);

impl LogSink for Sink {
    fn log(&self, record: LogRecord) {
        self.0.lock().expect("no sink panics").push(record);
    }
}
