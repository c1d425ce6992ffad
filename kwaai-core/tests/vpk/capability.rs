//! What others than its owner may do with a collection, and what nobody may.

use std::collections::BTreeSet;

use jiff::Timestamp;
use kwaai_core::clock::Clock;
use kwaai_core::vpk::{
    Call, Capability, CollectionId, Depot, DepotPolicy, Grant, KeptManifest, MAX_CAPABILITY_LIFETIME, MAX_LINKS, Mode,
    Request, Right, Room,
};
use kwaai_core::{Error, ErrorCode};

use proptest::prelude::*;

use crate::desk::{HOST, Tenant, clock, depot, depot_within, did, send};
use crate::statement::{broken, forged, key, rule};
use crate::world::Random;

const OWNER: u8 = 1;
const HOLDER: u8 = 2;
const OTHER: u8 = 3;

// Written by another implementation of JCS and Ed25519, from the description of the format.
const GOLDEN: &str = include_str!("../golden/vpk_capability.txt").trim_ascii_end();

fn now() -> Timestamp {
    clock().now()
}

fn later(days: i64) -> Timestamp {
    Timestamp::from_second(now().as_second() + days * 24 * 60 * 60).unwrap()
}

fn grant(holder: u8, rights: &[Right]) -> Grant {
    Grant {
        holder: did(holder),
        host: did(HOST),
        collection: CollectionId([OWNER; 16]),
        rights: rights.iter().copied().collect(),
        quota: None,
        expires: later(30),
    }
}

async fn issue(seed: u8, grant: Grant, id: u8) -> Result<Capability, Error> {
    Capability::issue(&*key(seed).signer().unwrap(), grant, [id; 16], now()).await
}

async fn attenuate(capability: &Capability, seed: u8, grant: Grant, id: u8) -> Result<Capability, Error> {
    capability.attenuate(&*key(seed).signer().unwrap(), grant, [id; 16], now()).await
}

fn request(capability: Option<&str>, call: Call) -> Request {
    Request { collection: CollectionId([OWNER; 16]), capability: capability.map(str::to_owned), call }
}

fn with(depot: &Depot, caller: u8, capability: &Capability, call: Call) -> Result<Vec<u8>, Error> {
    send(depot, did(caller), &request(Some(capability.as_str()), call))
}

#[tokio::test]
async fn the_bytes_of_a_capability_are_fixed() {
    let own = Grant { quota: Some(1_000_000), ..grant(HOLDER, &[Right::Search, Right::Append]) };
    let first = issue(OWNER, own.clone(), 7).await.unwrap();
    let part = Grant { quota: Some(0), expires: later(14), ..grant(OTHER, &[Right::Search]) };
    let second = attenuate(&first, HOLDER, part.clone(), 8).await.unwrap();
    assert_eq!(second.as_str(), GOLDEN);
    let read = Capability::read(GOLDEN).unwrap();
    assert_eq!(read, second);
    assert_eq!((read.owner(), read.grant(), read.id()), (did(OWNER), &part, [8; 16]));
    assert_eq!(Capability::read(GOLDEN.lines().next().unwrap()).unwrap(), first);
}

