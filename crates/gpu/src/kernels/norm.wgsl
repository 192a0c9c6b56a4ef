// One workgroup norms one group of one row. Where it joins, it first norms the group, adds that to the stream, and
// then norms the stream.
struct Params {
    row_limit: u32,
    groups: u32,
    size: u32,
    input_stride: u32,
    output_stride: u32,
    epsilon: f32,
    stream_stride: u32,
    closing_epsilon: f32,
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
//@if JOINS
@group(0) @binding(5) var<storage, read> closing: array<f32>;
@group(0) @binding(6) var<storage, read_write> stream: array<f32>;
//@end

// What the root of the mean of a group's squares is divided by to be 1.
fn factor(squares: f32, epsilon: f32, turn: u32, member: Member) -> f32 {
    return inverseSqrt(summed(array<f32, 1>(squares), turn, member)[0] / f32(params.size) + epsilon);
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    member: Member,
) {
    let index = linear(id, count);
    let row = index / params.groups;
    if row >= row_count(params.row_limit) {
        return;
    }
    let local = member.local;
    let group = index % params.groups;
    let from_base = row * params.input_stride + group * params.size;
    let to_base = row * params.output_stride + group * params.size;
    var squares = 0.0;
//@if JOINS
    let stream_base = row * params.stream_stride;
    for (var i = local; i < params.size; i += THREADS) {
        let value = element(from_base + i);
        squares += value * value;
    }
    let closing_factor = factor(squares, params.closing_epsilon, 0u, member);
    squares = 0.0;
//@end
    for (var i = local; i < params.size; i += THREADS) {
//@if JOINS
        let value = stream[stream_base + i] + element(from_base + i) * closing_factor * closing[i];
        stream[stream_base + i] = value;
//@else
        let value = element(from_base + i);
//@end
        squares += value * value;
    }
    let own_factor = factor(squares, params.epsilon, JOINS, member);
    for (var i = local; i < params.size; i += THREADS) {
//@if JOINS
        output[to_base + i] = stream[stream_base + i] * own_factor * weight[i];
//@else
        output[to_base + i] = element(from_base + i) * own_factor * weight[i];
//@end
    }
}
