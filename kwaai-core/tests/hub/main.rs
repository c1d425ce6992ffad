//! Models by the id of a hub, fetched from a hub on this machine that does what hubs, stores and networks do wrong.

#[path = "../support/local_hub.rs"]
mod local_hub;
mod parts;
#[path = "../support/quantised.rs"]
mod quantised;
#[allow(dead_code, reason = "others need a disk that is read-only too")]
#[path = "../support/small_disk.rs"]
mod small_disk;
#[path = "../support/gguf.rs"]
mod written;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use kwaai_core::event::Item;
use kwaai_core::llm::hub::{self, FetchEvent, Hub, HubConfig};
use kwaai_core::llm::{GenerateEvent, GenerateRequest, Prompt};
use kwaai_core::shard::{Blocks, EngineOptions, Route, ShardEngine};
use kwaai_core::{ErrorCode, Result};
use local_hub::{Asked, COMMIT, Fault, LocalHub, tag};
use sha2::{Digest, Sha256};
use small_disk::SmallDisk;

const ID: &str = "someone/small-model";
const TOKEN: &str = "hf_secretOfSomebody";
/// Short, so that it can be cut everywhere.
const WEIGHTS: &[u8] = b"weights of a very small model";

fn files() -> Vec<(String, Vec<u8>)> {
    let files: [(&str, &[u8]); 6] = [
        ("README.md", b"for people"),
        ("config.json", b"{}"),
        ("tokenizer.json", b"{\"tokens\": 0}"),
        ("1_Pooling/config.json", b"{\"pooling\": 1}"),
        ("pytorch_model.bin", b"code"),
        ("model.safetensors", WEIGHTS),
    ];
    files.into_iter().map(|(name, content)| (name.to_owned(), content.to_vec())).collect()
}

/// A hub with one small model, and an empty cache.
async fn small() -> (LocalHub, tempfile::TempDir) {
    (LocalHub::with(ID, files()).await, tempfile::tempdir().unwrap())
}

fn config(hub: &LocalHub, cache: &Path) -> HubConfig {
    HubConfig { endpoint: hub.endpoint.clone(), pause: Duration::from_millis(1), ..HubConfig::new(cache) }
}

fn over(hub: &LocalHub, cache: &tempfile::TempDir) -> Hub {
    Hub::new(config(hub, cache.path())).unwrap()
}

fn repository(cache: &tempfile::TempDir) -> PathBuf {
    cache.path().join("models--someone--small-model")
}

fn blob(cache: &tempfile::TempDir, name: &str, content: &[u8]) -> PathBuf {
    repository(cache).join("blobs").join(tag(name, content))
}

fn asks(asked: &[Asked], name: &str) -> Vec<Option<String>> {
    asked
        .iter()
        .filter(|asked| asked.store && asked.is_for(name))
        .map(|asked| asked.range().map(String::from))
        .collect()
}

async fn events(hub: &Hub, id: &str) -> Result<Vec<FetchEvent>> {
    let (mut stream, mut events) = (hub.fetch(id)?, Vec::new());
    while let Some(item) = stream.next().await? {
        events.extend(item.value());
    }
    Ok(events)
}

#[tokio::test]
async fn a_model_is_fetched_once_and_then_taken_from_the_cache() {
    let (local, cache) = small().await;
    let hub = over(&local, &cache);
    let folder = hub.model(ID).await.unwrap();
    assert_eq!(folder, repository(&cache).join("snapshots").join(COMMIT));
    assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), WEIGHTS);
    assert!(folder.join("1_Pooling/config.json").is_file());
    assert!(!folder.join("pytorch_model.bin").exists() && !folder.join("README.md").exists());
    let asked = local.asked();
    assert_eq!(hub.model(ID).await.unwrap(), folder);
    assert!(local.asked().is_empty(), "what is here is not asked for");
    assert_eq!(asks(&asked, "model.safetensors"), [None], "a whole file is asked for without a range");
    assert!(hub.fetch(ID).unwrap().next().await.unwrap().is_some());
    let again = local.asked();
    assert!(again.iter().all(|asked| asked.path.starts_with("/api/")), "{again:?}");
}

