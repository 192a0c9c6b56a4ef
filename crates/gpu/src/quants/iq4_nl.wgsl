fn load_block(block: u32, lane: u32) -> Block {
    let scales = unpack2x16float(extras[block * 8u + (lane >> 1u)]);
    return Block(quants[block * 16u + lane], select(scales.x, scales.y, (lane & 1u) == 1u));
}
