//! Revocation and suspension through status lists: the published vectors, the issuer's side, the reader's side.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kwaai_core::clock::{Clock, ManualClock};
use kwaai_core::identity::{Did, Keypair};
use kwaai_core::store::Store;
use kwaai_core::trust::{
    Bitstring, Credential, CredentialType, DEFAULT_TTL, MAX_STATUS_LIST_BYTES, MIN_STATUS_ENTRIES, Status,
    StatusListUrl, StatusPurpose, Tier, TrustGraph, WantedStatusList, proof,
};
use kwaai_core::{Error, ErrorCode};
use serde_json::{Map, Value, json};

#[path = "support/shared.rs"]
mod shared;

const DAY: Duration = Duration::from_secs(86_400);

/// Counts what one thread holds, and the most that it ever held.
struct Counting;

thread_local! {
    static HELD: std::cell::Cell<(usize, usize)> = const { std::cell::Cell::new((0, 0)) };
}

fn count(change: impl Fn(usize) -> usize) {
    let _ = HELD.try_with(|held| {
        let (now, peak) = held.get();
        let now = change(now);
        held.set((now, peak.max(now)));
    });
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(|now| now.saturating_add(layout.size()));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(|now| now.saturating_sub(layout.size()));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The most bytes that `work` held at once beyond what was held before it.
fn peak_of<T>(work: impl FnOnce() -> T) -> (usize, T) {
    let before = HELD.with(|held| {
        let (now, _) = held.get();
        held.set((now, now));
        now
    });
    let value = work();
    (HELD.with(|held| held.get().1) - before, value)
}

/// Several nodes on one clock. Node `n` has the key of the seed `[n; 32]`.
struct World {
    clock: ManualClock,
}

impl World {
    fn new() -> World {
        World { clock: "2026-06-01T10:30:00Z".parse().unwrap() }
    }

    fn node(&self, seed: u8) -> TrustGraph {
        let signer = Keypair::from_seed([seed; 32]).signer().unwrap();
        TrustGraph::open(Store::in_memory().unwrap(), signer, Arc::new(self.clock.clone())).unwrap()
    }

    /// A credential that node 2 can withdraw, kept by node 1, which trusts node 2 for it.
    async fn withdrawable(&self) -> (TrustGraph, TrustGraph, Credential) {
        let (reader, issuer) = (self.node(1), self.node(2));
        let credential = issue(&issuer, CredentialType::FiduciaryPledge).await;
        reader.trust_issuer(issuer.did(), &[CredentialType::FiduciaryPledge]).unwrap();
        reader.import_credential(&credential.to_json()).await.unwrap();
        (reader, issuer, credential)
    }
}

fn did(seed: u8) -> Did {
    Keypair::from_seed([seed; 32]).did().unwrap()
}

async fn issue(issuer: &TrustGraph, kind: CredentialType) -> Credential {
    issuer.issue_revocable(kind, did(3), Map::new(), None).await.unwrap()
}

/// Hands every list that the reader wants from the issuer to the reader.
async fn fetch(reader: &TrustGraph, issuer: &TrustGraph) -> usize {
    let wanted = reader.wanted_status_lists().unwrap();
    for list in &wanted {
        assert_eq!(list.issuer, issuer.did());
        reader.keep_status_list(&issuer.status_list(&list.issuer, &list.url).await.unwrap()).await.unwrap();
    }
    wanted.len()
}

fn rule<T: std::fmt::Debug>(result: Result<T, Error>) -> (ErrorCode, String) {
    let error = result.unwrap_err();
    (error.code(), error.context().get("rule").cloned().unwrap_or_default())
}

fn url(purpose: StatusPurpose) -> String {
    StatusListUrl { issuer: did(2), purpose, number: 0 }.to_string()
}

fn packed(bytes: impl Iterator<Item = u8>) -> String {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let bytes: Vec<u8> = bytes.collect();
    gzip.write_all(&bytes).unwrap();
    format!("u{}", URL_SAFE_NO_PAD.encode(gzip.finish().unwrap()))
}

/// A bomb: the beginning of the gzip of so many megabytes of zeros, each packed as the second of them is.
fn bomb(megabytes: usize) -> String {
    let zeros = vec![0; 1 << 20];
    let mut deflate = flate2::Compress::new(flate2::Compression::best(), false);
    let mut megabyte = || {
        let mut block = Vec::with_capacity(1 << 16);
        deflate.compress_vec(&zeros, &mut block, flate2::FlushCompress::Sync).unwrap();
        block
    };
    let (first, next) = (megabyte(), megabyte());
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255];
    let packed = [header.as_slice(), &first, &next.repeat(megabytes - 1)].concat();
    format!("u{}", URL_SAFE_NO_PAD.encode(packed))
}

