//! All blocks of a model in order, with the state of one text, over hosts that may fail.
//!
//! What went into each stage is kept. When a stage fails, others take over its blocks and read what it had read, in the same
//! steps: a step's result depends on its shape, so that only equal steps give equal bits. The stages before and after it stand
//! where they stood, and the text goes on as if nothing had happened.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use libp2p::PeerId;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::backend::{BlockSpan, SpanState, compute};
use super::chain::RemoteHop;
use super::generate::blocking;
use super::hosts::Hosts;
use super::model::Model;
use super::sieve::Sieve;
use super::standby::{Along, Standby};
use super::wire::{Hidden, Precision};
use crate::llm::Hop;
use crate::trust::Outcome;
use crate::{Error, Result};

/// Where a run of blocks is computed.
enum Place {
    /// Here, where nothing fails for which another place would help. The cache is away while a thread computes with it.
    Local { span: Arc<dyn BlockSpan>, cache: Option<Box<dyn SpanState>> },
    /// At a peer.
    Remote(Box<RemoteHop>),
}

struct Stage {
    place: Place,
    /// Reads what this place has read, where it is wished.
    standby: Option<Standby>,
    /// What the stage is to read, step by step: all of it, so that another can read it again.
    inputs: Vec<Hidden>,
    /// How many of the steps this place has computed, and how long each took in milliseconds.
    times: Vec<f64>,
    /// How many of them were there before the answer that is being written.
    before_answer: usize,
    /// What the states lose before and after the stage. Stages that share the work of one that failed send whole states to each
    /// other, so that the text stays the same.
    before: Precision,
    after: Precision,
}

/// All blocks of a model, in order, with the state of one text.
pub(super) struct Path {
    stages: Vec<Stage>,
    /// Whom to ask when a stage fails; `None` for a path on this machine.
    hosts: Option<Hosts>,
    /// Dealings that are over, one for each stage that failed.
    dealings: Vec<Dealing>,
    closing: JoinSet<()>,
    /// Not while a stage is being replaced, when blocks are missing.
    whole: bool,
    /// By the block after which the states came.
    sieves: BTreeMap<u32, Sieve>,
    suspects: Vec<Suspect>,
}

/// How a dealing with a peer on the path ended.
pub(super) struct Dealing {
    pub peer: PeerId,
    pub outcome: Option<Outcome>,
    pub latency_ms: Option<f64>,
    /// Milliseconds for one token through the blocks, the way there and back included, and how many blocks these were.
    pub token_ms: Option<(f64, usize)>,
}

/// An answer out of the range of those before it. If another host gives the same one, it was right after all.
struct Suspect {
    peer: PeerId,
    block: u32,
    step: usize,
    values: Vec<f32>,
}

impl Path {
    /// A path on this machine.
    ///
    /// # Errors
    /// `invalid_argument` when the model does not hold all its blocks.
    pub fn local(model: &Model, max_tokens: usize) -> Result<Path> {
        let blocks = model.config().blocks;
        let span = model.span().filter(|span| span.range() == (0..blocks)).ok_or_else(|| {
            Error::invalid_argument(format!("not all of the {blocks} blocks of this model are loaded here"))
                .with_remedy("load the model with all its blocks, or generate over peers")
        })?;
        let cache = span.clone().open(0..blocks, max_tokens)?;
        let place = Place::Local { cache: Some(cache), span };
        Ok(Path::new(vec![Stage::new(place, Precision::F32, Precision::F32)], None))
    }

    /// A path over peers.
    ///
    /// # Errors
    /// Those of [`Hosts::open`].
    pub async fn over(mut hosts: Hosts, precision: Precision) -> Result<Path> {
        let hops = hosts.open(0..hosts.blocks(), precision).await?;
        let stage = |hop| Stage::new(Place::Remote(Box::new(hop)), precision, precision);
        let mut path = Path::new(hops.into_iter().map(stage).collect(), Some(hosts));
        path.stand_by();
        Ok(path)
    }

