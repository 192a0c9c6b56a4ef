// Inputs are rounded to eight bits before they are multiplied, with a scale for as many of them as the weights'
// format wants. Every workgroup does so by itself, a stretch of the inputs at a time: that takes no dispatch, and
// what reads the same inputs for other weights may round them otherwise.
var<workgroup> staged: array<vec4<f32>, TOKENS * STRETCH * 8u>;
// The largest magnitude of each block, as bits, which are in the order of the numbers.
var<workgroup> peaks: array<atomic<u32>, TOKENS * STRETCH>;

// Some units of TOKENS tokens, of which the first begins there and others follow at a distance.
fn stage(from_index: u32, stride: u32, units: u32, block: u32, local: u32) {
    for (var i = local; i < TOKENS * STRETCH; i += THREADS) {
        atomicStore(&peaks[i], 0u);
    }
    // From here on nobody reads the stretch before.
    workgroupBarrier();
    for (var eighth = local; eighth < units * 4u; eighth += THREADS) {
//@for T in TOKENS
        let low$T = input[from_index + $Tu * stride + eighth * 2u];
        let high$T = input[from_index + $Tu * stride + eighth * 2u + 1u];
        let both$T = max(abs(low$T), abs(high$T));
        let most$T = max(max(both$T.x, both$T.y), max(both$T.z, both$T.w));
        atomicMax(&peaks[$Tu * STRETCH + eighth * 8u / block], bitcast<u32>(most$T));
        staged[$Tu * STRETCH * 8u + eighth * 2u] = low$T;
        staged[$Tu * STRETCH * 8u + eighth * 2u + 1u] = high$T;
//@end
    }
    workgroupBarrier();
    // Everybody rounds what it brought.
    for (var eighth = local; eighth < units * 4u; eighth += THREADS) {
//@for T in TOKENS
        let peak$T = bitcast<f32>(atomicLoad(&peaks[$Tu * STRETCH + eighth * 8u / block]));
        let at$T = $Tu * STRETCH * 8u + eighth * 2u;
        staged[at$T] = levels_of(staged[at$T], peak$T) * (peak$T / 127.0);
        staged[at$T + 1u] = levels_of(staged[at$T + 1u], peak$T) * (peak$T / 127.0);
//@end
    }
    workgroupBarrier();
}
