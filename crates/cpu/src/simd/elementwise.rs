//! Functions of many numbers, one at a time, written so that a compiler turns them into vectors.

/// Whether AVX2 and what always comes with it is there.
#[cfg(target_arch = "x86_64")]
pub(super) fn has_avx2() -> bool {
    is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c")
}

/// `e` to the power of `value`, within three units of the last place; the smallest normal number instead of a
/// smaller one, and the largest power of two instead of a larger one.
#[inline(always)]
pub(crate) fn exp(value: f32) -> f32 {
    // Adding this leaves the rounded integer in the lowest bits, where `round` would be a call.
    const ROUNDING: f32 = 12_582_912.0;
    // The logarithm of two in two parts: the first one's products with small integers are exact.
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let value = if value < -87.0 { -87.0 } else { value };
    let value = if value > 88.0 { 88.0 } else { value };
    let shifted = value * std::f32::consts::LOG2_E + ROUNDING;
    let whole = shifted - ROUNDING;
    let rest = value - whole * LN_2_HIGH - whole * LN_2_LOW;
    // The minimax polynomial of the Cephes library.
    let mut sum = 1.987_569_1e-4;
    for factor in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        sum = sum * rest + factor;
    }
    let fraction = sum * rest * rest + rest + 1.0;
    let exponent = (shifted.to_bits() as i32).wrapping_sub(ROUNDING.to_bits() as i32);
    f32::from_bits((fraction.to_bits() as i32).wrapping_add(exponent << 23) as u32)
}

/// The largest of them, passing over what is not a number.
#[inline(always)]
fn largest_plain(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; 16];
    let (blocks, rest) = values.as_chunks::<16>();
    for block in blocks {
        for (largest, &value) in lanes.iter_mut().zip(block) {
            *largest = if value > *largest { value } else { *largest };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |largest, &value| if value > largest { value } else { largest })
}

#[inline(always)]
fn exp_below_plain(values: &mut [f32], largest: f32) -> f32 {
    let mut sums = [0.0f32; 16];
    let (blocks, rest) = values.as_chunks_mut::<16>();
    for block in blocks {
        for (sum, value) in sums.iter_mut().zip(block) {
            *value = exp(*value - largest);
            *sum += *value;
        }
    }
    let mut total = sums.iter().sum();
    for value in rest {
        *value = exp(*value - largest);
        total += *value;
    }
    total
}

#[inline(always)]
fn sum_exp_plain(values: &[f32], largest: f32) -> f64 {
    let mut total = 0.0;
    // So few at a time that a sum in f32 keeps its digits.
    for values in values.chunks(1024) {
        let mut sums = [0.0f32; 16];
        let (blocks, rest) = values.as_chunks::<16>();
        for block in blocks {
            for (sum, value) in sums.iter_mut().zip(block) {
                let share = exp(*value - largest);
                *sum += if value.is_nan() { 0.0 } else { share };
            }
        }
        let rest: f32 = rest.iter().filter(|value| !value.is_nan()).map(|value| exp(*value - largest)).sum();
        total += f64::from(sums.iter().sum::<f32>() + rest);
    }
    total
}

#[inline(always)]
fn silu_plain(values: &mut [f32]) {
    for value in values {
        *value /= 1.0 + exp(-*value);
    }
}

#[inline(always)]
fn gelu_plain(values: &mut [f32]) {
    // 2 sqrt(2 / π): a hyperbolic tangent is an exponential function of twice its argument.
    const FACTOR: f32 = 1.595_769;
    for value in values {
        let inner = FACTOR * (*value + 0.044_715 * *value * *value * *value);
        *value /= 1.0 + exp(-inner);
    }
}

#[inline(always)]
fn normalise_plain(values: &[f32], factor: f32, weights: &[f32], output: &mut [f32]) {
    for ((output, value), weight) in output.iter_mut().zip(values).zip(weights) {
        *output = value * factor * weight;
    }
}

#[inline(always)]
fn rotate_plain(one: &mut [f32], other: &mut [f32], sines: &[f32], cosines: &[f32]) {
    for (((one, other), sine), cosine) in one.iter_mut().zip(other).zip(sines).zip(cosines) {
        let (left, right) = (*one, *other);
        *one = left * cosine - right * sine;
        *other = left * sine + right * cosine;
    }
}

