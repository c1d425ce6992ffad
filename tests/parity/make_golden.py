"""Writes golden files with Hugging Face transformers: random models of every family, tokens, hidden states and logits in
f32.

    python tests/parity/make_golden.py DIRECTORY [--seed N] [--live]

The committed files come from this script with its default seed. `make parity` runs it into a fresh directory with
another seed and `--live`, which draws the shapes as well and keeps every one of 2,000 positions, and lets the same Rust
test compare (KWAAI_GOLDEN=DIRECTORY cargo test --test shard_parity). Needs torch, transformers and safetensors.
"""

import argparse
import pathlib
import random

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

CONFIGS = dict(llama=LlamaConfig, mistral=MistralConfig, qwen2=Qwen2Config, qwen3=Qwen3Config)
POSITIONS = 2000
# Random logits are a coin toss unless they lie as far apart as those of a trained model.
SPREAD = 4.0

# Every shape differs from the others in what implementations get wrong: grouped heads, an explicit head length, a tied
# head, biases, rotary scaling, number of blocks, the type and the files that the weights are stored in. The first three
# are as old as the project; they have 28 positions, all kept, and no scaled head.
OLD_SHAPES = {
    "grouped_tied_llama3": dict(
        family="llama",
        config=dict(hidden_size=32, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4,
                    num_key_value_heads=2, vocab_size=48, tie_word_embeddings=True, max_position_embeddings=512,
                    rms_norm_eps=1e-5,
                    rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
                                         high_freq_factor=4.0, original_max_position_embeddings=16)),
        dtype=torch.float16, shard="20KB"),
    "single_kv_head_untied": dict(
        family="llama",
        config=dict(hidden_size=24, intermediate_size=56, num_hidden_layers=2, num_attention_heads=6,
                    num_key_value_heads=1, head_dim=10, vocab_size=53, tie_word_embeddings=False,
                    max_position_embeddings=128, rms_norm_eps=1e-6,
                    rope_parameters=dict(rope_type="default", rope_theta=10000.0)),
        dtype=torch.float32, shard="50GB"),
    "full_heads_biases_linear": dict(
        family="llama",
        config=dict(hidden_size=36, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3,
                    num_key_value_heads=3, vocab_size=31, tie_word_embeddings=False, attention_bias=True,
                    mlp_bias=True, max_position_embeddings=256, rms_norm_eps=1e-5,
                    rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0)),
        dtype=torch.bfloat16, shard="50GB"),
}

PLAIN = dict(rope_type="default", rope_theta=10000.0)
SHAPES = {
    "llama_long_llama3": dict(
        family="llama",
        config=dict(hidden_size=24, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4,
                    num_key_value_heads=2, vocab_size=40, tie_word_embeddings=False, max_position_embeddings=4096,
                    rms_norm_eps=1e-5,
                    rope_parameters=dict(rope_type="llama3", rope_theta=10000.0, factor=4.0, low_freq_factor=1.0,
                                         high_freq_factor=4.0, original_max_position_embeddings=256)),
        dtype=torch.bfloat16),
    "mistral_window": dict(
        family="mistral",
        config=dict(hidden_size=32, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4,
                    num_key_value_heads=2, head_dim=12, vocab_size=40, tie_word_embeddings=False,
                    max_position_embeddings=4096, sliding_window=150, rms_norm_eps=1e-5, rope_parameters=PLAIN),
        dtype=torch.float16),
    "mistral_no_window_tied": dict(
        family="mistral",
        config=dict(hidden_size=24, intermediate_size=48, num_hidden_layers=2, num_attention_heads=6,
                    num_key_value_heads=3, vocab_size=33, tie_word_embeddings=True, max_position_embeddings=4096,
                    sliding_window=None, rms_norm_eps=1e-5, rope_parameters=dict(rope_type="default", rope_theta=1e6)),
        dtype=torch.bfloat16),
    "qwen2_tied": dict(
        family="qwen2",
        config=dict(hidden_size=28, intermediate_size=36, num_hidden_layers=3, num_attention_heads=7,
                    num_key_value_heads=1, vocab_size=45, tie_word_embeddings=True, max_position_embeddings=4096,
                    use_sliding_window=False, rms_norm_eps=1e-6,
                    rope_parameters=dict(rope_type="default", rope_theta=1e6)),
        dtype=torch.bfloat16),
    "qwen2_window_in_later_blocks": dict(
        family="qwen2",
        config=dict(hidden_size=32, intermediate_size=24, num_hidden_layers=3, num_attention_heads=4,
                    num_key_value_heads=2, vocab_size=39, tie_word_embeddings=False, max_position_embeddings=4096,
                    use_sliding_window=True, sliding_window=70, max_window_layers=1, rms_norm_eps=1e-6,
                    rope_parameters=dict(rope_type="default", rope_theta=1e6)),
        dtype=torch.float32),
    "qwen3_wide_heads": dict(
        family="qwen3",
        config=dict(hidden_size=24, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4,
                    num_key_value_heads=2, head_dim=16, vocab_size=42, tie_word_embeddings=True,
                    max_position_embeddings=4096, rms_norm_eps=1e-6,
                    rope_parameters=dict(rope_type="default", rope_theta=1e6)),
        dtype=torch.bfloat16),
    "qwen3_biases_untied": dict(
        family="qwen3",
        config=dict(hidden_size=32, intermediate_size=32, num_hidden_layers=2, num_attention_heads=6,
                    num_key_value_heads=1, head_dim=8, vocab_size=37, tie_word_embeddings=False, attention_bias=True,
                    max_position_embeddings=4096, rms_norm_eps=1e-6, rope_parameters=PLAIN),
        dtype=torch.float16),
}


