//! What an audit of one's own collection says.

use kwaai_core::vpk::{Attack, AuditReport, CollectionConfig, Finding, Item, Mode};
use kwaai_core::{Config, ErrorCode, Node};

use crate::hosts::{self, GRACE, Host, Random, config, names};

const DIMENSION: usize = 16;

/// Vectors of different lengths around a few centres, with a text each that nobody else writes.
fn items(count: u64, dimension: usize) -> Vec<Item> {
    let mut random = Random(0xa0d17);
    let mut wide = || (0..dimension / hosts::DIMENSION).flat_map(|_| random.vector()).collect::<Vec<f32>>();
    let centres: Vec<Vec<f32>> = (0..5).map(|_| wide()).collect();
    (0..count)
        .map(|id| {
            let length = 1.0 + (id % 13) as f32;
            let near = wide().into_iter().zip(&centres[id as usize % centres.len()]);
            let vector = near.map(|(noise, centre)| (noise + centre) * length).collect();
            Item::new(id, vector).with_payload(format!("canary-{id:04}-of-the-audit"))
        })
        .collect()
}

async fn audit(mode: Mode, count: u8, vectors: u64, dimension: usize) -> AuditReport {
    let owner = Node::start(Config::default()).await.unwrap();
    let hosts = Host::several(count, &owner).await;
    let wide = CollectionConfig { dimension, ..config(mode, names(&hosts)) };
    let notes = owner.vpk().create("notes", wide).await.unwrap();
    let all = items(vectors, dimension);
    for part in all.chunks(all.len() / 2) {
        notes.upsert(part.to_vec()).await.unwrap();
        notes.flush().await.unwrap();
    }
    let report = owner.vpk().audit("notes").await.unwrap();
    assert_eq!((report.mode, report.vectors), (mode, vectors as usize));
    let audited: Vec<_> = report.hosts.iter().map(|host| host.host).collect();
    assert_eq!(audited, names(&hosts));
    owner.shutdown(GRACE).await.unwrap();
    report
}

fn of(findings: &[Finding], attack: Attack) -> &Finding {
    findings.iter().find(|finding| finding.attack == attack).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sealed_or_shared_tells_nothing_while_the_same_attacks_undo_the_copies_that_must_fall() {
    // Short vectors, and some as long as those of texts, of which the attacker knows enough for a rotation to fall.
    for (mode, hosts, vectors, dimension) in
        [(Mode::Seal, 1, 400, DIMENSION), (Mode::Split, 3, 400, DIMENSION), (Mode::Seal, 1, 900, 384)]
    {
        let report = audit(mode, hosts, vectors, dimension).await;
        assert!(report.is_meaningful() && report.is_hidden(), "{report:#?}");
        for attack in Attack::ALL {
            let control = of(&report.control, attack);
            assert!(control.trials >= 64 && control.share() >= 0.9, "{mode}: {control:?}");
            for host in &report.hosts {
                let finding = of(&host.findings, attack);
                assert!(finding.trials >= 64 && finding.share() <= 3.0 * finding.chance, "{mode}: {finding:?}");
            }
        }
        assert!(report.hosts[0].bytes > vectors as usize * dimension * 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_host_can_read_it_is_said_to_read() {
    let report = audit(Mode::Plain, 1, 400, DIMENSION).await;
    assert!(report.is_meaningful() && !report.is_hidden());
    let findings = &report.hosts[0].findings;
    for attack in [Attack::KnownPairs, Attack::Reuse, Attack::Membership] {
        assert!(of(findings, attack).share() >= 0.9, "{findings:?}");
    }
    // The vectors lie there in the clear, the texts do not, and how long they were stays with the owner.
    let dictionary = of(findings, Attack::Dictionary);
    assert_eq!((dictionary.trials, dictionary.hits), (128, 64));
    assert!(of(findings, Attack::Scale).is_at_chance());
}

#[tokio::test(flavor = "multi_thread")]
async fn too_few_vectors_to_guess_at_are_refused() {
    let owner = Node::start(Config::default()).await.unwrap();
    let hosts = Host::several(1, &owner).await;
    let wide = CollectionConfig { dimension: DIMENSION, ..config(Mode::Seal, names(&hosts)) };
    let notes = owner.vpk().create("notes", wide).await.unwrap();
    notes.upsert(items(100, DIMENSION)).await.unwrap();
    let error = owner.vpk().audit("notes").await.unwrap_err();
    assert_eq!((error.code(), error.context()["found"].as_str()), (ErrorCode::InvalidArgument, "0"), "{error}");
    assert_eq!(owner.vpk().audit("other").await.unwrap_err().code(), ErrorCode::NotFound);
    owner.shutdown(GRACE).await.unwrap();
}
