//! What the machine can do at most.

use super::lanes::Lanes;

/// Sums that run side by side: as many as leave registers for the operands.
const SUMS: usize = 10;

/// Products between two looks at the operands.
const TURNS: usize = 4;

/// Reads every whole vector of `bytes`.
///
/// # Safety
/// The instruction set is present.
#[inline(always)]
pub(super) unsafe fn stream<V: Lanes>(bytes: &[u8]) -> i32 {
    let width = V::COUNT * 4;
    let mut words = [0u8; 64];
    // SAFETY: only whole vectors of `bytes` are read, and the widest vector has room in `words`.
    unsafe {
        let mut all = [V::load(words.as_ptr()); 4];
        for start in (0..bytes.len() / (4 * width)).map(|index| index * 4 * width) {
            for (index, some) in all.iter_mut().enumerate() {
                *some = V::or(*some, V::load(bytes.as_ptr().add(start + index * width)));
            }
        }
        V::store(V::or(V::or(all[0], all[1]), V::or(all[2], all[3])), words.as_mut_ptr());
    }
    i32::from(words[0])
}

/// Products of registers with each other. Returns how many there were.
///
/// # Safety
/// The instruction set is present.
#[inline(always)]
pub(super) unsafe fn peak<V: Lanes>(rounds: usize) -> usize {
    let bytes = [3u8; 64];
    let mut products = [0f32; 16];
    // SAFETY: the widest vector is 64 bytes, or 16 numbers.
    unsafe {
        let mut sums = [V::start(0); SUMS];
        for _ in 0..rounds {
            // Hidden, so that the compiler does not multiply once and for all.
            let bytes = std::hint::black_box(&bytes).as_ptr();
            let (levels, inputs) = (V::load(bytes), V::inputs(bytes.cast()));
            for _ in 0..TURNS {
                for sum in &mut sums {
                    *sum = V::dot(false, *sum, levels, inputs);
                }
            }
        }
        for sum in sums {
            V::store_floats(V::number(V::whole(sum)), products.as_mut_ptr());
            std::hint::black_box(&products);
        }
    }
    rounds * TURNS * SUMS * V::COUNT * 4
}
