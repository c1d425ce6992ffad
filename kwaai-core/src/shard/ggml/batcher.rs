//! Work of many threads, done together by whichever of them comes first.
//!
//! Nothing waits for company that is not to be expected: a batch begins when the one before has ended, with all that came
//! meanwhile. As many as there were lately are waited for, for a part of the time that it took, since otherwise texts that go
//! on together would fall apart into halves that wait for each other; if they do not come, fewer are expected from then on.

use std::collections::VecDeque;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// As many as there were lately are waited for, at most for so much of the time that they took.
const PATIENCE: f64 = 0.5;

/// What can be done together with others.
pub trait Job {
    /// Whether both may be in one batch.
    fn joins(&self, other: &Self) -> bool;
}

/// Brings jobs together.
pub struct Batcher<J, R> {
    least: usize,
    most: usize,
    state: Mutex<State<J, R>>,
    arrived: Condvar,
}

struct State<J, R> {
    waiting: VecDeque<Waiting<J, R>>,
    /// Whether a thread computes, or is about to.
    leading: bool,
    /// How many are waited for, and how long as many took.
    expected: usize,
    took: Duration,
}

struct Waiting<J, R> {
    job: J,
    tell: SyncSender<Turn<R>>,
}

enum Turn<R> {
    /// The job is the first of those that wait: its thread does the next batch.
    Lead,
    Done(R),
}

impl<J: Job, R> Batcher<J, R> {
    /// Batches of at most `most` jobs. Fewer than `least` are not worth it, and done one by one.
    pub fn new(least: usize, most: usize) -> Batcher<J, R> {
        let state = State { waiting: VecDeque::new(), leading: false, expected: 0, took: Duration::ZERO };
        Batcher { least, most, state: state.into(), arrived: Condvar::new() }
    }

    /// Has a job done, here with those of others or by another thread with its own, and blocks until it is. `compute` takes
    /// a batch, this thread's own job first, and gives as many results. `None` if the thread that had the job died over it.
    pub fn run(&self, job: J, compute: impl FnOnce(Vec<J>) -> Vec<R>) -> Option<R> {
        let (tell, told) = sync_channel(1);
        let leads = {
            let mut state = self.lock();
            state.waiting.push_back(Waiting { job, tell });
            self.arrived.notify_all();
            !std::mem::replace(&mut state.leading, true)
        };
        if !leads && let Turn::Done(result) = told.recv().ok()? {
            return Some(result);
        }
        let _hands_on = Leading(self);
        let (jobs, tells): (Vec<J>, Vec<_>) = self.gather().into_iter().map(|one| (one.job, one.tell)).unzip();
        let begun = Instant::now();
        let results = compute(jobs);
        {
            let mut state = self.lock();
            if tells.len() >= state.expected {
                state.took = begun.elapsed();
            }
        }
        let mut results = results.into_iter();
        let own = results.next();
        for (tell, result) in tells.into_iter().skip(1).zip(results) {
            // Whoever waits does so until it is told.
            let _ = tell.send(Turn::Done(result));
        }
        own
    }

    /// The first that waits, and those that join it.
    fn gather(&self) -> Vec<Waiting<J, R>> {
        let mut state = self.lock();
        let until = Instant::now() + state.took.mul_f64(PATIENCE);
        while state.joining() < state.expected && state.waiting.front().is_some_and(|one| one.job.joins(&one.job)) {
            let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) else {
                state.expected = state.joining();
                break;
            };
            state = self.arrived.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        state.expected = state.joining().clamp(state.expected, self.most);
        let count = match state.joining() {
            few if few < self.least => 1,
            enough => enough.min(self.most),
        };
        let mut taken: Vec<Waiting<J, R>> = state.waiting.pop_front().into_iter().collect();
        let mut place = 0;
        while taken.len() < count && place < state.waiting.len() {
            match state.waiting[place].job.joins(&taken[0].job) {
                true => taken.extend(state.waiting.remove(place)),
                false => place += 1,
            }
        }
        taken
    }

    fn lock(&self) -> MutexGuard<'_, State<J, R>> {
        // No code that can panic runs under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J: Job, R> State<J, R> {
    /// How many of those that wait the first could be done with, itself among them.
    fn joining(&self) -> usize {
        let Some(first) = self.waiting.front() else { return 0 };
        1 + self.waiting.iter().skip(1).filter(|other| other.job.joins(&first.job)).count()
    }
}

/// The turn of a thread, which goes on to the next one however it ends.
struct Leading<'a, J: Job, R>(&'a Batcher<J, R>);

