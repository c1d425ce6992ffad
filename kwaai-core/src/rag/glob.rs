//! Patterns of names, as shells have them.

use crate::{Error, Result};

/// The longest pattern, in bytes.
const LONGEST: usize = 1024;

/// One step of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// This character.
    One(char),
    /// Any character but a slash.
    Any,
    /// One of these ranges, or none of them, and no slash.
    Class { ranges: Vec<(char, char)>, without: bool },
    /// Any characters but slashes, or none.
    Run,
    /// Any characters, or none.
    Deep,
    /// The two steps behind it, or neither.
    Maybe,
}

/// A pattern: `*` stands for any characters but slashes, `**` for slashes too, `?` for a character, `[a-z]` and `[!a-z]` for one of
/// a class; `**/` may also stand for nothing. A backslash takes the meaning of what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Glob(Vec<Step>);

impl Glob {
    /// # Errors
    /// `invalid_argument` for an empty pattern, one that is too long, a class that is empty, backwards or not closed, and a backslash at the end.
    pub fn new(pattern: &str) -> Result<Glob> {
        let wrong = |what: &str| {
            Err(Error::invalid_argument(format!("a pattern of names {what}"))
                .with("argument", "names")
                .with_remedy("write it as in reports/**/*.pdf; put a backslash before what is to stand for itself"))
        };
        if pattern.is_empty() {
            return wrong("is empty");
        }
        if pattern.len() > LONGEST {
            return wrong(&format!("has at most {LONGEST} bytes"));
        }
        let mut steps = Vec::new();
        let mut rest = pattern.chars().peekable();
        let mut at_start = true;
        while let Some(c) = rest.next() {
            let starts = std::mem::replace(&mut at_start, c == '/');
            match c {
                '*' if rest.next_if_eq(&'*').is_some() => {
                    while rest.next_if_eq(&'*').is_some() {}
                    if starts && rest.next_if_eq(&'/').is_some() {
                        steps.extend([Step::Maybe, Step::Deep, Step::One('/')]);
                        at_start = true;
                    } else {
                        steps.push(Step::Deep);
                    }
                }
                '*' => steps.push(Step::Run),
                '?' => steps.push(Step::Any),
                '\\' => match rest.next() {
                    Some(c) => {
                        at_start = c == '/';
                        steps.push(Step::One(c));
                    }
                    None => return wrong("ends with a backslash"),
                },
                '[' => {
                    let without = rest.next_if(|c| matches!(c, '!' | '^')).is_some();
                    let mut ranges: Vec<(char, char)> = Vec::new();
                    loop {
                        let first = match rest.next() {
                            // As the first of a class it stands for itself.
                            Some(']') if !ranges.is_empty() => break,
                            Some('\\') => rest.next(),
                            other => other,
                        };
                        let Some(first) = first else { return wrong("has a class that is not closed") };
                        let mut ahead = rest.clone();
                        let last = match (ahead.next(), ahead.next()) {
                            (Some('-'), Some(']') | None) => first,
                            (Some('-'), Some('\\')) => {
                                let last = ahead.next();
                                rest = ahead;
                                let Some(last) = last else { return wrong("has a class that is not closed") };
                                last
                            }
                            (Some('-'), Some(last)) => {
                                rest = ahead;
                                last
                            }
                            _ => first,
                        };
                        if last < first {
                            return wrong("has a class that goes backwards");
                        }
                        ranges.push((first, last));
                    }
                    steps.push(Step::Class { ranges, without });
                }
                c => steps.push(Step::One(c)),
            }
        }
        Ok(Glob(steps))
    }

