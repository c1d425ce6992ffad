"""Models that the tests write themselves: one that says what it is told to say, and one that embeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy

#: What begins an answer, and the pieces of the answer.
ANSWERS = {
    "say": ["Herons ", "wait ", "for you ", "at the pond."],
    "tool magic_function": ["One moment. ", '<tool_call>\n{"name": "magic_function", "arguments": {"input": 3}}\n</tool_call>'],
    "tool magic_function_no_args": ['<tool_call>\n{"name": "magic_function_no_args", "arguments": {}}\n</tool_call>'],
    "tool greeting_generator": ['<tool_call>\n{"name": "greeting_generator", "arguments": {"answer_style": "Pirate"}}\n</tool_call>'],
    "tool get_weather": ['<tool_call>\n{"name": "get_weather", "arguments": {"location": "Bern"}}\n</tool_call>'],
    "tool both": [
        '<tool_call>\n{"name": "both", "arguments": {"first": "你好", "second": 2}}\n</tool_call>',
        '<tool_call>\n{"name": "both", "arguments": {"first": "again", "second": 3}}\n</tool_call>',
    ],
    "heard get_weather Bern call_7 rain": ["It rains ", "in Bern."],
    "heard system brief": ["Yes."],
}

#: Which answer follows from a conversation. `raise_exception` is what templates refuse conversations with.
TEMPLATE = """\
{#- tools are called between <tool_call> tags -#}
{%- for message in messages -%}{{ message.content }} {% endfor -%}
{%- set last = messages[-1] -%}
{%- if last.role == 'assistant' -%}{{ raise_exception('a conversation ends with a question') }}{%- endif -%}
{%- if last.role == 'tool' and messages[-2].role == 'assistant' -%}
{%- set call = messages[-2].tool_calls[0].function -%}
<|heard {{ call.name }} {{ call.arguments.location }} {{ last.tool_call_id }} {{ last.content }}|>
{%- elif tools -%}<|tool {{ tools[0].function.name }}|>
{%- elif messages[0].role == 'system' -%}<|heard system {{ messages[0].content }}|>
{%- endif -%}"""


def write_tensors(path: Path, tensors: dict[str, Any]) -> None:
    """A safetensors file of 32-bit floats."""
    header, data = {}, b""
    for name, values in tensors.items():
        values = numpy.asarray(values, dtype="<f4")
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": (len(data), len(data) + values.nbytes)}
        data += values.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)


def parrot(folder: Path) -> Path:
    """A Llama whose next token follows from the last one alone, so that it says one of `ANSWERS` to the end.

    A token's vector has a 1 in a place of its own, the only block adds nothing, and the output head has the token that
    comes next. A conversation that its template knows no answer for ends with a token that is followed by `say`.
    """
    vocabulary = {"<unk>": 0, "<|end|>": 1}
    special = ["<unk>", "<|end|>"]
    follows = {1: 1}
    for name, pieces in ANSWERS.items():
        last = vocabulary.setdefault(f"<|{name}|>", len(vocabulary))
        special.append(f"<|{name}|>")
        for piece in pieces:
            follows[last] = vocabulary.setdefault(piece.replace(" ", "\u2581"), len(vocabulary))
            last = follows[last]
        follows[last] = 1
    follows[0] = follows[vocabulary["<|say|>"]]
    size = 64
    assert len(vocabulary) <= size
    head = numpy.zeros((size, size))
    for before, after in follows.items():
        head[after, before] = 10
    inner = numpy.zeros((size, size))
    block = "model.layers.0"
    write_tensors(
        folder / "model.safetensors",
        {
            "model.embed_tokens.weight": numpy.eye(size),
            "model.norm.weight": numpy.ones(size),
            "lm_head.weight": head,
            f"{block}.input_layernorm.weight": numpy.ones(size),
            f"{block}.post_attention_layernorm.weight": numpy.ones(size),
            **{f"{block}.self_attn.{name}_proj.weight": inner for name in "qkvo"},
            **{f"{block}.mlp.{name}_proj.weight": inner for name in ("gate", "up", "down")},
        },
    )
    config = {
        "model_type": "llama", "hidden_size": size, "intermediate_size": size, "num_hidden_layers": 1, "vocab_size": size,
        "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": size, "tie_word_embeddings": False, "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0, "max_position_embeddings": 4096, "eos_token_id": 1,
    }  # fmt: skip
    pieces = [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}]
    write_tokenizer(folder, vocabulary, "<unk>", special, {"type": "Sequence", "decoders": pieces})
    (folder / "config.json").write_text(json.dumps(config))
    settings = {"eos_token": "<|end|>", "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


def embedder(folder: Path) -> Path:
    """A BERT of one block that sums up what it is given, so that texts that share words are alike."""
    words = ["[UNK]", "foo", "bar", "baz", "heron", "pond", "canteen", "dumplings", "friday", "fridays", "soup"]
    size = 16
    block = "encoder.layer.0"
    shapes = {
        "attention.self.query": (size, size), "attention.self.key": (size, size), "attention.self.value": (size, size),
        "attention.output.dense": (size, size), "intermediate.dense": (size, size), "output.dense": (size, size),
    }  # fmt: skip
    norms = ["embeddings.LayerNorm", f"{block}.attention.output.LayerNorm", f"{block}.output.LayerNorm"]
    write_tensors(
        folder / "model.safetensors",
        {
            "embeddings.word_embeddings.weight": numpy.eye(len(words), size),
            "embeddings.position_embeddings.weight": numpy.zeros((64, size)),
            "embeddings.token_type_embeddings.weight": numpy.zeros((2, size)),
            **{f"{block}.{name}.weight": numpy.zeros(shape) for name, shape in shapes.items()},
            **{f"{block}.{name}.bias": numpy.zeros(size) for name in shapes},
            **{f"{name}.weight": numpy.ones(size) for name in norms},
            **{f"{name}.bias": numpy.zeros(size) for name in norms},
        },
    )
    config = {
        "model_type": "bert", "hidden_size": size, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": size,
        "vocab_size": len(words), "max_position_embeddings": 64,
    }  # fmt: skip
    write_tokenizer(folder, {word: at for at, word in enumerate(words)}, "[UNK]", [], None)
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_tokenizer(folder: Path, vocabulary: dict[str, int], unknown: str, special: list[str], decoder: Any) -> None:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    added = [{"id": vocabulary[word], "content": word, "special": True, **plain} for word in special]
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "post_processor": None, "decoder": decoder, "added_tokens": added,
        "normalizer": {"type": "Lowercase"} if not special else None, "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": unknown},
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
