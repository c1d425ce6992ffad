//! Whether what an answer cites stands where it says.
//!
//! No model is asked: words are compared with words. What counts as the same text ignores case, punctuation and line ends. A
//! paraphrase is not judged, but for its numbers: whether it follows from a source is a question of meaning.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use unicode_segmentation::UnicodeSegmentation;

use crate::rag::chunk::sentences;

/// Shorter quotations are names and words that are spoken of.
const QUOTE: usize = 3;
/// Shorter sentences are the same as others by chance.
const SENTENCE: usize = 5;
/// Pieces of a quotation, and of a sentence without quotation marks, that show where they were taken from.
const QUOTED_PIECE: usize = 2;
const PIECE: usize = 5;
/// Longer headings, questions and beginnings of lists say something.
const LIGHT: usize = 12;
/// Longer brackets are no citation, in bytes.
const BRACKET: usize = 64;
/// Numbers up to this are written as words as often as not.
const SPELLED: u64 = 12;

/// What is wrong with a citation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// The number in the brackets is that of no source.
    WrongNumber,
    /// The text stands in another source than in the one that is cited.
    Misattributed,
    /// The text is put together from pieces that stand apart.
    Stitched,
    /// What is quoted stands in no source.
    Fabricated,
    /// Nothing is cited for it.
    Uncited,
    /// A number stands in none of the sources that are cited for it.
    WrongFigure,
}

/// Something that a source was said to say and does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// What is wrong.
    pub kind: FaultKind,
    /// The bytes of the answer that it concerns.
    pub span: Range<usize>,
    /// The numbers that are cited there.
    pub cited: Vec<usize>,
    /// The source in which the text stands, where there is one.
    pub found_in: Option<usize>,
}

/// Compares an answer with the texts of its sources, of which the first is `[1]`: nothing is returned for an answer whose citations hold.
///
/// What stands in quotation marks, with three words or more, must stand in a source that is cited for it, word by word; an ellipsis
/// may leave something out. A sentence that is taken word by word from a source must cite that source. Every sentence cites something,
/// itself or by the next citation of its paragraph; but for short headings, questions, what ends with a colon and a word or two, where
/// they have no number and no address. Numbers above twelve must stand in a source that is cited.
pub fn check_citations(text: &str, sources: &[&str]) -> Vec<Fault> {
    let sources: Vec<Words> = sources.iter().map(|source| Words::new(source)).collect();
    let statements = statements(text);
    let mut faults = Vec::new();
    let quotes = quotes(text);
    for (number, span) in citations(text) {
        if !(1..=sources.len()).contains(&number) {
            faults.push(Fault { kind: FaultKind::WrongNumber, span, cited: vec![number], found_in: None });
        }
    }
    let mut judged: Vec<Range<usize>> = Vec::new();
    for quote in &quotes {
        let place = statements.partition_point(|statement| statement.range.end < quote.end);
        let Some(statement) = statements.get(place) else { continue };
        let cited = statement.cited(sources.len());
        // What cites no source that exists was told of.
        if cited.is_empty() && !statement.numbers.is_empty() {
            continue;
        }
        let parts: Vec<Part> = text[quote.clone()]
            .split('…')
            .flat_map(|part| part.split("..."))
            .map(|part| Part::new(&without_numbers(part)))
            .filter(|part| !part.words.is_empty())
            .collect();
        if parts.iter().map(|part| part.words.len()).sum::<usize>() < QUOTE {
            continue;
        }
        judged.push(quote.clone());
        faults.extend(judge(&parts, quote.clone(), &cited, &sources, QUOTED_PIECE, true));
    }
    for statement in &statements {
        let cited = statement.cited(sources.len());
        if cited.is_empty() && !statement.numbers.is_empty() {
            continue;
        }
        let first = judged.partition_point(|quote| quote.end <= statement.range.start);
        let quoted: Vec<&Range<usize>> =
            judged[first..].iter().take_while(|quote| quote.start < statement.range.end).collect();
        let own = Part::new(&without_numbers(&text[statement.range.clone()]));
        if own.words.is_empty() {
            continue;
        }
        if statement.numbers.is_empty() {
            if !statement.says_nothing(text, &own) {
                faults.push(Fault { kind: FaultKind::Uncited, span: statement.range.clone(), cited, found_in: None });
            }
            continue;
        }
        if cited.iter().any(|number| sources[number - 1].contains(&own)) {
            continue;
        }
        if own.words.len() >= SENTENCE && quoted.is_empty() {
            let fault = judge(std::slice::from_ref(&own), statement.range.clone(), &cited, &sources, PIECE, false);
            if fault.is_some() {
                faults.extend(fault);
                continue;
            }
        }
        // What is quoted was looked at as it stands.
        let mut outside = String::new();
        let mut at = statement.range.start;
        for quote in quoted {
            outside.push_str(text.get(at..quote.start.max(at)).unwrap_or_default());
            at = quote.end.max(at);
        }
        outside.push_str(text.get(at..statement.range.end).unwrap_or_default());
        let figure =
            |word: &String| figure(word).filter(|figure| figure.parse().map_or(true, |number: u64| number > SPELLED));
        let stands = |figure: &String| cited.iter().any(|number| sources[number - 1].figures.contains(figure));
        if words(&without_numbers(&outside)).iter().filter_map(figure).any(|figure| !stands(&figure)) {
            faults.push(Fault { kind: FaultKind::WrongFigure, span: statement.range.clone(), cited, found_in: None });
        }
    }
    faults.sort_by_key(|fault| (fault.span.start, fault.span.end));
    // Two sentences may cite by one bracket.
    faults.dedup();
    faults
}

