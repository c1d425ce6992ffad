//! A host with many tenants: each is served, each within its quota, and none by harm to another.

use kwaai_core::ErrorCode;
use kwaai_core::vpk::{
    Call, CollectionId, DepotPolicy, Described, KeptManifest, MAX_PART, Mode, Request, Room, SegmentStamp,
};

use crate::desk::{DIMENSION, Tenant, depot, depot_within, did, send};

const MIB: u64 = 1 << 20;

fn room(answer: &[u8]) -> Room {
    Room::read(answer).unwrap()
}

#[test]
fn what_is_kept_is_answered_handed_out_and_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut tenants: Vec<Tenant> =
        Mode::ALL.into_iter().zip([1, 11, 21]).map(|(mode, seed)| Tenant::new(seed, mode)).collect();
    let mut before = Vec::new();
    {
        let depot = depot(dir.path());
        for tenant in &mut tenants {
            tenant.create(&depot);
            tenant.put(&depot, 30, 1);
            before.push(tenant.ask(&depot).exact);
            let charged = tenant.described(&depot, 0).bytes;
            // Added to what is in memory, as it is added to the disk.
            tenant.put(&depot, 7, 2);
            before.last_mut().unwrap().push(tenant.ask(&depot).exact.pop().unwrap());
            assert!(tenant.described(&depot, 0).bytes > charged);
            let (stamp, mut parts) = tenant.sealed(9, 3);
            let charged = tenant.described(&depot, 0).bytes;
            tenant.call(&depot, 0, Call::PutSegment(parts.swap_remove(0))).unwrap();
            tenant.call(&depot, 0, Call::RemoveSegment(stamp)).unwrap();
            assert_eq!(tenant.described(&depot, 0).bytes, charged);
            tenant.call(&depot, 0, Call::PutPayload([5; 16], b"sealed".to_vec())).unwrap();
            tenant.call(&depot, 0, Call::ReplaceManifest(0, b"manifest".to_vec())).unwrap();
        }
    }
    let depot = depot(dir.path());
    for (tenant, before) in tenants.iter_mut().zip(before) {
        assert_eq!(tenant.ask(&depot).exact, before, "{}", tenant.owner.mode());
        assert_eq!(tenant.described(&depot, 0).segments, tenant.segments);
        let parts = (0..tenant.collections.len())
            .map(|part| Some(tenant.call(&depot, part, Call::FetchSegment(tenant.segments[1])).unwrap()))
            .collect::<Vec<_>>();
        assert_eq!(tenant.owner.unseal(&tenant.segments[1], &parts).unwrap().len(), 7);
        assert_eq!(tenant.call(&depot, 0, Call::FetchPayload([5; 16])).unwrap(), b"sealed");
        let manifest = KeptManifest::read(&tenant.call(&depot, 0, Call::ReadManifest).unwrap()).unwrap();
        assert_eq!(manifest, KeptManifest { number: 1, bytes: b"manifest".to_vec() });
        let gone = tenant.segments.remove(0);
        for part in 0..tenant.collections.len() {
            tenant.call(&depot, part, Call::RemoveSegment(gone)).unwrap();
        }
        assert_eq!(tenant.ask(&depot).exact, before[1..], "{}", tenant.owner.mode());
    }
    assert_eq!(depot.tenants().unwrap().len(), 3);
    for tenant in &tenants {
        for part in 0..tenant.collections.len() {
            tenant.call(&depot, part, Call::Delete).unwrap();
        }
        assert_eq!(room(&tenant.call(&depot, 0, Call::Health).unwrap()).used, 0, "everything was given back");
    }
    assert_eq!(depot.tenants().unwrap(), []);
}

