// One invocation multiplies a share of ROWS rows with one token's input. The rows are those of all
// matrices that give queries, keys and values: of one stack of matrices, or of two in different formats,
// of which each workgroup takes one. Sixteen rows lie side by side, and the slices of a row meet in the
// first one.
struct Params {
    // Of each stack: units of a row, groups, rows, where they begin in groups, and where their products go.
    units0: u32,
    groups0: u32,
    rows0: u32,
    first0: u32,
    column0: u32,
    units1: u32,
    groups1: u32,
    rows1: u32,
    first1: u32,
    column1: u32,
    scale: f32,
}

const GROUPS: u32 = THREADS / (16u * SLICES);

alias Sum = f32;

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output: array<f32>;
//@if BIAS
@group(0) @binding(4) var<storage, read> bias: array<f32>;
//@end
@group(0) @binding(5) var<storage, read> quants0: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read> extras0: array<u32>;
//@if SECOND
@group(0) @binding(7) var<storage, read> quants1: array<vec4<u32>>;
@group(0) @binding(8) var<storage, read> extras1: array<u32>;
//@end

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear(id, count);
    let lane = local & 15u;
    let slice = (local >> 4u) % SLICES;
    var tile = index;
    var rows = params.rows0;
    var column = params.column0;
    var tiles = (params.groups0 + GROUPS * ROWS - 1u) / (GROUPS * ROWS);
    var stack = 0u;
//@if SECOND
    if index >= tiles {
        stack = 1u;
        tile = index - tiles;
        rows = params.rows1;
        column = params.column1;
        tiles = (params.groups1 + GROUPS * ROWS - 1u) / (GROUPS * ROWS);
    }
//@end
    if tile >= tiles {
        return;
    }
    let group = tile * GROUPS * ROWS + local / (16u * SLICES);
//@for R in ROWS
    var sum$R = 0.0;
//@end
//@for F in FORMATS
    if stack == $Fu {
//@for R in ROWS
        // Beyond the last group the last one is read again, and nothing written.
        let row$R = (params.first$F + min(group + $Ru * GROUPS, params.groups$F - 1u)) * params.units$F;
//@end
        for (var first = 0u; first < params.units$F; first += STRETCH) {
            let units = min(params.units$F - first, STRETCH);
//@if BLOCK$F
            stage(first * 8u, 0u, units, BLOCK$F, local);
//@end
            for (var unit = slice; unit < units; unit += SLICES) {
//@for R in ROWS
                let block$R = load_block$F(row$R + first + unit, lane);
//@end
//@if BYTES$F
//@for R in ROWS
                sum$R += product_of$F(bytes_of$F(block$R), unit);
//@end
//@else
                for (var part = 0u; part < 4u; part++) {
                    let at = unit * 8u + part * 2u;
//@if BLOCK$F
                    let low = staged[at];
                    let high = staged[at + 1u];
//@else
                    let low = input[first * 8u + at];
                    let high = input[first * 8u + at + 1u];
//@end
//@for R in ROWS
                    let values$R = eight$F(block$R, part);
                    sum$R += dot(values$R[0], low) + dot(values$R[1], high);
//@end
                }
//@end
            }
        }
    }
//@end
    let sums = met(
        array<Sum, SUMS>(
//@for R in ROWS
            sum$R,
//@end
        ),
        slice,
        local,
    );
    if slice != 0u {
        return;
    }
//@for R in ROWS
    let own$R = (group + $Ru * GROUPS) * 16u + lane;
    if own$R < rows {
        var value$R = sums[$R] * params.scale;
//@if BIAS
        value$R += bias[column + own$R];
//@end
        output[column + own$R] = value$R;
    }
//@end
}
