// One invocation packs two neighbouring elements of one head's key and value into halves.
struct Params {
    row_limit: u32,
    heads: u32,
    words: u32,
    context: u32,
    key_stride: u32,
    value_stride: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> key: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> value: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> keys: array<u32>;
@group(0) @binding(5) var<storage, read_write> values: array<u32>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear(id, count) * THREADS + local;
    let width = params.heads * params.words;
    let row = index / width;
    if row >= min(step.rows, params.row_limit) {
        return;
    }
    let within = index % width;
    let head = within / params.words;
    let to = (head * params.context + step.position + row) * params.words + within % params.words;
    keys[to] = pack2x16float(key[row * params.key_stride + within]);
    values[to] = pack2x16float(value[row * params.value_stride + within]);
}
