// A tile of 64 weight rows by 64 tokens; each of 256 invocations holds 4 by 4 sums. The vectors of a
// tile row are swizzled by the row's number, so that neighbours read different banks.
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
@group(0) @binding(4) var<storage, read> input: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> output: array<f32>;
//@if BIAS
@group(0) @binding(6) var<storage, read> bias: array<f32>;
//@end
//@if RESIDUAL
@group(0) @binding(7) var<storage, read> residual: array<f32>;
//@end
var<workgroup> weights: array<vec4<f32>, 512>;
var<workgroup> inputs: array<vec4<f32>, 512>;

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

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear(id, count);
    let tiles = (params.rows + 63u) / 64u;
    let tokens = row_count(params.row_limit);
    let first_row = index % tiles * 64u;
    let first_token = index / tiles * 64u;
    if first_token >= tokens {
        return;
    }
    let weight_row = local & 63u;
    let part = local >> 6u;
    let group = params.first_group + min((first_row + weight_row) >> 4u, params.groups - 1u);
    let x = local & 15u;
    let y = local >> 4u;
//@for I in SIDE
//@for J in SIDE
    var sum$I_$J = 0.0;
//@end
//@end
    for (var unit = 0u; unit < params.units; unit++) {
        let values = eight(load_block(group * params.units + unit, weight_row & 15u), part);
        let swizzle = weight_row & 7u;
        weights[weight_row * 8u + ((part * 2u) ^ swizzle)] = values[0];
        weights[weight_row * 8u + ((part * 2u + 1u) ^ swizzle)] = values[1];
        for (var i = local; i < 512u; i += 256u) {
            let token = i >> 3u;
            let vector = i & 7u;
            var value = vec4<f32>();
            if first_token + token < tokens {
                value = input[(first_token + token) * params.input_stride + unit * 8u + vector];
            }
            inputs[token * 8u + (vector ^ (token & 7u))] = value;
        }
        workgroupBarrier();
        for (var vector = 0u; vector < 8u; vector++) {
            let at_x = x * 8u + (vector ^ (x & 7u));
            let at_y = y * 8u + (vector ^ (y & 7u));
//@for I in SIDE
            let weight$I = weights[at_x + $Iu * 128u];
            let input$I = inputs[at_y + $Iu * 128u];
//@end
//@for I in SIDE
//@for J in SIDE
            sum$I_$J += dot(weight$I, input$J);
//@end
//@end
        }
        workgroupBarrier();
    }
//@for I in SIDE
//@for J in SIDE
    finish(first_token + y + $Ju * 16u, first_row + x + $Iu * 16u, sum$I_$J);
//@end
//@end
}