#[test]
fn the_published_lists_expand_to_their_bits_and_ours_are_read_alike() {
    let Some(path) = shared::shared("vectors/digitalbazaar-interop/bitstring-status-lists.json") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let vectors: Value = serde_json::from_str(&text).unwrap();
    let mut lists = vectors["lists"].as_array().unwrap().clone();
    let all_zero = vectors["spec_example_all_zero"].clone();
    lists.push(json!({"length": 131_072, "setIndexes": [], "encodedList": all_zero}));
    assert_eq!(lists.len(), 7);
    for list in &lists {
        let bits = Bitstring::decode(list["encodedList"].as_str().unwrap()).unwrap();
        assert_eq!(bits.entries(), list["length"].as_u64().unwrap());
        let mut expected = Bitstring::new();
        for index in list["setIndexes"].as_array().unwrap() {
            expected.set(index.as_u64().unwrap(), true).unwrap();
        }
        assert!(bits == expected, "{list}");
        assert_eq!(Bitstring::decode(&bits.encode().unwrap()).unwrap(), bits);
    }
    let last = Bitstring::decode(lists[4]["encodedList"].as_str().unwrap()).unwrap();
    assert!(last.get(131_071).unwrap());
    assert_eq!(rule(last.get(131_072)), (ErrorCode::InvalidArgument, "RANGE_ERROR".into()));
}

#[test]
fn a_list_that_is_too_short_or_no_list_is_refused_by_its_rule() {
    let least = MIN_STATUS_ENTRIES / 8;
    Bitstring::decode(&packed((0..least).map(|_| 0xff))).unwrap();
    let short = packed((0..least - 1).map(|_| 0));
    assert_eq!(rule(Bitstring::decode(&short)), (ErrorCode::InvalidArgument, "STATUS_LIST_LENGTH_ERROR".into()));
    let good = Bitstring::new().encode().unwrap();
    let not_gzip = format!("u{}", URL_SAFE_NO_PAD.encode([7; 500]));
    let mut trailing = URL_SAFE_NO_PAD.decode(&good[1..]).unwrap();
    let mut damaged = trailing.clone();
    let crc = damaged.len() - 6;
    damaged[crc] ^= 1;
    trailing.extend([0; 3]);
    let trailing = format!("u{}", URL_SAFE_NO_PAD.encode(trailing));
    let damaged = format!("u{}", URL_SAFE_NO_PAD.encode(damaged));
    for text in [
        "",
        "u",
        &good[1..],
        &format!("z{}", &good[1..]),
        &format!("{good}="),
        &good[..30],
        &not_gzip,
        &trailing,
        &damaged,
    ] {
        let refused = rule(Bitstring::decode(text));
        assert_eq!(refused, (ErrorCode::InvalidArgument, "MALFORMED_VALUE_ERROR".into()), "{text:.60}");
    }
}

