//! Which runs of words stand in a text: its suffix automaton (Blumer et al., 1985), in time that grows with what is read.

use std::collections::BTreeMap;

/// The suffix automaton of a sequence of words.
pub(super) struct Automaton {
    states: Vec<State>,
}

#[derive(Clone, Default)]
struct State {
    next: BTreeMap<u32, u32>,
    link: u32,
    length: u32,
}

impl Automaton {
    pub fn new(words: &[u32]) -> Automaton {
        let mut states = vec![State::default()];
        let mut last = 0u32;
        for word in words {
            let new = states.len() as u32;
            states.push(State { length: states[last as usize].length + 1, ..State::default() });
            let mut at = Some(last);
            let known = loop {
                let Some(state) = at else { break None };
                if let Some(known) = states[state as usize].next.get(word) {
                    break Some((state, *known));
                }
                states[state as usize].next.insert(*word, new);
                at = (state != 0).then(|| states[state as usize].link);
            };
            if let Some((from, known)) = known {
                let length = states[from as usize].length + 1;
                if states[known as usize].length == length {
                    states[new as usize].link = known;
                } else {
                    let copy = states.len() as u32;
                    states.push(State { length, ..states[known as usize].clone() });
                    let mut at = Some(from);
                    while let Some(state) = at.filter(|state| states[*state as usize].next.get(word) == Some(&known)) {
                        states[state as usize].next.insert(*word, copy);
                        at = (state != 0).then(|| states[state as usize].link);
                    }
                    states[known as usize].link = copy;
                    states[new as usize].link = copy;
                }
            }
            last = new;
        }
        Automaton { states }
    }

    fn step(&self, state: u32, word: u32) -> Option<u32> {
        self.states[state as usize].next.get(&word).copied()
    }

    /// How many of the first words stand here one after the other, at most.
    pub fn prefix(&self, words: &[u32]) -> usize {
        let mut state = 0;
        let stands = |word: &&u32| self.step(state, **word).inspect(|next| state = *next).is_some();
        words.iter().take_while(stands).count()
    }

    pub fn contains(&self, words: &[u32]) -> bool {
        self.prefix(words) == words.len()
    }

    /// The longest run of the words that stands here, by its first word and its length.
    pub fn longest(&self, words: &[u32]) -> (usize, usize) {
        let (mut state, mut length) = (0u32, 0);
        let (mut end, mut most) = (0, 0);
        for (place, word) in words.iter().enumerate() {
            loop {
                if let Some(next) = self.step(state, *word) {
                    (state, length) = (next, length + 1);
                    break;
                }
                if state == 0 {
                    break;
                }
                state = self.states[state as usize].link;
                length = self.states[state as usize].length as usize;
            }
            if length > most {
                (end, most) = (place + 1, length);
            }
        }
        (end - most, most)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stands(text: &[u32], run: &[u32]) -> bool {
        run.is_empty() || text.windows(run.len()).any(|window| window == run)
    }

    proptest! {
        #[test]
        fn it_knows_every_run_of_its_words_and_no_other(
            text in prop::collection::vec(0u32..3, 0..24), run in prop::collection::vec(0u32..3, 0..12),
        ) {
            let automaton = Automaton::new(&text);
            prop_assert_eq!(automaton.contains(&run), stands(&text, &run));
            let prefix = (0..=run.len()).rev().find(|length| stands(&text, &run[..*length])).unwrap();
            prop_assert_eq!(automaton.prefix(&run), prefix);
            let (start, length) = automaton.longest(&run);
            prop_assert!(stands(&text, &run[start..start + length]));
            for longer in run.windows(length + 1) {
                prop_assert!(!stands(&text, longer));
            }
        }
    }
}