    /// Whether all of a name fits. Takes time in proportion to both lengths, whatever the pattern.
    pub fn fits(&self, name: &str) -> bool {
        let steps = &self.0;
        let mut at = vec![false; steps.len() + 1];
        let reach = |at: &mut Vec<bool>| {
            for (place, step) in steps.iter().enumerate() {
                if !at[place] {
                    continue;
                }
                match step {
                    Step::Run | Step::Deep => at[place + 1] = true,
                    Step::Maybe => {
                        at[place + 1] = true;
                        at[place + 3] = true;
                    }
                    Step::One(_) | Step::Any | Step::Class { .. } => {}
                }
            }
        };
        at[0] = true;
        reach(&mut at);
        for c in name.chars() {
            let mut next = vec![false; at.len()];
            for (place, step) in steps.iter().enumerate() {
                if !at[place] {
                    continue;
                }
                match step {
                    Step::One(one) => next[place + 1] |= *one == c,
                    Step::Any => next[place + 1] |= c != '/',
                    Step::Class { ranges, without } => {
                        let inside = ranges.iter().any(|(first, last)| (*first..=*last).contains(&c));
                        next[place + 1] |= c != '/' && inside != *without;
                    }
                    Step::Run => next[place] |= c != '/',
                    Step::Deep => next[place] = true,
                    Step::Maybe => {}
                }
            }
            reach(&mut next);
            at = next;
        }
        at[steps.len()]
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn fits(pattern: &str, name: &str) -> bool {
        Glob::new(pattern).unwrap().fits(name)
    }

    #[test]
    fn a_pattern_fits_whole_names_as_in_a_shell() {
        for (pattern, fitting, others) in [
            (
                "reports/2024/*.pdf",
                &["reports/2024/a.pdf", "reports/2024/.pdf"][..],
                &["reports/2024/q/a.pdf", "a/reports/2024/a.pdf", "reports/2024/a.pdfx"][..],
            ),
            (
                "reports/**/*.pdf",
                &["reports/a.pdf", "reports/2024/q1/a.pdf"],
                &["reports/a.txt", "reportsx/a.pdf", "reportsa.pdf"],
            ),
            ("**/notes.md", &["notes.md", "a/b/notes.md"], &["mynotes.md", "a/mynotes.md"]),
            ("**", &["", "a", "a/b"], &[]),
            ("a**z", &["az", "a/b/z"], &["a", "az/"]),
            ("?.md", &["a.md", "ä.md"], &[".md", "ab.md", "/.md"]),
            ("[a-c!]x", &["bx", "!x"], &["dx", "x"]),
            ("[!a-c]x", &["dx"], &["ax", "/x"]),
            ("[]-]x", &["]x", "-x"], &["ax"]),
            ("\\*\\[x", &["*[x"], &["ab[x"]),
            ("{a}", &["{a}"], &["a"]),
        ] {
            assert!(fitting.iter().all(|name| fits(pattern, name)), "{pattern}");
            assert!(others.iter().all(|name| !fits(pattern, name)), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_that_means_nothing_is_refused() {
        for wrong in ["", "[", "[a", "[]", "[!]", "[z-a]", "a\\", "[a-\\", &"a".repeat(LONGEST + 1)] {
            assert_eq!(Glob::new(wrong).unwrap_err().code(), crate::ErrorCode::InvalidArgument, "{wrong}");
        }
    }

    /// As the pattern is described, one way after the other.
    fn slowly(pattern: &[char], name: &[char]) -> bool {
        match (pattern, name) {
            ([], name) => name.is_empty(),
            (['*', '*', rest @ ..], name) => (0..=name.len()).any(|taken| slowly(rest, &name[taken..])),
            (['*', rest @ ..], name) => (0..=name.len())
                .take_while(|taken| !name[..*taken].contains(&'/'))
                .any(|taken| slowly(rest, &name[taken..])),
            (['?', rest @ ..], [c, left @ ..]) => *c != '/' && slowly(rest, left),
            ([one, rest @ ..], [c, left @ ..]) => one == c && slowly(rest, left),
            _ => false,
        }
    }

    #[test]
    fn it_agrees_with_trying_every_way_and_a_hostile_pattern_costs_no_more() {
        let mut random = StdRng::seed_from_u64(11);
        let mut both = [0; 2];
        for _ in 0..20_000 {
            let mut text = |letters: &[char], most: usize| -> Vec<char> {
                (0..random.random_range(1..=most)).map(|_| letters[random.random_range(0..letters.len())]).collect()
            };
            let (pattern, name) = (text(&['a', 'b', '/', '*', '?'], 6), text(&['a', 'b', '/'], 6));
            let written: String = pattern.iter().collect();
            if written.contains("***") || written.starts_with("**/") || written.contains("/**/") {
                continue;
            }
            let expected = slowly(&pattern, &name);
            both[usize::from(expected)] += 1;
            assert_eq!(fits(&written, &name.iter().collect::<String>()), expected, "{written} {name:?}");
        }
        assert!(both.iter().all(|count| *count > 500), "{both:?}");
        assert!(!fits(&"*a".repeat(500), &"a".repeat(499)));
    }
}