    fn new(stages: Vec<Stage>, hosts: Option<Hosts>) -> Path {
        Path {
            stages,
            hosts,
            dealings: Vec::new(),
            closing: JoinSet::new(),
            whole: true,
            sieves: BTreeMap::new(),
            suspects: Vec::new(),
        }
    }

    /// The next tokens of the text, in as many steps as `next` gives: their states before the first block to those after the last, of
    /// `all` steps or of the last one. While a stage reads one step, those before it read the following ones.
    ///
    /// # Errors
    /// Those of `next`; the failure of a stage that nobody can take over, with `peer` and `blocks`.
    pub async fn read(
        &mut self,
        mut next: impl FnMut() -> BoxFuture<'static, Result<Option<Hidden>>> + Send,
        all: bool,
        cancel: &CancellationToken,
    ) -> Result<Vec<Hidden>> {
        let begins = self.stages.first().map_or(0, |first| first.inputs.len());
        let mut results = BTreeMap::new();
        let mut more = true;
        loop {
            // No sooner than the first stage has time for it: prompts can be long.
            if let Some(first) = self.stages.first_mut().filter(|first| more && !first.is_pending()) {
                match next().await? {
                    Some(hidden) => first.inputs.push(hidden.carried(first.before)),
                    None => more = false,
                }
            }
            let pending = self.stages.iter_mut().enumerate().filter(|(_, stage)| stage.is_pending());
            let computing = pending.map(|(at, stage)| async move { (at, stage.compute(cancel).await) });
            let outcomes = futures::future::join_all(computing).await;
            if outcomes.is_empty() {
                break;
            }
            let mut failures = Vec::new();
            for (at, outcome) in outcomes {
                match outcome.and_then(|output| self.accept(at, output)) {
                    Ok(Some((step, output))) => {
                        if !all {
                            results.clear();
                        }
                        results.insert(step, output);
                    }
                    Ok(None) => {}
                    Err(error) => failures.push((self.stages[at].peer().ok_or(error.clone())?, error)),
                }
            }
            for (failed, error) in failures {
                // Whoever failed at some blocks is not asked for its others either.
                while let Some(at) = self.stage_of(failed) {
                    self.replace(at, error.clone()).await?;
                }
            }
        }
        // A stage that was put in the place of the last one gives what came before as well.
        Ok(results.split_off(&begins).into_values().collect())
    }

    /// Lets another host read along with each stage that has none yet, where that is wished. What the stage has read it reads after it.
    fn stand_by(&mut self) {
        let Some(hosts) = &self.hosts else { return };
        let on_path: Vec<PeerId> = self.stages.iter().filter_map(Stage::peer).collect();
        for stage in self.stages.iter_mut().filter(|stage| stage.standby.is_none()) {
            let Place::Remote(hop) = &stage.place else { continue };
            stage.standby = hosts.standby(&hop.blocks, &on_path);
            stage.read_along(0);
        }
    }

    fn stage_of(&self, peer: PeerId) -> Option<usize> {
        self.stages.iter().position(|stage| stage.peer() == Some(peer))
    }

    /// Takes what a stage computed for the next one, or with its step for the caller after the last.
    fn accept(&mut self, at: usize, output: Hidden) -> Result<Option<(usize, Hidden)>> {
        let stage = &mut self.stages[at];
        let step = stage.times.len() - 1;
        let Place::Remote(hop) = &mut stage.place else {
            // Nobody takes over from this machine.
            stage.inputs[step].values = Vec::new();
            return Ok(self.hand_on(at, step, output));
        };
        let (peer, block) = (hop.peer, hop.blocks.end);
        let output = output.carried(stage.after);
        let sieve = self.sieves.entry(block).or_default();
        if !sieve.fits(&stage.inputs[step], &output) {
            let same = |suspect: &&Suspect| {
                (suspect.block, suspect.step) == (block, step)
                    && suspect.peer != peer
                    && suspect.values == output.values
            };
            let Some(honest) = self.suspects.iter().find(same) else {
                let error = Error::corrupt_data("the host's states are far out of the range of those before them")
                    .with("peer", peer)
                    .with("blocks", format!("{}..{}", hop.blocks.start, hop.blocks.end));
                hop.distrust(&error);
                self.suspects.push(Suspect { peer, block, step, values: output.values });
                return Err(error);
            };
            let cleared = self.dealings.iter_mut().filter(|dealing| dealing.peer == honest.peer);
            cleared.for_each(|dealing| dealing.outcome = Some(Outcome::Good));
        }
        sieve.learn(&output);
        if let Some(standby) = &stage.standby {
            standby.read(stage.inputs[step].clone());
        }
        Ok(self.hand_on(at, step, output))
    }

