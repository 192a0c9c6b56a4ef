//! What a kernel asks of an instruction set.
//!
//! The rows of a matrix lie in the lanes of a vector, one 32-bit lane each, so that scales apply to whole
//! vectors and nothing is summed across lanes. A kernel is written once over this trait; no instruction set
//! may contract a product and a sum, so all of them give the same bits.

/// The bits that a half float has when it is moved to where those of single precision are.
pub(super) const HALF_MASK: u32 = 0x8fff_ffff;

/// A vector of rows.
///
/// # Safety
/// Every method may be called only where the instruction set is present, and with pointers to as much memory
/// as it says that it reads or writes; no pointer needs to be aligned.
pub(crate) trait Lanes: Copy {
    /// How many rows.
    const COUNT: usize;
    /// What [`Lanes::halves`] brings must be multiplied with this.
    const HALF_UNIT: f32;
    /// Whether loops over the quads of a block stay loops.
    const ROLLED: bool;
    /// Weights are asked for at least so many times 32 columns at a time.
    const STRIP: usize;
    /// And so many bytes before they are multiplied: hardware does not look across pages by itself.
    const AHEAD: usize;
    /// For each row four bytes or one integer.
    type Int: Copy;
    /// For each row a number.
    type Float: Copy;
    /// For each row an integer that is being summed.
    type Sums: Copy;

    /// Asks for the cache lines of `bytes` bytes that are going to be read.
    unsafe fn prefetch(from: *const u8, bytes: usize);
    /// Four bytes for each row.
    unsafe fn load(from: *const u8) -> Self::Int;
    /// Writes what [`Lanes::load`] reads.
    unsafe fn store(bytes: Self::Int, to: *mut u8);
    /// The same four inputs for every row.
    unsafe fn inputs(from: *const i8) -> Self::Int;
    /// A table of sixteen bytes for [`Lanes::look_up`].
    unsafe fn table(from: *const u8) -> Self::Int;
    /// Each byte, below 16, replaced by the table's.
    unsafe fn look_up(table: Self::Int, indices: Self::Int) -> Self::Int;
    /// Each row's integer shifted to the right, zeros following.
    unsafe fn right<const BITS: i32>(value: Self::Int) -> Self::Int;
    /// Each row's integer shifted to the left.
    unsafe fn left<const BITS: i32>(value: Self::Int) -> Self::Int;
    /// The same integer for every row, to be made before a loop and kept in a register.
    unsafe fn mask(value: u32) -> Self::Int;
    /// The bits of one that the other has too.
    unsafe fn and(one: Self::Int, other: Self::Int) -> Self::Int;
    /// The bits of both.
    unsafe fn or(one: Self::Int, other: Self::Int) -> Self::Int;

    /// Sums that begin with `value`.
    unsafe fn start(value: i32) -> Self::Sums;
    /// Adds the products of four levels and four inputs to each row's sum. Levels are below 128, or `byte`
    /// is set and they are stored as [`super::Isa::byte_bias`] says.
    unsafe fn dot(byte: bool, sums: Self::Sums, levels: Self::Int, inputs: Self::Int) -> Self::Sums;
    /// Each row's sum.
    unsafe fn whole(sums: Self::Sums) -> Self::Int;
    /// The last of each four bytes, with its sign.
    unsafe fn top_bytes(from: *const u8) -> Self::Int;
    /// The lower 32 bits of each row's product.
    unsafe fn product(one: Self::Int, other: Self::Int) -> Self::Int;
    unsafe fn sum(one: Self::Int, other: Self::Int) -> Self::Int;
    /// Each row's integer as a number.
    unsafe fn number(value: Self::Int) -> Self::Float;

    /// The same number for every row.
    unsafe fn splat(value: f32) -> Self::Float;
    unsafe fn multiply(one: Self::Float, other: Self::Float) -> Self::Float;
    unsafe fn add(one: Self::Float, other: Self::Float) -> Self::Float;
    /// A number for each row.
    unsafe fn floats(from: *const f32) -> Self::Float;
    /// Writes what [`Lanes::floats`] reads.
    unsafe fn store_floats(values: Self::Float, to: *mut f32);
    /// A half-precision number for each row, divided by [`Lanes::HALF_UNIT`]. One that is not finite, which
    /// no weight is, may become some large number. `mask` is that of [`HALF_MASK`].
    unsafe fn halves(from: *const u8, mask: Self::Int) -> Self::Float;
    /// The upper half of a number for each row.
    unsafe fn upper_halves(from: *const u8) -> Self::Float;
}

/// Methods whose bodies are instructions.
macro_rules! instructions {
    ($($(#[$attribute:meta])* fn $name:ident $(<$(const $constant:ident: $kind:ty),+>)? ($($argument:ident: $type:ty),*) $(-> $result:ty)? => $body:expr;)*) => {
        $(
            $(#[$attribute])*
            #[inline(always)]
            unsafe fn $name $(<$(const $constant: $kind),+>)? ($($argument: $type),*) $(-> $result)? {
                // SAFETY: the caller promises that the instructions and the memory are there.
                unsafe { $body }
            }
        )*
    };
}

pub(super) use instructions;
