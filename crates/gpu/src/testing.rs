//! What the tests share: adapters, arbitrary numbers, and one kernel run by itself.

use std::sync::OnceLock;

use wgpu::{Buffer, BufferUsages};

pub(crate) use crate::adapter::Gpu;
use crate::adapter::{GpuOptions, Tuning, open};
use crate::allocation::Allocated;
pub(crate) use crate::arbitrary::Random;
use crate::arbitrary::random_rows;
use crate::header::Header;
use crate::kernels::{Grid, Program};
use crate::quants::{Packing, Planes, decode, packing};

/// What is asked of a software adapter.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is asked for by itself")]
struct Kind {
    f16: bool,
    subgroups: bool,
    least_limits: bool,
    /// Whether it is tuned as the software it is, or as a real GPU.
    as_software: bool,
}

/// All combinations of what not every adapter has; the last one is as little as any has.
const KINDS: [Kind; 4] = [
    Kind { f16: true, subgroups: true, least_limits: false, as_software: true },
    Kind { f16: true, subgroups: false, least_limits: true, as_software: false },
    Kind { f16: false, subgroups: true, least_limits: false, as_software: false },
    Kind { f16: false, subgroups: false, least_limits: true, as_software: true },
];

fn find(kinds: &[Kind]) -> Vec<(String, Gpu)> {
    let mut found = Vec::new();
    for name in ["llvmpipe", "SwiftShader"] {
        for &kind in kinds {
            let options = GpuOptions {
                adapter: Some(name.to_owned()),
                allow_subgroups: kind.subgroups,
                allow_f16: kind.f16,
                least_limits: kind.least_limits,
                ..GpuOptions::default()
            };
            match pollster::block_on(open(&options)) {
                Ok(gpu) if (gpu.facts.f16, gpu.facts.subgroups) != (kind.f16, kind.subgroups) => {
                    eprintln!("skipped: {name} has not all of {kind:?}");
                }
                Ok(mut gpu) => {
                    gpu.tuning = Tuning::new(&gpu.facts, kind.as_software);
                    found.push((format!("{name}, {kind:?}"), gpu));
                }
                // One that is not there lacks all kinds of it.
                Err(error) => {
                    eprintln!("skipped: {name}: {error}");
                    break;
                }
            }
        }
    }
    found
}

fn gpus() -> &'static [(String, Gpu)] {
    static GPUS: OnceLock<Vec<(String, Gpu)>> = OnceLock::new();
    GPUS.get_or_init(|| find(&KINDS))
}

/// Runs a test on every adapter that is there, on a device of its own that may be lost.
pub(crate) fn each_new_gpu(test: impl Fn(&Gpu)) {
    for (name, gpu) in find(&KINDS[..1]) {
        eprintln!("on a new {name}");
        test(&gpu);
    }
}

/// Runs a test on every adapter that is there, with and without `shader-f16` and subgroups.
pub(crate) fn each_gpu(test: impl Fn(&Gpu)) {
    for (name, gpu) in gpus() {
        eprintln!("on {name}");
        test(gpu);
        gpu.failure.check().expect("the device has nothing to complain about");
    }
    if gpus().is_empty() {
        eprintln!("skipped: there is no adapter; install mesa-vulkan-drivers");
    }
}

/// The same device with a count of its own, which other tests do not touch.
pub(crate) fn counted(gpu: &Gpu) -> Gpu {
    Gpu { allocated: Allocated::default(), ..gpu.clone() }
}

/// Every format.
pub(crate) fn packings() -> impl Iterator<Item = &'static Packing> {
    nearside_gguf::DataType::ALL.iter().filter_map(|data_type| packing(*data_type))
}

/// Rows side by side, each as long as the stride.
pub(crate) fn matrix(rows: &[Vec<f32>], stride: usize) -> Vec<f32> {
    let mut flat = vec![0.0; rows.len() * stride];
    for (row, values) in rows.iter().enumerate() {
        flat[row * stride..][..values.len()].copy_from_slice(values);
    }
    flat
}

/// Fails unless all values are close, relative to the larger of them and one.
pub(crate) fn close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let allowed = tolerance * expected.abs().max(1.0);
        assert!((found - expected).abs() <= allowed, "{what}, element {index}: {found} is not {expected}");
    }
}

/// A stored matrix and its values.
pub(crate) struct Matrix {
    pub(crate) packing: &'static Packing,
    pub(crate) columns: usize,
    pub(crate) stored: Vec<u8>,
    pub(crate) rows: Vec<Vec<f32>>,
}

impl Matrix {
    pub(crate) fn random(packing: &'static Packing, rows: usize, columns: usize, seed: u64) -> Self {
        let stored = random_rows(packing.data_type, rows, columns, &mut Random::new(seed));
        let rows = stored.chunks(packing.row_bytes(columns)).map(|row| decode(packing.data_type, row)).collect();
        Self { packing, columns, stored, rows }
    }

