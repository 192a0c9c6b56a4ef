// Levels as signed bytes, four to a word: of each eight elements first those at even places, then those at odd
// ones, since codes of four bits come apart so with two masks.

// Sixteen codes of four bits.
fn nibbles(words: vec2<u32>) -> vec4<u32> {
    return (words.xxyy >> vec4<u32>(0u, 4u, 0u, 4u)) & vec4<u32>(0x0f0f0f0fu);
}

// Sixteen codes of two bits.
fn pairs(word: u32) -> vec4<u32> {
    var eights = vec2<u32>(word & 0xffffu, word >> 16u);
    eights = (eights | (eights << vec2<u32>(8u))) & vec2<u32>(0x00ff00ffu);
    eights = (eights | (eights << vec2<u32>(4u))) & vec2<u32>(0x0f0f0f0fu);
    return (eights.xxyy >> vec4<u32>(0u, 2u, 0u, 2u)) & vec4<u32>(0x03030303u);
}

// Sixteen codes of one bit.
fn bits(word: u32) -> vec4<u32> {
    var eights = vec2<u32>(word & 255u, (word >> 8u) & 255u);
    eights = (eights | (eights << vec2<u32>(12u))) & vec2<u32>(0x000f000fu);
    eights = (eights | (eights << vec2<u32>(6u))) & vec2<u32>(0x03030303u);
    return (eights.xxyy >> vec4<u32>(0u, 1u, 0u, 1u)) & vec4<u32>(0x01010101u);
}

// Codes below 128 less a number up to that: with the upper bit set, no byte borrows from the next.
fn below(codes: vec4<u32>, offset: u32) -> vec4<u32> {
    let upper = vec4<u32>(0x80808080u);
    return ((codes | upper) - vec4<u32>(offset * 0x01010101u)) ^ upper;
}

// Sixteen bytes in the order of their elements.
fn sorted(bytes: vec4<u32>) -> vec4<u32> {
    let first = bytes.xxzz >> vec4<u32>(0u, 8u, 0u, 8u);
    let second = bytes.yyww >> vec4<u32>(0u, 8u, 0u, 8u);
    return (first & vec4<u32>(0xffu))
        | ((first >> vec4<u32>(8u)) & vec4<u32>(0xff00u))
        | ((second & vec4<u32>(0xffu)) << vec4<u32>(16u))
        | ((second << vec4<u32>(8u)) & vec4<u32>(0xff000000u));
}
