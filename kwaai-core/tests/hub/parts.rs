//! Models of which only some blocks are needed: what is asked of the hub for them, and what lies in the cache.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;

use kwaai_core::ErrorCode;
use kwaai_core::llm::hub::{Hub, HubConfig};
use kwaai_core::shard::weights::{Parts, expected};
use kwaai_core::shard::{Blocks, CalibrateOptions, EngineOptions, Model, ModelConfig, ShardEngine};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::local_hub::{Asked, COMMIT, Fault, LocalHub};
use crate::written::{File, Meta};
use crate::{ID, config, over, quantised, repository};

const BLOCKS: u32 = 8;
const HIDDEN: usize = 256;

/// A model of 21 MB, large enough for heads of files to be nothing beside it.
struct Written {
    folder: tempfile::TempDir,
    config: ModelConfig,
}

impl Written {
    /// In one file, or in two with an index that part blocks in the middle.
    fn new(files: usize) -> Written {
        let folder = tempfile::tempdir().unwrap();
        let settings = json!({
            "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": 2 * HIDDEN, "num_hidden_layers": BLOCKS,
            "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 512, "tie_word_embeddings": true,
            "rms_norm_eps": 1e-5, "max_position_embeddings": 128, "eos_token_id": 1
        });
        let at = folder.path().join("config.json");
        std::fs::write(&at, settings.to_string()).unwrap();
        let config = ModelConfig::load(&at).unwrap();
        let pool: Vec<u8> =
            (0..1009u32).flat_map(|at| (((at * 617 % 1009) as f32 / 1009.0 - 0.5) * 0.1).to_le_bytes()).collect();
        let tensors: BTreeMap<String, (Vec<usize>, Vec<u8>)> = of(&config, 0..BLOCKS as usize, true)
            .into_iter()
            .enumerate()
            .map(|(number, (name, shape))| {
                let bytes = 4 * shape.iter().product::<usize>();
                // Begun elsewhere in the pool each time, so that no two blocks are the same.
                let mut values = pool[4 * (number % 1009)..].to_vec();
                values.extend(pool.repeat(bytes.div_ceil(pool.len())));
                values.truncate(bytes);
                (name, (shape, values))
            })
            .collect();
        let mut index = BTreeMap::new();
        for number in 0..files {
            let file = if files == 1 { "model.safetensors".into() } else { format!("model-{number}.safetensors") };
            let views = tensors.iter().enumerate().filter(|(at, _)| at * files / tensors.len() == number);
            let views = views.map(|(_, (name, (shape, bytes)))| {
                index.insert(name.clone(), file.clone());
                (name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
            });
            safetensors::serialize_to_file(views, None, &folder.path().join(&file)).unwrap();
        }
        if files > 1 {
            let text = json!({"weight_map": index}).to_string();
            std::fs::write(folder.path().join("model.safetensors.index.json"), text).unwrap();
        }
        Written { folder, config }
    }

    async fn hub(&self) -> LocalHub {
        LocalHub::with(ID, crate::files_of(self.folder.path())).await
    }

    /// Bytes of the tensors of some blocks, and of the ends.
    fn bytes(&self, blocks: Range<usize>, ends: bool) -> u64 {
        let tensors = of(&self.config, blocks, ends).into_iter();
        tensors.map(|(_, shape)| 4 * shape.iter().product::<usize>() as u64).sum()
    }
}

fn of(config: &ModelConfig, blocks: Range<usize>, ends: bool) -> Vec<(String, Vec<usize>)> {
    expected(config, &Parts { blocks, ends })
}

fn engine(hub: Hub) -> ShardEngine {
    ShardEngine::new(None, EngineOptions { hub: Some(hub), ..EngineOptions::default() })
}

/// The bytes of weights that were asked for.
fn asked_for(local: &LocalHub) -> u64 {
    let asked = local.asked();
    let weights = asked.iter().filter(|asked| asked.store && asked.method == "GET");
    let length = |asked: &Asked| {
        let (from, to) =
            asked.range().expect("no weights are asked for whole").strip_prefix("bytes=")?.split_once('-')?;
        Some(to.parse::<u64>().ok()? + 1 - from.parse::<u64>().ok()?)
    };
    weights.map(|asked| length(asked).unwrap()).sum()
}

/// What the blocks that are held make of a text, and the head of that.
fn computed(model: &Model) -> (Vec<f32>, Vec<Vec<f32>>) {
    let hidden = model.embed(&[5, 6, 7, 300]).unwrap();
    let after = model.begin(8).unwrap().forward(hidden.values.clone(), &CancellationToken::new()).unwrap();
    let logits = model.head(kwaai_core::shard::wire::Hidden { values: after.clone(), ..hidden }).unwrap();
    (after, logits)
}

fn part(cache: &tempfile::TempDir) -> PathBuf {
    repository(cache).join(".kwaainet/parts").join(COMMIT)
}

fn span(blocks: Range<u32>) -> Blocks {
    Blocks::Span(blocks)
}

#[tokio::test]
async fn of_a_model_only_the_bytes_of_its_blocks_are_fetched() {
    for files in [1, 2] {
        let (written, cache) = (Written::new(files), tempfile::tempdir().unwrap());
        let local = written.hub().await;
        let engine = engine(over(&local, &cache));
        let there = engine.load(ID, span(3..5)).await.unwrap();
        let own = engine.load(written.folder.path(), span(3..5)).await.unwrap();
        assert_eq!((there.id(), there.name()), (own.id(), "small-model"));
        assert_eq!(computed(&there), computed(&own));
        let (bytes, owned) = (asked_for(&local), written.bytes(3..5, true));
        assert!(bytes as f64 <= 1.02 * owned as f64, "{bytes} for {owned} in {files} files");
        // What is there is not asked for again, by whatever name.
        assert_eq!(engine.load(ID, Blocks::None).await.unwrap().id(), own.id());
        engine.load(&format!("{ID}@{COMMIT}"), span(4..5)).await.unwrap();
        assert!(local.asked().is_empty());
        engine.load(ID, span(4..6)).await.unwrap();
        let more = asked_for(&local);
        assert!((written.bytes(5..6, false)..written.bytes(5..6, false) + 8192).contains(&more), "{more}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn what_is_not_there_of_a_file_takes_no_room() {
    use std::os::unix::fs::MetadataExt;
    let (written, cache) = (Written::new(1), tempfile::tempdir().unwrap());
    let local = written.hub().await;
    engine(over(&local, &cache)).load(ID, span(7..8)).await.unwrap();
    let file = std::fs::metadata(part(&cache).join("model.safetensors")).unwrap();
    let whole = std::fs::metadata(written.folder.path().join("model.safetensors")).unwrap().len();
    assert_eq!(file.len(), whole);
    assert!(file.blocks() * 512 < whole / 3, "{} blocks of the disk", file.blocks());
}

#[tokio::test]
async fn a_run_goes_on_where_its_connections_were_cut() {
    let (written, cache) = (Written::new(2), tempfile::tempdir().unwrap());
    let local = written.hub().await;
    let mut random = 7u32;
    local.failing(move |asked| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // More than a mebibyte counts for no failure, so that the fetch ends.
        (asked.store && random >> 31 == 0).then_some(Fault::Cut((1 << 20) + (random >> 12) as usize))
    });
    let engine = engine(over(&local, &cache));
    let there = engine.load(ID, span(2..6)).await.unwrap();
    let own = engine.load(written.folder.path(), span(2..6)).await.unwrap();
    assert_eq!(computed(&there), computed(&own));
}

#[tokio::test]
async fn what_came_before_a_hub_was_given_up_is_not_fetched_again() {
    let (written, cache) = (Written::new(1), tempfile::tempdir().unwrap());
    let local = written.hub().await;
    let mut answers = 0;
    local.failing(move |asked| {
        answers += usize::from(asked.store);
        (asked.store && answers > 1).then_some(Fault::Cut(100_000))
    });
    let engine = engine(over(&local, &cache));
    let error = engine.load(ID, span(0..1)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unreachable, "{error:?}");
    local.asked();
    local.failing(|_| None);
    let there = engine.load(ID, span(0..1)).await.unwrap();
    let (bytes, owned) = (asked_for(&local), written.bytes(0..1, true));
    assert!(bytes + 400_000 <= owned + (1 << 16), "{bytes} of {owned} after four times 100,000");
    let own = engine.load(written.folder.path(), span(0..1)).await.unwrap();
    assert_eq!(computed(&there), computed(&own));
}

#[tokio::test]
async fn a_store_without_ranges_serves_blocks_as_well() {
    let (written, cache) = (Written::new(1), tempfile::tempdir().unwrap());
    let local = written.hub().await;
    local.failing(|asked| asked.store.then_some(Fault::Whole));
    let engine = engine(over(&local, &cache));
    let there = engine.load(ID, span(1..2)).await.unwrap();
    let own = engine.load(written.folder.path(), span(1..2)).await.unwrap();
    assert_eq!(computed(&there), computed(&own));
}

#[tokio::test]
async fn a_file_of_which_all_was_needed_is_checked_and_belongs_to_the_cache() {
    let (written, cache) = (Written::new(1), tempfile::tempdir().unwrap());
    let local = written.hub().await;
    let engine = engine(over(&local, &cache));
    engine.load(ID, span(0..4)).await.unwrap();
    let weights = part(&cache).join("model.safetensors");
    assert!(std::fs::symlink_metadata(&weights).unwrap().is_file());
    // A bit of what is there turns over.
    let mut bytes = std::fs::read(&weights).unwrap();
    assert!(bytes[15_000_000..15_001_000].iter().all(|byte| *byte == 0), "the sixth block is not there");
    bytes[70_000] ^= 1;
    std::fs::write(&weights, &bytes).unwrap();
    let error = engine.load(ID, span(4..8)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CorruptData, "{error:?}");
    assert!(!weights.exists(), "what is wrong somewhere is not kept");
    let there = engine.load(ID, span(0..8)).await.unwrap();
    assert!(std::fs::symlink_metadata(&weights).unwrap().is_symlink());
    let own = engine.load(written.folder.path(), Blocks::All).await.unwrap();
    assert_eq!(computed(&there), computed(&own));
    local.asked();
    // Loaded whole, it needs no more than the list of its files.
    engine.load(ID, Blocks::All).await.unwrap();
    assert!(local.asked().iter().all(|asked| !asked.store));
    assert!(!part(&cache).exists(), "the whole model has taken its place");
}

#[tokio::test]
async fn a_run_of_a_gguf_file_is_fetched_after_its_head() {
    // A head longer than what is asked for at first.
    let long = Meta::text(&"long ".repeat(600_000));
    let file: File = quantised::model("llama", 8, 3).with("general.description", long);
    let files = vec![("m-Q8_0.gguf".to_owned(), file.bytes()), ("m-Q4_K_M.gguf".to_owned(), b"other".to_vec())];
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("m-Q8_0.gguf"), file.bytes()).unwrap();
    let (local, cache) = (LocalHub::with(ID, files).await, tempfile::tempdir().unwrap());
    let engine = engine(over(&local, &cache));
    let id = format!("{ID}:Q8_0");
    let there = engine.load(&id, span(1..2)).await.unwrap();
    let own = engine.load(folder.path().join("m-Q8_0.gguf"), span(1..2)).await.unwrap();
    assert_eq!(there.id(), own.id());
    assert_eq!(computed(&there), computed(&own));
    local.asked();
    engine.load(&id, Blocks::None).await.unwrap();
    assert!(local.asked().is_empty());
}

#[tokio::test]
async fn a_model_in_two_forms_is_fetched_in_either_though_the_other_broke_off() {
    let written = Written::new(1);
    let mut files = crate::files_of(written.folder.path());
    files.push(("m-Q8_0.gguf".to_owned(), quantised::model("llama", 8, 3).bytes()));
    let (local, cache) = (LocalHub::with(ID, files).await, tempfile::tempdir().unwrap());
    let engine = engine(over(&local, &cache));
    local.failing(|asked| (asked.store && asked.is_for("model.safetensors")).then_some(Fault::Cut(0)));
    assert_eq!(engine.load(ID, span(0..1)).await.unwrap_err().code(), ErrorCode::Unreachable);
    let gguf = engine.load(format!("{ID}:Q8_0"), span(0..1)).await.unwrap();
    local.failing(|_| None);
    let plain = engine.load(ID, span(0..1)).await.unwrap();
    assert_eq!((gguf.config().blocks, plain.config().blocks), (3, BLOCKS as usize));
}

#[tokio::test]
async fn what_a_machine_can_serve_is_found_without_the_whole_model() {
    let (written, cache) = (Written::new(2), tempfile::tempdir().unwrap());
    let local = written.hub().await;
    let options = CalibrateOptions { memory_bytes: Some(16 << 20), tokens: Some(64), ..CalibrateOptions::default() };
    let engine = engine(over(&local, &cache));
    let there = engine.calibrate(ID, options).await.unwrap();
    let bytes = asked_for(&local);
    let own = engine.calibrate(written.folder.path(), options).await.unwrap();
    assert_eq!((&there.model, there.recommended, there.weight_bytes), (&own.model, own.recommended, own.weight_bytes));
    let (measured, all) = (written.bytes(0..there.recommended as usize, false), written.bytes(0..8, true));
    assert!(bytes as f64 <= 1.03 * measured as f64 && bytes < all, "{bytes} for {measured} of {all}");
}

#[tokio::test]
async fn a_part_stays_with_its_commit_until_more_is_needed() {
    let (written, cache) = (Written::new(1), tempfile::tempdir().unwrap());
    let local = written.hub().await;
    let engine = engine(over(&local, &cache));
    let first = engine.load(ID, span(0..1)).await.unwrap();
    let mut changed = std::fs::read(written.folder.path().join("model.safetensors")).unwrap();
    let last = changed.len() - 2;
    changed[last] ^= 1;
    local.set("model.safetensors", &changed, &"b".repeat(40));
    assert_eq!(engine.load(ID, span(0..1)).await.unwrap().id(), first.id());
    assert_ne!(engine.load(ID, span(1..2)).await.unwrap().id(), first.id());
    assert_eq!(engine.load(format!("{ID}@{COMMIT}"), span(0..1)).await.unwrap().id(), first.id());
}

#[tokio::test]
async fn parts_are_listed_removed_and_used_offline() {
    let (written, cache) = (Written::new(1), tempfile::tempdir().unwrap());
    let local = written.hub().await;
    let hub = over(&local, &cache);
    engine(hub.clone()).load(ID, span(0..2)).await.unwrap();
    let owned = written.bytes(0..2, true);
    let models = hub.models().await.unwrap();
    assert_eq!((models.len(), models[0].whole, models[0].revision.as_str()), (1, false, COMMIT));
    assert!((owned..owned + 100_000).contains(&models[0].bytes), "{} for {owned}", models[0].bytes);
    let offline = engine(Hub::new(HubConfig { offline: true, ..config(&local, cache.path()) }).unwrap());
    offline.load(ID, span(1..2)).await.unwrap();
    let error = offline.load(ID, span(2..3)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert!(error.message().contains("HF_HUB_OFFLINE"), "{error:?}");
    assert!((owned..owned + 100_000).contains(&hub.remove(&format!("{ID}@{COMMIT}")).await.unwrap()));
    assert!(hub.models().await.unwrap().is_empty() && !part(&cache).exists());
    engine(hub.clone()).load(ID, span(0..2)).await.unwrap();
    assert!((owned..owned + 100_000).contains(&hub.remove(ID).await.unwrap()));
    assert!(!repository(&cache).exists());
}

#[tokio::test]
async fn blocks_that_were_not_fetched_are_never_taken_for_zeros() {
    let (written, cache) = (Written::new(1), tempfile::tempdir().unwrap());
    let local = written.hub().await;
    let engine = engine(over(&local, &cache));
    engine.load(ID, span(0..1)).await.unwrap();
    engine.load(part(&cache), span(0..1)).await.unwrap();
    for blocks in [Blocks::All, span(0..2)] {
        let error = engine.load(part(&cache), blocks).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotFound, "{error:?}");
        assert!(error.message().contains("was not fetched"), "{error:?}");
    }
    let error = engine.load(ID, span(7..9)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument, "{error:?}");
}

#[tokio::test]
async fn what_somebody_between_answers_is_never_taken_for_blocks() {
    let written = Written::new(1);
    let page = b"<html>please log in</html>".repeat(4000);
    for fault in [Fault::Body(page.clone()), Fault::Body(vec![0; 1 << 20])] {
        let (local, cache) = (written.hub().await, tempfile::tempdir().unwrap());
        let engine = engine(over(&local, &cache));
        let mut answers = 0;
        local.failing(move |asked| {
            answers += usize::from(asked.store);
            (asked.store && answers == 2).then(|| fault.clone())
        });
        // Once, while a gateway asked for a name; then again.
        assert_eq!(engine.load(ID, span(1..3)).await.unwrap_err().code(), ErrorCode::Unreachable);
        let there = engine.load(ID, span(1..3)).await.unwrap();
        let own = engine.load(written.folder.path(), span(1..3)).await.unwrap();
        assert_eq!(computed(&there), computed(&own));
    }
}

#[tokio::test]
async fn a_wrong_head_is_fetched_anew_and_so_is_a_file_that_was_cut() {
    let (written, cache) = (Written::new(1), tempfile::tempdir().unwrap());
    let local = written.hub().await;
    let engine = engine(over(&local, &cache));
    let own = engine.load(written.folder.path(), span(2..3)).await.unwrap();
    engine.load(ID, span(2..3)).await.unwrap();
    let weights = part(&cache).join("model.safetensors");
    let good = std::fs::read(&weights).unwrap();
    let mut wrong = good.clone();
    wrong[..64].fill(b'<');
    for left in [&wrong[..], &good[..1000]] {
        std::fs::write(&weights, left).unwrap();
        assert_eq!(computed(&engine.load(ID, span(2..3)).await.unwrap()), computed(&own));
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_part_is_known_for_one_by_whatever_path_it_is_reached() {
    let (written, cache) = (Written::new(1), tempfile::tempdir().unwrap());
    let local = written.hub().await;
    let engine = engine(over(&local, &cache));
    engine.load(ID, span(0..1)).await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let (link, roundabout) = (elsewhere.path().join("link"), part(&cache).join("..").join(COMMIT));
    std::os::unix::fs::symlink(part(&cache), &link).unwrap();
    let (copy, loose) = (elsewhere.path().join("copy"), elsewhere.path().join("loose"));
    for folder in [&copy, &loose] {
        std::fs::create_dir(folder).unwrap();
    }
    for entry in std::fs::read_dir(part(&cache)).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        std::os::unix::fs::symlink(entry.path(), loose.join(entry.file_name())).unwrap();
    }
    for path in [link, roundabout, copy, loose] {
        engine.load(&path, span(0..1)).await.unwrap();
        let error = engine.load(&path, Blocks::All).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotFound, "{path:?} {error:?}");
    }
    std::fs::write(part(&cache).join(".kwaainet-part.json"), "").unwrap();
    let error = engine.load(part(&cache), Blocks::All).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CorruptData, "{error:?}");
    engine.load(ID, span(0..1)).await.unwrap();
}

