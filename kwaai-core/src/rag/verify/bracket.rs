//! Numbers in brackets: citations, and what only looks like some.
//!
//! Documents have footnotes (`Rhine[7]`) and code (`argv[1]`) of their own. What an answer takes over of them cites nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::source::{Source, Vocabulary};

/// Longer brackets are no citation, in bytes.
const LONGEST: usize = 64;
/// Of the text on either side of a footnote so many bytes are looked at, and at most so many words.
const BESIDE: usize = 96;
const WORDS: usize = 3;

/// Numbers that stand in brackets, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::rag) struct Bracket {
    pub numbers: Vec<usize>,
    pub span: Range<usize>,
}

/// Every bracket of a text with nothing but numbers in it.
pub(super) fn brackets(text: &str) -> Vec<Bracket> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find('[').map(|open| at + open) {
        at = open + 1;
        let near = text.floor_char_boundary(open + LONGEST);
        let Some(close) = text[open..near].find(']').map(|close| open + close) else { continue };
        let numbers: Option<Vec<usize>> =
            text[open + 1..close].split([',', ';']).map(|number| number.trim().parse().ok()).collect();
        if let Some(numbers) = numbers {
            found.push(Bracket { numbers, span: open..close + 1 });
            at = close + 1;
        }
    }
    found
}

/// The brackets of an answer that cite, and those that are part of what it says.
pub(super) fn told_apart(text: &str, sources: &[Source], vocabulary: &Vocabulary) -> (Vec<Bracket>, Vec<Bracket>) {
    let all = brackets(text);
    let code = code(text);
    let indexes = |place: usize| {
        let span = &all[place].span;
        name(text, span.start).is_some_and(|name| {
            let known = |source: &Source| source.names.0.contains_key(&name);
            sources.iter().any(known) || is_inside(&code, span.start)
        })
    };
    let mut own = vec![false; all.len()];
    for place in 0..all.len() {
        own[place] = indexes(place) || follows_index(text, &all, &own, place, sources);
    }
    // A footnote is one where something else is cited behind it.
    let mut cited_behind = false;
    for place in (0..all.len()).rev() {
        let span = &all[place].span;
        if all.get(place + 1).is_some_and(|next| text[span.end..next.span.start].contains("\n\n")) {
            cited_behind = false;
        }
        if own[place] {
            continue;
        }
        own[place] = cited_behind && is_footnote(text, &all, place, sources, vocabulary);
        cited_behind |= !own[place] && all[place].numbers.iter().any(|number| (1..=sources.len()).contains(number));
    }
    let mut told = (Vec::new(), Vec::new());
    for (bracket, own) in all.into_iter().zip(own) {
        if own { told.1.push(bracket) } else { told.0.push(bracket) }
    }
    told
}

/// Whether a bracket stands directly behind one that is an index, in a source as here: `m[1][2]`.
fn follows_index(text: &str, all: &[Bracket], own: &[bool], place: usize, sources: &[Source]) -> bool {
    let Some(before) =
        place.checked_sub(1).filter(|before| own[*before] && all[*before].span.end == all[place].span.start)
    else {
        return false;
    };
    let both = &text[all[before].span.start..all[place].span.end];
    let named = name(text, all[before].span.start);
    named.is_some_and(|name| {
        sources.iter().any(|source| source.names.0.get(&name).is_some_and(|indexes| indexes.contains(both)))
    })
}

/// Whether a source has the number in the same place, and is not the one that the number would cite.
fn is_footnote(text: &str, all: &[Bracket], place: usize, sources: &[Source], vocabulary: &Vocabulary) -> bool {
    let span = &all[place].span;
    let from = text.floor_char_boundary(span.start.saturating_sub(BESIDE));
    let before = text[from..span.start].rsplit("\n\n").next().unwrap_or_default();
    let until = all.get(place + 1).map_or(text.len(), |next| next.span.start);
    let after = &text[span.end..until.min(text.floor_char_boundary(span.end + BESIDE))];
    let before = vocabulary.read(before);
    let before = &before[before.len().saturating_sub(WORDS)..];
    let mut after = vocabulary.read(after.split("\n\n").next().unwrap_or_default());
    after.truncate(WORDS - 1);
    let number = vocabulary.read(&text[span.clone()]);
    let with = |after: &[u32]| [before, &number, after].concat();
    let stands = |words: &[u32]| sources.iter().any(|source| source.contains(words));
    let alike =
        before.len() == WORDS && stands(&with(&[])) || before.len() + after.len() >= WORDS && stands(&with(&after));
    let cites = |number: &usize| {
        number.checked_sub(1).and_then(|place| sources.get(place)).is_some_and(|source| source.contains(before))
    };
    alike && !all[place].numbers.iter().any(cites)
}

/// The names of a text that have indexes behind them in brackets, as in code, and which.
#[derive(Debug, Default)]
pub(in crate::rag) struct Names(pub(super) BTreeMap<String, BTreeSet<String>>);

