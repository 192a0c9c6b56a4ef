// One invocation multiplies a share of ROWS rows of two matrices, of which one gates the other, with one
// token's input. Both lie in one buffer; sixteen rows lie side by side, and the slices of a row meet
// in the first one.
struct Params {
    row_limit: u32,
    units: u32,
    groups: u32,
    rows: u32,
    // Where each matrix begins, in groups.
    first_gate: u32,
    first_up: u32,
    input_stride: u32,
    output_stride: u32,
    gate_scale: f32,
    up_scale: f32,
}

const GROUPS: u32 = THREADS / (16u * SLICES);

// Of the matrix that gates and of the other one.
alias Sum = vec2<f32>;

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> quants: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> extras: array<u32>;
@group(0) @binding(4) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> output: array<f32>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear(id, count);
    let tiles = (params.groups + GROUPS * ROWS - 1u) / (GROUPS * ROWS);
    let token = index / tiles;
    if token >= row_count(params.row_limit) {
        return;
    }
    let lane = local & 15u;
    let slice = (local >> 4u) % SLICES;
    let group = index % tiles * GROUPS * ROWS + local / (16u * SLICES);
    let from_input = token * params.input_stride;
//@for R in ROWS
    // Beyond the last group the last one is read again, and nothing written.
    let gate_row$R = (params.first_gate + min(group + $Ru * GROUPS, params.groups - 1u)) * params.units;
    let up_row$R = (params.first_up + min(group + $Ru * GROUPS, params.groups - 1u)) * params.units;
    var sum$R = Sum();
//@end
    for (var first = 0u; first < params.units; first += STRETCH) {
        let units = min(params.units - first, STRETCH);
//@if BLOCK
        stage(from_input + first * 8u, 0u, units, BLOCK, local);
//@end
        for (var unit = slice; unit < units; unit += SLICES) {
//@for R in ROWS
            let gate_block$R = load_block(gate_row$R + first + unit, lane);
            let up_block$R = load_block(up_row$R + first + unit, lane);
//@end
//@if BYTES
//@for R in ROWS
            sum$R += Sum(product_of(bytes_of(gate_block$R), unit), product_of(bytes_of(up_block$R), unit));
//@end
//@else
            for (var part = 0u; part < 4u; part++) {
                let at = unit * 8u + part * 2u;
//@if BLOCK
                let low = staged[at];
                let high = staged[at + 1u];
//@else
                let low = input[from_input + first * 8u + at];
                let high = input[from_input + first * 8u + at + 1u];
//@end
//@for R in ROWS
                let gates$R = eight(gate_block$R, part);
                let ups$R = eight(up_block$R, part);
                sum$R += Sum(
                    dot(gates$R[0], low) + dot(gates$R[1], high),
                    dot(ups$R[0], low) + dot(ups$R[1], high),
                );
//@end
            }
//@end
        }
    }
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
    let row$R = (group + $Ru * GROUPS) * 16u + lane;
    if row$R < params.rows {
        let gated = activate(vec4<f32>(sums[$R].x * params.gate_scale)).x;
        output[token * params.output_stride + row$R] = gated * (sums[$R].y * params.up_scale);
    }
//@end
}
