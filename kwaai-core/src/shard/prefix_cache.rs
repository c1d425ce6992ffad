//! Texts that stay where they were read when their answer is finished, for another answer that begins alike.
//!
//! A step's result depends on its shape, so that what may be taken from another text are whole steps of the prompt: these have the
//! same tokens, at the same places, in the same shapes, and with them the same bits.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::backend::Backend;
use super::generate::PREFILL;
use super::path::Path;
use crate::llm::HostWishes;

/// How much stays for answers that may follow. A chat goes on with all that was said, and questions about the same documents begin
/// with them; what is kept of them is not read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrefixCache {
    /// So many texts: of each model on this machine, and of all models at hosts together. 0 keeps none.
    pub texts: usize,
    /// What these may keep together in the memory of this process, in bytes.
    pub bytes: usize,
    /// A text that nothing was taken from for so long is forgotten. Hosts end sessions by themselves, after two minutes unless they
    /// are told otherwise.
    pub idle: Duration,
}

impl Default for PrefixCache {
    fn default() -> PrefixCache {
        PrefixCache { texts: 4, bytes: 512 << 20, idle: Duration::from_secs(100) }
    }
}

/// Of which answers texts are alike.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kind {
    pub model: String,
    pub backend: Backend,
    pub wishes: HostWishes,
}

/// A text with the path on which it was read.
pub(super) struct Text {
    pub path: Path,
    /// How many tokens it may have.
    pub room: usize,
    /// Its tokens as far as they are those of a prompt in whole steps.
    prompt: Vec<u32>,
}

impl Text {
    pub fn new(path: Path, room: usize) -> Text {
        Text { path, room, prompt: Vec::new() }
    }

    /// In how many steps it was read of its prompt.
    fn steps(&self) -> usize {
        self.prompt.len() / PREFILL
    }

    /// In how many whole steps it begins as a prompt does, of which at least the last token is to be read.
    fn shared(&self, prompt: &[u32]) -> usize {
        let steps =
            self.prompt.chunks_exact(PREFILL).zip(prompt[..prompt.len().saturating_sub(1)].chunks_exact(PREFILL));
        steps.take_while(|(own, other)| own == other).count()
    }
}

struct Kept {
    number: u64,
    kind: Kind,
    text: Text,
}

/// The texts that are kept, the latest last.
#[derive(Default)]
pub(super) struct KeptTexts {
    kept: Mutex<Vec<Kept>>,
    numbers: AtomicU64,
    closed: AtomicBool,
}

impl KeptTexts {
    /// Takes a text out that begins as a prompt does, and says in how many steps. One that would lose most of what it has is left to
    /// those who go on with it, but for the oldest where there are as many `paths` as may be: its path is worth having by itself.
    pub fn take(&self, kind: &Kind, prompt: &[u32], room: usize, paths: Option<usize>) -> Option<(Text, usize)> {
        let mut kept = self.lock();
        let full = paths.is_some_and(|paths| kept.len() >= paths);
        let fitting = kept.iter().enumerate().filter(|(_, other)| other.kind == *kind && other.text.room >= room);
        let shared = fitting.map(|(place, other)| (other.text.shared(prompt), other.text.steps(), place));
        let worth = shared.filter(|(shared, steps, place)| match paths {
            Some(_) => 2 * shared >= *steps || full && *place == 0,
            None => *shared > 0 && 2 * shared >= *steps,
        });
        let (steps, _, place) = worth.max_by_key(|(shared, steps, place)| (*shared, Reverse((*steps, *place))))?;
        Some((kept.remove(place).text, steps))
    }

    /// Keeps a text whose latest prompt was this one, until nobody has taken it for some time; then it is given to `end`. Gives back
    /// those for which there is no room beside it.
    pub fn put<F: Future<Output = ()> + Send + 'static>(
        self: &Arc<KeptTexts>,
        limits: &PrefixCache,
        kind: Kind,
        (mut text, prompt): (Text, &[u32]),
        end: impl FnOnce(Path) -> F + Send + 'static,
    ) -> Vec<Text> {
        let Some(steps) = text
            .path
            .steps()
            .filter(|_| limits.texts > 0 && text.path.bytes() <= limits.bytes && !self.closed.load(Ordering::Relaxed))
        else {
            return vec![text];
        };
        text.prompt = prompt[..steps.min(prompt.len() / PREFILL) * PREFILL].to_vec();
        if text.prompt.is_empty() && text.path.is_local() {
            return vec![text];
        }
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut kept = self.lock();
        // What the new one begins with, it has itself.
        let of_no_more_use = |other: &Kept| {
            other.kind == kind
                && other.text.room <= text.room
                && !other.text.prompt.is_empty()
                && text.prompt.starts_with(&other.text.prompt)
        };
        let mut gone: Vec<Text> = kept.extract_if(.., |other| of_no_more_use(other)).map(|other| other.text).collect();
        kept.push(Kept { number, kind, text });
        let bytes = |kept: &[Kept]| kept.iter().map(|kept| kept.text.path.bytes()).sum::<usize>();
        while kept.len() > limits.texts || bytes(&kept) > limits.bytes {
            gone.push(kept.remove(0).text);
        }
        drop(kept);
        let (texts, idle) = (Arc::downgrade(self), limits.idle);
        tokio::spawn(async move {
            tokio::time::sleep(idle).await;
            let idle = texts.upgrade().and_then(|texts| texts.remove(number));
            if let Some(text) = idle {
                end(text.path).await;
            }
        });
        gone
    }

    fn remove(&self, number: u64) -> Option<Text> {
        let mut kept = self.lock();
        let place = kept.iter().position(|kept| kept.number == number)?;
        Some(kept.remove(place).text)
    }

    /// Keeps nothing from now on.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    /// Takes all of them out.
    pub fn clear(&self) -> Vec<Text> {
        self.lock().drain(..).map(|kept| kept.text).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Kept>> {
        // No code that can panic runs under this lock.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