#[cfg(unix)]
#[tokio::test]
async fn the_cache_is_laid_out_as_others_expect_it() {
    let (local, cache) = small().await;
    let folder = over(&local, &cache).model(ID).await.unwrap();
    let target = |name: &str| std::fs::read_link(folder.join(name)).unwrap().to_str().unwrap().to_owned();
    assert_eq!(target("model.safetensors"), format!("../../blobs/{}", tag("model.safetensors", WEIGHTS)));
    let pooling = tag("1_Pooling/config.json", b"{\"pooling\": 1}");
    assert_eq!(target("1_Pooling/config.json"), format!("../../../blobs/{pooling}"));
    assert_eq!(std::fs::read_to_string(repository(&cache).join("refs/main")).unwrap(), COMMIT);
    let lock = format!(".locks/models--someone--small-model/{pooling}.lock");
    assert!(cache.path().join(lock).is_file());
}

#[tokio::test]
async fn a_fetch_says_what_it_finds_and_how_far_it_is() {
    let (local, cache) = small().await;
    let events = events(&over(&local, &cache), ID).await.unwrap();
    let bytes: u64 = ["config.json", "tokenizer.json", "1_Pooling/config.json", "model.safetensors"]
        .iter()
        .map(|wanted| files().iter().find(|(name, _)| name == wanted).unwrap().1.len() as u64)
        .sum();
    assert_eq!(events[0], FetchEvent::Found { files: 4, bytes: Some(bytes) });
    assert_eq!(events[events.len() - 2], FetchEvent::Progress { bytes, total: Some(bytes) });
    let path = repository(&cache).join("snapshots").join(COMMIT);
    assert_eq!(events[events.len() - 1], FetchEvent::Finished { path });
}

#[tokio::test]
async fn a_file_that_is_cut_at_any_byte_goes_on_there_and_is_right() {
    let (local, cache) = small().await;
    for cut in 0..WEIGHTS.len() {
        let mut cuts = 0;
        local.failing(move |asked| {
            let now = asked.store && asked.is_for("model.safetensors") && cuts == 0;
            cuts += usize::from(now);
            now.then_some(Fault::Cut(cut))
        });
        let hub = over(&local, &cache);
        let folder = hub.model(ID).await.unwrap();
        assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), WEIGHTS, "cut after {cut}");
        let range = (cut > 0).then(|| format!("bytes={cut}-{}", WEIGHTS.len() - 1));
        assert_eq!(asks(&local.asked(), "model.safetensors"), [None, range], "cut after {cut}");
        hub.remove(ID).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_hub_brought_before_it_was_given_up_serves_the_next_call() {
    let (local, cache) = small().await;
    local.failing(|asked| (asked.store && asked.is_for("model.safetensors")).then_some(Fault::Cut(3)));
    let hub = over(&local, &cache);
    let error = hub.model(ID).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unreachable, "{error:?}");
    assert_eq!(asks(&local.asked(), "model.safetensors").len(), 4, "once, and three times again");
    assert!(!repository(&cache).join("snapshots").exists(), "nobody sees half a model");
    local.failing(|_| None);
    let folder = hub.model(ID).await.unwrap();
    assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), WEIGHTS);
    let range = format!("bytes=12-{}", WEIGHTS.len() - 1);
    assert_eq!(asks(&local.asked(), "model.safetensors"), [Some(range)]);
}

