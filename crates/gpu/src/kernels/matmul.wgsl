// A tile of weight rows by tokens; each of 256 invocations holds ROWS by TOKENS sums. Weights are decoded
// once for the whole tile. While a part of the tile is multiplied, the next one is on its way.
//@if HALVES
alias Held = vec4<f16>;
//@else
alias Held = vec4<f32>;
//@end
var<workgroup> weights: array<Held, TILE_ROWS * VECTORS>;
var<workgroup> inputs: array<vec4<f32>, TILE_TOKENS * VECTORS>;

fn input_vector(token: u32, vector: u32, tokens: u32) -> vec4<f32> {
    if token >= tokens {
        return vec4<f32>();
    }
//@if INPUT_PACKED
    // Bytes of even elements lie beside those of odd ones, four of each.
    let unit = (token * params.input_stride + vector / 8u) * 3u;
    let words = input[unit + vector / 4u % 2u];
    let eight = select(words.xyxy, words.zwzw, (vector & 2u) == 2u);
    let bytes = eight << select(vec4<u32>(24u, 24u, 16u, 16u), vec4<u32>(8u, 8u, 0u, 0u), (vector & 1u) == 1u);
    return vec4<f32>(bitcast<vec4<i32>>(bytes) >> vec4<u32>(24u)) * bitcast<f32>(input[unit + 2u].x);
//@else
    return input[token * params.input_stride + vector];
//@end
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
