struct Block {
    words: vec4<u32>,
    scale: f32,
}

// The sixteen levels are bytes of four words: selecting a word and shifting costs no memory access.
fn levels(codes: vec4<u32>) -> vec4<f32> {
    let upper = (codes & vec4<u32>(4u)) == vec4<u32>(4u);
    let negative = select(vec4<u32>(0xbfad9881u), vec4<u32>(0xf6eaddcfu), upper);
    let positive = select(vec4<u32>(0x26190d01u), vec4<u32>(0x71594535u), upper);
    let words = select(negative, positive, (codes & vec4<u32>(8u)) == vec4<u32>(8u));
    let shift = vec4<u32>(24u) - ((codes & vec4<u32>(3u)) << vec4<u32>(3u));
    return vec4<f32>(bitcast<vec4<i32>>(words << shift) >> vec4<u32>(24u));
}

fn eight(block: Block, part: u32) -> mat2x4<f32> {
    let word = vec4<u32>(block.words[part]);
    let low = (word >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(15u);
    let high = (word >> vec4<u32>(16u, 20u, 24u, 28u)) & vec4<u32>(15u);
    return mat2x4<f32>(levels(low) * block.scale, levels(high) * block.scale);
}

//@if PACKED
// Those of the lower four bits of each byte.
fn four(codes: u32) -> u32 {
    return pack4xI8(vec4<i32>(levels((vec4<u32>(codes) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(15u))));
}

fn sixteen(block: Block, half: u32) -> vec4<u32> {
    let words = select(block.words.xy, block.words.zw, half == 1u);
    return vec4<u32>(four(words.x), four(words.x >> 4u), four(words.y), four(words.y >> 4u));
}

fn scale_of(block: Block, half: u32) -> f32 {
    return block.scale;
}
//@end
