// Codes of four bits, with a scale and a minimum for 32 of them.
struct Block {
    words: vec4<u32>,
    scale: f32,
    minimum: f32,
}

fn eight(block: Block, part: u32) -> mat2x4<f32> {
    let word = vec4<u32>(block.words[part]);
    let low = vec4<f32>((word >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u));
    let high = vec4<f32>((word >> vec4<u32>(16u, 20u, 24u, 28u)) & vec4<u32>(15u));
    return mat2x4<f32>(low * block.scale + block.minimum, high * block.scale + block.minimum);
}

//@if PACKED
fn sixteen(block: Block, half: u32) -> vec4<u32> {
    return nibbles(select(block.words.xy, block.words.zw, half == 1u));
}

fn scale_of(block: Block, half: u32) -> f32 {
    return block.scale;
}

fn minimum_of(block: Block, half: u32) -> f32 {
    return block.minimum;
}
//@end