/// What is wrong with a text that is, or may be, taken from a source.
fn judge(
    parts: &[Part],
    span: Range<usize>,
    cited: &[usize],
    sources: &[Words],
    piece: usize,
    quoted: bool,
) -> Option<Fault> {
    let holds = |source: &Words| parts.iter().all(|part| source.contains(part));
    if cited.iter().any(|number| holds(&sources[number - 1])) {
        return None;
    }
    let fault = |kind, found_in| Some(Fault { kind, span: span.clone(), cited: cited.to_vec(), found_in });
    if let Some(place) = sources.iter().position(holds) {
        return fault(FaultKind::Misattributed, Some(place + 1));
    }
    let pieces: Option<usize> = parts.iter().map(|part| pieces(&part.words, sources, piece)).sum();
    match pieces {
        Some(pieces) if pieces > 1 => fault(FaultKind::Stitched, None),
        _ if quoted => fault(FaultKind::Fabricated, None),
        _ => None,
    }
}

/// A text that may be taken from a source.
struct Part {
    plain: String,
    words: Vec<String>,
}

impl Part {
    fn new(text: &str) -> Part {
        let plain = plain(text);
        // What ends a quotation need not end the sentence that it is taken from.
        let bare = plain.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
        Part { plain: bare, words: words(text) }
    }
}

/// The words of a source, and where each stands.
struct Words {
    plain: String,
    words: Vec<String>,
    places: HashMap<String, Vec<usize>>,
    figures: BTreeSet<String>,
}

impl Words {
    fn new(text: &str) -> Words {
        // Footnotes of a document look like citations and are none.
        let text = &without_numbers(text);
        let words = words(text);
        let mut places: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, word) in words.iter().enumerate() {
            places.entry(word.clone()).or_default().push(place);
        }
        let figures = words.iter().filter_map(|word| figure(word)).collect();
        Words { plain: plain(text), words, places, figures }
    }

    fn contains(&self, part: &Part) -> bool {
        let whole = |(at, found): (usize, &str)| {
            let inside = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
            !inside(self.plain[..at].chars().next_back()) && !inside(self.plain[at + found.len()..].chars().next())
        };
        self.run(&part.words) == part.words.len() || self.plain.match_indices(part.plain.as_str()).any(whole)
    }

    /// How many of the first words of a part stand here one after the other, at most.
    fn run(&self, part: &[String]) -> usize {
        let places = part.first().and_then(|first| self.places.get(first));
        let run = |place: &usize| self.words[*place..].iter().zip(part).take_while(|(a, b)| a == b).count();
        places.into_iter().flatten().map(run).max().unwrap_or(0)
    }
}

