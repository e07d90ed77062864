//! Sampling of the access log.

use crate::util::fnv::{FNV_OFFSET_BASIS, fnv1a};

/// Returns a fraction between 0 and 1 for an ID, which is the same on every machine and in every version of this crate.
///
/// It is the 64-bit FNV-1a hash of the ID as a fraction of 2^53. MurmurHash3's `fmix64` mixes the bits first, since the
/// upper bits of FNV depend only weakly on the last bytes.
pub(super) fn hash_fraction(id: &str) -> f64 {
    let hash = fnv1a(FNV_OFFSET_BASIS, id.as_bytes());
    // 53 bits are what an `f64` holds without rounding, so that the fraction is below 1.
    (fmix64(hash) >> 11) as f64 / (1_u64 << 53) as f64
}

fn fmix64(mut bits: u64) -> u64 {
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xff51_afd7_ed55_8ccd);
    bits ^= bits >> 33;
    bits = bits.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    bits ^ bits >> 33
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sampling_fraction_of_an_id_never_changes() {
        let fractions = ["", "a", "0123456789abcdef0123456789abcdef"].map(hash_fraction);
        // Computed by another program: every version of this crate must agree.
        let expected = [0.93676944839044, 0.5102945176565711, 0.15168960614676164];
        assert_eq!(fractions, expected);
    }

    #[test]
    fn sampling_fractions_are_uniform_for_ids_of_any_kind() {
        let kinds: [fn(u32) -> String; 3] = [
            |n| n.to_string(),
            |n| format!("{n:032x}"),
            |n| format!("order-{}", n * 1_000),
        ];
        for kind in kinds {
            for tenth in 1..10 {
                let limit = f64::from(tenth) / 10.0;
                let under = (0..10_000)
                    .filter(|n| hash_fraction(&kind(*n)) < limit)
                    .count();
                let off = (under as f64 / 10_000.0 - limit).abs();
                assert!(off < 0.02, "{under} of 10,000 under {limit}");
            }
        }
    }
}
