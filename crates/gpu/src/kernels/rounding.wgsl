// The level of the 127 on either side of 0 that is nearest, where the last one is the largest magnitude; what is
// almost 0 throughout is 0.
fn levels_of(x: vec4<f32>, most: f32) -> vec4<f32> {
    return round(x * select(0.0, 127.0 / most, most > 1e-30));
}

// Eight levels as bytes, first the even ones.
fn words_of(low: vec4<f32>, high: vec4<f32>) -> vec2<u32> {
    return vec2<u32>(word_of(vec4<f32>(low.xz, high.xz)), word_of(vec4<f32>(low.yw, high.yw)));
}
