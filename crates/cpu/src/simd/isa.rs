//! Which instruction set runs the kernels, and the kernels compiled for each.

use std::sync::OnceLock;

use super::float_kernels::{self, Number};
use super::input::Rounding;
use super::kernels::{self, Panel, Unpacked};
use super::layout::{LINE, Layout, PANEL_ROWS, PanelShape};
use super::limits;
use super::plain::Plain;

/// An instruction set that is present; only [`Isa::find`] and [`Isa::all`] make one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Isa(Set);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    Plain,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Simd128,
    /// With how it takes a signed byte.
    #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
    Relaxed(super::simd128::HighBytes),
}

/// Where a matrix's panels are and how they are to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Panels<'a> {
    /// Panel after panel.
    pub(crate) bytes: &'a [u8],
    pub(crate) shape: PanelShape,
    /// What is taken from each level, nothing where there are minimums.
    pub(crate) offset: i32,
    /// What every scale of a block of 256 is multiplied with.
    pub(crate) factor: f32,
    /// The levels that indices stand for.
    pub(crate) table: &'a [u8; 16],
}

/// How many lines the levels of a panel need that are brought out.
pub(crate) fn unpacked_lines(shape: &PanelShape) -> usize {
    shape.blocks * shape.columns * PANEL_ROWS / LINE
}

/// Expands to a match over the instruction sets, with `$run` called for each compiled kernel.
macro_rules! dispatch {
    ($isa:expr, $byte:expr, $name:ident $(::<$($generic:ty),*>)? ($($argument:expr),*)) => {
        // SAFETY: an `Isa` is only made where the instructions are present; the callers check the lengths.
        unsafe {
            match $isa.0 {
                Set::Plain => plain::$name$(::<$($generic),*>)?($($argument),*),
                #[cfg(target_arch = "x86_64")]
                Set::Avx2 => avx2::$name$(::<$($generic),*>)?($($argument),*),
                #[cfg(target_arch = "x86_64")]
                Set::Avx512 => avx512::$name$(::<$($generic),*>)?($($argument),*),
                #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
                Set::Simd128 => simd128::$name$(::<$($generic),*>)?($($argument),*),
                #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
                Set::Relaxed(super::simd128::HighBytes::Narrow) if $byte => {
                    simd128::$name$(::<$($generic),*>)?($($argument),*)
                }
                #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
                Set::Relaxed(_) => relaxed::$name$(::<$($generic),*>)?($($argument),*),
            }
        }
    };
}