/// Functions that are compiled for an instruction set as well, which is chosen when they are called.
macro_rules! compiled {
    ($($(#[$doc:meta])* fn $name:ident = $plain:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        #[cfg(target_arch = "x86_64")]
        mod avx2 {
            $(#[target_feature(enable = "avx2,fma")]
            pub(super) fn $name($($argument: $type),*) $(-> $result)? {
                super::$plain($($argument),*)
            })*
        }

        $($(#[$doc])*
        pub(crate) fn $name($($argument: $type),*) $(-> $result)? {
            #[cfg(target_arch = "x86_64")]
            if has_avx2() {
                // SAFETY: the instructions are there.
                return unsafe { avx2::$name($($argument),*) };
            }
            $plain($($argument),*)
        })*
    };
}

compiled! {
    /// The largest of them, passing over what is not a number; negative infinity without any.
    fn largest = largest_plain(values: &[f32]) -> f32;
    /// Replaces each by `exp(value - largest)` and gives their sum.
    fn exp_below = exp_below_plain(values: &mut [f32], largest: f32) -> f32;
    /// `Σ exp(value - largest)`, passing over what is not a number.
    fn sum_exp = sum_exp_plain(values: &[f32], largest: f32) -> f64;
    /// `value * sigmoid(value)`.
    fn silu = silu_plain(values: &mut [f32]);
    /// The tanh approximation of GELU.
    fn gelu = gelu_plain(values: &mut [f32]);
    /// `output = values * factor * weights`.
    fn normalise = normalise_plain(values: &[f32], factor: f32, weights: &[f32], output: &mut [f32]);
    /// Rotates each pair of elements, one from either side.
    fn rotate = rotate_plain(one: &mut [f32], other: &mut [f32], sines: &[f32], cosines: &[f32]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(ours: f64, exact: f64, bound: f64) -> bool {
        (ours - exact).abs() <= bound * exact.abs().max(1e-30)
    }

    #[test]
    fn exponentials_are_those_of_the_library() {
        let mut values: Vec<f32> = (0..4000).map(|step| (step - 3000) as f32 * 0.0285).collect();
        let exact: Vec<f64> = values.iter().map(|value| f64::from(*value).exp()).collect();
        let sum = exp_below(&mut values, 0.0);
        for (ours, exact) in values.iter().zip(&exact) {
            assert!(near(f64::from(*ours), *exact, 4e-7), "{ours} for {exact}");
        }
        assert!(near(f64::from(sum), exact.iter().sum(), 1e-5));
        for (value, expected) in [(-1000.0, 0.0), (f32::NEG_INFINITY, 0.0), (0.0, 1.0)] {
            assert!((exp(value) - expected).abs() < 1e-30, "{value}");
        }
        assert!(exp(f32::NAN).is_nan() && exp(f32::INFINITY) > 1e38);
    }

    #[test]
    fn sums_of_exponentials_keep_the_digits_of_large_vocabularies() {
        for count in [0, 1, 15, 16, 17, 5000, 151_936] {
            let values: Vec<f32> = (0..count).map(|index| (index * 7919 % 1000) as f32 * 0.01 - 5.0).collect();
            let largest = largest(&values);
            let exact: f64 = values.iter().map(|value| f64::from(value - largest).exp()).sum();
            assert!((sum_exp(&values, largest) - exact).abs() <= 1e-6 * exact, "{count}");
        }
        assert!((sum_exp(&[1.0, f32::NAN, 1.0], 1.0) - 2.0).abs() < 1e-6);
        assert!(largest(&[]).is_infinite() && largest(&[f32::NAN, -3.0, 2.0, f32::NAN]).total_cmp(&2.0).is_eq());
    }

    #[test]
    fn activations_are_what_they_are_called() {
        let values: Vec<f32> = (0..803).map(|step| (step - 400) as f32 * 0.25).collect();
        let (mut with_silu, mut with_gelu) = (values.clone(), values.clone());
        silu(&mut with_silu);
        gelu(&mut with_gelu);
        for ((value, silu), gelu) in values.iter().map(|value| f64::from(*value)).zip(with_silu).zip(with_gelu) {
            let exact = value / (1.0 + (-value).exp());
            assert!((f64::from(silu) - exact).abs() <= 1e-6 * exact.abs().max(1.0), "silu({value})");
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (value + 0.044_715 * value.powi(3));
            let exact = 0.5 * value * (1.0 + inner.tanh());
            assert!((f64::from(gelu) - exact).abs() <= 1e-6 * exact.abs().max(1.0), "gelu({value})");
        }
    }
}
