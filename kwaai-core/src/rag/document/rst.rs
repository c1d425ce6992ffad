//! The headings of reStructuredText: a title with a line of punctuation below it, or below and above it. Which mark is which level
//! follows from the order in which they first occur.

use crate::rag::document::Section;
use crate::rag::document::place::{Heading, outline};

/// One section for each heading; the text stays as it is written.
pub(super) fn sections(text: &str) -> Vec<Section> {
    let mut lines = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        lines.push((at, line.trim_end()));
        at += line.len();
    }
    let mut styles: Vec<(char, bool)> = Vec::new();
    let mut headings: Vec<Heading> = Vec::new();
    let mut next = 0;
    for number in 1..lines.len() {
        let (start, title) = lines[number - 1];
        let Some(mark) = mark(lines[number].1).filter(|_| number > next) else { continue };
        let width = title.chars().count();
        let is_title = !title.is_empty() && !title.starts_with(char::is_whitespace) && self::mark(title).is_none();
        let over = number >= 2 && self::mark(lines[number - 2].1) == Some(mark);
        let title = if over { title.trim() } else { title };
        let alone = number == 1 || over || lines[number - 2].1.is_empty();
        if !(is_title || over && !title.is_empty()) || !alone || lines[number].1.chars().count() < width.max(1) {
            continue;
        }
        let style = (mark, over);
        let level = styles.iter().position(|known| *known == style).unwrap_or_else(|| {
            styles.push(style);
            styles.len() - 1
        });
        let start = if over { lines[number - 2].0 } else { start };
        headings.push((start, level + 1, title.replace(['`', '*'], "")));
        next = number + 1;
    }
    outline(headings, text.len())
}

/// The punctuation that makes up a whole line.
fn mark(line: &str) -> Option<char> {
    let mark = line.chars().next().filter(|c| c.is_ascii_punctuation())?;
    (line.len() >= 2 && line.chars().all(|c| c == mark)).then_some(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_found_and_levels_follow_their_order() {
        let text = "=====\nGuide\n=====\n\nIntro.\n\nInstall\n=======\n\nLinux\n-----\nText\nof two lines\n----\n\nUse\n===\nEnd.\n";
        let found: Vec<String> = sections(text).iter().map(|section| section.path.join(" > ")).collect();
        assert_eq!(found, ["Guide", "Guide > Install", "Guide > Install > Linux", "Guide > Use"]);
        assert!(text[sections(text)[0].range.clone()].starts_with("====="));
    }
}
