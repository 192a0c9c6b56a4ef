// One invocation counts how many groups have a better best logit than its own. The n best logits lie
// in the n groups with the best bests, so the others can be forgotten.
struct Params {
    row_limit: u32,
    groups: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> groups: array<u32>;
// 64 of them for each row.
@group(0) @binding(3) var<storage, read_write> selected: array<u32>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear(id, count) * THREADS + local;
    let row = index / params.groups;
    if row >= row_count(params.row_limit) {
        return;
    }
    let group = index % params.groups;
    let base = row * 3u * params.groups;
    let best = bitcast<f32>(groups[base + group]);
    let token = groups[base + params.groups + group];
    var rank = 0u;
    for (var other = 0u; other < params.groups && rank < step.candidates; other++) {
        let logit = bitcast<f32>(groups[base + other]);
        if logit > best || (logit == best && groups[base + params.groups + other] < token) {
            rank++;
        }
    }
    if rank < step.candidates {
        selected[row * 64u + rank] = group;
    }
}
