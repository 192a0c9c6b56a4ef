// One invocation changes one token's logit, or takes the chance from those tokens of a word of the mask
// that are not allowed. No two write the same logit: a change leaves tokens alone that are not allowed.
struct Params {
    vocabulary: u32,
    // Where the changes begin, after the mask; each is a token, a divisor and a bias.
    mask_words: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> changes: array<u32>;
@group(0) @binding(3) var<storage, read_write> logits: array<f32>;

fn allowed(token: u32) -> bool {
    return step.masked == 0u || ((changes[token >> 5u] >> (token & 31u)) & 1u) == 1u;
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear(id, count) * THREADS + local;
    if index < step.changes {
        let at = params.mask_words + 3u * index;
        let token = changes[at];
        if token < params.vocabulary && allowed(token) {
            let divisor = bitcast<f32>(changes[at + 1u]);
            let logit = logits[token];
            logits[token] = select(logit * divisor, logit / divisor, logit > 0.0) + bitcast<f32>(changes[at + 2u]);
        }
    }
    if step.masked == 1u && index < params.mask_words {
        let word = changes[index];
        for (var bit = 0u; bit < 32u; bit++) {
            let token = index * 32u + bit;
            if token < params.vocabulary && ((word >> bit) & 1u) == 0u {
                logits[token] = bitcast<f32>(LEAST);
            }
        }
    }
}
