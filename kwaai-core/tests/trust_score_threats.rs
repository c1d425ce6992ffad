//! How many bad answers get through when many peers are malicious. `make bench-trust` prints the whole table, with more
//! seeds and beside EigenTrust.

#[path = "support/shared.rs"]
mod shared;
#[path = "trust_score/simulation.rs"]
mod simulation;

use simulation::{Choice, MALICIOUS, Metric, Network, Outcomes, Threat};

fn runs(threat: Threat, metric: Metric) -> Vec<Outcomes> {
    (0..1).map(|seed| Network::run(threat, metric, Choice::Greedy, seed)).collect()
}

fn mean(runs: &[Outcomes], share: impl Fn(&Outcomes) -> f64) -> f64 {
    runs.iter().map(share).sum::<f64>() / runs.len() as f64
}

/// At most `bar` of the answers are bad, and never a point more than without any trust.
fn holds(threat: Threat, bar: f64) {
    let ours = mean(&runs(threat, Metric::Ours), Outcomes::bad_share);
    let none = mean(&runs(threat, Metric::Nothing), Outcomes::bad_share);
    println!("{threat:?}: {ours:.3} bad answers, {none:.3} without trust");
    assert!(ours <= bar && ours <= none + 0.01, "{threat:?}: {ours:.3} bad answers, {none:.3} without trust");
}

#[test]
fn at_most_eight_percent_of_answers_are_bad_under_threats_a_and_b() {
    holds(Threat::Individuals { malicious: MALICIOUS }, 0.08);
    holds(Threat::Collective { malicious: MALICIOUS }, 0.08);
}

#[test]
fn at_most_ten_percent_are_bad_under_camouflage() {
    for honest_share in [0.2, 0.5, 0.8] {
        holds(Threat::Camouflage { honest_share }, 0.10);
    }
}

#[test]
fn at_most_fifteen_percent_are_bad_where_nobody_has_credentials() {
    for threat in [Threat::Camouflage { honest_share: 0.8 }, Threat::Whitewash] {
        let bare = mean(&runs(threat, Metric::OursBare), Outcomes::bad_share);
        assert!(bare <= 0.15, "{threat:?}: {bare:.3}");
    }
}

#[test]
fn at_most_ten_percent_are_bad_with_spies() {
    for spies in [10, 25] {
        holds(Threat::Spies { spies }, 0.10);
    }
}

#[test]
fn whitewashers_get_at_most_two_percent_of_the_traffic() {
    let share = mean(&runs(Threat::Whitewash, Metric::Ours), Outcomes::malicious_share);
    assert!(share <= 0.02, "{share:.3}");
}

#[test]
fn whitewashers_that_first_earn_a_name_get_at_most_five_percent() {
    let share = mean(&runs(Threat::PatientWhitewash, Metric::Ours), Outcomes::malicious_share);
    assert!(share <= 0.05, "{share:.3}");
    holds(Threat::PatientWhitewash, 0.08);
}

#[test]
fn peers_right_to_each_asker_once_and_wrong_after_do_less_harm_than_without_trust() {
    holds(Threat::Bait, 0.10);
}

#[test]
fn forty_percent_slanderers_who_serve_well_lower_at_most_one_percent_of_honest_tiers() {
    for threat in [Threat::Slander, Threat::Accusers] {
        for seed in 0..3 {
            let moved = Network::after(threat, Metric::Ours, Choice::Greedy, seed).0.moved_tiers();
            println!("{threat:?}, seed {seed}: {moved:.4} of honest tiers lowered by slander");
            assert!(moved <= 0.01, "{threat:?}, seed {seed}: {moved:.4}");
        }
    }
}

#[test]
fn peers_that_repeat_what_everybody_says_do_not_get_their_own_kind_praised() {
    holds(Threat::Mimics, 0.10);
}

#[test]
fn threats_that_nothing_was_tuned_on_do_little_harm() {
    holds(Threat::TwoFaced, 0.10);
    holds(Threat::Slander, 0.08);
    holds(Threat::Accusers, 0.10);
    holds(Threat::Oscillators { cycles: 5 }, 0.10);
}

#[test]
fn peers_that_turn_bad_all_at_once_do_less_harm_than_without_trust() {
    holds(Threat::Turncoats { cycles: 15 }, 0.20);
}

#[test]
fn eigentrust_with_the_papers_choice_is_misled_by_spies_and_camouflage() {
    // The figures that make the case for agreement with own experience; see docs/trust.md.
    for threat in [Threat::Spies { spies: 25 }, Threat::Camouflage { honest_share: 0.5 }] {
        let run = Network::run(threat, Metric::EigenTrust { alpha_percent: 10 }, Choice::Proportional, 0);
        assert!(run.bad_share() > 0.2, "{threat:?}: {:.3}", run.bad_share());
    }
}

#[test]
fn no_more_gets_through_than_in_the_recorded_simulation() {
    let Some(path) = shared::shared("vectors/eigentrust/threat-simulation-results.json") else { return };
    let recorded: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    for (name, threat) in [
        ("B, 40%", Threat::Collective { malicious: MALICIOUS }),
        ("B, 60%", Threat::Collective { malicious: 63 }),
        ("C, f=0.2", Threat::Camouflage { honest_share: 0.2 }),
        ("C, f=0.5", Threat::Camouflage { honest_share: 0.5 }),
        ("C, f=0.8", Threat::Camouflage { honest_share: 0.8 }),
        ("D, 10 spies of 42", Threat::Spies { spies: 10 }),
        ("D, 25 spies of 42", Threat::Spies { spies: 25 }),
    ] {
        let row = recorded["rows"].as_array().unwrap().iter().find(|row| row["threat"] == name).unwrap();
        let ours = mean(&runs(threat, Metric::Ours), Outcomes::bad_share);
        // One seed strays from the mean of three by less than a point where little gets through.
        assert!(ours <= row["local"].as_f64().unwrap() + 0.01, "{name}: {ours:.3}");
    }
}
