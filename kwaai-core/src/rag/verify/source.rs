//! Sources as they are looked through: what stands in one, and in what order.

use std::collections::{BTreeSet, HashMap};

use super::address::Addresses;
use super::automaton::Automaton;
use super::bracket::{Names, without_brackets};
use super::date::{Date, dates};
use super::figure::{Figure, Figures};
use super::words::{without_targets, words};
use crate::rag::chunk::sentences;

/// An ellipsis leaves out at most so many words.
const LEFT_OUT: usize = 100;
/// What so many words at the end of one source and at the beginning of another say is one text.
const OVERLAP: usize = 5;
/// A word that no source has.
const UNKNOWN: u32 = u32::MAX;
/// Stands between two readings of a source.
const BETWEEN: u32 = u32::MAX - 1;

/// Words by numbers, the same for all sources.
#[derive(Default)]
pub(super) struct Vocabulary(HashMap<String, u32>);

impl Vocabulary {
    fn learn(&mut self, word: String) -> u32 {
        let next = self.0.len() as u32;
        *self.0.entry(word).or_insert(next)
    }

    pub fn numbers(&self, words: &[String]) -> Vec<u32> {
        words.iter().map(|word| self.0.get(word).copied().unwrap_or(UNKNOWN)).collect()
    }

    pub fn read(&self, text: &str) -> Vec<u32> {
        self.numbers(&words(text))
    }
}

/// Words in their order, and which of them begin a sentence.
#[derive(Default, Clone)]
struct Reading {
    words: Vec<u32>,
    begins: Vec<bool>,
}

impl Reading {
    fn new(text: &str, vocabulary: &mut Vocabulary) -> Reading {
        let mut reading = Reading::default();
        for sentence in sentences(text) {
            for (place, word) in words(&text[sentence]).into_iter().enumerate() {
                reading.words.push(vocabulary.learn(word));
                reading.begins.push(place == 0);
            }
        }
        reading
    }

    fn append(&mut self, other: &Reading, from: usize) {
        self.words.extend_from_slice(&other.words[from.min(other.words.len())..]);
        self.begins.extend_from_slice(&other.begins[from.min(other.begins.len())..]);
    }

    /// Where runs of words end that stand here in this order, with little left out between them: words of a sentence, or what lies
    /// before the beginning of another.
    fn holds_in_order(&self, parts: &[Vec<u32>]) -> bool {
        let mut ends: Vec<usize> = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let mut found = Vec::new();
            let mut before = 0;
            for start in places(&self.words, part) {
                while ends.get(before + 1).is_some_and(|end| *end <= start) {
                    before += 1;
                }
                let follows = |end: usize| {
                    let gap = end..start;
                    let crosses = || self.begins[end..=start].iter().any(|begins| *begins);
                    let near = gap.len() <= LEFT_OUT && !self.words[gap].contains(&BETWEEN);
                    near && (self.begins[start] || !crosses())
                };
                let near = ends.get(before).filter(|end| **end <= start);
                if number == 0 || near.is_some_and(|end| follows(*end)) {
                    found.push(start + part.len());
                }
            }
            ends = found;
        }
        !ends.is_empty()
    }
}

/// Where a run of words begins in a text (Knuth, Morris and Pratt, 1977).
fn places(text: &[u32], run: &[u32]) -> Vec<usize> {
    let mut borders = vec![0; run.len()];
    let mut length = 0;
    for place in 1..run.len() {
        while length > 0 && run[place] != run[length] {
            length = borders[length - 1];
        }
        length += usize::from(run[place] == run[length]);
        borders[place] = length;
    }
    let (mut found, mut length) = (Vec::new(), 0);
    for (place, word) in text.iter().enumerate() {
        while length > 0 && (length == run.len() || run[length] != *word) {
            length = borders[length - 1];
        }
        length += usize::from(run.first().is_some_and(|_| run[length] == *word));
        if length == run.len() && length > 0 {
            found.push(place + 1 - length);
        }
    }
    found
}

/// A source.
pub(super) struct Source {
    /// The text without its numbers in brackets and the targets of its links: footnotes look like citations and are none.
    plain: Reading,
    /// That, and behind it the text as it stands.
    all: Reading,
    automaton: Automaton,
    known: BTreeSet<String>,
    figures: Figures,
    pub dates: BTreeSet<Date>,
    pub addresses: Addresses,
    pub names: Names,
}

impl Source {
    pub fn new(text: &str, vocabulary: &mut Vocabulary) -> Source {
        let bare = without_brackets(text);
        let linkless = without_targets(&bare);
        let plain = Reading::new(&linkless, vocabulary);
        let mut all = plain.clone();
        for other in [without_targets(text), text.to_owned()] {
            if other != linkless {
                all.words.push(BETWEEN);
                all.begins.push(true);
                all.append(&Reading::new(&other, vocabulary), 0);
            }
        }
        let known = words(&bare).into_iter().collect();
        let automaton = Automaton::new(&all.words);
        let (figures, dates) = (Figures::new(&bare), dates(&bare).into_iter().flatten().collect());
        Source {
            plain,
            all,
            automaton,
            known,
            figures,
            dates,
            addresses: Addresses::new(text),
            names: Names::new(text),
        }
    }

