//! The inner loops, and the only unsafe code of this crate.

#![expect(unsafe_code, reason = "file bytes are read straight into blocks")]

mod plain_block;

pub(crate) use plain_block::{PlainBlock, bytes_mut};

/// `Σ left * right`, in eight running sums so that the compiler may use vectors.
pub(crate) fn dot_f32(left: &[f32], right: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (left_blocks, left_rest) = left.as_chunks::<8>();
    let (right_blocks, right_rest) = right.as_chunks::<8>();
    for (left, right) in left_blocks.iter().zip(right_blocks) {
        for lane in 0..8 {
            sums[lane] += left[lane] * right[lane];
        }
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(left, right)| left * right).sum();
    sums.iter().sum::<f32>() + rest
}

/// `Σ left * right` of one block.
pub(crate) fn dot_32(left: &[i8; 32], right: &[i8; 32]) -> i32 {
    left.iter().zip(right).map(|(left, right)| i32::from(*left) * i32::from(*right)).sum()
}

/// The instruction sets that the products use here.
pub(crate) fn features() -> Vec<String> {
    let mut features = Vec::new();
    #[cfg(target_arch = "x86_64")]
    for (name, there) in [("avx2", is_x86_feature_detected!("avx2")), ("fma", is_x86_feature_detected!("fma"))] {
        if there {
            features.push(name.to_owned());
        }
    }
    if cfg!(target_feature = "simd128") {
        features.push("simd128".to_owned());
    }
    features
}
