struct Block {
    at: u32,
}

fn load_block(block: u32, lane: u32) -> Block {
    return Block(block * 64u + lane);
}

fn eight(block: Block, part: u32) -> mat2x4<f32> {
    let words = quants[block.at + part * 16u];
    let even = bitcast<vec4<f32>>(words << vec4<u32>(16u));
    let odd = bitcast<vec4<f32>>(words & vec4<u32>(0xffff0000u));
    return mat2x4<f32>(vec4<f32>(even.x, odd.x, even.y, odd.y), vec4<f32>(even.z, odd.z, even.w, odd.w));
}
