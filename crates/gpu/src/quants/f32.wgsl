struct Block {
    at: u32,
}

fn load_block(block: u32, lane: u32) -> Block {
    return Block(block * 128u + lane);
}

fn eight(block: Block, part: u32) -> mat2x4<f32> {
    let at = block.at + part * 32u;
    return mat2x4<f32>(bitcast<vec4<f32>>(quants[at]), bitcast<vec4<f32>>(quants[at + 16u]));
}