#[tokio::test]
async fn bytes_that_are_not_what_the_hub_says_are_refused_and_not_kept() {
    for name in ["model.safetensors", "tokenizer.json"] {
        let (local, cache) = small().await;
        local.failing(move |asked| {
            let length = files().iter().find(|(file, _)| file == name).unwrap().1.len();
            (asked.is_for(name) && (asked.store || name.ends_with("json"))).then(|| Fault::Body(vec![7; length]))
        });
        let error = over(&local, &cache).model(ID).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::CorruptData, "{error:?}");
        assert!(error.message().contains(name), "{error:?}");
        let content = files().into_iter().find(|(file, _)| file == name).unwrap().1;
        let blob = blob(&cache, name, &content);
        assert!(!blob.exists() && !blob.with_extension("incomplete").exists(), "{name}");
        assert!(!repository(&cache).join("snapshots").exists());
    }
}

#[tokio::test]
async fn more_bytes_than_there_are_do_not_fill_the_disk() {
    let (local, cache) = small().await;
    local.failing(|asked| (asked.store && asked.is_for("model.safetensors")).then(|| Fault::Body(vec![7; 1 << 20])));
    let error = over(&local, &cache).model(ID).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CorruptData, "{error:?}");
    let kept = blob(&cache, "model.safetensors", WEIGHTS).with_extension("incomplete");
    assert!(std::fs::metadata(kept).map_or(0, |kept| kept.len()) <= WEIGHTS.len() as u64);
    local.failing(|_| None);
    let folder = over(&local, &cache).model(ID).await.unwrap();
    assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), WEIGHTS);
}

#[tokio::test]
async fn what_another_program_left_half_is_checked_and_begun_anew_when_it_is_wrong() {
    for left in [vec![7; 5], vec![7; WEIGHTS.len()], vec![7; 1000], WEIGHTS.to_vec(), WEIGHTS[..9].to_vec()] {
        let (local, cache) = small().await;
        std::fs::create_dir_all(repository(&cache).join("blobs")).unwrap();
        std::fs::write(blob(&cache, "model.safetensors", WEIGHTS).with_extension("incomplete"), &left).unwrap();
        let folder = over(&local, &cache).model(ID).await.unwrap();
        assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), WEIGHTS);
        let asked = asks(&local.asked(), "model.safetensors");
        assert_eq!(asked.is_empty(), left == WEIGHTS, "{asked:?} after {left:?}");
    }
}

#[tokio::test]
async fn a_full_disk_says_so_and_leaves_no_model() {
    let Some(disk) = SmallDisk::mount(2) else { return };
    let local = LocalHub::with(ID, files()).await;
    let hub = Hub::new(config(&local, &disk.path().join("hub"))).unwrap();
    disk.fill();
    let error = hub.model(ID).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ResourceExhausted, "{error:?}");
    assert!(hub.models().await.unwrap().is_empty());
    disk.make_room();
    let folder = hub.model(ID).await.unwrap();
    assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), WEIGHTS);
}

#[tokio::test]
async fn a_model_that_the_disk_has_no_room_for_is_not_begun() {
    let Some(disk) = SmallDisk::mount(2) else { return };
    let mut files = files();
    files.push(("model-Q8_0.gguf".into(), vec![7; 3 << 20]));
    let local = LocalHub::with(ID, files).await;
    let hub = Hub::new(config(&local, &disk.path().join("hub"))).unwrap();
    let error = hub.model(&format!("{ID}:Q8_0")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ResourceExhausted, "{error:?}");
    assert_eq!(error.context()["needed_bytes"], (3 << 20).to_string());
    assert!(local.asked().iter().all(|asked| !asked.store), "not a byte of it was asked for");
    hub.model(ID).await.unwrap();
}

