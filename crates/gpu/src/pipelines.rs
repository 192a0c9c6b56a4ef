//! Programs become pipelines, each once for a device: a model that is loaded again finds its own.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
        if let Some(compiled) = self.held().compiled.get(program) {
            return compiled.clone();
        }
        let bindings = &program.bindings;
        let layout = self.held().layouts.entry(bindings.clone()).or_insert_with(|| layout(gpu, bindings)).clone();
        // Others may compile meanwhile.
        let compiled = compile(gpu, program, &layout);
        self.held().compiled.entry(program.clone()).or_insert(compiled).clone()
    }

    /// Those that were not compiled before, each once.
    fn missing<'a>(&self, programs: impl Iterator<Item = &'a Program>) -> Vec<Program> {
        let held = self.held();
        let mut seen = HashSet::new();
        programs.filter(|program| !held.compiled.contains_key(program) && seen.insert(*program)).cloned().collect()
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.held().compiled.len()
    }

    fn held(&self) -> MutexGuard<'_, Compilations> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Programs on their way to pipelines. Natively threads compile them, as long as somebody wants that; in a browser
/// another process does, so that they need only be asked for.
pub(crate) struct Compiling {
    threads: Vec<std::thread::JoinHandle<()>>,
    /// Which program comes next.
    next: Arc<AtomicUsize>,
}

impl Drop for Compiling {
    fn drop(&mut self) {
        self.next.store(usize::MAX / 2, Ordering::Relaxed);
    }
}

impl Compiling {
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn start<'a>(gpu: &Gpu, programs: impl Iterator<Item = &'a Program>) -> Self {
        let programs = Arc::new(gpu.pipelines.missing(programs));
        let upcoming = Arc::new(AtomicUsize::new(0));
        let wanted = std::thread::available_parallelism().map_or(1, usize::from).min(programs.len());
        let spawn = |_| {
            let (gpu, programs, next) = (gpu.clone(), Arc::clone(&programs), Arc::clone(&upcoming));
            let work = move || {
                while let Some(program) = programs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    gpu.pipelines.get(&gpu, program);
                }
            };
            // Without a thread the pipelines are compiled when they are bound.
            std::thread::Builder::new().name("pipelines".to_owned()).spawn(work).ok()
        };
        Self { threads: (0..wanted).filter_map(spawn).collect(), next: upcoming }
    }

    #[cfg(target_arch = "wasm32")]
    pub(crate) fn start<'a>(gpu: &Gpu, programs: impl Iterator<Item = &'a Program>) -> Self {
        for program in gpu.pipelines.missing(programs) {
            gpu.pipelines.get(gpu, &program);
        }
        Self { threads: Vec::new(), next: Arc::default() }
    }

    /// Waits for the rest.
    pub(crate) fn finish(mut self) {
        for thread in std::mem::take(&mut self.threads) {
            // What a thread did not bring to its end is compiled when it is bound.
            let _ = thread.join();
        }
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

#[cfg(test)]
mod tests {
    use super::{Compiling, Pipelines};
    use crate::kernels::{copy, rope, sample};
    use crate::testing::{Gpu, each_gpu};

    #[test]
    fn programs_are_compiled_once_each_and_beside_each_other() {
        each_gpu(|gpu| {
            let gpu = Gpu { pipelines: Pipelines::default(), ..gpu.clone() };
            let programs = [copy::program(), rope::program(), copy::program(), sample::choose(&gpu.tuning)];
            assert_eq!(gpu.pipelines.missing(programs.iter()).len(), 3);
            Compiling::start(&gpu, programs.iter()).finish();
            assert_eq!((gpu.pipelines.count(), gpu.pipelines.missing(programs.iter()).len()), (3, 0));
        });
    }
}
