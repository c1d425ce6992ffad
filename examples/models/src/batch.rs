//! Texts of different lengths as one tensor, and which of their tokens the model must predict.

use candle_core::{Device, Tensor};
use kwaai_core::shard::Llama;

use crate::Result;
use crate::vocabulary::Vocabulary;

/// A prompt and the answer that follows it, as token ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// The prompt, up to where the model begins to speak.
    pub prompt: Vec<u32>,
    /// The answer with the end of the turn.
    pub answer: Vec<u32>,
}

impl Sequence {
    /// All tokens.
    pub fn length(&self) -> usize {
        self.prompt.len() + self.answer.len()
    }
}

/// Sequences padded at the right to one length. The causal mask keeps the padding out of every prediction that counts.
pub struct Batch {
    /// `[sequences, longest - 1]`
    tokens: Tensor,
    /// Where, in the flattened hidden states, an answer's token is predicted.
    places: Tensor,
    /// What must be predicted there.
    targets: Tensor,
    /// How many predictions each sequence has.
    answers: Vec<usize>,
}

impl Batch {
    /// Puts sequences together.
    pub fn new(sequences: &[Sequence], vocabulary: &Vocabulary) -> Result<Batch> {
        let longest = sequences.iter().map(Sequence::length).max().ok_or("a batch needs a sequence")?;
        let width = longest - 1;
        let (mut tokens, mut places, mut targets) = (Vec::new(), Vec::new(), Vec::new());
        for (row, sequence) in sequences.iter().enumerate() {
            let text = sequence.prompt.iter().chain(&sequence.answer).copied();
            // The last token of an answer is predicted, and never read.
            tokens.extend(text.chain(std::iter::repeat(vocabulary.pad())).take(sequence.length() - 1));
            tokens.extend(std::iter::repeat_n(vocabulary.pad(), longest - sequence.length()));
            let first = row * width + sequence.prompt.len() - 1;
            places.extend((first..first + sequence.answer.len()).map(|place| place as u32));
            targets.extend_from_slice(&sequence.answer);
        }
        let count = targets.len();
        Ok(Batch {
            tokens: Tensor::from_vec(tokens, (sequences.len(), width), &Device::Cpu)?,
            places: Tensor::from_vec(places, count, &Device::Cpu)?,
            targets: Tensor::from_vec(targets, count, &Device::Cpu)?,
            answers: sequences.iter().map(|sequence| sequence.answer.len()).collect(),
        })
    }

    /// Logits of the answers' tokens only, `[predictions, vocabulary]`.
    fn logits(&self, llama: &Llama) -> Result<Tensor> {
        let hidden = llama.span.forward(&llama.ends.embed(&self.tokens)?)?.flatten(0, 1)?;
        let hidden = hidden.index_select(&self.places, 0)?.unsqueeze(0)?;
        Ok(llama.ends.logits(&hidden)?.squeeze(0)?)
    }

    /// The mean cross entropy, in nats, over all tokens of all answers.
    pub fn loss(&self, llama: &Llama) -> Result<Tensor> {
        Ok(candle_nn::loss::cross_entropy(&self.logits(llama)?, &self.targets)?)
    }

    /// For each sequence, whether greedy decoding yields exactly its answer: every token is the likeliest one after the
    /// right tokens before it, which by induction is the same.
    pub fn exact(&self, llama: &Llama) -> Result<Vec<bool>> {
        let likeliest = self.logits(llama)?.argmax(1)?.to_vec1::<u32>()?;
        let targets = self.targets.to_vec1::<u32>()?;
        let mut first = 0;
        Ok(self
            .answers
            .iter()
            .map(|count| {
                let range = first..first + count;
                first += count;
                likeliest[range.clone()] == targets[range]
            })
            .collect())
    }
}
