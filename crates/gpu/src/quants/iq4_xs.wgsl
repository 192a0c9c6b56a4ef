struct Block {
    words: vec4<u32>,
    scale: f32,
}

fn load_block(block: u32, lane: u32) -> Block {
    let at = (block >> 3u) * 32u + lane;
    let unit = block & 7u;
    let first = extras[at];
    let upper = (first >> (16u + 2u * unit)) & 3u;
    let scale = f32(((extras[at + 16u] >> (4u * unit)) & 15u) | (upper << 4u)) - 32.0;
    return Block(quants[block * 16u + lane], unpack2x16float(first).x * scale);
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
