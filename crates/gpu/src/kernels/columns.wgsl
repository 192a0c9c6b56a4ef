// One invocation copies one element.
struct Params {
    row_limit: u32,
    width: u32,
    start: u32,
    input_stride: u32,
    output_stride: u32,
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
    let row = index / params.width;
    if row >= row_count(params.row_limit) {
        return;
    }
    let column = index % params.width;
    output[row * params.output_stride + column] = input[row * params.input_stride + params.start + column];
}
