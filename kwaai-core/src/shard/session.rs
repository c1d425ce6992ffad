//! The sessions of a host: who may use them, how many there are, how long they live, what each has read.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use libp2p::PeerId;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::backend::{BlockSpan, SpanState, compute};
use super::wire::{Frame, Hidden, Precision, SessionId};
use crate::clock::Clock;
use crate::{Error, Result};

/// What a host gives away at most.
#[derive(Debug, Clone)]
pub struct ServeLimits {
    /// Sessions at the same time.
    pub sessions: usize,
    /// Sessions of one caller at the same time.
    pub sessions_per_caller: usize,
    /// Memory for keys and values in bytes, reserved when a session opens.
    pub cache_bytes: usize,
    /// Tokens in one step.
    pub step_tokens: u32,
    /// A session that is not used for so long is closed.
    pub idle: Duration,
    /// Steps computed at the same time; others wait. Single tokens that are computed with those of other texts, as ggml does
    /// with quantised weights, count for a sixteenth.
    pub parallel_steps: usize,
    /// Steps that wait at the same time; a caller with another one is told when to ask again.
    pub waiting_steps: usize,
}

impl Default for ServeLimits {
    fn default() -> ServeLimits {
        ServeLimits {
            sessions: 64,
            sessions_per_caller: 16,
            cache_bytes: 1 << 30,
            step_tokens: 512,
            idle: Duration::from_secs(120),
            parallel_steps: 2,
            waiting_steps: 64,
        }
    }
}

/// Asking again sooner than this would only be traffic.
const SOONEST_MS: i128 = 100;
/// A session may be closed at any moment, so that nobody is told to wait for longer.
const LATEST_MS: i128 = 5000;

/// A step as it arrives.
#[derive(Debug)]
pub struct Step {
    /// How often the caller believes the session was taken back.
    pub epoch: u32,
    /// Its number, from 1.
    pub step: u64,
    /// How many tokens the caller believes the session has read.
    pub position: u32,
    /// The blocks it asks for.
    pub blocks: Range<u32>,
    /// How states travel.
    pub precision: Precision,
    /// The states before the first block.
    pub hidden: Hidden,
}

/// A step that was answered.
pub struct Ran {
    /// The answer.
    pub output: Frame,
    /// How long the blocks took; `None` when the answer was remembered.
    pub computed: Option<Duration>,
}

/// One session.
pub struct Session {
    id: SessionId,
    span: Arc<dyn BlockSpan>,
    blocks: Range<u32>,
    max_tokens: u32,
    reserved: usize,
    state: tokio::sync::Mutex<State>,
}

struct State {
    cache: Box<dyn SpanState>,
    epoch: u32,
    /// The highest step answered.
    step: u64,
    last: Option<Answered>,
}

struct Answered {
    position: u32,
    output: Frame,
}

impl Session {
    /// The session's name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Whether the session computes on this span.
    pub fn runs_on(&self, span: &Arc<dyn BlockSpan>) -> bool {
        Arc::ptr_eq(&self.span, span)
    }

    /// Runs a step, or answers a repeated one from memory. Blocks the thread while it computes, until `cancel` comes.
    ///
    /// # Errors
    /// `conflict` with `host_position` for a wrong epoch, position or step number; the session stays as it was.
    pub fn run(&self, step: Step, cancel: &CancellationToken) -> Result<Ran> {
        // Two streams of one caller may meet here; the later one waits, on a thread that is made for waiting.
        let mut state = self.state.blocking_lock();
        let position = state.cache.length() as u32;
        let conflict = |what: String| Error::conflict(what).with("host_position", position);
        if step.blocks != self.blocks {
            return Err(Error::invalid_argument(format!(
                "the session runs blocks {:?}, not {:?}",
                self.blocks, step.blocks
            )));
        }
        if step.epoch != state.epoch {
            return Err(conflict(format!("a step of epoch {} came in epoch {}", step.epoch, state.epoch)));
        }
        if step.step <= state.step {
            return match &state.last {
                Some(last) if step.step == state.step && step.position == last.position => {
                    Ok(Ran { output: last.output.clone(), computed: None })
                }
                _ => Err(conflict(format!("step {} came after step {}", step.step, state.step))),
            };
        }
        if step.position != position {
            return Err(conflict(format!("the session stands at position {position}, not {}", step.position)));
        }
        let next =
            position.checked_add(step.hidden.tokens).filter(|next| *next <= self.max_tokens).ok_or_else(|| {
                Error::resource_exhausted(format!("the session was opened for {} tokens", self.max_tokens))
            })?;
        let (tokens, size) = (step.hidden.tokens, step.hidden.size);
        let start = Instant::now();
        let values = compute(state.cache.as_mut(), step.hidden, cancel)?;
        let computed = Some(start.elapsed());
        let hidden = Hidden { tokens, size, values };
        let precision = hidden.precision(step.precision);
        let output = Frame::Output { session: self.id, step: step.step, position: next, precision, hidden };
        state.step = step.step;
        state.last = Some(Answered { position, output: output.clone() });
        Ok(Ran { output, computed })
    }

