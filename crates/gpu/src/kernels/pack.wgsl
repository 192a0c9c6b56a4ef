// An invocation packs eight neighbouring elements of a row. Of each unit there are three vectors of words: its
// levels, of each eight elements first the even ones, and its scale with that times the sums of its first sixteen
// levels, its last ones, and all.
struct Params {
    row_limit: u32,
    // Units in a row.
    units: u32,
    // In vectors of four.
    stride: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> packed: array<vec2<u32>>;

var<workgroup> magnitudes: array<f32, THREADS>;
var<workgroup> sums: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear(id, count);
    let groups = (params.units * 4u + THREADS - 1u) / THREADS;
    let row = index / groups;
    if row >= row_count(params.row_limit) {
        return;
    }
    let eighth = index % groups * THREADS + local;
    let inside = eighth < params.units * 4u;
    let from_index = row * params.stride + min(eighth, params.units * 4u - 1u) * 2u;
    let low = input[from_index];
    let high = input[from_index + 1u];
    let magnitude = max(abs(low), abs(high));
    magnitudes[local] = max(max(magnitude.x, magnitude.y), max(magnitude.z, magnitude.w));
    workgroupBarrier();
    // A block's invocations stand side by side in one workgroup.
    let first = local / BLOCK_THREADS * BLOCK_THREADS;
    var most = 0.0;
    for (var i = 0u; i < BLOCK_THREADS; i++) {
        most = max(most, magnitudes[first + i]);
    }
    let low_levels = levels_of(low, most);
    let high_levels = levels_of(high, most);
    let scale = most / 127.0;
    sums[local] = dot(low_levels, vec4<f32>(1.0)) + dot(high_levels, vec4<f32>(1.0));
    workgroupBarrier();
    if !inside {
        return;
    }
    let base = (row * params.units + eighth / 4u) * 6u;
    packed[base + eighth % 4u] = words_of(low_levels, high_levels);
    if eighth % 4u == 0u {
        let halves = vec2<f32>(sums[local] + sums[local + 1u], sums[local + 2u] + sums[local + 3u]) * scale;
        packed[base + 4u] = bitcast<vec2<u32>>(vec2<f32>(scale, halves.x));
        packed[base + 5u] = bitcast<vec2<u32>>(vec2<f32>(halves.y, halves.x + halves.y));
    }
}
