//! What stands in quotation marks, in those of many languages and of TeX, and what is set off as a quotation.

use std::collections::BTreeSet;
use std::ops::Range;

use super::bracket::Bracket;

/// `` and '' as TeX has them.
const TEX_OPENS: char = '\u{1}';
const TEX_CLOSES: char = '\u{2}';
/// `<q>` and `</q>` as pages have them.
const TAG_OPENS: char = '\u{3}';
const TAG_CLOSES: char = '\u{4}';
const TAGS: &[(&str, char)] = &[
    ("<q>", TAG_OPENS),
    ("</q>", TAG_CLOSES),
    ("<blockquote>", TAG_OPENS),
    ("</blockquote>", TAG_CLOSES),
    ("&ldquo;", '“'),
    ("&rdquo;", '”'),
    ("&laquo;", '«'),
    ("&raquo;", '»'),
    ("&quot;", '"'),
];
/// What begins with an apostrophe and is no quotation.
const CONTRACTED: &[&str] = &["tis", "twas", "em", "n", "cause", "til", "till", "round", "s"];

/// The quotations of a text, without their marks. What is never closed reaches to the next citation, or to the end of its paragraph.
pub(super) fn quotations(text: &str, citations: &[Bracket]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for paragraph in paragraphs(text) {
        if paragraph.quoted {
            found.push(unsigned(text, paragraph.range));
        } else {
            marked(text, paragraph.range, citations, &mut found);
        }
    }
    found
}

struct Paragraph {
    range: Range<usize>,
    /// Whether its lines begin with `>`.
    quoted: bool,
}

fn paragraphs(text: &str) -> Vec<Paragraph> {
    let mut found: Vec<Paragraph> = Vec::new();
    let (mut at, mut open) = (0, false);
    for line in text.split_inclusive('\n') {
        let range = at..at + line.len();
        at = range.end;
        let marker = line.len() - unlisted(line).len();
        let quoted = line[marker..].starts_with('>');
        // The number of an item is no part of what stands in it.
        let range = if quoted { range.start + marker..range.end } else { range };
        if line.trim().is_empty() {
            open = false;
            continue;
        }
        match found.last_mut().filter(|last| open && last.quoted == quoted) {
            Some(last) => last.range.end = range.end,
            None => found.push(Paragraph { range, quoted }),
        }
        open = true;
    }
    found
}

/// A line without the signs of a list before it.
fn unlisted(line: &str) -> &str {
    let mut rest = line.trim_start();
    loop {
        let digits = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let numbered =
            [". ", ") "].iter().find_map(|sign| digits.strip_prefix(sign)).filter(|_| digits.len() < rest.len());
        let item = ["- ", "* ", "+ ", "• "].iter().find_map(|sign| rest.strip_prefix(sign)).or(numbered);
        let Some(item) = item else { return rest };
        rest = item.trim_start();
    }
}

/// A block of quotation without the line that says whose it is: `> — The house rules`.
fn unsigned(text: &str, range: Range<usize>) -> Range<usize> {
    let line = text[range.clone()].trim_end().rfind('\n').map(|end| range.start + end + 1);
    let signs = |line: &str| line.trim_start().trim_start_matches(['>', ' ']).starts_with(['—', '–', '―']);
    let dashes = |line: &str| line.trim_start().trim_start_matches(['>', ' ']).starts_with("--");
    match line {
        Some(line) if signs(&text[line..range.end]) || dashes(&text[line..range.end]) => range.start..line,
        _ => range,
    }
}

/// A quotation mark.
struct Mark {
    sign: char,
    span: Range<usize>,
    before: Option<char>,
    after: Option<char>,
}

impl Mark {
    fn spaced_before(&self) -> bool {
        self.before.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, '.' | ',' | ';' | '!' | '?' | ')' | ']'))
    }

    fn is_inside(&self) -> bool {
        let letter = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        letter(self.before) && letter(self.after)
    }

    /// Whether it stands where a quotation begins.
    fn may_open(&self) -> bool {
        self.spaced_before() && self.after.is_some_and(|c| !c.is_whitespace())
    }

    /// Whether it stands where a quotation ends.
    fn may_close(&self) -> bool {
        self.before.is_some_and(|c| !c.is_whitespace()) && self.after.is_none_or(|c| !c.is_alphanumeric())
    }

    fn is_apostrophe(&self) -> bool {
        matches!(self.sign, '\'' | '’')
    }
}