    /// Takes the session back to an earlier position, with which `epoch` begins, or answers a repeated request from memory.
    /// Steps of earlier epochs that are still on their way are refused from then on. Blocks the thread while a step is
    /// computed.
    ///
    /// # Errors
    /// `conflict` with `host_position` for an epoch that is not the next one, or a position that the session has not reached;
    /// the session stays as it was.
    pub fn truncate(&self, epoch: u32, position: u32) -> Result<Frame> {
        let mut state = self.state.blocking_lock();
        let stands = state.cache.length() as u32;
        let repeated = epoch == state.epoch && epoch > 0 && position == stands && state.last.is_none();
        if !repeated {
            if Some(epoch) != state.epoch.checked_add(1) || position > stands {
                return Err(Error::conflict(format!(
                    "the session stands at position {stands} in epoch {}; it cannot go to {position} in epoch {epoch}",
                    state.epoch
                ))
                .with("host_position", stands));
            }
            state.cache.truncate(position as usize);
            (state.epoch, state.last) = (epoch, None);
        }
        Ok(Frame::Truncated { session: self.id, epoch, position })
    }
}

/// All sessions of a host.
pub struct Sessions {
    limits: ServeLimits,
    /// Bytes for keys and values: those of the limits, or those that the blocks were sized for.
    cache_bytes: AtomicUsize,
    clock: Arc<dyn Clock>,
    /// Told when sessions end.
    ended: Notify,
    open: Mutex<BTreeMap<(PeerId, SessionId), Entry>>,
}

struct Entry {
    session: Arc<Session>,
    used: Timestamp,
}

impl Sessions {
    /// No sessions yet.
    pub fn new(limits: ServeLimits, clock: Arc<dyn Clock>) -> Sessions {
        let cache_bytes = AtomicUsize::new(limits.cache_bytes);
        Sessions { limits, cache_bytes, clock, ended: Notify::new(), open: Mutex::new(BTreeMap::new()) }
    }

    /// Gives sessions so much memory from now on, or what the limits say. Those that are open keep theirs.
    pub fn give(&self, cache_bytes: Option<usize>) {
        self.cache_bytes.store(cache_bytes.unwrap_or(self.limits.cache_bytes), Ordering::Relaxed);
    }

    fn cache_bytes(&self) -> usize {
        self.cache_bytes.load(Ordering::Relaxed)
    }

    /// Waits until no session is open on a span, for `grace` at most.
    pub async fn drained(&self, span: &Arc<dyn BlockSpan>, grace: Duration) {
        let none_left = async {
            loop {
                let ended = self.ended.notified();
                tokio::pin!(ended);
                // From here on nothing that ends is missed.
                ended.as_mut().enable();
                if !self.lock().values().any(|entry| entry.session.runs_on(span)) {
                    return;
                }
                ended.await;
            }
        };
        // What is still open then is closed with the span.
        let _ = tokio::time::timeout(grace, none_left).await;
    }

    /// The limits.
    pub fn limits(&self) -> &ServeLimits {
        &self.limits
    }

