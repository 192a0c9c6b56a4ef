fn load_block(block: u32, lane: u32) -> Block {
    let at = (block >> 3u) * 64u + lane;
    let unit = block & 7u;
    let factors = scale_and_minimum(at, unit);
    return Block(quants[block * 16u + lane], factors.x, factors.y);
}
