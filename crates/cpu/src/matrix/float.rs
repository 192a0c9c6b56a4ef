//! A matrix of numbers. Inputs stay as they are.

use nearside_engine::backend::BackendError;
use nearside_gguf::DataType;

use super::rooms::Room;
use super::{Matrix, PARTS_PER_THREAD, Rooms, Source, Stored, panels_in_part};
use crate::memory::zeroed;
use crate::pool::{ColumnsMut, Pool};
use crate::simd::{Brain, Half, Isa, LINE, Line, PANEL_ROWS, Single, lines_as_bytes, lines_as_bytes_mut};

/// Panels whose columns lie one after the other.
pub(super) struct Floats {
    isa: Isa,
    data_type: DataType,
    lines: Vec<Line>,
    rows: usize,
    columns: usize,
}

impl Floats {
    pub(super) fn read(
        pool: &Pool,
        isa: Isa,
        stored: Stored,
        source: &mut Source<'_, '_>,
    ) -> Result<Self, BackendError> {
        let data_type = source.tensor.data_type;
        let Stored { rows, columns, row_bytes } = stored;
        let number = data_type.block_bytes();
        let panel_lines = (row_bytes * PANEL_ROWS).div_ceil(LINE);
        let panels = rows.div_ceil(PANEL_ROWS);
        let mut lines = zeroed(panels.saturating_mul(panel_lines), Line::ZERO, || source.purpose())?;
        source.each_panels(stored, |first, bytes| {
            let count = (bytes.len() / row_bytes).div_ceil(PANEL_ROWS);
            let places = &mut lines[first * panel_lines..][..count * panel_lines];
            pool.for_each_chunk(places, panel_lines, &|panel, places| {
                let places = lines_as_bytes_mut(places);
                let rows = bytes[panel * PANEL_ROWS * row_bytes..].chunks_exact(row_bytes).take(PANEL_ROWS);
                for (row, bytes) in rows.enumerate() {
                    for (column, bytes) in bytes.chunks_exact(number).enumerate() {
                        places[(column * PANEL_ROWS + row) * number..][..number].copy_from_slice(bytes);
                    }
                }
            });
        })?;
        Ok(Self { isa, data_type, lines, rows, columns })
    }

    fn panel(&self, index: usize) -> &[u8] {
        let bytes = (self.columns * self.data_type.block_bytes() * PANEL_ROWS).next_multiple_of(LINE);
        &lines_as_bytes(&self.lines)[index * bytes..(index + 1) * bytes]
    }

    fn products(&self, panel: usize, inputs: &[f32], products: &mut [f32]) {
        let (isa, panel) = (self.isa, self.panel(panel));
        match self.data_type {
            DataType::F16 => isa.float_products::<Half>(panel, self.columns, inputs, products),
            DataType::Bf16 => isa.float_products::<Brain>(panel, self.columns, inputs, products),
            _ => isa.float_products::<Single>(panel, self.columns, inputs, products),
        }
    }
}

impl Matrix for Floats {
    fn multiply(
        &self,
        pool: &Pool,
        rooms: &mut Rooms,
        inputs: &[f32],
        outputs: &mut [f32],
    ) -> Result<(), BackendError> {
        let input_rows = inputs.len() / self.columns;
        let panels = self.rows.div_ceil(PANEL_ROWS);
        let count = if input_rows == 1 {
            panels_in_part(pool, panels, self.panel(0).len())
        } else {
            panels.div_ceil(pool.threads() * PARTS_PER_THREAD).max(1)
        };
        let threads = rooms.threads.reserve(pool, 0, input_rows * PANEL_ROWS)?;
        let work = |room: &mut Room, part: usize, mut columns: ColumnsMut<'_, f32>| {
            let products = &mut room.products[..input_rows * PANEL_ROWS];
            for index in 0..count.min(panels - part * count) {
                self.products(part * count + index, inputs, products);
                for (row, products) in products.chunks_exact(PANEL_ROWS).enumerate() {
                    let places = columns.row(row)[index * PANEL_ROWS..].iter_mut();
                    places.zip(products).for_each(|(place, product)| *place = *product);
                }
            }
        };
        pool.for_each_columns(threads, (outputs, self.rows), count * PANEL_ROWS, &work);
        Ok(())
    }

    fn expand_row(&self, row: usize, values: &mut [f32]) {
        let panel = self.panel(row / PANEL_ROWS);
        let number = self.data_type.block_bytes();
        for (column, value) in values.iter_mut().enumerate() {
            let bytes = &panel[(column * PANEL_ROWS + row % PANEL_ROWS) * number..][..number];
            *value = match (self.data_type, bytes) {
                (DataType::F16, &[low, high]) => half::f16::from_le_bytes([low, high]).to_f32(),
                (DataType::Bf16, &[low, high]) => half::bf16::from_le_bytes([low, high]).to_f32(),
                (_, &[a, b, c, d]) => f32::from_le_bytes([a, b, c, d]),
                _ => 0.0,
            };
        }
    }

    fn bytes(&self) -> usize {
        self.lines.len() * LINE
    }
}
