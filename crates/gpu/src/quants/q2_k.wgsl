struct Block {
    words: vec2<u32>,
    scale: vec2<f32>,
    minimum: vec2<f32>,
}

fn load_block(block: u32, lane: u32) -> Block {
    let at = (block >> 3u) * 80u + lane;
    let unit = block & 7u;
    let both = quants[block * 8u + (lane >> 1u)];
    let words = select(both.xy, both.zw, (lane & 1u) == 1u);
    let halves = unpack2x16float(extras[at]);
    let bytes = vec2<u32>(extras[at + 16u + (unit >> 1u) * 16u] >> ((unit & 1u) * 16u)) >> vec2<u32>(0u, 8u);
    let scale = halves.x * vec2<f32>(bytes & vec2<u32>(15u));
    return Block(words, scale, -halves.y * vec2<f32>((bytes >> vec2<u32>(4u)) & vec2<u32>(15u)));
}

fn eight(block: Block, part: u32) -> mat2x4<f32> {
    let word = vec4<u32>(block.words[part >> 1u] >> ((part & 1u) * 16u));
    let low = vec4<f32>((word >> vec4<u32>(0u, 2u, 4u, 6u)) & vec4<u32>(3u));
    let high = vec4<f32>((word >> vec4<u32>(8u, 10u, 12u, 14u)) & vec4<u32>(3u));
    let scale = block.scale[part >> 1u];
    let minimum = block.minimum[part >> 1u];
    return mat2x4<f32>(low * scale + minimum, high * scale + minimum);
}

//@if PACKED
fn sixteen(block: Block, half: u32) -> vec4<u32> {
    return pairs(block.words[half]);
}

fn scale_of(block: Block, half: u32) -> f32 {
    return block.scale[half];
}

fn minimum_of(block: Block, half: u32) -> f32 {
    return block.minimum[half];
}
//@end
