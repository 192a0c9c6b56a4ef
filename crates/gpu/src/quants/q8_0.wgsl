struct Block {
    at: u32,
    scale: f32,
}

fn load_block(block: u32, lane: u32) -> Block {
    let scales = unpack2x16float(extras[block * 8u + (lane >> 1u)]);
    return Block(block * 32u + lane, select(scales.x, scales.y, (lane & 1u) == 1u));
}

fn signed(word: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(vec4<u32>(word) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
}

fn eight(block: Block, part: u32) -> mat2x4<f32> {
    let words = quants[block.at + (part >> 1u) * 16u];
    let pair = select(words.xy, words.zw, (part & 1u) == 1u);
    return mat2x4<f32>(signed(pair.x) * block.scale, signed(pair.y) * block.scale);
}

//@if PACKED
fn sixteen(block: Block, half: u32) -> vec4<u32> {
    return sorted(quants[block.at + half * 16u]);
}

fn scale_of(block: Block, half: u32) -> f32 {
    return block.scale;
}
//@end
