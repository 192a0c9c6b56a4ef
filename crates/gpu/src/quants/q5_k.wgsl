fn load_block(block: u32, lane: u32) -> Block {
    let at = (block >> 3u) * 192u + lane;
    let unit = block & 7u;
    let factors = scale_and_minimum(at, unit);
    let fifths = extras[at + 64u + unit * 16u];
    return Block(quants[block * 16u + lane], fifths, factors.x, factors.y);
}
