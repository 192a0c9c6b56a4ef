// One invocation counts how many logits of the selected groups are better than its own.
struct Params {
    row_limit: u32,
    vocabulary: u32,
    groups: u32,
    // Logits of the most groups that are ever selected, the last of each perhaps beyond the vocabulary.
    reach: u32,
    length: u32,
    stride: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(3) var<storage, read> selected: array<u32>;
@group(0) @binding(4) var<storage, read_write> result: array<u32>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear(id, count) * THREADS + local;
    let row = index / params.reach;
    if row >= row_count(params.row_limit) {
        return;
    }
    let within = index % params.reach;
    let groups = min(step.candidates, params.groups);
    if within >= groups * params.length {
        return;
    }
    let chosen = row * 64u;
    let token = selected[chosen + within / params.length] + within % params.length * params.groups;
    if token >= params.vocabulary {
        return;
    }
    let base = row * params.stride;
    let mine = logit_at(base + token);
    var rank = 0u;
    for (var group = 0u; group < groups && rank < step.candidates; group++) {
        for (var other = selected[chosen + group]; other < params.vocabulary; other += params.groups) {
            let logit = logit_at(base + other);
            if logit > mine || (logit == mine && other < token) {
                rank++;
            }
        }
    }
    if rank < step.candidates {
        let to = row * RESULT_WORDS + 4u + 2u * rank;
        result[to] = token;
        result[to + 1u] = bitcast<u32>(mine);
    }
}
