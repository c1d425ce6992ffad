#!/usr/bin/env python3
"""Reference vectors of small embedding models with weights of no meaning: BERT by Hugging Face transformers (its Flax
implementation, which needs no torch), NomicBert by numpy in double precision, written from the paper's description.

A file holds whole models: the files of each folder, the shapes of its tensors, and the seed that their numbers follow from,
so that the test makes the same folder by itself.

    python3 tests/parity/embedder_reference.py [SEED] > kwaai-core/tests/golden/embedders.json

The committed file has the seed 1. With another seed, KWAAI_GOLDEN_EMBEDDERS=FILE cargo test --test embedder compares live.
Needs numpy, tokenizers, flax, and transformers below 5.
"""

import json
import math
import sys

import jax
import numpy as np
from tokenizers import Tokenizer
from transformers import BertConfig, FlaxBertModel

jax.config.update("jax_default_matmul_precision", "highest")

WORDS = (
    "the a ferry to Hven leaves every ninety minutes from Landskrona in winter and of key pump boat is checked on Monday"
    " search_query search_document Represent this sentence for searching relevant passages : . , ?"
).split()
VOCABULARY = {word: at for at, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
MXBAI = "Represent this sentence for searching relevant passages: "
TEXTS = [
    ("document", "The ferry to Hven leaves every ninety minutes."),
    ("query", "the ferry to Hven leaves every ninety minutes ."),
    ("document", "the ferry to Hven leaves every ninety minutes ."),
    ("query", "pump"),
    ("document", ""),
    ("document", "the key of the pump is checked on Monday , " * 40),
]


def tokenizer():
    mark = lambda name: {"id": name, "ids": [VOCABULARY[name]], "tokens": [name]}
    special = lambda name: {"SpecialToken": {"id": name, "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"}, "decoder": None,
        "post_processor": {
            "type": "TemplateProcessing", "single": [special("[CLS]"), text, special("[SEP]")],
            "pair": [special("[CLS]"), text, special("[SEP]")],
            "special_tokens": {name: mark(name) for name in ("[CLS]", "[SEP]")}},
        "model": {"type": "WordLevel", "vocab": VOCABULARY, "unk_token": "[UNK]"},
    }


def numbers(seed, name, shape):
    """The numbers of a tensor: SplitMix64 from the FNV-1a hash of its name."""
    state = 0xCBF29CE484222325 ^ seed
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) % 2**64
    count = math.prod(shape)
    with np.errstate(over="ignore"):
        z = np.uint64(state) + np.uint64(0x9E3779B97F4A7C15) * np.arange(1, count + 1, dtype=np.uint64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    unit = (z >> np.uint64(40)).astype(np.float64) / 2**23 - 1.0
    if len(shape) == 1:
        value = (1.0 if name.endswith("weight") else 0.0) + 0.3 * unit
    elif "embeddings" in name:
        value = unit
    else:
        value = unit * 2.5 / math.sqrt(shape[-1])
    return value.astype(np.float32).reshape(shape)


def bert_shapes(config):
    width, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "embeddings.word_embeddings.weight": [config["vocab_size"], width],
        "embeddings.position_embeddings.weight": [config["max_position_embeddings"], width],
        "embeddings.token_type_embeddings.weight": [config["type_vocab_size"], width],
        "embeddings.LayerNorm.weight": [width],
        "embeddings.LayerNorm.bias": [width],
    }
    for index in range(config["num_hidden_layers"]):
        for name, shape in {
            "attention.self.query": [width, width], "attention.self.key": [width, width],
            "attention.self.value": [width, width], "attention.output.dense": [width, width],
            "attention.output.LayerNorm": [width], "intermediate.dense": [inner, width],
            "output.dense": [width, inner], "output.LayerNorm": [width],
        }.items():
            shapes[f"encoder.layer.{index}.{name}.weight"] = shape
            shapes[f"encoder.layer.{index}.{name}.bias"] = shape[:1]
    return shapes


