//! Whether what an answer cites stands where it says.
//!
//! No model is asked: words are compared with words. What counts as the same text ignores case, punctuation, line ends, the targets of links and
//! how Unicode writes a letter. A paraphrase is not judged, but for its numbers: whether it follows from a source is a question of meaning.

mod address;
mod automaton;
mod bracket;
mod date;
mod figure;
mod quotation;
mod source;
mod statement;
mod words;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use address::addresses;
pub(super) use bracket::{Bracket, without_brackets, without_footnotes};
use bracket::{told_apart, without};
use date::{Date, dates};
use figure::figures;
use quotation::quotations;
use source::{Joints, Source, Vocabulary};
use statement::{Statement, statements};
use words::{without_targets, words};

use crate::rag::terms::is_common;

/// Shorter quotations are names and words that are spoken of.
const QUOTE: usize = 3;
/// Shorter sentences are the same as others by chance.
const SENTENCE: usize = 5;
/// Pieces of a quotation, and of a sentence without quotation marks, that show where they were taken from.
const QUOTED_PIECE: usize = 2;
const PIECE: usize = 5;
/// A run of so many words was taken from where it stands.
const LONG: usize = 8;
/// So many words of a shorter one must be missing in what is cited for it, where it stands in another source.
const MISSING: usize = 2;
/// Passages that follow each other have so many bytes of white space between them at most.
const BETWEEN: usize = 4;

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
    /// What is quoted stands in no source, or the address of a page or a picture in none.
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
/// What stands in quotation marks, or in a block behind `>`, with three words or more, must stand in a source that is cited for it, word
/// by word. An ellipsis may leave out up to a hundred words of a sentence, or what lies before the beginning of another, between parts of two words or more.
/// A quotation may run over sources that overlap by five words or more, where all of them are cited. A sentence that is taken word by word
/// from a source, or most of it, must cite that source. Every sentence cites something, itself or by the next citation of its paragraph; but for short headings,
/// questions, what ends with a colon and a word or two, where they have no number and no address. Numbers above twelve must stand in a source that is
/// cited, whatever they are written as, and dates in one that is cited where it has dates; addresses of pages and pictures must stand there too. A
/// number in brackets that a source has itself, as an index of code or as a footnote, cites nothing.
pub fn check_citations(text: &str, sources: &[&str]) -> Vec<Fault> {
    Verifier::new(sources).faults(text)
}

/// The sources of an answer, made ready to be compared with it.
pub(super) struct Verifier {
    vocabulary: Vocabulary,
    sources: Vec<Source>,
    /// Which source goes on in which, and with how many words in common, where that is known.
    known: Vec<(usize, usize, usize)>,
    joints: OnceLock<Joints>,
}

/// What is, or may be, taken from a source.
struct Taken {
    words: Vec<u32>,
    /// What ellipses leave of it.
    parts: Vec<Vec<u32>>,
}

impl Verifier {
    pub fn new(texts: &[&str]) -> Verifier {
        let mut vocabulary = Vocabulary::default();
        let sources = texts.iter().map(|text| Source::new(text, &mut vocabulary)).collect();
        Verifier { vocabulary, sources, known: Vec::new(), joints: OnceLock::new() }
    }

    /// Of passages, each with its document and its bytes in that: what overlaps or follows at once is one text.
    pub fn of_passages(passages: &[(&str, Range<usize>, &str)]) -> Verifier {
        let texts: Vec<&str> = passages.iter().map(|(.., text)| *text).collect();
        let mut verifier = Verifier::new(&texts);
        for (from, (document, span, _)) in passages.iter().enumerate() {
            let follows = |(_, (other, place, text)): &(usize, &(&str, Range<usize>, &str))| {
                other == document
                    && (span.start + 1..=span.end + BETWEEN).contains(&place.start)
                    && span.end < place.end
                    && place.len() == text.len()
            };
            let next = passages.iter().enumerate().filter(follows).min_by_key(|(_, (_, place, _))| place.start);
            if let Some((to, (_, place, text))) = next
                && let Some(common) = text.get(..span.end.saturating_sub(place.start))
            {
                verifier.known.push((from, to, words(&without_targets(&without_brackets(common))).len()));
            }
        }
        verifier
    }

