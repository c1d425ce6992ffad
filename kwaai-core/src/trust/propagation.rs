//! Trust that spreads from peer to peer: EigenTrust, and the word of others weighed by how well it agrees with what this
//! node saw itself.
//!
//! EigenTrust (Kamvar, Schlosser, Garcia-Molina, WWW 2003) gives each peer one global value. It is offered for comparison
//! and for networks that want it; a [score](super::Score) does not contain it, because peers that serve well and lie about
//! others mislead it.

mod word;

use crate::{Error, Result};

pub use word::{
    Heard, MIN_COMMON, PRAISE_CAP, RECOMMENDED_CAP, RECOMMENDER_CAP, STRANGERS_CAP, WARNINGS_CAP, recommended,
    recommender_weights,
};

/// No graph has more peers than this.
pub const MAX_PEERS: usize = 1 << 24;

/// The most steps that a graph may need.
pub const MAX_STEPS: f64 = 1e6;

/// `from` rates `to`: satisfactory minus unsatisfactory dealings.
pub type Rating = (usize, usize, f64);

/// EigenTrust's global trust of every peer: the fixed point of t = (1 - alpha) Cᵀ t + alpha p, summing to 1.
///
/// `ratings` are local trust values: negative ones count as 0, a peer's rating of itself is dropped, several of one pair are
/// added up, and each peer's are divided by their sum. A peer that rates nobody trusts as `pretrusted` does.
/// `pretrusted` has one weight for each peer and is divided by its sum. Iteration ends when no more than `epsilon` moves,
/// all peers together; the result lies within epsilon × (1 - alpha) / alpha of the fixed point. Sums are taken in the order
/// of the peers' numbers, so the result has the same bits for the same ratings in any order.
///
/// # Errors
/// `invalid_argument` when a rating names a peer beyond `pretrusted` or is not finite, when a weight is negative or not
/// finite or all are 0, when alpha is not above 0 and at most 1, or epsilon not above 0, or when both are so small that more
/// than [`MAX_STEPS`] steps could be needed; `resource_exhausted` above
/// [`MAX_PEERS`].
pub fn eigentrust(ratings: &[Rating], pretrusted: &[f64], alpha: f64, epsilon: f64) -> Result<Vec<f64>> {
    Ok(EigenTrust::new(ratings, pretrusted, alpha, epsilon)?.trust)
}

/// A graph of ratings that is kept, so that the trust after a change is found from the trust before it.
#[derive(Debug, Clone)]
pub struct EigenTrust {
    /// For each peer whom it rates and how, by number, each once and above 0.
    rows: Vec<Vec<(u32, f64)>>,
    pretrusted: Vec<f64>,
    alpha: f64,
    epsilon: f64,
    trust: Vec<f64>,
}

impl EigenTrust {
    /// The trust in a graph; see [`eigentrust`] for arguments and errors.
    pub fn new(ratings: &[Rating], pretrusted: &[f64], alpha: f64, epsilon: f64) -> Result<EigenTrust> {
        if pretrusted.len() > MAX_PEERS {
            return Err(
                Error::resource_exhausted(format!("a graph has at most {MAX_PEERS} peers")).with("limit", MAX_PEERS)
            );
        }
        if !(alpha > 0.0 && alpha <= 1.0) {
            return Err(Error::invalid_argument("alpha lies above 0 and is at most 1").with("argument", "alpha"));
        }
        if !(epsilon > 0.0 && epsilon.is_finite()) {
            return Err(Error::invalid_argument("epsilon lies above 0").with("argument", "epsilon"));
        }
        if steps(alpha, epsilon) > MAX_STEPS {
            return Err(Error::invalid_argument("so small an alpha and epsilon take too many steps")
                .with("argument", "alpha")
                .with("limit", MAX_STEPS));
        }
        let sum: f64 = pretrusted.iter().sum();
        if !(sum > 0.0 && sum.is_finite()) || pretrusted.iter().any(|weight| *weight < 0.0) {
            return Err(Error::invalid_argument(
                "the pre-trusted peers have weights of 0 and more, one of them above 0",
            )
            .with("argument", "pretrusted"));
        }
        let pretrusted: Vec<f64> = pretrusted.iter().map(|weight| weight / sum).collect();
        check(ratings, pretrusted.len())?;
        let mut rows = vec![Vec::new(); pretrusted.len()];
        for (from, to, rating) in ratings {
            rows[*from].push((*to as u32, *rating));
        }
        for (from, row) in rows.iter_mut().enumerate() {
            tidy(from, row);
        }
        let trust = pretrusted.clone();
        let mut graph = EigenTrust { rows, pretrusted, alpha, epsilon, trust };
        graph.iterate();
        Ok(graph)
    }

