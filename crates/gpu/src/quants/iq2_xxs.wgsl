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

fn signs_of(block: Block, part: u32) -> u32 {
    let seven = (block.words.y >> (part * 7u)) & 127u;
    return seven | ((countOneBits(seven) & 1u) << 7u);
}

fn point_of(block: Block, part: u32) -> u32 {
    let index = (block.words.x >> (part * 8u)) & 255u;
    return extras[index >> 1u] >> ((index & 1u) * 16u);
}

fn eight(block: Block, part: u32) -> mat2x4<f32> {
    let point = vec4<u32>(point_of(block, part));
    let signs = vec4<u32>(signs_of(block, part));
    let low = coordinates((point >> vec4<u32>(0u, 2u, 4u, 6u)) & vec4<u32>(3u), signs >> vec4<u32>(0u, 1u, 2u, 3u));
    let high = coordinates((point >> vec4<u32>(8u, 10u, 12u, 14u)) & vec4<u32>(3u), signs >> vec4<u32>(4u, 5u, 6u, 7u));
    return mat2x4<f32>(low * block.scale, high * block.scale);
}

//@if PACKED
// Every second element of eight, from the given one.
fn alternate(point: u32, signs: u32, first: u32) -> u32 {
    let codes = (vec4<u32>(point >> (2u * first)) >> vec4<u32>(0u, 4u, 8u, 12u)) & vec4<u32>(3u);
    return pack4xI8(vec4<i32>(coordinates(codes, vec4<u32>(signs >> first) >> vec4<u32>(0u, 2u, 4u, 6u))));
}

fn sixteen(block: Block, half: u32) -> vec4<u32> {
    let points = vec2<u32>(point_of(block, 2u * half), point_of(block, 2u * half + 1u));
    let signs = vec2<u32>(signs_of(block, 2u * half), signs_of(block, 2u * half + 1u));
    let first = vec2<u32>(alternate(points.x, signs.x, 0u), alternate(points.x, signs.x, 1u));
    return vec4<u32>(first, alternate(points.y, signs.y, 0u), alternate(points.y, signs.y, 1u));
}

fn scale_of(block: Block, half: u32) -> f32 {
    return block.scale;
}
//@end
