//! An embedder that remembers, in a file: the same passages and sentences are embedded for every run.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::path::Path;
use std::sync::Mutex;

use kwaai_core::Result;
use kwaai_core::llm::{BertEmbedder, Embedder, Text, model_cache};

pub struct Remembering {
    inner: BertEmbedder,
    known: Mutex<(HashMap<String, Vec<f32>>, File)>,
}

impl Remembering {
    pub async fn open(path: &Path) -> Remembering {
        let weights = model_cache::find_all_minilm().unwrap().expect("all-MiniLM-L6-v2 is in the model cache");
        let inner = BertEmbedder::open(weights).await.unwrap();
        let mut known = HashMap::new();
        if let Ok(file) = File::open(path) {
            let mut file = BufReader::new(file);
            while let Some((text, vector)) = entry(&mut file, inner.dimension()) {
                known.insert(text, vector);
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        Remembering { inner, known: Mutex::new((known, file)) }
    }
}

/// The length of a text in four bytes, the text, its vector.
fn entry(file: &mut impl Read, dimension: usize) -> Option<(String, Vec<f32>)> {
    let mut length = [0; 4];
    file.read_exact(&mut length).ok()?;
    let mut text = vec![0; u32::from_le_bytes(length) as usize];
    file.read_exact(&mut text).ok()?;
    let mut bytes = vec![0; dimension * 4];
    file.read_exact(&mut bytes).ok()?;
    let vector = bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    Some((String::from_utf8(text).ok()?, vector))
}

#[async_trait::async_trait]
impl Embedder for Remembering {
    fn id(&self) -> String {
        self.inner.id()
    }

    fn dimension(&self) -> usize {
        self.inner.dimension()
    }

    async fn embed(&self, texts: Vec<Text>) -> Result<Vec<Vec<f32>>> {
        let mut missing: Vec<Text> = {
            let known = self.known.lock().unwrap();
            texts.iter().filter(|text| !known.0.contains_key(text.as_str())).cloned().collect()
        };
        missing.sort_by(|a, b| (a.as_str().len(), a.as_str()).cmp(&(b.as_str().len(), b.as_str())));
        missing.dedup_by(|a, b| a.as_str() == b.as_str());
        let vectors = if missing.is_empty() { Vec::new() } else { self.inner.embed(missing.clone()).await? };
        let mut known = self.known.lock().unwrap();
        for (text, vector) in missing.iter().zip(vectors) {
            let text = text.as_str();
            let mut bytes = (text.len() as u32).to_le_bytes().to_vec();
            bytes.extend(text.as_bytes());
            vector.iter().for_each(|value| bytes.extend(value.to_le_bytes()));
            known.1.write_all(&bytes).unwrap();
            known.0.insert(text.to_owned(), vector);
        }
        Ok(texts.iter().map(|text| known.0[text.as_str()].clone()).collect())
    }
}