def bert(config, tensors, ids):
    """The last hidden states of a text, by transformers."""
    model = FlaxBertModel(BertConfig(**config), add_pooling_layer=False, _do_init=True)

    def leaf(path, _):
        names = [key.key for key in path]
        kind = {"kernel": "weight", "embedding": "weight", "scale": "weight", "bias": "bias"}[names[-1]]
        tensor = tensors[".".join([*names[:-1], kind])]
        return jax.numpy.asarray(tensor.T if names[-1] == "kernel" else tensor)

    params = jax.tree_util.tree_map_with_path(leaf, model.params)
    return np.asarray(model(np.array([ids]), params=params).last_hidden_state[0], np.float64)


def nomic_shapes(config):
    width, inner = config["n_embd"], -(-config["n_inner"] // 256) * 256
    shapes = {"embeddings.word_embeddings.weight": [config["vocab_size"], width], "emb_ln.weight": [width], "emb_ln.bias": [width]}
    if config["type_vocab_size"]:
        shapes["embeddings.token_type_embeddings.weight"] = [config["type_vocab_size"], width]
    for index in range(config["n_layer"]):
        for name, shape, biased in [
            ("attn.Wqkv", [3 * width, width], config["qkv_proj_bias"]),
            ("attn.out_proj", [width, width], config["qkv_proj_bias"]),
            ("mlp.fc11", [inner, width], config["mlp_fc1_bias"]),
            ("mlp.fc12", [inner, width], config["mlp_fc1_bias"]),
            ("mlp.fc2", [width, inner], config["mlp_fc2_bias"]),
            ("norm1", [width], True),
            ("norm2", [width], True),
        ]:
            shapes[f"encoder.layers.{index}.{name}.weight"] = shape
            if biased:
                shapes[f"encoder.layers.{index}.{name}.bias"] = shape[:1]
    return shapes


def nomic(config, tensors, ids):
    """The last hidden states of a text: no position is added, queries and keys are rotated, and the feed-forward part is SwiGLU."""
    weights = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    heads, width, count = config["n_head"], config["n_embd"], len(ids)
    size = width // heads

    def dense(x, name):
        return x @ weights[name + ".weight"].T + weights.get(name + ".bias", 0.0)

    def normed(x, name):
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + config["layer_norm_epsilon"])
        return scaled * weights[name + ".weight"] + weights[name + ".bias"]

    # A pair of numbers, the second half a head behind the first, is a complex number that its position turns.
    angles = np.arange(count)[:, None] * float(config["rotary_emb_base"]) ** (-2.0 * np.arange(size // 2) / size)
    turns = np.exp(1j * angles)

    def turned(x):
        pairs = (x[..., : size // 2] + 1j * x[..., size // 2 :]) * turns
        return np.concatenate([pairs.real, pairs.imag], axis=-1)

    x = weights["embeddings.word_embeddings.weight"][ids]
    if config["type_vocab_size"]:
        x = x + weights["embeddings.token_type_embeddings.weight"][0]
    x = normed(x, "emb_ln")
    for index in range(config["n_layer"]):
        layer = f"encoder.layers.{index}."
        q, k, v = np.split(dense(x, layer + "attn.Wqkv"), 3, axis=-1)
        q, k, v = (part.reshape(count, heads, size).transpose(1, 0, 2) for part in (q, k, v))
        scores = turned(q) @ turned(k).transpose(0, 2, 1) / math.sqrt(size)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        seen = (scores / scores.sum(-1, keepdims=True)) @ v
        x = normed(x + dense(seen.transpose(1, 0, 2).reshape(count, width), layer + "attn.out_proj"), layer + "norm1")
        gate = dense(x, layer + "mlp.fc12")
        inner = dense(x, layer + "mlp.fc11") * gate / (1.0 + np.exp(-gate))
        x = normed(x + dense(inner, layer + "mlp.fc2"), layer + "norm2")
    return x


def bert_config(**changes):
    return {
        "model_type": "bert", "hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 4,
        "intermediate_size": 40, "vocab_size": len(VOCABULARY), "max_position_embeddings": 48, "type_vocab_size": 2,
        "layer_norm_eps": 1e-12, "hidden_act": "gelu", **changes}


def nomic_config(**changes):
    return {
        "model_type": "nomic_bert", "architectures": ["NomicBertModel"], "n_embd": 24, "n_layer": 2, "n_head": 3, "n_inner": 200,
        "n_positions": 8192, "max_trained_positions": 64, "vocab_size": len(VOCABULARY) + 2, "type_vocab_size": 2,
        "layer_norm_epsilon": 1e-12, "activation_function": "swiglu", "rotary_emb_base": 1000, "rotary_emb_fraction": 1.0,
        "rotary_emb_interleaved": False, "rotary_emb_scale_base": None, "rotary_scaling_factor": None,
        "qkv_proj_bias": False, "mlp_fc1_bias": False, "mlp_fc2_bias": False, "prenorm": False, "causal": False, **changes}


def pooling(mode):
    return {f"pooling_mode_{other}": other == mode for other in ("cls_token", "mean_tokens", "max_tokens")}


CASES = {
    "bert_mean": dict(
        files={"config.json": bert_config(), "sentence_bert_config.json": {"max_seq_length": 32},
               "1_Pooling/config.json": pooling("mean_tokens")},
        length=32, prompts=("", "")),
    "bert_cls_prompt": dict(
        files={"config.json": bert_config(num_attention_heads=2, num_hidden_layers=2, _name_or_path="somebody/small-mxbai"),
               "sentence_bert_config.json": {"max_seq_length": 512}, "1_Pooling/config.json": pooling("cls_token"),
               "config_sentence_transformers.json": {"prompts": {"query": MXBAI, "passage": ""}, "default_prompt_name": None},
               "modules.json": [
                   {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                   {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]},
        length=48, prompts=(MXBAI, "")),
    "nomic": dict(
        files={"config.json": nomic_config(), "sentence_bert_config.json": {"max_seq_length": 8192},
               "1_Pooling/config.json": pooling("mean_tokens"),
               "config_sentence_transformers.json": {"prompts": {}, "default_prompt_name": None}},
        length=64, prompts=("search_query: ", "search_document: ")),
    "nomic_biased": dict(
        files={"config.json": nomic_config(qkv_proj_bias=True, mlp_fc1_bias=True, mlp_fc2_bias=True, type_vocab_size=0,
                                           rotary_emb_base=10000, n_inner=256, n_head=2),
               "1_Pooling/config.json": pooling("cls_token")},
        length=64, prompts=("search_query: ", "search_document: ")),
}


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    reader = Tokenizer.from_str(json.dumps(tokenizer()))
    cases = []
    for name, case in CASES.items():
        config = case["files"]["config.json"]
        shapes, run = (bert_shapes, bert) if config["model_type"] == "bert" else (nomic_shapes, nomic)
        tensors = {name: numbers(seed, name, shape) for name, shape in shapes(config).items()}
        reader.enable_truncation(case["length"])
        rows = []
        for role, text in TEXTS:
            ids = reader.encode(case["prompts"][role == "document"] + text).ids
            hidden = run(config, tensors, ids)
            vector = hidden[0] if case["files"]["1_Pooling/config.json"]["pooling_mode_cls_token"] else hidden.mean(0)
            vector = vector / np.linalg.norm(vector)
            rows.append({"role": role, "text": text, "tokens": len(ids), "vector": [round(float(value), 7) for value in vector]})
        cases.append({"name": name, "files": case["files"], "tensors": shapes(config), "texts": rows})
    json.dump({"seed": seed, "tokenizer": tokenizer(), "cases": cases}, sys.stdout, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
