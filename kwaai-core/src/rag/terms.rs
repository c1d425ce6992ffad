//! From text to search terms: the same for documents, queries and answers.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use tantivy::tokenizer::{
    AsciiFoldingFilter, LowerCaser, RawTokenizer, Stemmer, TextAnalyzer, Token, TokenStream, Tokenizer,
};
use unicode_segmentation::{UnicodeSegmentation, UnicodeWordIndices};

/// Longer words are not words: encoded data, mostly.
const LONGEST_WORD: usize = 100;
/// So many terms are remembered before they are forgotten.
const MOST_KNOWN: usize = 50_000;

macro_rules! languages {
    ($($variant:ident),+) => {
        /// The language whose word forms are brought together (`answers` finds `answered`).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        #[allow(missing_docs, reason = "each is the language of its name")]
        pub enum Language { #[default] English, $($variant),+ }

        impl Language {
            fn stemmer(self) -> Stemmer {
                use tantivy::tokenizer::Language as Stem;
                Stemmer::new(match self { Language::English => Stem::English, $(Language::$variant => Stem::$variant),+ })
            }
        }
    };
}

languages!(
    Arabic, Danish, Dutch, Finnish, French, German, Greek, Hungarian, Italian, Norwegian, Portuguese, Romanian,
    Russian, Spanish, Swedish, Tamil, Turkish
);

/// A word of a text, brought to the form in which words are compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Term {
    /// Lower case, stemmed, without accents.
    pub text: String,
    /// Where the word stands.
    pub range: Range<usize>,
    /// Whether it says little about a topic: `the`, `which`, `does`.
    pub common: bool,
    /// Whether it looks like a name or a number: those are not paraphrased.
    pub name: bool,
}

/// Cuts texts into [`Term`]s.
#[derive(Clone)]
pub(crate) struct Analyzer(TextAnalyzer);

impl Analyzer {
    pub fn new(language: Language) -> Analyzer {
        let word = TextAnalyzer::builder(RawTokenizer::default());
        Analyzer::of(word.filter(LowerCaser).filter(language.stemmer()).filter(AsciiFoldingFilter).build())
    }

    /// Words as names are compared: in lower case and without accents, in whatever form they stand.
    pub fn of_names() -> Analyzer {
        let word = TextAnalyzer::builder(RawTokenizer::default());
        Analyzer::of(word.filter(LowerCaser).filter(AsciiFoldingFilter).build())
    }

    fn of(word: TextAnalyzer) -> Analyzer {
        Analyzer(TextAnalyzer::from(Words { word, known: HashMap::default() }))
    }

    /// What tantivy is to use for this text.
    pub fn tantivy(&self) -> TextAnalyzer {
        self.0.clone()
    }

    /// The terms of a text, and how often each stands in it.
    pub fn counted(&self, text: &str) -> BTreeMap<String, f64> {
        let mut counted = BTreeMap::new();
        for term in self.terms(text) {
            *counted.entry(term.text).or_default() += 1.0;
        }
        counted
    }

    pub fn terms(&self, text: &str) -> Vec<Term> {
        let mut analyzer = self.0.clone();
        let mut stream = analyzer.token_stream(text);
        let mut terms = Vec::new();
        while let Some(token) = stream.next() {
            let range = token.offset_from..token.offset_to;
            let word = &text[range.clone()];
            let capital = !terms.is_empty() && word.starts_with(char::is_uppercase);
            let name = capital || word.contains(|c: char| c.is_ascii_digit());
            terms.push(Term { text: token.text.clone(), common: is_common(word), name, range });
        }
        terms
    }
}

/// Whether a word says little about a topic.
pub(super) fn is_common(word: &str) -> bool {
    let word = word.to_lowercase();
    COMMON.split_ascii_whitespace().any(|common| common == word)
}

/// Function words of English and German, question words included. For other languages the rarity of a word decides alone.
const COMMON: &str = "a about above according across after again against all also although am among an and any are around as at be because \
    been before being below between both but by came can come could did do does doing done down during each either else ever \
    every few for from further gave get gets getting give given gives go goes going got had has have having he her here hers \
    him his how however i if in into is it its itself just least less let like made make makes many may me might more most \
    much must my no nor not now of off often on once one only or other our out over own please per s same say says shall she \
    should since so some such t take than that the their them then there these they this those through to told too toward \
    under until up upon us use used very via was way we were what when where whether which while who whom whose why will with \
    within without would yes yet you your describe explain tell mean means happen happens happened exactly name called \
    aber als am an auch auf aus bei bin bis da dann das dass dem den der des dich die dies diese diesem diesen dieser dieses \
    doch du durch ein eine einem einen einer eines er es euch für gegen haben hat hatte hier ich ihm ihn ihr ihre im in ins \
    ist ja kann kein keine können man mehr mein mit muss nach nicht noch nur ob oder ohne sein seine sich sie sind so soll \
    über um und uns unter vom von vor war waren warum was welche welchem welchen welcher welches wem wen wenn wer werden wie \
    wieso wir wird wo woher wohin wurde wurden zu zum zur zwischen viele viel";

