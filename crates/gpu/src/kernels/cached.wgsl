// What is read of a cache's keys and values, and how a workgroup shares the words of a value out.
alias Sum = vec2<f32>;

const UNSEEN: f32 = -1e30;
//@if Q8
const CHUNKS: u32 = HEAD_DIM / 16u;
// Two scales a word; each position begins a word of its own.
const SCALE_WORDS: u32 = (HEAD_DIM + 63u) / 64u;

fn signed(word: u32) -> vec4<f32> {
    return vec4<f32>(bitcast<vec4<i32>>(vec4<u32>(word) << vec4<u32>(24u, 16u, 8u, 0u)) >> vec4<u32>(24u));
}

fn half_of(word: u32, which: u32) -> f32 {
    let both = unpack2x16float(word);
    return select(both.x, both.y, (which & 1u) == 1u);
}

fn value_at(place: u32, word: u32) -> vec2<f32> {
    let pair = vec2<u32>(values[place * (WORDS / 2u) + word / 2u] >> ((word & 1u) * 16u));
    let codes = vec2<f32>(bitcast<vec2<i32>>(pair << vec2<u32>(24u, 16u)) >> vec2<u32>(24u));
    return codes * half_of(value_scales[place * SCALE_WORDS + word / 32u], word / 16u);
}
//@else
const CHUNKS: u32 = HEAD_DIM / 8u;

fn value_at(place: u32, word: u32) -> vec2<f32> {
    return unpack2x16float(values[place * WORDS + word]);
}
//@end
