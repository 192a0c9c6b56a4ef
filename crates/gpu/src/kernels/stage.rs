//! The inputs of few tokens, rounded in workgroup memory by the kernels that multiply them.

use super::round::{self, ROUNDING};
use crate::quants::{PACKED, Packing};
use crate::template::Definition;

/// `stage` in WGSL.
const STAGED: &str = include_str!("staged.wgsl");

/// `bytes_of` and `product_of` in WGSL, for weights and inputs as bytes.
const BYTES: &str = include_str!("bytes.wgsl");

/// Units of all tokens that wait in a workgroup's memory at a time, as floats or as bytes: about eight kilobytes,
/// where every adapter has sixteen.
const FLOATS: u32 = 64;
const WORDS: u32 = 128;

/// What a kernel is made of that multiplies weights of one or two formats with inputs that it stages.
pub(super) struct Stage {
    pub(super) definitions: Vec<Definition>,
    /// What each format is decoded with.
    pub(super) decoders: Vec<String>,
    pub(super) shared: Vec<&'static str>,
}

impl Stage {
    /// For so many tokens; products are of packed integers if they are to be, wherever weights are.
    pub(super) fn new(packings: &[&Packing], tokens: u32, packed: bool) -> Self {
        // The names of the only format, of the first of two, and of the second.
        const NAMES: [[&str; 3]; 4] = [
            ["BLOCK", "BLOCK0", "BLOCK1"],
            ["BYTES", "BYTES0", "BYTES1"],
            ["TWO_SCALES", "TWO_SCALES0", "TWO_SCALES1"],
            ["MINIMA", "MINIMA0", "MINIMA1"],
        ];
        let levels = |packing: &Packing| packing.levels.filter(|_| packed);
        let facts = |packing: &Packing| {
            let levels = levels(packing);
            let minima = levels.is_some_and(|levels| levels.minima);
            let two_scales = levels.is_some_and(|levels| levels.scales == 2);
            let block = round::block(packing).unwrap_or(0) as u32;
            [block, u32::from(levels.is_some()), u32::from(two_scales), u32::from(minima)]
        };
        let all = packings.first().into_iter().chain(packings).enumerate();
        let mut definitions: Vec<Definition> =
            all.flat_map(|(index, packing)| NAMES.map(|names| names[index]).into_iter().zip(facts(packing))).collect();
        let rounds = packings.iter().any(|packing| packing.levels.is_some());
        let totals = packings.iter().any(|packing| levels(packing).is_some_and(|levels| levels.minima));
        let packed = packed && rounds;
        definitions.extend([
            ("PACKED", u32::from(packed)),
            ("TOTALS", u32::from(totals)),
            ("TOKENS", tokens),
            ("STRETCH", if packed { WORDS } else { FLOATS } / tokens),
        ]);
        let decoder = |packing: &&Packing| match levels(packing) {
            Some(_) => [packing.shader, BYTES].join("\n"),
            None => packing.shader.to_owned(),
        };
        let shared = [(rounds, ROUNDING), (rounds, STAGED), (packed, PACKED)];
        Self {
            definitions,
            decoders: packings.iter().map(decoder).collect(),
            shared: shared.into_iter().filter(|(wanted, _)| *wanted).map(|(_, text)| text).collect(),
        }
    }
}