    fn hand_on(&mut self, at: usize, step: usize, output: Hidden) -> Option<(usize, Hidden)> {
        let Some(next) = self.stages.get_mut(at + 1) else { return Some((step, output)) };
        // A stage that does its predecessor's work again repeats what the next one has been given already.
        if step == next.inputs.len() {
            next.inputs.push(output);
        }
        None
    }

    /// Puts others in the place of a stage that failed.
    async fn replace(&mut self, at: usize, error: Error) -> Result<()> {
        let Some(hosts) = &mut self.hosts else { return Err(error) };
        self.whole = false;
        let stage = self.stages.remove(at);
        let dealing = stage.dealing();
        let Stage { place: Place::Remote(hop), standby, inputs, before_answer, before, after, .. } = stage else {
            return Err(error);
        };
        let (peer, blocks) = (hop.peer, hop.blocks.clone());
        self.dealings.extend(dealing);
        self.closing.spawn(hop.close());
        hosts.failed(peer, &error)?;
        if let Some(along) = end(standby, hosts.silence()).await {
            if along.hop.is_sound() && hosts.may_use(along.hop.peer) {
                let mut stage = Stage::new(Place::Remote(Box::new(along.hop)), before, after);
                stage.before_answer = before_answer.min(along.times.len());
                (stage.inputs, stage.times) = (inputs, along.times);
                self.stages.insert(at, stage);
                self.whole = true;
                self.stand_by();
                return Ok(());
            }
            self.dealings.push(along.dealing());
            self.closing.spawn(along.hop.close());
        }
        let hops = hosts.open(blocks.clone(), Precision::F32).await.map_err(|gap| {
            gap.with("peer", peer).with("blocks", format!("{}..{}", blocks.start, blocks.end)).with_source(error)
        })?;
        let last = hops.len().saturating_sub(1);
        let stages = hops.into_iter().enumerate().map(|(number, hop)| {
            let before = if number == 0 { before } else { Precision::F32 };
            let after = if number == last { after } else { Precision::F32 };
            Stage::new(Place::Remote(Box::new(hop)), before, after)
        });
        self.stages.splice(at..at, stages);
        self.stages[at].inputs = inputs;
        self.whole = true;
        self.stand_by();
        Ok(())
    }

    /// Whether all of it is on this machine.
    pub fn is_local(&self) -> bool {
        self.hosts.is_none()
    }

    /// How many steps all stages have computed; `None` where one of them stands within a step, has failed, or is missing.
    pub fn steps(&self) -> Option<usize> {
        let steps = self.stages.iter().map(|stage| stage.is_sound().then_some(stage.times.len()));
        steps.min().flatten().filter(|_| self.whole)
    }

    /// Bytes that it keeps in this process: states to be read again by whoever takes over, and the keys and values that are here.
    pub fn bytes(&self) -> usize {
        self.stages.iter().map(Stage::bytes).sum()
    }

