// One invocation multiplies a share of ROWS weight rows with TOKENS tokens' inputs, so that what is read
// serves several products. Sixteen rows lie side by side, so sixteen neighbours read one span; the
// slices of a row meet in the first one.
// Groups of rows that a workgroup treats at a time; an invocation's rows are so many groups apart.
const GROUPS: u32 = THREADS / (16u * SLICES);

alias Sum = f32;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear(id, count);
    let tiles = (params.groups + GROUPS * ROWS - 1u) / (GROUPS * ROWS);
    let token = index / tiles * TOKENS;
    if token >= row_count(params.row_limit) {
        return;
    }
    let lane = local & 15u;
    let slice = (local >> 4u) % SLICES;
    let group = index % tiles * GROUPS * ROWS + local / (16u * SLICES);
//@for R in ROWS
    // Beyond the last group the last one is read again, and nothing written.
    let block_row$R = (params.first_group + min(group + $Ru * GROUPS, params.groups - 1u)) * params.units;
//@for T in TOKENS
    var sum$R_$T = 0.0;
//@end
//@end
//@for T in TOKENS
    let from$T = (token + $Tu) * params.input_stride;
//@end
    for (var first = 0u; first < params.units; first += STRETCH) {
        let units = min(params.units - first, STRETCH);
//@if BLOCK
        stage(from0 + first * 8u, params.input_stride, units, BLOCK, local);
//@end
        for (var unit = slice; unit < units; unit += SLICES) {
//@for R in ROWS
            let block$R = load_block(block_row$R + first + unit, lane);
//@end
//@if BYTES
//@for R in ROWS
            let bytes$R = bytes_of(block$R);
//@for T in TOKENS
            sum$R_$T += product_of(bytes$R, $Tu * STRETCH + unit);
//@end
//@end
//@else
            // With many sums, unrolling the parts of a unit too makes a program that compiles slowly; with
            // few, software adapters are a fifth faster unrolled.
//@if UNROLLED
            {
//@else
            for (var part0 = 0u; part0 < 4u; part0++) {
//@end
//@for P in PARTS
//@if UNROLLED
                let part$P = $Pu;
//@end
                let at$P = unit * 8u + part$P * 2u;
//@for T in TOKENS
//@if BLOCK
                let low$P_$T = staged[$Tu * STRETCH * 8u + at$P];
                let high$P_$T = staged[$Tu * STRETCH * 8u + at$P + 1u];
//@else
                let low$P_$T = input[from$T + first * 8u + at$P];
                let high$P_$T = input[from$T + first * 8u + at$P + 1u];
//@end
//@end
//@for R in ROWS
                let values$P_$R = eight(block$R, part$P);
//@for T in TOKENS
                sum$R_$T += dot(values$P_$R[0], low$P_$T) + dot(values$P_$R[1], high$P_$T);
//@end
//@end
//@end
            }
//@end
        }
    }
    let sums = met(
        array<Sum, SUMS>(
//@for R in ROWS
//@for T in TOKENS
            sum$R_$T,
//@end
//@end
        ),
        slice,
        local,
    );
    if slice != 0u {
        return;
    }
//@for R in ROWS
//@for T in TOKENS
    finish(token + $Tu, (group + $Ru * GROUPS) * 16u + lane, sums[$Ru * TOKENS + $Tu]);
//@end
//@end
}
