// Inputs are rounded to eight bits before they are multiplied, with a scale for as many of them as the weights'
// format wants. Every workgroup does so by itself, a stretch of the inputs at a time: that takes no dispatch, and
// what reads the same inputs for other weights may round them otherwise.
//@if PACKED
// The levels of each eight elements: first the even ones, then the odd ones.
var<workgroup> staged: array<vec2<u32>, TOKENS * STRETCH * 4u>;
// What a level is worth in each unit.
var<workgroup> steps: array<f32, TOKENS * STRETCH>;
//@if TOTALS
// The sums of the levels of each eight elements.
var<workgroup> totals: array<f32, TOKENS * STRETCH * 4u>;
//@end
//@else
var<workgroup> staged: array<vec4<f32>, TOKENS * STRETCH * 8u>;
//@end
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
        let at$T = from_index + $Tu * stride + eighth * 2u;
        let both$T = max(abs(input[at$T]), abs(input[at$T + 1u]));
        let most$T = max(max(both$T.x, both$T.y), max(both$T.z, both$T.w));
        atomicMax(&peaks[$Tu * STRETCH + eighth * 8u / block], bitcast<u32>(most$T));
//@end
    }
    workgroupBarrier();
    for (var eighth = local; eighth < units * 4u; eighth += THREADS) {
//@for T in TOKENS
        let at$T = from_index + $Tu * stride + eighth * 2u;
        let peak$T = bitcast<f32>(atomicLoad(&peaks[$Tu * STRETCH + eighth * 8u / block]));
        let low$T = levels_of(input[at$T], peak$T);
        let high$T = levels_of(input[at$T + 1u], peak$T);
//@if PACKED
        staged[$Tu * STRETCH * 4u + eighth] = words_of(low$T, high$T);
        if eighth % 4u == 0u {
            steps[$Tu * STRETCH + eighth / 4u] = peak$T / 127.0;
        }
//@if TOTALS
        totals[$Tu * STRETCH * 4u + eighth] = dot(low$T + high$T, vec4<f32>(1.0));
//@end
//@else
        staged[$Tu * STRETCH * 8u + eighth * 2u] = low$T * (peak$T / 127.0);
        staged[$Tu * STRETCH * 8u + eighth * 2u + 1u] = high$T * (peak$T / 127.0);
//@end
//@end
    }
    workgroupBarrier();
}