    /// Takes the text back to the first so many of its steps, where another answer begins.
    ///
    /// # Errors
    /// Those of a host; `untrusted_peer` for one that the policy no longer lets this node use; `unreachable` for a path that was slower
    /// than is wished. It is then of no use but to be closed.
    pub async fn take_back(&mut self, steps: usize) -> Result<()> {
        let token_ms = self.stages.iter().map(|stage| median(&stage.singles(0))).sum();
        if let Some(hosts) = &mut self.hosts {
            hosts.soon_enough(token_ms)?;
            hosts.begin_again().await;
            if let Some(peer) = self.stages.iter().filter_map(Stage::peer).find(|peer| !hosts.may_use(*peer)) {
                return Err(Error::untrusted_peer("the host is not to be used any more").with("peer", peer));
            }
            for stage in &mut self.stages {
                let standing_by = stage.standby.take();
                match standing_by {
                    Some(standby) if !hosts.may_use(standby.peer) => drop(tokio::spawn(standby.close())),
                    standby => stage.standby = standby,
                }
            }
        }
        self.suspects.clear();
        let silence = self.hosts.as_ref().map(Hosts::silence).unwrap_or_default();
        let taking = self.stages.iter_mut().map(|stage| stage.take_back(steps, silence));
        for taken in futures::future::join_all(taking).await {
            if let Some(along) = taken? {
                self.dealings.push(along.dealing());
                self.closing.spawn(along.hop.close());
            }
        }
        self.stand_by();
        Ok(())
    }

    /// The stations with their times, the median of those after the first `prefill` steps (of all of this answer, if there are none).
    pub fn hops(&self, prefill: usize) -> Vec<Hop> {
        let hop = |stage: &Stage| {
            let (peer, blocks) = match &stage.place {
                Place::Local { span, .. } => (None, span.range().start as u32..span.range().end as u32),
                Place::Remote(hop) => (Some(hop.peer.to_string()), hop.blocks.clone()),
            };
            let times = &stage.times;
            let from = if times.len() > prefill { prefill } else { stage.before_answer.min(times.len()) };
            let ms = median(&times[from..]);
            Hop { peer, start_block: blocks.start, end_block: blocks.end, ms }
        };
        self.stages.iter().map(hop).collect()
    }

    /// How the dealings went, since this was asked the last time.
    pub fn settle(&mut self) -> Vec<Dealing> {
        let mut dealings = std::mem::take(&mut self.dealings);
        for stage in &mut self.stages {
            dealings.extend(stage.dealing());
            stage.before_answer = stage.times.len();
        }
        dealings
    }

    /// Ends the sessions at the peers, and says how the dealings with those went that read along.
    pub async fn close(mut self) -> Vec<Dealing> {
        for stage in std::mem::take(&mut self.stages) {
            if let Place::Remote(hop) = stage.place {
                self.closing.spawn(hop.close());
            }
            // What it reads is of no use any more.
            if let Some(along) = end(stage.standby, Duration::ZERO).await {
                self.dealings.push(along.dealing());
                self.closing.spawn(along.hop.close());
            }
        }
        while self.closing.join_next().await.is_some() {}
        std::mem::take(&mut self.dealings)
    }
}

impl Stage {
    fn new(place: Place, before: Precision, after: Precision) -> Stage {
        Stage { place, standby: None, inputs: Vec::new(), times: Vec::new(), before_answer: 0, before, after }
    }

    /// Lets the host that reads along have what this place has read, from a step on.
    fn read_along(&self, from: usize) {
        if let Some(standby) = &self.standby {
            let read = self.inputs.iter().take(self.times.len()).skip(from);
            read.for_each(|input| standby.read(input.clone()));
        }
    }

    fn bytes(&self) -> usize {
        let states: usize = self.inputs.iter().map(|input| input.values.len() * size_of::<f32>()).sum();
        match &self.place {
            Place::Local { cache, .. } => states + cache.as_ref().map_or(0, |cache| cache.bytes()),
            Place::Remote(_) => states,
        }
    }

    /// Whether it stands between two steps, so that it can go on, or back.
    fn is_sound(&self) -> bool {
        match &self.place {
            Place::Local { cache, .. } => cache.is_some(),
            Place::Remote(hop) => hop.is_sound(),
        }
    }

