//! Every format from the file's bytes to products, against the plain reading of the same bytes.

use nearside_gguf::{DataType, dequantize};

use super::*;
use crate::simd::tests::{Seeded, numbers};

/// Bytes of blocks whose half floats are all finite.
fn stored(count: usize, seed: u32) -> Vec<u8> {
    let mut seeded = Seeded(seed);
    // The top bit but one of a half float's exponent stays clear.
    (0..count).map(|_| (seeded.next() >> 8) as u8 & 0xbf).collect()
}

fn agrees(data_type: DataType, pool: &Pool, rows: usize, blocks: usize) {
    let name = data_type.name();
    let columns = blocks * data_type.block_elements();
    let row_bytes = blocks * data_type.block_bytes();
    let bytes = stored(rows * row_bytes, (rows + blocks) as u32);
    let tensor = TensorInfo {
        name: "weights".to_owned(),
        dimensions: vec![columns as u64, rows as u64],
        data_type,
        offset: 0,
        size: bytes.len() as u64,
    };
    let mut done = 0;
    let matrix = read(pool, &tensor, &bytes.as_slice(), &mut |more| {
        done += more;
        ControlFlow::Continue(())
    });
    let matrix = matrix.expect("the tensor is whole");
    assert_eq!(done, tensor.size, "{name}");

    let mut values = vec![0.0; rows * columns];
    for (row, values) in values.chunks_mut(columns).enumerate() {
        let mut exact = vec![0.0; columns];
        dequantize(data_type, &bytes[row * row_bytes..][..row_bytes], &mut exact).expect("whole blocks");
        matrix.expand_row(row, values);
        let largest = exact.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        for (value, exact) in values.iter().zip(&exact) {
            assert!((value - exact).abs() <= largest * 1e-6, "{name}: {value} for {exact}");
        }
    }

    for input_rows in [1, 2, 5, 11] {
        let inputs = numbers(input_rows * columns, 3);
        let mut outputs = vec![f32::NAN; input_rows * rows];
        matrix.multiply(pool, &mut Rooms::default(), &inputs, &mut outputs).expect("there is memory");
        for (inputs, outputs) in inputs.chunks(columns).zip(outputs.chunks(rows)) {
            for (weights, output) in values.chunks(columns).zip(outputs) {
                let exact: f64 = weights.iter().zip(inputs).map(|(weight, input)| f64::from(weight * input)).sum();
                // Inputs are rounded to 8 bits: at most half a step each, a step at most 1/127.
                let most: f64 = weights.iter().map(|weight| f64::from(weight.abs())).sum::<f64>() / 253.0;
                assert!((f64::from(*output) - exact).abs() <= most, "{name}, {input_rows} rows: {output} for {exact}");
            }
        }
    }
}

#[test]
fn every_format_is_read_and_multiplied_as_the_file_says() {
    let (alone, together) = (Pool::new(1), Pool::new(3));
    for data_type in DataType::ALL {
        let wide = if data_type.block_elements() == 1 { 37 } else { 3 };
        agrees(*data_type, &alone, 1, 1);
        agrees(*data_type, &together, 16, wide);
        agrees(*data_type, &together, 53, wide);
    }
}

#[test]
fn threads_change_no_bit() {
    let columns = 96;
    let bytes = stored(200 * columns / 32 * 20, 1);
    let tensor = TensorInfo {
        name: "weights".to_owned(),
        dimensions: vec![columns as u64, 200],
        data_type: DataType::Q4_1,
        offset: 0,
        size: bytes.len() as u64,
    };
    let products = |threads: usize, input_rows: usize| {
        let pool = Pool::new(threads);
        let matrix = read(&pool, &tensor, &bytes.as_slice(), &mut |_| ControlFlow::Continue(())).expect("it is whole");
        let mut outputs = vec![0.0; input_rows * 200];
        matrix
            .multiply(&pool, &mut Rooms::default(), &numbers(input_rows * columns, 2), &mut outputs)
            .expect("there is memory");
        outputs.into_iter().map(f32::to_bits).collect::<Vec<_>>()
    };
    for input_rows in [1, 6] {
        assert_eq!(products(1, input_rows), products(4, input_rows));
    }
}

#[test]
fn a_tensor_that_cannot_be_is_refused() {
    let pool = Pool::new(1);
    for (dimensions, size) in [([33, 2], 40), ([32, 2], 39), ([32, 0], 0), ([1 << 62, 1 << 62], 40)] {
        let tensor = TensorInfo {
            name: "weights".to_owned(),
            dimensions: dimensions.to_vec(),
            data_type: DataType::Q4_1,
            offset: 0,
            size,
        };
        let bytes = [0; 40];
        let result = read(&pool, &tensor, &bytes.as_slice(), &mut |_| ControlFlow::Continue(()));
        assert!(matches!(result, Err(BackendError::Tensor { .. })), "{dimensions:?}");
    }
}

#[test]
fn inputs_are_rounded_once_for_products_that_have_them_in_common() {
    let pool = Pool::new(2);
    let matrix = |data_type: DataType, rows: usize| {
        let bytes = stored(rows * 512 / data_type.block_elements() * data_type.block_bytes(), 7);
        let tensor = TensorInfo {
            name: "weights".to_owned(),
            dimensions: vec![512, rows as u64],
            data_type,
            offset: 0,
            size: bytes.len() as u64,
        };
        read(&pool, &tensor, &bytes.as_slice(), &mut |_| ControlFlow::Continue(())).expect("it is whole")
    };
    let matrices = [matrix(DataType::Q4K, 20), matrix(DataType::Q5_0, 40), matrix(DataType::Q6K, 16)];
    let mut rooms = Rooms::default();
    for input_rows in [3, 1, 2] {
        let inputs = numbers(input_rows * 512, input_rows as u32);
        rooms.forget_inputs();
        for (matrix, rows) in matrices.iter().zip([20, 40, 16]) {
            let (mut together, mut alone) = (vec![0.0; input_rows * rows], vec![0.0; input_rows * rows]);
            matrix.multiply(&pool, &mut rooms, &inputs, &mut together).expect("there is memory");
            matrix.multiply(&pool, &mut Rooms::default(), &inputs, &mut alone).expect("there is memory");
            assert_eq!(together, alone);
            // Nothing is rounded again: these inputs are not looked at.
            matrix.multiply(&pool, &mut rooms, &vec![9.0; inputs.len()], &mut together).expect("there is memory");
            assert_eq!(together, alone);
        }
    }
}
