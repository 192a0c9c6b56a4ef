//! Programs become pipelines, each once for a device: a model that is loaded again finds its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use wgpu::{BindGroupLayout, ComputePipeline};

use crate::adapter::Gpu;
use crate::header::Header;
use crate::kernels::{Access, Program};

/// A compiled program and the layout of its bindings.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    pub(crate) pipeline: ComputePipeline,
    pub(crate) layout: BindGroupLayout,
}

/// Everything compiled so far; clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pipelines(Arc<Mutex<Compilations>>);

#[derive(Debug, Default)]
struct Compilations {
    compiled: HashMap<Program, Compiled>,
    layouts: HashMap<Vec<(u32, Access)>, BindGroupLayout>,
}

impl Pipelines {
    /// The pipeline of a program, compiled now if it was not before.
    pub(crate) fn get(&self, gpu: &Gpu, program: &Program) -> Compiled {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = held.compiled.get(program) {
            return compiled.clone();
        }
        let layout =
            held.layouts.entry(program.bindings.clone()).or_insert_with(|| layout(gpu, &program.bindings)).clone();
        let compiled = compile(gpu, program, &layout);
        held.compiled.insert(program.clone(), compiled.clone());
        compiled
    }
}

fn layout(gpu: &Gpu, bindings: &[(u32, Access)]) -> BindGroupLayout {
    let entry = |binding, ty, minimum| wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: false,
            min_binding_size: wgpu::BufferSize::new(minimum),
        },
        count: None,
    };
    let uniforms = (0..2).map(|binding| entry(binding, wgpu::BufferBindingType::Uniform, Header::BYTES));
    let storage = bindings.iter().map(|(binding, access)| {
        entry(*binding, wgpu::BufferBindingType::Storage { read_only: *access == Access::Read }, 0)
    });
    let entries: Vec<_> = uniforms.chain(storage).collect();
    gpu.device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: None, entries: &entries })
}

fn compile(gpu: &Gpu, program: &Program, layout: &BindGroupLayout) -> Compiled {
    let module = gpu.device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(program.label),
        source: wgpu::ShaderSource::Wgsl(program.source.as_str().into()),
    });
    let pipeline_layout = gpu.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
        label: None,
        bind_group_layouts: &[Some(layout)],
        immediate_size: 0,
    });
    let pipeline = gpu.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some(program.label),
        layout: Some(&pipeline_layout),
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions {
            // Every kernel writes its workgroup memory before it reads it.
            zero_initialize_workgroup_memory: false,
            ..wgpu::PipelineCompilationOptions::default()
        },
        cache: None,
    });
    Compiled { pipeline, layout: layout.clone() }
}
