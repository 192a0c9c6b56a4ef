// What the products of a weight matrix share: what they are told and bound, and what becomes of a sum.
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
    first_group: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> quants: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> extras: array<u32>;
//@if INPUT_PACKED
// Three vectors for each unit: its levels, and what they are multiplied with.
@group(0) @binding(4) var<storage, read> input: array<vec4<u32>>;
//@else
@group(0) @binding(4) var<storage, read> input: array<vec4<f32>>;
//@end
@group(0) @binding(5) var<storage, read_write> output: array<f32>;
//@if BIAS
@group(0) @binding(6) var<storage, read> bias: array<f32>;
//@end
//@if RESIDUAL
@group(0) @binding(7) var<storage, read> residual: array<f32>;
//@end

fn finish(token: u32, row: u32, product: f32) {
    if token >= row_count(params.row_limit) || row >= params.rows {
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
