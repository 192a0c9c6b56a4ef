fn load_block(block: u32, lane: u32) -> Block {
    let at = (block >> 3u) * 32u + lane;
    let unit = block & 7u;
    let first = extras[at];
    let upper = (first >> (16u + 2u * unit)) & 3u;
    let scale = f32(((extras[at + 16u] >> (4u * unit)) & 15u) | (upper << 4u)) - 32.0;
    return Block(quants[block * 16u + lane], unpack2x16float(first).x * scale);
}