#[tokio::test]
async fn a_capability_allows_what_it_says_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(dir.path());
    let mut tenant = Tenant::new(OWNER, Mode::Plain);
    tenant.create(&depot);
    tenant.put(&depot, 10, 1);
    tenant.call(&depot, 0, Call::PutPayload([1; 16], b"sealed".to_vec())).unwrap();
    let query = tenant.owner.quantizer().quantize(&[1.0; 12]).unwrap().values;
    let question = || Call::Ask(tenant.owner.ask(&query, &tenant.segments).unwrap().parts.swap_remove(0));

    let search = issue(OWNER, grant(HOLDER, &[Right::Search]), 1).await.unwrap();
    with(&depot, HOLDER, &search, question()).unwrap();
    with(&depot, HOLDER, &search, Call::Describe).unwrap();
    for call in [Call::FetchPayload([1; 16]), Call::ReadManifest, Call::PutPayload([2; 16], vec![])] {
        let error = with(&depot, HOLDER, &search, call);
        assert_eq!(rule(error), broken(ErrorCode::PermissionDenied, "rights"));
    }
    let read = issue(OWNER, grant(HOLDER, &[Right::Read]), 2).await.unwrap();
    assert_eq!(with(&depot, HOLDER, &read, Call::FetchPayload([1; 16])).unwrap(), b"sealed");
    let manifest = with(&depot, HOLDER, &read, Call::ReadManifest).unwrap();
    assert_eq!(KeptManifest::read(&manifest).unwrap().number, 0);
    assert_eq!(rule(with(&depot, HOLDER, &read, question())), broken(ErrorCode::PermissionDenied, "rights"));

    let append = issue(OWNER, Grant { quota: Some(3000), ..grant(HOLDER, &[Right::Append]) }, 3).await.unwrap();
    let small = Grant { quota: Some(2000), ..grant(OTHER, &[Right::Append]) };
    let handed_on = attenuate(&append, HOLDER, small, 4).await.unwrap();
    let before = Room::read(&tenant.call(&depot, 0, Call::Health).unwrap()).unwrap().used;
    with(&depot, OTHER, &handed_on, Call::PutPayload([3; 16], vec![7; 1000])).unwrap();
    // The owner pays; what is kept of a capability is charged too.
    let after = Room::read(&tenant.call(&depot, 0, Call::Health).unwrap()).unwrap().used;
    assert!(after >= before + 1000);
    let error = with(&depot, OTHER, &handed_on, Call::PutPayload([4; 16], vec![7; 1000])).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ResourceExhausted);
    assert_eq!(error.context()["limit"], "2000");
    with(&depot, HOLDER, &append, Call::PutPayload([5; 16], vec![7; 1000])).unwrap();
    let error = with(&depot, HOLDER, &append, Call::PutPayload([6; 16], vec![7; 1000])).unwrap_err();
    assert_eq!(error.context()["limit"], "3000", "what was handed on counts");
    let replaced = with(&depot, HOLDER, &append, Call::PutPayload([1; 16], vec![1])).unwrap_err();
    assert_eq!(replaced.code(), ErrorCode::AlreadyExists);

    let all = issue(OWNER, grant(HOLDER, &[Right::Search, Right::Read, Right::Append]), 5).await.unwrap();
    let stamp = tenant.segments[0];
    for call in [
        Call::Create { mode: Mode::Plain, dimension: 3 },
        Call::RemoveSegment(stamp),
        Call::RemovePayload([1; 16]),
        Call::ReplaceManifest(0, vec![1]),
        Call::Delete,
        Call::List,
        Call::Health,
        Call::Revoke([5; 16], 0),
    ] {
        let error = with(&depot, HOLDER, &all, call);
        assert_eq!(rule(error), broken(ErrorCode::PermissionDenied, "rights"));
    }
}

#[tokio::test]
async fn revoking_a_line_ends_it_and_what_was_handed_on_also_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let first = issue(OWNER, grant(HOLDER, &[Right::Search]), 1).await.unwrap();
    let other = issue(OWNER, grant(HOLDER, &[Right::Search]), 2).await.unwrap();
    let handed_on = attenuate(&first, HOLDER, grant(OTHER, &[Right::Search]), 3).await.unwrap();
    {
        let depot = depot(dir.path());
        let tenant = Tenant::new(OWNER, Mode::Plain);
        tenant.create(&depot);
        with(&depot, OTHER, &handed_on, Call::Describe).unwrap();
        tenant.call(&depot, 0, Call::Revoke(first.id(), first.grant().expires.as_second())).unwrap();
    }
    let depot = depot(dir.path());
    let revoked = broken(ErrorCode::PermissionDenied, "revoked");
    assert_eq!(rule(with(&depot, HOLDER, &first, Call::Describe)), revoked);
    assert_eq!(rule(with(&depot, OTHER, &handed_on, Call::Describe)), revoked);
    with(&depot, HOLDER, &other, Call::Describe).unwrap();
}