#[tokio::test]
async fn a_file_in_a_folder_of_its_repository_is_a_part_as_well() {
    let file = quantised::model("llama", 8, 3).bytes();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("m.gguf"), &file).unwrap();
    let (local, cache) =
        (LocalHub::with(ID, vec![("Q8_0/m-Q8_0.gguf".to_owned(), file)]).await, tempfile::tempdir().unwrap());
    let engine = engine(over(&local, &cache));
    let own = engine.load(folder.path().join("m.gguf"), span(0..1)).await.unwrap();
    for blocks in [span(0..1), span(2..3)] {
        assert_eq!(engine.load(ID, blocks).await.unwrap().id(), own.id());
    }
}

#[tokio::test]
async fn a_download_of_some_blocks_notices_that_the_branch_went_on() {
    let (written, cache) = (Written::new(1), tempfile::tempdir().unwrap());
    let local = written.hub().await;
    let engine = engine(over(&local, &cache));
    let first = engine.load(ID, Blocks::All).await.unwrap();
    let mut changed = std::fs::read(written.folder.path().join("model.safetensors")).unwrap();
    let last = changed.len() - 2;
    changed[last] ^= 1;
    local.set("model.safetensors", &changed, &"b".repeat(40));
    assert_eq!(engine.load(ID, span(0..1)).await.unwrap().id(), first.id());
    let mut download = engine.download(ID, &span(0..1)).unwrap();
    while download.next().await.unwrap().is_some() {}
    assert_ne!(engine.load(ID, span(0..1)).await.unwrap().id(), first.id());
    assert_eq!(engine.load(format!("{ID}@{COMMIT}"), span(0..1)).await.unwrap().id(), first.id());
    for empty in [span(2..2), span(0..0)] {
        let mut download = engine.download(ID, &empty).unwrap();
        let error = loop {
            match download.next().await {
                Ok(event) => assert!(event.is_some(), "no blocks cannot be loaded"),
                Err(error) => break error,
            }
        };
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
    }
}
