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
    let low = vec4<f32>((word >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u));
    let high = vec4<f32>((word >> vec4<u32>(16u, 20u, 24u, 28u)) & vec4<u32>(15u));
    let minimum = -8.0 * block.scale;
    return mat2x4<f32>(low * block.scale + minimum, high * block.scale + minimum);
}

//@if PACKED
fn sixteen(block: Block, half: u32) -> vec4<u32> {
    return below(nibbles(select(block.words.xy, block.words.zw, half == 1u)), 8u);
}

fn scale_of(block: Block, half: u32) -> f32 {
    return block.scale;
}
//@end
