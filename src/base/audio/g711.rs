//! G.711 μ-law and A-law (ITU-T G.711), with the reference coder of ITU-T G.191 as the tie-breaker where a sample lies
//! exactly on a decision value.
//!
//! Linear samples are 16 bits; the codes carry 14 (μ-law) and 13 (A-law) of them. A code survives the way to linear and
//! back unchanged, with one exception: μ-law `0x7F` (negative zero) and `0xFF` (positive zero) are both 0 in linear, and
//! 0 is written as `0xFF`. That is why a line that is passed through keeps its bytes and is never decoded on the way.

/// The sample that a μ-law code stands for: ±32 124 at most.
pub const fn ulaw_to_linear(code: u8) -> i16 {
    ULAW[code as usize]
}

/// The sample that an A-law code stands for: ±32 256 at most.
pub const fn alaw_to_linear(code: u8) -> i16 {
    ALAW[code as usize]
}

/// The μ-law code of a sample; louder than the law can say becomes its loudest.
pub const fn linear_to_ulaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x00 } else { 0x80 };
    // One's complement for negatives, as in the reference: both zeroes have an interval of their own.
    let magnitude = ((if sample < 0 { !sample } else { sample }) >> 2) as u32 + 33;
    let magnitude = if magnitude > 0x1FFF { 0x1FFF } else { magnitude };
    // 33 ≤ magnitude < 2^13: the position of the highest bit, counted from bit 5, is the segment.
    let segment = 26 - magnitude.leading_zeros();
    let step = (magnitude >> (segment + 1)) & 0x0F;
    sign | (!((segment << 4) | step) & 0x7F) as u8
}

/// The A-law code of a sample.
pub const fn linear_to_alaw(sample: i16) -> u8 {
    let sign = if sample < 0 { 0x00 } else { 0x80 };
    let magnitude = ((if sample < 0 { !sample } else { sample }) >> 4) as u32;
    // 0 ≤ magnitude < 2^11. The two lowest segments have the same step.
    let code = if magnitude < 32 {
        magnitude
    } else {
        let segment = 28 - magnitude.leading_zeros();
        (segment << 4) | ((magnitude >> (segment - 1)) & 0x0F)
    };
    (sign | code as u8) ^ 0x55
}

/// Appends the samples of `codes` to `out`.
pub fn decode_ulaw(codes: &[u8], out: &mut Vec<i16>) {
    out.extend(codes.iter().map(|&code| ulaw_to_linear(code)));
}

/// Appends the samples of `codes` to `out`.
pub fn decode_alaw(codes: &[u8], out: &mut Vec<i16>) {
    out.extend(codes.iter().map(|&code| alaw_to_linear(code)));
}

/// Appends the codes of `samples` to `out`.
pub fn encode_ulaw(samples: &[i16], out: &mut Vec<u8>) {
    out.extend(samples.iter().map(|&sample| linear_to_ulaw(sample)));
}

/// Appends the codes of `samples` to `out`.
pub fn encode_alaw(samples: &[i16], out: &mut Vec<u8>) {
    out.extend(samples.iter().map(|&sample| linear_to_alaw(sample)));
}

static ULAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = !code as i32 & 0xFF;
        let magnitude = ((((bits & 0x0F) << 3) + 0x84) << ((bits & 0x70) >> 4)) - 0x84;
        table[code] = if bits & 0x80 != 0 { -magnitude } else { magnitude } as i16;
        code += 1;
    }
    table
};

static ALAW: [i16; 256] = {
    let mut table = [0; 256];
    let mut code = 0;
    while code < 256 {
        let bits = code as i32 ^ 0x55;
        let step = (bits & 0x0F) << 4;
        let magnitude = match (bits & 0x70) >> 4 {
            0 => step + 8,
            segment => (step + 0x108) << (segment - 1),
        };
        table[code] = if bits & 0x80 != 0 { magnitude } else { -magnitude } as i16;
        code += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ulaw_code_but_negative_zero_survives_a_round_trip() {
        for code in 0..=255 {
            let expected = if code == 0x7F { 0xFF } else { code };
            assert_eq!(linear_to_ulaw(ulaw_to_linear(code)), expected, "code {code:#04x}");
        }
    }

    #[test]
    fn every_alaw_code_survives_a_round_trip() {
        for code in 0..=255 {
            assert_eq!(linear_to_alaw(alaw_to_linear(code)), code, "code {code:#04x}");
        }
    }

    #[test]
    fn known_values_of_both_laws() {
        // ITU-T G.711 tables 1 and 2, scaled from 13 and 14 bits to 16.
        let ulaw = [(0xFF, 0), (0xFE, 8), (0xF0, 120), (0xEF, 132), (0x80, 32_124), (0x00, -32_124), (0x7E, -8)];
        for (code, sample) in ulaw {
            assert_eq!(ulaw_to_linear(code), sample, "μ-law {code:#04x}");
        }
        let alaw = [(0xD5, 8), (0x55, -8), (0xD4, 24), (0xAA, 32_256), (0x2A, -32_256), (0xC5, 264)];
        for (code, sample) in alaw {
            assert_eq!(alaw_to_linear(code), sample, "A-law {code:#04x}");
        }
    }

    #[test]
    fn ulaw_decides_at_the_values_of_the_table() {
        // G.711 table 2: the interval of segment s, step i begins at (32·2^s + i·2^(s+1) − 33) in 14 bits.
        for segment in 0..8u32 {
            for step in 0..16u32 {
                if segment == 0 && step == 0 {
                    continue;
                }
                let edge = (((32 << segment) + (step << (segment + 1)) - 33) * 4) as i16;
                let code = 0xFF - ((segment << 4) | step) as u8;
                assert_eq!(linear_to_ulaw(edge), code, "at {edge}");
                assert_eq!(linear_to_ulaw(edge - 1), code + 1, "below {edge}");
            }
        }
    }

    #[test]
    fn loudness_is_monotonic_and_clipped() {
        for law in [|s| ulaw_to_linear(linear_to_ulaw(s)), |s| alaw_to_linear(linear_to_alaw(s))] {
            let mut last = i16::MIN;
            for sample in i16::MIN..=i16::MAX {
                let heard = law(sample);
                assert!(heard >= last, "at {sample}");
                assert!((heard as i32 - sample as i32).abs() <= 1_024, "at {sample}: {heard}");
                last = heard;
            }
        }
        assert_eq!(linear_to_ulaw(i16::MAX), 0x80);
        assert_eq!(linear_to_ulaw(i16::MIN), 0x00);
    }
}
