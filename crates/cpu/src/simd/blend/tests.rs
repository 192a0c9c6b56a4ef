//! Every instruction set against the product's definition.

use super::*;

/// A product by its definition, whose rows begin one item later than they need to.
fn plain(sizes: Sizes, left: Rows<&[f32]>, right: Rows<&dyn Fn(usize) -> f32>, output: &mut [f32]) {
    for row in 0..sizes.rows {
        for column in 0..sizes.columns {
            let product = |inner| left.items[row * left.stride + inner] * (right.items)(inner * right.stride + column);
            output[row * (sizes.columns + 1) + column] += (0..sizes.depth).map(product).sum::<f32>();
        }
    }
}

type Pointers<T> = (Rows<*const f32>, Rows<*const T>, Rows<*mut f32>);

/// Each instruction set that is here.
fn sets<T: Element>() -> Vec<fn(Sizes, Pointers<T>)> {
    // SAFETY: the caller of the function passes sizes that fit.
    let mut sets: Vec<fn(Sizes, Pointers<T>)> =
        vec![|sizes, (left, right, output)| unsafe { product::<Plain, T>(sizes, left, right, output) }];
    #[cfg(target_arch = "x86_64")]
    {
        if crate::simd::elementwise::has_avx2() {
            // SAFETY: as before, and the instructions are there.
            sets.push(|sizes, (left, right, output)| unsafe { avx2::product(sizes, left, right, output) });
        }
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: as before, and the instructions are there.
            sets.push(|sizes, (left, right, output)| unsafe { avx512::product(sizes, left, right, output) });
        }
    }
    sets
}

fn agrees<T: Element>(items: &[T], value: &dyn Fn(T) -> f32) {
    let numbers: Vec<f32> = (0..700).map(|index| (index * 31 % 101) as f32 * 0.02 - 1.0).collect();
    for rows in 0..=9 {
        for (depth, columns) in [(0, 32), (1, 32), (7, 64), (64, 96), (33, 32)] {
            let sizes = Sizes { rows, depth, columns };
            let left = Rows { items: &numbers[..], stride: depth + 3 };
            let mut ours = vec![0.5; 1000];
            let right = Rows { items, stride: columns + 5 };
            add_product(sizes, left, right, Rows { items: &mut ours[..], stride: columns + 1 });
            let mut expected = vec![0.5; 1000];
            let value = |index: usize| value(items[index]);
            let right: Rows<&dyn Fn(usize) -> f32> = Rows { items: &value, stride: columns + 5 };
            plain(sizes, left, right, &mut expected);
            for (ours, expected) in ours.iter().zip(&expected) {
                let bound = 1e-4 * expected.abs().max(1.0);
                assert!((ours - expected).abs() <= bound, "{rows} {depth} {columns}: {ours} for {expected}");
            }
            for set in sets::<T>() {
                let mut theirs = vec![0.5f32; 1000];
                let left = Rows { items: left.items.as_ptr(), stride: left.stride };
                let right = Rows { items: items.as_ptr(), stride: columns + 5 };
                set(sizes, (left, right, Rows { items: theirs.as_mut_ptr(), stride: columns + 1 }));
                let same = theirs.iter().zip(&ours).all(|(theirs, ours)| theirs.to_bits() == ours.to_bits());
                assert!(same, "{rows} {depth} {columns}: instruction sets differ");
            }
        }
    }
}

#[test]
fn products_equal_their_definition_at_odd_sizes() {
    let numbers: Vec<f32> = (0..7000).map(|index| (index * 37 % 103) as f32 * 0.3 - 15.0).collect();
    let halves: Vec<u16> = numbers.iter().map(|number| half::f16::from_f32(*number).to_bits()).collect();
    agrees(&halves, &|bits| half::f16::from_bits(bits).to_f32());
    let bytes: Vec<i8> = numbers.iter().map(|number| (number * 8.0) as i8).collect();
    agrees(&bytes, &|byte| f32::from(byte));
    // The smallest and the largest half floats.
    let extremes: Vec<u16> = (0..7000).map(|index| [1, 0x8001, 0x0400, 0x7bff, 0x3c00][index % 5]).collect();
    agrees(&extremes, &|bits| half::f16::from_bits(bits).to_f32());
}