#[test]
fn a_bomb_is_refused_before_it_fills_the_memory() {
    let longest = packed((0..MAX_STATUS_LIST_BYTES).map(|_| 0));
    assert_eq!(Bitstring::decode(&longest).unwrap().entries(), 8 * MAX_STATUS_LIST_BYTES as u64);
    let over = packed((0..=MAX_STATUS_LIST_BYTES).map(|_| 0));
    assert_eq!(Bitstring::decode(&over).unwrap_err().code(), ErrorCode::ResourceExhausted);
    // A gigabyte packs into about one megabyte, which is short enough to be looked at; four gigabytes do not.
    for (megabytes, most) in [(1024, 6 << 20), (4096, 1 << 20)] {
        let bomb = bomb(megabytes);
        let (peak, refused) = peak_of(|| Bitstring::decode(&bomb));
        assert_eq!(refused.unwrap_err().code(), ErrorCode::ResourceExhausted);
        assert!(peak < most, "{megabytes} MB: {peak} bytes were held");
    }
    let (peak, _) = peak_of(|| Bitstring::new().encode().unwrap());
    assert!(peak > MIN_STATUS_ENTRIES / 8, "the count counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocable_credential_names_two_lists_of_its_issuer_by_name() {
    let world = World::new();
    let credential = issue(&world.node(2), CredentialType::Uptime).await;
    assert!(credential.is_revocable());
    let entries = credential.document()["credentialStatus"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    for (entry, purpose) in entries.iter().zip(StatusPurpose::ALL) {
        assert_eq!(entry["type"], "BitstringStatusListEntry");
        assert_eq!(entry["statusPurpose"], purpose.as_str());
        assert_eq!(entry["statusListCredential"], url(purpose));
        assert_eq!(entry["statusListIndex"], entries[0]["statusListIndex"]);
        assert!(entry["statusListIndex"].as_str().unwrap().parse::<u64>().unwrap() < 131_072);
    }
    world.node(1).verify(&credential.to_json()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_are_given_away_once_and_in_no_order() {
    let issuer = World::new().node(2);
    let mut indexes = Vec::new();
    for _ in 0..200 {
        let credential = issue(&issuer, CredentialType::Uptime).await;
        let index = credential.document()["credentialStatus"][0]["statusListIndex"].as_str().unwrap();
        indexes.push(index.parse::<u32>().unwrap());
    }
    let rising = indexes.windows(2).filter(|pair| pair[1] > pair[0]).count();
    assert!((60..140).contains(&rising), "{rising} of 199 steps go up");
    indexes.sort_unstable();
    indexes.dedup();
    assert_eq!(indexes.len(), 200);
    assert_eq!(issuer.status_lists().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_list_is_a_credential_of_the_issuer_in_the_specifications_shape() {
    let world = World::new();
    let (_, issuer, credential) = world.withdrawable().await;
    let text = issuer.status_list(&issuer.did(), &url(StatusPurpose::Revocation)).await.unwrap();
    let list = Credential::verify(&text, world.clock.now()).unwrap();
    assert_eq!(list.issuer(), issuer.did());
    assert_eq!(list.document()["id"], url(StatusPurpose::Revocation));
    assert_eq!(list.document()["type"], json!(["VerifiableCredential", "BitstringStatusListCredential"]));
    let subject = &list.document()["credentialSubject"];
    assert_eq!((&subject["type"], &subject["statusPurpose"]), (&json!("BitstringStatusList"), &json!("revocation")));
    assert_eq!(subject["ttl"], DEFAULT_TTL.as_millis() as u64);
    let again = issuer.status_list(&issuer.did(), &url(StatusPurpose::Revocation)).await.unwrap();
    assert_eq!(again, text, "a list that did not change is not signed again");

    issuer.revoke(credential.id()).unwrap();
    issuer.revoke(credential.id()).unwrap();
    let text = issuer.status_list(&issuer.did(), &url(StatusPurpose::Revocation)).await.unwrap();
    let changed = Credential::verify(&text, world.clock.now()).unwrap();
    assert!(changed.summary().valid_from > list.summary().valid_from, "each is newer than the one before");
    let bits = Bitstring::decode(changed.document()["credentialSubject"]["encodedList"].as_str().unwrap()).unwrap();
    let index = credential.document()["credentialStatus"][0]["statusListIndex"].as_str().unwrap().parse().unwrap();
    let mut expected = Bitstring::new();
    expected.set(index, true).unwrap();
    assert_eq!(bits, expected);
    assert_eq!(
        rule(issuer.status_list(&issuer.did(), &url(StatusPurpose::Revocation).replace(":0", ":1")).await),
        (ErrorCode::NotFound, "STATUS_RETRIEVAL_ERROR".into())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_issuer_says_reaches_the_reader_with_its_lists() {
    let world = World::new();
    let (reader, issuer, credential) = world.withdrawable().await;
    let status = || reader.status(&credential).unwrap();
    assert!(matches!(status(), Status::Unknown { why } if why.contains("has not been fetched")));
    assert_eq!(fetch(&reader, &issuer).await, 2);
    assert_eq!(status(), Status::Clear { as_of: world.clock.now() });
    assert_eq!(issuer.status(&credential).unwrap(), Status::Clear { as_of: world.clock.now() });
    assert_eq!(fetch(&reader, &issuer).await, 0, "fresh lists are not wanted");

    issuer.suspend(credential.id()).unwrap();
    assert_eq!(issuer.status(&credential).unwrap(), Status::Suspended, "the issuer knows at once");
    let update = async || {
        for purpose in StatusPurpose::ALL {
            let list = issuer.status_list(&issuer.did(), &url(purpose)).await.unwrap();
            reader.keep_status_list(&list).await.unwrap();
        }
    };
    update().await;
    assert_eq!(status(), Status::Suspended);
    issuer.reinstate(credential.id()).unwrap();
    update().await;
    assert!(matches!(status(), Status::Clear { .. }));
    issuer.revoke(credential.id()).unwrap();
    update().await;
    assert_eq!(status(), Status::Revoked);
    assert_eq!(issuer.reinstate(credential.id()).unwrap_err().code(), ErrorCode::InvalidArgument, "for good");
    assert_eq!(reader.revoke(credential.id()).unwrap_err().code(), ErrorCode::NotFound, "not its issuer");
    let plain = issuer.issue(CredentialType::Uptime, did(3), Map::new(), None).await.unwrap();
    assert_eq!(issuer.revoke(plain.id()).unwrap_err().code(), ErrorCode::NotFound);
    assert_eq!(reader.status(&plain).unwrap(), Status::NotRevocable);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_pledge_drops_the_tier_and_an_unknown_status_halves_the_weight() {
    let world = World::new();
    let (reader, issuer, credential) = world.withdrawable().await;
    let score = |expected: f64, why: &str| {
        let score = reader.score(&did(3)).unwrap();
        assert!((score.value - expected).abs() < 1e-12, "{score}");
        assert!(score.reasons[0].why.contains(why), "{score}");
        score.tier
    };
    score(0.15, "it counts half, because its revocation list has not been fetched");
    fetch(&reader, &issuer).await;
    assert_eq!(score(0.3, "its proof holds"), Tier::Known);
    world.clock.advance(DAY + Duration::from_secs(1));
    score(0.15 * 0.5f64.powf(1.0 / 365.0), "list is stale since 2026-06-02T10:30:00Z");
    issuer.suspend(credential.id()).unwrap();
    fetch(&reader, &issuer).await;
    assert_eq!(score(0.0, "its issuer suspended it"), Tier::Unknown);
    issuer.revoke(credential.id()).unwrap();
    let list = issuer.status_list(&issuer.did(), &url(StatusPurpose::Revocation)).await.unwrap();
    reader.keep_status_list(&list).await.unwrap();
    assert_eq!(score(0.0, "its issuer revoked it"), Tier::Unknown);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_peer_hands_on_the_lists_that_it_keeps() {
    let world = World::new();
    let (reader, issuer, credential) = world.withdrawable().await;
    fetch(&reader, &issuer).await;
    let third = world.node(4);
    third.import_credential(&credential.to_json()).await.unwrap();
    for WantedStatusList { issuer, url } in third.wanted_status_lists().unwrap() {
        third.keep_status_list(&reader.status_list(&issuer, &url).await.unwrap()).await.unwrap();
    }
    assert!(matches!(third.status(&credential).unwrap(), Status::Clear { .. }));
    let unknown = rule(third.status_list(&did(9), "https://example.org/status/1").await);
    assert_eq!(unknown, (ErrorCode::NotFound, "STATUS_RETRIEVAL_ERROR".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_list_never_replaces_a_newer_one() {
    let world = World::new();
    let (reader, issuer, credential) = world.withdrawable().await;
    let name = url(StatusPurpose::Revocation);
    let before = issuer.status_list(&issuer.did(), &name).await.unwrap();
    reader.keep_status_list(&before).await.unwrap();
    issuer.revoke(credential.id()).unwrap();
    let after = issuer.status_list(&issuer.did(), &name).await.unwrap();
    reader.keep_status_list(&after).await.unwrap();
    let refused = reader.keep_status_list(&before).await;
    assert_eq!(rule(refused), (ErrorCode::CorruptData, "STATUS_VERIFICATION_ERROR".into()));
    assert_eq!(reader.status(&credential).unwrap(), Status::Revoked);
    reader.keep_status_list(&after).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_list_speaks_against_a_credential_and_no_longer_for_it() {
    let world = World::new();
    let (reader, issuer, credential) = world.withdrawable().await;
    fetch(&reader, &issuer).await;
    world.clock.advance(DAY / 2);
    assert!(matches!(reader.status(&credential).unwrap(), Status::Clear { .. }));
    assert_eq!(reader.wanted_status_lists().unwrap().len(), 2, "from the middle of its time on a new one is wanted");
    world.clock.advance(DAY / 2 + Duration::from_secs(1));
    assert!(matches!(reader.status(&credential).unwrap(), Status::Unknown { why } if why.contains("stale since")));
    fetch(&reader, &issuer).await;
    assert!(matches!(reader.status(&credential).unwrap(), Status::Clear { .. }), "the issuer signs an old list anew");
    issuer.revoke(credential.id()).unwrap();
    world.clock.advance(DAY);
    fetch(&reader, &issuer).await;
    world.clock.advance(DAY * 400);
    assert_eq!(reader.status(&credential).unwrap(), Status::Revoked);
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_go_with_the_last_credential_that_names_them() {
    let world = World::new();
    let (reader, issuer, first) = world.withdrawable().await;
    let second = issue(&issuer, CredentialType::Uptime).await;
    reader.import_credential(&second.to_json()).await.unwrap();
    fetch(&reader, &issuer).await;
    reader.remove_credential(first.id()).unwrap();
    let name = url(StatusPurpose::Revocation);
    let list = reader.status_list(&issuer.did(), &name).await.unwrap();
    reader.remove_credential(second.id()).unwrap();
    assert_eq!(rule(reader.status_list(&issuer.did(), &name).await).0, ErrorCode::NotFound);
    assert!(reader.wanted_status_lists().unwrap().is_empty());
    let unasked = reader.keep_status_list(&list).await;
    assert_eq!(
        rule(unasked),
        (ErrorCode::NotFound, "STATUS_RETRIEVAL_ERROR".into()),
        "nobody fills the disk with lists"
    );
}

/// A list as somebody may write it, signed by the key of `seed`.
async fn list(seed: u8, change: impl Fn(&mut Value)) -> String {
    let mut document = json!({
        "@context": ["https://www.w3.org/ns/credentials/v2"],
        "id": url(StatusPurpose::Revocation),
        "type": ["VerifiableCredential", "BitstringStatusListCredential"],
        "issuer": did(seed).to_string(),
        "validFrom": "2026-06-01T10:00:00Z",
        "credentialSubject": {
            "type": "BitstringStatusList",
            "statusPurpose": "revocation",
            "encodedList": Bitstring::new().encode().unwrap(),
        },
    });
    change(&mut document);
    let signer = Keypair::from_seed([seed; 32]).signer().unwrap();
    let signed = proof::sign(document.as_object().unwrap(), &*signer, "2026-06-01T10:00:00Z".parse().unwrap()).await;
    Value::Object(signed.unwrap()).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_break_a_rule_are_refused_by_its_name() {
    let world = World::new();
    let (reader, _, credential) = world.withdrawable().await;
    const VERIFICATION: &str = "STATUS_VERIFICATION_ERROR";
    const MALFORMED: &str = "MALFORMED_VALUE_ERROR";
    let subject =
        |name: &'static str, value: Value| move |list: &mut Value| list["credentialSubject"][name] = value.clone();
    let member = |name: &'static str, value: Value| move |list: &mut Value| list[name] = value.clone();
    let refuse = async |text: String, expected: &str| {
        assert_eq!(rule(reader.keep_status_list(&text).await).1, expected, "{text}");
    };
    refuse(list(4, |_| {}).await, VERIFICATION).await;
    refuse(list(2, |_| {}).await.replace("2026-06-01T10:00:00Z", "2026-06-01T10:00:01Z"), VERIFICATION).await;
    refuse(list(2, subject("statusPurpose", "suspension".into())).await, VERIFICATION).await;
    refuse(list(2, member("validFrom", "2026-06-01T10:36:00Z".into())).await, VERIFICATION).await;
    refuse(list(2, member("validUntil", "2026-06-01T10:29:00Z".into())).await, VERIFICATION).await;
    refuse("{}".into(), VERIFICATION).await;
    refuse(list(2, member("type", json!(["VerifiableCredential"]))).await, MALFORMED).await;
    refuse(list(2, subject("type", "StatusList2021".into())).await, MALFORMED).await;
    refuse(list(2, subject("statusPurpose", "message".into())).await, MALFORMED).await;
    refuse(list(2, subject("encodedList", Value::Null)).await, MALFORMED).await;
    refuse(list(2, subject("encodedList", "uAAAA".into())).await, MALFORMED).await;
    refuse(list(2, subject("ttl", 0.into())).await, MALFORMED).await;
    refuse(list(2, subject("ttl", "300000".into())).await, MALFORMED).await;
    refuse(list(2, member("id", "urn:kwaai:status:me:revocation:0".into())).await, MALFORMED).await;
    let no_date = list(2, |list| drop(list.as_object_mut().unwrap().remove("validFrom"))).await;
    refuse(no_date, MALFORMED).await;
    let short = packed((0..15 * 1024).map(|_| 0));
    refuse(list(2, subject("encodedList", short.into())).await, "STATUS_LIST_LENGTH_ERROR").await;
    let big = list(2, subject("encodedList", bomb(16).into())).await;
    assert_eq!(rule(reader.keep_status_list(&big).await).0, ErrorCode::ResourceExhausted);
    assert!(matches!(reader.status(&credential).unwrap(), Status::Unknown { .. }), "nothing of these was kept");
    let short_lived = list(2, subject("ttl", 60_000.into())).await;
    let kept = reader.keep_status_list(&short_lived).await.unwrap();
    assert_eq!((kept.entries, kept.fresh_until), (131_072, "2026-06-01T10:01:00Z".parse().unwrap()));
    assert!(matches!(reader.status(&credential).unwrap(), Status::Unknown { .. }), "it is stale already");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_an_issuer_that_is_not_trusted_few_and_short_lists_are_kept_and_they_are_wanted_last() {
    let world = World::new();
    let (reader, issuer, _) = world.withdrawable().await;
    // Seven credentials of a stranger, each with a list of its own.
    let stranger = Keypair::from_seed([4; 32]).signer().unwrap();
    let name =
        |number: u32| StatusListUrl { issuer: stranger.did(), purpose: StatusPurpose::Revocation, number }.to_string();
    for number in 0..7 {
        let document = json!({
            "@context": ["https://www.w3.org/ns/credentials/v2", "https://www.w3.org/ns/credentials/undefined-terms/v2"],
            "type": ["VerifiableCredential", "PeerEndorsementVC"],
            "issuer": stranger.did().to_string(),
            "validFrom": "2026-06-01T10:00:00Z",
            "credentialSubject": {"id": did(3).to_string()},
            "credentialStatus": {"type": "BitstringStatusListEntry", "statusPurpose": "revocation",
                "statusListIndex": "7", "statusListCredential": name(number)},
        });
        let signed = proof::sign(document.as_object().unwrap(), &*stranger, "2026-06-01T10:00:00Z".parse().unwrap());
        reader.import_credential(&Value::Object(signed.await.unwrap()).to_string()).await.unwrap();
    }
    let wanted = reader.wanted_status_lists().unwrap();
    assert_eq!(wanted.len(), 9);
    assert!(wanted[..2].iter().all(|list| list.issuer == issuer.did()), "{wanted:?}");
    let keep = async |number: u32, kilobytes: usize| {
        let text = list(4, |list| {
            list["id"] = name(number).into();
            list["credentialSubject"]["encodedList"] = packed((0..kilobytes * 1024).map(|_| 0)).into();
        });
        reader.keep_status_list(&text.await).await.map(drop)
    };
    assert_eq!(rule(keep(0, 17).await).0, ErrorCode::ResourceExhausted, "longer than the shortest");
    for number in 0..4 {
        keep(number, 16).await.unwrap();
    }
    assert_eq!(rule(keep(4, 16).await).0, ErrorCode::ResourceExhausted, "the fifth");
    keep(3, 16).await.unwrap();
    reader.trust_issuer(stranger.did(), &[CredentialType::PeerEndorsement]).unwrap();
    keep(4, 17).await.unwrap();
}

/// What node 1 makes of a credential of node 2 with this `credentialStatus`, when it keeps a list of node 2 under an
/// address of the web in which the index 7 is set.
async fn verdict(status: Value) -> Result<Status, Error> {
    let world = World::new();
    let reader = world.node(1);
    let signer = Keypair::from_seed([2; 32]).signer().unwrap();
    let document = json!({
        "@context": ["https://www.w3.org/ns/credentials/v2"],
        "type": ["VerifiableCredential", "UptimeVC"],
        "issuer": did(2).to_string(),
        "validFrom": "2026-06-01T10:00:00Z",
        "credentialSubject": {"id": did(3).to_string()},
        "credentialStatus": status,
    });
    let signed = proof::sign(document.as_object().unwrap(), &*signer, world.clock.now()).await.unwrap();
    let summary = reader.import_credential(&Value::Object(signed).to_string()).await?;
    let mut bits = Bitstring::new();
    bits.set(7, true).unwrap();
    let encoded = bits.encode().unwrap();
    let list = list(2, |list| {
        list["id"] = WEB.into();
        list["credentialSubject"]["encodedList"] = encoded.as_str().into();
    });
    if reader.wanted_status_lists().unwrap().iter().any(|wanted| wanted.url == WEB) {
        reader.keep_status_list(&list.await).await.unwrap();
    }
    reader.status(&reader.credential(&summary.id).unwrap())
}

const WEB: &str = "https://example.org/status/3";

fn entry(index: &str) -> Value {
    json!({
        "id": format!("{WEB}#{index}"),
        "type": "BitstringStatusListEntry",
        "statusPurpose": "revocation",
        "statusListIndex": index,
        "statusListCredential": WEB,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_the_web_are_read_alike_and_entries_of_other_makes_leave_doubt() {
    assert_eq!(verdict(entry("7")).await.unwrap(), Status::Revoked);
    assert!(matches!(verdict(entry("8")).await.unwrap(), Status::Clear { .. }));
    assert_eq!(verdict(json!([entry("8"), entry("7")])).await.unwrap(), Status::Revoked);
    let refresh = json!({"type": "BitstringStatusListEntry", "statusPurpose": "refresh", "statusListIndex": "7",
        "statusListCredential": WEB});
    assert_eq!(verdict(refresh).await.unwrap(), Status::NotRevocable, "a refresh is no withdrawal");
    let changed = |name: &str, value: Value| {
        let mut entry = entry("8");
        entry[name] = value;
        entry
    };
    for doubtful in [
        changed("type", "StatusList2021Entry".into()),
        changed("statusPurpose", "suspension".into()),
        changed("statusPurpose", "another".into()),
        changed("statusListIndex", "131072".into()),
        changed("statusListCredential", "https://example.org/status/4".into()),
        changed("statusSize", 2.into()),
        json!([entry("8"), {"type": "Other"}]),
    ] {
        let found = verdict(doubtful.clone()).await.unwrap();
        assert!(matches!(found, Status::Unknown { .. }), "{doubtful}: {found:?}");
    }
    for malformed in [
        Value::Null,
        json!({}),
        changed("statusListIndex", "-1".into()),
        changed("statusListIndex", "+8".into()),
        changed("statusListIndex", 8.into()),
        changed("statusListIndex", "9999999999999999999999".into()),
        changed("statusListCredential", "x".repeat(600).into()),
        changed("statusListCredential", Value::Null),
        json!("https://example.org/status/3#8"),
        Value::Array(vec![entry("8"); 9]),
    ] {
        let error = verdict(malformed.clone()).await.unwrap_err();
        let rule = error.context().get("rule").cloned().unwrap_or_default();
        assert_eq!((error.code(), rule.as_str()), (ErrorCode::InvalidArgument, "MALFORMED_VALUE_ERROR"), "{malformed}");
    }
}