    /// The numbers that an answer cites, and where.
    pub fn citations(&self, text: &str) -> Vec<(usize, Range<usize>)> {
        let brackets = told_apart(text, &self.sources, &self.vocabulary).0;
        brackets
            .into_iter()
            .flat_map(|Bracket { numbers, span }| numbers.into_iter().map(move |number| (number, span.clone())))
            .collect()
    }

    /// An answer that was cut off, up to the last sentence that is whole and cites something.
    pub fn whole<'t>(&self, text: &'t str) -> &'t str {
        statement::cited_part(text, &told_apart(text, &self.sources, &self.vocabulary).0)
    }

    /// What is wrong with the citations of an answer.
    pub fn faults(&self, text: &str) -> Vec<Fault> {
        let (citations, own) = told_apart(text, &self.sources, &self.vocabulary);
        let statements = statements(text, &citations);
        let mut faults = Vec::new();
        for Bracket { numbers, span } in &citations {
            let wrong = numbers.iter().filter(|number| !(1..=self.sources.len()).contains(*number));
            faults.extend(wrong.map(|number| Fault {
                kind: FaultKind::WrongNumber,
                span: span.clone(),
                cited: vec![*number],
                found_in: None,
            }));
        }
        let mut judged: Vec<Range<usize>> = Vec::new();
        for quote in quotations(text, &citations) {
            for part in self.between(text, quote, &citations) {
                faults.extend(self.quotation(text, &part, &statements, &citations, &mut judged));
            }
        }
        for statement in &statements {
            let first = judged.partition_point(|quote| quote.end <= statement.range.start);
            let quotes = judged[first..].iter().take_while(|quote| quote.start < statement.range.end);
            let quotes: Vec<&Range<usize>> = quotes.collect();
            faults.extend(self.statement(text, statement, &quotes, (&citations, &own)));
        }
        faults.extend(
            addresses(text).into_iter().filter_map(|(span, address)| self.address(span, &address, &statements)),
        );
        faults.sort_by_key(|fault| (fault.span.start, fault.span.end));
        // Two sentences may cite by one bracket.
        faults.dedup();
        faults
    }

    /// What is wrong with an address in an answer.
    fn address(&self, span: Range<usize>, address: &str, statements: &[Statement]) -> Option<Fault> {
        let place = statements.partition_point(|statement| statement.range.end <= span.start);
        let cited = statements.get(place).map(|statement| statement.cited(self.sources.len())).unwrap_or_default();
        if cited.iter().any(|number| self.sources[number - 1].addresses.hold(address)) {
            return None;
        }
        let found = self.sources.iter().position(|source| source.addresses.hold(address));
        match found {
            // That nothing is cited for it is told of.
            Some(_) if cited.is_empty() => None,
            Some(place) => Some(Fault { kind: FaultKind::Misattributed, span, cited, found_in: Some(place + 1) }),
            None => Some(Fault { kind: FaultKind::Fabricated, span, cited, found_in: None }),
        }
    }

    /// The parts of a quotation between citations in it, where each says enough to be looked for by itself.
    fn between(&self, text: &str, quote: Range<usize>, citations: &[Bracket]) -> Vec<Range<usize>> {
        let (mut parts, mut start) = (Vec::new(), quote.start);
        let first = citations.partition_point(|bracket| bracket.span.start < quote.start);
        for bracket in citations[first..].iter().take_while(|bracket| bracket.span.end <= quote.end) {
            parts.push(start..bracket.span.start);
            start = bracket.span.end;
        }
        parts.push(start..quote.end);
        parts.retain(|part| !words(&text[part.clone()]).is_empty());
        let long = |part: &Range<usize>| words(&text[part.clone()]).len() >= QUOTE;
        if parts.iter().all(long) { parts } else { vec![quote] }
    }

    fn quotation(
        &self,
        text: &str,
        quote: &Range<usize>,
        statements: &[Statement],
        citations: &[Bracket],
        judged: &mut Vec<Range<usize>>,
    ) -> Option<Fault> {
        let said = without_targets(&said(text, quote, citations));
        let parts = said.replace(". . .", "…").replace("...", "…");
        let parts = parts.split(['…', '⋯']).map(|part| self.vocabulary.read(part)).filter(|part| !part.is_empty());
        let taken = Taken { words: self.vocabulary.read(&said), parts: parts.collect() };
        if taken.words.len() < QUOTE {
            return None;
        }
        // A full stop and a citation may stand before the mark that closes.
        let end = quote.start + bare(&text[quote.clone()], quote.start, citations).len();
        let place = statements.partition_point(|statement| statement.range.end < end);
        let statement = statements.get(place)?;
        let cited = statement.cited(self.sources.len());
        // What cites no source that exists was told of.
        if cited.is_empty() && !statement.numbers.is_empty() {
            return None;
        }
        judged.push(quote.clone());
        let piece = text[quote.clone()].trim_start();
        let start = quote.end - piece.len();
        self.judge(&taken, start..start + piece.trim_end().len(), &cited, QUOTED_PIECE, true)
    }

    fn statement(
        &self,
        text: &str,
        statement: &Statement,
        quotes: &[&Range<usize>],
        (citations, own): (&[Bracket], &[Bracket]),
    ) -> Option<Fault> {
        let cited = statement.cited(self.sources.len());
        if cited.is_empty() && !statement.numbers.is_empty() {
            return None;
        }
        let fault =
            |kind, found_in| Some(Fault { kind, span: statement.range.clone(), cited: cited.clone(), found_in });
        let said = said(text, &statement.range, citations);
        let spoken = words(&without_targets(&said));
        if spoken.is_empty() {
            return None;
        }
        if statement.numbers.is_empty() {
            return if statement.says_nothing(&said) { None } else { fault(FaultKind::Uncited, None) };
        }
        let words = self.vocabulary.numbers(&spoken);
        if cited.iter().any(|number| self.sources[number - 1].contains(&words)) {
            return None;
        }
        if quotes.is_empty() {
            if words.len() >= SENTENCE {
                let taken = Taken { parts: vec![words.clone()], words: words.clone() };
                if self.joined(&cited, &taken) {
                    return None;
                }
                let fault = self.judge(&taken, statement.range.clone(), &cited, PIECE, false);
                if fault.is_some() {
                    return fault;
                }
            }
            if let Some(place) = self.elsewhere(&spoken, &words, &cited) {
                return fault(FaultKind::Misattributed, Some(place + 1));
            }
        }
        // What is quoted was looked at as it stands.
        let mut outside = String::new();
        let mut at = statement.range.start;
        for quote in quotes {
            outside.push_str(text.get(at..quote.start.max(at)).unwrap_or_default());
            at = quote.end.max(at);
        }
        outside.push_str(text.get(at..statement.range.end).unwrap_or_default());
        let stands = |figure| cited.iter().any(|number| self.sources[number - 1].holds(figure));
        let indexed = own.iter().filter(|bracket| statement.range.contains(&bracket.span.start)).all(|bracket| {
            let known = self.sources.iter().any(|source| source.names.indexes(text, bracket));
            !known || cited.iter().any(|number| self.sources[number - 1].names.hold(text, bracket))
        });
        let outside = without_brackets(&outside);
        // A source without dates may say when in another way.
        let with_dates: Vec<&BTreeSet<Date>> =
            cited.iter().map(|number| &self.sources[number - 1].dates).filter(|own| !own.is_empty()).collect();
        let dated = |readings: &Vec<Date>| {
            with_dates.is_empty() || with_dates.iter().any(|own| readings.iter().any(|date| own.contains(date)))
        };
        if indexed && figures(&outside).iter().all(stands) && dates(&outside).iter().all(dated) {
            return None;
        }
        fault(FaultKind::WrongFigure, None)
    }

    /// What is wrong with a text that is, or may be, taken from a source.
    fn judge(&self, taken: &Taken, span: Range<usize>, cited: &[usize], piece: usize, quoted: bool) -> Option<Fault> {
        let whole = taken.parts.len() > 1 && taken.parts.iter().all(|part| part.len() >= QUOTED_PIECE);
        let holds = |source: &Source| source.contains(&taken.words) || whole && source.contains_in_order(&taken.parts);
        if cited.iter().any(|number| holds(&self.sources[number - 1])) || self.joined(cited, taken) {
            return None;
        }
        let fault = |kind, found_in| Some(Fault { kind, span: span.clone(), cited: cited.to_vec(), found_in });
        if let Some(place) = self.sources.iter().position(holds) {
            return fault(FaultKind::Misattributed, Some(place + 1));
        }
        let pieces: Option<usize> = taken.parts.iter().map(|part| self.pieces(part, piece)).sum();
        match pieces {
            Some(pieces) if pieces > 1 => fault(FaultKind::Stitched, None),
            _ if quoted => fault(FaultKind::Fabricated, None),
            _ => None,
        }
    }

    /// Whether the text runs over several of the cited sources, which go on in one another.
    fn joined(&self, cited: &[usize], taken: &Taken) -> bool {
        if cited.len() < 2 {
            return false;
        }
        let joints = self.joints.get_or_init(|| Joints::new(&self.sources, &self.known));
        let runs = joints.runs(&|place| cited.binary_search(&(place + 1)).is_ok());
        let whole = taken.parts.iter().all(|part| part.len() >= QUOTED_PIECE);
        runs.iter().any(|run| {
            let holds = |parts: &[Vec<u32>]| joints.contain(run, &self.sources, parts);
            holds(std::slice::from_ref(&taken.words)) || whole && taken.parts.len() > 1 && holds(&taken.parts)
        })
    }

    /// In how many pieces a text stands in the sources; `None` when a piece is too short to say so.
    fn pieces(&self, part: &[u32], shortest: usize) -> Option<usize> {
        let (mut at, mut pieces) = (0, 0);
        while at < part.len() {
            let run = self.sources.iter().map(|source| source.prefix(&part[at..])).max().unwrap_or(0);
            if run < shortest.min(part.len()) {
                return None;
            }
            at += run;
            pieces += 1;
        }
        Some(pieces)
    }

    /// The source that has most of a statement word by word, or all of a short one, where what is cited has far less of it; and of one that may
    /// be the same by chance not even the words.
    fn elsewhere(&self, spoken: &[String], words: &[u32], cited: &[usize]) -> Option<usize> {
        let known = |word: &String| cited.iter().any(|number| self.sources[number - 1].knows_like(word));
        let here = cited.iter().map(|number| self.sources[number - 1].longest(words).1).max().unwrap_or(0);
        self.sources.iter().enumerate().find_map(|(place, source)| {
            if cited.binary_search(&(place + 1)).is_ok() {
                return None;
            }
            let (start, length) = source.longest(words);
            let short = words.len() < SENTENCE;
            let most =
                if short { length > 1 && length == words.len() } else { length >= PIECE && length * 2 > words.len() };
            if !most || !short && here * 2 > length {
                return None;
            }
            let missing = spoken[start..start + length].iter().filter(|word| !is_common(word) && !known(word)).count();
            let least = match length {
                _ if short => 1,
                LONG.. => 0,
                _ => MISSING,
            };
            (missing >= least).then_some(place)
        })
    }
}