#[tokio::test]
async fn an_owner_can_revoke_when_the_quota_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let policy = DepotPolicy { tenant_bytes: 4096, ..DepotPolicy::of(1 << 20) };
    let depot = depot_within(dir.path(), policy);
    let tenant = Tenant::new(OWNER, Mode::Plain);
    tenant.create(&depot);
    let append = issue(OWNER, grant(HOLDER, &[Right::Append]), 1).await.unwrap();
    let mut put = 0;
    while with(&depot, HOLDER, &append, Call::PutPayload([put; 16], vec![7; 10])).is_ok() {
        put += 1;
    }
    assert!(put > 10, "{put}");
    let full = tenant.call(&depot, 0, Call::PutPayload([200; 16], vec![7; 10])).unwrap_err();
    assert_eq!(full.code(), ErrorCode::ResourceExhausted);
    tenant.call(&depot, 0, Call::Revoke(append.id(), later(30).as_second())).unwrap();
    tenant.call(&depot, 0, Call::RemovePayload([0; 16])).unwrap();
    let revoked = broken(ErrorCode::PermissionDenied, "revoked");
    assert_eq!(rule(with(&depot, HOLDER, &append, Call::PutPayload([0; 16], vec![7; 10]))), revoked);
}

#[tokio::test]
async fn a_holder_who_hands_on_again_and_again_can_be_revoked_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(dir.path());
    let tenant = Tenant::new(OWNER, Mode::Plain);
    tenant.create(&depot);
    let append = issue(OWNER, grant(HOLDER, &[Right::Append]), 1).await.unwrap();
    let mut put = 0u32;
    let refused = loop {
        let part = Grant { quota: Some(1 << 20), ..grant(OTHER, &[Right::Append]) };
        let signer = key(HOLDER).signer().unwrap();
        let id = std::array::from_fn(|at| (put >> (8 * (at % 4))) as u8 ^ 0x55);
        let handed_on = append.attenuate(&*signer, part, id, now()).await.unwrap();
        let mut name = [9; 16];
        name[..4].copy_from_slice(&put.to_le_bytes());
        match with(&depot, OTHER, &handed_on, Call::PutPayload(name, Vec::new())) {
            Ok(_) => put += 1,
            Err(error) => break error,
        }
    };
    assert_eq!((put, refused.code()), (1024, ErrorCode::ResourceExhausted));
    tenant.call(&depot, 0, Call::Revoke(append.id(), later(30).as_second())).unwrap();
    let revoked = broken(ErrorCode::PermissionDenied, "revoked");
    assert_eq!(rule(with(&depot, HOLDER, &append, Call::PutPayload([7; 16], Vec::new()))), revoked);
}

