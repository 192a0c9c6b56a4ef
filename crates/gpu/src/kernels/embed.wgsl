// One invocation decodes eight elements of one token's row.
struct Params {
    row_limit: u32,
    units: u32,
    first_row: u32,
    piece_rows: u32,
    stride: u32,
    scale: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> quants: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> extras: array<u32>;
@group(0) @binding(4) var<storage, read> tokens: array<u32>;
@group(0) @binding(5) var<storage, read> result: array<u32>;
@group(0) @binding(6) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear(id, count) * THREADS + local;
    let row = index / (params.units * 4u);
    if row >= row_count(params.row_limit) {
        return;
    }
    var token = tokens[row];
    if step.sampled > 0u {
        token = result[(step.sampled - 1u) * RESULT_WORDS];
    }
    // Another piece of the table holds the token.
    if token < params.first_row || token - params.first_row >= params.piece_rows {
        return;
    }
    let table_row = token - params.first_row;
    let part = index % (params.units * 4u);
    let block = load_block((table_row >> 4u) * params.units + (part >> 2u), table_row & 15u);
    let values = eight(block, part & 3u);
    let at = row * params.stride + part * 2u;
    output[at] = values[0] * params.scale;
    output[at + 1u] = values[1] * params.scale;
}
