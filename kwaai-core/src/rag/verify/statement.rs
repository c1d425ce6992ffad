//! What an answer says, and what it cites for it.

use std::ops::Range;

use super::bracket::{Bracket, brackets, without};
use super::words::words;
use crate::rag::chunk::sentences;

/// Longer headings, questions and beginnings of lists say something.
const LIGHT: usize = 12;
/// So many words are no statement.
const FEW: usize = 3;

/// A sentence of an answer, or a part of one that cites something of its own.
pub(super) struct Statement {
    pub range: Range<usize>,
    heading: bool,
    /// The numbers that are cited for it.
    pub numbers: Vec<usize>,
}

impl Statement {
    /// Whether it needs no source: a short heading, a question, what leads to a list, a word or two. None with a number or an address.
    pub fn says_nothing(&self, said: &str) -> bool {
        let words = words(said);
        let said = said.trim();
        let inner = said.trim_matches(|c: char| !c.is_alphanumeric());
        let telling = |c: char| c.is_numeric() || matches!(c, '@' | '/');
        let address = inner.split_whitespace().any(|word| {
            let word = word.trim_matches(|c: char| !c.is_alphanumeric());
            word.contains('.') && word.split('.').any(|part| part.chars().count() > 1)
        });
        let light = self.heading || said.ends_with(['?', ':', '？', '：']) || words.len() <= FEW;
        light && words.len() <= LIGHT && !inner.contains(telling) && !address
    }

    /// The numbers of sources that it cites and that there are.
    pub fn cited(&self, sources: usize) -> Vec<usize> {
        let mut cited: Vec<usize> = self.numbers.clone();
        cited.retain(|number| (1..=sources).contains(number));
        cited.sort_unstable();
        cited.dedup();
        cited
    }
}

/// What an answer says, cut at sentences and behind citations, with what is cited for each part: the brackets behind it; for the rest of a
/// sentence those in it; else those of the next part of the paragraph.
pub(super) fn statements(text: &str, citations: &[Bracket]) -> Vec<Statement> {
    let mut next = 0;
    let mut statements: Vec<Statement> = Vec::new();
    for sentence in sentences(&blanked(text)) {
        let heading = text[sentence.clone()].starts_with('#');
        let first = statements.len();
        let mut start = sentence.end - unmarked(&text[sentence.clone()]).len();
        let mut leading: Vec<usize> = Vec::new();
        while let Some(bracket) = citations.get(next).filter(|bracket| bracket.span.start < sentence.end) {
            next += 1;
            let span = &bracket.span;
            if span.start > start && !words(&text[start..span.start]).is_empty() {
                statements.push(Statement { range: start..span.start, heading, numbers: Vec::new() });
            }
            start = start.max(span.end);
            // Brackets between two sentences belong to the one before, where that is in the same paragraph.
            let begins = statements.len() == first && span.start >= sentence.start;
            let near = |last: &&mut Statement| {
                !begins && (last.range.end > span.start || !ends_paragraph(&text[last.range.end..span.start]))
            };
            match statements.last_mut().filter(near) {
                Some(last) => last.numbers.extend(&bracket.numbers),
                None => leading.extend(&bracket.numbers),
            }
        }
        if !words(&text[start..sentence.end]).is_empty() {
            let own = statements[first..].iter().flat_map(|part| part.numbers.iter().copied());
            let numbers = leading.into_iter().chain(own).collect();
            statements.push(Statement { range: start..sentence.end, heading, numbers });
        } else if let Some(last) = statements.last_mut().filter(|last| !ends_paragraph(&text[last.range.end..start])) {
            // All that the sentence says is what it cites.
            last.numbers.extend(leading);
        }
    }
    // What stands behind the last sentence, in a paragraph of its own or not, can belong to it alone.
    if let Some(last) = statements.last_mut() {
        last.numbers.extend(citations[next..].iter().flat_map(|bracket| &bracket.numbers));
    }
    for at in (0..statements.len().saturating_sub(1)).rev() {
        let between = text.get(statements[at].range.end..statements[at + 1].range.start).unwrap_or_default();
        if statements[at].numbers.is_empty() && !ends_paragraph(between) {
            statements[at].numbers = statements[at + 1].numbers.clone();
        }
    }
    statements
}

/// The text with spaces for its brackets, so that they are part of no sentence. A bracket behind the end of a sentence ends it.
fn blanked(text: &str) -> String {
    const SEPARATOR: &str = "\u{2029}";
    let mut blanked = String::with_capacity(text.len());
    let mut at = 0;
    for Bracket { span, .. } in brackets(text) {
        blanked.push_str(&text[at..span.start]);
        let (before, after) = (&text[..span.start], &text[span.end..]);
        let spaces = span.len();
        match ends_sentence(before, after) {
            true => blanked.extend([SEPARATOR, &" ".repeat(spaces - SEPARATOR.len())]),
            false => blanked.push_str(&" ".repeat(spaces)),
        }
        at = span.end;
    }
    blanked.push_str(&text[at..]);
    blanked
}