/// Uploads and questions that no honest owner makes, with what each is answered. The first is the one that ended the service
/// of the original for everybody, also after a restart: vectors of two lengths in one collection.
fn attacks(tenant: &Tenant) -> Vec<(&'static str, Call, ErrorCode)> {
    use ErrorCode::{AlreadyExists, Conflict, CorruptData, InvalidArgument, NotFound, Unsupported};
    let part = |count| tenant.sealed(count, 3).1.swap_remove(0);
    let changed = |at: usize, value: &[u8]| {
        let mut bytes = part(5);
        bytes[at..at + value.len()].copy_from_slice(value);
        Call::PutSegment(bytes)
    };
    let kept = tenant.segments[0];
    let same_name = {
        let mut bytes = part(5);
        bytes[6..30].copy_from_slice(&kept.nonce);
        bytes
    };
    let mut narrow = part(5);
    narrow[34..38].copy_from_slice(&(DIMENSION as u32 - 1).to_le_bytes());
    let query = tenant.owner.quantizer().quantize(&[1.0; DIMENSION]).unwrap().values;
    let question = |segments: &[SegmentStamp]| tenant.owner.ask(&query, segments).unwrap().parts.swap_remove(0);
    let other = SegmentStamp { nonce: [9; 24], vectors: 3 };
    let mut broken_question = question(&tenant.segments);
    broken_question.truncate(60);
    let mut noise = question(&tenant.segments);
    let end = noise.len();
    noise[end - 8..].fill(0xff);
    let another_mode = match tenant.owner.mode() {
        Mode::Plain => 2,
        _ => 1,
    };
    vec![
        ("vectors of another length", Call::PutSegment(narrow), InvalidArgument),
        ("vectors longer than said", changed(34, &2048u32.to_le_bytes()), InvalidArgument),
        ("a dimension of nought", changed(34, &[0; 4]), InvalidArgument),
        ("a dimension of everything", changed(34, &[0xff; 4]), InvalidArgument),
        ("numbers that are none", changed(38, &[0xff; 12]), CorruptData),
        ("a segment cut short", Call::PutSegment(part(5)[..50].to_vec()), CorruptData),
        ("a segment with something behind", Call::PutSegment([&part(5)[..], b"x"].concat()), CorruptData),
        ("a segment of nothing", changed(30, &[0; 4]), CorruptData),
        ("a segment of four billion", changed(30, &[0xff; 4]), CorruptData),
        ("a segment of more vectors than it has", changed(30, &6u32.to_le_bytes()), CorruptData),
        ("another privacy mode", changed(5, &[another_mode]), CorruptData),
        ("no segment at all", changed(0, b"PNG"), CorruptData),
        ("a version to come", changed(4, &[99]), Unsupported),
        ("no bytes", Call::PutSegment(Vec::new()), CorruptData),
        ("a question as a segment", Call::PutSegment(question(&tenant.segments)), CorruptData),
        ("another segment of the same name", Call::PutSegment(same_name), AlreadyExists),
        ("keys that are none", Call::Admit(vec![7; 100]), CorruptData),
        ("a question cut short", Call::Ask(broken_question), CorruptData),
        ("a question with numbers that are none", Call::Ask(noise), CorruptData),
        ("a question about other segments", Call::Ask(question(&[other])), Conflict),
        ("a segment as a question", Call::Ask(part(5)), CorruptData),
        ("a segment that is not there", Call::RemoveSegment(other), NotFound),
        ("a segment of another size", Call::FetchSegment(SegmentStamp { vectors: 1, ..kept }), NotFound),
        ("a payload that is not there", Call::RemovePayload([9; 16]), NotFound),
        ("a manifest over another", Call::ReplaceManifest(5, b"m".to_vec()), Conflict),
        ("the same collection again", Call::Create { mode: Mode::Plain, dimension: 1 }, AlreadyExists),
    ]
}

#[test]
fn the_upload_that_ended_the_original_for_everybody_and_two_dozen_others_touch_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let mut honest: Vec<Tenant> =
        [Mode::Seal, Mode::Split].into_iter().zip([1, 11]).map(|(mode, seed)| Tenant::new(seed, mode)).collect();
    let mut hostile: Vec<Tenant> =
        Mode::ALL.into_iter().zip([101, 111, 121]).map(|(mode, seed)| Tenant::new(seed, mode)).collect();
    let mut host = depot(dir.path());
    for tenant in honest.iter_mut().chain(&mut hostile) {
        tenant.create(&host);
        tenant.put(&host, 20, u64::from(tenant.seed));
        tenant.ask(&host);
    }
    let expected: Vec<_> = honest.iter().chain(&hostile).map(|tenant| tenant.ask(&host)).collect();
    for tenant in &hostile {
        let bytes = tenant.described(&host, 0);
        for (what, call, code) in attacks(tenant) {
            let error = tenant.call(&host, 0, call).expect_err(what);
            assert_eq!(error.code(), code, "{what} under {}: {error}", tenant.owner.mode());
            assert_eq!(tenant.described(&host, 0), bytes, "{what} left something");
            assert_eq!(honest[1].ask(&host), expected[1], "after {what}");
        }
    }
    assert_eq!(honest[0].ask(&host), expected[0]);
    for _restart in 0..2 {
        drop(host);
        host = depot(dir.path());
        for (tenant, expected) in honest.iter().chain(&hostile).zip(&expected) {
            assert_eq!(&tenant.ask(&host), expected, "tenant {} after a restart", tenant.seed);
        }
    }
}