#[tokio::test]
async fn a_store_without_ranges_sends_the_whole_again() {
    let (local, cache) = small().await;
    let mut cuts = 0;
    local.failing(move |asked| {
        let weights = asked.store && asked.is_for("model.safetensors");
        cuts += usize::from(weights);
        weights.then_some(if cuts == 1 { Fault::Cut(9) } else { Fault::Whole })
    });
    let folder = over(&local, &cache).model(ID).await.unwrap();
    assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), WEIGHTS);
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_fetched_is_looked_at_again() {
    let (local, cache) = small().await;
    let mut looks = 0;
    let stale = |asked: &Asked| !asked.store && asked.method == "HEAD" && asked.path.ends_with("/tokenizer.json");
    local.failing(move |asked| {
        looks += usize::from(stale(asked));
        (stale(asked) && looks == 1).then(|| Fault::Tag("0".repeat(40)))
    });
    let folder = over(&local, &cache).model(ID).await.unwrap();
    assert_eq!(std::fs::read(folder.join("tokenizer.json")).unwrap(), b"{\"tokens\": 0}");
    local.failing(move |asked| stale(asked).then(|| Fault::Tag("0".repeat(40))));
    let cache = tempfile::tempdir().unwrap();
    let error = over(&local, &cache).model(ID).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Conflict, "{error:?}");
}

#[tokio::test]
async fn a_half_file_of_another_tag_is_not_gone_on_with() {
    let (local, cache) = small().await;
    local.failing(|asked| (asked.store && asked.is_for("model.safetensors")).then_some(Fault::Cut(2)));
    over(&local, &cache).model(ID).await.unwrap_err();
    local.failing(|_| None);
    local.set("model.safetensors", b"other weights", &"b".repeat(40));
    let folder = over(&local, &cache).model(ID).await.unwrap();
    assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), b"other weights");
    assert!(folder.ends_with("b".repeat(40)));
}

#[tokio::test]
async fn the_token_goes_to_the_hub_and_not_to_where_it_sends() {
    let (local, cache) = small().await;
    let hub = Hub::new(HubConfig { token: Some(TOKEN.into()), ..config(&local, cache.path()) }).unwrap();
    hub.model(ID).await.unwrap();
    let asked = local.asked();
    assert!(asked.iter().any(|asked| asked.store), "the weights are elsewhere");
    for asked in asked {
        let sent = asked.headers.get("authorization").map(String::as_str);
        assert_eq!(sent, (!asked.store).then_some("Bearer hf_secretOfSomebody"), "{} {}", asked.method, asked.path);
    }
}

#[tokio::test]
async fn a_model_that_is_not_for_everybody_says_how_to_ask() {
    let (local, cache) = small().await;
    for (status, headers) in [(401, ""), (403, "X-Error-Code: GatedRepo\r\n")] {
        local.failing(move |_| Some(Fault::Status(status, headers)));
        let hub = Hub::new(HubConfig { token: Some(TOKEN.into()), ..config(&local, cache.path()) }).unwrap();
        let error = hub.model(ID).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::PermissionDenied);
        assert!(error.context()["remedy"].contains("HF_TOKEN"), "{error:?}");
        assert_eq!(local.asked().len(), 1, "a refusal is not asked for again");
        assert!(!format!("{error:?} {error} {hub:?}").contains(TOKEN));
    }
}

#[tokio::test]
async fn a_busy_hub_is_asked_again_when_it_says_and_not_for_ever() {
    let (local, cache) = small().await;
    let mut answers = 0;
    local.failing(move |_| {
        answers += 1;
        [Fault::Status(429, "Retry-After: 0\r\n"), Fault::Status(503, ""), Fault::Status(500, "")]
            .get(answers - 1)
            .cloned()
    });
    let hub = over(&local, &cache);
    hub.model(ID).await.unwrap();
    hub.remove(ID).await.unwrap();
    local.asked();
    for (status, headers, code, asked) in [
        (429, "Retry-After: 0\r\n", ErrorCode::Busy, 4),
        (429, "Retry-After: 3600\r\n", ErrorCode::Busy, 1),
        (502, "", ErrorCode::Unreachable, 4),
        (504, "", ErrorCode::Timeout, 4),
        (404, "", ErrorCode::NotFound, 1),
        (418, "", ErrorCode::InvalidArgument, 1),
    ] {
        local.failing(move |_| Some(Fault::Status(status, headers)));
        let error = hub.model(ID).await.unwrap_err();
        assert_eq!((error.code(), local.asked().len()), (code, asked), "{status} {error:?}");
        assert_eq!(error.context().get("retry_after").is_some(), status == 429);
    }
}

