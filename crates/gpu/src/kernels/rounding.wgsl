// The level of the 127 on either side of 0 that is nearest, where the last one is the largest magnitude; what is
// almost 0 throughout is 0.
fn levels_of(x: vec4<f32>, most: f32) -> vec4<f32> {
    return round(x * select(0.0, 127.0 / most, most > 1e-30));
}

fn word_of(levels: vec4<f32>) -> u32 {
    let bytes = (bitcast<vec4<u32>>(vec4<i32>(levels)) & vec4<u32>(255u)) << vec4<u32>(0u, 8u, 16u, 24u);
    return bytes.x | bytes.y | bytes.z | bytes.w;
}

// Eight levels as bytes, first the even ones; not every adapter has an instruction for it.
fn words_of(low: vec4<f32>, high: vec4<f32>) -> vec2<u32> {
    return vec2<u32>(word_of(vec4<f32>(low.xz, high.xz)), word_of(vec4<f32>(low.yw, high.yw)));
}
