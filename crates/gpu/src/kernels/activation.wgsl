//@if SILU
fn activate(x: vec4<f32>) -> vec4<f32> {
    return x / (1.0 + exp(-x));
}
//@else
fn activate(x: vec4<f32>) -> vec4<f32> {
    // Beyond 10 the tangent is 1 in f32, and some drivers overflow inside tanh.
    let inner = clamp(0.797884560802865 * x * (1.0 + 0.044715 * x * x), vec4<f32>(-10.0), vec4<f32>(10.0));
    return 0.5 * x * (1.0 + tanh(inner));
}
//@end
