//! The words of a text, in the form in which they are compared.
//!
//! What looks the same to a reader is the same: letters in whatever normal form of Unicode (NFKC, UAX #15), in capitals or not, with
//! characters between them that cannot be seen, or taken from another alphabet for their looks.

use unicode_normalization::UnicodeNormalization;
use unicode_segmentation::UnicodeSegmentation;

/// The words of a text, in small letters and without punctuation. What groups the digits of a number stays.
pub(super) fn words(text: &str) -> Vec<String> {
    let text = composed(text);
    let mut found = Vec::new();
    for word in text.unicode_words() {
        let mut open = String::new();
        let mut characters = word.chars().peekable();
        while let Some(c) = characters.next() {
            let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
            let groups = matches!(c, '.' | ',' | '\'' | '’');
            if (c.is_alphanumeric() || !c.is_ascii() && c != '’')
                || groups && digit(open.chars().next_back()) && digit(characters.peek().copied())
            {
                open.push(if c == '’' { '\'' } else { c });
            } else if !open.is_empty() {
                found.push(alike(&std::mem::take(&mut open)));
            }
        }
        if !open.is_empty() {
            found.push(alike(&open));
        }
    }
    found
}

/// A text in NFKC, without what cannot be seen, and with the digits of all scripts as ASCII's. A raised number behind a digit stands apart:
/// `10²` is not `102`.
pub(super) fn composed(text: &str) -> String {
    let mut seen = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !unseen(*c)) {
        let raised = matches!(c, '²' | '³' | '¹' | '¼'..='¾' | '⁰'..='⁹' | '₀'..='₉' | '⅐'..='⅞');
        if raised && seen.ends_with(|before: char| before.is_ascii_digit()) {
            seen.push(' ');
        }
        seen.push(digit(c).unwrap_or(c));
    }
    seen.nfkc().collect()
}

fn unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{e0000}'..='\u{e0fff}'
    )
}

fn digit(c: char) -> Option<char> {
    const ZEROS: &[u32] =
        &[0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xe50, 0xed0];
    let value = ZEROS.iter().find_map(|zero| u32::from(c).checked_sub(*zero).filter(|value| *value < 10))?;
    char::from_digit(value, 10)
}

/// A word in small letters. Letters of other alphabets that look like Latin ones become those (after Unicode's confusables.txt, UTS #39):
/// capitals only inside a Latin word, since their small letters look otherwise.
fn alike(word: &str) -> String {
    let latin = word.contains(|c: char| c.is_ascii_alphabetic());
    let capital = |c: char| if latin { latin_capital(c) } else { c };
    let small = word.chars().map(capital).flat_map(char::to_lowercase).map(latin_small);
    small.flat_map(|c| if c == 'ß' { [Some('s'), Some('s')] } else { [Some(c), None] }).flatten().collect()
}

fn latin_capital(c: char) -> char {
    match c {
        'А' | 'Α' => 'A',
        'В' | 'Β' => 'B',
        'С' => 'C',
        'Е' | 'Ε' => 'E',
        'Н' | 'Η' => 'H',
        'І' | 'Ι' => 'I',
        'Ј' => 'J',
        'К' | 'Κ' => 'K',
        'М' | 'Μ' => 'M',
        'Ν' => 'N',
        'О' | 'Ο' => 'O',
        'Р' | 'Ρ' => 'P',
        'Ѕ' => 'S',
        'Т' | 'Τ' => 'T',
        'Х' | 'Χ' => 'X',
        'Υ' => 'Y',
        'Ζ' => 'Z',
        other => other,
    }
}

fn latin_small(c: char) -> char {
    match c {
        'а' | 'α' | 'ɑ' => 'a',
        'с' => 'c',
        'ԁ' => 'd',
        'е' => 'e',
        'ɡ' => 'g',
        'һ' => 'h',
        'і' | 'ι' | 'ı' => 'i',
        'ј' => 'j',
        'ո' => 'n',
        'о' | 'ο' | 'օ' => 'o',
        'р' | 'ρ' => 'p',
        'ԛ' => 'q',
        'ѕ' => 's',
        'ս' => 'u',
        'ν' | 'ѵ' => 'v',
        'ԝ' => 'w',
        'х' | 'χ' => 'x',
        'у' | 'γ' => 'y',
        'ς' => 'σ',
        other => other,
    }
}

/// A text without the targets of its Markdown links.
pub(super) fn without_targets(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("](") {
        kept.push_str(&rest[..at]);
        let target = &rest[at + 2..];
        let line = target.find('\n').unwrap_or(target.len());
        // A target may hold brackets of its own: `[it](a_(b))`.
        let mut depth = 1;
        let close = target[..line].char_indices().find(|(_, c)| {
            depth += match c {
                '(' => 1,
                ')' => -1,
                _ => 0,
            };
            depth == 0
        });
        match close {
            Some((close, _)) if kept.contains('[') => {
                kept.push(']');
                rest = &target[close + 1..];
            }
            _ => {
                kept.push_str("](");
                rest = target;
            }
        }
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_the_same_is_the_same_word() {
        for (one, other) in [
            ("café", "cafe\u{301}"),
            ("identity", "iden\u{ad}ti\u{200b}ty"),
            ("ofﬁce", "office"),
            ("９９９", "999"),
            ("٩٩٩", "999"),
            ("a new PeerId", "а new РeerId"),
            ("don't", "don’t"),
            ("Вода", "вода"),
            ("GROSS", "groß"),
            ("ΟΔΟΣ", "οδος"),
        ] {
            assert_eq!(words(one), words(other), "{one}");
        }
        assert_ne!(words("10²"), words("102"));
        assert_ne!(words("5 μm"), words("5 mm"));
        assert_eq!(words("identity.key costs 1,234.50."), ["identity", "key", "costs", "1,234.50"]);
        assert_eq!(words("東京都").len(), 3);
    }

    #[test]
    fn a_link_is_read_without_its_target() {
        assert_eq!(without_targets("see [the page](a/b_(c).md#d), or (this)"), "see [the page], or (this)");
        for same in ["f](x)", "[a](b", "[a](b\n)", "]("] {
            assert_eq!(without_targets(same), same);
        }
    }
}
