//! Scores from replies of which some may be late and some wrong.
//!
//! Each reply is condensed to three numbers that still lie on polynomials of degree 2t: how far it is from what the two check
//! rows say, which must meet 0 at 0, and a random sum of all of it. Which replies fit together is decided on these alone.

use super::share::{combinations, lagrange, point};
use super::{FIELD, PRIME};
use crate::vpk::check::Checks;
use crate::vpk::random::{Uniform, fresh};
use crate::vpk::segment::{CHECKS, SegmentStamp};
use crate::vpk::{Mode, Opening, Scores, Step, query};
use crate::{Error, Result};

pub(super) struct Decoder {
    hosts: usize,
    colluding: usize,
    segments: Vec<SegmentStamp>,
    checks: Vec<Checks>,
    /// Weighs segments against each other, so that errors in two of them do not cancel out.
    salt: [u8; 32],
    replies: Vec<Reply>,
    malformed: Vec<usize>,
    exact: Option<Vec<Vec<i64>>>,
}

struct Reply {
    host: usize,
    scores: Vec<u32>,
    deviation: [u32; CHECKS],
    digest: u32,
}

impl Decoder {
    pub(super) fn new(
        hosts: usize,
        colluding: usize,
        segments: Vec<SegmentStamp>,
        checks: Vec<Checks>,
    ) -> Result<Decoder> {
        Ok(Decoder {
            hosts,
            colluding,
            segments,
            checks,
            salt: fresh()?,
            replies: Vec::new(),
            malformed: Vec::new(),
            exact: None,
        })
    }

    fn needed(&self) -> usize {
        2 * self.colluding + 1
    }

    fn condense(&self, host: usize, scores: Vec<u32>) -> Result<Reply> {
        let mut deviation = [0; CHECKS];
        let mut weights = Uniform::keyed(&self.salt, &[0; 24], PRIME);
        let mut from = 0;
        for (stamp, checks) in self.segments.iter().zip(&self.checks) {
            let own = checks.deviation(&scores[from..from + stamp.rows(Mode::Split)]);
            for (sum, own) in deviation.iter_mut().zip(own) {
                *sum = FIELD.add(*sum, FIELD.mul(weights.next()?, own));
            }
            from += stamp.rows(Mode::Split);
        }
        let mut weights = Uniform::keyed(&self.salt, &[1; 24], PRIME);
        let mut digest = 0;
        for score in &scores {
            digest = FIELD.add(digest, FIELD.mul(weights.next()?, *score));
        }
        Ok(Reply { host, scores, deviation, digest })
    }

    /// The choices of 2t + 1 replies whose scores pass the check rows.
    fn passing(&self) -> Result<Vec<(Vec<usize>, Vec<u32>)>> {
        let mut passing = Vec::new();
        for chosen in combinations(self.replies.len(), self.needed()) {
            let factors = lagrange(&self.points(&chosen), 0)?;
            let sum = |check: usize| {
                chosen
                    .iter()
                    .zip(&factors)
                    .fold(0, |sum, (at, factor)| FIELD.add(sum, FIELD.mul(*factor, self.replies[*at].deviation[check])))
            };
            if (0..CHECKS).all(|check| sum(check) == 0) {
                passing.push((chosen, factors));
            }
        }
        Ok(passing)
    }

    fn points(&self, chosen: &[usize]) -> Vec<u32> {
        chosen.iter().map(|at| point(self.replies[*at].host)).collect()
    }

    fn scores(&self, chosen: &[usize], factors: &[u32]) -> Vec<Vec<i64>> {
        let mut from = 0;
        let mut exact = Vec::with_capacity(self.segments.len());
        for stamp in &self.segments {
            let score = |row: usize| {
                let sum: u64 = chosen
                    .iter()
                    .zip(factors)
                    .map(|(at, factor)| u64::from(*factor) * u64::from(self.replies[*at].scores[row]))
                    .sum();
                FIELD.to_signed((sum % u64::from(PRIME)) as u32)
            };
            exact.push((from..from + stamp.vectors as usize).map(score).collect());
            from += stamp.rows(Mode::Split);
        }
        exact
    }

