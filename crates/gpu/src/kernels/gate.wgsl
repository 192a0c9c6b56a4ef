// One invocation gates four elements.
struct Params {
    row_limit: u32,
    stride: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;
//@if GATE_IN_PLACE
fn gate_at(at: u32) -> vec4<f32> {
    return output[at];
}
//@else
@group(0) @binding(3) var<storage, read> gate: array<vec4<f32>>;

fn gate_at(at: u32) -> vec4<f32> {
    return gate[at];
}
//@end
//@if UP_IN_PLACE
fn up_at(at: u32) -> vec4<f32> {
    return output[at];
}
//@else
@group(0) @binding(4) var<storage, read> up: array<vec4<f32>>;

fn up_at(at: u32) -> vec4<f32> {
    return up[at];
}
//@end
@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear(id, count) * THREADS + local;
    if index >= row_count(params.row_limit) * params.stride {
        return;
    }
    output[index] = activate(gate_at(index)) * up_at(index);
}