    /// Returns a host that read along and cannot go back as well.
    async fn take_back(&mut self, steps: usize, silence: Duration) -> Result<Option<Along>> {
        self.inputs.truncate(steps);
        let tokens: u32 = self.inputs.iter().map(|input| input.tokens).sum();
        match &mut self.place {
            Place::Local { cache, .. } => {
                let Some(mut taken) = cache.take() else {
                    return Err(Error::cancelled("the step before was cancelled"));
                };
                let back = move || {
                    taken.truncate(tokens as usize);
                    taken
                };
                *cache = Some(blocking(back).await?);
            }
            // Also where nothing is to be taken back: so one hears whether the session is still there.
            Place::Remote(hop) => hop.truncate(tokens).await?,
        }
        self.times.truncate(steps);
        self.before_answer = self.times.len();
        let Some(mut along) = end(self.standby.take(), silence).await else { return Ok(None) };
        let read = along.times.len().min(steps);
        let tokens = self.inputs.iter().take(read).map(|input| input.tokens).sum();
        if !along.hop.is_sound() || along.hop.truncate(tokens).await.is_err() {
            return Ok(Some(along));
        }
        along.times.truncate(read);
        self.standby = Some(Standby::resume(along));
        self.read_along(read);
        Ok(None)
    }

    fn peer(&self) -> Option<PeerId> {
        match &self.place {
            Place::Remote(hop) => Some(hop.peer),
            Place::Local { .. } => None,
        }
    }

    /// Whether it has something to read. A stage that was put in the place of another has all that came before, and those after it wait
    /// until it has caught up.
    fn is_pending(&self) -> bool {
        self.times.len() < self.inputs.len()
    }

    /// Computes the next step.
    async fn compute(&mut self, cancel: &CancellationToken) -> Result<Hidden> {
        let start = Instant::now();
        let hidden = self.inputs[self.times.len()].clone();
        let output = match &mut self.place {
            Place::Remote(hop) => hop.step(hidden).await?,
            Place::Local { cache, .. } => {
                let Some(mut taken) = cache.take() else {
                    return Err(Error::cancelled("the step before was cancelled"));
                };
                let cancel = cancel.clone();
                let (tokens, size) = (hidden.tokens, hidden.size);
                let (values, taken) = blocking(move || {
                    let values = compute(taken.as_mut(), hidden, &cancel);
                    (values, taken)
                })
                .await?;
                *cache = Some(taken);
                Hidden { tokens, size, values: values? }
            }
        };
        self.times.push(start.elapsed().as_secs_f64() * 1000.0);
        Ok(output)
    }

    /// The times of the steps of one token, of all steps from one on.
    fn singles(&self, from: usize) -> Vec<f64> {
        let steps = self.inputs.iter().zip(&self.times).skip(from);
        steps.filter(|(input, _)| input.tokens == 1).map(|(_, ms)| *ms).collect()
    }

    /// How the dealing with the stage's host went in this answer; `None` for a stage on this machine.
    fn dealing(&self) -> Option<Dealing> {
        let Place::Remote(hop) = &self.place else { return None };
        let begun = self.before_answer.min(self.times.len());
        Some(dealing_of(hop, &self.times[begun..], &self.singles(begun)))
    }
}

/// How the dealing with a host went, from the times of its steps and of those of one token among them.
fn dealing_of(hop: &RemoteHop, times: &[f64], singles: &[f64]) -> Dealing {
    Dealing {
        peer: hop.peer,
        outcome: hop.outcome(!times.is_empty()),
        latency_ms: (!times.is_empty()).then(|| median(times)),
        token_ms: (!singles.is_empty()).then(|| (median(singles), hop.blocks.len().max(1))),
    }
}

impl Along {
    fn dealing(&self) -> Dealing {
        dealing_of(&self.hop, &self.times, &[])
    }
}

/// Where a host stands that read along, if there is one.
async fn end(standby: Option<Standby>, patience: Duration) -> Option<Along> {
    standby?.stop(patience).await
}

