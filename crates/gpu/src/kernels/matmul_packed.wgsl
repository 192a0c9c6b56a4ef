// A tile of weight rows by tokens as in the other kernel, but of signed bytes: four products are one instruction,
// and scales are multiplied once for each unit, or half of one.
var<workgroup> weights: array<vec4<u32>, TILE_ROWS * VECTORS>;
var<workgroup> inputs: array<vec4<u32>, TILE_TOKENS * VECTORS>;
var<workgroup> scales: array<f32, TILE_ROWS * UNITS * FACTORS>;
//@if MINIMA
var<workgroup> minima: array<f32, TILE_ROWS * UNITS * FACTORS>;
//@end
// Of each unit of a token its scale, and that times the sums of its first levels, its last ones, and all.
var<workgroup> factors: array<vec4<f32>, TILE_TOKENS * UNITS>;

// Beyond the last token or unit there are zeros.
fn input_vector(token: u32, unit: u32, vector: u32, tokens: u32) -> vec4<u32> {
    if token < tokens && unit < params.units {
        return input[(token * params.input_stride + unit) * 3u + vector];
    }
    return vec4<u32>();
}

fn sum_of(weight: vec4<u32>, value: vec4<u32>) -> i32 {
    return dot4I8Packed(weight.x, value.x) + dot4I8Packed(weight.y, value.y)
        + dot4I8Packed(weight.z, value.z) + dot4I8Packed(weight.w, value.w);
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
    // What an invocation loads: half a unit of a row, a vector of a token, and for some a token's factors.
    let row = local % TILE_ROWS;
    let half = local / TILE_ROWS % 2u;
    let row_unit = local / TILE_ROWS / 2u;
    let token = first_token + local / VECTORS;
    let token_unit = local % VECTORS / 2u;
    let factor_token = first_token + local / UNITS;
    let factor_unit = local % UNITS;
    var block = weight_block(first_row, row, min(row_unit, params.units - 1u));
    var value = input_vector(token, token_unit, local % 2u, tokens);
    var factor = input_vector(factor_token, factor_unit, 2u, tokens);
//@for I in ROWS
//@for J in TOKENS
    var sum$I_$J = 0.0;
//@end
//@end
    for (var first = 0u; first < params.units; first += UNITS) {
        weights[weight_at(row, row_unit * 2u + half)] = sixteen(block, half);
        if half < FACTORS {
            scales[(row_unit * FACTORS + half) * TILE_ROWS + row] = scale_of(block, half);
//@if MINIMA
            minima[(row_unit * FACTORS + half) * TILE_ROWS + row] = minimum_of(block, half);
//@end
        }
        if local < INPUT_VECTORS {
            inputs[input_at(local / VECTORS, local % VECTORS)] = value;
        }
        if local < TILE_TOKENS * UNITS {
            factors[local % UNITS * TILE_TOKENS + local / UNITS] = bitcast<vec4<f32>>(factor);
        }
        workgroupBarrier();
        let next = first + UNITS;
        block = weight_block(first_row, row, min(next + row_unit, params.units - 1u));
        value = input_vector(token, next + token_unit, local % 2u, tokens);
        factor = input_vector(factor_token, next + factor_unit, 2u, tokens);
        for (var unit = 0u; unit < UNITS; unit++) {
//@for J in TOKENS
            let input_low$J = inputs[input_at(y + $Ju * 16u, unit * 2u)];
            let input_high$J = inputs[input_at(y + $Ju * 16u, unit * 2u + 1u)];
            let factor$J = factors[unit * TILE_TOKENS + y + $Ju * 16u];
//@end
//@for I in ROWS
            {
                let low = weights[weight_at(x + $Iu * 16u, unit * 2u)];
                let high = weights[weight_at(x + $Iu * 16u, unit * 2u + 1u)];
                let at = unit * FACTORS * TILE_ROWS + x + $Iu * 16u;
//@if TWO_SCALES
                let scale = vec2<f32>(scales[at], scales[at + TILE_ROWS]);
//@for J in TOKENS
                let sums$J = vec2<f32>(vec2<i32>(sum_of(low, input_low$J), sum_of(high, input_high$J)));
                sum$I_$J = fma(dot(sums$J, scale), factor$J.x, sum$I_$J);
//@end
//@else
                let scale = scales[at];
//@for J in TOKENS
                let levels$J = f32(sum_of(low, input_low$J) + sum_of(high, input_high$J));
                sum$I_$J = fma(levels$J, scale * factor$J.x, sum$I_$J);
//@end
//@end
//@if MINIMA
//@if TWO_SCALES
                let minimum = vec2<f32>(minima[at], minima[at + TILE_ROWS]);
//@for J in TOKENS
                sum$I_$J += dot(minimum, factor$J.yz);
//@end
//@else
                let minimum = minima[at];
//@for J in TOKENS
                sum$I_$J = fma(minimum, factor$J.w, sum$I_$J);
//@end
//@end
//@end
            }
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