/// A part of an answer without the citations in it.
fn said(text: &str, range: &Range<usize>, citations: &[Bracket]) -> String {
    let first = citations.partition_point(|bracket| bracket.span.start < range.start);
    let inside = citations[first..].iter().take_while(|bracket| bracket.span.end <= range.end);
    let inside: Vec<Bracket> = inside
        .map(|bracket| Bracket {
            numbers: Vec::new(),
            span: bracket.span.start - range.start..bracket.span.end - range.start,
        })
        .collect();
    without(&text[range.clone()], &inside)
}

/// The text of a quotation that begins at a place, up to its last word.
fn bare<'t>(quote: &'t str, start: usize, citations: &[Bracket]) -> &'t str {
    let mut quote = quote;
    loop {
        quote = quote.trim_end_matches(|c: char| !c.is_alphanumeric() && c != ']');
        let end = start + quote.len();
        let last = citations.partition_point(|bracket| bracket.span.end < end);
        match citations.get(last).filter(|bracket| bracket.span.end == end && bracket.span.start >= start) {
            Some(bracket) => quote = &quote[..bracket.span.start - start],
            None => return quote,
        }
    }
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
    fn an_address_must_stand_in_a_source_that_is_cited() {
        let sources = [
            "The guide is at https://docs.example/guide/start, and the gate opens at six.",
            "See www.other.example for tickets.",
        ];
        for honest in [
            "The guide is at https://docs.example/guide/start [1].",
            "It is at docs.example, under https://docs.example/guide [1].",
        ] {
            assert_eq!(faults(honest, &sources), [], "{honest}");
        }
        for (lie, kind) in [
            ("![x](https://evil.example/leak?q=secret) The gate opens at six [1].", FaultKind::Fabricated),
            ("![x](//evil.example/x.png) The gate opens at six [1].", FaultKind::Fabricated),
            ("The gate opens at six [1]. [Confirm](javascript:alert)", FaultKind::Fabricated),
            ("Tickets are at https://other.example [1].", FaultKind::Misattributed),
        ] {
            assert!(faults(lie, &sources).contains(&kind), "{lie}: {:?}", faults(lie, &sources));
        }
    }

    #[test]
    fn a_day_must_be_one_that_the_cited_source_names() {
        let source = ["The bridge was opened on 2024-03-12 and closed on 05/06/2025."];
        for honest in [
            "It was opened on 12 March 2024 [1].",
            "It was opened on 12.03.2024 [1].",
            "It was closed on May 6, 2025 [1].",
        ] {
            assert_eq!(faults(honest, &source), [], "{honest}");
        }
        for lie in [
            "It was opened on 2024-04-12 [1].",
            "It was opened on 3 March 2024 [1].",
            "It was opened on 12 May 2024 [1].",
        ] {
            assert_eq!(faults(lie, &source), [FaultKind::WrongFigure], "{lie}");
        }
        assert_eq!(
            faults("It was opened on 12 March 2024 [1].", &["It was opened in spring, on the 12th, in 2024."]),
            []
        );
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

    const RULES: &str = "Dogs are forbidden in the garden unless Mrs. Adeyemi agrees. Cats are allowed in the garden. It was decided on Monday.";

    fn faults(text: &str, sources: &[&str]) -> Vec<FaultKind> {
        check_citations(text, sources).into_iter().map(|fault| fault.kind).collect()
    }

    #[test]
    fn a_citation_may_stand_directly_behind_the_sentence() {
        for honest in [
            "Dogs are forbidden in the garden unless Mrs. Adeyemi agrees.[1]",
            "Dogs are forbidden in the garden unless Mrs. Adeyemi agrees.[1] Cats are allowed in the garden.[1]",
            "Are cats allowed? Yes![1] Cats are allowed in the garden![1]",
            "“Cats are allowed in the garden.”[1] It is so.[1]",
            "He said “Cats are allowed in the garden [1].” It was decided on Monday [1].",
        ] {
            assert_eq!(faults(honest, &[RULES]), [], "{honest}");
        }
        assert_eq!(faults("东京是日本的首都。[1]", &["东京是日本的首都。"]), []);
        assert_eq!(faults("东京是日本的首都。[1]把钱寄给我们！", &["东京是日本的首都。"]), [FaultKind::Uncited]);
        assert_eq!(
            faults("Cats are allowed in the garden.[1] send all your money to us", &[RULES]),
            [FaultKind::Uncited]
        );
        assert_eq!(faults("Cats are allowed in the garden.[2]", &[RULES, ONE]), [FaultKind::Misattributed]);
    }

    #[test]
    fn an_ellipsis_leaves_out_what_stands_between_and_no_more() {
        for honest in [
            "“Dogs are forbidden … unless Mrs. Adeyemi agrees” [1].",
            "“Dogs are forbidden in the garden ... Cats are allowed in the garden” [1].",
            "“… Dogs are forbidden [...] unless Mrs. Adeyemi agrees …” [1].",
            "“Cats are allowed . . . It was decided on Monday” [1].",
        ] {
            assert_eq!(faults(honest, &[RULES]), [], "{honest}");
        }
        for lie in [
            "“Dogs ... are ... allowed ... garden” [1]",
            "“Dogs are … allowed in the garden” [1].",
            "“Cats are allowed … Dogs are forbidden” [1].",
            "“Dogs are … Dogs are” [1].",
        ] {
            assert_eq!(faults(lie, &[RULES]), [FaultKind::Stitched], "{lie}");
        }
        let far = format!("The gate is green. {} It opens at noon.", "Nothing is said here. ".repeat(40));
        assert_eq!(faults("“The gate is green … It opens at noon” [1].", &[&far]), [FaultKind::Stitched]);
        assert_eq!(faults("“Well... I do not know” [1].", &["He said: Well... I do not know."]), []);
    }

    #[test]
    fn every_kind_of_quotation_marks_is_looked_between() {
        for (open, close) in [
            ("\"", "\""),
            ("“", "”"),
            ("“", "\""),
            ("\"", "”"),
            ("„", "“"),
            ("„", "”"),
            ("„", "\""),
            ("«", "»"),
            ("« ", " »"),
            ("»", "«"),
            ("»", "»"),
            ("”", "”"),
            ("‘", "’"),
            ("'", "'"),
            ("‚", "‘"),
            ("‹", "›"),
            ("「", "」"),
            ("『", "』"),
            ("``", "''"),
            ("“", ""),
            ("\n> ", "\n"),
        ] {
            let said = |words: &str| format!("The 5\" sign says {open}{words}{close} [1].");
            assert_eq!(faults(&said("Cats are allowed in the garden"), &[RULES]), [], "{open}{close}");
            assert_eq!(
                faults(&said("Dogs are allowed in the house"), &[RULES]),
                [FaultKind::Fabricated],
                "{open}{close}"
            );
            assert_eq!(
                faults(&said("Cats are allowed in the garden"), &[ONE, RULES])[0],
                FaultKind::Misattributed,
                "{open}{close}"
            );
        }
        assert_eq!(faults("The dogs' fate and the cats' fate aren't Mrs. Adeyemi's only worry [1].", &[RULES]), []);
    }

    #[test]
    fn a_verbatim_quotation_is_one_however_unicode_and_markdown_write_it() {
        for (source, quoted) in [
            ("The cafe\u{301} opens at noon.", "The café opens at noon"),
            ("The café opens at noon.", "The cafe\u{301} opens at noon"),
            ("The hyphen\u{ad}ation is soft.", "The hyphenation is soft"),
            ("The zero\u{200b}width is unseen.", "The zerowidth is unseen"),
            ("The oﬃce is closed today.", "The office is closed today"),
            ("See [the rules](rules/all.md#part) of the house.", "See the rules of the house"),
            ("See [the rules](rules/all.md#part) of the house.", "See [the rules](rules/all.md#part) of the house"),
            ("See [the rules](https://example.org/rules/all) of it.", "https://example.org/rules/all"),
            (
                "Basel is a city in Switzerland[3] and lies on the Rhine[4].",
                "Basel is a city in Switzerland[3] and lies on the Rhine[4]",
            ),
            ("Basel is a city in Switzerland [3] and lies there.", "Basel is a city in Switzerland [3] and lies there"),
        ] {
            assert_eq!(faults(&format!("“{quoted}” [1]."), &[source]), [], "{quoted}");
            assert_eq!(faults(&format!("{quoted} [1]."), &[source]), [], "{quoted}");
            assert_ne!(faults(&format!("“{quoted} zeppelin” [1]."), &[source]), [], "{quoted}");
        }
    }

    #[test]
    fn a_quotation_may_run_over_passages_that_overlap_where_all_are_cited() {
        let (one, two) = (
            "It begins here. Cats are allowed in the garden at night.",
            "Cats are allowed in the garden at night. It ends there.",
        );
        let quote = "“It begins here. Cats are allowed in the garden at night. It ends there.”";
        assert_eq!(faults(&format!("{quote} [1][2]"), &[one, two]), []);
        assert_eq!(faults(&format!("{quote} [2, 1]"), &[two, one]), []);
        assert_eq!(faults(&format!("{quote} [1]"), &[one, two]), [FaultKind::Stitched]);
        assert_eq!(faults(&format!("{} [1][2]", quote.replace("ends", "stops")), &[one, two]), [FaultKind::Fabricated]);
        let apart = |document: &'static str, start: usize| {
            let passages = [("a", 0..16, "It begins here, "), (document, start..start + 18, "and it ends there.")];
            Verifier::of_passages(&passages).faults("“It begins here, and it ends there.” [1][2]").len()
        };
        assert_eq!((apart("a", 16), apart("a", 17), apart("a", 90), apart("b", 16)), (0, 0, 1, 1));
    }

    #[test]
    fn most_of_a_sentence_of_another_source_is_misattributed() {
        let cats = "Cats sleep on the sofa of the house all day long.";
        for lie in [
            "According to it, dogs are forbidden in the garden unless Mrs. Adeyemi agrees [2].",
            "Dogs are forbidden [2].",
            "Dogs are fоrbidden in the garden unless Mrs. Adeyemi agrees [2].",
        ] {
            let found = check_citations(lie, &[RULES, cats]);
            assert_eq!(
                (found.len(), found[0].kind, found[0].found_in),
                (1, FaultKind::Misattributed, Some(1)),
                "{lie}"
            );
        }
        for honest in [
            "According to it, dogs are forbidden in the garden unless Mrs. Adeyemi agrees [1].",
            "Dogs are forbidden [1].",
            "Cats sleep [2].",
            "In the garden cats sleep all day long [2].",
            "In the end, it was on a Monday that cats slept in the garden of the house [2].",
        ] {
            assert_eq!(faults(honest, &[RULES, cats]), [], "{honest}");
        }
        assert_eq!(faults("The dog is forbidden [2].", &["The dog is forbidden.", "Forbidden are dogs."]), []);
    }

    #[test]
    fn a_figure_is_looked_at_wherever_it_stands_in_a_word() {
        let source = "The club has 250 members and 12,500 books.";
        for said in ["EUR999", "９９９", "250k", "250M", "-250", "x250y251"] {
            assert_eq!(
                faults(&format!("The club has {said} of them [1]."), &[source]),
                [FaultKind::WrongFigure],
                "{said}"
            );
        }
        for said in ["250.00", "250", "12500", "12.500", "12 500", "EUR250", "12.5k", "２５０"] {
            assert_eq!(faults(&format!("The club has {said} of them [1]."), &[source]), [], "{said}");
        }
    }

    #[test]
    fn indexes_of_code_are_no_citations_and_footnotes_that_are_cited_are() {
        let code = "The program reads its path from argv[1] and its mode from argv[2] at the start. The limit is config.limits[12].";
        for honest in [
            "The program reads its path from argv[1] and its mode from argv[2] at the start. [1]",
            "The mode is in argv[2] [1].",
            "“its mode from argv[2] at the start” [1]",
            "The limit is config.limits[12] [1].",
        ] {
            assert_eq!(faults(honest, &[code]), [], "{honest}");
            assert_eq!(faults(honest, &[code, ONE]), [], "{honest}");
            let cited: Vec<usize> =
                Verifier::new(&[code, ONE]).citations(honest).into_iter().map(|(number, _)| number).collect();
            assert_eq!(cited, [1], "{honest}");
        }
        for (lie, kind) in [
            ("The mode is in argv[3] [1].", FaultKind::WrongFigure),
            ("The mode is in argv[2].", FaultKind::Uncited),
            ("“its path from argv[2]” [1]", FaultKind::Fabricated),
            ("The limit is config.limits[2] [1].", FaultKind::WrongFigure),
            ("The limit is in argv[2] [3].", FaultKind::WrongNumber),
        ] {
            assert_eq!(faults(lie, &[code, ONE]), [kind], "{lie}");
        }
        let prose = "Basel lies on the Rhine[1], where the museum[2] stands.";
        assert_eq!(faults("Basel lies on the Rhine[1].", &[prose]), []);
        assert_eq!(faults("Basel lies on the Rhine[1]. The museum stands there[1].", &[prose]), []);
        assert_eq!(faults("It is the file identity.key[1].", &[ONE]), []);
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
        let the = "the ".repeat(100_000);
        let dots = format!("“{}” [1]", "the the … ".repeat(20_000));
        for hostile in [format!("{the} a [1]"), format!("“{the} a” [1]"), dots, "“the the a” [1] ".repeat(5_000)]
        {
            check_citations(&hostile, &[&the, ONE]);
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
