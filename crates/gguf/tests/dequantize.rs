//! Stored blocks as numbers, against what the reference package for Python makes of the same bytes.

use std::path::Path;

use nearside_gguf::{DataType, DequantizeError, dequantize};

/// The recorded blocks of a format, and what they hold.
fn recorded(data_type: DataType) -> (Vec<u8>, Vec<f32>) {
    let name = format!("{}.bin", data_type.name().to_lowercase());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parity/dequantize").join(name);
    let bytes = std::fs::read(&path).expect("the vectors are part of the repository");
    let together = data_type.block_bytes() + 4 * data_type.block_elements();
    assert!(!bytes.is_empty() && bytes.len().is_multiple_of(together), "{}", path.display());
    let (blocks, values) = bytes.split_at(bytes.len() / together * data_type.block_bytes());
    let (values, _) = values.as_chunks::<4>();
    (blocks.to_vec(), values.iter().map(|value| f32::from_le_bytes(*value)).collect())
}

#[test]
fn every_format_equals_the_reference_to_the_bit() {
    for &data_type in DataType::ALL {
        let (blocks, expected) = recorded(data_type);
        let mut values = vec![0.0; expected.len()];
        dequantize(data_type, &blocks, &mut values).expect("whole blocks and room for each element");
        for (index, (ours, theirs)) in values.iter().zip(&expected).enumerate() {
            // Zeros may differ in sign: the reference multiplies where a sign can be set.
            let equal = ours.to_bits() == theirs.to_bits() || (*ours == 0.0 && *theirs == 0.0);
            assert!(equal, "{} element {index}: {ours} for {theirs}", data_type.name());
        }
    }
}

#[test]
fn arbitrary_bytes_are_numbers_of_some_kind() {
    let mut state = 1u64;
    for &data_type in DataType::ALL {
        for blocks in [0, 1, 5] {
            let bytes: Vec<u8> = (0..blocks * data_type.block_bytes())
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    (state >> 56) as u8
                })
                .collect();
            for bytes in [bytes.clone(), vec![0; bytes.len()], vec![0xff; bytes.len()]] {
                let mut values = vec![1.5; blocks * data_type.block_elements()];
                dequantize(data_type, &bytes, &mut values).expect("whole blocks and room for each element");
                assert!(bytes.iter().any(|byte| *byte != 0) || values.iter().all(|value| *value == 0.0));
            }
        }
    }
}

#[test]
fn partial_blocks_and_wrong_room_are_refused_with_both_numbers() {
    for &data_type in DataType::ALL {
        let (block, elements) = (data_type.block_bytes(), data_type.block_elements());
        let bytes = vec![0; 2 * block];
        let error = dequantize(data_type, &bytes[1..], &mut vec![0.0; 2 * elements]).expect_err("half a block");
        assert_eq!(error, DequantizeError::PartialBlock { name: data_type.name(), block, length: 2 * block - 1 });
        for room in [0, elements, 2 * elements + 1] {
            let error = dequantize(data_type, &bytes, &mut vec![0.0; room]).expect_err("other room");
            assert!(error.to_string().contains(&format!("{} elements", 2 * elements)), "{error}");
            assert!(error.to_string().contains(&format!("room for {room}")), "{error}");
        }
    }
}