#[tokio::test]
async fn a_store_that_is_down_is_asked_as_often_as_a_hub() {
    let (local, cache) = small().await;
    local.failing(|asked| (asked.store && asked.is_for("model.safetensors")).then_some(Fault::Status(502, "")));
    let error = over(&local, &cache).model(ID).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unreachable);
    assert_eq!(asks(&local.asked(), "model.safetensors").len(), 4, "once and three times again");
}

#[tokio::test]
async fn redirects_without_an_end_and_answers_that_say_nothing_are_refused() {
    let (local, cache) = small().await;
    let circle = format!("{}/round", local.endpoint);
    local.failing(move |_| Some(Fault::Away(circle.clone())));
    let error = over(&local, &cache).model(ID).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied, "{error:?}");
    local.failing(|_| Some(Fault::Away("file:///etc/passwd".into())));
    let error = over(&local, &cache).model(ID).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::PermissionDenied, "{error:?}");
    for body in ["", "<html>", "{\"sha\": \"main\"}", "{\"sha\": \"../../../x\", \"siblings\": []}"] {
        local.failing(move |_| Some(Fault::Body(body.into())));
        let error = over(&local, &cache).model(ID).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::CorruptData, "{body} {error:?}");
    }
    assert!(!repository(&cache).join("snapshots").exists());
}

#[tokio::test]
async fn two_that_fetch_the_same_at_once_fetch_it_once() {
    let (local, cache) = small().await;
    let (one, other) = (over(&local, &cache), over(&local, &cache));
    let (one, other) = tokio::join!(one.model(ID), other.model(ID));
    assert_eq!(one.unwrap(), other.unwrap());
    assert_eq!(asks(&local.asked(), "model.safetensors").len(), 1);
}

#[tokio::test]
async fn offline_what_is_in_the_cache_serves_and_nothing_is_asked() {
    let (local, cache) = small().await;
    let offline = Hub::new(HubConfig { offline: true, ..config(&local, cache.path()) }).unwrap();
    let error = offline.model(ID).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert!(error.message().contains("HF_HUB_OFFLINE") && error.context().contains_key("remedy"), "{error:?}");
    assert!(local.asked().is_empty());
    let folder = over(&local, &cache).model(ID).await.unwrap();
    local.asked();
    assert_eq!(offline.model(ID).await.unwrap(), folder);
    assert_eq!(
        events(&offline, &format!("{ID}@{COMMIT}")).await.unwrap(),
        [FetchEvent::Finished { path: folder.clone() }]
    );
    assert!(local.asked().is_empty());
    // A model that lost a file is not whole.
    std::fs::remove_file(folder.join("model.safetensors")).unwrap();
    assert_eq!(offline.model(ID).await.unwrap_err().code(), ErrorCode::NotFound);
}

#[tokio::test]
async fn a_cancelled_fetch_ends_and_the_next_one_goes_on() {
    let (local, cache) = small().await;
    let hub = over(&local, &cache);
    let mut stream = hub.fetch(ID).unwrap();
    stream.cancel();
    let end = async {
        loop {
            match stream.next().await {
                Ok(Some(_)) => {}
                Ok(None) => return None,
                Err(error) => return Some(error.code()),
            }
        }
    };
    assert_eq!(end.await, Some(ErrorCode::Cancelled));
    hub.model(ID).await.unwrap();
}

