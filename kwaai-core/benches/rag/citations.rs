//! Citations that hold and such that do not, made of the passages of a set.

use std::path::Path;

use kwaai_core::rag::{Calibration, check_citations};
use serde_json::{Value, json};

/// So many sources stand beside each other, as in an answer.
const SOURCES: usize = 6;
const TRIALS: usize = 1_000;
const SPLITS: usize = 200;
/// Shorter sentences stand in several passages.
const WORDS: usize = 8;

/// Xorshift: the same trials on every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 11) % limit as u64) as usize
    }
}

fn sentence(random: &mut Random, text: &str) -> Option<String> {
    let found: Vec<&str> = text
        .split_inclusive(['.', '!', '?', '\n'])
        .map(str::trim)
        .filter(|sentence| {
            sentence.split_whitespace().count() >= WORDS && !sentence.contains(['"', '“', '”', '„', '«', '»', '[', '…'])
        })
        .filter(|sentence| !sentence.contains("..."))
        .collect();
    (!found.is_empty()).then(|| found[random.below(found.len())].to_owned())
}

fn plain(text: &str) -> String {
    text.to_lowercase()
        .chars()
        .map(|c| if c.is_alphanumeric() { c } else { ' ' })
        .collect::<String>()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}

/// How many false citations of each kind are flagged, and how many true ones.
pub fn run(set: &Path) {
    let set: Value = serde_json::from_slice(&std::fs::read(set).unwrap()).unwrap();
    let passages: Vec<&str> =
        set["passages"].as_array().unwrap().iter().filter_map(|passage| passage["text"].as_str()).collect();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut counts: std::collections::BTreeMap<&str, (usize, usize)> = Default::default();
    let mut trials = 0;
    while trials < TRIALS {
        let sources: Vec<&str> = (0..SOURCES).map(|_| passages[random.below(passages.len())]).collect();
        let (own, other) = (random.below(SOURCES), random.below(SOURCES));
        let (Some(said), Some(beside)) = (sentence(&mut random, sources[own]), sentence(&mut random, sources[other]))
        else {
            continue;
        };
        // Where both say it, either may be cited.
        if own == other
            || plain(sources[other]).contains(&plain(&said))
            || plain(sources[own]).contains(&plain(&beside))
        {
            continue;
        }
        trials += 1;
        let (mine, others) = (own + 1, other + 1);
        let half = |sentence: &str, second: bool| -> String {
            let words: Vec<&str> = sentence.split_whitespace().collect();
            let (first, last) = words.split_at(words.len() / 2);
            (if second { last } else { first }).join(" ")
        };
        let stitched = format!("{} {}", half(&said, false), half(&beside, true));
        let mut changed: Vec<&str> = said.split_whitespace().collect();
        let at = random.below(changed.len());
        changed[at] = "zeppelin";
        let changed = changed.join(" ");
        let bare = said.trim_end_matches(['.', '!', '?']);
        for (kind, text, holds) in [
            ("quoted", format!("“{said}” [{mine}]"), true),
            ("taken over", format!("{bare} [{mine}]."), true),
            ("behind the full stop", format!("{said} [{mine}] {beside} [{others}]"), true),
            ("number of no source", format!("“{said}” [{}]", SOURCES + 1 + random.below(9)), false),
            ("number of another source, quoted", format!("“{said}” [{others}]"), false),
            ("number of another source, taken over", format!("{bare} [{others}]."), false),
            ("stitched", format!("“{stitched}” [{mine}]"), false),
            ("stitched, both cited", format!("“{stitched}” [{mine}][{others}]"), false),
            ("a word changed", format!("“{changed}” [{mine}]"), false),
        ] {
            let flagged = !check_citations(&text, &sources).is_empty();
            let count = counts.entry(kind).or_default();
            count.0 += usize::from(flagged);
            count.1 += 1;
            if flagged == holds {
                eprintln!("{kind}: {text}");
            }
        }
    }
    for (kind, (flagged, trials)) in counts {
        println!("{}", json!({"kind": kind, "flagged": flagged, "trials": trials}));
    }
}

/// The share of questions without an answer that get one, and of those with one: calibrated on random halves, measured on the others.
/// Standard input of `{"answerable": [support], "unanswerable": [support], "alpha": share}`.
pub fn conformal() {
    let given: Value = serde_json::from_reader(std::io::stdin()).unwrap();
    let list = |name: &str| -> Vec<f64> { given[name].as_array().unwrap().iter().filter_map(Value::as_f64).collect() };
    let (answerable, unanswerable, alpha) =
        (list("answerable"), list("unanswerable"), given["alpha"].as_f64().unwrap());
    let mut random = Random(42);
    let (mut wrong, mut right) = (0.0, 0.0);
    let mut halves = |all: &[f64]| -> (Vec<f64>, Vec<f64>) {
        let mut all = all.to_vec();
        for place in (1..all.len()).rev() {
            all.swap(place, random.below(place + 1));
        }
        let rest = all.split_off(all.len() / 2);
        (all, rest)
    };
    for _ in 0..SPLITS {
        let ((known, asked), (known_bad, asked_bad)) = (halves(&answerable), halves(&unanswerable));
        let threshold = Calibration::new(known, known_bad).unwrap().threshold(alpha).unwrap();
        let passing = |supports: &[f64]| {
            let passing = supports.iter().filter(|support| threshold.is_some_and(|threshold| **support > threshold));
            passing.count() as f64 / supports.len() as f64
        };
        wrong += passing(&asked_bad);
        right += passing(&asked);
    }
    let auroc = Calibration::new(answerable, unanswerable).unwrap().auroc();
    println!("{}", json!({"unsupported": wrong / SPLITS as f64, "answered": right / SPLITS as f64, "auroc": auroc}));
}
