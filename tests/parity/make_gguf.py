"""Writes small GGUF files with the package `gguf`, and what others make of them: logits from Hugging Face transformers in
f32, token ids from SentencePiece and tiktoken.

    python tests/parity/make_gguf.py DIRECTORY

The committed files come from this script. Needs torch, transformers, safetensors, gguf, sentencepiece, tokenizers and
tiktoken.
"""

import argparse
import io
import json
import pathlib
import unicodedata

import gguf
import numpy as np
import sentencepiece
import tiktoken
import tokenizers
import torch
from gguf import GGMLQuantizationType as Type
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

TOKENS = 24

CORPUS = """
A block takes a hidden state and returns one. Two blocks after each other are a span, and a span can be anywhere.
The tokenizer cuts a text before it merges; it doesn't merge across the cuts, and it won't count 1234567 as one.
Grüße aus Zürich, größer als gestern. Les élèves préfèrent l'été à l'hiver. Там, где были блоки, теперь слова.
日本語の文章を短く切ると、文字が残る。def step(hidden, cache):\n    return hidden + cache[0]\n\n\n
Whoever reads the words reads the rows; the rows and the words are the same, and the words are read by rows.
123 and 1234 and 123 and 12345 and 123 and 1234 and 123 and 12 and 123 and 12 and 1234 and 123.
there these then them other others mother weather whether there their heather hero here where there
"""
# A token that no merge makes: only rules that look for the whole piece first find it.
WHOLE = " unreachable"

TEXTS = [
    "A block and a span.",
    "Whoever reads the other rows there, whether or not the weather is here, reads them where their mothers are.",
    "123 12345 1234567 12",
    "an unreachable place, unreachable",
    "hethethere therethereth ererhere ththeheer",
    "  two spaces, then   three\tand a tab",
    "They don't; we'll see. IT'S 20261129 and 3.14159",
    "Grüße, Zürich! l'été préféré",
    "日本語の文章 и слова 🦀🏳️‍🌈",
    "line one\n\n  line two\r\nline three   ",
    "decomposed: e\u0301te\u0301 u\u0308ber",
    "\u00a0no-break\u2028separator",
    "x",
    " ",
]

LLAMA_3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
           r"|\s+(?!\S)|\s+")
QWEN_2 = LLAMA_3.replace(r"\p{N}{1,3}", r"\p{N}")

