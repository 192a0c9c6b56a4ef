// One invocation reads every GROUPS-th logit: its best one, and the sum of exponentials relative to it.
struct Params {
    vocabulary: u32,
    groups: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> logits: array<u32>;
// Best logits, then their tokens, then the sums.
@group(0) @binding(3) var<storage, read_write> groups: array<u32>;

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
    let group = linear(id, count) * THREADS + local;
    if group >= params.groups {
        return;
    }
    var best = logit_at(group);
    var token = group;
    var sum = 1.0;
    for (var at = group + params.groups; at < params.vocabulary; at += params.groups) {
        let logit = logit_at(at);
        if logit > best {
            sum = sum * exp(best - logit) + 1.0;
            best = logit;
            token = at;
        } else {
            sum += exp(logit - best);
        }
    }
    groups[group] = bitcast<u32>(best);
    groups[params.groups + group] = token;
    groups[2u * params.groups + group] = bitcast<u32>(sum);
}
