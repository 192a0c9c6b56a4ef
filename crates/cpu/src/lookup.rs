//! A table that is only looked up, row by row, and stays in the model file: as much memory is free for other things
//! as the table takes, which is a ninth of a large model whose output has a table of its own.

use std::rc::Rc;

use nearside_engine::backend::BackendError;
use nearside_gguf::{ByteSource, DataType, TensorInfo, dequantize};

use crate::matrix::Stored;
use crate::memory::zeroed;

/// Rows in the file, each read when it is wanted.
pub(crate) struct Lookup {
    bytes: Rc<dyn ByteSource>,
    name: String,
    data_type: DataType,
    offset: u64,
    row: Vec<u8>,
}

impl Lookup {
    /// The table that a tensor is.
    pub(crate) fn new(tensor: &TensorInfo, bytes: Rc<dyn ByteSource>) -> Result<Self, BackendError> {
        let row_bytes = Stored::of(tensor)?.row_bytes;
        Ok(Self {
            bytes,
            name: tensor.name.clone(),
            data_type: tensor.data_type,
            offset: tensor.offset,
            row: zeroed(row_bytes, 0, || format!("a row of tensor `{}`", tensor.name))?,
        })
    }

    /// One row as plain numbers.
    pub(crate) fn expand_row(&mut self, row: usize, values: &mut [f32]) -> Result<(), BackendError> {
        self.bytes.read_at(self.offset + row as u64 * self.row.len() as u64, &mut self.row)?;
        dequantize(self.data_type, &self.row, values)
            .map_err(|error| BackendError::Tensor { name: self.name.clone(), problem: error.to_string() })
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use nearside_gguf::{DataType, TensorInfo};

    use super::Lookup;

    #[test]
    fn a_row_is_read_where_it_lies_and_a_missing_one_is_an_error() {
        let mut bytes = vec![9; 4];
        bytes.extend((0..6).flat_map(|value| (value as f32).to_le_bytes()));
        let tensor = TensorInfo {
            name: "table".to_owned(),
            dimensions: vec![2, 3],
            data_type: DataType::F32,
            offset: 4,
            size: 24,
        };
        let mut lookup = Lookup::new(&tensor, Rc::new(bytes)).expect("a table");
        let mut row = [0.0f32; 2];
        lookup.expand_row(2, &mut row).expect("a row");
        assert_eq!(row.map(f32::to_bits), [4.0f32, 5.0].map(f32::to_bits));
        let error = lookup.expand_row(3, &mut row).expect_err("beyond the end");
        assert!(error.to_string().contains("beyond the end of the file"), "{error}");
    }
}