/// A path that is dropped, by a caller that has left, leaves no sessions behind.
impl Drop for Path {
    fn drop(&mut self) {
        let remote = |stage: Stage| match stage.place {
            Place::Remote(hop) => Some((hop, stage.standby)),
            Place::Local { .. } => None,
        };
        let left: Vec<_> = std::mem::take(&mut self.stages).into_iter().filter_map(remote).collect();
        if let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !left.is_empty()
        {
            runtime.spawn(async move {
                for (hop, standby) in left {
                    hop.close().await;
                    if let Some(along) = end(standby, Duration::ZERO).await {
                        along.hop.close().await;
                    }
                }
            });
        }
    }
}

/// The middle of some times, 0 without any.
pub(super) fn median(times: &[f64]) -> f64 {
    let mut times = times.to_vec();
    times.sort_by(f64::total_cmp);
    match times.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => times[odd / 2],
        even => (times[even / 2 - 1] + times[even / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;
    use crate::shard::backend::Backend;

    /// A stage that says when it begins a step, and ends one when it hears of something.
    struct Met {
        length: usize,
        begins: Option<Sender<()>>,
        /// Once for each step, and once more before the first.
        waits: Option<Receiver<()>>,
    }

    impl SpanState for Met {
        fn length(&self) -> usize {
            self.length
        }

        fn bytes(&self) -> usize {
            0
        }

        fn truncate(&mut self, length: usize) {
            self.length = length;
        }

        fn forward(&mut self, hidden: Vec<f32>, _: &CancellationToken) -> Result<Vec<f32>> {
            if let Some(begins) = &self.begins {
                begins.send(()).map_err(|_| Error::internal("nobody hears it"))?;
            }
            if let Some(waits) = &self.waits {
                let late = |_| Error::timeout("the stage before did not go on");
                for _ in self.length.min(1)..2 {
                    waits.recv_timeout(Duration::from_secs(20)).map_err(late)?;
                }
            }
            self.length += 1;
            Ok(hidden.iter().map(|value| value + 1.0).collect())
        }
    }

    #[derive(Debug)]
    struct Nowhere(Range<usize>);

    impl BlockSpan for Nowhere {
        fn range(&self) -> Range<usize> {
            self.0.clone()
        }

        fn backend(&self) -> Backend {
            Backend::Candle
        }

        fn cache_bytes_per_token(&self) -> usize {
            0
        }

        fn open(self: Arc<Self>, _: Range<usize>, _: usize) -> Result<Box<dyn SpanState>> {
            Err(Error::internal("a stage of this test is open already"))
        }
    }

    fn stage(blocks: Range<usize>, begins: Option<Sender<()>>, waits: Option<Receiver<()>>) -> Stage {
        let cache: Box<dyn SpanState> = Box::new(Met { length: 0, begins, waits });
        let place = Place::Local { span: Arc::new(Nowhere(blocks)), cache: Some(cache) };
        Stage::new(place, Precision::F32, Precision::F32)
    }

    #[tokio::test]
    async fn a_stage_reads_on_while_the_next_one_computes() {
        let (begun, heard) = channel();
        let (first, second) = (stage(0..1, Some(begun.clone()), None), stage(1..2, None, Some(heard)));
        let mut path = Path::new(vec![first, second], None);
        let steps: Vec<Hidden> =
            (0..4).map(|number| Hidden { tokens: 1, size: 1, values: vec![number as f32] }).collect();
        let mut coming = steps.into_iter();
        let next = || -> BoxFuture<'static, Result<Option<Hidden>>> {
            let next = coming.next();
            if next.is_none() {
                // Behind the last step there is none that could begin.
                begun.send(()).unwrap();
            }
            Box::pin(async { Ok(next) })
        };
        let read = path.read(next, true, &CancellationToken::new()).await.unwrap();
        let values: Vec<f32> = read.into_iter().map(|hidden| hidden.values[0]).collect();
        assert_eq!(values, [2.0, 3.0, 4.0, 5.0]);
    }
}