impl<J: Job, R> Drop for Leading<'_, J, R> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        while let Some(first) = state.waiting.front() {
            if first.tell.send(Turn::Lead).is_ok() {
                return;
            }
            state.waiting.pop_front();
        }
        state.leading = false;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::sync::mpsc::channel;

    use super::*;

    /// Kinds join their like; those of kind 0 nobody.
    struct Of(u32, u32);

    impl Job for Of {
        fn joins(&self, other: &Of) -> bool {
            self.0 == other.0 && self.0 != 0
        }
    }

    fn numbers(jobs: &[Of]) -> Vec<u32> {
        jobs.iter().map(|job| job.1).collect()
    }

    /// Runs a job until others have arrived, and tells what the batches were.
    fn batches_of(least: usize, most: usize, arriving: &[(u32, u32)]) -> (Vec<Vec<u32>>, Vec<u32>) {
        let batcher = Batcher::<Of, u32>::new(least, most);
        let (begun, was_begun) = channel();
        let (say, heard) = channel();
        let first_may_end = Barrier::new(2);
        let results = std::thread::scope(|scope| {
            let (batcher, first_may_end) = (&batcher, &first_may_end);
            scope.spawn(move || {
                batcher.run(Of(0, 0), |jobs| {
                    begun.send(()).unwrap();
                    first_may_end.wait();
                    numbers(&jobs)
                })
            });
            was_begun.recv().unwrap();
            let mut running = Vec::new();
            for (place, (kind, number)) in arriving.iter().copied().enumerate() {
                let say = say.clone();
                running.push(scope.spawn(move || {
                    batcher.run(Of(kind, number), |jobs| {
                        say.send(numbers(&jobs)).unwrap();
                        jobs.iter().map(|job| 10 * job.1).collect()
                    })
                }));
                // Each arrives before the next one starts, so that their order is that of the list.
                while batcher.lock().waiting.len() <= place {
                    std::thread::yield_now();
                }
            }
            first_may_end.wait();
            running.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
        });
        drop(say);
        (heard.iter().collect(), results)
    }

    #[test]
    fn what_arrived_meanwhile_is_done_together_in_the_order_of_arrival_and_by_kind() {
        let (batches, results) = batches_of(2, 8, &[(1, 1), (2, 2), (1, 3), (0, 4), (2, 5), (0, 6)]);
        assert_eq!(batches, [vec![1, 3], vec![2, 5], vec![4], vec![6]]);
        assert_eq!(results, [10, 20, 30, 40, 50, 60], "each has its own result");
    }

    #[test]
    fn batches_have_a_least_and_a_greatest_size() {
        let (batches, _) = batches_of(3, 4, &[(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (1, 6)]);
        assert_eq!(batches, [vec![1, 2, 3, 4], vec![5], vec![6]]);
    }

    #[test]
    fn as_many_as_there_were_lately_are_waited_for() {
        let batcher = Batcher::<Of, u32>::new(2, 8);
        (batcher.lock().expected, batcher.lock().took) = (3, Duration::from_secs(3600));
        let (say, heard) = channel();
        std::thread::scope(|scope| {
            for number in 0..3 {
                let (batcher, say) = (&batcher, say.clone());
                scope.spawn(move || {
                    batcher.run(Of(1, number), |jobs| {
                        say.send(jobs.len()).unwrap();
                        numbers(&jobs)
                    })
                });
            }
        });
        drop(say);
        assert_eq!(heard.iter().collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn whoever_does_not_come_is_not_expected_again() {
        let batcher = Batcher::<Of, u32>::new(2, 8);
        (batcher.lock().expected, batcher.lock().took) = (3, Duration::from_millis(20));
        assert_eq!(batcher.run(Of(1, 5), |jobs| numbers(&jobs)), Some(5));
        assert_eq!(batcher.lock().expected, 1);
        batcher.lock().took = Duration::from_secs(3600);
        assert_eq!(batcher.run(Of(1, 6), |jobs| numbers(&jobs)), Some(6), "at once");
    }

    #[test]
    fn a_thread_that_dies_over_a_batch_leaves_the_others_an_answer_and_the_next_ones_their_turn() {
        let batcher = Batcher::<Of, u32>::new(2, 8);
        (batcher.lock().expected, batcher.lock().took) = (2, Duration::from_secs(3600));
        let results: Vec<Option<u32>> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..2)
                .map(|number| {
                    scope.spawn({
                        let batcher = &batcher;
                        move || batcher.run(Of(1, number), |_| panic!("over a batch"))
                    })
                })
                .collect();
            running.into_iter().filter_map(|thread| thread.join().ok()).collect()
        });
        assert_eq!(results, [None], "one died, the other heard of it");
        assert_eq!(batcher.run(Of(0, 5), |jobs| numbers(&jobs)), Some(5));
    }
}
