// One invocation treats four elements of one head: it rotates two pairs of a query in place, or rotates two
// pairs of a key on their way into the cache and takes four elements of the value along. What lies behind
// the rotated elements of a key goes there as it is.
struct Params {
    row_limit: u32,
    query_heads: u32,
    key_heads: u32,
    head_dim: u32,
    pairs: u32,
    step: u32,
    distance: u32,
    query_stride: u32,
    key_stride: u32,
    value_stride: u32,
    table_stride: u32,
    table_offset: u32,
    context: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> table: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read_write> query: array<f32>;
@group(0) @binding(4) var<storage, read> key: array<f32>;
@group(0) @binding(5) var<storage, read> value: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> keys: array<u32>;
@group(0) @binding(7) var<storage, read_write> values: array<vec2<u32>>;

fn turned(pair: vec2<f32>, turn: vec2<f32>) -> vec2<f32> {
    return vec2<f32>(pair.x * turn.x - pair.y * turn.y, pair.x * turn.y + pair.y * turn.x);
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let index = linear(id, count) * THREADS + local;
    let quads = params.head_dim / 4u;
    let heads = params.query_heads + params.key_heads;
    let row = index / (heads * quads);
    if row >= row_count(params.row_limit) {
        return;
    }
    let head = index / quads % heads;
    let quad = index % quads;
    let pair = quad * 2u;
    let rotated = pair < params.pairs;
    // Where the two pairs lie in the head.
    var first = vec2<u32>(pair, pair + 1u) * params.step;
    var second = first + vec2<u32>(params.distance);
    if !rotated {
        first = vec2<u32>(quad * 4u, quad * 4u + 2u);
        second = first + vec2<u32>(1u);
    }
    let turns = row * params.table_stride + params.table_offset + min(pair, params.pairs - 2u);
    if head < params.query_heads {
        if rotated {
            let base = row * params.query_stride + head * params.head_dim;
            let one = turned(vec2<f32>(query[base + first.x], query[base + second.x]), table[turns]);
            let other = turned(vec2<f32>(query[base + first.y], query[base + second.y]), table[turns + 1u]);
            query[base + first.x] = one.x;
            query[base + second.x] = one.y;
            query[base + first.y] = other.x;
            query[base + second.y] = other.y;
        }
        return;
    }
    let cache_head = head - params.query_heads;
    let base = row * params.key_stride + cache_head * params.head_dim;
    var one = vec2<f32>(key[base + first.x], key[base + second.x]);
    var other = vec2<f32>(key[base + first.y], key[base + second.y]);
    if rotated {
        one = turned(one, table[turns]);
        other = turned(other, table[turns + 1u]);
    }
    let place = (cache_head * params.context + step.position + row) * params.head_dim;
    if second.x == first.x + 1u {
        keys[(place + first.x) / 2u] = pack2x16float(one);
        keys[(place + first.y) / 2u] = pack2x16float(other);
    } else {
        keys[(place + first.x) / 2u] = pack2x16float(vec2<f32>(one.x, other.x));
        keys[(place + second.x) / 2u] = pack2x16float(vec2<f32>(one.y, other.y));
    }
    let taken = value[row * params.value_stride + cache_head * quads + quad];
    values[place / 4u + quad] = vec2<u32>(pack2x16float(taken.xy), pack2x16float(taken.zw));
}
