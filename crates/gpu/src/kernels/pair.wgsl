// One invocation makes four elements out of two slots' ones: it adds them, or one gates the other.
struct Params {
    row_limit: u32,
    stride: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read_write> output: array<vec4<f32>>;
//@if LEFT_IN_PLACE
fn left_at(at: u32) -> vec4<f32> {
    return output[at];
}
//@else
@group(0) @binding(3) var<storage, read> left: array<vec4<f32>>;

fn left_at(at: u32) -> vec4<f32> {
    return left[at];
}
//@end
//@if RIGHT_IN_PLACE
fn right_at(at: u32) -> vec4<f32> {
    return output[at];
}
//@else
@group(0) @binding(4) var<storage, read> right: array<vec4<f32>>;

fn right_at(at: u32) -> vec4<f32> {
    return right[at];
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
//@if GATES
    output[index] = activate(left_at(index)) * right_at(index);
//@else
    output[index] = left_at(index) + right_at(index);
//@end
}
