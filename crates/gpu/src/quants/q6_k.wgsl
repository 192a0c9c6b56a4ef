struct Block {
    words: vec4<u32>,
    high: vec2<u32>,
    scale: vec2<f32>,
}

fn load_block(block: u32, lane: u32) -> Block {
    let at = (block >> 3u) * 328u;
    let unit = block & 7u;
    let upper = at + unit * 32u + lane;
    let pair = extras[at + 256u + (unit >> 1u) * 16u + lane] >> ((unit & 1u) * 16u);
    let scales = vec2<f32>(bitcast<vec2<i32>>(vec2<u32>(pair) << vec2<u32>(24u, 16u)) >> vec2<u32>(24u));
    let halves = unpack2x16float(extras[at + 320u + (lane >> 1u)]);
    let factor = select(halves.x, halves.y, (lane & 1u) == 1u);
    return Block(quants[block * 16u + lane], vec2<u32>(extras[upper], extras[upper + 16u]), scales * factor);
}

fn eight(block: Block, part: u32) -> mat2x4<f32> {
    let word = vec4<u32>(block.words[part]);
    let upper = vec4<u32>(block.high[part >> 1u] >> ((part & 1u) * 16u));
    let low = ((word >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u))
        | ((upper << vec4<u32>(4u, 2u, 0u, 0u)) & vec4<u32>(48u, 48u, 48u, 0u))
        | ((upper >> vec4<u32>(0u, 0u, 0u, 2u)) & vec4<u32>(0u, 0u, 0u, 48u));
    let high = ((word >> vec4<u32>(16u, 20u, 24u, 28u)) & vec4<u32>(15u))
        | ((upper >> vec4<u32>(4u, 6u, 8u, 10u)) & vec4<u32>(48u));
    let scale = block.scale[part >> 1u];
    let minimum = -32.0 * scale;
    return mat2x4<f32>(vec4<f32>(low) * scale + minimum, vec4<f32>(high) * scale + minimum);
}

//@if PACKED
fn sixteen(block: Block, half: u32) -> vec4<u32> {
    let low = nibbles(select(block.words.xy, block.words.zw, half == 1u));
    return below(low | (pairs(block.high[half]) << vec4<u32>(4u)), 32u);
}

fn scale_of(block: Block, half: u32) -> f32 {
    return block.scale[half];
}
//@end