    /// Opens a session for a caller and reserves its memory.
    ///
    /// # Errors
    /// `busy` with `retry_after_ms` while others hold the room, `resource_exhausted` for more than a session may have,
    /// `invalid_argument` for no blocks or no tokens.
    pub fn open(
        &self,
        caller: PeerId,
        span: Arc<dyn BlockSpan>,
        blocks: Range<u32>,
        max_tokens: u32,
        bytes_per_token_and_block: usize,
    ) -> Result<Arc<Session>> {
        if blocks.is_empty() || max_tokens == 0 {
            return Err(Error::invalid_argument("a session has at least one block and one token"));
        }
        let reserved = bytes_per_token_and_block
            .checked_mul(blocks.len())
            .and_then(|bytes| bytes.checked_mul(span.room(max_tokens as usize)))
            .filter(|bytes| *bytes <= self.cache_bytes())
            .ok_or_else(|| {
                Error::resource_exhausted(format!(
                    "{max_tokens} tokens need more memory than this host gives a session"
                ))
                .with_remedy("ask for fewer tokens")
            })?;
        let mut open = self.lock();
        self.expire(&mut open);
        let held: usize = open.values().map(|entry| entry.session.reserved).sum();
        let own = open.keys().filter(|(peer, _)| *peer == caller).count();
        if open.len() >= self.limits.sessions || own >= self.limits.sessions_per_caller {
            return Err(self
                .busy(&open, "this host has no room for another session")
                .with_remedy("close a session, or try again later"));
        }
        if held.saturating_add(reserved) > self.cache_bytes() {
            return Err(self
                .busy(&open, "this host's memory for sessions is taken")
                .with_remedy("ask for fewer tokens, or try again later"));
        }
        let cache = span.clone().open(blocks.start as usize..blocks.end as usize, max_tokens as usize)?;
        let session = Arc::new(Session {
            id: rand::random(),
            span,
            blocks,
            max_tokens,
            reserved,
            state: tokio::sync::Mutex::new(State { cache, epoch: 0, step: 0, last: None }),
        });
        open.insert((caller, session.id), Entry { session: session.clone(), used: self.clock.now() });
        Ok(session)
    }

    /// How many bytes are left for keys and values.
    pub fn room(&self) -> usize {
        let mut open = self.lock();
        self.expire(&mut open);
        self.cache_bytes().saturating_sub(open.values().map(|entry| entry.session.reserved).sum())
    }

    /// A refusal with the time after which a session would have expired, unless it is used or closed before.
    fn busy(&self, open: &BTreeMap<(PeerId, SessionId), Entry>, what: &str) -> Error {
        let now = self.clock.now();
        let left = |entry: &Entry| (idle(&self.limits) - now.duration_since(entry.used)).as_millis().max(0);
        let soonest = open.values().map(left).min().unwrap_or(0);
        Error::busy(what).with("retry_after_ms", soonest.clamp(SOONEST_MS, LATEST_MS))
    }

    /// A caller's own session. Another caller's is answered like one that does not exist.
    pub fn get(&self, caller: PeerId, id: SessionId) -> Result<Arc<Session>> {
        let mut open = self.lock();
        self.expire(&mut open);
        let entry = open
            .get_mut(&(caller, id))
            .ok_or_else(|| Error::not_found("this caller has no such session; it may have been idle for too long"))?;
        entry.used = self.clock.now();
        Ok(entry.session.clone())
    }

    /// Closes a caller's own session.
    pub fn close(&self, caller: PeerId, id: SessionId) {
        self.lock().remove(&(caller, id));
        self.ended.notify_waiters();
    }

    /// Closes those of a caller's sessions that have never read anything.
    pub fn close_unread(&self, caller: PeerId, ids: &[SessionId]) {
        let mut open = self.lock();
        let unread = |entry: &Entry| entry.session.state.try_lock().is_ok_and(|state| state.step == 0);
        for id in ids {
            if open.get(&(caller, *id)).is_some_and(unread) {
                open.remove(&(caller, *id));
            }
        }
        self.ended.notify_waiters();
    }

    /// Closes every session on a span.
    pub fn close_span(&self, span: &Arc<dyn BlockSpan>) {
        self.lock().retain(|_, entry| !Arc::ptr_eq(&entry.session.span, span));
    }

    /// Closes what has been idle for too long, and says how many sessions remain.
    pub fn sweep(&self) -> usize {
        let mut open = self.lock();
        self.expire(&mut open);
        open.len()
    }

    fn expire(&self, open: &mut BTreeMap<(PeerId, SessionId), Entry>) {
        let (now, before) = (self.clock.now(), open.len());
        // A session whose step is just being computed is in use, however long that takes.
        open.retain(|_, entry| {
            entry.session.state.try_lock().is_err() || now.duration_since(entry.used) < idle(&self.limits)
        });
        if open.len() < before {
            self.ended.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(PeerId, SessionId), Entry>> {
        // No code that can panic runs under this lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn idle(limits: &ServeLimits) -> jiff::SignedDuration {
    jiff::SignedDuration::try_from(limits.idle).unwrap_or(jiff::SignedDuration::MAX)
}
