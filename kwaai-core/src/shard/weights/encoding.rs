//! How the values of a tensor are written, and how they become f32.
//!
//! The blocks of quantised values are those of ggml, which GGUF files name by number.

use half::{bf16, f16};

/// How values are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(non_camel_case_types, reason = "these are the names that model files and people use")]
#[non_exhaustive]
pub enum Encoding {
    /// IEEE 754 single precision.
    F32,
    /// IEEE 754 half precision.
    F16,
    /// The upper half of a single.
    BF16,
    /// Blocks of 32: a scale and signed bytes.
    Q8_0,
    /// Blocks of 32: a scale and four bits each, around 8.
    Q4_0,
    /// Blocks of 256 in eight parts, each with a scale and a minimum of six bits; four bits each.
    Q4_K,
    /// Blocks of 256 in sixteen parts, each with a scale of eight bits; six bits each, around 32.
    Q6_K,
}

impl Encoding {
    /// How many values a block holds.
    pub fn values(self) -> usize {
        match self {
            Encoding::F32 | Encoding::F16 | Encoding::BF16 => 1,
            Encoding::Q8_0 | Encoding::Q4_0 => 32,
            Encoding::Q4_K | Encoding::Q6_K => 256,
        }
    }

    /// How many bytes a block takes.
    pub fn bytes(self) -> usize {
        match self {
            Encoding::F32 => 4,
            Encoding::F16 | Encoding::BF16 => 2,
            Encoding::Q8_0 => 2 + 32,
            Encoding::Q4_0 => 2 + 16,
            Encoding::Q4_K => 2 + 2 + 12 + 128,
            Encoding::Q6_K => 128 + 64 + 16 + 2,
        }
    }

    /// Appends the values of whole blocks.
    pub fn decode(self, bytes: &[u8], values: &mut Vec<f32>) {
        match self {
            Encoding::F32 => values.extend(bytes.as_chunks().0.iter().map(|value| f32::from_le_bytes(*value))),
            Encoding::F16 => values.extend(bytes.as_chunks().0.iter().map(|value| f16::from_le_bytes(*value).to_f32())),
            Encoding::BF16 => {
                values.extend(bytes.as_chunks().0.iter().map(|value| bf16::from_le_bytes(*value).to_f32()));
            }
            Encoding::Q8_0 => bytes.as_chunks().0.iter().for_each(|block| q8_0(block, values)),
            Encoding::Q4_0 => bytes.as_chunks().0.iter().for_each(|block| q4_0(block, values)),
            Encoding::Q4_K => bytes.as_chunks().0.iter().for_each(|block| q4_k(block, values)),
            Encoding::Q6_K => bytes.as_chunks().0.iter().for_each(|block| q6_k(block, values)),
        }
    }
}

fn half(low: u8, high: u8) -> f32 {
    f16::from_le_bytes([low, high]).to_f32()
}

fn q8_0(block: &[u8; 34], values: &mut Vec<f32>) {
    let scale = half(block[0], block[1]);
    values.extend(block[2..].iter().map(|byte| scale * f32::from(byte.cast_signed())));
}

fn q4_0(block: &[u8; 18], values: &mut Vec<f32>) {
    let scale = half(block[0], block[1]);
    let value = |bits: u8| scale * (f32::from(bits) - 8.0);
    values.extend(block[2..].iter().map(|byte| value(byte & 0x0f)));
    values.extend(block[2..].iter().map(|byte| value(byte >> 4)));
}

fn q4_k(block: &[u8; 144], values: &mut Vec<f32>) {
    let (scale, minimum) = (half(block[0], block[1]), half(block[2], block[3]));
    let packed = &block[4..16];
    // The first four parts have six bits in one byte; the bits of the other four lie in nibbles and upper bits.
    let scales = |part: usize| match part {
        0..4 => (packed[part] & 0x3f, packed[part + 4] & 0x3f),
        _ => (
            (packed[part + 4] & 0x0f) | (packed[part - 4] >> 6 << 4),
            (packed[part + 4] >> 4) | (packed[part] >> 6 << 4),
        ),
    };
    for (pair, bytes) in block[16..].chunks_exact(32).enumerate() {
        for (part, shift) in [(2 * pair, 0), (2 * pair + 1, 4)] {
            let (part_scale, part_minimum) = scales(part);
            let (step, least) = (scale * f32::from(part_scale), minimum * f32::from(part_minimum));
            values.extend(bytes.iter().map(|byte| step * f32::from(byte >> shift & 0x0f) - least));
        }
    }
}

fn q6_k(block: &[u8; 210], values: &mut Vec<f32>) {
    let (low, high, scales) = (&block[..128], &block[128..192], &block[192..208]);
    let scale = half(block[208], block[209]);
    for index in 0..256 {
        // 128 values share 64 bytes of low and 32 bytes of high bits.
        let (side, place) = (index / 128, index % 128);
        let (quarter, column) = (place / 32, place % 32);
        let nibble = low[side * 64 + place % 64] >> (4 * (quarter / 2)) & 0x0f;
        let upper = high[side * 32 + column] >> (2 * quarter) & 0x03;
        let step = scale * f32::from(scales[index / 16].cast_signed());
        values.push(step * (f32::from(nibble | upper << 4) - 32.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(encoding: Encoding, bytes: &[u8]) -> Vec<f32> {
        let mut values = Vec::new();
        encoding.decode(bytes, &mut values);
        values
    }

    #[test]
    fn every_encoding_yields_as_many_values_as_it_says() {
        use Encoding::{BF16, F16, F32, Q4_0, Q4_K, Q6_K, Q8_0};
        for encoding in [F32, F16, BF16, Q8_0, Q4_0, Q4_K, Q6_K] {
            let values = decoded(encoding, &vec![0; 3 * encoding.bytes()]);
            assert_eq!(values, vec![0.0; 3 * encoding.values()], "{encoding:?}");
        }
    }

    #[test]
    fn quantised_blocks_are_read_as_ggml_lays_them_out() {
        // A scale of 2; the other values by hand from ggml's description of its blocks.
        let mut block = vec![0x00, 0x40];
        block.extend([0x80, 0x7f]);
        block.extend([1; 30]);
        assert_eq!(decoded(Encoding::Q8_0, &block)[..3], [-256.0, 254.0, 2.0]);
        let mut block = vec![0x00, 0x40];
        block.extend([0xf0; 16]);
        let values = decoded(Encoding::Q4_0, &block);
        assert_eq!((values[0], values[15], values[16], values[31]), (-16.0, -16.0, 14.0, 14.0));
    }
}
