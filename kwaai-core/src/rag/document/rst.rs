//! The headings of reStructuredText: a title with a line of punctuation below it, or below and above it. Which mark is which level
//! follows from the order in which they first occur.

use crate::Result;
use crate::rag::document::place::{Heading, outline};
use crate::rag::document::{Limits, Section};

/// One section for each heading; the text stays as it is written.
///
/// # Errors
/// `resource_exhausted` for too many headings.
pub(super) fn sections(text: &str, limits: &Limits) -> Result<Vec<Section>> {
    let mut styles: Vec<(char, bool)> = Vec::new();
    let mut headings: Vec<Heading> = Vec::new();
    // The two lines above, each with where it starts.
    let mut upper: Option<(usize, &str)> = None;
    let mut above: Option<(usize, &str)> = None;
    let (mut at, mut number, mut next) = (0, 0usize, 0);
    for line in text.split_inclusive('\n') {
        let here = (at, line.trim_end());
        at += line.len();
        number += 1;
        let (first, second) = (upper, above);
        (upper, above) = (above, Some(here));
        let (Some((start, title)), true) = (second, number > next) else { continue };
        let Some(mark) = mark(here.1) else { continue };
        let is_title = !title.is_empty() && !title.starts_with(char::is_whitespace) && self::mark(title).is_none();
        let over = first.filter(|(_, line)| self::mark(line) == Some(mark));
        let title = if over.is_some() { title.trim() } else { title };
        let alone = over.is_some() || first.is_none_or(|(_, line)| line.is_empty());
        let width = title.chars().count();
        if !(is_title || over.is_some() && !title.is_empty()) || !alone || here.1.chars().count() < width.max(1) {
            continue;
        }
        let style = (mark, over.is_some());
        let level = styles.iter().position(|known| *known == style).unwrap_or_else(|| {
            styles.push(style);
            styles.len() - 1
        });
        headings.push((over.map_or(start, |(start, _)| start), level + 1, title.replace(['`', '*'], "")));
        limits.check_places(headings.len())?;
        next = number + 1;
    }
    outline(headings, text.len(), limits)
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
        let found = sections(text, &Limits::default()).unwrap();
        assert!(text[found[0].range.clone()].starts_with("====="));
        let found: Vec<String> = found.iter().map(|section| section.path.join(" > ")).collect();
        assert_eq!(found, ["Guide", "Guide > Install", "Guide > Install > Linux", "Guide > Use"]);
    }
}
