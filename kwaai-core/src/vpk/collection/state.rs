//! Which vectors there are and where, in memory: what a search needs, and cheap to look at as it is now.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::shape::damaged;
use crate::Result;
use crate::vpk::SegmentStamp;

/// Where a sealed vector is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) order: u64,
    pub(super) position: u32,
}

/// What is known of a vector beside itself.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Known {
    /// `None` while it is in the tail.
    pub(super) place: Option<Place>,
    pub(super) length: f32,
    /// 0 when it has no payload.
    pub(super) payload: u32,
}

#[derive(Debug, Clone)]
pub(super) struct Segment {
    pub(super) stamp: SegmentStamp,
    /// For each position the id and the length; `None` where the vector was deleted or replaced.
    pub(super) live: Arc<Vec<Option<(u64, f32)>>>,
}

/// Copies share what did not change.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// Counted up when the segments change.
    pub(super) generation: u64,
    pub(super) segments: BTreeMap<u64, Segment>,
    pub(super) known: Arc<BTreeMap<u64, Known>>,
    pub(super) tail: Arc<BTreeMap<u64, Arc<Vec<i32>>>>,
}

impl State {
    pub(super) fn stamps(&self) -> Vec<SegmentStamp> {
        self.segments.values().map(|segment| segment.stamp).collect()
    }

    pub(super) fn next_order(&self) -> u64 {
        self.segments.last_key_value().map_or(0, |(order, _)| order + 1)
    }

    pub(super) fn add_segment(&mut self, order: u64, stamp: SegmentStamp) {
        self.generation += 1;
        self.segments.insert(order, Segment { stamp, live: Arc::new(vec![None; stamp.vectors as usize]) });
    }

    pub(super) fn remove_segment(&mut self, order: u64) {
        self.generation += 1;
        self.segments.remove(&order);
    }

    /// The segments that hold nothing any more.
    pub(super) fn empty_segments(&self) -> Vec<(u64, SegmentStamp)> {
        let empty = |segment: &Segment| segment.live.iter().all(Option::is_none);
        self.segments.iter().filter(|(_, segment)| empty(segment)).map(|(at, segment)| (*at, segment.stamp)).collect()
    }

    /// Puts a vector at a place, or into the tail with its numbers; where it was before, it is no more.
    pub(super) fn set(
        &mut self,
        id: u64,
        place: Option<Place>,
        length: f32,
        payload: u32,
        values: Option<Vec<i32>>,
    ) -> Result<()> {
        self.remove(id);
        match (place, values) {
            (Some(place), _) => {
                let segment = self.segments.get_mut(&place.order).ok_or_else(damaged)?;
                let live = Arc::make_mut(&mut segment.live);
                let slot = live.get_mut(place.position as usize).filter(|slot| slot.is_none());
                *slot.ok_or_else(damaged)? = Some((id, length));
            }
            (None, Some(values)) => drop(Arc::make_mut(&mut self.tail).insert(id, Arc::new(values))),
            (None, None) => return Err(damaged()),
        }
        Arc::make_mut(&mut self.known).insert(id, Known { place, length, payload });
        Ok(())
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Known> {
        // Looked at first, so that nothing is copied for an id that is new.
        self.known.get(&id)?;
        let known = Arc::make_mut(&mut self.known).remove(&id)?;
        match known.place {
            None => drop(Arc::make_mut(&mut self.tail).remove(&id)),
            Some(place) => {
                if let Some(segment) = self.segments.get_mut(&place.order)
                    && let Some(slot) = Arc::make_mut(&mut segment.live).get_mut(place.position as usize)
                {
                    *slot = None;
                }
            }
        }
        Some(known)
    }
}
