//! The headings of Markdown. The text itself stays as it is written.

use crate::Result;
use crate::rag::document::place::{Heading, Places, outline};
use crate::rag::document::{Limits, table};

/// One section for each heading: `# Title`, or a title underlined with `=` or `-`; and the tables. Code blocks have neither.
pub(super) fn places(text: &str, limits: &Limits) -> Result<Places> {
    let mut starts: Vec<Heading> = Vec::new();
    let mut code = Vec::new();
    let mut fenced = 0;
    let mut fence: Option<(char, usize)> = None;
    let mut previous: Option<(usize, &str)> = None;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        limits.check_places(starts.len())?;
        let body = line.trim_end();
        let indent = body.len() - body.trim_start_matches(' ').len();
        let body = body.trim_start();
        if let Some((mark, length)) = fence_of(body).filter(|_| indent < 4) {
            match fence {
                None => {
                    fence = Some((mark, length));
                    fenced = start;
                }
                Some((open, least)) if open == mark && length >= least && body.trim_start_matches(mark).is_empty() => {
                    fence = None;
                    code.push(fenced..at);
                }
                Some(_) => {}
            }
            previous = None;
            continue;
        }
        if fence.is_some() || indent >= 4 || body.is_empty() {
            previous = None;
            continue;
        }
        if let Some((level, title)) = hash_title(body) {
            starts.push((start, level, title));
            previous = None;
        } else if let Some((title_start, title)) = previous.filter(|_| is_underline(body)) {
            starts.push((title_start, if body.starts_with('=') { 1 } else { 2 }, plain(title)));
            previous = None;
        } else {
            let is_list_or_table = body.starts_with(['-', '*', '+', '>', '|']);
            // Only a paragraph of a single line is taken for an underlined title.
            let single = text[..start].ends_with("\n\n") || start == 0;
            previous = (!is_list_or_table && single).then_some((start, body));
        }
    }
    if fence.is_some() {
        code.push(fenced..text.len());
    }
    let (sections, tables) = (outline(starts, text.len(), limits)?, table::piped(text, &code, limits)?);
    Ok(Places { sections, tables, ..Places::lines(text) })
}

fn fence_of(line: &str) -> Option<(char, usize)> {
    let mark = line.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let length = line.len() - line.trim_start_matches(mark).len();
    (length >= 3 && !(mark == '`' && line[length..].contains('`'))).then_some((mark, length))
}

fn hash_title(line: &str) -> Option<(usize, String)> {
    let rest = line.trim_start_matches('#');
    let level = line.len() - rest.len();
    if !(1..=6).contains(&level) || !(rest.is_empty() || rest.starts_with([' ', '\t'])) {
        return None;
    }
    let title = rest.trim();
    let without_closing = title.trim_end_matches('#');
    let closed = without_closing.is_empty() || without_closing.ends_with([' ', '\t']);
    Some((level, plain(if closed { without_closing.trim_end() } else { title })))
}

fn is_underline(line: &str) -> bool {
    line.len() >= 2 && (line.bytes().all(|b| b == b'=') || line.bytes().all(|b| b == b'-'))
}

/// A title without the marks of emphasis and code.
fn plain(title: &str) -> String {
    title.chars().filter(|c| !matches!(c, '*' | '`')).collect::<String>().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_found_and_code_is_not_taken_for_them() {
        let text = "intro\n\n# One #\ntext\n```sh\n# a comment\n```\n## **Two** `x`\n\nThree\n=====\nmore\n\n- a\n---\n#hash\n";
        let found = places(text, &Limits::default()).unwrap().sections;
        let labels: Vec<&str> = found.iter().map(|s| s.label.as_str()).collect();
        assert_eq!(labels, ["One", "Two x", "Three"]);
        assert!(text[found[0].range.clone()].starts_with("# One") && text[found[0].range.clone()].ends_with("```\n"));
        assert_eq!(found[2].range.end, text.len());
    }
}
