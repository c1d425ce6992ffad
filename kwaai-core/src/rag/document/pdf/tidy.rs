//! From the lines of a page to readable text.

/// Trims lines, joins words that were cut at the end of a line, and leaves at most one empty line in a row.
pub(super) fn page(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut empty_lines = 0;
    for line in text.lines().map(str::trim) {
        if line.is_empty() {
            empty_lines += 1;
            continue;
        }
        if !out.is_empty() {
            match empty_lines {
                0 if is_cut(&out) && line.starts_with(char::is_lowercase) => {
                    out.pop();
                }
                0 => out.push('\n'),
                _ => out.push_str("\n\n"),
            }
        }
        empty_lines = 0;
        out.push_str(line);
    }
    out
}

/// Whether the text ends in a letter and a hyphen.
fn is_cut(text: &str) -> bool {
    let mut last = text.chars().rev();
    matches!(last.next(), Some('-' | '\u{ad}' | '\u{2010}')) && last.next().is_some_and(char::is_lowercase)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_word_cut_at_the_end_of_a_line_is_whole_again() {
        assert_eq!(super::page("  The net-\nwork is up. \n\n\n\nA-\nB\n"), "The network is up.\n\nA-\nB");
    }
}
