// One workgroup normalises one group of one row.
struct Params {
    row_limit: u32,
    groups: u32,
    size: u32,
    input_stride: u32,
    output_stride: u32,
    epsilon: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> weight: array<f32>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
//@if IN_PLACE
fn element(at: u32) -> f32 {
    return output[at];
}
//@else
@group(0) @binding(4) var<storage, read> input: array<f32>;

fn element(at: u32) -> f32 {
    return input[at];
}
//@end
var<workgroup> sums: array<f32, THREADS>;
//@if ROUND
// The largest magnitude of each 256 elements, as bits, which are in the order of the numbers.
var<workgroup> most: array<atomic<u32>, BLOCKS>;
//@end

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
//@if SUBGROUPS
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
    @builtin(subgroup_invocation_id) lane: u32,
//@end
) {
    let index = linear(id, count);
    let row = index / params.groups;
    if row >= row_count(params.row_limit) {
        return;
    }
    let group = index % params.groups;
    let from_base = row * params.input_stride + group * params.size;
    let to_base = row * params.output_stride + group * params.size;
    var sum = 0.0;
//@if ROUND
    for (var i = local; i < BLOCKS; i += THREADS) {
        atomicStore(&most[i], 0u);
    }
    workgroupBarrier();
//@end
    for (var i = local; i < params.size; i += THREADS) {
        let value = element(from_base + i);
        sum += value * value;
//@if ROUND
        atomicMax(&most[i / 256u], bitcast<u32>(abs(value * weight[i])));
//@end
    }
    // One barrier and a short serial sum: a tree's many barriers cost more than they save.
//@if SUBGROUPS
    let part = subgroupAdd(sum);
    if lane == 0u {
        sums[subgroup] = part;
    }
    let parts = subgroups;
//@else
    sums[local] = sum;
    let parts = THREADS;
//@end
    workgroupBarrier();
    sum = 0.0;
    for (var i = 0u; i < parts; i++) {
        sum += sums[i];
    }
    let factor = inverseSqrt(sum / f32(params.size) + params.epsilon);
    for (var i = local; i < params.size; i += THREADS) {
        let value = element(from_base + i) * factor * weight[i];
//@if ROUND
        output[to_base + i] = rounded(vec4<f32>(value), bitcast<f32>(atomicLoad(&most[i / 256u])) * factor).x;
//@else
        output[to_base + i] = value;
//@end
    }
}
