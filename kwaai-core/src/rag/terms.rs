//! From text to search terms: the same for documents, queries and answers.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use tantivy::tokenizer::{AsciiFoldingFilter, LowerCaser, Stemmer, TextAnalyzer, Token, TokenStream, Tokenizer};
use unicode_segmentation::UnicodeSegmentation;

/// Longer words are not words: encoded data, mostly.
const LONGEST_WORD: usize = 100;

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
        let chain =
            TextAnalyzer::builder(Words).filter(LowerCaser).filter(language.stemmer()).filter(AsciiFoldingFilter);
        Analyzer(chain.build())
    }

    /// Words as names are compared: in lower case and without accents, in whatever form they stand.
    pub fn of_names() -> Analyzer {
        Analyzer(TextAnalyzer::builder(Words).filter(LowerCaser).filter(AsciiFoldingFilter).build())
    }

    /// What tantivy is to use for this text.
    pub fn tantivy(&self) -> TextAnalyzer {
        self.0.clone()
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

fn is_common(word: &str) -> bool {
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
#[derive(Clone)]
struct Words;

struct WordStream {
    tokens: Vec<Token>,
    next: usize,
}

impl Tokenizer for Words {
    type TokenStream<'a> = WordStream;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> WordStream {
        let mut tokens = Vec::new();
        let inside = |c: char| c.is_alphanumeric() || (!c.is_ascii() && c != '\u{2019}');
        for (start, word) in text.unicode_word_indices() {
            let mut rest = 0;
            for part in word.split(|c| !inside(c)) {
                let from = start + rest;
                rest += part.len();
                let next = word[rest..].chars().next().map_or(0, char::len_utf8);
                rest += next;
                if part.is_empty() || part.len() > LONGEST_WORD {
                    continue;
                }
                // Accents written as marks of their own count as little as accents do.
                let plain = part.chars().filter(|c| !('\u{300}'..='\u{36f}').contains(c)).collect();
                let position = tokens.len();
                let offset_to = from + part.len();
                tokens.push(Token { offset_from: from, offset_to, position, text: plain, position_length: 1 });
            }
        }
        WordStream { tokens, next: 0 }
    }
}

impl TokenStream for WordStream {
    fn advance(&mut self) -> bool {
        self.next += 1;
        self.next <= self.tokens.len()
    }

    fn token(&self) -> &Token {
        &self.tokens[self.next - 1]
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.tokens[self.next - 1]
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