#[tokio::test]
async fn the_gguf_file_of_a_quantisation_is_fetched_alone() {
    let gguf = [("small-Q4_K_M.gguf", "four"), ("small-Q8_0.gguf", "eight"), ("README.md", "")];
    let files = gguf.iter().map(|(name, content)| ((*name).to_owned(), content.as_bytes().to_vec())).collect();
    let (local, cache) = (LocalHub::with(ID, files).await, tempfile::tempdir().unwrap());
    let hub = over(&local, &cache);
    let path = hub.model(&format!("{ID}:q8_0")).await.unwrap();
    assert!(path.ends_with(format!("snapshots/{COMMIT}/small-Q8_0.gguf")), "{path:?}");
    assert_eq!(std::fs::read(path).unwrap(), b"eight");
    let error = hub.model(&format!("{ID}:F16")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert!(error.context()["files"].contains("small-Q4_K_M.gguf"), "{error:?}");
    let plain = hub.model(ID).await.unwrap();
    assert!(plain.ends_with("small-Q4_K_M.gguf"), "whatever was fetched before: {plain:?}");
}

#[tokio::test]
async fn what_another_tool_fetched_in_part_is_completed_before_it_is_used() {
    let (local, cache) = small().await;
    let hub = over(&local, &cache);
    let folder = hub.model(ID).await.unwrap();
    let pooling = folder.join("1_Pooling/config.json");
    // As a tool leaves it that needed less: no file is missed by those that do not know of it.
    std::fs::remove_file(&pooling).unwrap();
    std::fs::remove_dir_all(repository(&cache).join(".kwaainet")).unwrap();
    local.asked();
    assert_eq!(hub.model(ID).await.unwrap(), folder);
    assert!(pooling.is_file());
    assert!(asks(&local.asked(), "model.safetensors").is_empty(), "what is here is not fetched again");
    // And as a crash leaves it between two files.
    std::fs::remove_file(&pooling).unwrap();
    assert_eq!(hub.model(ID).await.unwrap(), folder);
    assert!(pooling.is_file());
}

#[tokio::test]
async fn weights_in_several_files_come_with_what_their_index_lists() {
    let index = r#"{"weight_map":{"a":"model-1.safetensors","b":"model-2.safetensors"}}"#;
    let names = [("config.json", "{}"), ("model-1.safetensors", "one"), ("model-2.safetensors", "two")];
    let names = [&names[..], &[("consolidated.safetensors", "all"), ("model.safetensors.index.json", index)]].concat();
    let files = names.iter().map(|(name, content)| ((*name).to_owned(), content.as_bytes().to_vec())).collect();
    let (local, cache) = (LocalHub::with(ID, files).await, tempfile::tempdir().unwrap());
    let hub = over(&local, &cache);
    let found = events(&hub, ID).await.unwrap();
    let bytes = Some((index.len() + 2 + 6) as u64);
    assert_eq!(found[0], FetchEvent::Found { files: 4, bytes });
    let folder = hub.model(ID).await.unwrap();
    assert_eq!(std::fs::read(folder.join("model-2.safetensors")).unwrap(), b"two");
    assert!(!folder.join("consolidated.safetensors").exists());
    local.asked();
    std::fs::remove_file(folder.join("model-2.safetensors")).unwrap();
    assert_eq!(hub.model(ID).await.unwrap(), folder, "what is missing of it is fetched again");
    assert!(folder.join("model-2.safetensors").exists());
    assert!(asks(&local.asked(), "model-2.safetensors").is_empty(), "its content is still there");
}

#[tokio::test]
async fn models_are_listed_and_removed_by_revision_and_whole() {
    let (local, cache) = small().await;
    let hub = over(&local, &cache);
    assert!(hub.models().await.unwrap().is_empty());
    let first = hub.model(ID).await.unwrap();
    let newer = "b".repeat(40);
    local.set("model.safetensors", b"newer weights", &newer);
    assert!(
        matches!(events(&hub, ID).await.unwrap().last(), Some(FetchEvent::Finished { path }) if path.ends_with(&newer))
    );
    let models = hub.models().await.unwrap();
    let revisions: Vec<(&str, &str)> = models.iter().map(|model| (&*model.id, &*model.revision)).collect();
    assert_eq!(revisions, [(ID, COMMIT), (ID, &newer)]);
    assert_eq!((&models[0].path, models[1].bytes - 13), (&first, models[0].bytes - WEIGHTS.len() as u64));
    let freed = hub.remove(&format!("{ID}@{COMMIT}")).await.unwrap();
    assert_eq!(freed, WEIGHTS.len() as u64, "the other revision keeps what it shares");
    let folder = hub.model(ID).await.unwrap();
    assert_eq!(std::fs::read(folder.join("config.json")).unwrap(), b"{}");
    hub.remove(ID).await.unwrap();
    assert!(!repository(&cache).exists());
    assert_eq!(hub.remove(ID).await.unwrap_err().code(), ErrorCode::NotFound);
    assert_eq!(hub.remove(&format!("{ID}:Q8_0")).await.unwrap_err().code(), ErrorCode::InvalidArgument);
}

#[tokio::test]
async fn a_model_that_is_being_fetched_is_not_removed() {
    let (local, cache) = small().await;
    let hub = over(&local, &cache);
    hub.model(ID).await.unwrap();
    let locks = cache.path().join(".locks/models--someone--small-model");
    let lock = std::fs::File::open(locks.join(format!("{}.lock", tag("model.safetensors", WEIGHTS)))).unwrap();
    lock.lock().unwrap();
    assert_eq!(hub.remove(ID).await.unwrap_err().code(), ErrorCode::Busy);
    lock.unlock().unwrap();
    hub.remove(ID).await.unwrap();
}

#[tokio::test]
async fn a_model_of_an_earlier_version_is_found_where_it_lies() {
    let (local, cache) = small().await;
    let earlier = tempfile::tempdir().unwrap();
    let folder = earlier.path().join("someone--small-model");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("model.safetensors"), "weights").unwrap();
    let hub = Hub::new(HubConfig { earlier: Some(earlier.path().into()), ..config(&local, cache.path()) }).unwrap();
    assert_eq!(hub.model(ID).await.unwrap(), folder);
    assert!(local.asked().is_empty());
}