/// The kernels compiled for one instruction set. A tile is so many vectors of rows by so many rows of inputs,
/// as many sums as there are registers for. After `few` come the tiles of levels that are not brought out before, the
/// largest first, and after `wide` the most rows of inputs in one of these where blocks are wide.
macro_rules! compiled {
    (
        $name:ident, $lanes:ty, $vectors:literal x $rows:literal,
        few [$($few_vectors:literal x $few:literal),*] wide $wide:literal $(, $feature:literal)?
    ) => {
        mod $name {
            use super::{Layout, Number, PANEL_ROWS, Panel, Rounding, Unpacked, float_kernels, kernels, limits};

            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn rows<L: Layout>(panel: Panel, inputs: *const L::Input, rows: usize, products: *mut f32) {
                let mut done = 0;
                while done < rows {
                    // SAFETY: the caller promises `rows` rows of inputs and of products, and these are some.
                    unsafe {
                        let (inputs, products) = (inputs.add(done * panel.blocks), products.add(done * PANEL_ROWS));
                        $(if rows - done >= $few && (L::PARTS == 1 || $few <= $wide) {
                            L::rows::<$lanes, $few_vectors, $few>(panel, inputs, products);
                            done += $few;
                            continue;
                        })*
                    }
                }
            }

            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn unpack<L: Layout>(panel: Panel, unpacked: Unpacked) {
                // SAFETY: the caller promises what the kernel asks for.
                unsafe { kernels::unpack::<$lanes, L>(panel, unpacked) }
            }

            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn tiles<L: Layout>(
                panel: Panel,
                unpacked: Unpacked,
                inputs: *const L::Input,
                rows: usize,
                products: *mut f32,
            ) {
                let mut done = 0;
                while done < rows {
                    // SAFETY: the caller promises `rows` rows of inputs and of products, and these are some.
                    unsafe {
                        let (inputs, products) = (inputs.add(done * panel.blocks), products.add(done * PANEL_ROWS));
                        if rows - done >= $rows {
                            L::tile::<$lanes, $vectors, $rows>(panel, unpacked, inputs, products);
                            done += $rows;
                        } else {
                            L::tile::<$lanes, $vectors, 1>(panel, unpacked, inputs, products);
                            done += 1;
                        }
                    }
                }
            }

            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn float_products<N: Number>(
                panel: *const u8,
                columns: usize,
                inputs: *const f32,
                rows: usize,
                products: *mut f32,
            ) {
                let mut done = 0;
                while done < rows {
                    // SAFETY: the caller promises `rows` rows of inputs and of products, and these are some.
                    unsafe {
                        let (inputs, products) = (inputs.add(done * columns), products.add(done * PANEL_ROWS));
                        if rows - done >= 4 {
                            float_kernels::products::<$lanes, N, 4>(panel, columns, inputs, products);
                            done += 4;
                        } else {
                            float_kernels::products::<$lanes, N, 1>(panel, columns, inputs, products);
                            done += 1;
                        }
                    }
                }
            }

            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn stream(bytes: &[u8]) -> i32 {
                // SAFETY: the caller promises the instruction set.
                unsafe { limits::stream::<$lanes>(bytes) }
            }

            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn peak(rounds: usize) -> usize {
                // SAFETY: the caller promises the instruction set.
                unsafe { limits::peak::<$lanes>(rounds) }
            }

            $(#[target_feature(enable = $feature)])?
            pub(super) unsafe fn round<I: Rounding>(values: &[f32], inputs: &mut [I]) {
                I::round(values, inputs);
            }
        }
    };
}

compiled!(plain, super::Plain, 1 x 4, few [4 x 1] wide 1);
#[cfg(target_arch = "x86_64")]
compiled!(avx2, crate::simd::avx2::Avx2, 2 x 4, few [2 x 4, 2 x 2, 2 x 1] wide 4, "avx2,fma,f16c");
#[cfg(target_arch = "x86_64")]
compiled!(avx512, crate::simd::avx512::Avx512, 1 x 8, few [1 x 8, 1 x 4, 1 x 2, 1 x 1] wide 8, "avx512f,avx512bw,avx512vnni");
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
compiled!(simd128, crate::simd::simd128::Simd128, 1 x 4, few [4 x 1] wide 1);
#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
compiled!(relaxed, crate::simd::simd128::Relaxed, 2 x 4, few [2 x 3, 2 x 2, 4 x 1] wide 2);

impl Isa {
    /// The best one here.
    pub(crate) fn find() -> Self {
        static FOUND: OnceLock<Isa> = OnceLock::new();
        *FOUND.get_or_init(|| Self::all().into_iter().next_back().unwrap_or(Self(Set::Plain)))
    }

    /// Every one that is here, the best last.
    pub(crate) fn all() -> Vec<Self> {
        #[allow(unused_mut, reason = "some platforms have one instruction set")]
        let mut sets = vec![Self(Set::Plain)];
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
                sets.push(Self(Set::Avx2));
            }
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vnni")
            {
                sets.push(Self(Set::Avx512));
            }
        }
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        sets.push(Self(Set::Simd128));
        #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
        sets.extend(super::simd128::high_bytes().map(|high| Self(Set::Relaxed(high))));
        sets
    }

    /// Its name for reports.
    pub(crate) fn name(self) -> &'static str {
        match self.0 {
            Set::Plain => "plain",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512-vnni",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Set::Simd128 => "simd128",
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Set::Relaxed(super::simd128::HighBytes::Narrow) => "relaxed-simd, narrow",
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Set::Relaxed(_) => "relaxed-simd",
        }
    }

    /// What signed bytes are stored with: 128 added to each where the dot product takes one unsigned operand,
    /// and nothing where it takes two signed ones.
    pub(crate) fn byte_bias(self) -> u8 {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => 128,
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Set::Relaxed(super::simd128::HighBytes::Unsigned) => 128,
            _ => 0,
        }
    }

    /// For how many rows of inputs [`Self::few`] is at least as fast as [`Self::matmul`].
    pub(crate) fn few_rows<L: Layout>(self) -> usize {
        let (quick, slow) = match self.0 {
            Set::Plain => (1, 1),
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 | Set::Avx512 => (usize::MAX, 16),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Set::Simd128 => (3, 3),
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Set::Relaxed(_) => (16, 3),
        };
        // Where one operation brings a quad out, or none, keeping it saves no more than storing it takes.
        if matches!(L::BITS, 4 | 8) && !L::TABLE { quick } else { slow }
    }

    /// Turns whole blocks of numbers into inputs.
    pub(crate) fn round<I: Rounding>(self, values: &[f32], inputs: &mut [I]) {
        dispatch!(self, false, round::<I>(values, inputs));
    }

    /// The products of one row of inputs and the panels from `first` on, as many as there is room for. The
    /// last of them may be cut short.
    pub(crate) fn matvec<L: Layout>(self, panels: Panels<'_>, first: usize, inputs: &[L::Input], products: &mut [f32]) {
        assert_eq!(inputs.len(), panels.shape.blocks, "inputs of another width");
        for (index, products) in products.chunks_mut(PANEL_ROWS).enumerate() {
            let panel = panels.panel::<L>(first + index);
            let mut room = [0.0; PANEL_ROWS];
            dispatch!(self, L::BYTE, rows::<L>(panel, inputs.as_ptr(), 1, room.as_mut_ptr()));
            products.copy_from_slice(&room[..products.len()]);
        }
    }

    /// The products of a few rows of inputs and one panel: sixteen for each row of inputs, one row's after the
    /// other's. The panel's levels are brought out anew for every few rows.
    pub(crate) fn few<L: Layout>(self, panels: Panels<'_>, index: usize, inputs: &[L::Input], products: &mut [f32]) {
        let rows = products.len() / PANEL_ROWS;
        let sound = inputs.len() == rows * panels.shape.blocks && products.len() == rows * PANEL_ROWS;
        assert!(sound, "inputs of another width");
        let panel = panels.panel::<L>(index);
        dispatch!(self, L::BYTE, rows::<L>(panel, inputs.as_ptr(), rows, products.as_mut_ptr()));
    }

    /// The products of some rows of inputs and one panel: sixteen for each row of inputs, one row's after the
    /// other's. There is room for [`unpacked_lines`].
    pub(crate) fn matmul<L: Layout>(
        self,
        panels: Panels<'_>,
        index: usize,
        room: &mut [super::Line],
        inputs: &[L::Input],
        products: &mut [f32],
    ) {
        let rows = products.len() / PANEL_ROWS;
        assert!(room.len() >= unpacked_lines(&panels.shape), "a panel does not fit");
        let sound = inputs.len() == rows * panels.shape.blocks && products.len() == rows * PANEL_ROWS;
        assert!(sound, "inputs of another width");
        let panel = panels.panel::<L>(index);
        let unpacked = Unpacked(room.as_mut_ptr().cast::<u8>());
        dispatch!(self, L::BYTE, unpack::<L>(panel, unpacked));
        dispatch!(self, L::BYTE, tiles::<L>(panel, unpacked, inputs.as_ptr(), rows, products.as_mut_ptr()));
    }
}

