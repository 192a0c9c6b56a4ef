// The scale and the minimum of one unit out of eight: six bits of each, times the block's own.
fn scale_and_minimum(at: u32, unit: u32) -> vec2<f32> {
    let halves = unpack2x16float(extras[at]);
    let upper = extras[at + 48u] >> (2u * unit);
    let scale = ((extras[at + 16u] >> (4u * unit)) & 15u) | ((upper & 3u) << 4u);
    let minimum = ((extras[at + 32u] >> (4u * unit)) & 15u) | (((upper >> 16u) & 3u) << 4u);
    return halves * vec2<f32>(f32(scale), -f32(minimum));
}
