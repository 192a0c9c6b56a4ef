// To 127 levels on either side of 0, the last one the largest magnitude; what is almost 0 throughout is 0.
fn rounded(x: vec4<f32>, most: f32) -> vec4<f32> {
    let inverse = select(0.0, 127.0 / most, most > 1e-30);
    return round(x * inverse) * (most / 127.0);
}