impl Isa {
    /// The products of some rows of inputs and a panel of numbers: sixteen for each row of inputs, one row's
    /// after the other's.
    pub(crate) fn float_products<N: Number>(self, panel: &[u8], columns: usize, inputs: &[f32], products: &mut [f32]) {
        let rows = products.len() / PANEL_ROWS;
        assert!(panel.len() >= columns * PANEL_ROWS * N::BYTES, "a panel of another width");
        assert!(inputs.len() == rows * columns && products.len() == rows * PANEL_ROWS, "inputs of another width");
        let (panel, inputs, products) = (panel.as_ptr(), inputs.as_ptr(), products.as_mut_ptr());
        dispatch!(self, false, float_products::<N>(panel, columns, inputs, rows, products));
    }
}

impl Isa {
    /// Reads bytes and does next to nothing with them.
    pub(crate) fn stream(self, bytes: &[u8]) -> i32 {
        dispatch!(self, false, stream(bytes))
    }

    /// Multiplies and sums bytes without reading any. Returns how many products that were.
    pub(crate) fn peak(self, rounds: usize) -> usize {
        dispatch!(self, false, peak(rounds))
    }
}

impl Panels<'_> {
    fn panel<L: Layout>(&self, index: usize) -> Panel {
        assert_eq!(self.shape, PanelShape::of::<L>(self.shape.blocks), "panels of another layout");
        let bytes = self.shape.bytes();
        let (heads, levels) = self.bytes[index * bytes..(index + 1) * bytes].split_at(self.shape.levels());
        Panel {
            heads: heads.as_ptr(),
            levels: levels.as_ptr(),
            blocks: self.shape.blocks,
            readable: self.bytes.len() - index * bytes - self.shape.levels(),
            offset: self.offset,
            factor: self.factor,
            table: self.table.as_ptr(),
        }
    }
}
