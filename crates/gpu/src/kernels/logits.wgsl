@group(0) @binding(2) var<storage, read> logits: array<u32>;

// A logit that is not a number counts as the least one. The bits are compared, since compilers may
// assume that floats are numbers.
fn logit_at(at: u32) -> f32 {
    let bits = logits[at];
    return bitcast<f32>(select(bits, LEAST, (bits & 0x7fffffffu) > 0x7f800000u));
}
