struct Block {
    words: vec4<u32>,
    scale: f32,
}

fn load_block(block: u32, lane: u32) -> Block {
    let scales = unpack2x16float(extras[block * 8u + (lane >> 1u)]);
    return Block(quants[block * 16u + lane], select(scales.x, scales.y, (lane & 1u) == 1u));
}

fn eight(block: Block, part: u32) -> mat2x4<f32> {
    let word = vec4<u32>(block.words[part]);
    let low = (word >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u);
    let high = (word >> vec4<u32>(16u, 20u, 24u, 28u)) & vec4<u32>(15u);
    return mat2x4<f32>(levels(low) * block.scale, levels(high) * block.scale);
}

//@if PACKED
fn sixteen(block: Block, half: u32) -> vec4<u32> {
    let words = select(block.words.xy, block.words.zw, half == 1u);
    return vec4<u32>(four(words.x), four(words.x >> 4u), four(words.y), four(words.y >> 4u));
}

fn scale_of(block: Block, half: u32) -> f32 {
    return block.scale;
}
//@end
