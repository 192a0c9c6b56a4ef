// Codes of five bits, the highest of which lie apart, with a scale and a minimum for 32 of them.
struct Block {
    words: vec4<u32>,
    high: u32,
    scale: f32,
    minimum: f32,
}

fn eight(block: Block, part: u32) -> mat2x4<f32> {
    let word = vec4<u32>(block.words[part]);
    let fifth = vec4<u32>(block.high >> (part * 8u));
    let low = ((word >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u))
        | ((fifth << vec4<u32>(4u, 3u, 2u, 1u)) & vec4<u32>(16u));
    let high = ((word >> vec4<u32>(16u, 20u, 24u, 28u)) & vec4<u32>(15u))
        | ((fifth >> vec4<u32>(0u, 1u, 2u, 3u)) & vec4<u32>(16u));
    return mat2x4<f32>(vec4<f32>(low) * block.scale + block.minimum, vec4<f32>(high) * block.scale + block.minimum);
}

//@if PACKED
fn sixteen(block: Block, half: u32) -> vec4<u32> {
    let low = nibbles(select(block.words.xy, block.words.zw, half == 1u));
    return low | (bits(block.high >> (half * 16u)) << vec4<u32>(4u));
}

fn scale_of(block: Block, half: u32) -> f32 {
    return block.scale;
}

fn minimum_of(block: Block, half: u32) -> f32 {
    return block.minimum;
}
//@end