#[tokio::test]
async fn an_id_cannot_leave_the_cache_or_the_hub() {
    let (local, cache) = small().await;
    let hub = over(&local, &cache);
    for id in
        ["minilm", "../x", "a/b/c", "a/..", "", "a b", "a/b?c", "/etc", "http://x/y", "a--b/c", "a/b@../x", "a/b:../x"]
    {
        assert_eq!(hub.model(id).await.unwrap_err().code(), ErrorCode::InvalidArgument, "{id}");
        assert_eq!(hub.remove(id).await.unwrap_err().code(), ErrorCode::InvalidArgument, "{id}");
    }
    assert!(local.asked().is_empty());
    let error = hub::embedding_model("a b").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
}

#[tokio::test]
async fn a_folder_is_taken_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_str().unwrap();
    assert_eq!(hub::embedding_model(path).await.unwrap(), dir.path());
}

fn tiny() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/models/tiny-kwaai")
}

fn files_of(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect()
}

async fn written(engine: &ShardEngine, model: &kwaai_core::shard::Model) -> String {
    let request = GenerateRequest {
        prompt: Some(Prompt::Text("Question: where is the key?".into())),
        max_tokens: 12,
        ..GenerateRequest::default()
    };
    let mut stream = engine.generate(model, request, Route::Local).await.unwrap();
    let mut text = String::new();
    while let Some(item) = stream.next().await.unwrap() {
        if let Item::Value(GenerateEvent::Token { text: piece, .. }) = item {
            text += &piece;
        }
    }
    text
}