    /// Hosts whose replies fit none of the choices that pass.
    ///
    /// Up to t liars can make their errors cancel out at 0, whereupon the right scores would lie on a polynomial that honest
    /// hosts do not fit. With 3t + 1 replies at least 2t + 1 are honest and pass as well, so an honest host is never named.
    fn liars(&self, passing: &[(Vec<usize>, Vec<u32>)]) -> Result<Vec<usize>> {
        let mut liars = self.malformed.clone();
        if self.replies.len() > 3 * self.colluding {
            let mut fits = vec![false; self.replies.len()];
            for (chosen, _) in passing {
                chosen.iter().for_each(|at| fits[*at] = true);
                for (reply, fits) in self.replies.iter().zip(&mut fits).filter(|(_, fits)| !**fits) {
                    let factors = lagrange(&self.points(chosen), point(reply.host))?;
                    let expected = chosen
                        .iter()
                        .zip(&factors)
                        .fold(0, |sum, (at, factor)| FIELD.add(sum, FIELD.mul(*factor, self.replies[*at].digest)));
                    *fits = expected == reply.digest;
                }
            }
            liars.extend(self.replies.iter().zip(fits).filter(|(_, fits)| !fits).map(|(reply, _)| reply.host));
        }
        liars.sort_unstable();
        Ok(liars)
    }
}

