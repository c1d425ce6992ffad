//! Models in GGUF files: what works with a directory works with a file, and broken files are refused by what is wrong.

mod shard_support;
#[path = "support/gguf.rs"]
mod written;

use std::path::Path;
use std::sync::Arc;

use kwaai_core::event::Item;
use kwaai_core::llm::{ChatMessage, GenerateEvent};
use kwaai_core::shard::{
    Backend, Blocks, Compute, Family, LoadOptions, Model, RopeScaling, Route, ShardEngine, SlidingWindow,
};
use kwaai_core::{Error, ErrorCode};
use shard_support::{AllBut, TcpNode, Town};
use written::{File, Meta, Tensor};

async fn load(path: &Path) -> Result<Model, Error> {
    ShardEngine::local().load(path, LoadOptions::default()).await
}

/// Writes a file, loads it, and has the refusal name the file and the way out.
async fn refused(file: &File) -> Error {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    std::fs::write(&path, file.bytes()).unwrap();
    let error = load(&path).await.unwrap_err();
    assert!(error.context()["file"].ends_with("model.gguf"), "{error}");
    error
}

async fn loaded(file: &File) -> Model {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small.gguf");
    std::fs::write(&path, file.bytes()).unwrap();
    load(&path).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_served_in_blocks_and_chats_like_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small.gguf");
    std::fs::write(&path, File::model("qwen3").bytes()).unwrap();
    let town = Arc::new(Town::default());
    let nodes = [TcpNode::start(&town, 1).await, TcpNode::start(&town, 2).await];
    let [host, app] = nodes.each_ref().map(|node| ShardEngine::over(node.clone(), Arc::new(AllBut::default())));
    let offer = host.serve(&path, 0..1).await.unwrap();
    let model = app.load(&path, Blocks::None).await.unwrap();
    assert_eq!((model.id(), model.name()), (offer.model.as_str(), "small"));
    assert!(model.id().starts_with("qwen3-1x8-"));
    // Token 258 ends a text though the file does not name it.
    assert_eq!(model.end_of_text(), [257, 258]);
    let whole = app.load(&path, LoadOptions::default()).await.unwrap();
    let tokens: Vec<u32> = (0..150).map(|i| i * 7 % 262).collect();
    let local = app.logits(&whole, &tokens, Route::Local).await.unwrap();
    assert!(app.logits(&model, &tokens, Route::Peers).await.unwrap() == local, "bit-identical over peers");
    let mut stream = app.chat(&model, vec![ChatMessage::user("abc")], Route::Peers).await.unwrap();
    let prompt_tokens = loop {
        match stream.next().await.unwrap() {
            Some(Item::Value(GenerateEvent::Done { usage, .. })) => break usage.prompt_tokens,
            Some(_) => {}
            None => panic!("the stream ended without saying why"),
        }
    };
    // <s>, six bytes of "user: ", the token abc, and eleven bytes of the rest.
    assert_eq!(prompt_tokens, 1 + 6 + 1 + 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_id_of_a_file_follows_its_content_and_not_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (dir.path().join("one.gguf"), dir.path().join("without_an_ending"));
    let file = File::model("llama");
    std::fs::write(&one, file.bytes()).unwrap();
    std::fs::write(&other, file.bytes()).unwrap();
    let id = load(&one).await.unwrap().id().to_string();
    assert_eq!(load(&other).await.unwrap().id(), id, "a file is known by its first bytes");
    let changed = file.changed("blk.0.ffn_up.weight", |tensor| tensor.bytes[2] ^= 1);
    std::fs::write(&other, changed.bytes()).unwrap();
    assert_ne!(load(&other).await.unwrap().id(), id);
}

#[cfg(not(feature = "ggml"))]
#[tokio::test(flavor = "multi_thread")]
async fn ggml_is_asked_for_in_vain_where_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("small.gguf");
    std::fs::write(&path, File::model("llama").bytes()).unwrap();
    let compute = Compute { backend: Some(Backend::Ggml), ..Compute::default() };
    let options = LoadOptions { compute, ..LoadOptions::default() };
    let error = ShardEngine::local().load(&path, options).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unsupported);
    assert!(error.context()["remedy"].contains("feature ggml"), "{error}");
    assert_eq!(load(&path).await.unwrap().backend(), Backend::Candle);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_of_a_file_reach_the_configuration() {
    let model = loaded(&File::model("llama").with("llama.attention.sliding_window", Meta::U32(5))).await;
    assert_eq!(model.config().sliding_window, Some(SlidingWindow { tokens: 5, blocks: vec![true] }));
    let scaled = File::model("llama")
        .with("llama.rope.scaling.type", Meta::text("linear"))
        .with("llama.rope.scaling.factor", Meta::F32(4.0))
        .with("llama.rope.freq_base", Meta::F32(500_000.0));
    let model = loaded(&scaled).await;
    assert_eq!(model.config().rope_scaling, RopeScaling::Linear { factor: 4.0 });
    assert_eq!(model.config().rope_theta, 500_000.0);
    let mut each = File::model("llama");
    let bytes = [1.0f32, 8.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    each.tensors.push(Tensor { name: "rope_freqs.weight".into(), shape: vec![2], kind: 0, offset: None, bytes });
    let model = loaded(&each).await;
    assert_eq!(model.config().rope_scaling, RopeScaling::Each { divisors: vec![1.0, 8.0] });
    let mistral = File::model("mistral");
    assert_eq!(loaded(&mistral).await.config().family, Family::Mistral);
    let mute = loaded(&File::model("qwen2").with("tokenizer.ggml.model", Meta::text("none"))).await;
    assert_eq!(mute.tokens().map(|_| ()).unwrap_err().code(), ErrorCode::Unsupported);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_query_and_key_are_put_into_order_for_llama_alone() {
    let tokens: Vec<u32> = (0..20).collect();
    let mut logits = Vec::new();
    for architecture in ["llama", "mistral", "qwen2"] {
        let mut file = File::model(architecture);
        // Without biases a Qwen2 would be a Llama with other rows.
        file.tensors.iter_mut().filter(|tensor| tensor.name.ends_with("bias")).for_each(|tensor| tensor.bytes.fill(0));
        logits.push(ShardEngine::local().logits(&loaded(&file).await, &tokens, Route::Local).await.unwrap());
    }
    assert!(logits[0] == logits[1] && logits[0] != logits[2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_cut_anywhere_in_its_head_or_its_tensors_is_corrupt_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    let whole = File::model("qwen2").bytes();
    let tensors: usize =
        File::model("qwen2").tensors.iter().map(|tensor| tensor.bytes.len().next_multiple_of(32)).sum();
    let head = whole.len() - tensors;
    assert!(head > 4000);
    let lengths = (0..head).step_by(97).chain([23, 24, head - 1, head, head + 1, whole.len() - 1]);
    for length in lengths {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = load(&path).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::CorruptData, "{length} bytes: {error}");
        assert!(error.context()["file"].ends_with("model.gguf") && error.context().contains_key("remedy"));
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(load(&path).await.unwrap_err().code(), ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_contradicts_itself_is_corrupt() {
    let model = || File::model("llama");
    let embedding = "token_embd.weight";
    let twice = |mut file: File| {
        file.metadata.push(file.metadata[0].clone());
        file
    };
    let tensor_twice = |mut file: File| {
        file.tensors.push(file.tensors[1].clone());
        file
    };
    let huge_list = |of: u32| Meta::Raw(9, [&of.to_le_bytes()[..], &u64::MAX.to_le_bytes()].concat());
    let cases = [
        ("key twice", twice(model())),
        ("tensor twice", tensor_twice(model())),
        ("truth of two", model().with("llama.attention.causal", Meta::Flag(2))),
        ("type that is none", model().with("other", Meta::Raw(13, vec![0; 8]))),
        ("list of what is none", model().with("other", Meta::Raw(9, [&[77, 0, 0, 0][..], &[0; 8]].concat()))),
        ("endless text", model().with("other", Meta::Raw(8, u64::MAX.to_le_bytes().to_vec()))),
        ("endless texts", model().with("other", huge_list(8))),
        ("endless numbers", model().with("other", huge_list(5))),
        ("endless bytes", model().with("other", huge_list(0))),
        ("architecture as number", model().with("general.architecture", Meta::U32(1))),
        ("no architecture", model().without("general.architecture")),
        ("architecture that is no UTF-8", model().with("general.architecture", Meta::Text(vec![0xff]))),
        ("no blocks", model().with("llama.block_count", Meta::U32(0))),
        ("blocks without number", model().without("llama.block_count")),
        ("blocks as text", model().with("llama.block_count", Meta::text("1"))),
        ("countless blocks", model().with("llama.block_count", Meta::U32(u32::MAX))),
        ("no heads", model().with("llama.attention.head_count", Meta::U32(0)).without("llama.attention.key_length")),
        ("odd heads", model().with("llama.attention.key_length", Meta::U32(5))),
        ("groups that do not add up", model().with("llama.attention.head_count_kv", Meta::U32(3))),
        ("epsilon missing", model().without("llama.attention.layer_norm_rms_epsilon")),
        ("epsilon no number", model().with("llama.attention.layer_norm_rms_epsilon", Meta::F32(f32::NAN))),
        ("base no number", model().with("llama.rope.freq_base", Meta::F32(f32::NAN))),
        ("another vocabulary", model().with("llama.vocab_size", Meta::U32(263))),
        ("a wider model", model().with("llama.embedding_length", Meta::U32(16))),
        ("five dimensions", model().changed(embedding, |tensor| tensor.shape = vec![262, 8, 1, 1, 1])),
        ("no dimension", model().changed(embedding, |tensor| tensor.shape = vec![])),
        ("dimension zero", model().changed(embedding, |tensor| tensor.shape = vec![0, 8])),
        (
            "more values than there are numbers",
            model().changed(embedding, |tensor| tensor.shape = vec![1 << 40, 1 << 40]),
        ),
        ("values that end beyond all", model().changed(embedding, |tensor| tensor.offset = Some(u64::MAX - 31))),
        ("values that end beyond the file", model().changed(embedding, |tensor| tensor.offset = Some(1 << 20))),
        ("values over others", model().changed("output_norm.weight", |tensor| tensor.offset = Some(32))),
        ("half a block", model().changed("blk.0.attn_q.weight", |tensor| tensor.kind = 8)),
        (
            "another type than the bytes are of",
            model().changed("blk.0.ffn_down.weight", |tensor| {
                tensor.bytes = f32::NAN.to_le_bytes().repeat(96);
            }),
        ),
        ("tensor of another shape", model().changed("blk.0.ffn_up.weight", |tensor| tensor.shape.reverse())),
        ("rows that are no heads", model().changed("blk.0.attn_k.weight", |tensor| tensor.shape = vec![3, 8])),
    ];
    for (name, file) in cases {
        let error = refused(&file).await;
        assert_eq!(error.code(), ErrorCode::CorruptData, "{name}: {error}");
        assert!(error.context().contains_key("remedy"), "{name}: {error}");
    }
    for alignment in [Meta::U32(24), Meta::U32(0), Meta::U32(4), Meta::U32(1 << 31), Meta::text("32")] {
        let error = refused(&model().with("general.alignment", alignment)).await;
        assert_eq!((error.code(), error.context()["key"].as_str()), (ErrorCode::CorruptData, "general.alignment"));
    }
    let mut between = model();
    let last: u64 =
        between.tensors.iter().rev().skip(1).map(|tensor| tensor.bytes.len().next_multiple_of(32) as u64).sum();
    between.tensors.last_mut().unwrap().bytes.extend([0; 4]);
    between.tensors.last_mut().unwrap().offset = Some(last + 4);
    let error = refused(&between).await;
    assert!(error.code() == ErrorCode::CorruptData && error.message().contains("no multiple of 32"), "{error}");
    let mut missing = model();
    missing.tensors.retain(|tensor| tensor.name != "blk.0.attn_v.weight");
    assert_eq!(refused(&missing).await.context()["tensor"], "model.layers.0.self_attn.v_proj.weight");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_computed_from_a_file_is_refused_by_its_key() {
    let llama = || File::model("llama");
    for (file, key) in [
        (llama().with("general.architecture", Meta::text("gemma3")), "general.architecture"),
        (llama().with("general.type", Meta::text("adapter")), "general.type"),
        (llama().with("split.count", Meta::U32(3)), "split.count"),
        (llama().with("llama.expert_count", Meta::U32(8)), "llama.expert_count"),
        (llama().with("llama.rope.dimension_count", Meta::U32(2)), "llama.rope.dimension_count"),
        (llama().with("llama.attention.value_length", Meta::U32(8)), "llama.attention.value_length"),
        (llama().with("llama.attention.causal", Meta::Flag(0)), "llama.attention.causal"),
        (llama().with("llama.rope.scaling.type", Meta::text("yarn")), "llama.rope.scaling.type"),
        (File::model("qwen2").with("qwen2.attention.sliding_window", Meta::U32(9)), "qwen2.attention.sliding_window"),
        (llama().with("tokenizer.ggml.model", Meta::text("t5")), "tokenizer.ggml.model"),
        (llama().with("tokenizer.ggml.pre", Meta::text("jais")), "tokenizer.ggml.pre"),
        (llama().without("tokenizer.ggml.pre"), "tokenizer.ggml.pre"),
    ] {
        let error = refused(&file).await;
        assert_eq!((error.code(), error.context()["key"].as_str()), (ErrorCode::Unsupported, key), "{error}");
    }
    for version in [0, 1, 4, 3u32.swap_bytes()] {
        assert_eq!(refused(&File { version, ..llama() }).await.code(), ErrorCode::Unsupported, "version {version}");
    }
    assert_eq!(loaded(&File { version: 2, ..llama() }).await.config().family, Family::Llama);
    let five_bits = llama().changed("blk.0.ffn_up.weight", |tensor| tensor.kind = 13);
    let error = refused(&five_bits).await;
    assert_eq!(error.context()["tensor"], "model.layers.0.mlp.up_proj.weight");
    assert!(error.code() == ErrorCode::Unsupported && error.message().contains("Q5_K"), "{error}");
    // Labelled as a Llama, the tensors of a Qwen3 would be computed without its norms.
    let mut mislabelled = File::model("qwen3");
    for (key, value) in &mut mislabelled.metadata {
        *key = key.replace("qwen3.", "llama.");
        if key == "general.architecture" {
            *value = Meta::text("llama");
        }
    }
    let error = refused(&mislabelled).await;
    assert_eq!(error.context()["tensor"], "model.layers.0.self_attn.k_norm.weight");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vocabulary_whose_parts_do_not_fit_is_corrupt() {
    let model = || File::model("qwen2");
    let tokens = |count: usize| Meta::Texts((0..count).map(|id| format!("t{id}")).collect());
    let pieces = || model().with("tokenizer.ggml.model", Meta::text("llama"));
    for (name, file) in [
        ("no tokens", model().without("tokenizer.ggml.tokens")),
        ("tokens that are numbers", model().with("tokenizer.ggml.tokens", Meta::I32s(vec![1; 262]))),
        (
            "more tokens than rows",
            model().with("tokenizer.ggml.tokens", tokens(263)).without("tokenizer.ggml.token_type"),
        ),
        ("one token twice", model().with("tokenizer.ggml.tokens", Meta::Texts(vec!["a".to_string(); 262]))),
        ("too few types", model().with("tokenizer.ggml.token_type", Meta::I32s(vec![1; 5]))),
        ("no merges", model().without("tokenizer.ggml.merges")),
        ("a merge of three", model().with("tokenizer.ggml.merges", Meta::Texts(vec!["a b c".to_string()]))),
        ("a merge of unknown parts", model().with("tokenizer.ggml.merges", Meta::Texts(vec!["no such".to_string()]))),
        ("a beginning that is no token", {
            model()
                .with("tokenizer.ggml.bos_token_id", Meta::U32(999))
                .with("tokenizer.ggml.add_bos_token", Meta::Flag(1))
        }),
        ("no scores", pieces()),
        ("too few scores", pieces().with("tokenizer.ggml.scores", Meta::F32s(vec![0.0; 5]))),
        ("a broken template", model().with("tokenizer.chat_template", Meta::text("{% for %}"))),
    ] {
        let error = refused(&file).await;
        assert_eq!(error.code(), ErrorCode::CorruptData, "{name}: {error}");
    }
}
