// The largest magnitude of what all invocations of the workgroup bring.
fn magnitude(x: vec4<f32>, member: Member) -> f32 {
    let y = abs(x);
    return largest(array<f32, 1>(max(max(y.x, y.y), max(y.z, y.w))), 0u, member)[0];
}
