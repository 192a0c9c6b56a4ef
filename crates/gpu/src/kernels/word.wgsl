// Four whole numbers as signed bytes; not every adapter has an instruction for it.
fn word_of(numbers: vec4<f32>) -> u32 {
    let bytes = (bitcast<vec4<u32>>(vec4<i32>(numbers)) & vec4<u32>(255u)) << vec4<u32>(0u, 8u, 16u, 24u);
    return bytes.x | bytes.y | bytes.z | bytes.w;
}
