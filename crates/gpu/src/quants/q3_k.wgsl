struct Block {
    words: vec2<u32>,
    high: u32,
    scale: vec2<f32>,
}

fn load_block(block: u32, lane: u32) -> Block {
    let at = (block >> 3u) * 184u;
    let unit = block & 7u;
    let both = quants[block * 8u + (lane >> 1u)];
    let words = select(both.xy, both.zw, (lane & 1u) == 1u);
    let low = vec2<u32>(extras[at + 128u + (unit >> 2u) * 16u + lane] >> ((unit & 3u) * 8u)) >> vec2<u32>(0u, 4u);
    let upper = vec2<u32>(extras[at + 160u + lane] >> (unit * 4u)) >> vec2<u32>(0u, 2u);
    let scales = vec2<f32>((low & vec2<u32>(15u)) | ((upper & vec2<u32>(3u)) << vec2<u32>(4u))) - 32.0;
    let halves = unpack2x16float(extras[at + 176u + (lane >> 1u)]);
    let factor = select(halves.x, halves.y, (lane & 1u) == 1u);
    return Block(words, extras[at + unit * 16u + lane], scales * factor);
}

fn eight(block: Block, part: u32) -> mat2x4<f32> {
    let word = vec4<u32>(block.words[part >> 1u] >> ((part & 1u) * 16u));
    let third = vec4<u32>(block.high >> (part * 8u));
    let low = ((word >> vec4<u32>(0u, 2u, 4u, 6u)) & vec4<u32>(3u))
        | ((third << vec4<u32>(2u, 1u, 0u, 0u)) & vec4<u32>(4u, 4u, 4u, 0u))
        | ((third >> vec4<u32>(0u, 0u, 0u, 1u)) & vec4<u32>(0u, 0u, 0u, 4u));
    let high = ((word >> vec4<u32>(8u, 10u, 12u, 14u)) & vec4<u32>(3u))
        | ((third >> vec4<u32>(2u, 3u, 4u, 5u)) & vec4<u32>(4u));
    let scale = block.scale[part >> 1u];
    let minimum = -4.0 * scale;
    return mat2x4<f32>(vec4<f32>(low) * scale + minimum, vec4<f32>(high) * scale + minimum);
}

//@if PACKED
fn sixteen(block: Block, half: u32) -> vec4<u32> {
    return below(pairs(block.words[half]) | (bits(block.high >> (half * 16u)) << vec4<u32>(2u)), 4u);
}

fn scale_of(block: Block, half: u32) -> f32 {
    return block.scale[half];
}
//@end
