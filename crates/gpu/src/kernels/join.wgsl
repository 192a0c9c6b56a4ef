// One workgroup norms one row, adds it to the stream, and norms the sum.
struct Params {
    row_limit: u32,
    size: u32,
    input_stride: u32,
    stream_stride: u32,
    output_stride: u32,
    closing_epsilon: f32,
    epsilon: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> closing: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> stream: array<f32>;
@group(0) @binding(5) var<storage, read_write> output: array<f32>;
//@if IN_PLACE
fn element(at: u32) -> f32 {
    return output[at];
}
//@else
@group(0) @binding(6) var<storage, read> input: array<f32>;

fn element(at: u32) -> f32 {
    return input[at];
}
//@end
var<workgroup> sums: array<f32, THREADS>;
var<workgroup> other_sums: array<f32, THREADS>;
//@if ROUND
// The largest magnitude of each 256 elements, as bits, which are in the order of the numbers.
var<workgroup> most: array<atomic<u32>, BLOCKS>;
//@end

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = linear(id, count);
    if row >= row_count(params.row_limit) {
        return;
    }
    let from_base = row * params.input_stride;
    let stream_base = row * params.stream_stride;
    let to_base = row * params.output_stride;
//@if ROUND
    for (var i = local; i < BLOCKS; i += THREADS) {
        atomicStore(&most[i], 0u);
    }
//@end
    var sum = 0.0;
    for (var i = local; i < params.size; i += THREADS) {
        let value = element(from_base + i);
        sum += value * value;
    }
    sums[local] = sum;
    workgroupBarrier();
    sum = 0.0;
    for (var i = 0u; i < THREADS; i++) {
        sum += sums[i];
    }
    let closing_factor = inverseSqrt(sum / f32(params.size) + params.closing_epsilon);
    sum = 0.0;
    for (var i = local; i < params.size; i += THREADS) {
        let value = stream[stream_base + i] + element(from_base + i) * closing_factor * closing[i];
        stream[stream_base + i] = value;
        sum += value * value;
//@if ROUND
        atomicMax(&most[i / 256u], bitcast<u32>(abs(value * weight[i])));
//@end
    }
    other_sums[local] = sum;
    workgroupBarrier();
    sum = 0.0;
    for (var i = 0u; i < THREADS; i++) {
        sum += other_sums[i];
    }
    let factor = inverseSqrt(sum / f32(params.size) + params.epsilon);
    for (var i = local; i < params.size; i += THREADS) {
        let value = stream[stream_base + i] * factor * weight[i];
//@if ROUND
        output[to_base + i] = rounded(vec4<f32>(value), bitcast<f32>(atomicLoad(&most[i / 256u])) * factor).x;
//@else
        output[to_base + i] = value;
//@end
    }
}
