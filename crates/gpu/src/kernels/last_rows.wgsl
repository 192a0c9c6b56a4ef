// One invocation copies one element of one of the step's last rows.
struct Params {
    row_limit: u32,
    width: u32,
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
    let rows = row_count(params.row_limit);
    if row >= rows {
        return;
    }
    let column = index % params.width;
    output[row * params.output_stride + column] = input[(step.rows - rows + row) * params.input_stride + column];
}