#[tokio::test]
async fn nobody_hands_on_more_than_it_has() {
    let own = Grant { quota: Some(100), ..grant(HOLDER, &[Right::Search, Right::Append]) };
    let first = issue(OWNER, own.clone(), 1).await.unwrap();
    let within = Grant { holder: did(OTHER), ..own };
    let wider = [
        Grant { quota: Some(101), ..within.clone() },
        Grant { quota: None, ..within.clone() },
        Grant { expires: later(31), ..within.clone() },
        Grant { host: did(9), ..within.clone() },
        Grant { collection: CollectionId([9; 16]), ..within.clone() },
        Grant { rights: BTreeSet::from([Right::Search, Right::Read]), ..within.clone() },
    ];
    for grant in wider {
        let refused = attenuate(&first, HOLDER, grant, 2).await;
        assert_eq!(rule(refused), broken(ErrorCode::InvalidArgument, "attenuation"));
    }
    let chain = broken(ErrorCode::InvalidArgument, "chain");
    assert_eq!(rule(attenuate(&first, OTHER, within.clone(), 2).await), chain);
    let mut longest = attenuate(&first, HOLDER, within.clone(), 2).await.unwrap();
    for link in 2..MAX_LINKS {
        longest = attenuate(&longest, OTHER, within.clone(), link as u8 + 1).await.unwrap();
    }
    assert_eq!(Capability::read(longest.as_str()).unwrap(), longest);
    assert_eq!(rule(attenuate(&longest, OTHER, within, 9).await), chain);
    let nothing = issue(OWNER, grant(HOLDER, &[]), 1).await;
    assert_eq!(rule(nothing), broken(ErrorCode::InvalidArgument, "rights"));
    let days = MAX_CAPABILITY_LIFETIME.as_secs() as i64 / 86_400;
    for expires in [later(days + 1), later(0), later(-1)] {
        let refused = issue(OWNER, Grant { expires, ..grant(HOLDER, &[Right::Read]) }, 1).await;
        assert_eq!(rule(refused), broken(ErrorCode::InvalidArgument, "lifetime"));
    }
}