#[test]
fn a_quota_ends_one_tenant_and_says_what_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let policy = DepotPolicy { tenant_bytes: 4 * MIB, tenant_collections: 2, ..DepotPolicy::of(5 * MIB) };
    let depot = depot_within(dir.path(), policy.clone());
    let (greedy, modest) = (Tenant::new(1, Mode::Plain), Tenant::new(2, Mode::Plain));
    greedy.create(&depot);
    let mut put = 0;
    let refused = loop {
        match greedy.call(&depot, 0, Call::PutPayload([put; 16], vec![7; MAX_PART])) {
            Ok(answer) => assert_eq!(room(&answer).left, policy.tenant_bytes - room(&answer).used),
            Err(error) => break error,
        }
        put += 1;
    };
    assert_eq!((put, refused.code()), (3, ErrorCode::ResourceExhausted));
    let left: u64 = refused.context()["left"].parse().unwrap();
    assert_eq!(left, room(&greedy.call(&depot, 0, Call::Health).unwrap()).left);
    assert!((MIB / 2..MIB).contains(&left), "{left}");
    // What takes a little is taken; replacing and removing work when nothing more fits.
    greedy.call(&depot, 0, Call::PutPayload([100; 16], vec![7; 1000])).unwrap();
    greedy.call(&depot, 0, Call::PutPayload([0; 16], vec![8; MAX_PART])).unwrap();
    assert_eq!(greedy.call(&depot, 0, Call::FetchPayload([0; 16])).unwrap(), vec![8; MAX_PART]);
    // The total ends before the quota of the second.
    modest.create(&depot);
    modest.call(&depot, 0, Call::PutPayload([0; 16], vec![7; MAX_PART])).unwrap();
    let error = modest.call(&depot, 0, Call::PutPayload([1; 16], vec![7; MAX_PART])).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ResourceExhausted);
    assert!(error.context()["left"].parse::<u64>().unwrap() < MIB);
    greedy.call(&depot, 0, Call::RemovePayload([1; 16])).unwrap();
    modest.call(&depot, 0, Call::PutPayload([1; 16], vec![7; MAX_PART])).unwrap();
    let tenants = depot.tenants().unwrap();
    assert!(tenants.iter().map(|tenant| tenant.bytes).sum::<u64>() <= policy.capacity_bytes);
    // What the database takes on the disk is in proportion to what is counted: it keeps free pages for its next change.
    let file = std::fs::metadata(dir.path().join("kwaainet.redb")).unwrap().len();
    assert!(file <= 3 * policy.capacity_bytes, "{file} bytes for {}", policy.capacity_bytes);

    let create = |id: u8| Request {
        collection: CollectionId([id; 16]),
        capability: None,
        call: Call::Create { mode: Mode::Plain, dimension: 3 },
    };
    send(&depot, did(2), &create(77)).unwrap();
    let error = send(&depot, did(2), &create(78)).unwrap_err();
    assert_eq!((error.code(), error.context()["left"].as_str()), (ErrorCode::ResourceExhausted, "0"));
}

#[test]
fn the_same_id_names_each_owners_own_collection() {
    let dir = tempfile::tempdir().unwrap();
    let depot = depot(dir.path());
    let mut first = Tenant::new(1, Mode::Plain);
    let mut second = Tenant::new(1, Mode::Plain);
    second.seed = 2;
    for (tenant, count) in [(&mut first, 5), (&mut second, 8)] {
        tenant.create(&depot);
        tenant.put(&depot, count, 4);
    }
    assert_eq!(first.ask(&depot).exact[0].len(), 5);
    assert_eq!(second.ask(&depot).exact[0].len(), 8);
    let listed = Described::read(&first.call(&depot, 0, Call::List).unwrap()).unwrap();
    assert_eq!(listed.len(), 1);
    second.call(&depot, 0, Call::Delete).unwrap();
    assert_eq!(second.call(&depot, 0, Call::Describe).unwrap_err().code(), ErrorCode::NotFound);
    assert_eq!(first.ask(&depot).exact[0].len(), 5);
    depot.evict(did(1)).unwrap();
    assert_eq!(first.call(&depot, 0, Call::Describe).unwrap_err().code(), ErrorCode::NotFound);
    assert_eq!(depot.evict(did(1)).unwrap_err().code(), ErrorCode::NotFound);
}

