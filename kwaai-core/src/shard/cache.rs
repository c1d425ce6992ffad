//! Keys and values of the tokens that a session has read, kept so that each new token costs one pass.

use candle_core::{Result, Tensor, bail};

/// Room grows by at least this many tokens at a time, and doubles when that is more.
const GROWTH: usize = 64;

/// Keys and values of one block: `[1, kv_heads, room, head_dim]` each, of which the first `length` tokens count.
#[derive(Debug, Default)]
pub struct BlockCache {
    stored: Option<(Tensor, Tensor)>,
    length: usize,
    limit: usize,
}

impl BlockCache {
    /// An empty cache for at most `limit` tokens.
    pub fn new(limit: usize) -> BlockCache {
        BlockCache { stored: None, length: 0, limit }
    }

    /// How many tokens are kept.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Adds the keys and values of new tokens (`[1, kv_heads, tokens, head_dim]`) and returns those of all tokens.
    pub(super) fn append(&mut self, key: &Tensor, value: &Tensor) -> Result<(Tensor, Tensor)> {
        let (batch, heads, tokens, head_dim) = key.dims4()?;
        let length = self.length + tokens;
        if batch != 1 || length > self.limit {
            bail!("a cache for {} tokens of one text cannot take {batch} x {length}", self.limit);
        }
        let room = self.stored.as_ref().map_or(Ok(0), |(keys, _)| keys.dim(2))?;
        if room < length {
            let room = length.max(2 * room).next_multiple_of(GROWTH).min(self.limit.max(length));
            let grown = |old: Option<&Tensor>| -> Result<Tensor> {
                let new = Tensor::zeros((1, heads, room, head_dim), key.dtype(), key.device())?;
                if let Some(old) = old {
                    new.slice_set(&old.narrow(2, 0, self.length)?.contiguous()?, 2, 0)?;
                }
                Ok(new)
            };
            let old = self.stored.as_ref();
            self.stored = Some((grown(old.map(|(keys, _)| keys))?, grown(old.map(|(_, values)| values))?));
        }
        let Some((keys, values)) = &self.stored else { bail!("the cache has no room") };
        keys.slice_set(&key.contiguous()?, 2, self.length)?;
        values.slice_set(&value.contiguous()?, 2, self.length)?;
        self.length = length;
        Ok((keys.narrow(2, 0, length)?, values.narrow(2, 0, length)?))
    }

    /// Forgets all but the first `length` tokens; the room stays.
    pub fn truncate(&mut self, length: usize) {
        self.length = self.length.min(length);
    }
}

/// The caches of a span of blocks.
#[derive(Debug)]
pub struct SpanCache {
    pub(super) blocks: Vec<BlockCache>,
}

impl SpanCache {
    /// Empty caches for `blocks` blocks and at most `limit` tokens.
    pub fn new(blocks: usize, limit: usize) -> SpanCache {
        SpanCache { blocks: (0..blocks).map(|_| BlockCache::new(limit)).collect() }
    }

    /// Bytes of memory taken.
    pub(super) fn bytes(&self) -> usize {
        let of = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        let stored = self.blocks.iter().filter_map(|block| block.stored.as_ref());
        stored.map(|(keys, values)| of(keys) + of(values)).sum()
    }

    /// How many tokens every block has kept.
    pub fn length(&self) -> usize {
        self.blocks.iter().map(BlockCache::length).min().unwrap_or(0)
    }

    /// Forgets all but the first `length` tokens, for example of a pass that failed half way.
    pub fn truncate(&mut self, length: usize) {
        self.blocks.iter_mut().for_each(|block| block.truncate(length));
    }
}
