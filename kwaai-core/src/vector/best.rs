//! The largest of many values, without sorting them.

/// Keeps the `most` largest of what it is offered, and some more until it is asked.
pub(super) struct Best {
    most: usize,
    floor: f32,
    kept: Vec<(f32, u32)>,
}

impl Best {
    pub fn new(most: usize) -> Best {
        Best { most, floor: f32::NEG_INFINITY, kept: Vec::new() }
    }

    /// Takes nothing below a floor from the start.
    pub fn above(floor: f32, most: usize) -> Best {
        Best { most, floor, kept: Vec::new() }
    }

    /// How many it keeps.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// What is below it cannot be among the largest; never more than the least of these.
    pub fn floor(&self) -> f32 {
        self.floor
    }

    pub fn offer(&mut self, value: f32, place: u32) {
        if value < self.floor {
            return;
        }
        self.kept.push((value, place));
        if self.kept.len() >= 2 * self.most + 64 {
            self.settle();
        }
    }

    /// Lets go of all but the largest, and raises the floor to the least of them.
    pub fn settle(&mut self) {
        if self.kept.len() < self.most || self.most == 0 {
            return;
        }
        self.kept.select_nth_unstable_by(self.most - 1, |a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        self.kept.truncate(self.most);
        self.floor = self.kept[self.most - 1].0;
    }

    pub fn into_places(mut self) -> Vec<u32> {
        self.settle();
        self.kept.into_iter().map(|(_, place)| place).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_are_kept_whatever_the_order() {
        for most in [1, 7, 100] {
            let mut best = Best::new(most);
            let values: Vec<f32> = (0..1000).map(|at| (at * 7919 % 1000) as f32).collect();
            values.iter().enumerate().for_each(|(place, value)| best.offer(*value, place as u32));
            best.settle();
            assert_eq!(best.floor(), (1000 - most) as f32);
            let mut found: Vec<f32> = best.into_places().iter().map(|place| values[*place as usize]).collect();
            found.sort_by(f32::total_cmp);
            assert_eq!(found, (1000 - most..1000).map(|value| value as f32).collect::<Vec<_>>());
        }
        let mut few = Best::new(5);
        few.offer(1.0, 3);
        assert_eq!((few.floor(), few.into_places()), (f32::NEG_INFINITY, vec![3]));
    }
}
