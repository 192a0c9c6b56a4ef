struct Block {
    at: u32,
}

fn load_block(block: u32, lane: u32) -> Block {
    return Block(block * 64u + lane);
}

fn eight(block: Block, part: u32) -> mat2x4<f32> {
    let words = quants[block.at + part * 16u];
    return mat2x4<f32>(vec4<f32>(two(words.x), two(words.y)), vec4<f32>(two(words.z), two(words.w)));
}