    /// The trust of each peer, in the order of their numbers.
    pub fn trust(&self) -> &[f64] {
        &self.trust
    }

    /// Replaces ratings, a rating of 0 or less taking one away, and finds the trust from where it was. Of several of
    /// one pair the last holds. The result agrees with one from nothing to within the bound of [`eigentrust`].
    ///
    /// # Errors
    /// `invalid_argument` as for [`eigentrust`]; nothing is changed then.
    pub fn update(&mut self, ratings: &[Rating]) -> Result<&[f64]> {
        check(ratings, self.rows.len())?;
        for (from, to, rating) in ratings {
            let row = &mut self.rows[*from];
            let wanted = rating.max(0.0);
            match row.binary_search_by_key(&(*to as u32), |(to, _)| *to) {
                Ok(place) if wanted > 0.0 => row[place].1 = wanted,
                Ok(place) => drop(row.remove(place)),
                Err(place) if wanted > 0.0 && from != to => row.insert(place, (*to as u32, wanted)),
                Err(_) => {}
            }
        }
        self.iterate();
        Ok(&self.trust)
    }

    fn iterate(&mut self) {
        let incoming = Incoming::of(&self.rows);
        let most = steps(self.alpha, self.epsilon);
        let mut next = vec![0.0; self.trust.len()];
        for _ in 0..most as u64 {
            // What peers without ratings pass on goes where the pre-trusted are.
            let idle: f64 = incoming.idle.iter().map(|peer| self.trust[*peer as usize]).sum();
            let base = self.alpha + (1.0 - self.alpha) * idle;
            let mut moved = 0.0;
            for (peer, slot) in next.iter_mut().enumerate() {
                let range = incoming.starts[peer] as usize..incoming.starts[peer + 1] as usize;
                let received: f64 =
                    incoming.edges[range].iter().map(|(from, share)| self.trust[*from as usize] * share).sum();
                *slot = (1.0 - self.alpha) * received + base * self.pretrusted[peer];
                moved += (*slot - self.trust[peer]).abs();
            }
            std::mem::swap(&mut self.trust, &mut next);
            if moved <= self.epsilon {
                break;
            }
        }
    }
}

/// How many steps there are at most: each brings any two vectors nearer by 1 - alpha, and no two lie further apart than 2.
fn steps(alpha: f64, epsilon: f64) -> f64 {
    match alpha {
        1.0 => 1.0,
        _ => ((epsilon / 2.0).ln() / (-alpha).ln_1p()).ceil().max(0.0) + 1.0,
    }
}

/// The edges by their target, each with the share of the source's trust that it carries.
struct Incoming {
    starts: Vec<u32>,
    edges: Vec<(u32, f64)>,
    idle: Vec<u32>,
}

impl Incoming {
    fn of(rows: &[Vec<(u32, f64)>]) -> Incoming {
        let mut starts = vec![0u32; rows.len() + 1];
        for (to, _) in rows.iter().flatten() {
            starts[*to as usize + 1] += 1;
        }
        for peer in 0..rows.len() {
            starts[peer + 1] += starts[peer];
        }
        let mut place = starts.clone();
        let mut edges = vec![(0, 0.0); starts[rows.len()] as usize];
        let mut idle = Vec::new();
        for (from, row) in rows.iter().enumerate() {
            if row.is_empty() {
                idle.push(from as u32);
            }
            let sum: f64 = row.iter().map(|(_, rating)| rating).sum();
            for (to, rating) in row {
                let slot = &mut place[*to as usize];
                edges[*slot as usize] = (from as u32, rating / sum);
                *slot += 1;
            }
        }
        Incoming { starts, edges, idle }
    }
}

fn check(ratings: &[Rating], peers: usize) -> Result<()> {
    for (from, to, rating) in ratings {
        if *from >= peers || *to >= peers {
            return Err(Error::invalid_argument(format!("the rating of {to} by {from} lies beyond the {peers} peers"))
                .with("argument", "ratings"));
        }
        if rating.is_nan() || rating.abs() > 1e15 {
            return Err(Error::invalid_argument(format!("the rating of {to} by {from} is {rating}"))
                .with("argument", "ratings")
                .with_remedy("ratings lie between -10^15 and 10^15"));
        }
    }
    Ok(())
}

/// Brings the ratings of one peer into the one order and form in which they are summed.
fn tidy(from: usize, row: &mut Vec<(u32, f64)>) {
    row.retain(|(to, _)| *to as usize != from);
    row.sort_by(|(to_a, a), (to_b, b)| to_a.cmp(to_b).then(a.total_cmp(b)));
    row.dedup_by(|(to, rating), (kept, sum)| {
        let same = to == kept;
        if same {
            *sum += *rating;
        }
        same
    });
    row.retain(|(_, rating)| *rating > 0.0);
}
