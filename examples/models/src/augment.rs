//! Small seeded changes to a question, so that the model learns what is asked and not how it is spelled.

use crate::random::Random;

/// Words that are often left out.
const FILLERS: &[&str] = &[
    "a", "an", "the", "is", "are", "do", "does", "i", "to", "of", "for", "what", "which", "how", "can", "it", "there",
    "in", "please", "so", "my", "me", "its", "be", "any", "this", "that", "at", "with", "on",
];

/// Phrases of like meaning; each row is interchangeable.
const SYNONYMS: &[&[&str]] = &[
    &["how do i", "how can i", "how to", "how do you", "how does one", "how would i"],
    &["what is", "explain", "describe", "tell me about", "what's", "tell me what is", "define"],
    &["what are", "explain", "describe", "tell me about", "tell me what are"],
    &["which", "what"],
    &["list", "name", "show", "tell me", "give me"],
    &["purpose", "job", "use", "point"],
    &["meaning", "definition", "explanation"],
    &["mean", "stand for", "signify"],
    &["licence", "license"],
    &["needed", "required", "necessary"],
    &["need", "require"],
    &["supported", "available", "possible"],
    &["add", "put in", "insert"],
    &["remove", "delete", "drop"],
    &["start", "launch", "begin"],
    &["stop", "end", "shut down"],
    &["function", "call", "method"],
    &["kept", "stored", "saved"],
    &["keep", "store", "save"],
    &["happens", "occurs"],
    &["broken", "damaged", "corrupted"],
    &["get", "receive", "obtain"],
    &["change", "set", "modify"],
    &["app", "application", "program"],
    &["is it possible to", "can i", "may i", "am i able to"],
    &["how many", "what number of", "how much"],
    &["weigh", "count", "add"],
    &["worth", "counted"],
    &["weight", "value"],
    &["folder", "directory"],
    &["data", "files"],
    &["documents", "files"],
    &["by default", "out of the box", "at the start"],
    &["why do i get", "what does it mean when i get", "i got", "why"],
    &["does not", "doesn't"],
    &["is not", "isn't"],
    &["do not", "don't"],
    &["what if", "what happens when", "what happens if"],
    &["computed", "calculated"],
    &["everyone", "everybody", "all"],
    &["anyone", "anybody"],
    &["replace", "exchange", "swap"],
    &["use", "employ", "work with"],
];

const OPENINGS: &[&str] = &[
    "please tell me",
    "can you tell me",
    "could you tell me",
    "tell me",
    "i want to know",
    "i would like to know",
    "hey,",
    "please",
    "quick question:",
    "hello,",
    "in kwaainet,",
    "ok,",
    "and",
    "do you know",
    "please explain",
];
const CLOSINGS: &[&str] = &["please", "in kwaainet", "exactly", "then", "here", "again", "thanks"];

/// A variant of a question: synonyms, dropped and swapped words, an opening or a closing, another case or end.
pub fn vary(question: &str, random: &mut Random) -> String {
    let mut words: Vec<String> = question.split_whitespace().map(str::to_string).collect();
    if random.chance(0.5) {
        replace_synonym(&mut words, random);
    }
    if random.chance(0.35) {
        drop_words(&mut words, random);
    }
    if words.len() > 2 && random.chance(0.08) {
        let first = random.below(words.len() - 1);
        words.swap(first, first + 1);
    }
    if random.chance(0.12) {
        words.insert(0, pick(OPENINGS, random));
    }
    if random.chance(0.08) {
        words.push(pick(CLOSINGS, random));
    }
    respell(words.join(" "), random)
}

fn pick(choices: &[&str], random: &mut Random) -> String {
    choices[random.below(choices.len())].to_string()
}

fn plain(word: &str) -> String {
    word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
}

fn replace_synonym(words: &mut Vec<String>, random: &mut Random) {
    let plain: Vec<String> = words.iter().map(|word| plain(word)).collect();
    let mut found = Vec::new();
    for row in SYNONYMS {
        for phrase in *row {
            let phrase: Vec<&str> = phrase.split(' ').collect();
            for at in 0..=plain.len().saturating_sub(phrase.len()) {
                if plain[at..].len() >= phrase.len() && plain[at..at + phrase.len()] == phrase[..] {
                    found.push((at, phrase.len(), *row));
                }
            }
        }
    }
    if !found.is_empty() {
        let (at, length, row) = found[random.below(found.len())];
        words.splice(at..at + length, [pick(row, random)]);
    }
}

/// Fillers go often, other words seldom, and at least one word stays.
fn drop_words(words: &mut Vec<String>, random: &mut Random) {
    let keep: Vec<bool> = words
        .iter()
        .map(|word| !random.chance(if FILLERS.contains(&plain(word).as_str()) { 0.4 } else { 0.06 }))
        .collect();
    if keep.contains(&true) {
        let mut keep = keep.into_iter();
        words.retain(|_| keep.next().unwrap_or(true));
    }
}

fn respell(text: String, random: &mut Random) -> String {
    let mut text = text.trim_end_matches(['?', '.', '!', ',']).to_string();
    if random.chance(0.5) {
        text = text.to_lowercase();
    } else if random.chance(0.7) {
        let mut rest = text.chars();
        text = rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default();
    }
    match random.below(10) {
        0..4 => text.push('?'),
        4 => text.push('.'),
        _ => {}
    }
    text
}
