// The sixteen levels are bytes of four words: selecting a word and shifting costs no memory access.
fn levels(codes: vec4<u32>) -> vec4<f32> {
    let upper = (codes & vec4<u32>(4u)) == vec4<u32>(4u);
    let negative = select(vec4<u32>(0xbfad9881u), vec4<u32>(0xf6eaddcfu), upper);
    let positive = select(vec4<u32>(0x26190d01u), vec4<u32>(0x71594535u), upper);
    let words = select(negative, positive, (codes & vec4<u32>(8u)) == vec4<u32>(8u));
    let shift = vec4<u32>(24u) - ((codes & vec4<u32>(3u)) << vec4<u32>(3u));
    return vec4<f32>(bitcast<vec4<i32>>(words << shift) >> vec4<u32>(24u));
}

//@if PACKED
// Those of the lower four bits of each byte.
fn four(codes: u32) -> u32 {
    return pack4xI8(vec4<i32>(levels((vec4<u32>(codes) >> vec4<u32>(0u, 8u, 16u, 24u)) & vec4<u32>(15u))));
}
//@end

