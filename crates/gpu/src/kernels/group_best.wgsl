// One invocation reads every GROUPS-th logit of a row: its best one, and the sum of exponentials relative
// to it.
struct Params {
    row_limit: u32,
    vocabulary: u32,
    groups: u32,
    stride: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
// For each row the best logits, then their tokens, then the sums.
@group(0) @binding(3) var<storage, read_write> groups: array<u32>;

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
    let base = row * params.stride;
    var best = logit_at(base + group);
    var token = group;
    var sum = 1.0;
    for (var at = group + params.groups; at < params.vocabulary; at += params.groups) {
        let logit = logit_at(base + at);
        if logit > best {
            sum = sum * exp(best - logit) + 1.0;
            best = logit;
            token = at;
        } else {
            sum += exp(logit - best);
        }
    }
    let to = row * 3u * params.groups + group;
    groups[to] = bitcast<u32>(best);
    groups[to + params.groups] = token;
    groups[to + 2u * params.groups] = bitcast<u32>(sum);
}
