#!/usr/bin/env python3
"""Reference values for the embedding model, computed by numpy independently of the library.

Writes the first eight numbers and the length of the vector of each text to kwaai-core/tests/golden/minilm.json, with the SHA-256 of
the weights they belong to. Needs numpy and tokenizers, and the model in the cache.

Usage: python3 tests/parity/minilm_reference.py MODEL_FOLDER > kwaai-core/tests/golden/minilm.json
"""

import hashlib
import json
import math
import struct
import sys
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

TEXTS = [
    "A man is eating food.",
    "A man is eating a piece of bread.",
    "The girl is carrying a baby.",
    "Zürich, Köln und Łódź: naïve café — 東京 🙂",
    "x",
    " ".join(f"Sentence number {i} says that the block host serves layers {i} to {i + 4}." for i in range(60)),
]


def tensors(path: Path) -> dict[str, np.ndarray]:
    raw = path.read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    header.pop("__metadata__", None)
    out = {}
    for name, about in header.items():
        start, end = (8 + size + at for at in about["data_offsets"])
        if about["dtype"] == "F32":
            out[name] = np.frombuffer(raw[start:end], "<f4").reshape(about["shape"]).astype(np.float64)
    return out


def norm(x, weight, bias, eps):
    mean = x.mean(-1, keepdims=True)
    variance = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(variance + eps) * weight + bias


def embed(text, tokenizer, weights, config):
    ids = tokenizer.encode(text).ids
    heads, width = config["num_attention_heads"], config["hidden_size"]
    eps, size = config["layer_norm_eps"], width // heads
    erf = np.vectorize(math.erf)

    def dense(x, name):
        return x @ weights[name + ".weight"].T + weights[name + ".bias"]

    def normed(x, name):
        return norm(x, weights[name + ".weight"], weights[name + ".bias"], eps)

    x = weights["embeddings.word_embeddings.weight"][ids]
    x = x + weights["embeddings.position_embeddings.weight"][: len(ids)]
    x = x + weights["embeddings.token_type_embeddings.weight"][0]
    x = normed(x, "embeddings.LayerNorm")
    for index in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{index}."
        q, k, v = (
            dense(x, layer + "attention.self." + part).reshape(len(ids), heads, size).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(size)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        seen = (scores / scores.sum(-1, keepdims=True)) @ v
        seen = seen.transpose(1, 0, 2).reshape(len(ids), width)
        x = normed(x + dense(seen, layer + "attention.output.dense"), layer + "attention.output.LayerNorm")
        inner = dense(x, layer + "intermediate.dense")
        inner = inner * 0.5 * (1 + erf(inner / math.sqrt(2)))
        x = normed(x + dense(inner, layer + "output.dense"), layer + "output.LayerNorm")
    mean = x.mean(0)
    return mean / np.linalg.norm(mean)


def main():
    folder = Path(sys.argv[1])
    config = json.loads((folder / "config.json").read_text())
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"])
    weights = tensors(folder / "model.safetensors")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    vectors = [embed(text, tokenizer, weights, config) for text in TEXTS]
    rows = [
        {"text": text, "first": [round(float(value), 7) for value in vector[:8]], "norm": round(float(np.linalg.norm(vector)), 7)}
        for text, vector in zip(TEXTS, vectors)
    ]
    products = [[round(float(a @ b), 7) for b in vectors] for a in vectors]
    json.dump({"weights_sha256": digest, "texts": rows, "products": products}, sys.stdout, ensure_ascii=False, indent=1)
    print()


if __name__ == "__main__":
    main()
