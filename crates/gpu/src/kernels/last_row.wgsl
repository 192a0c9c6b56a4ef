// One invocation copies one element of the step's last row to row 0.
struct Params {
    width: u32,
    input_stride: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> input: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear(id, count) * THREADS + local;
    if index < params.width {
        output[index] = input[(step.rows - 1u) * params.input_stride + index];
    }
}
