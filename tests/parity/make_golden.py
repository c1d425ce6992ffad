"""Writes golden files with Hugging Face transformers: random Llama models, tokens, hidden states and logits in f32.

    python tests/parity/make_golden.py DIRECTORY [--seed N]

The committed files come from this script with its default seed. `make parity` runs it into a fresh directory with
another seed and lets the same Rust test compare (KWAAI_GOLDEN=DIRECTORY cargo test --test shard_parity).
Needs torch, transformers and safetensors.
"""

import argparse
import pathlib

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

TOKENS = 28

# Every shape differs from the others in what implementations get wrong: grouped heads, an explicit head length, a tied
# head, biases, rotary scaling, number of blocks, the type and the files that the weights are stored in.
SHAPES = {
    "grouped_tied_llama3": dict(
        config=dict(hidden_size=32, intermediate_size=40, num_hidden_layers=3, num_attention_heads=4,
                    num_key_value_heads=2, vocab_size=48, tie_word_embeddings=True, max_position_embeddings=512,
                    rms_norm_eps=1e-5,
                    rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
                                         high_freq_factor=4.0, original_max_position_embeddings=16)),
        dtype=torch.float16, shard="20KB"),
    "single_kv_head_untied": dict(
        config=dict(hidden_size=24, intermediate_size=56, num_hidden_layers=2, num_attention_heads=6,
                    num_key_value_heads=1, head_dim=10, vocab_size=53, tie_word_embeddings=False,
                    max_position_embeddings=128, rms_norm_eps=1e-6,
                    rope_parameters=dict(rope_type="default", rope_theta=10000.0)),
        dtype=torch.float32, shard="50GB"),
    "full_heads_biases_linear": dict(
        config=dict(hidden_size=36, intermediate_size=20, num_hidden_layers=2, num_attention_heads=3,
                    num_key_value_heads=3, vocab_size=31, tie_word_embeddings=False, attention_bias=True,
                    mlp_bias=True, max_position_embeddings=256, rms_norm_eps=1e-5,
                    rope_parameters=dict(rope_type="linear", rope_theta=10000.0, factor=4.0)),
        dtype=torch.bfloat16, shard="50GB"),
}


def randomise(model, dtype):
    """Weights large enough for attention to be far from uniform, with outlier channels, exact in `dtype`."""
    for name, parameter in model.named_parameters():
        if "norm" in name:
            values = 1.0 + 0.3 * torch.randn_like(parameter)
            values[3] *= 6.0
        elif name.endswith("bias"):
            values = 0.3 * torch.randn_like(parameter)
        else:
            values = torch.randn_like(parameter) * (1.5 / parameter.shape[-1] ** 0.5)
        parameter.data.copy_(values.to(dtype).to(torch.float32))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=20)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    for name, shape in SHAPES.items():
        config = LlamaConfig(**shape["config"], bos_token_id=1, eos_token_id=2, attn_implementation="eager")
        model = LlamaForCausalLM(config).to(torch.float32).eval()
        randomise(model, shape["dtype"])
        tokens = torch.randint(0, config.vocab_size, (1, TOKENS))
        with torch.no_grad():
            out = model(tokens, output_hidden_states=True)
        folder = arguments.directory / name
        model.to(shape["dtype"]).save_pretrained(folder, max_shard_size=shape["shard"])
        (folder / "generation_config.json").unlink(missing_ok=True)
        golden = {"tokens": tokens[0].to(torch.int32), "logits": out.logits[0].contiguous()}
        # The last of transformers' hidden states is already normalised, so only those between blocks are kept.
        for block, hidden in enumerate(out.hidden_states[:-1]):
            golden[f"before_block.{block}"] = hidden[0].contiguous()
        save_file(golden, folder / "golden.safetensors")
        print(f"{name}: largest logit {out.logits.abs().max():.3f}")


if __name__ == "__main__":
    main()
