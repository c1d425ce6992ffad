//! The embedding model: its vectors against those that numpy computes, and what broken model folders get.

use std::path::Path;

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
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (number, (name, shape)) in tensors.iter().enumerate() {
        let start = data.len();
        for at in 0..shape.iter().product::<usize>() {
            data.extend_from_slice(&(((at * 7 + number * 3) % 11) as f32 / 11.0).to_le_bytes());
        }
        header.insert(
            name.clone(),
            serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]}),
        );
    }
    let header = serde_json::to_vec(&header).unwrap();
    let file = [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat();
    std::fs::write(dir.join("model.safetensors"), file).unwrap();
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
