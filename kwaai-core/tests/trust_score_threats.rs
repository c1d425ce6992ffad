//! How many bad answers get through when many peers are malicious. `make bench-trust` prints the whole table.

#[path = "trust_score/simulation.rs"]
mod simulation;

use simulation::{Choice, MALICIOUS, Metric, Network, Threat};

fn bad_answers(threat: Threat, metric: Metric, seeds: std::ops::Range<u64>) -> f64 {
    let count = seeds.end - seeds.start;
    seeds.map(|seed| Network::run(threat, metric, Choice::Greedy, seed).bad_share()).sum::<f64>() / count as f64
}

#[test]
fn print() {
    for threat in [
        Threat::Individuals { malicious: MALICIOUS },
        Threat::Collective { malicious: MALICIOUS },
        Threat::Collective { malicious: 63 },
        Threat::Camouflage { honest_share: 0.2 },
        Threat::Camouflage { honest_share: 0.5 },
        Threat::Camouflage { honest_share: 0.8 },
        Threat::Spies { spies: 10 },
        Threat::Spies { spies: 25 },
        Threat::Whitewash,
        Threat::Slander,
    ] {
        let start = std::time::Instant::now();
        let n = bad_answers(threat, Metric::Nothing, 0..3);
        let e = bad_answers(threat, Metric::EigenTrust { alpha_percent: 50 }, 0..3);
        let mid = start.elapsed();
        let o = bad_answers(threat, Metric::Ours, 0..3);
        let m = (0..3).map(|s| Network::run(threat, Metric::Ours, Choice::Greedy, s).malicious_share()).sum::<f64>() / 3.0;
        println!("{threat:?}: none {n:.3} eigen {e:.3} ours {o:.3} malicious {m:.3} {mid:?} {:?}", start.elapsed());
    }
}
