// One invocation counts how many logits of the selected groups are better than its own.
struct Params {
    vocabulary: u32,
    groups: u32,
    length: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> logits: array<u32>;
@group(0) @binding(3) var<storage, read> selected: array<u32>;
// Token, log-sum-exp, count and nothing, then token and logit of each candidate.
@group(0) @binding(4) var<storage, read_write> result: array<u32>;

// A logit that is not a number counts as the least one. The bits are compared, since compilers may
// assume that floats are numbers.
fn logit_at(token: u32) -> f32 {
    let bits = logits[token];
    return bitcast<f32>(select(bits, 0xff7fffffu, (bits & 0x7fffffffu) > 0x7f800000u));
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear(id, count) * THREADS + local;
    let groups = min(step.candidates, params.groups);
    if index >= groups * params.length {
        return;
    }
    let token = selected[index / params.length] + index % params.length * params.groups;
    if token >= params.vocabulary {
        return;
    }
    let mine = logit_at(token);
    var rank = 0u;
    for (var group = 0u; group < groups && rank < step.candidates; group++) {
        for (var other = selected[group]; other < params.vocabulary; other += params.groups) {
            let logit = logit_at(other);
            if logit > mine || (logit == mine && other < token) {
                rank++;
            }
        }
    }
    if rank < step.candidates {
        result[4u + 2u * rank] = token;
        result[5u + 2u * rank] = bitcast<u32>(mine);
    }
}
