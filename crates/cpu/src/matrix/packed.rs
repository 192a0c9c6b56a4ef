//! A matrix of levels and scales.

use nearside_engine::backend::BackendError;

use super::rooms::Room;
use super::{Matrix, PARTS_PER_THREAD, Rooms, Source, Stored, panels_in_part};
use crate::formats::Format;
use crate::memory::{grow, zeroed};
use crate::pool::{ColumnsMut, Pool};
use crate::simd::{
    Isa, LINE, Layout, LayoutName, Line, PANEL_ROWS, PanelShape, Panels, Rounding, Unit, lines_as_bytes,
    lines_as_bytes_mut, unpacked_lines, with_layout,
};

/// Panels of one layout.
pub(super) struct Packed {
    isa: Isa,
    layout: LayoutName,
    shape: PanelShape,
    lines: Vec<Line>,
    rows: usize,
    offset: i32,
    factor: f32,
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
        let data_type = source.tensor.data_type;
        let shape = with_layout!(format.layout, L => PanelShape::of::<L>(stored.columns / data_type.block_elements()));
        let panels = stored.rows.div_ceil(PANEL_ROWS);
        let panel_lines = shape.bytes() / LINE;
        let mut lines = zeroed(panels.saturating_mul(panel_lines), Line::ZERO, || source.purpose())?;
        source.each_panels(stored, |first, bytes| {
            let rows = bytes.len() / stored.row_bytes;
            let places = &mut lines[first * panel_lines..][..rows.div_ceil(PANEL_ROWS) * panel_lines];
            pool.for_each_chunk(places, panel_lines, &|panel, places| {
                let panel_rows = bytes[panel * PANEL_ROWS * stored.row_bytes..].chunks_exact(stored.row_bytes);
                let places = lines_as_bytes_mut(places);
                let mut unit = Unit::ZERO;
                for (row, bytes) in panel_rows.take(PANEL_ROWS).enumerate() {
                    for (index, block) in bytes.chunks_exact(data_type.block_bytes()).enumerate() {
                        (format.unpack)(block, &mut unit);
                        shape.put(places, index, row, &unit);
                    }
                }
            });
        })?;
        let Format { layout, offset, factor, table, .. } = *format;
        Ok(Self { isa, layout, shape, lines, rows: stored.rows, offset, factor, table })
    }

    fn panels(&self) -> Panels<'_> {
        let Self { shape, offset, factor, .. } = *self;
        Panels { bytes: lines_as_bytes(&self.lines), shape, offset, factor, table: &self.table }
    }

    fn multiply_with<L: Layout>(
        &self,
        pool: &Pool,
        rooms: &mut Rooms,
        inputs: &[f32],
        outputs: &mut [f32],
    ) -> Result<(), BackendError> {
        let (blocks, columns) = (self.shape.blocks, self.shape.blocks * L::COLUMNS);
        let input_rows = inputs.len() / columns.max(1);
        let count = input_rows * blocks;
        let Rooms { rounded, threads } = rooms;
        let kept = L::Input::kept(rounded);
        if !kept.current {
            grow(&mut kept.inputs, count, L::Input::ZERO, || "a step's inputs".to_owned())?;
            pool.for_each_chunk(&mut kept.inputs[..count], blocks, &|row, rounded| {
                self.isa.round(&inputs[row * columns..][..columns], rounded);
            });
            kept.current = true;
        }
        let inputs = &kept.inputs[..count];
        if input_rows == 1 {
            self.multiply_one::<L>(pool, inputs, outputs);
        } else {
            let few = input_rows <= self.isa.few_rows::<L>();
            let unpacked = if few { 0 } else { unpacked_lines(&self.shape) };
            let threads = threads.reserve(pool, unpacked, input_rows * PANEL_ROWS)?;
            self.multiply_many::<L>(pool, inputs, few, threads, outputs);
        }
        Ok(())
    }

    fn multiply_one<L: Layout>(&self, pool: &Pool, inputs: &[L::Input], outputs: &mut [f32]) {
        let panels = self.panels();
        let count = panels_in_part(pool, self.rows.div_ceil(PANEL_ROWS), self.shape.bytes());
        pool.for_each_chunk(outputs, count * PANEL_ROWS, &|part, outputs| {
            self.isa.matvec::<L>(panels, part * count, inputs, outputs);
        });
    }

    fn multiply_many<L: Layout>(
        &self,
        pool: &Pool,
        inputs: &[L::Input],
        few: bool,
        threads: &mut [Room],
        outputs: &mut [f32],
    ) {
        let panels = self.rows.div_ceil(PANEL_ROWS);
        let count = panels.div_ceil(pool.threads() * PARTS_PER_THREAD).max(1);
        let input_rows = outputs.len() / self.rows;
        let work = |room: &mut Room, part: usize, mut columns: ColumnsMut<'_, f32>| {
            let products = &mut room.products[..input_rows * PANEL_ROWS];
            for index in 0..count.min(panels - part * count) {
                if few {
                    self.isa.few::<L>(self.panels(), part * count + index, inputs, products);
                } else {
                    self.isa.matmul::<L>(self.panels(), part * count + index, &mut room.levels, inputs, products);
                }
                for (row, products) in products.chunks_exact(PANEL_ROWS).enumerate() {
                    let places = columns.row(row)[index * PANEL_ROWS..].iter_mut();
                    places.zip(products).for_each(|(place, product)| *place = *product);
                }
            }
        };
        pool.for_each_columns(threads, (outputs, self.rows), count * PANEL_ROWS, &work);
    }
}

impl Matrix for Packed {
    fn multiply(
        &self,
        pool: &Pool,
        rooms: &mut Rooms,
        inputs: &[f32],
        outputs: &mut [f32],
    ) -> Result<(), BackendError> {
        with_layout!(self.layout, L => self.multiply_with::<L>(pool, rooms, inputs, outputs))
    }

    fn expand_row(&self, row: usize, values: &mut [f32]) {
        let panel = &lines_as_bytes(&self.lines)[row / PANEL_ROWS * self.shape.bytes()..][..self.shape.bytes()];
        let (in_table, byte) = with_layout!(self.layout, L => (L::TABLE, L::BYTE));
        // Signed bytes are stored as they are where nothing is taken from them.
        let signed = byte && self.offset == 0;
        let PanelShape { columns, parts, .. } = self.shape;
        for (block, values) in values.chunks_exact_mut(columns).enumerate() {
            let unit = self.shape.get(panel, block, row % PANEL_ROWS);
            for (part, values) in values.chunks_exact_mut(columns / parts).enumerate() {
                let scale = unit.scale.to_f32() * self.factor * f32::from(unit.steps[part]);
                let minimum = unit.minimum.to_f32() * f32::from(unit.belows[part]);
                for (index, value) in values.iter_mut().enumerate() {
                    let column = part * columns / parts + index;
                    let stored = unit.quads[column / 32][column % 32 / 4].to_le_bytes()[column % 4];
                    let level = if in_table { self.table[usize::from(stored)] } else { stored };
                    let level = if signed { i32::from(level as i8) } else { i32::from(level) } - self.offset;
                    *value = scale * level as f32 + minimum;
                }
            }
        }
    }

    fn bytes(&self) -> usize {
        self.lines.len() * LINE
    }
}