#[tokio::test]
async fn a_model_that_is_loaded_by_its_id_is_the_one_of_its_folder() {
    let (local, cache) = (LocalHub::with("kwaai/tiny-kwaai", files_of(&tiny())).await, tempfile::tempdir().unwrap());
    let engine = ShardEngine::new(None, EngineOptions { hub: Some(over(&local, &cache)), ..EngineOptions::default() });
    let fetched = engine.load("kwaai/tiny-kwaai", Blocks::All).await.unwrap();
    let own = engine.load(tiny(), Blocks::All).await.unwrap();
    assert_eq!((fetched.id(), fetched.name()), (own.id(), "tiny-kwaai"));
    let tokens = [1, 2, 3, 40];
    let logits = engine.logits(&fetched, &tokens, Route::Local).await.unwrap();
    assert_eq!(logits, engine.logits(&own, &tokens, Route::Local).await.unwrap());
    let text = written(&engine, &fetched).await;
    assert!(!text.is_empty());
    assert_eq!(text, written(&engine, &own).await);
}

#[tokio::test]
async fn a_name_that_is_neither_a_path_nor_a_model_says_so() {
    let (local, cache) = small().await;
    let engine = ShardEngine::new(None, EngineOptions { hub: Some(over(&local, &cache)), ..EngineOptions::default() });
    let error = engine.load("someone/else", Blocks::All).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert!(error.message().contains("no path") && error.message().contains("id"), "{error:?}");
    assert!(!local.asked().is_empty());
    // What no hub could have is a path alone.
    assert_eq!(engine.load("./someone/else", Blocks::All).await.unwrap_err().code(), ErrorCode::NotFound);
    assert!(local.asked().is_empty());
}

/// Hugging Face's client over a cache, which asks the hub unless it is offline.
fn judge(cache: &Path, endpoint: Option<&str>, files: &[&str]) -> Option<serde_json::Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/judges/huggingface_hub");
    let python = folder.join(".venv/bin/python");
    if !python.exists() {
        println!("skipped: the judge of Hugging Face's Python client is not installed; run `.ci/setup --test`");
        return None;
    }
    let mut command = Command::new(python);
    command
        .arg(folder.join("judge.py"))
        .arg(ID)
        .args(files)
        .env("HF_HUB_CACHE", cache)
        .env("HF_HOME", cache.join(".home"))
        .env_remove("HF_TOKEN");
    match endpoint {
        Some(endpoint) => command.env("HF_ENDPOINT", endpoint),
        None => command.env("HF_HUB_OFFLINE", "1"),
    };
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

const SHARED: [&str; 4] = ["config.json", "tokenizer.json", "1_Pooling/config.json", "model.safetensors"];

#[tokio::test]
async fn hugging_faces_client_reads_the_cache_offline() {
    let (local, cache) = small().await;
    over(&local, &cache).model(ID).await.unwrap();
    let path = cache.path().to_path_buf();
    let Some(found) = tokio::task::spawn_blocking(move || judge(&path, None, &SHARED)).await.unwrap() else { return };
    let hash: String = Sha256::digest(WEIGHTS).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(found["files"]["model.safetensors"], hash);
    assert_eq!(found["repositories"], serde_json::json!({ID: {COMMIT: ["main"]}}));
    assert_eq!(found["warnings"], serde_json::json!([]));
}

#[tokio::test]
async fn what_hugging_faces_client_fetched_is_used_offline() {
    let (local, cache) = small().await;
    let (path, endpoint) = (cache.path().to_path_buf(), local.endpoint.clone());
    let fetched = tokio::task::spawn_blocking(move || judge(&path, Some(&endpoint), &SHARED)).await.unwrap();
    if fetched.is_none() {
        return;
    }
    let offline = Hub::new(HubConfig { offline: true, ..config(&local, cache.path()) }).unwrap();
    let folder = offline.model(ID).await.unwrap();
    for name in SHARED {
        let content = files().into_iter().find(|(file, _)| file == name).unwrap().1;
        assert_eq!(std::fs::read(folder.join(name)).unwrap(), content, "{name}");
    }
    let models = offline.models().await.unwrap();
    assert_eq!((models[0].id.as_str(), models[0].revision.as_str()), (ID, COMMIT));
    local.asked();
    let error = offline.remove("someone/else").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert!(offline.remove(ID).await.unwrap() > WEIGHTS.len() as u64);
}