def drawn_shape(family, draw):
    """A shape that nobody chose."""
    kv_heads = draw.choice([1, 2, 3])
    config = dict(
        hidden_size=draw.choice([24, 32, 48]), intermediate_size=draw.randrange(20, 70),
        num_hidden_layers=draw.randrange(2, 5), num_attention_heads=kv_heads * draw.choice([1, 2, 4]),
        num_key_value_heads=kv_heads, head_dim=2 * draw.randrange(3, 11), vocab_size=draw.randrange(30, 90),
        tie_word_embeddings=draw.random() < 0.5, max_position_embeddings=4096, rms_norm_eps=draw.choice([1e-5, 1e-6]),
        rope_parameters=dict(rope_type="default", rope_theta=draw.choice([1e4, 5e5, 1e6])))
    if family == "mistral":
        config["sliding_window"] = draw.choice([None, draw.randrange(1, 300)])
    if family in ("qwen2", "qwen3"):
        config.update(use_sliding_window=draw.random() < 0.5, sliding_window=draw.randrange(1, 300),
                      max_window_layers=draw.randrange(0, 4))
    if family in ("llama", "qwen3"):
        config["attention_bias"] = draw.random() < 0.5
    return dict(family=family, config=config, dtype=draw.choice([torch.float32, torch.float16, torch.bfloat16]))


def randomise(model, dtype, outliers):
    """Weights large enough for attention to be far from uniform, with outlier channels, exact in `dtype`."""
    for name, parameter in model.named_parameters():
        if "norm" in name:
            values = 1.0 + 0.3 * torch.randn_like(parameter)
            values[3] *= 6.0
        elif name.endswith("bias"):
            values = 0.3 * torch.randn_like(parameter)
        else:
            values = torch.randn_like(parameter) * (1.5 / parameter.shape[-1] ** 0.5)
            if outliers and "embed_tokens" in name:
                values[:, 5:9] *= 40.0
        parameter.data.copy_(values.to(dtype).to(torch.float32))


def write(folder, shape, positions, keep, scaled):
    config = CONFIGS[shape["family"]](
        **shape["config"], bos_token_id=1, eos_token_id=2, attn_implementation="eager")
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").to(torch.float32).eval()
    randomise(model, shape["dtype"], outliers=scaled)
    tokens = torch.randint(0, config.vocab_size, (1, positions))
    with torch.no_grad():
        if scaled:
            norm = model.model.norm.weight.data
            norm.copy_((norm * SPREAD / model(tokens).logits.std()).to(shape["dtype"]).to(torch.float32))
        out = model(tokens, output_hidden_states=True)
    model.to(shape["dtype"]).save_pretrained(folder, max_shard_size=shape.get("shard", "50GB"))
    (folder / "generation_config.json").unlink(missing_ok=True)
    rows = torch.arange(0, positions)[::keep]
    golden = {"tokens": tokens[0].to(torch.int32), "logits": out.logits[0, rows].contiguous()}
    if keep > 1:
        golden["rows"] = rows.to(torch.int32)
    # The last of transformers' hidden states is already normalised, so only those between blocks are kept.
    for block, hidden in enumerate(out.hidden_states[:-1]):
        golden[f"before_block.{block}"] = hidden[0, rows].contiguous()
    save_file(golden, folder / "golden.safetensors")
    print(f"{folder.name}: largest logit {out.logits.abs().max():.3f}, spread {out.logits.std():.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--live", action="store_true")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    if arguments.live:
        draw = random.Random(arguments.seed)
        for number in range(2):
            for family in CONFIGS:
                shape = drawn_shape(family, draw)
                print(family, shape["config"], shape["dtype"])
                write(arguments.directory / f"{family}_{number}", shape, POSITIONS, keep=1, scaled=True)
        return
    for name, shape in OLD_SHAPES.items():
        write(arguments.directory / name, shape, 28, keep=1, scaled=False)
    for name, shape in SHAPES.items():
        write(arguments.directory / name, shape, POSITIONS, keep=13, scaled=True)


if __name__ == "__main__":
    main()