impl Opening for Decoder {
    fn offer(&mut self, host: usize, reply: &[u8]) -> Result<Step> {
        if host >= self.hosts {
            return Err(Error::invalid_argument(format!("there are {} hosts, numbered from 0", self.hosts)));
        }
        if !self.malformed.contains(&host) && self.replies.iter().all(|known| known.host != host) {
            match query::read_reply(Mode::Split, reply, &self.segments, PRIME) {
                Ok(scores) => {
                    let reply = self.condense(host, scores)?;
                    self.replies.push(reply);
                }
                Err(_) => self.malformed.push(host),
            }
        }
        let passing = self.passing()?;
        if let (None, Some((chosen, factors))) = (&self.exact, passing.first()) {
            self.exact = Some(self.scores(chosen, factors));
        }
        if let Some(exact) = &self.exact {
            return Ok(Step::Done(Scores { exact: exact.clone(), liars: self.liars(&passing)? }));
        }
        if self.replies.len() + self.malformed.len() == self.hosts || self.hosts - self.malformed.len() < self.needed()
        {
            return Err(Error::corrupt_data("too many hosts answered wrongly").with_remedy("choose other hosts"));
        }
        Ok(Step::Wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vpk::FieldHost;
    use crate::vpk::split::SplitOwner;
    use crate::vpk::tally::{KINDS, Tally, trials};
    use crate::vpk::{CollectionKey, Host, Metric, Owner};

    struct World {
        owner: SplitOwner,
        hosts: Vec<FieldHost>,
        rolled_back: Vec<FieldHost>,
        stamps: Vec<SegmentStamp>,
    }

    fn world(hosts: usize, colluding: usize) -> World {
        let owner = SplitOwner::new(&CollectionKey::generate().unwrap(), 4, Metric::Cosine, hosts, colluding).unwrap();
        let mut all: Vec<FieldHost> = (0..hosts).map(|_| FieldHost::split(4).unwrap()).collect();
        let mut stamps = Vec::new();
        for segment in 0..2 {
            let vectors: Vec<Vec<i32>> = (0..5).map(|at| vec![at * 7, -at, 100 * segment, 3]).collect();
            let upload = owner.seal(&vectors).unwrap();
            all.iter_mut().zip(&upload.parts).for_each(|(host, part)| host.store(part).unwrap());
            stamps.push(upload.stamp);
        }
        World { owner, hosts: all, rolled_back: Vec::new(), stamps }
    }

    /// Where the scores of a reply begin: the header and the count.
    const HEAD: usize = 10;

    fn change(reply: &mut [u8], row: usize, into: impl FnOnce(u32) -> u32) {
        let at = HEAD + 4 * row..HEAD + 4 * (row + 1);
        let old = u32::from_le_bytes(reply[at.clone()].try_into().unwrap());
        reply[at].copy_from_slice(&into(old).to_le_bytes());
    }

    #[test]
    fn whatever_a_host_changes_is_noticed() {
        let mut world = world(3, 1);
        // What each host answers when it keeps, under the name of the newer segment, one that was before it.
        let older = world.owner.seal(&vec![vec![9, 200, -3, 40]; 5]).unwrap();
        for (host, mut part) in world.hosts.iter_mut().zip(older.parts) {
            let mut back = FieldHost::split(4).unwrap();
            part[6..30].copy_from_slice(&world.stamps[1].nonce);
            back.store(&host.fetch(&world.stamps[0]).unwrap()).unwrap();
            back.store(&part).unwrap();
            world.rolled_back.push(back);
        }
        let mut numbers = Uniform::keyed(&[5; 32], &[5; 24], PRIME);
        let mut next = |bound: usize| numbers.next().unwrap() as usize % bound;
        let mut before: Option<Vec<Vec<u8>>> = None;
        let (mut tally, trials) = (Tally::default(), trials(2_000));
        while tally.changes() < trials {
            let vector = vec![next(900) as i32, 40, next(900) as i32, 7];
            let mut question = world.owner.ask(&vector, &world.stamps).unwrap();
            let honest: Vec<Vec<u8>> =
                world.hosts.iter().zip(&question.parts).map(|(host, part)| host.answer(part).unwrap()).collect();
            let (mut replies, liar) = (honest.clone(), next(3));
            let kind = KINDS[tally.changes() % KINDS.len()];
            match kind {
                "flip" => change(&mut replies[liar], next(14), |old| FIELD.add(old, 1 << next(20))),
                "scale" => (0..14).for_each(|row| change(&mut replies[liar], row, |old| FIELD.add(old, old))),
                "swap" => (0..4).for_each(|at| replies[liar].swap(HEAD + at, HEAD + 24 + at)),
                "replay" => replies[liar] = before.as_ref().map_or_else(Vec::new, |replies| replies[liar].clone()),
                "drop" => replies[liar].truncate(HEAD + next(56)),
                _ => replies[liar] = world.rolled_back[liar].answer(&question.parts[liar]).unwrap(),
            }
            before = Some(honest);
            let outcome: Vec<Result<Step>> =
                replies.iter().enumerate().map(|(host, reply)| question.opening.offer(host, reply)).collect();
            let answered = outcome.iter().any(|step| matches!(step, Ok(Step::Done(_))));
            tally.count(kind, !answered && outcome[2].is_err());
        }
        tally.close(Mode::Split);
    }

    #[test]
    fn two_liars_of_seven_are_named_and_honest_hosts_never() {
        let world = world(7, 2);
        let vector = vec![300, 40, -500, 7];
        let mut question = world.owner.ask(&vector, &world.stamps).unwrap();
        let mut replies: Vec<Vec<u8>> =
            world.hosts.iter().zip(&question.parts).map(|(host, part)| host.answer(part).unwrap()).collect();
        // Errors that cancel out at 0 for the first five replies: right scores on a wrong polynomial.
        let points: Vec<u32> = (0..5).map(point).collect();
        let factors = lagrange(&points, 0).unwrap();
        change(&mut replies[0], 3, |old| FIELD.add(old, 9));
        let other = FIELD.mul(FIELD.mul(9, factors[0]), FIELD.inverse(factors[1]).unwrap());
        change(&mut replies[1], 3, |old| FIELD.sub(old, other));
        let steps: Vec<Step> =
            replies.iter().enumerate().map(|(host, reply)| question.opening.offer(host, reply).unwrap()).collect();
        let liars = |step: &Step| match step {
            Step::Done(scores) => scores.liars.clone(),
            Step::Wait => panic!("five replies pass"),
        };
        assert!(steps[..4].iter().all(|step| *step == Step::Wait));
        assert_eq!(liars(&steps[4]), Vec::<usize>::new());
        assert_eq!(liars(&steps[5]), Vec::<usize>::new(), "six replies do not tell who lied");
        let Step::Done(scores) = &steps[6] else { panic!("seven replies pass") };
        assert!(!scores.liars.iter().any(|host| *host > 1), "{:?}", scores.liars);
        assert_eq!(scores.exact[0][1], 7 * 300 - 40 + 3 * 7);
    }

    #[test]
    fn a_reply_that_cannot_be_read_names_its_host_at_once() {
        let world = world(5, 1);
        let mut question = world.owner.ask(&[1, 2, 3, 4], &world.stamps).unwrap();
        assert_eq!(question.opening.offer(4, b"no").unwrap(), Step::Wait);
        for host in 0..3 {
            let reply = world.hosts[host].answer(&question.parts[host]).unwrap();
            let step = question.opening.offer(host, &reply).unwrap();
            match step {
                Step::Wait => assert!(host < 2),
                Step::Done(scores) => assert_eq!((host, scores.liars), (2, vec![4])),
            }
        }
        assert!(question.opening.offer(5, b"").is_err());
    }

    #[test]
    fn questions_and_replies_in_numbers_keep_their_form() {
        let stamp = SegmentStamp { nonce: [7; 24], vectors: 1 };
        let question = query::write(Mode::Split, &[1, 2], &[stamp]);
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        // The digest of 24 times 07 and 01000000, with Python's hashlib.
        let layout = "a737f9f066028e5a6365c72b84e9b08e2d1f3c565a13005136c75bf29ccefd4e";
        assert_eq!(hex(&question), format!("4b56500301 03{layout}020000000100000002000000").replace(' ', ""));
        assert_eq!(
            hex(&query::write_reply(Mode::Split, &[5, 6, 7])),
            "4b5650040103030000000500000006000000 07000000".replace(' ', "")
        );
        let segment = crate::vpk::segment::write(Mode::Seal, &stamp, 1, 3, [1, 2, 16_760_832]);
        assert_eq!(
            hex(&segment),
            format!("4b5650010102{}0100000001000000010000020000 00c0ff", "07".repeat(24)).replace(' ', "")
        );
    }
}