fn marks(text: &str, range: Range<usize>) -> Vec<Mark> {
    let mut found: Vec<Mark> = Vec::new();
    let mut before = None;
    let mut characters = text[range.clone()].char_indices().peekable();
    while let Some((at, c)) = characters.next() {
        let start = range.start + at;
        let (sign, length) = match c {
            '<' | '&' => {
                let tag = TAGS.iter().find(|(tag, _)| {
                    text.get(start..start + tag.len()).is_some_and(|here| here.eq_ignore_ascii_case(tag))
                });
                for _ in 1..tag.map_or(1, |(tag, _)| tag.len()) {
                    characters.next();
                }
                (tag.map(|(_, sign)| *sign), tag.map_or(1, |(tag, _)| tag.len()))
            }
            '"' | ',' if doubled(c, before, characters.peek().map(|(_, next)| *next)) => {
                characters.next();
                (Some(if c == '"' { '"' } else { '„' }), 2)
            }
            '`' | '\'' => {
                let run = text[start..range.end].chars().take_while(|next| *next == c).count();
                for _ in 1..run {
                    characters.next();
                }
                match (c, run) {
                    ('`', 2) => (Some(TEX_OPENS), run),
                    ('\'', 1) => (Some(c), run),
                    ('\'', 2) => (Some(TEX_CLOSES), run),
                    _ => (None, run),
                }
            }
            '＂' => (Some('"'), c.len_utf8()),
            '＇' => (Some('\''), c.len_utf8()),
            '｢' | '﹁' => (Some('「'), c.len_utf8()),
            '｣' | '﹂' => (Some('」'), c.len_utf8()),
            '﹃' => (Some('『'), c.len_utf8()),
            '﹄' => (Some('』'), c.len_utf8()),
            '❝' | '🙶' => (Some('“'), c.len_utf8()),
            '❞' | '🙷' => (Some('”'), c.len_utf8()),
            '❛' => (Some('‘'), c.len_utf8()),
            '❜' => (Some('’'), c.len_utf8()),
            '"' | '“' | '”' | '„' | '‟' | '«' | '»' | '‹' | '›' | '‘' | '’' | '‚' | '‛' | '「' | '」' | '『' | '』'
            | '〝' | '〞' | '〟' => (Some(c), c.len_utf8()),
            _ => (None, c.len_utf8()),
        };
        let span = start..start + length;
        let after = characters.peek().map(|(_, next)| *next);
        if let Some(sign) = sign {
            found.push(Mark { sign, span, before, after });
        }
        before = Some(c);
    }
    found
}

/// Whether a sign and the next one are a mark together: `""`, and `,,` where nothing stands before it that goes on behind.
fn doubled(sign: char, before: Option<char>, next: Option<char>) -> bool {
    next == Some(sign) && (sign == '"' || !before.is_some_and(char::is_alphanumeric))
}

/// The signs that close what a sign opens: those that belong to it, and those that are taken for them.
fn closing(sign: char) -> (&'static [char], &'static [char]) {
    match sign {
        '"' => (&['"'], &['”', '“', TEX_CLOSES]),
        '“' | '‟' => (&['”'], &['"']),
        '”' => (&['”'], &['"']),
        '„' => (&['“', '”'], &['"', TEX_CLOSES]),
        '«' => (&['»'], &[]),
        '»' => (&['«', '»'], &[]),
        '‹' => (&['›'], &[]),
        '›' => (&['‹', '›'], &[]),
        '‘' | '‛' | '’' | '\'' => (&['’', '\''], &[]),
        '‚' => (&['‘', '’', '\''], &[]),
        '「' => (&['」'], &[]),
        '『' => (&['』'], &[]),
        '〝' => (&['〞', '〟'], &[]),
        TEX_OPENS => (&[TEX_CLOSES], &['"', '”']),
        TEX_CLOSES => (&[TEX_CLOSES], &[]),
        TAG_OPENS => (&[TAG_CLOSES], &[]),
        _ => (&[], &[]),
    }
}

