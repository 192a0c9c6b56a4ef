// One invocation rotates one pair of one head; the sines and cosines of this step's positions come
// with the step, since WGSL's own lose accuracy at large angles.
struct Params {
    row_limit: u32,
    heads: u32,
    head_dim: u32,
    pairs: u32,
    step: u32,
    distance: u32,
    stride: u32,
    table_stride: u32,
    table_offset: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> table: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> values: array<f32>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear(id, count) * THREADS + local;
    let row = index / (params.heads * params.pairs);
    if row >= row_count(params.row_limit) {
        return;
    }
    let pair = index % params.pairs;
    let head = index / params.pairs % params.heads;
    let first = row * params.stride + head * params.head_dim + pair * params.step;
    let second = first + params.distance;
    let turn = table[row * params.table_stride + params.table_offset + pair];
    let a = values[first];
    let b = values[second];
    values[first] = a * turn.x - b * turn.y;
    values[second] = a * turn.y + b * turn.x;
}