/// In how many pieces a text stands in the sources; `None` when a piece is too short to say so.
fn pieces(part: &[String], sources: &[Words], shortest: usize) -> Option<usize> {
    let (mut at, mut pieces) = (0, 0);
    while at < part.len() {
        let run = sources.iter().map(|source| source.run(&part[at..])).max().unwrap_or(0);
        if run < shortest.min(part.len()) {
            return None;
        }
        at += run;
        pieces += 1;
    }
    Some(pieces)
}

/// A text in small letters, with one space between words and one form of quotation marks and dashes.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            c if c.is_whitespace() => {
                if !plain.ends_with(' ') {
                    plain.push(' ');
                }
            }
            '“' | '”' | '„' | '«' | '»' => plain.push('"'),
            '‘' | '’' | '‚' => plain.push('\''),
            '–' | '—' | '‐' | '‑' => plain.push('-'),
            other => plain.push(other),
        }
    }
    plain
}

fn words(text: &str) -> Vec<String> {
    text.unicode_words().map(str::to_lowercase).collect()
}

/// A number without what groups its digits; `None` for a word that does not begin with one.
fn figure(word: &str) -> Option<String> {
    let digits = word.trim_end_matches(|c: char| !c.is_ascii_digit());
    if digits.is_empty() || !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let parts: Vec<&str> = digits.split([',', '.', '\'']).collect();
    let grouped = parts.len() > 1 && parts[0].len() <= 3 && parts[1..].iter().all(|part| part.len() == 3);
    Some(if grouped { parts.concat() } else { digits.replace(',', ".") })
}

/// A sentence of an answer.
struct Statement {
    range: Range<usize>,
    heading: bool,
    /// The numbers that are cited for it, and where.
    numbers: Vec<(usize, Range<usize>)>,
}

impl Statement {
    /// Whether it needs no source: a short heading, a question, what leads to a list, a word or two. None with a number or an address.
    fn says_nothing(&self, text: &str, own: &Part) -> bool {
        let said = text[self.range.clone()].trim_end();
        let telling = |c: char| c.is_ascii_digit() || matches!(c, '@' | '/');
        let address = own.words.iter().any(|word| word.contains('.'));
        let light = self.heading || said.ends_with(['?', ':']) || own.words.len() <= QUOTE;
        light && own.words.len() <= LIGHT && !own.plain.contains(telling) && !address
    }

    fn cited(&self, sources: usize) -> Vec<usize> {
        let mut cited: Vec<usize> = self.numbers.iter().map(|(number, _)| *number).collect();
        cited.retain(|number| (1..=sources).contains(number));
        cited.sort_unstable();
        cited.dedup();
        cited
    }
}

/// What an answer says, cut at sentences and behind brackets, with what is cited for each part: the brackets behind it; for the rest of a
/// sentence those in it; else those of the next part of the paragraph.
fn statements(text: &str) -> Vec<Statement> {
    let citations = citations(text);
    let mut next = 0;
    let mut statements: Vec<Statement> = Vec::new();
    for sentence in sentences(text) {
        let heading = text[sentence.clone()].starts_with('#');
        let first = statements.len();
        let mut start = sentence.end - unmarked(&text[sentence.clone()]).len();
        next += citations[next..].partition_point(|(_, span)| span.start < sentence.start);
        for (number, span) in citations[next..].iter().take_while(|(_, span)| span.end <= sentence.end) {
            if span.start > start && !words(&text[start..span.start]).is_empty() {
                statements.push(Statement { range: start..span.start, heading, numbers: Vec::new() });
            }
            start = start.max(span.end);
            // Brackets at the beginning of a sentence belong to what stands before it.
            let near = statements
                .last_mut()
                .filter(|last| last.range.end > span.start || !ends_paragraph(&text[last.range.end..span.start]));
            match near {
                Some(last) => last.numbers.push((*number, span.clone())),
                None => {
                    statements.push(Statement { range: span.clone(), heading, numbers: vec![(*number, span.clone())] })
                }
            }
        }
        if !words(&text[start..sentence.end]).is_empty() {
            let numbers = statements[first..].iter().flat_map(|part| part.numbers.clone()).collect();
            statements.push(Statement { range: start..sentence.end, heading, numbers });
        }
    }
    for at in (0..statements.len().saturating_sub(1)).rev() {
        let between = text.get(statements[at].range.end..statements[at + 1].range.start).unwrap_or_default();
        if statements[at].numbers.is_empty() && !ends_paragraph(between) {
            statements[at].numbers = statements[at + 1].numbers.clone();
        }
    }
    statements
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

/// Every number in brackets, with the bytes of its brackets.
pub(super) fn citations(text: &str) -> Vec<(usize, Range<usize>)> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(open) = text[at..].find('[').map(|open| at + open) {
        at = open + 1;
        let near = text.floor_char_boundary(open + BRACKET);
        let Some(close) = text[open..near].find(']').map(|close| open + close) else { continue };
        let numbers: Option<Vec<usize>> =
            text[open + 1..close].split([',', ';']).map(|number| number.trim().parse().ok()).collect();
        if let Some(numbers) = numbers {
            found.extend(numbers.into_iter().map(|number| (number, open..close + 1)));
            at = close + 1;
        }
    }
    found
}