#[test]
fn memory_is_bounded_and_what_had_to_leave_it_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    // Each collection takes 100 rows of 12 numbers of 4 bytes, and a little.
    let policy = DepotPolicy { memory_bytes: 20_000, ..DepotPolicy::of(64 * MIB) };
    let depot = depot_within(dir.path(), policy);
    let mut tenants: Vec<Tenant> = (1..6).map(|seed| Tenant::new(seed, Mode::Plain)).collect();
    for tenant in &mut tenants {
        tenant.create(&depot);
        tenant.put(&depot, 100, 5);
    }
    let scores: Vec<_> = tenants.iter().map(|tenant| tenant.ask(&depot)).collect();
    for (tenant, scores) in tenants.iter().zip(&scores).rev() {
        assert_eq!(&tenant.ask(&depot), scores);
    }
    // It outgrows the bound while it is in memory.
    tenants[0].ask(&depot);
    tenants[0].put(&depot, 1000, 6);
    let query = tenants[0].owner.quantizer().quantize(&[1.0; DIMENSION]).unwrap().values;
    let question = tenants[0].owner.ask(&query, &tenants[0].segments).unwrap().parts.swap_remove(0);
    let error = tenants[0].call(&depot, 0, Call::Ask(question)).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ResourceExhausted);
    assert_eq!(tenants[1].ask(&depot), scores[1], "others are searched");
}

/// Prepared for the arithmetic, a sealed vector takes as much memory as 4,096 of them.
#[test]
fn many_small_sealed_collections_do_not_take_more_memory_than_the_host_gives() {
    const BLOCK: u64 = 4096 * 128 * 16;
    let dir = tempfile::tempdir().unwrap();
    let mut tenants: Vec<Tenant> = (1..4).map(|seed| Tenant::new(seed, Mode::Seal)).collect();
    {
        let policy = DepotPolicy { memory_bytes: BLOCK / 2, ..DepotPolicy::of(64 * MIB) };
        let depot = depot_within(dir.path(), policy);
        for tenant in &mut tenants {
            tenant.create(&depot);
            tenant.put(&depot, 1, 5);
        }
        let session = tenants[0].owner.session().unwrap().swap_remove(0);
        let error = tenants[0].call(&depot, 0, Call::Admit(session)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::ResourceExhausted);
    }
    // There is room for two with their keys.
    let policy = DepotPolicy { memory_bytes: 5 * BLOCK / 2, ..DepotPolicy::of(64 * MIB) };
    let depot = depot_within(dir.path(), policy);
    let scores: Vec<_> = tenants.iter().map(|tenant| tenant.ask(&depot)).collect();
    let asked = |tenant: &Tenant| {
        let query = tenant.owner.quantizer().quantize(&[1.0; DIMENSION]).unwrap().values;
        let part = tenant.owner.ask(&query, &tenant.segments).unwrap().parts.swap_remove(0);
        tenant.call(&depot, 0, Call::Ask(part)).map_err(|error| error.code())
    };
    // The keys of a question leave the memory with the collection.
    assert_eq!(asked(&tenants[0]).unwrap_err(), ErrorCode::NotFound, "it made room");
    for (tenant, scores) in tenants.iter().zip(&scores).rev() {
        assert_eq!(&tenant.ask(&depot), scores);
    }
    // More vectors in the same block take no more memory.
    tenants[0].put(&depot, 50, 6);
    tenants[0].ask(&depot);
    asked(&tenants[1]).unwrap();
}

#[test]
fn tenants_at_the_same_time_do_not_wait_for_ever_or_meet() {
    let dir = tempfile::tempdir().unwrap();
    let policy = DepotPolicy { memory_bytes: 40_000, ..DepotPolicy::of(64 * MIB) };
    let depot = depot_within(dir.path(), policy);
    std::thread::scope(|scope| {
        for seed in 1..7 {
            let depot = &depot;
            scope.spawn(move || {
                let mut tenant = Tenant::new(seed * 10, Mode::Split);
                tenant.create(depot);
                for round in 0..5 {
                    tenant.put(depot, 10, round + 1);
                    let scores = tenant.ask(depot);
                    assert_eq!(scores.exact.len(), round as usize + 1);
                }
            });
        }
    });
}
