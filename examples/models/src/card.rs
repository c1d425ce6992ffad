//! The model card: what the model is, what it is not, and how it scored.

use crate::evaluation::Score;
use crate::questions::Questions;

/// The text of `README.md` beside the weights.
pub fn model_card(questions: &Questions, score: &Score, parameters: usize, vocabulary: usize, seed: u64) -> String {
    let paraphrases: usize = questions.pairs.iter().map(|pair| pair.paraphrases.len()).sum();
    format!(
        "---
license: mit
language: en
library_name: kwaainet
pipeline_tag: text-generation
---

# tiny-kwaai

A toy. It is a Llama-architecture model with {parameters} parameters, made so that kwaainet can show text generation in
blocks over several peers without downloading anything. It has learned {pairs} questions about kwaainet by heart, each in
several wordings, and recognises other wordings of them. **It knows nothing else**: it does not reason, does not remember
a conversation (its chat template shows it only the last question), and to a question outside its data it either says that
it does not know or gives an answer that does not fit. Do not use it for anything but a demonstration.

Any Llama-family model in Hugging Face's layout (`config.json`, safetensors, `tokenizer.json`) takes its place: give its
directory instead of this one.

## Data

`examples/models/data/questions.jsonl`: {pairs} pairs with {paraphrases} paraphrases, written for this purpose. A fixed
fifth of the paraphrases, {held_out}, is held out: neither the tokenizer nor the model saw them.

## Score

{summary}.
\"Exactly right\" means that greedy decoding yields the very text of the answer. Measured on these f16 weights through
kwaai-core's own inference by

```
cargo run -p kwaainet-models -- evaluate --model examples/models/tiny-kwaai
```

## Training

```
cargo run -p kwaainet-models -- train --seed {seed} --out examples/models/tiny-kwaai
```

trains on a CPU alone, in about six minutes when `RAYON_NUM_THREADS=1` is set (the matrices are too small to share among
threads), with candle's autograd over the same blocks that kwaainet serves:
AdamW, a cosine learning rate, loss on the answers only, and questions varied anew in each epoch (synonyms, dropped words,
case, punctuation). On one machine the same seed gives the same bytes; on another kind of processor rounding may differ.

## Shape

4 blocks, hidden size 128, inner size 512, 4 query heads and 2 key/value heads of length 32, tied embeddings, byte-level BPE
with {vocabulary} tokens, context 512, weights in f16.
",
        pairs = questions.pairs.len(),
        held_out = questions.held_out.len(),
        summary = score.summary(),
    )
}
