// One workgroup rounds 256 neighbouring elements of a row, in place.
struct Params {
    row_limit: u32,
    blocks: u32,
    // In vectors of four.
    stride: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> slot: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    member: Member,
) {
    let index = linear(id, count);
    let row = index / params.blocks;
    if row >= row_count(params.row_limit) {
        return;
    }
    let at = row * params.stride + index % params.blocks * THREADS + member.local;
    let value = slot[at];
    slot[at] = rounded(value, magnitude(value, member));
}
