//! How 32 levels of a row share words, without a bit left over.
//!
//! A word is four bytes, one for each level of a quad. Every byte holds as many levels as fit; what is left at
//! its top holds pieces of further quads. So most quads take one operation to bring out, and none more than
//! eight.

use super::lanes::Lanes;
use super::layout::{Layout, PANEL_ROWS};

/// Bytes of one word of every row.
pub(super) const WORDS: usize = PANEL_ROWS * 4;

/// The bits of a byte in each byte of a word.
const fn each(byte: u8) -> u32 {
    u32::from_le_bytes([byte; 4])
}

/// The words of eight quads, as many as there are bits; the others are 0.
pub(super) fn pack(bits: usize, quads: &[u32; 8]) -> [u32; 8] {
    let q = quads.map(|quad| quad & each((0xff >> (8 - bits)) as u8));
    // Some bits of a quad, moved to the top of a byte.
    let piece = |quad: u32, right: u32, bits: u32, left: u32| (quad >> right & each((1 << bits) - 1)) << left;
    match bits {
        2 => {
            let word = |first: usize| (0..4).fold(0, |word, index| word | q[first + index] << (2 * index));
            [word(0), word(4), 0, 0, 0, 0, 0, 0]
        }
        3 => [
            q[0] | q[1] << 3 | piece(q[3], 1, 2, 6),
            q[2] | q[6] << 3 | piece(q[7], 1, 2, 6),
            q[4] | q[5] << 3 | piece(q[3], 0, 1, 6) | piece(q[7], 0, 1, 7),
            0,
            0,
            0,
            0,
            0,
        ],
        4 => [q[0] | q[1] << 4, q[2] | q[3] << 4, q[4] | q[5] << 4, q[6] | q[7] << 4, 0, 0, 0, 0],
        5 => [
            q[0] | piece(q[2], 2, 3, 5),
            q[1] | piece(q[2], 0, 2, 5) | piece(q[7], 1, 1, 7),
            q[3] | piece(q[5], 2, 3, 5),
            q[4] | piece(q[5], 0, 2, 5) | piece(q[7], 0, 1, 7),
            q[6] | piece(q[7], 2, 3, 5),
            0,
            0,
            0,
        ],
        6 => {
            let word = |quad: usize, whole: usize, right: u32| q[quad] | piece(q[whole], right, 2, 6);
            [word(0, 3, 0), word(1, 3, 2), word(2, 3, 4), word(4, 7, 0), word(5, 7, 2), word(6, 7, 4), 0, 0]
        }
        _ => q,
    }
}

/// The quads of words: what [`group`] does, for one row.
pub(super) fn unpack(bits: usize, words: &[u32; 8]) -> [u32; 8] {
    let w = words;
    let low = |word: u32, bits: u32| word & each((1 << bits) - 1);
    let piece = |word: u32, from: u32, bits: u32, left: u32| (word >> from & each((1 << bits) - 1)) << left;
    match bits {
        2 => std::array::from_fn(|quad| low(w[quad / 4] >> (quad % 4 * 2), 2)),
        3 => [
            low(w[0], 3),
            low(w[0] >> 3, 3),
            low(w[1], 3),
            piece(w[0], 6, 2, 1) | piece(w[2], 6, 1, 0),
            low(w[2], 3),
            low(w[2] >> 3, 3),
            low(w[1] >> 3, 3),
            piece(w[1], 6, 2, 1) | piece(w[2], 7, 1, 0),
        ],
        4 => std::array::from_fn(|quad| low(w[quad / 2] >> (quad % 2 * 4), 4)),
        5 => [
            low(w[0], 5),
            low(w[1], 5),
            piece(w[0], 5, 3, 2) | piece(w[1], 5, 2, 0),
            low(w[2], 5),
            low(w[3], 5),
            piece(w[2], 5, 3, 2) | piece(w[3], 5, 2, 0),
            low(w[4], 5),
            piece(w[4], 5, 3, 2) | piece(w[1], 7, 1, 1) | piece(w[3], 7, 1, 0),
        ],
        6 => {
            let top =
                |first: usize| piece(w[first], 6, 2, 0) | piece(w[first + 1], 6, 2, 2) | piece(w[first + 2], 6, 2, 4);
            [low(w[0], 6), low(w[1], 6), low(w[2], 6), top(0), low(w[3], 6), low(w[4], 6), low(w[5], 6), top(3)]
        }
        _ => *w,
    }
}

/// Quads of 32 columns that are brought out together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Groups {
    /// How many groups there are.
    pub(super) count: usize,
    /// Quads in a group; the last may have one less.
    pub(super) quads: usize,
    /// Whether all groups lie the same way, so that a loop may stay a loop.
    pub(super) alike: bool,
}

impl Groups {
    pub(super) const fn of<L: Layout>() -> Self {
        let (count, quads) = match L::BITS {
            4 | 8 => (4, 2),
            5 => (3, 3),
            _ => (2, 4),
        };
        Self { count, quads, alike: !matches!(L::BITS, 3 | 5) }
    }

