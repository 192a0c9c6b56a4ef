var<workgroup> magnitudes: array<f32, THREADS>;

// The largest magnitude of what all invocations of the workgroup bring.
fn largest(x: vec4<f32>, local: u32) -> f32 {
    let y = abs(x);
    magnitudes[local] = max(max(y.x, y.y), max(y.z, y.w));
    workgroupBarrier();
    var most = 0.0;
    for (var i = 0u; i < THREADS; i++) {
        most = max(most, magnitudes[i]);
    }
    return most;
}
