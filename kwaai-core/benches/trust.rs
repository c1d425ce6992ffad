//! The figures of `make bench-trust`: what threats do, and how fast credentials are checked and peers scored. Prints one JSON object.
//!
//! `trust threats SEED SEEDS` simulates; `trust speed` measures in this process; `trust verify` measures one round of
//! credential verification, to be run in turn with another implementation's.

#[path = "../tests/trust_score/simulation.rs"]
mod simulation;

use std::sync::Arc;
use std::time::Instant;

use kwaai_core::clock::{ManualClock, SystemClock};
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::store::Store;
use kwaai_core::trust::propagation::EigenTrust;
use kwaai_core::trust::{CredentialType, TrustGraph, endorsed_score, worth};
use serde_json::{Map, Value, json};
use simulation::{Choice, MALICIOUS, Metric, Network, Random, Threat};

const SUBJECTS: usize = 10_000;
const PER_SUBJECT: usize = 10;

fn did(number: u64) -> Did {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    Keypair::from_seed(seed).did().unwrap()
}

fn milliseconds<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let start = Instant::now();
    let value = work();
    (start.elapsed().as_secs_f64() * 1000.0, value)
}

/// Credentials of about 1.6 kB, as the measure asks for, by twenty issuers in turn, each about somebody else.
async fn credentials(count: usize) -> Vec<String> {
    let clock: Arc<SystemClock> = Arc::new(SystemClock);
    let issuers: Vec<TrustGraph> = (0..20)
        .map(|seed| {
            let signer = Keypair::from_seed([seed; 32]).signer().unwrap();
            TrustGraph::open(Store::in_memory().unwrap(), signer, clock.clone()).unwrap()
        })
        .collect();
    let claims: Map<String, Value> =
        (0..11).map(|number| (format!("claim{number:02}"), Value::String("0123456789".repeat(6)))).collect();
    let mut texts = Vec::with_capacity(count);
    for (number, issuer) in (0..count).zip(issuers.iter().cycle()) {
        let credential = issuer.issue(CredentialType::Uptime, did(number as u64), claims.clone(), None).await;
        texts.push(credential.unwrap().to_json());
    }
    texts
}

async fn verify() -> Value {
    let dir = tempfile::tempdir().unwrap();
    let graph = TrustGraph::open_dir(dir.path()).unwrap();
    let texts = credentials(2_000).await;
    let (ms, ()) = milliseconds(|| texts.iter().for_each(|text| drop(graph.verify(text).unwrap())));
    let message = [5u8; 64];
    let signer = Keypair::from_seed([3; 32]).signer().unwrap();
    let signature = signer.sign(&message).await.unwrap();
    let key = signer.did();
    let (raw, ()) = milliseconds(|| texts.iter().for_each(|_| assert!(key.verify(&message, &signature))));
    let per_second = |ms: f64| texts.len() as f64 / ms * 1000.0;
    json!({"bytes": texts[0].len(), "per_second": per_second(ms), "raw_per_second": per_second(raw)})
}

async fn speed() -> Value {
    let dir = tempfile::tempdir().unwrap();
    let now = "2026-06-01T00:00:00Z";
    let clock: ManualClock = now.parse().unwrap();
    let subjects: Vec<Did> = (0..SUBJECTS as u64).map(did).collect();
    let store = Store::open(dir.path()).unwrap();
    let signer = Keypair::from_seed([1; 32]).signer().unwrap();
    let graph = TrustGraph::open(store.clone(), signer.clone(), Arc::new(clock.clone())).unwrap();
    let key = Keypair::from_seed([2; 32]).signer().unwrap();
    let issuer = TrustGraph::open(Store::in_memory().unwrap(), key, Arc::new(clock.clone())).unwrap();
    graph.trust_issuer(issuer.did(), &CredentialType::ALL).unwrap();
    for batch in subjects.chunks(100) {
        let mut texts = Vec::new();
        for subject in batch {
            for number in 0..PER_SUBJECT {
                let kind = CredentialType::ALL[number % 5];
                let claims = Map::from_iter([("number".to_string(), Value::from(number))]);
                let issued = match kind {
                    CredentialType::FiduciaryPledge => issuer.issue_revocable(kind, *subject, claims, None).await,
                    _ => issuer.issue(kind, *subject, claims, None).await,
                };
                texts.push(issued.unwrap().to_json());
            }
        }
        graph.import_all(&texts).await.unwrap();
    }
    for url in issuer.status_lists().unwrap() {
        let list = issuer.status_list(&issuer.did(), &url.to_string()).await.unwrap();
        graph.keep_status_list(&list).await.unwrap();
    }
    drop(graph);
    drop(store);
    let (open, graph) = milliseconds(|| {
        let store = Store::open(dir.path()).unwrap();
        TrustGraph::open(store, signer, Arc::new(clock)).unwrap()
    });
    let (first, _) = milliseconds(|| graph.score(&subjects[0]).unwrap());
    let mut scored: Vec<f64> = (0..7).map(|_| milliseconds(|| graph.scores(&subjects).unwrap()).0).collect();
    let cold = scored[0];
    scored.sort_by(f64::total_cmp);
    let score = graph.score(&subjects[1]).unwrap();
    assert_eq!(score.reasons.iter().filter(|reason| reason.counted && reason.share == 1.0).count(), PER_SUBJECT / 2);

    let mut random = Random(1);
    let peers = 50_000;
    let ratings: Vec<_> =
        (0..1_000_000).map(|_| (random.below(peers), random.below(peers), 1.0 + random.below(9) as f64)).collect();
    let mut pretrusted = vec![0.0; peers];
    pretrusted[..3].fill(1.0);
    let (fresh, mut trust) = milliseconds(|| EigenTrust::new(&ratings, &pretrusted, 0.1, 1e-9).unwrap());
    let mut updates: Vec<f64> = (0..7)
        .map(|_| {
            let change: Vec<_> =
                (0..100).map(|_| (random.below(peers), random.below(peers), random.below(10) as f64)).collect();
            milliseconds(|| trust.update(&change).unwrap().len()).0
        })
        .collect();
    updates.sort_by(f64::total_cmp);
    json!({
        "credentials": SUBJECTS * PER_SUBJECT, "open_ms": open, "first_score_ms": first, "peers": SUBJECTS,
        "scores_ms": scored[3], "scores_cold_ms": cold, "edges": 1_000_000, "graph_ms": fresh, "update_ms": updates[3],
    })
}

