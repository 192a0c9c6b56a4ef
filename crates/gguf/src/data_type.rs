//! How tensor elements are stored.

macro_rules! data_types {
    ($($(#[$doc:meta])* $variant:ident = $id:literal, $name:literal, $block:literal, $bytes:literal;)*) => {
        /// A storage format: so many elements packed into a block of so many bytes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum DataType { $($(#[$doc])* $variant),* }

        impl DataType {
            /// Every format this crate knows.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The format with that number in the file.
            pub fn from_id(id: u32) -> Option<Self> {
                match id { $($id => Some(Self::$variant),)* _ => None }
            }

            /// The number in the file.
            pub fn id(self) -> u32 {
                match self { $(Self::$variant => $id),* }
            }

            /// The name people use.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Elements in one block.
            pub fn block_elements(self) -> usize {
                match self { $(Self::$variant => $block),* }
            }

            /// Bytes of one block.
            pub fn block_bytes(self) -> usize {
                match self { $(Self::$variant => $bytes),* }
            }
        }
    };
}

data_types! {
    /// 32-bit float.
    F32 = 0, "F32", 1, 4;
    /// 16-bit float.
    F16 = 1, "F16", 1, 2;
    /// 4 bits, scale.
    Q4_0 = 2, "Q4_0", 32, 18;
    /// 4 bits, scale and minimum.
    Q4_1 = 3, "Q4_1", 32, 20;
    /// 5 bits, scale.
    Q5_0 = 6, "Q5_0", 32, 22;
    /// 5 bits, scale and minimum.
    Q5_1 = 7, "Q5_1", 32, 24;
    /// 8 bits, scale.
    Q8_0 = 8, "Q8_0", 32, 34;
    /// 2 bits, two-level scales.
    Q2K = 10, "Q2_K", 256, 84;
    /// 3 bits, two-level scales.
    Q3K = 11, "Q3_K", 256, 110;
    /// 4 bits, two-level scales.
    Q4K = 12, "Q4_K", 256, 144;
    /// 5 bits, two-level scales.
    Q5K = 13, "Q5_K", 256, 176;
    /// 6 bits, two-level scales.
    Q6K = 14, "Q6_K", 256, 210;
    /// 2 bits, lattice codebook.
    Iq2Xxs = 16, "IQ2_XXS", 256, 66;
    /// 4 bits, non-linear levels.
    Iq4Nl = 20, "IQ4_NL", 32, 18;
    /// 4 bits, non-linear levels, two-level scales.
    Iq4Xs = 23, "IQ4_XS", 256, 136;
    /// The upper half of a 32-bit float.
    Bf16 = 30, "BF16", 1, 2;
}
