//! The product that attention is made of: some rows of numbers times a matrix of stored keys or values.
//!
//! Sums lie along the columns, so that nothing is summed across a vector, and each piece of the matrix is
//! taken apart once for up to four rows.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod simd128;
#[cfg(test)]
mod tests;

/// Widths of matrices are multiples of this.
pub(crate) const COLUMNS: usize = 32;

/// A row-major matrix whose rows begin every `stride` items.
#[derive(Clone, Copy)]
pub(crate) struct Rows<T> {
    pub(crate) items: T,
    pub(crate) stride: usize,
}

/// Numbers side by side.
///
/// # Safety
/// Every method may be called only where the instruction set is present, and with pointers to as many items as
/// there are lanes; no pointer needs to be aligned.
pub(super) trait Vector: Copy {
    /// How many numbers; a power of two, at most 16.
    const LANES: usize;
    /// The same number in every lane.
    unsafe fn splat(value: f32) -> Self;
    unsafe fn load(from: *const f32) -> Self;
    unsafe fn store(self, to: *mut f32);
    /// Half-precision numbers from their bits. One that is not finite may become some large number.
    unsafe fn halves(from: *const u16) -> Self;
    /// Signed bytes as numbers.
    unsafe fn bytes(from: *const i8) -> Self;
    /// `self + one * other`, rounded twice, so that every instruction set gives the same bits.
    unsafe fn plus_product(self, one: Self, other: Self) -> Self;
}

/// How the matrix is stored.
pub(crate) trait Element: Copy + Sync {
    /// # Safety
    /// As for [`Vector`].
    #[expect(private_bounds, reason = "only kernels call it")]
    unsafe fn load<V: Vector>(from: *const Self) -> V;
}

impl Element for u16 {
    #[inline(always)]
    #[expect(private_bounds, reason = "only kernels call it")]
    unsafe fn load<V: Vector>(from: *const Self) -> V {
        // SAFETY: passed on.
        unsafe { V::halves(from) }
    }
}

impl Element for i8 {
    #[inline(always)]
    #[expect(private_bounds, reason = "only kernels call it")]
    unsafe fn load<V: Vector>(from: *const Self) -> V {
        // SAFETY: passed on.
        unsafe { V::bytes(from) }
    }
}

/// A product's sizes: `rows` by `depth` times `depth` by `columns`.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    pub(crate) rows: usize,
    pub(crate) depth: usize,
    pub(crate) columns: usize,
}

/// `output += left · right`.
///
/// # Panics
/// If the sizes do not fit the slices, or the columns are not a multiple of [`COLUMNS`].
#[expect(clippy::needless_pass_by_value, reason = "the output is borrowed for this call only")]
pub(crate) fn add_product<T: Element>(sizes: Sizes, left: Rows<&[f32]>, right: Rows<&[T]>, output: Rows<&mut [f32]>) {
    let Sizes { rows, depth, columns } = sizes;
    if rows == 0 || depth == 0 || columns == 0 {
        return;
    }
    assert!(columns.is_multiple_of(COLUMNS), "{columns} columns");
    assert!((rows - 1) * left.stride + depth <= left.items.len(), "the left side is too short");
    assert!((depth - 1) * right.stride + columns <= right.items.len(), "the right side is too short");
    assert!((rows - 1) * output.stride + columns <= output.items.len(), "the output is too short");
    let left = Rows { items: left.items.as_ptr(), stride: left.stride };
    let right = Rows { items: right.items.as_ptr(), stride: right.stride };
    let output = Rows { items: output.items.as_mut_ptr(), stride: output.stride };
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx512f") {
        // SAFETY: the instructions are there, and the lengths were checked.
        unsafe { avx512::product(sizes, left, right, output) };
        return;
    } else if super::elementwise::has_avx2() {
        // SAFETY: the instructions are there, and the lengths were checked.
        unsafe { avx2::product(sizes, left, right, output) };
        return;
    }
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    // SAFETY: the lengths were checked.
    unsafe {
        product::<std::arch::wasm32::v128, T>(sizes, left, right, output);
    }
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    // SAFETY: the lengths were checked.
    unsafe {
        product::<Plain, T>(sizes, left, right, output);
    }
}

