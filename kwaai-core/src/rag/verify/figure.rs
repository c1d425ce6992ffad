//! Numbers, compared by their values however they are written.

use std::collections::HashSet;

use super::words::composed;

/// Numbers up to this are written as words as often as not.
const SPELLED: u32 = 12;
/// Words that multiply what stands before them, by the zeros that they add.
const MULTIPLIERS: &[(usize, &[&str])] = &[
    (3, &["k", "thousand", "thousands", "tausend"]),
    (6, &["m", "mn", "mio", "million", "millions", "millionen"]),
    (9, &["b", "bn", "mrd", "billion", "billions", "milliarde", "milliarden"]),
    (12, &["tn", "trillion", "trillions", "billionen"]),
];
/// Words that say that a number is below zero.
const BELOW: &[&str] = &["minus", "negative", "negativ"];

/// A number of a text.
pub(super) struct Figure {
    /// What its digits may mean: `12.500` is twelve thousand five hundred to some, and twelve and a half to others.
    values: Vec<String>,
    sign: Sign,
    scale: Option<Scale>,
    /// Numbers that it may be instead: `12 500`, and the days, months and years of dates.
    parts: Vec<Figure>,
}

#[derive(Clone, Copy, PartialEq)]
enum Sign {
    None,
    Minus,
    /// A dash or brackets around, as in tables.
    Perhaps,
    /// A plus, or degrees, which are said to be below zero where they are.
    Plus,
}

#[derive(Clone, Copy)]
struct Scale {
    zeros: usize,
    /// Whether the sign stands directly behind the digits: `250k`.
    glued: bool,
    /// Whether it may be a unit instead: `250m`.
    unit: bool,
}

/// The numbers of a text, digits inside words among them.
pub(super) fn figures(text: &str) -> Vec<Figure> {
    // The separators of Arabic.
    let text = composed(text).replace('\u{66c}', "'").replace('\u{66b}', ".");
    let (mut found, mut at): (Vec<Figure>, usize) = (Vec::new(), 0);
    while let Some(start) = text[at..].find(|c: char| c.is_ascii_digit()).map(|start| at + start) {
        let end = number_end(&text, start);
        let figure = Figure::read(&text, start, end);
        at = end;
        // Groups that spaces set apart.
        let mut grouped = end;
        while end - start <= 3 && is_group(&text[grouped..]) {
            grouped += 4;
        }
        if grouped == end {
            found.push(figure);
            continue;
        }
        let mut parts = vec![figure];
        let mut part = end + 1;
        while part < grouped {
            parts.push(Figure::read(&text, part, part + 3));
            part += 4;
        }
        let whole: String = text[start..grouped].split(' ').collect();
        let mut figure = Figure::read(&text, start, grouped);
        figure.values = vec![canonical(&whole, "")];
        figure.parts = parts;
        found.push(figure);
        at = grouped;
    }
    found
}

/// Whether a text begins with a space and three digits, and no fourth.
fn is_group(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 4
        && bytes[0] == b' '
        && bytes[1..4].iter().all(u8::is_ascii_digit)
        && !bytes.get(4).is_some_and(u8::is_ascii_alphanumeric)
}

fn number_end(text: &str, start: usize) -> usize {
    let mut end = start;
    let mut characters = text[start..].chars().peekable();
    while let Some(c) = characters.next() {
        let groups = matches!(c, '.' | ',' | '\'' | '’') && characters.peek().is_some_and(char::is_ascii_digit);
        if !c.is_ascii_digit() && !groups {
            break;
        }
        end += c.len_utf8();
    }
    end
}