    /// Some rows, packed; a plane without words has one, since a binding may not be empty.
    pub(crate) fn piece(&self, first_row: usize, rows: usize) -> Planes {
        let bytes = self.packing.row_bytes(self.columns);
        let mut planes = Planes::default();
        self.packing.pack_rows(&self.stored[first_row * bytes..][..rows * bytes], self.columns, &mut planes);
        planes.extras.splice(0..0, self.packing.table.iter().copied());
        if planes.extras.is_empty() {
            planes.extras.push(0);
        }
        planes
    }
}

/// One kernel with its buffers, in the order of its bindings.
pub(crate) struct Run<'a> {
    gpu: &'a Gpu,
    program: Program,
    params: Vec<u32>,
    pub(crate) step: Header,
    buffers: Vec<Vec<u32>>,
}

/// What the buffers hold afterwards.
pub(crate) struct Ran(Vec<Vec<u32>>);

impl Ran {
    pub(crate) fn words(&self, output: usize) -> Vec<u32> {
        self.0[output].clone()
    }

    pub(crate) fn floats(&self, output: usize) -> Vec<f32> {
        self.0[output].iter().map(|word| f32::from_bits(*word)).collect()
    }
}

impl<'a> Run<'a> {
    pub(crate) fn new(gpu: &'a Gpu, program: &Program, params: &[u32], rows: usize) -> Self {
        Self { gpu, program: program.clone(), params: params.to_vec(), step: Header::new(0, rows), buffers: Vec::new() }
    }

    pub(crate) fn words(&mut self, words: &[u32]) -> &mut Self {
        self.buffers.push(words.to_vec());
        self
    }

    pub(crate) fn floats(&mut self, floats: &[f32]) -> &mut Self {
        self.buffers.push(floats.iter().map(|float| float.to_bits()).collect());
        self
    }

    /// A buffer to be read afterwards, by the number given back.
    pub(crate) fn output_words(&mut self, words: &[u32]) -> usize {
        self.words(words);
        self.buffers.len() - 1
    }

    pub(crate) fn output(&mut self, floats: &[f32]) -> usize {
        self.floats(floats);
        self.buffers.len() - 1
    }

    pub(crate) fn go(&self, grid: Grid) -> Ran {
        let Gpu { device, queue, .. } = self.gpu;
        let create = |words: &[u32], usage| {
            let size = (words.len() as u64 * 4).max(64);
            let usage = usage | BufferUsages::COPY_DST | BufferUsages::COPY_SRC;
            let buffer =
                device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false });
            queue.write_buffer(&buffer, 0, bytemuck::cast_slice(words));
            buffer
        };
        let uniforms = [create(&self.step.words(), BufferUsages::UNIFORM), create(&self.params, BufferUsages::UNIFORM)];
        let buffers: Vec<_> = self.buffers.iter().map(|words| create(words, BufferUsages::STORAGE)).collect();
        let compiled = self.gpu.pipelines.get(self.gpu, &self.program);
        let bindings = self.program.bindings.iter().map(|binding| binding.0);
        assert_eq!(self.program.bindings.len(), buffers.len(), "{}", self.program.label);
        let entries: Vec<_> = (0..2)
            .chain(bindings)
            .zip(uniforms.iter().chain(&buffers))
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() })
            .collect();
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: None,
            layout: &compiled.layout,
            entries: &entries,
        });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&compiled.pipeline);
            pass.set_bind_group(0, &group, &[]);
            let (x, y) = grid.workgroups(self.step.rows);
            pass.dispatch_workgroups(x, y, 1);
        }
        let staging: Vec<_> = buffers
            .iter()
            .map(|buffer| {
                let usage = BufferUsages::MAP_READ | BufferUsages::COPY_DST;
                let size = buffer.size();
                let staging = device.create_buffer(&wgpu::BufferDescriptor {
                    label: None,
                    size,
                    usage,
                    mapped_at_creation: false,
                });
                encoder.copy_buffer_to_buffer(buffer, 0, &staging, 0, size);
                staging
            })
            .collect();
        queue.submit([encoder.finish()]);
        for buffer in &staging {
            buffer.map_async(wgpu::MapMode::Read, .., |_| ());
        }
        device.poll(wgpu::PollType::wait_indefinitely()).expect("the device answers");
        let read = |(staging, words): (&Buffer, &Vec<u32>)| {
            let view = staging.get_mapped_range(..).expect("mapped");
            let all: Vec<u32> =
                view.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().expect("four"))).collect();
            all[..words.len()].to_vec()
        };
        Ran(staging.iter().zip(&self.buffers).map(read).collect())
    }
}