    /// Quads in this group.
    #[inline(always)]
    pub(super) const fn length(self, group: usize) -> usize {
        if self.quads * (group + 1) > 8 { 8 - self.quads * group } else { self.quads }
    }
}

/// What a kernel needs to bring levels out, made once.
#[derive(Clone, Copy)]
pub(super) struct Masks<V: Lanes>([V::Int; 4]);

impl<V: Lanes> Masks<V> {
    /// # Safety
    /// The instruction set is present.
    #[inline(always)]
    pub(super) unsafe fn new<L: Layout>() -> Self {
        let bytes = match L::BITS {
            2 => [0x03; 4],
            3 => [0x07, 0xc0, 0x40, 0x80],
            5 => [0x1f, 0xe0, 0x60, 0x80],
            6 => [0x3f, 0xc0, 0xc0, 0xc0],
            _ => [0x0f; 4],
        };
        // No closures here and in the kernels: they would be compiled without the instruction set.
        // SAFETY: the caller promises the instruction set.
        unsafe {
            let mut masks = [V::mask(each(bytes[0])); 4];
            for index in 1..4 {
                if bytes[index] != bytes[index - 1] {
                    masks[index] = V::mask(each(bytes[index]));
                }
            }
            Self(masks)
        }
    }
}

/// The quads of one group for the rows of one vector.
///
/// # Safety
/// `levels` points to 32 columns' levels, from the vector's first row on, and the table to 16 bytes if the
/// layout has one. There is such a group.
#[inline(always)]
pub(super) unsafe fn group<V: Lanes, L: Layout>(
    levels: *const u8,
    table: *const u8,
    masks: Masks<V>,
    group: usize,
) -> [V::Int; 4] {
    // SAFETY: 32 columns have `BITS` words for each row, and no more are read.
    unsafe {
        let mut quads = packed::<V, L>(levels, masks.0, group);
        if L::TABLE {
            let table = V::table(table);
            for quad in 0..Groups::of::<L>().quads {
                quads[quad] = V::look_up(table, quads[quad]);
            }
        }
        quads
    }
}

/// The quads as they are stored.
#[inline(always)]
unsafe fn packed<V: Lanes, L: Layout>(
    levels: *const u8,
    [low, top, one, two]: [V::Int; 4],
    group: usize,
) -> [V::Int; 4] {
    // SAFETY: as above.
    unsafe {
        match L::BITS {
            2 => {
                let word = V::load(levels.add(group * WORDS));
                [
                    V::and(word, low),
                    V::and(V::right::<2>(word), low),
                    V::and(V::right::<4>(word), low),
                    V::and(V::right::<6>(word), low),
                ]
            }
            3 => {
                let (middle, last) = (V::load(levels.add(WORDS)), V::load(levels.add(2 * WORDS)));
                if group == 0 {
                    let first = V::load(levels);
                    let piece = V::right::<1>(V::and(last, one));
                    let whole = V::right::<5>(V::or(V::and(first, top), piece));
                    return [V::and(first, low), V::and(V::right::<3>(first), low), V::and(middle, low), whole];
                }
                let piece = V::right::<2>(V::and(last, two));
                let whole = V::right::<5>(V::or(V::and(middle, top), piece));
                let third = V::and(V::right::<3>(middle), low);
                [V::and(last, low), V::and(V::right::<3>(last), low), third, whole]
            }
            5 if group < 2 => {
                let (first, second) =
                    (V::load(levels.add(2 * group * WORDS)), V::load(levels.add((2 * group + 1) * WORDS)));
                let piece = V::right::<2>(V::and(second, one));
                let whole = V::right::<3>(V::or(V::and(first, top), piece));
                [V::and(first, low), V::and(second, low), whole, whole]
            }
            5 => {
                let word = V::load(levels.add(4 * WORDS));
                let (second, fourth) = (V::load(levels.add(WORDS)), V::load(levels.add(3 * WORDS)));
                let pieces = V::or(V::right::<3>(V::and(second, two)), V::right::<4>(V::and(fourth, two)));
                let whole = V::right::<3>(V::or(V::and(word, top), pieces));
                [V::and(word, low), whole, whole, whole]
            }
            6 => {
                let words = levels.add(3 * group * WORDS);
                let (first, second, third) = (V::load(words), V::load(words.add(WORDS)), V::load(words.add(2 * WORDS)));
                let two = V::or(V::right::<2>(V::and(first, top)), V::and(second, top));
                let whole = V::right::<2>(V::or(V::right::<2>(two), V::and(third, top)));
                [V::and(first, low), V::and(second, low), V::and(third, low), whole]
            }
            8 => {
                let first = levels.add(2 * group * WORDS);
                let (first, second) = (V::load(first), V::load(first.add(WORDS)));
                [first, second, second, second]
            }
            _ => {
                let word = V::load(levels.add(group * WORDS));
                let high = V::and(V::right::<4>(word), low);
                [V::and(word, low), high, high, high]
            }
        }
    }
}