impl Figure {
    fn read(text: &str, start: usize, end: usize) -> Figure {
        let (before, after) = (&text[..start], &text[end..]);
        let mut back = before.chars().rev();
        let (sign, beyond) = (back.next(), back.next());
        let apart = beyond.is_none_or(|c| !c.is_alphanumeric() && !matches!(c, ')' | ']'));
        let sign = match sign {
            Some('-' | '−') if apart => Sign::Minus,
            Some('–' | '—') if apart => Sign::Perhaps,
            Some('(') if after.starts_with(')') => Sign::Perhaps,
            Some('+') if apart => Sign::Plus,
            _ if after.trim_start_matches([' ', '\u{a0}', '\u{202f}']).starts_with('°') => Sign::Plus,
            _ => Sign::None,
        };
        let digits = text[start..end].replace('’', "'");
        let parts: Vec<&str> = digits.split('.').collect();
        let date = matches!(parts[..], [day, month, year] if day.len() <= 2 && month.len() <= 2 && matches!(year.len(), 2 | 4));
        let plain = |part: &&str| Figure { values: vec![canonical(part, "")], sign, scale: None, parts: Vec::new() };
        let parts = if date && !digits.contains([',', '\'']) { parts.iter().map(plain).collect() } else { Vec::new() };
        Figure { values: values(&digits), sign, scale: Scale::read(after), parts }
    }

    /// Whether it is so small that it may stand in a source as a word.
    fn is_spelled(&self) -> bool {
        self.values.iter().any(|value| value.parse().is_ok_and(|number: u32| number <= SPELLED))
    }

    fn scaled(&self) -> impl Iterator<Item = String> {
        let zeros = self.scale.map_or(0, |scale| scale.zeros);
        self.values.iter().map(move |value| shifted(value, zeros))
    }
}

impl Scale {
    /// What multiplies the number that a text follows.
    fn read(after: &str) -> Option<Scale> {
        let rest = after.strip_prefix([' ', '-']).unwrap_or(after);
        let glued = rest.len() == after.len();
        let end = rest.find(|c: char| !c.is_alphanumeric()).unwrap_or(rest.len());
        let word = &rest[..end];
        let lower = word.to_lowercase();
        // `250 m` are metres.
        let zeros = MULTIPLIERS
            .iter()
            .find(|(_, names)| names.contains(&lower.as_str()) && (glued || lower.len() > 1))
            .map(|(zeros, _)| *zeros)?;
        Some(Scale { zeros, glued, unit: word == "m" })
    }

    fn names(self) -> &'static [&'static str] {
        MULTIPLIERS.iter().find(|(zeros, _)| *zeros == self.zeros).map_or(&[], |(_, names)| names)
    }
}

/// The values that digits with signs between them may have.
fn values(digits: &str) -> Vec<String> {
    let mut signs: Vec<char> = digits.chars().filter(|c| !c.is_ascii_digit()).collect();
    let count = signs.len();
    let last = signs.last().copied();
    signs.dedup();
    let parts: Vec<&str> = digits.split(['.', ',', '\'']).collect();
    let is_grouped = |parts: &[&str]| parts[0].len() <= 3 && parts[1..].iter().all(|part| part.len() == 3);
    let (whole, fraction) = parts.split_at(parts.len() - 1);
    let mut values = Vec::new();
    if count == 0 || signs.len() == 1 && is_grouped(&parts) {
        values.push(canonical(&parts.concat(), ""));
    }
    let decimal = last.is_some_and(|last| last != '\'') && (count == 1 || signs.len() == 2 && is_grouped(whole));
    if decimal {
        values.push(canonical(&whole.concat(), fraction[0]));
    }
    // Versions and addresses are no numbers, and are what they are.
    if values.is_empty() {
        values.push(digits.to_owned());
    }
    values
}

/// A number without zeros that say nothing.
fn canonical(whole: &str, fraction: &str) -> String {
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") }
}

/// A number times ten to a power.
fn shifted(value: &str, zeros: usize) -> String {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if !value.contains(|c: char| c.is_ascii_digit()) || fraction.contains(['.', ',', '\'']) {
        return value.to_owned();
    }
    let digits = format!("{fraction:0<zeros$}");
    canonical(&format!("{whole}{}", &digits[..zeros]), &digits[zeros..])
}

/// The numbers of a source.
#[derive(Default)]
pub(super) struct Figures {
    all: HashSet<String>,
    negative: HashSet<String>,
    /// Those that stand without a minus.
    positive: HashSet<String>,
}

