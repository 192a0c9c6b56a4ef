// A unit of weights as signed bytes, with what they are worth.
struct Bytes {
    low: vec4<u32>,
    high: vec4<u32>,
//@if TWO_SCALES
    scale: vec2<f32>,
//@else
    scale: f32,
//@end
//@if MINIMA
//@if TWO_SCALES
    minimum: vec2<f32>,
//@else
    minimum: f32,
//@end
//@end
}

fn bytes_of(block: Block) -> Bytes {
    var bytes: Bytes;
    bytes.low = sixteen(block, 0u);
    bytes.high = sixteen(block, 1u);
//@if TWO_SCALES
    bytes.scale = vec2<f32>(scale_of(block, 0u), scale_of(block, 1u));
//@else
    bytes.scale = scale_of(block, 0u);
//@end
//@if MINIMA
//@if TWO_SCALES
    bytes.minimum = vec2<f32>(minimum_of(block, 0u), minimum_of(block, 1u));
//@else
    bytes.minimum = minimum_of(block, 0u);
//@end
//@end
    return bytes;
}

fn sum_of(bytes: vec4<u32>, first: vec2<u32>, second: vec2<u32>) -> i32 {
    return dot4I8Packed(bytes.x, first.x) + dot4I8Packed(bytes.y, first.y)
        + dot4I8Packed(bytes.z, second.x) + dot4I8Packed(bytes.w, second.y);
}

// Their product with a unit of the inputs that are staged.
fn product_of(bytes: Bytes, at: u32) -> f32 {
    let low = sum_of(bytes.low, staged[at * 4u], staged[at * 4u + 1u]);
    let high = sum_of(bytes.high, staged[at * 4u + 2u], staged[at * 4u + 3u]);
//@if TWO_SCALES
    var product = dot(vec2<f32>(vec2<i32>(low, high)), bytes.scale);
//@else
    var product = f32(low + high) * bytes.scale;
//@end
//@if MINIMA
    let first = totals[at * 4u] + totals[at * 4u + 1u];
    let last = totals[at * 4u + 2u] + totals[at * 4u + 3u];
//@if TWO_SCALES
    product += dot(vec2<f32>(first, last), bytes.minimum);
//@else
    product += (first + last) * bytes.minimum;
//@end
//@end
    return product * steps[at];
}
