//! The questions are fit to learn from, and what is held out stays unseen.

use std::collections::BTreeSet;

use kwaainet_models::questions::{Questions, bare};

fn questions() -> Questions {
    Questions::built_in().unwrap()
}

#[test]
fn there_are_enough_pairs_and_each_has_enough_paraphrases() {
    let questions = questions();
    assert!(questions.pairs.len() >= 110, "{} pairs", questions.pairs.len());
    for pair in &questions.pairs {
        assert!(pair.paraphrases.len() >= 4, "{:?} has {} paraphrases", pair.question, pair.paraphrases.len());
    }
}

#[test]
fn no_question_is_asked_twice_and_no_answer_serves_two_pairs() {
    let questions = questions();
    let (mut asked, mut answers) = (BTreeSet::new(), BTreeSet::new());
    for pair in &questions.pairs {
        assert!(answers.insert(&pair.answer), "two pairs answer {:?}", pair.answer);
        for question in std::iter::once(&pair.question).chain(&pair.paraphrases) {
            // An error's code and its words (permission_denied, permission denied) are two ways to ask.
            let spelled = question.trim_end_matches(['?', '.', '!']).to_lowercase();
            assert!(asked.insert(spelled), "{question:?} is asked twice");
        }
    }
}

#[test]
fn answers_are_one_or_two_clean_sentences() {
    for pair in questions().pairs {
        let answer = &pair.answer;
        assert!(answer.ends_with(['.', '!']), "{answer:?} does not end");
        assert!(answer.starts_with(|first: char| first.is_alphabetic()), "{answer:?} begins oddly");
        assert!(answer.chars().count() <= 160, "{answer:?} is long");
        assert_eq!(answer.trim(), answer);
        assert!(answer.is_ascii() && !answer.contains("  "), "{answer:?} has odd characters");
        assert!(answer.matches(". ").count() <= 1, "{answer:?} has more than two sentences");
    }
}

#[test]
fn a_fifth_of_the_paraphrases_is_held_out_the_same_fifth_each_time() {
    let questions = questions();
    let paraphrases: usize = questions.pairs.iter().map(|pair| pair.paraphrases.len()).sum();
    assert_eq!(questions.held_out.len(), paraphrases / 5);
    assert_eq!(questions.training.len() + questions.held_out.len(), questions.pairs.len() + paraphrases);
    assert_eq!(questions.held_out, self::questions().held_out);
    let training: BTreeSet<String> = questions.training.iter().map(|example| bare(&example.question)).collect();
    for example in &questions.held_out {
        assert!(!training.contains(&bare(&example.question)), "{:?} is in both parts", example.question);
    }
}

#[test]
fn a_broken_line_is_named() {
    let error = Questions::parse("\n{\"question\": 1}\n").unwrap_err();
    assert!(error.to_string().contains("line 2"), "{error}");
}
