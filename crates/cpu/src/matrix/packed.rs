//! A matrix of levels and scales.

use nearside_engine::backend::BackendError;

use super::{Matrix, PARTS_PER_THREAD, Source, Stored, panels_in_part};
use crate::formats::Format;
use crate::memory::zeroed;
use crate::pool::{ColumnsMut, Pool};
use crate::simd::{
    BLOCK, Input, Isa, LINE, LayoutName, Line, PANEL_ROWS, PanelShape, Panels, Scratch, Unit, lines_as_bytes,
    lines_as_bytes_mut, with_layout,
};

/// Panels of one layout.
pub(super) struct Packed {
    isa: Isa,
    layout: LayoutName,
    shape: PanelShape,
    lines: Vec<Line>,
    rows: usize,
    offset: i32,
    table: [u8; 16],
}

impl Packed {
    pub(super) fn read(
        pool: &Pool,
        isa: Isa,
        stored: Stored,
        format: &Format,
        source: &mut Source<'_, '_>,
    ) -> Result<Self, BackendError> {
        let shape = with_layout!(format.layout, L => PanelShape::of::<L>(stored.columns / BLOCK));
        let panels = stored.rows.div_ceil(PANEL_ROWS);
        let panel_lines = shape.bytes() / LINE;
        let mut lines = zeroed(panels.saturating_mul(panel_lines), Line::ZERO, || source.purpose())?;
        let data_type = source.tensor.data_type;
        let units = data_type.block_elements() / BLOCK;
        source.each_panels(stored, |first, bytes| {
            let rows = bytes.len() / stored.row_bytes;
            let places = &mut lines[first * panel_lines..][..rows.div_ceil(PANEL_ROWS) * panel_lines];
            pool.for_each_chunk(places, panel_lines, &|panel, places| {
                let panel_rows = bytes[panel * PANEL_ROWS * stored.row_bytes..].chunks_exact(stored.row_bytes);
                let places = lines_as_bytes_mut(places);
                let mut room = [Unit::default(); 8];
                for (row, bytes) in panel_rows.take(PANEL_ROWS).enumerate() {
                    for (index, block) in bytes.chunks_exact(data_type.block_bytes()).enumerate() {
                        (format.unpack)(block, &mut room[..units]);
                        for (unit, weights) in room[..units].iter().enumerate() {
                            shape.put(places, index * units + unit, row, weights);
                        }
                    }
                }
            });
        })?;
        let Format { layout, offset, table, .. } = *format;
        Ok(Self { isa, layout, shape, lines, rows: stored.rows, offset, table })
    }

    fn panels(&self) -> Panels<'_> {
        Panels { bytes: lines_as_bytes(&self.lines), shape: self.shape, offset: self.offset, table: &self.table }
    }

    fn multiply_one(&self, pool: &Pool, inputs: &[Input], outputs: &mut [f32]) {
        let panels = self.panels();
        let count = panels_in_part(pool, self.rows.div_ceil(PANEL_ROWS), self.shape.bytes());
        pool.for_each_chunk(outputs, count * PANEL_ROWS, &|part, outputs| {
            with_layout!(self.layout, L => self.isa.matvec::<L>(panels, part * count, inputs, outputs));
        });
    }

    fn multiply_many(&self, pool: &Pool, inputs: &[Input], outputs: &mut [f32]) -> Result<(), BackendError> {
        let purpose = || "a step's products".to_owned();
        let input_rows = outputs.len() / self.rows;
        let (heads, lines) = Scratch::needs(self.shape.blocks);
        let mut rooms = Vec::new();
        for _ in 0..pool.threads() {
            let scratch = Scratch { heads: zeroed(heads, 0.0, purpose)?, levels: zeroed(lines, Line::ZERO, purpose)? };
            rooms.push((scratch, zeroed(input_rows * PANEL_ROWS, 0.0, purpose)?));
        }
        let panels = self.rows.div_ceil(PANEL_ROWS);
        let count = panels.div_ceil(pool.threads() * PARTS_PER_THREAD).max(1);
        let work = |(scratch, products): &mut (Scratch, Vec<f32>), part: usize, mut columns: ColumnsMut<'_, f32>| {
            for index in 0..count.min(panels - part * count) {
                with_layout!(self.layout, L => {
                    self.isa.matmul::<L>(self.panels(), part * count + index, scratch, inputs, products);
                });
                for (row, products) in products.chunks_exact(PANEL_ROWS).enumerate() {
                    let places = columns.row(row)[index * PANEL_ROWS..].iter_mut();
                    places.zip(products).for_each(|(place, product)| *place = *product);
                }
            }
        };
        pool.for_each_columns(&mut rooms, (outputs, self.rows), count * PANEL_ROWS, &work);
        Ok(())
    }
}

impl Matrix for Packed {
    fn multiply(&self, pool: &Pool, inputs: &[f32], outputs: &mut [f32]) -> Result<(), BackendError> {
        let blocks = self.shape.blocks;
        let input_rows = inputs.len() / (blocks * BLOCK).max(1);
        let mut quantized = zeroed(input_rows * blocks, Input::ZERO, || "a step's inputs".to_owned())?;
        pool.for_each_chunk(&mut quantized, blocks, &|row, quantized| {
            self.isa.quantize(&inputs[row * blocks * BLOCK..][..blocks * BLOCK], quantized);
        });
        if input_rows == 1 {
            self.multiply_one(pool, &quantized, outputs);
            return Ok(());
        }
        self.multiply_many(pool, &quantized, outputs)
    }

    fn expand_row(&self, row: usize, values: &mut [f32]) {
        let panel = &lines_as_bytes(&self.lines)[row / PANEL_ROWS * self.shape.bytes()..][..self.shape.bytes()];
        for (block, values) in values.chunks_exact_mut(BLOCK).enumerate() {
            let unit = self.shape.get(panel, block, row % PANEL_ROWS);
            for (index, value) in values.iter_mut().enumerate() {
                let stored = unit.quads[index / 4].to_le_bytes()[index % 4];
                let half = index / (BLOCK / 2);
                let level = if self.layout == LayoutName::FourTable { self.table[usize::from(stored)] } else { stored };
                // Signed bytes are stored as they are where nothing is taken from them.
                let signed = with_layout!(self.layout, L => is_byte::<L>()) && self.offset == 0;
                let level = if signed { i32::from(level as i8) } else { i32::from(level) } - self.offset;
                *value = unit.scales[half].to_f32() * level as f32 + unit.minimums[half].to_f32();
            }
        }
    }

    fn bytes(&self) -> usize {
        self.lines.len() * LINE
    }
}

fn is_byte<L: crate::simd::Layout>() -> bool {
    L::BYTE
}
