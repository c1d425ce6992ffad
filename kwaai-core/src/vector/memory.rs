//! What of an index is in memory: the codes of all its vectors, the vectors that a search has looked at, and the graph.

use std::collections::HashMap;
use std::sync::OnceLock;

use redb::ReadTransaction;

use super::codes::{Codes, Question};
use super::index::{Neighbour, Precision, Search};
use super::segment::{BREADTH, Segment};
use super::table::{Layout, Row, Touched};
use crate::Result;

/// A revision that no database has: nothing in memory counts.
const UNKNOWN: u64 = 0;

/// A graph, and which vectors it leads to.
pub(super) struct Sealed {
    segment: Segment,
    /// The node of each live id.
    live: HashMap<u64, usize>,
    /// For each place whether its vector is one of these.
    covered: Vec<bool>,
}

impl Sealed {
    fn new(segment: Segment, rows: &[Row]) -> Sealed {
        let nodes = segment.rows.iter().enumerate();
        let live = nodes.filter(|(node, _)| !segment.is_dead(*node)).map(|(node, row)| (row.id, node)).collect();
        let mut sealed = Sealed { segment, live, covered: Vec::new() };
        sealed.match_all(rows);
        sealed
    }

    fn covers(&self, row: &Row) -> bool {
        self.live.get(&row.id).is_some_and(|node| self.segment.rows[*node].revision == row.revision)
    }

    /// Finds out which vectors it leads to, and takes out the others.
    fn match_all(&mut self, rows: &[Row]) {
        self.covered = rows.iter().map(|row| self.covers(row)).collect();
        let found: HashMap<u64, u64> = rows.iter().map(|row| (row.id, row.revision)).collect();
        let segment = &self.segment;
        self.live.retain(|id, node| {
            let kept = found.get(id) == Some(&segment.rows[*node].revision);
            if !kept {
                segment.kill(*node);
            }
            kept
        });
    }

    fn remove(&mut self, id: u64) {
        if let Some(node) = self.live.remove(&id) {
            self.segment.kill(node);
        }
    }

    /// Too many dead nodes make a graph hard to walk.
    fn is_worn(&self) -> bool {
        (self.segment.rows.len() - self.live.len()) * 5 > self.segment.rows.len()
    }
}

/// Numbers of one block, behind each other, once they were needed.
type Block = OnceLock<Box<[f32]>>;

pub(super) struct Memory {
    revision: u64,
    rows: Vec<Row>,
    codes: Codes,
    blocks: Vec<Block>,
    sealed: Option<Sealed>,
}

impl Memory {
    pub fn new(dimension: usize) -> Memory {
        let codes = Codes::new(dimension);
        Memory { revision: UNKNOWN, rows: Vec::new(), codes, blocks: Vec::new(), sealed: None }
    }

    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// How many vectors are reached through the graph.
    pub fn sealed_len(&self) -> usize {
        self.sealed.as_ref().map_or(0, |sealed| sealed.live.len())
    }

    /// Whether a graph should be built, when one is wanted for so many vectors.
    pub fn is_due(&self, seal_at: usize) -> bool {
        let sealed = self.sealed.as_ref().map_or(0, |sealed| sealed.segment.rows.len());
        let loose = self.len() - self.sealed_len();
        let worn = self.sealed.as_ref().is_some_and(Sealed::is_worn);
        (loose >= seal_at.max(1) && loose >= sealed / 2) || (worn && self.len() >= seal_at)
    }

    pub fn attach(&mut self, segment: Segment) {
        self.sealed = Some(Sealed::new(segment, &self.rows));
    }

    /// Nothing counts any more, until the next time it is brought up to the database.
    pub fn forget(&mut self) {
        self.revision = UNKNOWN;
    }