impl Figures {
    pub fn new(text: &str) -> Figures {
        let mut figures = Figures::default();
        for figure in self::figures(text) {
            figures.add(&figure);
        }
        figures
    }

    fn add(&mut self, figure: &Figure) {
        let bare = figure.scale.is_none_or(|scale| scale.unit || !scale.glued);
        let values = figure.values.iter().filter(|_| bare).cloned().chain(figure.scaled());
        for value in values {
            if matches!(figure.sign, Sign::Minus | Sign::Perhaps) {
                self.negative.insert(value.clone());
            }
            if figure.sign != Sign::Minus {
                self.positive.insert(value.clone());
            }
            self.all.insert(value);
        }
        for part in &figure.parts {
            self.add(part);
        }
    }

    /// Whether a number of an answer stands here. `knows` tells whether a word does.
    pub fn hold(&self, figure: &Figure, knows: &impl Fn(&str) -> bool) -> bool {
        let multiplied = figure.scale.is_none_or(|scale| scale.unit || scale.names().iter().any(|name| knows(name)));
        let glued = figure.scale.is_some_and(|scale| scale.glued && !scale.unit);
        if figure.is_spelled() && (!glued || multiplied) {
            return true;
        }
        let below = figure.sign == Sign::Minus && !BELOW.iter().any(|word| knows(word));
        let standing = match figure.sign {
            Sign::Minus if below => &self.negative,
            Sign::Plus => &self.positive,
            _ => &self.all,
        };
        figure.scaled().any(|value| standing.contains(&value))
            || multiplied && figure.values.iter().any(|value| standing.contains(value))
            || !figure.parts.is_empty() && figure.parts.iter().all(|part| self.hold(part, knows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rag::verify::words::words;

    fn holds(source: &str, said: &str) -> bool {
        let (known, figures) = (words(source), Figures::new(source));
        super::figures(said).iter().all(|figure| figures.hold(figure, &|word| known.iter().any(|known| known == word)))
    }

    #[test]
    fn a_number_is_the_same_however_it_is_written() {
        for (source, said) in [
            ("12,500 members", "12500, 12.500, 12 500 or 12'500 members"),
            ("12 500 members", "12,500"),
            ("250", "250.00 and 0250"),
            ("250.00 EUR", "EUR250"),
            ("250k members", "250,000 or 250 thousand"),
            ("250,000", "250k"),
            ("1.2 million", "1,200,000 and 1.2M"),
            ("In million EUR: 250", "250 million"),
            ("250 metres, 250 m", "250m"),
            ("250m away", "250 metres"),
            ("９９９", "999"),
            ("1,234.56", "1.234,56"),
            ("a loss of -250 or (260)", "-250 and -260"),
            ("minus 250", "-250"),
            ("10-250, version 10.20.30", "10 to 250, 10.20.30"),
            ("5 January 2024", "05.01.2024"),
            ("Ed25519", "ed25519"),
            ("five thousand", "5k"),
            ("١٬٢٠٠ members and ٣٫٥ tonnes", "1200, 1,200 and 3.5"),
            ("at +40 °C", "at 40 °C"),
            ("from -40 to 40 degrees", "+40 °C"),
        ] {
            assert!(holds(source, said), "{source}: {said}");
        }
    }

    #[test]
    fn another_number_is_another_number() {
        for (source, said) in [
            ("250 members", "EUR999"),
            ("250 members", "９９９"),
            ("250 members", "250k"),
            ("250 members", "250M"),
            ("250 members", "-250"),
            ("250k members", "250"),
            ("12,500", "12,501"),
            ("1.2 million", "1.3M"),
            ("250", "250 million"),
            ("250", "2.50"),
            ("10²", "102"),
            ("5 January 2024", "05.01.2025"),
            ("10.20.30", "10.20.31"),
            ("at -40 °C", "at 40 °C"),
            ("at −40 °C", "at +40 degrees"),
        ] {
            assert!(!holds(source, said), "{source}: {said}");
        }
    }
}
