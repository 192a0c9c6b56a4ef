// One invocation copies one element: of some columns of a wider slot, or of the step's last rows.
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
    let rows = row_count(params.row_limit);
    if row >= rows {
        return;
    }
    let column = index % params.width;
//@if LAST
    let source = step.rows - rows + row;
//@else
    let source = row;
//@end
    output[row * params.output_stride + column] = input[source * params.input_stride + params.start + column];
}