    pub fn contains(&self, words: &[u32]) -> bool {
        self.automaton.contains(words)
    }

    pub fn prefix(&self, words: &[u32]) -> usize {
        self.automaton.prefix(words)
    }

    pub fn longest(&self, words: &[u32]) -> (usize, usize) {
        self.automaton.longest(words)
    }

    pub fn contains_in_order(&self, parts: &[Vec<u32>]) -> bool {
        parts.iter().all(|part| self.contains(part)) && self.all.holds_in_order(parts)
    }

    /// Whether a word stands here, in this or another form.
    pub fn knows_like(&self, word: &str) -> bool {
        if self.known.contains(word) {
            return true;
        }
        let length = word.chars().count();
        let Some((begin, _)) = word.char_indices().nth(3) else { return self.like(word, word, length) };
        self.like(&word[..begin], word, length)
    }

    /// Whether a known word that begins so differs from a word at the end alone.
    fn like(&self, begin: &str, word: &str, length: usize) -> bool {
        let near = |known: &&String| {
            let common = known.chars().zip(word.chars()).take_while(|(a, b)| a == b).count();
            common >= 3 && common + 2 >= length.max(known.chars().count())
        };
        self.known.range(begin.to_owned()..).take_while(|known| known.starts_with(begin)).any(|known| near(&known))
    }

    pub fn holds(&self, figure: &Figure) -> bool {
        self.figures.hold(figure, &|word| self.known.contains(word))
    }
}

/// Which source goes on in which.
pub(super) struct Joints(Vec<Option<(usize, usize)>>);

impl Joints {
    /// What goes on in what is told by where passages stand, and by words that the end of one and the beginning of the other have in common.
    pub fn new(sources: &[Source], known: &[(usize, usize, usize)]) -> Joints {
        let mut joints: Vec<Option<(usize, usize)>> = vec![None; sources.len()];
        for (from, to, common) in known {
            joints[*from] = joints[*from].or(Some((*to, *common)));
        }
        for (from, source) in
            sources.iter().enumerate().filter(|(from, _)| known.iter().all(|(known, ..)| known != from))
        {
            for (to, other) in sources.iter().enumerate().filter(|(to, _)| *to != from) {
                let begin = &other.plain.words[..OVERLAP.min(other.plain.words.len())];
                if begin.len() < OVERLAP || !source.contains(begin) {
                    continue;
                }
                let common = overlap(&source.plain.words, &other.plain.words);
                if common >= OVERLAP && joints[from].is_none_or(|(_, most)| common > most) {
                    joints[from] = Some((to, common));
                }
            }
        }
        Joints(joints)
    }

    /// Runs of several sources that go on in one another, of those that are `allowed`.
    pub fn runs(&self, allowed: &dyn Fn(usize) -> bool) -> Vec<Vec<usize>> {
        let next = |from: usize| self.0[from].map(|(to, _)| to).filter(|to| allowed(*to));
        let all: Vec<usize> = (0..self.0.len()).filter(|number| allowed(*number)).collect();
        let followers: BTreeSet<usize> = all.iter().filter_map(|number| next(*number)).collect();
        let mut runs = Vec::new();
        for first in all.iter().filter(|number| !followers.contains(*number)) {
            let mut run = vec![*first];
            while let Some(to) = run.last().and_then(|last| next(*last)).filter(|to| !run.contains(to)) {
                run.push(to);
            }
            if run.len() > 1 {
                runs.push(run);
            }
        }
        runs
    }

    /// Whether the text of a run has the words, without the places where a source ends.
    pub fn contain(&self, run: &[usize], sources: &[Source], parts: &[Vec<u32>]) -> bool {
        let mut joined = Reading::default();
        let mut from = 0;
        for number in run {
            joined.append(&sources[*number].plain, from);
            from = self.0[*number].map_or(0, |(_, common)| common);
        }
        joined.holds_in_order(parts)
    }
}

/// How many words the end of one text and the beginning of another have in common.
fn overlap(one: &[u32], other: &[u32]) -> usize {
    let most = one.len().min(other.len());
    let mut text = other[..most].to_vec();
    text.push(BETWEEN);
    text.extend_from_slice(&one[one.len() - most..]);
    let mut borders = vec![0; text.len()];
    let mut length: usize = 0;
    for place in 1..text.len() {
        while length > 0 && text[place] != text[length] {
            length = borders[length - 1];
        }
        length += usize::from(text[place] == text[length]);
        borders[place] = length;
    }
    borders.last().copied().unwrap_or(0)
}
