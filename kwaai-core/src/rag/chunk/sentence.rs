//! Sentences: Unicode's boundaries (UAX #29), without the false ones after abbreviations and at the ends of wrapped lines.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation;

/// Words after which a full stop does not end a sentence, in English and German, in lower case.
const ABBREVIATIONS: &[&str] = &[
    "abb", "abs", "al", "approx", "art", "bspw", "bzgl", "bzw", "ca", "capt", "cf", "co", "col", "corp", "dept",
    "dipl", "dr", "ed", "eds", "eg", "eq", "etc", "evtl", "fig", "figs", "gen", "ggf", "gov", "hr", "hrsg", "ie",
    "inc", "inkl", "jr", "kap", "lt", "ltd", "max", "messrs", "min", "mr", "mrs", "ms", "mt", "nr", "op", "pp", "prof",
    "ref", "refs", "rep", "resp", "rev", "sec", "sen", "sgt", "sog", "sr", "st", "str", "tab", "usw", "vgl", "viz",
    "vol", "vs",
];

/// So many characters in a row without a letter or a digit end a sentence.
const EMPTY: usize = 200;

/// The sentences of a text: byte ranges in order, not overlapping, without the white space around them.
///
/// Headings, list items, table rows and fenced code stand for themselves. A line end inside a paragraph does not end a sentence; an empty
/// line does.
pub fn sentences(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for block in blocks(text) {
        match block {
            Block::Whole(range) => found.extend(trimmed(text, range)),
            Block::Prose(range) => prose(text, range, &mut found),
        }
    }
    found
}

enum Block {
    /// Not to be cut.
    Whole(Range<usize>),
    /// Running text over one or several lines.
    Prose(Range<usize>),
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open: Option<Range<usize>> = None;
    let mut fence: Option<(usize, &str)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let range = at..at + line.len();
        at = range.end;
        let body = line.trim();
        if let Some((start, mark)) = fence {
            if body == mark {
                blocks.push(Block::Whole(start..range.end));
                fence = None;
            }
            continue;
        }
        let is_fence = body.starts_with("```") || body.starts_with("~~~");
        let alone = is_heading(body) || body.starts_with('|') || is_rule(body);
        if is_fence || alone || body.is_empty() || is_item(body) {
            blocks.extend(open.take().map(Block::Prose));
        }
        match () {
            () if is_fence => fence = Some((range.start, &body[..3])),
            () if alone => blocks.push(Block::Whole(range)),
            () if body.is_empty() => {}
            () => open = Some(open.map_or(range.start, |open| open.start)..range.end),
        }
    }
    blocks.extend(open.map(Block::Prose));
    // A fence that is never closed reaches to the end.
    blocks.extend(fence.map(|(start, _)| Block::Whole(start..text.len())));
    blocks
}

fn is_heading(line: &str) -> bool {
    let rest = line.trim_start_matches('#');
    (1..=6).contains(&(line.len() - rest.len())) && rest.starts_with(' ')
}

fn is_rule(line: &str) -> bool {
    line.len() >= 3 && line.bytes().all(|byte| matches!(byte, b'-' | b'=' | b'*' | b'_' | b' '))
}

/// Whether a line begins an item of a list: a bullet, or a short number or letter with a mark behind it.
fn is_item(line: &str) -> bool {
    let after_bullet = line.strip_prefix(['-', '*', '+', '•', '–', '◦', '▪']);
    if after_bullet.is_some_and(|rest| rest.starts_with(' ')) {
        return true;
    }
    let number = line.bytes().take_while(u8::is_ascii_digit).count();
    (1..=3).contains(&number) && [". ", ") "].iter().any(|mark| line[number..].starts_with(mark))
}

/// The sentences of running text.
fn prose(text: &str, range: Range<usize>, found: &mut Vec<Range<usize>>) {
    // A line end is a boundary to Unicode; a space is as long and is none.
    let flat = text[range.clone()].replace('\n', " ");
    let moved = |sentence: Range<usize>| range.start + sentence.start..range.start + sentence.end;
    found.extend(running(&flat).into_iter().filter_map(|sentence| trimmed(text, moved(sentence))));
}

/// The sentences of one line of running text, with the white space between them.
pub(in crate::rag) fn running(line: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open: Option<Range<usize>> = None;
    let pieces = stretches(line).into_iter().flat_map(|stretch| {
        let start = stretch.start;
        line[stretch].split_sentence_bound_indices().map(move |(at, piece)| (start + at, piece))
    });
    for (at, piece) in pieces {
        let end = at + piece.len();
        let sentence = open.take().map_or(at, |open| open.start)..end;
        if goes_on(&line[sentence.clone()], &line[end..]) {
            open = Some(sentence);
        } else {
            found.push(sentence);
        }
    }
    found.extend(open);
    found
}

/// The line, cut behind every so many characters in a row that are no letter and no digit: behind a full stop each of them would be looked
/// at once for every one before it.
fn stretches(line: &str) -> Vec<Range<usize>> {
    let (mut found, mut start, mut empty) = (Vec::new(), 0, 0);
    for (at, c) in line.char_indices() {
        empty = if c.is_alphanumeric() { 0 } else { empty + 1 };
        if empty == EMPTY {
            let end = at + c.len_utf8();
            found.push(start..end);
            (start, empty) = (end, 0);
        }
    }
    found.push(start..line.len());
    found
}

