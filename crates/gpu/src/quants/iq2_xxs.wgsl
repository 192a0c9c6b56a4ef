struct Block {
    words: vec2<u32>,
    scale: f32,
}

const POINT_WORDS: u32 = 128u;

fn load_block(block: u32, lane: u32) -> Block {
    let both = quants[block * 8u + (lane >> 1u)];
    let words = select(both.xy, both.zw, (lane & 1u) == 1u);
    let halves = unpack2x16float(extras[POINT_WORDS + (block >> 3u) * 8u + (lane >> 1u)]);
    let factor = select(halves.x, halves.y, (lane & 1u) == 1u);
    return Block(words, factor * (0.125 + 0.25 * f32(words.y >> 28u)));
}

// Magnitudes 8, 25 and 43 with their signs.
fn coordinates(codes: vec4<u32>, negative: vec4<u32>) -> vec4<f32> {
    let magnitudes = vec4<f32>(codes * 17u + (codes >> vec4<u32>(1u)) + 8u);
    return select(magnitudes, -magnitudes, (negative & vec4<u32>(1u)) == vec4<u32>(1u));
}

fn eight(block: Block, part: u32) -> mat2x4<f32> {
    let index = (block.words.x >> (part * 8u)) & 255u;
    let point = vec4<u32>(extras[index >> 1u] >> ((index & 1u) * 16u));
    let seven = (block.words.y >> (part * 7u)) & 127u;
    let signs = vec4<u32>(seven | ((countOneBits(seven) & 1u) << 7u));
    let low = coordinates((point >> vec4<u32>(0u, 2u, 4u, 6u)) & vec4<u32>(3u), signs >> vec4<u32>(0u, 1u, 2u, 3u));
    let high = coordinates((point >> vec4<u32>(8u, 10u, 12u, 14u)) & vec4<u32>(3u), signs >> vec4<u32>(4u, 5u, 6u, 7u));
    return mat2x4<f32>(low * block.scale, high * block.scale);
}