impl Names {
    pub fn new(text: &str) -> Names {
        let (all, code) = (brackets(text), code(text));
        let mut found: BTreeMap<String, (bool, BTreeSet<String>)> = BTreeMap::new();
        for (place, bracket) in all.iter().enumerate() {
            let Some(name) = name(text, bracket.span.start) else { continue };
            let is_code = is_inside(&code, bracket.span.start) || is_path(&name) || bracket.numbers == [0];
            let entry = found.entry(name).or_default();
            entry.0 |= is_code;
            entry.1.insert(text[bracket.span.clone()].to_owned());
            if let Some(next) = all.get(place + 1).filter(|next| next.span.start == bracket.span.end) {
                entry.1.insert(text[bracket.span.start..next.span.end].to_owned());
            }
        }
        // Footnotes stand behind many words, each behind one.
        let counted = found.values().all(|(is_code, indexes)| *is_code || indexes.len() > 1);
        let kept = found.into_iter().filter(|(_, (is_code, indexes))| *is_code || counted && indexes.len() > 1);
        Names(kept.map(|(name, (_, indexes))| (name, indexes)).collect())
    }

    /// Whether the bracket is the index of one of the names.
    pub fn indexes(&self, text: &str, bracket: &Bracket) -> bool {
        name(text, bracket.span.start).is_some_and(|name| self.0.contains_key(&name))
    }

    /// Whether it is one that the name has here.
    pub(super) fn hold(&self, text: &str, bracket: &Bracket) -> bool {
        name(text, bracket.span.start)
            .is_none_or(|name| self.0.get(&name).is_some_and(|indexes| indexes.contains(&text[bracket.span.clone()])))
    }
}

/// The name that ends directly before a place, in small letters.
fn name(text: &str, end: usize) -> Option<String> {
    let part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.' | ':' | '$');
    let from = text.floor_char_boundary(end.saturating_sub(BESIDE));
    let start = from + text[from..end].trim_end_matches(part).len();
    let name = text[start..end].trim_start_matches(['.', ':']);
    name.ends_with(|c: char| c.is_alphanumeric() || c == '_').then(|| name.to_lowercase())
}

/// Whether a name is put together as in code, and neither a number nor an abbreviation.
fn is_path(name: &str) -> bool {
    let dotted = || name.split('.').count() > 1 && name.split('.').any(|part| part.chars().count() > 1);
    !name.starts_with(|c: char| c.is_numeric()) && (name.contains(['_', '$']) || name.contains("::") || dotted())
}

fn is_inside(spans: &[Range<usize>], at: usize) -> bool {
    let place = spans.partition_point(|span| span.end <= at);
    spans.get(place).is_some_and(|span| span.contains(&at))
}

/// What stands between backticks.
fn code(text: &str) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (at, _) in text.match_indices('`') {
        match runs.last_mut().filter(|last| last.end == at) {
            Some(last) => last.end += 1,
            None => runs.push(at..at + 1),
        }
    }
    let mut closing: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (place, run) in runs.iter().enumerate().rev() {
        closing.entry(run.len()).or_default().push(place);
    }
    let (mut found, mut next) = (Vec::new(), 0);
    while let Some(open) = runs.get(next) {
        let places = closing.entry(open.len()).or_default();
        while places.last().is_some_and(|place| *place <= next) {
            places.pop();
        }
        match places.last() {
            Some(close) if open.len() > 2 || !text[open.end..runs[*close].start].contains("\n\n") => {
                found.push(open.end..runs[*close].start);
                next = close + 1;
            }
            _ => next += 1,
        }
    }
    found
}

/// The text without some of its brackets.
pub(super) fn without<'b>(text: &str, left_out: impl IntoIterator<Item = &'b Bracket>) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    for bracket in left_out {
        kept.push_str(&text[at..bracket.span.start]);
        at = bracket.span.end;
    }
    kept.push_str(&text[at..]);
    kept
}

/// The text without its bracketed numbers.
pub(in crate::rag) fn without_brackets(text: &str) -> String {
    without(text, &brackets(text))
}

/// A part of a document without its footnotes; the indexes of its code stay.
pub(in crate::rag) fn without_footnotes(part: &str, document: &str) -> String {
    let names = Names::new(document);
    without(part, brackets(part).iter().filter(|bracket| !names.indexes(part, bracket)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_indexes_of_code_stay_and_footnotes_go() {
        for code in [
            "It reads its path from argv[1] and its mode from argv[2].",
            "The limit is config.limits[12].",
            "The first is `row[3]`, in short.",
            "The name is argv[0].",
        ] {
            assert_eq!(without_footnotes(code, code), code);
        }
        let prose = "Basel[2] lies on the Rhine[7], and Basel[9] is old (so they say)[12]. Key[1] of the U.S.[3] and U.S[4] costs 12.5[6].";
        let expected = "Basel lies on the Rhine, and Basel is old (so they say). Key of the U.S. and U.S costs 12.5.";
        assert_eq!(without_footnotes(prose, prose), expected);
    }

    #[test]
    fn backticks_are_paired_by_their_number_in_time_that_grows_with_them() {
        assert_eq!(code("a `b` ``c ` d`` ```\n\ne``` `f\n\ng`"), [3..4, 8..13, 19..22]);
        code(&"`a``b".repeat(100_000));
    }
}