fn threats(first: u64, seeds: u64) -> Value {
    let rows = [
        ("A", Threat::Individuals { malicious: MALICIOUS }, false),
        ("B", Threat::Collective { malicious: MALICIOUS }, false),
        ("B 60 %", Threat::Collective { malicious: 63 }, false),
        ("C f=0.2", Threat::Camouflage { honest_share: 0.2 }, false),
        ("C f=0.5", Threat::Camouflage { honest_share: 0.5 }, false),
        ("C f=0.8", Threat::Camouflage { honest_share: 0.8 }, false),
        ("D 10 spies", Threat::Spies { spies: 10 }, false),
        ("D 25 spies", Threat::Spies { spies: 25 }, false),
        ("whitewash", Threat::Whitewash, false),
        ("slander", Threat::Slander, false),
        ("turncoats", Threat::Turncoats { cycles: 15 }, false),
        ("two-faced", Threat::TwoFaced, true),
        ("mimics", Threat::Mimics, false),
        ("accusers", Threat::Accusers, true),
        ("oscillators", Threat::Oscillators { cycles: 5 }, true),
        ("patient", Threat::PatientWhitewash, false),
        ("bait", Threat::Bait, false),
    ];
    let metrics = [
        ("none", Metric::Nothing, Choice::Greedy),
        ("paper", Metric::EigenTrust { alpha_percent: 10 }, Choice::Proportional),
        ("eigentrust_10", Metric::EigenTrust { alpha_percent: 10 }, Choice::Greedy),
        ("eigentrust_50", Metric::EigenTrust { alpha_percent: 50 }, Choice::Greedy),
        ("ours", Metric::Ours, Choice::Greedy),
        ("ours_bare", Metric::OursBare, Choice::Greedy),
    ];
    let rows: Vec<Value> = rows
        .into_iter()
        .map(|(name, threat, held_out)| {
            let mut row = Map::from_iter([("threat".into(), json!(name)), ("held_out".into(), json!(held_out))]);
            for (metric_name, metric, choice) in metrics {
                let runs: Vec<_> =
                    (first..first + seeds).map(|seed| Network::run(threat, metric, choice, seed)).collect();
                let mean = |share: &dyn Fn(&simulation::Outcomes) -> f64| {
                    runs.iter().map(share).sum::<f64>() / runs.len() as f64
                };
                row.insert(metric_name.into(), json!(mean(&|run| run.bad_share())));
                if metric == Metric::Ours {
                    row.insert("malicious".into(), json!(mean(&|run| run.malicious_share())));
                    row.insert("betrayals".into(), json!(mean(&|run| f64::from(run.betrayals))));
                    let worst = runs.iter().map(|run| run.bad_share()).fold(0.0, f64::max);
                    row.insert("worst".into(), json!(worst));
                }
            }
            Value::Object(row)
        })
        .collect();
    let edge = (worth(0.5, 1.0, 1), 1.0);
    let sybils = std::iter::repeat_n((worth(0.0, 1.0, 1), 1.0), 1_000_000);
    let gain = endorsed_score(std::iter::once(edge).chain(sybils)) / endorsed_score([edge]);
    let slander = [Threat::Slander, Threat::Accusers];
    let lowered = (first..first + seeds)
        .flat_map(|seed| {
            slander.map(|threat| Network::after(threat, Metric::Ours, Choice::Greedy, seed).0.moved_tiers())
        })
        .fold(0.0, f64::max);
    json!({"seeds": seeds, "rows": rows, "sybil_gain": gain, "slandered": lowered})
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let number = |place: usize, or: u64| arguments.get(place).and_then(|text| text.parse().ok()).unwrap_or(or);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let found = match arguments.first().map(String::as_str) {
        Some("threats") => threats(number(1, 0), number(2, 3)),
        Some("speed") => runtime.block_on(speed()),
        Some("verify") => runtime.block_on(verify()),
        _ => json!({"usage": "trust threats [FIRST SEED] [SEEDS] | trust speed | trust verify"}),
    };
    println!("{found}");
}
