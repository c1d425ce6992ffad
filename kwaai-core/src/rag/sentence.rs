//! Sentences of a passage, as spans of its text.

use std::ops::Range;

use super::chunk::running;

/// Longer sentences are cut: what has no full stop for so long is a table or a list.
const LONGEST: usize = 600;

/// A sentence of a passage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sentence {
    /// The bytes of the passage's text, without white space and list marks around.
    pub range: Range<usize>,
    /// Whether it is a heading, which names an answer but does not give it.
    pub heading: bool,
}

/// The sentences of a text in their order. Lines that a text was wrapped into are joined; list items, headings and
/// table rows stand for themselves.
pub(super) fn sentences(text: &str) -> Vec<Sentence> {
    let mut found = Vec::new();
    for block in blocks(text) {
        let heading = text[block.clone()].trim_start().starts_with('#') || names_columns(text, &block);
        // Same length in bytes, so positions stay what they are.
        let joined = text[block.clone()].replace('\n', " ");
        for sentence in running(&joined) {
            push(text, block.start + sentence.start..block.start + sentence.end, heading, &mut found);
        }
    }
    found
}

fn push(text: &str, range: Range<usize>, heading: bool, found: &mut Vec<Sentence>) {
    let range = trimmed(text, range);
    if range.len() <= LONGEST {
        if text[range.clone()].chars().any(char::is_alphanumeric) {
            found.push(Sentence { range, heading });
        }
        return;
    }
    let middle = text.floor_char_boundary(range.start + LONGEST);
    let cut = text[range.start..middle]
        .rfind(char::is_whitespace)
        .filter(|cut| *cut > 0)
        .map_or(middle, |cut| range.start + cut);
    push(text, range.start..cut, heading, found);
    push(text, cut..range.end, heading, found);
}

fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    // What is left of an emphasis that ended with the sentence before: `**Decision.** It goes on`.
    let emphasis = ["** ", "__ "].iter().find_map(|mark| text[range.clone()].trim_start().strip_prefix(mark));
    let range = range.end - emphasis.unwrap_or(&text[range.clone()]).len()..range.end;
    let mark = |c: char| c.is_whitespace() || matches!(c, '#' | '>' | '|' | '•');
    let mut start = range.end - text[range.clone()].trim_start_matches(mark).len();
    if let Some(rest) = ["- ", "* ", "+ "].iter().find_map(|mark| text[start..range.end].strip_prefix(mark)) {
        start = range.end - rest.trim_start().len();
    }
    let unnumbered = text[start..range.end].trim_start_matches(|c: char| c.is_ascii_digit());
    if (1..=3).contains(&(range.end - start - unnumbered.len()))
        && let Some(rest) = [". ", ") "].iter().find_map(|mark| unnumbered.strip_prefix(mark))
    {
        start = range.end - rest.trim_start().len();
    }
    let end = start + text[start..range.end].trim_end_matches(|c: char| c.is_whitespace() || c == '|').len();
    start..end
}

/// Paragraphs, and lines that stand for themselves.
fn blocks(text: &str) -> Vec<Range<usize>> {
    let mut blocks: Vec<Range<usize>> = Vec::new();
    let mut open = false;
    let mut fenced = false;
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let range = start..start + line.len();
        start = range.end;
        let content = line.trim();
        let fence = content.starts_with("```") || content.starts_with("~~~");
        let alone = fenced || fence || content.starts_with('#') || content.starts_with('|');
        if fence {
            fenced = !fenced;
        }
        if content.is_empty() {
            open = false;
        } else if alone || !open || is_item(content) {
            blocks.push(range);
            open = !alone;
        } else if let Some(last) = blocks.last_mut() {
            last.end = range.end;
        }
    }
    blocks
}

/// Whether a table row stands above the rule that separates the names of the columns from the rows.
fn names_columns(text: &str, block: &Range<usize>) -> bool {
    let rule =
        |line: &str| line.contains("--") && line.chars().all(|c| matches!(c, '|' | '-' | ':') || c.is_whitespace());
    text[block.clone()].trim_start().starts_with('|') && text[block.end..].lines().next().is_some_and(rule)
}

fn is_item(line: &str) -> bool {
    let numbered = line.trim_start_matches(|c: char| c.is_ascii_digit());
    ["- ", "* ", "+ ", "• "].iter().any(|mark| line.starts_with(mark))
        || (numbered.len() < line.len() && (numbered.starts_with(". ") || numbered.starts_with(") ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        sentences(text).into_iter().map(|sentence| &text[sentence.range]).collect()
    }

    #[test]
    fn a_title_or_an_initial_does_not_end_a_quote() {
        let text = "Dogs are forbidden unless Mrs. Adeyemi agrees. Dr. M. Okafor is the doctor.";
        let found: Vec<&str> = sentences(text).into_iter().map(|sentence| &text[sentence.range]).collect();
        assert_eq!(found, ["Dogs are forbidden unless Mrs. Adeyemi agrees.", "Dr. M. Okafor is the doctor."]);
    }

    #[test]
    fn a_sentence_may_run_over_lines() {
        assert_eq!(texts("The key lies\nin a file. It is small."), ["The key lies\nin a file.", "It is small."]);
    }

    #[test]
    fn items_headings_and_rows_stand_for_themselves() {
        let text = "# Keys\n- one key\n2. two keys\n\n| a | b |\n| c | d |\n";
        assert_eq!(texts(text), ["Keys", "one key", "two keys", "a | b", "c | d"]);
        assert!(sentences(text)[0].heading);
    }

    #[test]
    fn the_names_of_columns_are_a_heading_and_no_answer() {
        let text = "| Mayor | From |\n|---|:---:|\n| Ines Tal | 2005 |\n";
        let found: Vec<bool> = sentences(text).into_iter().map(|sentence| sentence.heading).collect();
        assert_eq!(found, [true, false]);
    }

    #[test]
    fn emphasis_that_ended_is_left_out() {
        assert_eq!(texts("**Decision.** It stays."), ["**Decision.", "It stays."]);
    }

    #[test]
    fn what_never_ends_is_cut_between_words() {
        let text = "word ".repeat(1000);
        let cut = texts(&text);
        assert!(cut.len() > 5 && cut.iter().all(|part| part.len() <= LONGEST && part.ends_with("word")));
    }

    #[test]
    fn a_long_run_without_spaces_is_cut_on_character_boundaries() {
        assert!(sentences(&"é".repeat(2000)).len() > 3);
    }
}
