//! The small model once more with 8-bit weights: every `Q4_1` matrix becomes `Q8_0`, and nothing else changes.

use std::fs;
use std::path::{Path, PathBuf};

use half::f16;
use nearside_gguf::{DataType, Gguf, TensorInfo};

use crate::context::Context;
use crate::error::{Doing, Result, invalid};
use crate::output;

const BLOCK: usize = 32;
const ALIGNMENT: usize = 32;

/// The file beside the other things that only measurements need, made from `source` where it is not there.
pub(super) fn ensure(context: &Context, source: &Path, name: &str) -> Result<PathBuf> {
    let target = super::folder(context).join(name);
    if target.is_file() {
        return Ok(target);
    }
    output::step(&format!("requantize: {name}"), || {
        let bytes = fs::read(source).doing("read", source)?;
        let file = requantize(&bytes).map_err(|problem| invalid(source.display(), problem))?;
        let making = target.with_extension(format!("making-{}", std::process::id()));
        let folder = super::folder(context);
        fs::create_dir_all(&folder).doing("make the folder", &folder)?;
        fs::write(&making, file).doing("write", &making)?;
        fs::rename(&making, &target).doing("rename", &making)
    })?;
    Ok(target)
}

/// The metadata is copied byte by byte: other readers are particular about the widths of its numbers.
fn requantize(bytes: &[u8]) -> std::result::Result<Vec<u8>, String> {
    let gguf = Gguf::read(&bytes).map_err(|error| error.to_string())?;
    let table = table_start(bytes, &gguf).ok_or("its tensor table is not where it should be")?;
    let mut file = bytes[..table].to_vec();
    let mut data: Vec<u8> = Vec::with_capacity(bytes.len() * 2);
    for tensor in &gguf.tensors {
        data.resize(data.len().next_multiple_of(ALIGNMENT), 0);
        let (start, length) = (tensor.offset as usize, tensor.size as usize);
        let content = bytes.get(start..start + length).ok_or_else(|| format!("{} is cut off", tensor.name))?;
        let turned = tensor.data_type == DataType::Q4_1;
        let data_type = if turned { DataType::Q8_0 } else { tensor.data_type };
        push_entry(&mut file, tensor, data_type, data.len() as u64);
        if turned {
            let (blocks, rest) = content.as_chunks::<{ 4 + BLOCK / 2 }>();
            if !rest.is_empty() {
                return Err(format!("{} ends inside a block", tensor.name));
            }
            data.extend(blocks.iter().flat_map(|block| q8_0(&q4_1(block))));
        } else {
            data.extend_from_slice(content);
        }
    }
    file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
    file.extend(data);
    Ok(file)
}

/// Where the table begins: at the entry of the first tensor, which nothing before it spells.
fn table_start(bytes: &[u8], gguf: &Gguf) -> Option<usize> {
    let first = gguf.tensors.first()?;
    let mut entry = Vec::new();
    push_entry(&mut entry, first, first.data_type, 0);
    // The offset at the end is left out: it is told from the start of the file here.
    let entry = &entry[..entry.len() - 8];
    bytes.windows(entry.len()).position(|window| window == entry)
}

fn push_entry(file: &mut Vec<u8>, tensor: &TensorInfo, data_type: DataType, offset: u64) {
    file.extend((tensor.name.len() as u64).to_le_bytes());
    file.extend(tensor.name.as_bytes());
    file.extend((tensor.dimensions.len() as u32).to_le_bytes());
    file.extend(tensor.dimensions.iter().flat_map(|dimension| dimension.to_le_bytes()));
    file.extend(data_type.id().to_le_bytes());
    file.extend(offset.to_le_bytes());
}

/// Scale, least value, then the low halves of all bytes followed by the high ones.
fn q4_1(block: &[u8; 4 + BLOCK / 2]) -> [f32; BLOCK] {
    let scale = f16::from_le_bytes([block[0], block[1]]).to_f32();
    let least = f16::from_le_bytes([block[2], block[3]]).to_f32();
    std::array::from_fn(|at| {
        let byte = block[4 + at % (BLOCK / 2)];
        let level = if at < BLOCK / 2 { byte & 15 } else { byte >> 4 };
        f32::from(level) * scale + least
    })
}

/// A scale that takes the largest value to 127, and the values over it.
fn q8_0(values: &[f32; BLOCK]) -> [u8; 2 + BLOCK] {
    let largest = values.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let scale = largest / 127.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let mut block = [0; 2 + BLOCK];
    block[..2].copy_from_slice(&f16::from_f32(scale).to_le_bytes());
    for (byte, value) in block[2..].iter_mut().zip(values) {
        *byte = ((value * inverse).round() as i8).cast_unsigned();
    }
    block
}

#[cfg(test)]
mod tests {
    use super::*;
    use nearside_gguf::{Value, Writer};

    #[test]
    fn every_value_stays_within_half_a_step_and_the_rest_stays_as_it_was() {
        let mut block = vec![0u8; 20];
        block[..2].copy_from_slice(&f16::from_f32(0.25).to_le_bytes());
        block[2..4].copy_from_slice(&f16::from_f32(-1.5).to_le_bytes());
        for (at, byte) in block[4..].iter_mut().enumerate() {
            *byte = (at as u8).wrapping_mul(37) ^ 0x5a;
        }
        let plain: Vec<u8> = [1.5f32, -2.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        let source = Writer::new()
            .metadata("general.architecture", Value::Text("llama".into()))
            .tensor("norm", DataType::F32, &[2], &plain)
            .tensor("matrix", DataType::Q4_1, &[32, 1], &block)
            .finish();
        let target = requantize(&source).unwrap();
        let gguf = Gguf::read(&target).unwrap();
        assert_eq!(gguf.metadata.text("general.architecture").unwrap(), "llama");
        let content = |name: &str| {
            let tensor = gguf.tensor(name).unwrap();
            &target[tensor.offset as usize..][..tensor.size as usize]
        };
        assert_eq!(content("norm"), plain);
        assert_eq!(gguf.tensor("matrix").unwrap().data_type, DataType::Q8_0);
        let matrix = content("matrix");
        let scale = f16::from_le_bytes([matrix[0], matrix[1]]).to_f32();
        for (at, byte) in matrix[2..].iter().enumerate() {
            let level = if at < 16 { block[4 + at] & 15 } else { block[4 + at - 16] >> 4 };
            let wanted = f32::from(level) * 0.25 - 1.5;
            let found = f32::from(byte.cast_signed()) * scale;
            assert!((wanted - found).abs() <= scale * 0.51, "{at}: {wanted} became {found}");
        }
    }
}