/// Words by the Unicode rules, cut further at ASCII punctuation, so that `identity.key` is found by either part.
struct Words {
    /// Makes a term of a word.
    word: TextAnalyzer,
    /// Terms of words that were met before: most of a text is few words.
    known: HashMap<String, String, foldhash::fast::RandomState>,
}

impl Clone for Words {
    /// Knows nothing as yet, since copies are made for single texts.
    fn clone(&self) -> Words {
        Words { word: self.word.clone(), known: HashMap::default() }
    }
}

impl Words {
    /// Writes the term of a word.
    fn term(&mut self, word: &str, into: &mut String) {
        into.clear();
        if let Some(term) = self.known.get(word) {
            return into.push_str(term);
        }
        if let Some(token) = self.word.token_stream(word).next() {
            into.push_str(&token.text);
        }
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        self.known.insert(word.to_owned(), into.clone());
    }
}

/// The words of a text and where they start.
enum Cut<'t> {
    /// In ASCII they are runs of letters and digits.
    Ascii {
        text: &'t str,
        at: usize,
    },
    Unicode {
        words: UnicodeWordIndices<'t>,
        start: usize,
        rest: &'t str,
    },
}

impl<'t> Cut<'t> {
    fn new(text: &'t str) -> Cut<'t> {
        match text.is_ascii() {
            true => Cut::Ascii { text, at: 0 },
            false => Cut::Unicode { words: text.unicode_word_indices(), start: 0, rest: "" },
        }
    }
}

impl<'t> Iterator for Cut<'t> {
    type Item = (usize, &'t str);

    fn next(&mut self) -> Option<(usize, &'t str)> {
        match self {
            Cut::Ascii { text, at } => {
                let bytes = text.as_bytes();
                let from = *at + bytes.get(*at..)?.iter().position(u8::is_ascii_alphanumeric)?;
                let length = bytes[from..].iter().position(|byte| !byte.is_ascii_alphanumeric());
                *at = length.map_or(bytes.len(), |length| from + length);
                Some((from, &text[from..*at]))
            }
            Cut::Unicode { words, start, rest } => {
                let inside = |c: char| c.is_alphanumeric() || (!c.is_ascii() && c != '\u{2019}');
                loop {
                    if let Some(from) = rest.find(inside) {
                        let part = &rest[from..];
                        let part = &part[..part.find(|c| !inside(c)).unwrap_or(part.len())];
                        let found = (*start + from, part);
                        (*start, *rest) = (*start + from + part.len(), &rest[from + part.len()..]);
                        return Some(found);
                    }
                    (*start, *rest) = words.next()?;
                }
            }
        }
    }
}

struct WordStream<'a> {
    words: &'a mut Words,
    cut: Cut<'a>,
    token: Token,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream<'a> {
        WordStream { words: self, cut: Cut::new(text), token: Token::default() }
    }
}

impl TokenStream for WordStream<'_> {
    fn advance(&mut self) -> bool {
        let Some((from, part)) = self.cut.find(|(_, part)| part.len() <= LONGEST_WORD) else { return false };
        // Accents written as marks of their own count as little as accents do.
        let is_mark = |c: char| ('\u{300}'..='\u{36f}').contains(&c);
        let token = &mut self.token;
        match !part.is_ascii() && part.contains(is_mark) {
            true => self.words.term(&part.replace(is_mark, ""), &mut token.text),
            false => self.words.term(part, &mut token.text),
        }
        (token.offset_from, token.offset_to) = (from, from + part.len());
        // Before the first it is -1.
        token.position = token.position.wrapping_add(1);
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(language: Language, text: &str) -> Vec<String> {
        Analyzer::new(language).terms(text).into_iter().map(|term| term.text).collect()
    }

    #[test]
    fn the_parts_of_a_file_name_are_words() {
        assert_eq!(
            terms(Language::English, "the `identity.key` of a_node-2"),
            ["the", "ident", "key", "of", "a", "node", "2"]
        );
    }

    #[test]
    fn forms_of_a_word_are_one_term_in_its_language() {
        assert_eq!(terms(Language::English, "answers Answered answering"), ["answer"; 3]);
        assert_eq!(terms(Language::German, "Häuser Hauser"), ["haus", "haus"]);
    }

    #[test]
    fn ascii_is_cut_as_unicode_is() {
        let texts = ["a_b-c.d e:f 1.5 3,14 x'y _ __ don't #5 a..b", "  ", "", "v2.0.1/(x)", "\u{7f}a\u{0}b\r\nc"];
        for text in texts {
            let unicode = Cut::Unicode { words: text.unicode_word_indices(), start: 0, rest: "" };
            assert_eq!(Cut::new(text).collect::<Vec<_>>(), unicode.collect::<Vec<_>>(), "{text:?}");
        }
    }

    #[test]
    fn accents_count_the_same_however_they_are_written() {
        assert_eq!(terms(Language::French, "été"), terms(Language::French, "e\u{301}te\u{301}"));
    }

    #[test]
    fn scripts_without_spaces_are_cut_by_character() {
        assert_eq!(terms(Language::English, "東京都"), ["東", "京", "都"]);
    }

    #[test]
    fn terms_know_where_they_stand() {
        let text = "»Größe« des Knotens";
        for term in Analyzer::new(Language::German).terms(text) {
            assert!(!text[term.range].contains(' '));
        }
    }
}
