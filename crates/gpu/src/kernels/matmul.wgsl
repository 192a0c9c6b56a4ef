// A tile of weight rows by tokens; each of 256 invocations holds ROWS by TOKENS sums. Weights are decoded
// once for the whole tile. While a part of the tile is multiplied, the next one is on its way.
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
//@if HALVES
alias Held = vec4<f16>;
//@else
alias Held = vec4<f32>;
//@end
var<workgroup> weights: array<Held, TILE_ROWS * VECTORS>;
var<workgroup> inputs: array<vec4<f32>, TILE_TOKENS * VECTORS>;

// Where a vector of a row lies: neighbouring rows begin at different ones, so that they read different banks.
fn weight_at(row: u32, vector: u32) -> u32 {
    return row * VECTORS + (vector ^ ((row >> WEIGHT_SHIFT) & (VECTORS - 1u)));
}

fn input_at(token: u32, vector: u32) -> u32 {
    return token * VECTORS + (vector ^ ((token >> INPUT_SHIFT) & (VECTORS - 1u)));
}

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

fn weight_block(first_row: u32, row: u32, unit: u32) -> Block {
    let group = params.first_group + min((first_row + row) >> 4u, params.groups - 1u);
    return load_block(group * params.units + unit, row & 15u);
}

fn input_vector(token: u32, vector: u32, tokens: u32) -> vec4<f32> {
    if token < tokens {
        return input[token * params.input_stride + vector];
    }
    return vec4<f32>();
}

fn sum_of(weight: vec4<f32>, value: vec4<f32>, sum: f32) -> f32 {
    return fma(weight.x, value.x, fma(weight.y, value.y, fma(weight.z, value.z, fma(weight.w, value.w, sum))));
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear(id, count);
    let tiles = (params.rows + TILE_ROWS - 1u) / TILE_ROWS;
    let tokens = row_count(params.row_limit);
    let first_row = index % tiles * TILE_ROWS;
    let first_token = index / tiles * TILE_TOKENS;
    if first_token >= tokens {
        return;
    }
    let x = local & 15u;
    let y = local >> 4u;
    // What an invocation loads: a part of a unit of some rows, some vectors of some tokens.
//@for L in WEIGHT_LOADS
    let row$L = (local + $Lu * 256u) % TILE_ROWS;
    let part$L = (local + $Lu * 256u) / TILE_ROWS;
    var block$L = weight_block(first_row, row$L, 0u);
//@end
//@for L in INPUT_LOADS
    let token$L = (local + $Lu * 256u) / VECTORS;
    let vector$L = (local + $Lu * 256u) % VECTORS;
    var value$L = input_vector(first_token + token$L, vector$L, tokens);
//@end
//@for I in ROWS
//@for J in TOKENS
    var sum$I_$J = 0.0;
//@end
//@end
    let steps = params.units * STEPS;
    for (var step_index = 0u; step_index < steps; step_index++) {
//@for L in WEIGHT_LOADS
        let decoded$L = eight(block$L, part$L + step_index % STEPS * PARTS);
        weights[weight_at(row$L, part$L * 2u)] = Held(decoded$L[0]);
        weights[weight_at(row$L, part$L * 2u + 1u)] = Held(decoded$L[1]);
//@end
//@for L in INPUT_LOADS
        inputs[input_at(token$L, vector$L)] = value$L;
//@end
        workgroupBarrier();
        let next = min(step_index + 1u, steps - 1u);
//@for L in WEIGHT_LOADS
        block$L = weight_block(first_row, row$L, next / STEPS);
//@end
//@for L in INPUT_LOADS
        value$L = input_vector(first_token + token$L, next * VECTORS + vector$L, tokens);
//@end
        for (var vector = 0u; vector < VECTORS; vector++) {
//@for I in ROWS
            let weight$I = vec4<f32>(weights[weight_at(x + $Iu * 16u, vector)]);
//@end
//@for J in TOKENS
            let input$J = inputs[input_at(y + $Ju * 16u, vector)];
//@end
//@for I in ROWS
//@for J in TOKENS
            sum$I_$J = sum_of(weight$I, input$J, sum$I_$J);
//@end
//@end
        }
        workgroupBarrier();
    }
//@for I in ROWS
//@for J in TOKENS
    finish(first_token + y + $Ju * 16u, first_row + x + $Iu * 16u, sum$I_$J);
//@end
//@end
}
