//! Embedding models: their vectors against those that other implementations compute, and what broken model folders get.

#[path = "support/embedders.rs"]
mod embedders;

use std::path::Path;

use embedders::{golden, write_model, write_tensors};
use kwaai_core::ErrorCode;
use kwaai_core::llm::{BertEmbedder, Embedder, Text, model_cache};
use serde_json::Value;

fn documents(texts: &[&str]) -> Vec<Text> {
    texts.iter().map(|text| Text::Document((*text).to_owned())).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vectors_are_those_that_numpy_computes() {
    let Some(dir) = model_cache::find_all_minilm().unwrap() else {
        println!("skipped: the weights of all-MiniLM-L6-v2 are not in the model cache");
        return;
    };
    let golden: Value = serde_json::from_str(include_str!("golden/minilm.json")).unwrap();
    let rows = golden["texts"].as_array().unwrap();
    let texts: Vec<&str> = rows.iter().map(|row| row["text"].as_str().unwrap()).collect();
    let embedder = BertEmbedder::open(&dir).await.unwrap();
    assert_eq!(embedder.dimension(), 384);
    assert_eq!(embedder.id(), BertEmbedder::open(&dir).await.unwrap().id());
    assert!(embedder.id().starts_with("MiniLM-L6-H384-uncased@"), "{}", embedder.id());

    let vectors = embedder.embed(documents(&texts)).await.unwrap();
    for (row, vector) in rows.iter().zip(&vectors) {
        assert_eq!(vector.len(), 384);
        assert!((dot(vector, vector).sqrt() - 1.0).abs() < 1e-5);
        for (expected, value) in row["first"].as_array().unwrap().iter().zip(vector) {
            assert!((expected.as_f64().unwrap() - f64::from(*value)).abs() <= 1e-4, "{row}");
        }
    }
    for (a, products) in vectors.iter().zip(golden["products"].as_array().unwrap()) {
        for (b, expected) in vectors.iter().zip(products.as_array().unwrap()) {
            assert!((dot(a, b) - expected.as_f64().unwrap()).abs() <= 1e-4);
        }
    }

    // Alone, without the padding of a batch, and among many: the same.
    for (text, vector) in texts.iter().zip(&vectors) {
        let alone = embedder.embed(vec![Text::Query((*text).to_owned())]).await.unwrap();
        assert!(alone[0].iter().zip(vector).all(|(a, b)| (a - b).abs() < 1e-5));
    }
    let many: Vec<&str> = texts.iter().copied().cycle().take(100).collect();
    let again = embedder.embed(documents(&many)).await.unwrap();
    assert!(again.iter().zip(vectors.iter().cycle()).all(|(a, b)| dot(a, b) > 0.99999));
    assert!(embedder.embed(Vec::new()).await.unwrap().is_empty());
    assert_eq!(embedder.embed(documents(&[""])).await.unwrap()[0].len(), 384);
}

/// The folder of one of them.
fn model(name: &str) -> tempfile::TempDir {
    let (golden, dir) = (golden(), tempfile::tempdir().unwrap());
    let case = golden["cases"].as_array().unwrap().iter().find(|case| case["name"] == name).unwrap();
    write_model(&golden, case, dir.path());
    dir
}

/// A file of a model's folder with some of its members replaced.
fn change(dir: &tempfile::TempDir, file: &str, changes: Value) {
    let path = dir.path().join(file);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|_| "{}".to_owned());
    let mut content: Value = serde_json::from_str(&text).unwrap();
    for (name, value) in changes.as_object().unwrap() {
        content[name] = value.clone();
    }
    std::fs::write(path, content.to_string()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_vectors_of_every_family_pooling_and_prompt_are_those_of_other_implementations() {
    let golden = golden();
    for case in golden["cases"].as_array().unwrap() {
        let (name, dir) = (case["name"].as_str().unwrap(), tempfile::tempdir().unwrap());
        write_model(&golden, case, dir.path());
        let embedder = BertEmbedder::open(dir.path()).await.unwrap();
        let rows = case["texts"].as_array().unwrap();
        let texts: Vec<Text> = rows
            .iter()
            .map(|row| match (row["role"].as_str().unwrap(), row["text"].as_str().unwrap().to_owned()) {
                ("query", text) => Text::Query(text),
                (_, text) => Text::Document(text),
            })
            .collect();
        let vectors = embedder.embed(texts.clone()).await.unwrap();
        for ((row, text), vector) in rows.iter().zip(&texts).zip(&vectors) {
            let expected = row["vector"].as_array().unwrap();
            assert_eq!(vector.len(), expected.len());
            for (expected, value) in expected.iter().zip(vector) {
                let away = (expected.as_f64().unwrap() - f64::from(*value)).abs();
                assert!(away <= 2e-5, "{name}, {text:?}: {away}");
            }
            assert_eq!(embedder.count_tokens(std::slice::from_ref(text)) as u64, row["tokens"].as_u64().unwrap());
            let alone = embedder.embed(vec![text.clone()]).await.unwrap();
            assert!(alone[0].iter().zip(vector).all(|(a, b)| (a - b).abs() < 1e-5), "{name}, {text:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_the_vectors_changes_the_id_and_nothing_else_does() {
    let open = async |dir: &tempfile::TempDir| BertEmbedder::open(dir.path()).await.unwrap().id();
    let dir = model("bert_cls_prompt");
    let first = open(&dir).await;
    assert!(first.starts_with("small-mxbai@"), "{first}");
    assert_eq!(open(&model("bert_cls_prompt")).await, first);
    let prompts = "config_sentence_transformers.json";
    change(&dir, prompts, serde_json::json!({"similarity_fn_name": "cosine"}));
    assert_eq!(open(&dir).await, first, "what is not used does not count");
    change(&dir, prompts, serde_json::json!({"prompts": {"query": "Question: ", "passage": ""}}));
    let asked = open(&dir).await;
    change(&dir, prompts, serde_json::json!({"prompts": {"query": "Question: ", "passage": "Text: "}}));
    let both = open(&dir).await;
    change(
        &dir,
        "1_Pooling/config.json",
        serde_json::json!({"pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true}),
    );
    let mean = open(&dir).await;
    change(&dir, "sentence_bert_config.json", serde_json::json!({"max_seq_length": 16}));
    let short = open(&dir).await;
    let ids = std::collections::BTreeSet::from([first, asked, both, mean, short]);
    assert_eq!(ids.len(), 5, "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_are_put_before_what_they_are_for() {
    let near = |a: &[f32], b: &[f32]| dot(a, b) > 0.99999;
    let embed = async |dir: &tempfile::TempDir, texts: Vec<Text>| {
        BertEmbedder::open(dir.path()).await.unwrap().embed(texts).await.unwrap()
    };
    let (query, document) = (|text: &str| Text::Query(text.into()), |text: &str| Text::Document(text.into()));
    let dir = model("bert_mean");
    let plain =
        embed(&dir, vec![query("ferry"), document("ferry"), document("key : ferry"), document("pump : ferry")]).await;
    assert!(near(&plain[0], &plain[1]) && !near(&plain[1], &plain[2]));
    let prompts = "config_sentence_transformers.json";
    for (config, asked, found) in [
        (serde_json::json!({"prompts": {"query": "key : ", "document": "pump : "}}), 2, 3),
        (serde_json::json!({"prompts": {"query": "key : ", "document": "", "passage": "pump : "}}), 2, 3),
        (serde_json::json!({"prompts": {"query": "key : "}, "default_prompt_name": null}), 2, 1),
        (serde_json::json!({"prompts": {"query": "key : "}, "default_prompt_name": "query"}), 2, 2),
        (serde_json::json!({"prompts": {"query": "key : ", "passage": ""}, "default_prompt_name": "query"}), 2, 1),
        (serde_json::json!({"prompts": {"other": "key : "}, "default_prompt_name": "other"}), 2, 2),
        (serde_json::json!({}), 1, 1),
    ] {
        std::fs::write(dir.path().join(prompts), config.to_string()).unwrap();
        let vectors = embed(&dir, vec![query("ferry"), document("ferry")]).await;
        assert!(near(&vectors[0], &plain[asked]) && near(&vectors[1], &plain[found]), "{config}");
    }
    change(&dir, prompts, serde_json::json!({"prompts": {}, "default_prompt_name": "gone"}));
    assert_eq!(BertEmbedder::open(dir.path()).await.unwrap_err().code(), ErrorCode::CorruptData);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_folder_asks_for_and_nobody_computes_is_unsupported_with_the_reason() {
    let module = |kind: &str, path: &str| serde_json::json!([{"idx": 0, "name": "0", "path": path, "type": kind}]);
    for (case, file, changes, reason) in [
        (
            "bert_mean",
            "1_Pooling/config.json",
            serde_json::json!({"pooling_mode_mean_tokens": false, "pooling_mode_max_tokens": true}),
            "max of the tokens",
        ),
        ("bert_mean", "1_Pooling/config.json", serde_json::json!({"pooling_mode_cls_token": true}), "cls and mean"),
        ("bert_mean", "1_Pooling/config.json", serde_json::json!({"pooling_mode": "lasttoken"}), "lasttoken"),
        ("bert_mean", "1_Pooling/config.json", serde_json::json!({"pooling_mode_mean_tokens": false}), "nothing"),
        ("bert_cls_prompt", "1_Pooling/config.json", serde_json::json!({"include_prompt": false}), "prompt"),
        ("bert_mean", "config.json", serde_json::json!({"hidden_act": "relu"}), "relu"),
        ("bert_mean", "config.json", serde_json::json!({"position_embedding_type": "relative_key"}), "relative_key"),
        ("bert_mean", "config.json", serde_json::json!({"is_decoder": true}), "decoder"),
        ("bert_mean", "config.json", serde_json::json!({"model_type": "roberta"}), "roberta"),
        ("nomic", "config.json", serde_json::json!({"activation_function": "gelu"}), "gelu"),
        ("nomic", "config.json", serde_json::json!({"rotary_emb_fraction": 0.5}), "0.5"),
        ("nomic", "config.json", serde_json::json!({"rotary_emb_interleaved": true}), "neighbours"),
        ("nomic", "config.json", serde_json::json!({"rotary_emb_scale_base": 512}), "scales"),
        ("nomic", "config.json", serde_json::json!({"prenorm": true}), "normalised before"),
        ("nomic", "config.json", serde_json::json!({"use_rms_norm": true}), "root mean square"),
        ("nomic", "config.json", serde_json::json!({"causal": true}), "one direction"),
        ("nomic", "config.json", serde_json::json!({"moe_every_n_layers": 2}), "mixture of experts"),
        ("nomic", "config.json", serde_json::json!({"num_heads_kv": 1}), "share keys"),
    ] {
        let dir = model(case);
        change(&dir, file, changes);
        let error = BertEmbedder::open(dir.path()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unsupported, "{reason}: {error}");
        assert!(error.message().contains(reason), "{reason}: {error}");
        assert!(error.context()["file"].ends_with(file) && error.context().contains_key("remedy"));
    }
    for (modules, reason) in [
        (module("sentence_transformers.models.Dense", "2_Dense"), "Dense"),
        (module("sentence_transformers.models.Pooling", "pool"), "pool"),
    ] {
        let dir = model("bert_mean");
        std::fs::write(dir.path().join("modules.json"), modules.to_string()).unwrap();
        let error = BertEmbedder::open(dir.path()).await.unwrap_err();
        assert!(error.code() == ErrorCode::Unsupported && error.message().contains(reason), "{error}");
    }
    for (case, changes) in [
        ("nomic", serde_json::json!({"n_head": null})),
        ("nomic", serde_json::json!({"n_head": 8})),
        ("nomic", serde_json::json!({"rotary_emb_base": 0})),
        ("nomic", serde_json::json!({"n_inner": 18_446_744_073_709_551_615u64})),
        ("nomic", serde_json::json!({"max_trained_positions": 0})),
        ("bert_mean", serde_json::json!({"type_vocab_size": 0})),
        ("bert_mean", serde_json::json!({"num_attention_heads": 0})),
        ("bert_mean", serde_json::json!({"layer_norm_eps": 0})),
    ] {
        let dir = model(case);
        change(&dir, "config.json", changes);
        assert_eq!(BertEmbedder::open(dir.path()).await.unwrap_err().code(), ErrorCode::CorruptData);
    }
}

/// A model of two blocks and four numbers with every tensor that one needs, except what `change` alters.
fn tiny(dir: &Path, change: impl Fn(&mut Vec<(String, Vec<usize>)>)) {
    let config = r#"{"model_type":"bert","hidden_size":4,"num_hidden_layers":2,"num_attention_heads":2,"intermediate_size":8,"vocab_size":6,"max_position_embeddings":16}"#;
    std::fs::write(dir.join("config.json"), config).unwrap();
    let tokenizer = r#"{"version":"1.0","added_tokens":[],"normalizer":null,"pre_tokenizer":{"type":"Whitespace"},"post_processor":null,"decoder":null,
        "model":{"type":"WordLevel","vocab":{"[UNK]":0,"a":1,"b":2,"c":3,"d":4,"e":5},"unk_token":"[UNK]"}}"#;
    std::fs::write(dir.join("tokenizer.json"), tokenizer).unwrap();
    let mut tensors: Vec<(String, Vec<usize>)> = vec![
        ("embeddings.word_embeddings.weight".into(), vec![6, 4]),
        ("embeddings.position_embeddings.weight".into(), vec![16, 4]),
        ("embeddings.token_type_embeddings.weight".into(), vec![2, 4]),
        ("embeddings.LayerNorm.weight".into(), vec![4]),
        ("embeddings.LayerNorm.bias".into(), vec![4]),
    ];
    for layer in 0..2 {
        for (name, shape) in [
            ("attention.self.query", vec![4, 4]),
            ("attention.self.key", vec![4, 4]),
            ("attention.self.value", vec![4, 4]),
            ("attention.output.dense", vec![4, 4]),
            ("attention.output.LayerNorm", vec![4]),
            ("intermediate.dense", vec![8, 4]),
            ("output.dense", vec![4, 8]),
            ("output.LayerNorm", vec![4]),
        ] {
            tensors.push((format!("encoder.layer.{layer}.{name}.bias"), vec![shape[0]]));
            tensors.push((format!("encoder.layer.{layer}.{name}.weight"), shape));
        }
    }
    change(&mut tensors);
    let numbers = |number: usize, _: &str, shape: &[usize]| -> Vec<f32> {
        (0..shape.iter().product()).map(|at: usize| ((at * 7 + number * 3) % 11) as f32 / 11.0).collect()
    };
    write_tensors(&dir.join("model.safetensors"), &tensors, numbers);
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_model_folders_are_named_with_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let open = async || BertEmbedder::open(dir.path()).await;
    let missing = open().await.unwrap_err();
    assert_eq!(missing.code(), ErrorCode::NotFound);
    assert!(missing.context()["file"].ends_with("config.json") && missing.context().contains_key("remedy"));

    tiny(dir.path(), |_| {});
    let embedder = open().await.unwrap();
    let first = embedder.id();
    assert_eq!(embedder.embed(documents(&["a b", "c d e a b c d"])).await.unwrap().len(), 2);

    tiny(dir.path(), |tensors| drop(tensors.pop()));
    let error = open().await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CorruptData);
    assert!(error.message().contains("encoder.layer.1.output.LayerNorm.weight is missing"), "{error}");

    tiny(dir.path(), |tensors| tensors[0].1 = vec![4, 6]);
    let error = open().await.unwrap_err();
    assert!(error.message().contains("word_embeddings") && error.message().contains("[4, 6]"), "{error}");

    tiny(dir.path(), |_| {});
    let weights = dir.path().join("model.safetensors");
    let bytes = std::fs::read(&weights).unwrap();
    for cut in [0, 4, 100, bytes.len() - 1] {
        std::fs::write(&weights, &bytes[..cut]).unwrap();
        let error = open().await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::CorruptData, "cut at {cut}");
        assert!(error.context()["file"].ends_with("model.safetensors"));
    }
    let mut other = bytes.clone();
    *other.last_mut().unwrap() ^= 1;
    std::fs::write(&weights, other).unwrap();
    assert_ne!(open().await.unwrap().id(), first, "other weights must have another id");

    std::fs::write(dir.path().join("config.json"), "{").unwrap();
    assert_eq!(open().await.unwrap_err().code(), ErrorCode::CorruptData);
    let roberta = r#"{"model_type":"roberta","hidden_size":4,"num_hidden_layers":2,"num_attention_heads":2,"intermediate_size":8,"vocab_size":6,"max_position_embeddings":16}"#;
    std::fs::write(dir.path().join("config.json"), roberta).unwrap();
    assert_eq!(open().await.unwrap_err().code(), ErrorCode::Unsupported);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tokenizer_with_tokens_that_the_model_does_not_know_is_named() {
    let dir = model("bert_mean");
    let path = dir.path().join("tokenizer.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let changed = text.replace("\"ids\":[2]", "\"ids\":[999]");
    assert_ne!(changed, text);
    std::fs::write(path, changed).unwrap();
    let embedder = BertEmbedder::open(dir.path()).await.unwrap();
    let error = embedder.embed(documents(&["the ferry"])).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::CorruptData);
    assert!(error.message().contains("999"), "{error}");
}