PARTS = {
    "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm", "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}
ENDS = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight"}


def gguf_name(name):
    if name in ENDS:
        return ENDS[name]
    _, _, block, rest = name.split(".", 3)
    stem, kind = rest.rsplit(".", 1)
    return f"blk.{block}.{PARTS[stem]}.{kind}"


def to_pairs(rows, heads):
    """The order in which llama.cpp's converter writes the rows of query and key of a Llama."""
    return rows.reshape(heads, 2, -1, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def to_halves(rows, heads):
    return rows.reshape(heads, -1, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def k_blocks(rng, rows, columns, kind):
    """Bytes that any K-quantised matrix might have; the package reads them and does not write them."""
    size = gguf.GGML_QUANT_SIZES[kind][1]
    raw = rng.integers(0, 256, (rows, columns // 256, size), dtype=np.uint8)
    scale = lambda value: np.frombuffer(np.float16(value).tobytes(), np.uint8)
    if kind == Type.Q4_K:
        raw[:, :, 0:2], raw[:, :, 2:4] = scale(6e-4), scale(4.5e-3)
    else:
        raw[:, :, 208:210] = scale(7e-5)
    return raw.reshape(rows, -1)


def spm_vocabulary(writer, size):
    blob = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS.strip().split("\n") * 3), model_writer=blob, model_type="bpe", vocab_size=size,
        byte_fallback=True, character_coverage=0.98, normalization_rule_name="identity",
        remove_extra_whitespaces=False, split_digits=True, allow_whitespace_only_pieces=True, minloglevel=2)
    judge = sentencepiece.SentencePieceProcessor(model_proto=blob.getvalue())
    ids = range(judge.vocab_size())
    kind = lambda i: 2 if judge.is_unknown(i) else 3 if judge.is_control(i) else 6 if judge.is_byte(i) else 1
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list([judge.id_to_piece(i) for i in ids])
    writer.add_token_scores([judge.get_score(i) for i in ids])
    writer.add_token_types([kind(i) for i in ids])
    writer.add_bos_token_id(judge.bos_id())
    writer.add_eos_token_id(judge.eos_id())
    writer.add_unk_token_id(judge.unk_id())
    writer.add_add_bos_token(True)
    writer.add_chat_template("{{ bos_token }}{% for m in messages %}[INST] {{ m.content }} [/INST]{% endfor %}")
    return judge.encode


def bpe_vocabulary(writer, size, rules):
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trained = tokenizers.Tokenizer(tokenizers.models.BPE())
    trained.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=size - len(special) - (rules != "qwen2"), initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False)
    trained.train_from_iterator([CORPUS], trainer)
    model = json.loads(trained.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    letters = [b for b in range(256) if 33 <= b <= 126 or 161 <= b <= 172 or 174 <= b]
    others = [b for b in range(256) if b not in letters]
    bytes_of = {chr(b): b for b in letters} | {chr(256 + n): b for n, b in enumerate(others)}
    if rules != "qwen2":
        tokens.append(WHOLE.replace(" ", chr(256 + 32)))
    ranks = {bytes(bytes_of[c] for c in token): rank for rank, token in enumerate(tokens)}
    judge = tiktoken.Encoding("golden", pat_str=QWEN_2 if rules == "qwen2" else LLAMA_3, mergeable_ranks=ranks,
                              special_tokens={})
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(rules)
    writer.add_token_list(tokens + special)
    writer.add_token_types([1] * len(tokens) + [3] * len(special))
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.add_bos_token_id(len(tokens))
    writer.add_eos_token_id(len(tokens) + 2)
    writer.add_add_bos_token(False)
    normal = unicodedata.normalize if rules == "qwen2" else lambda _, text: text
    return lambda text: judge.encode(normal("NFC", text))


def write(folder, arch, config, encodings, vocabulary, divisors=None):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.gguf"
    rng = np.random.default_rng(7)
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").to(torch.float32).eval()
    writer = gguf.GGUFWriter(path, arch)
    writer.add_name(folder.name)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    judge = vocabulary(writer) if vocabulary else writer.add_tokenizer_model("none")
    if divisors is not None:
        writer.add_tensor("rope_freqs.weight", divisors)
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, parameter in model.named_parameters():
        named = gguf_name(name)
        stem = named.rsplit(".", 2)[-2]
        pairs = heads.get(stem) if arch == "llama" else None
        kind = Type.F32 if parameter.ndim == 1 else encodings.get(stem, encodings["else"])
        if parameter.ndim == 1:
            values = 0.3 * rng.standard_normal(parameter.shape) + (1.0 if "norm" in name else 0.0)
        else:
            values = rng.standard_normal(parameter.shape) * 1.5 / parameter.shape[-1] ** 0.5
        values = values.astype(np.float32)
        if kind in (Type.Q4_K, Type.Q6_K):
            raw = k_blocks(rng, *parameter.shape, kind)
        else:
            raw = gguf.quants.quantize(to_pairs(values, pairs) if pairs else values, kind)
        read = gguf.quants.dequantize(raw, kind).reshape(parameter.shape)
        parameter.data.copy_(torch.from_numpy(to_halves(read, pairs) if pairs else read).contiguous())
        writer.add_tensor(named, raw, raw_dtype=None if kind in (Type.F32, Type.F16) else kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    tokens = torch.from_numpy(rng.integers(0, config.vocab_size, (1, TOKENS)))
    with torch.no_grad():
        logits = model(tokens).logits
        if divisors is None:
            read = AutoModelForCausalLM.from_pretrained(
                folder, gguf_file="model.gguf", config=config, dtype=torch.float32)
            difference = (read(tokens).logits - logits).abs().max()
            assert difference < 1e-4, f"transformers reads {path} otherwise: {difference}"
    save_file({"tokens": tokens[0].to(torch.int32), "logits": logits[0].contiguous()}, folder / "golden.safetensors")
    if judge:
        texts = [{"text": text, "ids": judge(text)} for text in TEXTS]
        (folder / "texts.json").write_text(json.dumps(texts, indent=1) + "\n")
    print(f"{folder.name}: spread {logits.std():.3f}, {path.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=pathlib.Path)
    root = parser.parse_args().directory
    plain = dict(rope_type="default", rope_theta=10000.0)
    common = dict(max_position_embeddings=512, bos_token_id=1, eos_token_id=2, attn_implementation="eager")
    scaling = dict(rope_type="llama3", rope_theta=10000.0, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                   original_max_position_embeddings=64)
    config = LlamaConfig(hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, vocab_size=380, tie_word_embeddings=False, rms_norm_eps=1e-5,
                         rope_parameters=scaling, **common)
    base = AutoModelForCausalLM.from_config(LlamaConfig(**{**config.to_dict(), "rope_parameters": plain}))
    scaled = AutoModelForCausalLM.from_config(config)
    divisors = (base.model.rotary_emb.inv_freq / scaled.model.rotary_emb.inv_freq).numpy().astype(np.float32)
    write(root / "llama_f16_pieces", "llama", config, {"else": Type.F16}, lambda w: spm_vocabulary(w, 380), divisors)
    config = Qwen2Config(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, vocab_size=350, tie_word_embeddings=True, rms_norm_eps=1e-6,
                         rope_parameters=plain, **common)
    write(root / "qwen2_q8_0", "qwen2", config, {"else": Type.Q8_0}, lambda w: bpe_vocabulary(w, 350, "qwen2"))
    config = Qwen3Config(hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, head_dim=24, vocab_size=340, tie_word_embeddings=False,
                         rms_norm_eps=1e-6, rope_parameters=plain, **common)
    write(root / "qwen3_q4_0", "qwen3", config,
          {"else": Type.Q4_0, "token_embd": Type.F32, "ffn_gate": Type.BF16, "output": Type.Q8_0, "attn_output": Type.Q8_0},
          lambda w: bpe_vocabulary(w, 340, "llama-bpe"))
    config = LlamaConfig(hidden_size=256, intermediate_size=256, num_hidden_layers=1, num_attention_heads=4,
                         num_key_value_heads=1, vocab_size=200, tie_word_embeddings=True, rms_norm_eps=1e-5,
                         rope_parameters=plain, **common)
    write(root / "llama_k_quants", "llama", config,
          {"else": Type.Q4_K, "attn_v": Type.Q6_K, "ffn_down": Type.Q6_K}, None)


if __name__ == "__main__":
    main()