/// Whether a mark opens a quotation; and whether it does so although nothing closes it.
fn opens(text: &str, mark: &Mark) -> (bool, bool) {
    let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
    match mark.sign {
        // Inches.
        '"' if digit(mark.before) => (false, false),
        '"' => (true, mark.may_open()),
        '”' | '»' | '›' | TEX_CLOSES => (mark.may_open(), false),
        '\'' | '’' | '‘' => {
            let word: String = text[mark.span.end..].chars().take_while(|c| c.is_alphanumeric()).take(8).collect();
            // ’90s and ’68.
            let year = word.trim_start_matches(|c: char| c.is_ascii_digit());
            let year = word.len() - year.len() == 2 && (year == "s" || year.is_empty() && mark.sign == '’');
            let contracted = year || mark.sign != '‘' && CONTRACTED.contains(&word.to_lowercase().as_str());
            (mark.may_open() && !contracted, mark.sign == '‘' && !contracted)
        }
        TEX_OPENS | TAG_OPENS => (true, false),
        sign if closing(sign).0.is_empty() => (false, false),
        _ => (true, mark.after.is_some_and(|c| !c.is_whitespace())),
    }
}

/// The quotations of a paragraph that stand between marks.
fn marked(text: &str, range: Range<usize>, citations: &[Bracket], found: &mut Vec<Range<usize>>) {
    let marks = marks(text, range.clone());
    // Signs that do not come any more.
    let mut missing: BTreeSet<char> = BTreeSet::new();
    let mut next = 0;
    while let Some(mark) = marks.get(next) {
        next += 1;
        let (begins, unclosed) = opens(text, mark);
        if !begins {
            continue;
        }
        let close = closed_by(&marks, next, mark.sign, &mut missing);
        if let Some(close) = close {
            found.push(mark.span.end..marks[close].span.start);
            next = close + 1;
        } else if unclosed {
            let cited = citations.partition_point(|bracket| bracket.span.start < mark.span.end);
            let end = citations.get(cited).map_or(range.end, |bracket| bracket.span.start.min(range.end));
            found.push(mark.span.end..end);
            next += marks[next..].partition_point(|mark| mark.span.start < end);
        }
    }
}

/// The mark that closes what the one before `first` opened.
fn closed_by(marks: &[Mark], first: usize, sign: char, missing: &mut BTreeSet<char>) -> Option<usize> {
    let (own, taken) = closing(sign);
    // Another one that opens ends the search for the right sign where a wrong one comes before.
    let again = |mark: &Mark| mark.sign == sign && !own.contains(&sign);
    let mut search = |signs: &[char], until: Option<usize>| {
        let signs: Vec<char> = signs.iter().copied().filter(|sign| !missing.contains(sign)).collect();
        if signs.is_empty() {
            return None;
        }
        let range = first..until.unwrap_or(marks.len());
        let place = range.clone().find(|place| signs.contains(&marks[*place].sign) && closes(marks, *place, sign));
        if place.is_none() && until.is_none() {
            missing.extend(signs);
        }
        place
    };
    let right = search(own, None);
    if taken.is_empty() {
        return right;
    }
    let wrong = match right {
        Some(right) => marks[first..right]
            .iter()
            .position(again)
            .map(|again| first + again)
            .and_then(|again| search(taken, Some(again))),
        None => search(taken, None),
    };
    wrong.or(right)
}