proptest! {
    #[test]
    fn fuzz_a_changed_capability_is_refused(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
        kind in 0usize..4,
    ) {
        let mut bytes = GOLDEN.as_bytes().to_vec();
        for (place, byte) in changes {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let cut = cut.index(bytes.len());
        match kind {
            0 => bytes.truncate(cut),
            1 => bytes.extend_from_within(cut..),
            2 => bytes.insert(cut, b'\n'),
            _ => {}
        }
        // What is read after a change says the same, or is the owner's line alone.
        if let Ok(capability) = Capability::read(&String::from_utf8_lossy(&bytes)) {
            prop_assert_eq!(capability.owner(), did(OWNER));
            let golden = Capability::read(GOLDEN).unwrap();
            prop_assert!(capability.grant() == golden.grant() || capability.id() == [7; 16]);
        }
    }
}

/// One forged request: who sends it, and what it shows.
async fn forge(random: &mut Random, valid: &Capability, revoked: &Capability) -> (u8, Option<String>) {
    let lines: Vec<&str> = valid.as_str().lines().collect();
    let stranger = 4 + (random.next() % 200) as u8;
    let stranger = if stranger == HOST { 4 } else { stranger };
    let all = [Right::Search, Right::Read, Right::Append];
    match random.next() % 12 {
        // Without a capability, it is asked for a collection of its own.
        0 => (stranger, None),
        // Somebody else's capability, as it was seen on its way.
        1 => (stranger, Some(valid.as_str().to_owned())),
        2 => (HOLDER, Some(valid.as_str().to_owned())),
        // In the owner's name, by another key.
        3 => (
            stranger,
            Some(
                forged(lines[0], stranger, |members| {
                    members.insert("holder".into(), did(stranger).to_string().into());
                })
                .await,
            ),
        ),
        // Of one's own making, for a collection of somebody else: it names the maker's, which there is not.
        4 => (OTHER, Some(issue(stranger, grant(OTHER, &all), 1).await.unwrap().as_str().to_owned())),
        5 => {
            let grant = Grant { host: did(stranger), ..grant(OTHER, &all) };
            (OTHER, Some(issue(OWNER, grant, 1).await.unwrap().as_str().to_owned()))
        }
        6 => {
            let grant = Grant { collection: CollectionId([stranger; 16]), ..grant(OTHER, &all) };
            (OTHER, Some(issue(OWNER, grant, 1).await.unwrap().as_str().to_owned()))
        }
        7 => {
            let ago = 2 + (random.next() % 300) as i64;
            let (signer, grant) =
                (key(OWNER).signer().unwrap(), Grant { expires: later(1 - ago), ..grant(OTHER, &all) });
            let expired = Capability::issue(&*signer, grant, [1; 16], later(-ago)).await.unwrap();
            (OTHER, Some(expired.as_str().to_owned()))
        }
        8 => (HOLDER, Some(revoked.as_str().to_owned())),
        // The last line without the first, after another, or for more.
        9 => (OTHER, Some(lines[1].to_owned())),
        10 => {
            let wider = forged(lines[1], HOLDER, |members| {
                members.insert("expires".into(), later(300).to_string().into());
            });
            (OTHER, Some(format!("{}\n{}", lines[0], wider.await)))
        }
        _ => {
            let mut text = valid.as_str().to_owned().into_bytes();
            let at = random.next() as usize % text.len();
            text[at] = b"0123456789abcdefz{}\" "[random.next() as usize % 21];
            let text = String::from_utf8(text).unwrap();
            // What says the same is no forgery.
            (OTHER, Some(if Capability::read(&text).is_ok() { "{}".into() } else { text }))
        }
    }
}

#[tokio::test]
async fn of_ten_thousand_forged_requests_none_is_accepted() {
    const TRIALS: usize = 10_000;
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(dir.path());
    let mut tenant = Tenant::new(OWNER, Mode::Plain);
    tenant.create(&depot);
    tenant.put(&depot, 10, 1);
    tenant.call(&depot, 0, Call::PutPayload([1; 16], b"sealed".to_vec())).unwrap();
    let query = tenant.owner.quantizer().quantize(&[1.0; 12]).unwrap().values;
    let question = tenant.owner.ask(&query, &tenant.segments).unwrap().parts.swap_remove(0);
    let segment = tenant.sealed(2, 2).1.swap_remove(0);
    let all = [Right::Search, Right::Read, Right::Append];
    let first = issue(OWNER, grant(HOLDER, &all), 1).await.unwrap();
    let valid = attenuate(&first, HOLDER, grant(OTHER, &all), 2).await.unwrap();
    let revoked = issue(OWNER, grant(HOLDER, &all), 3).await.unwrap();
    tenant.call(&depot, 0, Call::Revoke(revoked.id(), later(30).as_second())).unwrap();
    let calls = [
        Call::Ask(question.clone()),
        Call::Admit(Vec::new()),
        Call::FetchSegment(tenant.segments[0]),
        Call::FetchPayload([1; 16]),
        Call::ReadManifest,
        Call::Describe,
        Call::PutSegment(segment),
        Call::PutPayload([9; 16], b"forged".to_vec()),
        Call::RemoveSegment(tenant.segments[0]),
        Call::RemovePayload([1; 16]),
        Call::ReplaceManifest(0, b"forged".to_vec()),
        Call::Revoke([2; 16], i64::MAX),
        Call::Delete,
    ];
    let before = tenant.described(&depot, 0);
    let mut random = Random(0x5eed);
    let mut refusals = [0; 2];
    for trial in 0..TRIALS {
        let (caller, capability) = forge(&mut random, &valid, &revoked).await;
        let call = calls[random.next() as usize % calls.len()].clone();
        let error = send(&depot, did(caller), &request(capability.as_deref(), call.clone()))
            .expect_err(&format!("trial {trial}: {call:?} by {caller} with {capability:?}"));
        match error.code() {
            // A changed digit can make it a version to come.
            ErrorCode::PermissionDenied | ErrorCode::Unsupported => refusals[0] += 1,
            ErrorCode::NotFound => refusals[1] += 1,
            code => panic!("trial {trial}: {code}: {error}"),
        }
    }
    assert!(refusals[0] > TRIALS / 2 && refusals[1] > TRIALS / 10, "{refusals:?}");
    assert_eq!(tenant.described(&depot, 0), before);
    assert_eq!(depot.tenants().unwrap().len(), 1);
    // The same calls are accepted from whom they are allowed, so that the refusals mean something.
    for call in &calls[..6] {
        with(&depot, OTHER, &valid, call.clone()).unwrap();
    }
}