/// The text without its bracketed numbers.
pub(super) fn without_numbers(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut at = 0;
    for (_, span) in citations(text) {
        if span.start >= at {
            kept.push_str(&text[at..span.start]);
            at = span.end;
        }
    }
    kept.push_str(&text[at..]);
    kept
}

/// What stands in quotation marks, without them.
fn quotes(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open: Option<(usize, char)> = None;
    for (at, c) in text.char_indices() {
        match open {
            // „…“, „…” and „…": there are three ways to close what began below the line.
            Some((start, closing)) if c == closing || (matches!(c, '“' | '"') && text[..start].ends_with('„')) => {
                found.push(start..at);
                open = None;
            }
            // A paragraph ends what was never closed.
            Some(_) if c == '\n' && text[at + 1..].lines().next().is_none_or(|line| line.trim().is_empty()) => {
                open = None
            }
            Some(_) => {}
            None => {
                let closing = match c {
                    '"' => Some('"'),
                    '“' | '„' => Some('”'),
                    '«' => Some('»'),
                    '»' => Some('«'),
                    '‹' => Some('›'),
                    '›' => Some('‹'),
                    '「' => Some('」'),
                    _ => None,
                };
                open = closing.map(|closing| (at + c.len_utf8(), closing));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "The node keeps its identity in the file identity.key, readable by its owner alone. Losing it means a new PeerId.";
    const TWO: &str = "Peers find each other through a distributed hash table.\nThe default port for pages is 9090, as it was in 2019.";

    fn kinds(text: &str) -> Vec<FaultKind> {
        check_citations(text, &[ONE, TWO]).into_iter().map(|fault| fault.kind).collect()
    }

    #[test]
    fn what_stands_where_it_is_said_to_stand_is_not_flagged() {
        for honest in [
            "“The node keeps its identity in the file identity.key” [1].",
            "The node keeps its identity in the file identity.key, readable by its owner alone. [1] Losing it means a new PeerId. [1]",
            "Losing it means a new PeerId [1]. The default port for pages is 9090, as it was in 2019 [2].",
            "It says \"the file identity.key … readable by its owner alone\" [1].",
            "It says „Peers find each other through a distributed hash table“ [2].",
            "According to [2], pages have the port 9090.",
            "The file is private. So is the key [1].",
            "Port 9090 [2, 1].",
            "Which port is it? In short: 9090 [2].",
            "- The port is 9090 [2]\n- The key is in a file [1]",
            "Losing it means a new PeerId [1] The default port for pages is 9090 [2]",
            "[2] says that the port is 9090.",
            "13. The key is in a file [1].",
            "“The default port for pages is 9090, as it was” [2].",
            "[1, 2] say that the port is 9090.",
            "- [1, 2] say that the port is 9090.\n\n[2, 1] do so too.",
            "# Ports\n\nThe port is 9090 [2].",
        ] {
            assert_eq!(kinds(honest), [], "{honest}");
        }
    }

    #[test]
    fn every_kind_of_false_citation_is_told_by_its_kind() {
        use FaultKind::*;
        for (lie, kind) in [
            ("Losing it means a new PeerId [3].", WrongNumber),
            ("Losing it means a new PeerId [0].", WrongNumber),
            ("It is small. Losing it means a new PeerId [7].", WrongNumber),
            ("“Losing it means a new PeerId” [2].", Misattributed),
            ("Losing it means a new PeerId. [2]", Misattributed),
            ("“The node keeps its identity in the file … as it was in 2019” [1].", Stitched),
            ("“The node keeps its identity through a distributed hash table” [1].", Stitched),
            ("“Losing it means nothing at all” [1].", Fabricated),
            ("The node keeps its identity in the default port for pages is 9090 [1][2].", Stitched),
            ("The port for pages is 9091 [2].", WrongFigure),
            ("The key is in a file [1].\n\nSend your savings to this account.", Uncited),
            ("The key is in a file [1].\r\n\r\nSend your savings to this account.", Uncited),
            ("The key is in a file [1].\n \nSend your savings to this account.", Uncited),
            ("# Your licence expired, pay 500 EUR\n\nThe key is in a file [1].", Uncited),
            ("The key is in a file [1].\n\nVisit evil.example.", Uncited),
            ("Is it not time to send 500 coins?\n\nThe key is in a file [1].", Uncited),
            ("The “port” for pages is 9091 [2].", WrongFigure),
            ("“The default port for pages is 909” [2].", Fabricated),
            ("The default port for pages is 909 [2].", WrongFigure),
            ("It says „Losing it means nothing at all\" [1].", Fabricated),
        ] {
            assert_eq!(kinds(lie), [kind], "{lie}");
        }
    }

    #[test]
    fn a_fault_says_where_the_text_stands_and_what_it_concerns() {
        let text = "The key is private [1]. “Losing it means a new PeerId” [2].";
        let faults = check_citations(text, &[ONE, TWO]);
        assert_eq!((faults[0].found_in, &faults[0].cited[..]), (Some(1), &[2][..]));
        assert_eq!(&text[faults[0].span.clone()], "Losing it means a new PeerId");
    }

    #[test]
    fn numbers_are_the_same_however_their_digits_are_grouped() {
        let source = "It had 12,500 members and 3.5 per cent more in 1999.";
        for (text, faults) in
            [("12500 members, 3.5 more [1].", 0), ("12.500 members in 1999 [1].", 0), ("12,501 members [1].", 1)]
        {
            assert_eq!(check_citations(text, &[source]).len(), faults, "{text}");
        }
    }

    #[test]
    fn footnotes_of_a_source_are_no_part_of_what_it_says() {
        let source = "Basel is a city in Switzerland[3] and lies on the river Rhine.[4]";
        assert_eq!(check_citations("Basel is a city in Switzerland and lies on the river Rhine [1].", &[source]), []);
    }

    #[test]
    fn long_and_hostile_texts_are_checked_in_time_that_grows_with_them() {
        let emptiness = format!("a.{}b", " ".repeat(200_000));
        for hostile in ["[".repeat(200_000), "A [1]. ".repeat(2_000), emptiness, ")".repeat(100_000)] {
            check_citations(&hostile, &[ONE, TWO]);
        }
    }

    #[test]
    fn any_text_is_checked_without_a_panic() {
        for odd in [
            "[1, 2]",
            "[1, 2] a",
            "a\n\n[1, 2] b",
            "- [1,2]\n- [2,1]",
            "[1][1, 2][3",
            "Is [2] [7,\n\n8]",
            "",
            "[",
            "]",
            "[1",
            "[1]",
            "[][1,,2]",
            "“”“",
            "\"\"\"",
            "[1][1][1] a [2]",
            "é [1]ü",
            "…",
            "「本」[1]",
        ] {
            check_citations(odd, &[ONE]);
            check_citations(odd, &[]);
        }
    }
}