/// Whether what ends here goes on in `rest` all the same.
fn goes_on(sentence: &str, rest: &str) -> bool {
    let sentence = sentence.trim_end();
    let Some(before) = sentence.strip_suffix('.') else { return false };
    let word =
        before.rsplit(|c: char| c.is_whitespace() || matches!(c, '(' | '[' | '"' | '“' | '„')).next().unwrap_or("");
    let mut letters = word.chars();
    let is_number = !word.is_empty() && word.chars().all(|c| c.is_ascii_digit());
    // The number of a list item, and a day before a month that German writes in capitals: `3. Oktober`.
    if is_number && (before.len() == word.len() || word.len() <= 2 && starts_with_month(rest)) {
        return true;
    }
    match (letters.next(), letters.next()) {
        // Initials, and abbreviations of single letters like `z. B.`; the pronoun `I` ends sentences.
        (Some(letter), None) => letter.is_alphabetic() && letter != 'I',
        // Abbreviations with dots inside, like `U.S.` or `e.g.`, before what no new sentence begins with.
        _ if word.contains('.') && word.split('.').all(|part| part.chars().count() == 1) => {
            rest.trim_start().starts_with(|c: char| c.is_lowercase() || c.is_ascii_digit())
                || word.eq_ignore_ascii_case("e.g")
                || word.eq_ignore_ascii_case("i.e")
        }
        _ => {
            let lower = word.to_lowercase();
            let number_follows = || rest.trim_start().starts_with(|c: char| c.is_ascii_digit());
            lower == "no" && number_follows() || ABBREVIATIONS.binary_search(&lower.as_str()).is_ok()
        }
    }
}

fn starts_with_month(rest: &str) -> bool {
    const MONTHS: &[&str] = &[
        "Januar",
        "Februar",
        "März",
        "April",
        "Mai",
        "Juni",
        "Juli",
        "August",
        "September",
        "Oktober",
        "November",
        "Dezember",
    ];
    let rest = rest.trim_start();
    MONTHS.iter().any(|month| rest.starts_with(month))
}

fn trimmed(text: &str, range: Range<usize>) -> Option<Range<usize>> {
    let piece = &text[range.clone()];
    let start = range.start + (piece.len() - piece.trim_start().len());
    let trimmed = piece.trim();
    (!trimmed.is_empty()).then(|| start..start + trimmed.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|range| &text[range]).collect()
    }

    #[test]
    fn a_full_stop_before_a_long_emptiness_takes_no_longer_than_it_is_long() {
        for filling in [" ", ")", "\u{a0}", "”"] {
            let text = format!("It ends here.{}It begins.", filling.repeat(300_000));
            let found = sentences(&text);
            assert!(found.len() >= 2 && found.windows(2).all(|pair| pair[0].end <= pair[1].start), "{filling:?}");
        }
    }

    #[test]
    fn abbreviations_initials_and_numbers_do_not_end_a_sentence() {
        let text = "Dr. Smith met J. R. Hart at 3.14 p.m. in St. Louis. It cost approx. 5 Euro (cf. Fig. 2). Did Mr. Li pay? Yes, e.g. No. 7!";
        assert_eq!(
            split(text),
            [
                "Dr. Smith met J. R. Hart at 3.14 p.m. in St. Louis.",
                "It cost approx. 5 Euro (cf. Fig. 2).",
                "Did Mr. Li pay?",
                "Yes, e.g. No. 7!"
            ]
        );
        assert_eq!(
            split("Am 3. Oktober war z. B. Prof. Meier da. Er blieb."),
            ["Am 3. Oktober war z. B. Prof. Meier da.", "Er blieb."]
        );
        assert!(ABBREVIATIONS.is_sorted());
    }

    #[test]
    fn a_wrapped_line_does_not_end_a_sentence_and_an_empty_line_does() {
        assert_eq!(
            split("The port\nis 8080. Then\nmore\n\nNew paragraph"),
            ["The port\nis 8080.", "Then\nmore", "New paragraph"]
        );
    }

    #[test]
    fn headings_items_rows_and_code_stand_for_themselves() {
        let text = "# Title\nIntro. More.\n- one. two\n  wrapped\n- two\n1. first item\n| a | b |\n```\nlet x = 1. ;\n\nlet y;\n```\nEnd.";
        assert_eq!(
            split(text),
            [
                "# Title",
                "Intro.",
                "More.",
                "- one. two\n  wrapped",
                "- two",
                "1. first item",
                "| a | b |",
                "```\nlet x = 1. ;\n\nlet y;\n```",
                "End."
            ]
        );
    }

    #[test]
    fn other_scripts_have_sentences_too() {
        assert_eq!(split("これは文です。次の文です。"), ["これは文です。", "次の文です。"]);
        assert_eq!(split("هذه جملة. وهذه أخرى؟"), ["هذه جملة.", "وهذه أخرى؟"]);
    }
}
