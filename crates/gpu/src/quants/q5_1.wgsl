fn load_block(block: u32, lane: u32) -> Block {
    let at = block * 32u + lane;
    let pair = unpack2x16float(extras[at]);
    return Block(quants[block * 16u + lane], extras[at + 16u], pair.x, pair.y);
}