/// # Safety
/// The instructions must be there, and the pointers valid for the sizes; `columns` is a multiple of [`COLUMNS`].
#[inline(always)]
unsafe fn product<V: Vector, T: Element>(
    sizes: Sizes,
    left: Rows<*const f32>,
    right: Rows<*const T>,
    output: Rows<*mut f32>,
) {
    let mut row = 0;
    while row < sizes.rows {
        // SAFETY: passed on; the rows from `row` on are some of the caller's.
        unsafe {
            let left = Rows { items: left.items.add(row * left.stride), stride: left.stride };
            let output = Rows { items: output.items.add(row * output.stride), stride: output.stride };
            row += match sizes.rows - row {
                1 if V::LANES <= 8 => some_rows::<V, T, 1, 4>(sizes, left, right, output),
                1 => some_rows::<V, T, 1, 2>(sizes, left, right, output),
                2 if V::LANES <= 8 => some_rows::<V, T, 2, 4>(sizes, left, right, output),
                2 => some_rows::<V, T, 2, 2>(sizes, left, right, output),
                3 => some_rows::<V, T, 3, 2>(sizes, left, right, output),
                _ => some_rows::<V, T, 4, 2>(sizes, left, right, output),
            };
        }
    }
}

/// `ROWS` rows, a tile of `PARTS` vectors at a time; says how many rows.
///
/// # Safety
/// As for [`product`].
#[inline(always)]
unsafe fn some_rows<V: Vector, T: Element, const ROWS: usize, const PARTS: usize>(
    sizes: Sizes,
    left: Rows<*const f32>,
    right: Rows<*const T>,
    output: Rows<*mut f32>,
) -> usize {
    let mut column = 0;
    while column < sizes.columns {
        // SAFETY: a tile divides `COLUMNS`, so it lies within the columns.
        unsafe {
            let mut sums = [[V::splat(0.0); PARTS]; ROWS];
            for (row, sums) in sums.iter_mut().enumerate() {
                for (part, sum) in sums.iter_mut().enumerate() {
                    *sum = V::load(output.items.add(row * output.stride + column + part * V::LANES));
                }
            }
            for inner in 0..sizes.depth {
                let from = right.items.add(inner * right.stride + column);
                let mut pieces = [V::splat(0.0); PARTS];
                for (part, piece) in pieces.iter_mut().enumerate() {
                    *piece = T::load::<V>(from.add(part * V::LANES));
                }
                for (row, sums) in sums.iter_mut().enumerate() {
                    let factor = V::splat(*left.items.add(row * left.stride + inner));
                    for (sum, piece) in sums.iter_mut().zip(pieces) {
                        *sum = sum.plus_product(factor, piece);
                    }
                }
            }
            for (row, sums) in sums.iter().enumerate() {
                for (part, sum) in sums.iter().enumerate() {
                    sum.store(output.items.add(row * output.stride + column + part * V::LANES));
                }
            }
        }
        column += PARTS * V::LANES;
    }
    ROWS
}

/// No instruction set: an array, which a compiler may turn into a vector.
#[cfg(any(test, not(all(target_arch = "wasm32", target_feature = "simd128"))))]
#[derive(Clone, Copy)]
struct Plain([f32; 4]);

#[cfg(any(test, not(all(target_arch = "wasm32", target_feature = "simd128"))))]
impl Vector for Plain {
    const LANES: usize = 4;

    #[inline(always)]
    unsafe fn splat(value: f32) -> Self {
        Self([value; 4])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller promises four numbers.
        Self(unsafe { from.cast::<[f32; 4]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller promises four numbers.
        unsafe { to.cast::<[f32; 4]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn halves(from: *const u16) -> Self {
        // SAFETY: the caller promises four halves.
        Self(unsafe { from.cast::<[u16; 4]>().read_unaligned() }.map(|bits| half::f16::from_bits(bits).to_f32_const()))
    }

    #[inline(always)]
    unsafe fn bytes(from: *const i8) -> Self {
        // SAFETY: the caller promises four bytes.
        Self(unsafe { from.cast::<[i8; 4]>().read_unaligned() }.map(f32::from))
    }

    #[inline(always)]
    unsafe fn plus_product(self, one: Self, other: Self) -> Self {
        Self(std::array::from_fn(|lane| self.0[lane] + one.0[lane] * other.0[lane]))
    }
}
