//! The folders of small embedding models, with weights that follow from a seed.

use std::path::Path;

use serde_json::Value;

/// The numbers of a tensor as `embedder_reference.py` draws them: SplitMix64 from the FNV-1a hash of the name.
fn numbers(seed: u64, name: &str, shape: &[usize]) -> Vec<f32> {
    let fold = |state: u64, byte: u8| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let start = name.bytes().fold(0xcbf2_9ce4_8422_2325 ^ seed, fold);
    let draw = |at: usize| {
        let z = start.wrapping_add(0x9e37_79b9_7f4a_7c15u64.wrapping_mul(at as u64 + 1));
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let unit = ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 23) - 1.0;
        let value = match shape.len() {
            1 => f64::from(u8::from(name.ends_with("weight"))) + 0.3 * unit,
            _ if name.contains("embeddings") => unit,
            _ => unit * 2.5 / (shape[shape.len() - 1] as f64).sqrt(),
        };
        value as f32
    };
    (0..shape.iter().product()).map(draw).collect()
}

pub fn write_tensors(
    path: &Path,
    tensors: &[(String, Vec<usize>)],
    numbers: impl Fn(usize, &str, &[usize]) -> Vec<f32>,
) {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (number, (name, shape)) in tensors.iter().enumerate() {
        let start = data.len();
        numbers(number, name, shape).iter().for_each(|value| data.extend_from_slice(&value.to_le_bytes()));
        let entry = serde_json::json!({"dtype": "F32", "shape": shape, "data_offsets": [start, data.len()]});
        header.insert(name.clone(), entry);
    }
    let header = serde_json::to_vec(&header).unwrap();
    std::fs::write(path, [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()).unwrap();
}

/// The models of the golden file, or of the one that `KWAAI_GOLDEN_EMBEDDERS` names.
pub fn golden() -> Value {
    let text = match std::env::var("KWAAI_GOLDEN_EMBEDDERS") {
        Ok(file) => std::fs::read_to_string(file).unwrap(),
        Err(_) => include_str!("../golden/embedders.json").to_owned(),
    };
    serde_json::from_str(&text).unwrap()
}

/// Writes the folder of a model of the golden file.
pub fn write_model(golden: &Value, case: &Value, dir: &Path) {
    for (name, content) in case["files"].as_object().unwrap() {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content.to_string()).unwrap();
    }
    std::fs::write(dir.join("tokenizer.json"), golden["tokenizer"].to_string()).unwrap();
    let shape = |shape: &Value| shape.as_array().unwrap().iter().map(|size| size.as_u64().unwrap() as usize).collect();
    let tensors = case["tensors"].as_object().unwrap().iter();
    let tensors: Vec<(String, Vec<usize>)> = tensors.map(|(name, sizes)| (name.clone(), shape(sizes))).collect();
    let seed = golden["seed"].as_u64().unwrap();
    write_tensors(&dir.join("model.safetensors"), &tensors, |_, name, shape| numbers(seed, name, shape));
}