/// Whether a bracket between the two stands behind the end of a sentence. One in small letters goes on behind it that cited something before
/// its full stop: `It is so [1]. [2] says more.`
fn ends_sentence(before: &str, after: &str) -> bool {
    let closed = before.trim_end_matches([' ', '”', '"', '“', '’', '\'', '»', '«', ')', '*', '_', '」', '』']);
    let Some(said) = closed.strip_suffix(['.', '!', '?', '。', '！', '？', '…']) else { return false };
    let goes_on = said.ends_with(']') && after.trim_start().starts_with(char::is_lowercase);
    !goes_on
}

/// The text up to the end of the last sentence that is whole and cites something; empty where there is none.
pub(super) fn cited_part<'t>(text: &'t str, citations: &[Bracket]) -> &'t str {
    let sentences = sentences(&blanked(text));
    let mut end = 0;
    for (place, sentence) in sentences.iter().enumerate() {
        let until = sentences.get(place + 1).map_or(text.len(), |next| next.start);
        let before = citations.partition_point(|bracket| bracket.span.start < until);
        let cited = citations[..before].last().filter(|bracket| bracket.span.start >= sentence.start);
        let Some(bracket) = cited else { continue };
        let said = without(&text[sentence.clone()], &brackets(&text[sentence.clone()]));
        let said = said.trim_end_matches(|c: char| {
            c.is_whitespace() || matches!(c, '”' | '"' | '“' | '’' | '\'' | '»' | '«' | ')' | '*' | '_')
        });
        // What a line ends that another follows is whole.
        let followed = text[sentence.end.max(bracket.span.end)..until].contains('\n') && until < text.len();
        if said.ends_with(['.', '!', '?', '。', '！', '？']) || followed {
            end = sentence.end.max(bracket.span.end);
        }
    }
    text[..end].trim_end()
}

/// Whether there is an empty line in what stands between two sentences.
fn ends_paragraph(between: &str) -> bool {
    between.split('\n').skip(1).any(|line| line.trim().is_empty()) && between.matches('\n').count() > 1
}

/// An item of a list without its number.
fn unmarked(item: &str) -> &str {
    let rest = item.trim_start_matches(|c: char| c.is_ascii_digit());
    let marked = rest.len() < item.len();
    [". ", ") "].iter().find_map(|mark| rest.strip_prefix(mark)).filter(|_| marked).unwrap_or(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cited(text: &str) -> Vec<(&str, Vec<usize>)> {
        let statements = statements(text, &brackets(text));
        statements.into_iter().map(|statement| (text[statement.range].trim(), statement.numbers)).collect()
    }

    #[test]
    fn a_bracket_belongs_to_what_it_stands_behind() {
        for (text, expected) in [
            ("A be.[1]", vec![("A be.", vec![1])]),
            ("A be.[1] C do.[2]", vec![("A be.", vec![1]), ("C do.", vec![2])]),
            ("A be![1][2] C do?[3]", vec![("A be!", vec![1, 2]), ("C do?", vec![3])]),
            ("東京。[1]大阪！[2]", vec![("東京。", vec![1]), ("大阪！", vec![2])]),
            ("A be. [1] C do [2].", vec![("A be.", vec![1]), ("C do", vec![2])]),
            ("A be [1]. [2] says c.", vec![("A be", vec![1, 2]), ("says c.", vec![1, 2])]),
            ("A be.[1] send money", vec![("A be.", vec![1]), ("send money", vec![])]),
            ("“A be.”[1] C [2]", vec![("“A be.”", vec![1]), ("C", vec![2])]),
            ("- A be [1]\n- [2] says c", vec![("- A be", vec![1]), ("says c", vec![2])]),
            ("Mrs. [1] came.", vec![("Mrs.", vec![1]), ("came.", vec![1])]),
            ("[1] says a.\n\n[2] says b.", vec![("says a.", vec![1]), ("says b.", vec![2])]),
            ("A (be\n14) [1].", vec![("A (be", vec![1])]),
            ("A be.\n\n[1]", vec![("A be.", vec![1])]),
        ] {
            assert_eq!(cited(text), expected, "{text}");
        }
    }

    #[test]
    fn what_was_cut_ends_with_its_last_sentence_that_cites() {
        for (text, kept) in [
            ("A be [1]. C do [2]. Cats are all", "A be [1]. C do [2]"),
            ("A be.[1] C do. Cats", "A be.[1]"),
            ("- A be [1]\n- C do [2]\n- Ca", "- A be [1]\n- C do [2]"),
            ("A be [1]. Only if their owners [1]", "A be [1]"),
            ("Only if their owners [1]", ""),
            ("A be. C", ""),
        ] {
            assert_eq!(cited_part(text, &brackets(text)).trim_end_matches('.'), kept, "{text}");
        }
    }
}
