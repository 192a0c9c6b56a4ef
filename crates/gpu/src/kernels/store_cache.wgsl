struct Params {
    row_limit: u32,
    heads: u32,
    head_dim: u32,
    context: u32,
    key_stride: u32,
    value_stride: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> key: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> value: array<vec4<f32>>;
//@if Q8
// One invocation makes 64 neighbouring elements of one head's key and value, or the 32 that are left, into
// codes of eight bits; their two scales share a word.
@group(0) @binding(4) var<storage, read_write> keys: array<u32>;
@group(0) @binding(5) var<storage, read_write> values: array<u32>;
@group(0) @binding(6) var<storage, read_write> key_scales: array<u32>;
@group(0) @binding(7) var<storage, read_write> value_scales: array<u32>;

fn largest(x: vec4<f32>) -> f32 {
    let y = abs(x);
    return max(max(y.x, y.y), max(y.z, y.w));
}
//@else
// One invocation packs four neighbouring elements of one head's key and value into halves.
@group(0) @binding(4) var<storage, read_write> keys: array<vec2<u32>>;
@group(0) @binding(5) var<storage, read_write> values: array<vec2<u32>>;
//@end
@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear(id, count) * THREADS + local;
//@if Q8
    let parts = (params.head_dim + 63u) / 64u;
//@else
    let parts = params.head_dim / 4u;
//@end
    let row = index / (params.heads * parts);
    if row >= row_count(params.row_limit) {
        return;
    }
    let head = index / parts % params.heads;
    let part = index % parts;
    let place = head * params.context + step.position + row;
//@if Q8
    var scales = vec4<f32>();
    for (var block = part * 2u; block < min(part * 2u + 2u, params.head_dim / 32u); block++) {
        let from_key = row * params.key_stride + head * (params.head_dim / 4u) + block * 8u;
        let from_value = row * params.value_stride + head * (params.head_dim / 4u) + block * 8u;
        var most = vec2<f32>();
        for (var i = 0u; i < 8u; i++) {
            most = max(most, vec2<f32>(largest(key[from_key + i]), largest(value[from_value + i])));
        }
        let scale = most / 127.0;
        let inverse = select(vec2<f32>(), 1.0 / scale, scale > vec2<f32>());
        let to = place * (params.head_dim / 4u) + block * 8u;
        for (var i = 0u; i < 8u; i++) {
            keys[to + i] = word_of(round(key[from_key + i] * inverse.x));
            values[to + i] = word_of(round(value[from_value + i] * inverse.y));
        }
        if (block & 1u) == 0u {
            scales.x = scale.x;
            scales.z = scale.y;
        } else {
            scales.y = scale.x;
            scales.w = scale.y;
        }
    }
    key_scales[place * parts + part] = pack2x16float(scales.xy);
    value_scales[place * parts + part] = pack2x16float(scales.zw);
//@else
    let within = head * parts + part;
    let from_key = key[row * params.key_stride + within];
    let from_value = value[row * params.value_stride + within];
    let to = place * parts + part;
    keys[to] = vec2<u32>(pack2x16float(from_key.xy), pack2x16float(from_key.zw));
    values[to] = vec2<u32>(pack2x16float(from_value.xy), pack2x16float(from_value.zw));
//@end
}
