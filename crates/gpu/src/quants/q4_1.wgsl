fn load_block(block: u32, lane: u32) -> Block {
    let pair = unpack2x16float(extras[block * 16u + lane]);
    return Block(quants[block * 16u + lane], pair.x, pair.y);
}
