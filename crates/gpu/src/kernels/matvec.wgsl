// One invocation multiplies a share of one weight row with a few tokens' inputs. Sixteen rows lie side
// by side, so sixteen neighbours read one span; SPLIT slices of the row meet in one reduction.
struct Params {
    row_limit: u32,
    units: u32,
    groups: u32,
    rows: u32,
    first_row: u32,
    input_stride: u32,
    output_stride: u32,
    residual_stride: u32,
    scale: f32,
}

const GROUPS: u32 = THREADS / (16u * SPLIT);

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> quants: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> extras: array<u32>;
@group(0) @binding(4) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> output: array<f32>;
//@if BIAS
@group(0) @binding(6) var<storage, read> bias: array<f32>;
//@end
//@if RESIDUAL
@group(0) @binding(7) var<storage, read> residual: array<f32>;
//@end
//@if SPLITS
var<workgroup> partial: array<f32, THREADS * TOKENS>;
//@end

fn finish(token: u32, row: u32, product: f32) {
    if token >= min(step.rows, params.row_limit) || row >= params.rows {
        return;
    }
    let column = params.first_row + row;
    var value = product * params.scale;
//@if BIAS
    value += bias[column];
//@end
//@if RESIDUAL
    value += residual[token * params.residual_stride + column];
//@end
//@if RESIDUAL_IN_PLACE
    value += output[token * params.output_stride + column];
//@end
    output[token * params.output_stride + column] = value;
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear(id, count);
    let tiles = (params.groups + GROUPS - 1u) / GROUPS;
    let token = index / tiles * TOKENS;
    if token >= min(step.rows, params.row_limit) {
        return;
    }
    let lane = local & 15u;
    let slice = (local >> 4u) % SPLIT;
    let group = index % tiles * GROUPS + local / (16u * SPLIT);
    let row = group * 16u + lane;
//@for T in TOKENS
    var sum$T = 0.0;
    let from$T = (token + $Tu) * params.input_stride;
//@end
    if group < params.groups {
        for (var unit = slice; unit < params.units; unit += SPLIT) {
            let block = load_block(group * params.units + unit, lane);
//@for P in PARTS
            let part$P = eight(block, $Pu);
//@for T in TOKENS
            sum$T += dot(part$P[0], input[from$T + unit * 8u + $Pu * 2u]);
            sum$T += dot(part$P[1], input[from$T + unit * 8u + $Pu * 2u + 1u]);
//@end
//@end
        }
    }
//@if SPLITS
//@for T in TOKENS
    partial[$Tu * THREADS + local] = sum$T;
//@end
    workgroupBarrier();
    if slice == 0u {
//@for T in TOKENS
        for (var other = 1u; other < SPLIT; other++) {
            sum$T += partial[$Tu * THREADS + local + other * 16u];
        }
        finish(token + $Tu, row, sum$T);
//@end
    }
//@else
//@for T in TOKENS
    finish(token + $Tu, row, sum$T);
//@end
//@end
}
