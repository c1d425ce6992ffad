//! The shape of the model, its first weights, and its files.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use kwaai_core::shard::{Llama, ModelConfig};
use serde_json::{Value, json};

use crate::Result;
use crate::random::Random;
use crate::vocabulary::{BEGIN, Vocabulary, write_sorted};

/// Longest text in tokens, prompt and answer together.
pub const MAX_CONTEXT: usize = 512;

/// Standard deviation of the first weights.
const INITIAL_SPREAD: f64 = 0.04;

/// The `config.json` of the model. Four blocks split evenly over two hosts.
pub fn config(vocabulary: &Vocabulary) -> Result<Value> {
    Ok(json!({
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 32,
        "hidden_act": "silu",
        "vocab_size": vocabulary.size(),
        "max_position_embeddings": MAX_CONTEXT,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "attention_bias": false,
        "mlp_bias": false,
        "tie_word_embeddings": true,
        "initializer_range": INITIAL_SPREAD,
        "torch_dtype": "float16",
        "bos_token_id": vocabulary.id(BEGIN),
        "eos_token_id": vocabulary.end(),
        "pad_token_id": vocabulary.pad(),
    }))
}

/// A model under training: the blocks of kwaai-core over variables.
pub struct Weights {
    /// The forward pass.
    pub llama: Llama,
    /// Every variable by its name in the file, in the order of the names.
    pub variables: BTreeMap<String, Var>,
}

impl Weights {
    /// Weights drawn from the seed alone: normal for matrices, one for normalisations. Matrices whose product is added
    /// to the residual stream begin smaller, by the number of additions.
    pub fn seeded(config: &Value, random: &mut Random) -> Result<Weights> {
        let shape = ModelConfig::parse(config.to_string().as_bytes())?;
        let map = VarMap::new();
        let llama = Llama::new(&shape, &VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu))?;
        let variables: BTreeMap<String, Var> = {
            let data = map.data().lock().map_err(|_| "the variables are poisoned")?;
            data.iter().map(|(name, variable)| (name.clone(), variable.clone())).collect()
        };
        let residual = INITIAL_SPREAD / (2.0 * shape.blocks as f64).sqrt();
        for (name, variable) in &variables {
            if variable.rank() < 2 {
                continue;
            }
            let added = name.ends_with("o_proj.weight") || name.ends_with("down_proj.weight");
            let spread = if added { residual } else { INITIAL_SPREAD };
            let values: Vec<f32> = (0..variable.elem_count()).map(|_| (random.normal() * spread) as f32).collect();
            variable.set(&Tensor::from_vec(values, variable.shape(), &Device::Cpu)?)?;
        }
        Ok(Weights { llama, variables })
    }

    /// How many numbers the model has learned.
    pub fn parameters(&self) -> usize {
        self.variables.values().map(|variable| variable.elem_count()).sum()
    }

    /// Rounds every weight to f16 in place, so that what is scored is what is saved.
    pub fn round_to_f16(&self) -> Result<()> {
        for variable in self.variables.values() {
            variable.set(&variable.to_dtype(DType::F16)?.to_dtype(DType::F32)?)?;
        }
        Ok(())
    }

    /// Writes `model.safetensors` in f16, `config.json` and `generation_config.json`.
    pub fn save(&self, config: &Value, directory: &Path) -> Result<()> {
        let tensors: BTreeMap<&str, Tensor> = self
            .variables
            .iter()
            .map(|(name, variable)| Ok((name.as_str(), variable.to_dtype(DType::F16)?)))
            .collect::<Result<_>>()?;
        let format = std::collections::HashMap::from([("format".to_string(), "pt".to_string())]);
        safetensors::serialize_to_file(tensors, Some(format), &directory.join("model.safetensors"))?;
        write_sorted(&directory.join("config.json"), config.clone())?;
        let generation = json!({
            "bos_token_id": config["bos_token_id"],
            "eos_token_id": config["eos_token_id"],
            "pad_token_id": config["pad_token_id"],
            "do_sample": false,
            "max_new_tokens": 96,
        });
        write_sorted(&directory.join("generation_config.json"), generation)?;
        Ok(())
    }
}