    /// Brings it up to the database: by what a change touched, when that change is all that is missing, or anew.
    pub fn catch_up(&mut self, layout: &Layout, transaction: &ReadTransaction, change: Option<&Staged>) -> Result<()> {
        let revision = layout.revision(transaction)?;
        if revision == self.revision {
            return Ok(());
        }
        let next = |staged: &&Staged| staged.touched.revision == revision && self.revision + 1 == revision;
        let change = change.filter(next);
        // A failure half way leaves nothing that counts.
        self.revision = UNKNOWN;
        let count = layout.count(transaction)?;
        if change.is_none() {
            (self.rows, self.codes, self.blocks) = (Vec::new(), Codes::new(layout.dimension), Vec::new());
            self.rows.reserve_exact(count);
            self.codes.reserve(count);
        }
        self.rows.truncate(count);
        self.codes.truncate(count);
        let Memory { rows, codes, blocks, sealed, .. } = self;
        layout.codes(transaction, change.map(|change| &change.touched.codes), |place, (row, facts, bytes)| {
            match rows.get_mut(place) {
                Some(kept) => *kept = row,
                None => rows.push(row),
            }
            codes.set(place, facts, bytes);
        })?;
        if self.rows.len() != count || self.codes.len() != count {
            return Err(layout.damaged("codes are missing"));
        }
        blocks.resize_with(count.div_ceil(layout.rows_per_block()), Block::new);
        for number in change.iter().flat_map(|change| &change.touched.rows) {
            if let Some(block) = blocks.get_mut(*number as usize) {
                *block = Block::new();
            }
        }
        match (sealed, change) {
            (Some(sealed), Some(change)) => {
                change.removed.iter().for_each(|id| sealed.remove(*id));
                sealed.covered.resize(count, false);
                let per = layout.codes_per_block();
                for number in &change.touched.codes {
                    let first = *number as usize * per;
                    for place in first..(first + per).min(count) {
                        sealed.covered[place] = sealed.covers(&self.rows[place]);
                    }
                }
            }
            (Some(sealed), None) => sealed.match_all(&self.rows),
            (None, _) => {}
        }
        self.revision = revision;
        Ok(())
    }

    /// The best vectors; `None` when the database has gone on.
    pub fn search(
        &self,
        layout: &Layout,
        transaction: &ReadTransaction,
        query: &[f32],
        search: &Search<'_>,
    ) -> Result<Option<Vec<Neighbour>>> {
        if layout.revision(transaction)? != self.revision {
            return Ok(None);
        }
        let allowed = |id: u64| search.filter.is_none_or(|filter| filter(id));
        let mut found: Vec<Neighbour> = Vec::new();
        let graph = self
            .sealed
            .as_ref()
            .filter(|sealed| search.precision != Precision::Exact && search.k <= BREADTH / 2 && !sealed.is_worn());
        let mut through_graph = false;
        if let Some(sealed) = graph {
            let near = sealed.segment.search(query).into_iter().filter(|node| allowed(sealed.segment.rows[*node].id));
            found.extend(near.map(|node| Neighbour {
                id: sealed.segment.rows[node].id,
                score: layout.metric.score(query, sealed.segment.arena.get(node)),
            }));
            through_graph = found.len() >= search.k;
            if !through_graph {
                found.clear();
            }
        }
        let question = Question::new(layout.metric, query);
        let open = |place: usize| {
            let behind = through_graph && graph.is_some_and(|sealed| sealed.covered[place]);
            !behind && allowed(self.rows[place].id)
        };
        let places = match search.precision {
            Precision::Fast => self.codes.likely(&question, search.k, open),
            Precision::Exact | Precision::Best => self.codes.certain(&question, search.k, open),
        };
        for place in places {
            let Some(vector) = self.vector(layout, transaction, place as usize)? else { return Ok(None) };
            found.push(Neighbour { id: self.rows[place as usize].id, score: layout.metric.score(query, vector) });
        }
        let order = |a: &Neighbour, b: &Neighbour| b.score.total_cmp(&a.score).then(a.id.cmp(&b.id));
        if found.len() > search.k {
            found.select_nth_unstable_by(search.k, order);
            found.truncate(search.k);
        }
        found.sort_unstable_by(order);
        Ok(Some(found))
    }

    /// The vector at a place; `None` when the database has another one there, which is damaged then.
    fn vector(&self, layout: &Layout, transaction: &ReadTransaction, place: usize) -> Result<Option<&[f32]>> {
        let per = layout.rows_per_block();
        let block = &self.blocks[place / per];
        let values = match block.get() {
            Some(values) => values,
            None => {
                let (rows, values) = layout.rows(transaction, (place / per) as u32)?;
                let first = place / per * per;
                if rows != self.rows[first..(first + per).min(self.len())] {
                    return Ok(None);
                }
                block.get_or_init(|| values.into_boxed_slice())
            }
        };
        let start = place % per * layout.dimension;
        Ok(Some(&values[start..start + layout.dimension]))
    }
}

/// A change that is written in a transaction, for [`apply`](super::VectorIndex::apply) after the commit.
#[must_use = "a committed change that is not applied is read from the database by the next search"]
pub struct Staged {
    pub(super) touched: Touched,
    pub(super) removed: Vec<u64>,
}