/// Whether a mark closes what `opened` opened. One behind a digit may be inches, and one behind an `s` an apostrophe: then the next of its kind
/// closes.
fn closes(marks: &[Mark], place: usize, opened: char) -> bool {
    let mark = &marks[place];
    let goes_on = mark.after.is_some_and(|c| c == ' ');
    let alike = |other: &&Mark| other.sign == mark.sign || other.is_apostrophe() && mark.is_apostrophe();
    let another = || marks[place + 1..].iter().filter(|other| !other.is_inside()).find(alike);
    match mark.sign {
        _ if mark.is_apostrophe() => {
            let possessive = mark.before.is_some_and(|c| matches!(c, 's' | 'S' | 'x' | 'z')) && goes_on;
            let ends_later = || another().is_some_and(|other| other.may_close() && !other.may_open());
            mark.may_close() && !mark.is_inside() && !(possessive && ends_later())
        }
        '"' if opened == '"' || opened == '“' => {
            let inches = mark.before.is_some_and(|c| c.is_ascii_digit()) && goes_on;
            !(inches && another().is_some_and(|other| other.may_close() && !other.may_open()))
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rag::verify::bracket::brackets;

    fn quoted(text: &str) -> Vec<&str> {
        quotations(text, &brackets(text)).into_iter().map(|range| text[range].trim()).collect()
    }

    #[test]
    fn the_marks_of_many_languages_enclose_a_quotation() {
        for text in [
            "It says “dogs are here” [1].",
            "It says \"dogs are here\" [1].",
            "It says „dogs are here“ [1].",
            "It says „dogs are here” [1].",
            "It says „dogs are here\" [1].",
            "It says “dogs are here\" [1].",
            "It says \"dogs are here” [1].",
            "It says ”dogs are here” [1].",
            "It says »dogs are here« [1].",
            "It says »dogs are here» [1].",
            "It says « dogs are here » [1].",
            "It says ‹dogs are here› [1].",
            "It says ‘dogs are here’ [1].",
            "It says 'dogs are here' [1].",
            "It says ‚dogs are here‘ [1].",
            "它说「dogs are here」[1]。",
            "它说『dogs are here』[1]。",
            "它说\"dogs are here\"[1]。",
            "It says ``dogs are here'' [1].",
            "It says “dogs are here [1].",
            "It says:\n> dogs are here\n[1]",
            "> dogs are here\n> — The rules",
            "It says:\n\n> dogs\n> are here",
            "- > dogs are here",
            "1. > dogs are here",
            "它说｢dogs are here｣[1]。",
            "它说﹁dogs are here﹂[1]。",
            "It says ❝dogs are here❞ [1].",
            "It says \"\"dogs are here\"\" [1].",
            "It says ,,dogs are here'' [1].",
            "It says ''dogs are here'' [1].",
            "It says ＇dogs are here＇ [1].",
            "It says <q>dogs are here</q> [1].",
            "It says &quot;dogs are here&quot; [1].",
            "<blockquote>dogs are here</blockquote> [1]",
        ] {
            let found: Vec<String> =
                quoted(text).iter().map(|quote| quote.replace("\n> ", " ").replace("> ", "")).collect();
            assert_eq!(found, ["dogs are here"], "{text}");
        }
    }

    #[test]
    fn apostrophes_and_inches_enclose_nothing() {
        for text in [
            "The dogs' garden isn't the cats' house, nor Ann's.",
            "In the '90s they’d rock 'n' roll, and ’tis true of the others’ too.",
            "The 5\" pipe and the 7\" pipe are 6'2 long.",
            "He wrote ```a\" b``` once.",
            "The row is a,,b,,3 and all of it is right.",
        ] {
            assert_eq!(quoted(text), [""; 0], "{text}");
        }
        assert_eq!(quoted("The 5\" pipe says \"dogs are here\" [1]."), ["dogs are here"]);
        assert_eq!(quoted("It says \"the 5\" pipe is here\" [1]."), ["the 5\" pipe is here"]);
        assert_eq!(quoted("It says \"of 1995\" and \"of 1996\" [1]."), ["of 1995", "of 1996"]);
        assert_eq!(quoted("It says 'the dogs' garden isn't here' [1]."), ["the dogs' garden isn't here"]);
        assert_eq!(quoted("It says 'all dogs' and 'all cats' [1]."), ["all dogs", "all cats"]);
        assert_eq!(quoted("“One\" and “two” [1]."), ["One", "two"]);
    }

    #[test]
    fn hostile_marks_are_paired_in_time_that_grows_with_them() {
        for hostile in [" 'a", "“", "”", "\"", "``", "„\"", "“\"“ ", "' ", "s' ", "5\" ", "‘a", "»"] {
            let text = hostile.repeat(60_000);
            quotations(&text, &[]);
        }
    }
}
