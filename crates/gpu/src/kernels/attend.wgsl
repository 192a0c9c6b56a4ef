// One workgroup attends with QUERIES heads of one token, which share a head of the cache, over one slice of
// the positions. It norms and rotates the heads itself; the token's own key and value come from the step
// too, and one workgroup puts them into the cache. What each slice gathers is put together afterwards.
struct Params {
    groups: u32,
    share: u32,
    context: u32,
    window: u32,
    query_at: u32,
    key_at: u32,
    value_at: u32,
    pairs: u32,
    step: u32,
    distance: u32,
    table_offset: u32,
    scale: f32,
    query_epsilon: f32,
    key_epsilon: f32,
}

const QUADS: u32 = HEAD_DIM / 4u;
// Where the token's own key and value lie behind its queries.
const KEY: u32 = QUERIES * HEAD_DIM;

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> heads: array<f32>;
@group(0) @binding(3) var<storage, read_write> keys: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> values: array<u32>;
@group(0) @binding(5) var<storage, read_write> partials: array<vec2<f32>>;
//@if ROTATES
@group(0) @binding(6) var<storage, read> table: array<vec2<f32>>;
//@end
//@if NORMS
@group(0) @binding(7) var<storage, read> norms: array<f32>;
//@end
//@if Q8
@group(0) @binding(8) var<storage, read_write> key_scales: array<u32>;
@group(0) @binding(9) var<storage, read_write> value_scales: array<u32>;
//@end

var<workgroup> own: array<f32, (QUERIES + 2u) * HEAD_DIM>;
var<workgroup> queries: array<vec4<f32>, QUERIES * QUADS>;
var<workgroup> shares: array<f32, QUERIES * THREADS>;
//@if NORMS
// Sixteen sums of squares of each head.
var<workgroup> squares: array<f32, (QUERIES + 1u) * 16u>;
//@end

fn four(at: u32) -> vec4<f32> {
    return vec4<f32>(own[at], own[at + 1u], own[at + 2u], own[at + 3u]);
}

//@if Q8
// Makes the own key and value what a cache of eight bits keeps of them, and puts them there.
fn keep(place: u32, local: u32, writes: bool) {
    for (var i = local; i < 2u * SCALE_WORDS; i += THREADS) {
        let which = i / SCALE_WORDS;
        let part = i % SCALE_WORDS;
        var scales = vec2<f32>();
        for (var block = part * 2u; block < min(part * 2u + 2u, HEAD_DIM / 32u); block++) {
            let begin = KEY + which * HEAD_DIM + block * 32u;
            var most = 0.0;
            for (var j = 0u; j < 32u; j++) {
                most = max(most, abs(own[begin + j]));
            }
            let scale = most / 127.0;
            let inverse = select(0.0, 1.0 / scale, scale > 0.0);
            let packed = pack2x16float(vec2<f32>(scale, 0.0));
            let kept = unpack2x16float(packed).x;
            var words = array<u32, 8>();
            for (var j = 0u; j < 8u; j++) {
                let codes = round(four(begin + j * 4u) * inverse);
                words[j] = word_of(codes);
                own[begin + j * 4u] = codes.x * kept;
                own[begin + j * 4u + 1u] = codes.y * kept;
                own[begin + j * 4u + 2u] = codes.z * kept;
                own[begin + j * 4u + 3u] = codes.w * kept;
            }
            if (block & 1u) == 0u {
                scales.x = scale;
            } else {
                scales.y = scale;
            }
            if !writes {
                continue;
            }
            if which == 0u {
                let to = place * CHUNKS + block * 2u;
                keys[to] = vec4<u32>(words[0], words[1], words[2], words[3]);
                keys[to + 1u] = vec4<u32>(words[4], words[5], words[6], words[7]);
            } else {
                for (var j = 0u; j < 8u; j++) {
                    values[place * QUADS + block * 8u + j] = words[j];
                }
            }
        }
        if writes && which == 0u {
            key_scales[place * SCALE_WORDS + part] = pack2x16float(scales);
        } else if writes {
            value_scales[place * SCALE_WORDS + part] = pack2x16float(scales);
        }
    }
}
//@else
// Makes the own key and value the halves that a cache keeps of them, and puts them there.
fn keep(place: u32, local: u32, writes: bool) {
    for (var i = local; i < 2u * CHUNKS; i += THREADS) {
        let chunk = i % CHUNKS;
        let begin = KEY + i * 8u;
        let low = four(begin);
        let high = four(begin + 4u);
        let words = vec4<u32>(
            pack2x16float(low.xy),
            pack2x16float(low.zw),
            pack2x16float(high.xy),
            pack2x16float(high.zw),
        );
        for (var j = 0u; j < 4u; j++) {
            let pair = unpack2x16float(words[j]);
            own[begin + j * 2u] = pair.x;
            own[begin + j * 2u + 1u] = pair.y;
        }
        if writes && i < CHUNKS {
            keys[place * CHUNKS + chunk] = words;
        } else if writes {
            let to = place * WORDS + chunk * 4u;
            values[to] = words.x;
            values[to + 1u] = words.y;
            values[to + 2u] = words.z;
            values[to + 3u] = words.w;
        }
    }
}
//@end
//@if NORMS

fn factor(head: u32, epsilon: f32) -> f32 {
    var sum = 0.0;
    for (var i = 0u; i < 16u; i++) {
        sum += squares[head * 16u + i];
    }
    return inverseSqrt(sum / f32(HEAD_DIM) + epsilon);
}
//@end

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    member: Member,
) {
    let local = member.local;
    let index = linear(id, count);
    let group = index / SPLITS;
    if group >= params.groups {
        return;
    }
    let end = step.position + 1u;
    let start = first_seen(params.window) + index % SPLITS * slice_length(params.window);
    if start >= end {
        return;
    }
    let stop = min(start + slice_length(params.window), end);
    let first_head = group * QUERIES;
    let cache_head = first_head / params.share;
    for (var i = local; i < (QUERIES + 2u) * HEAD_DIM; i += THREADS) {
        var at = params.query_at + first_head * HEAD_DIM + i;
        if i >= KEY + HEAD_DIM {
            at = params.value_at + cache_head * HEAD_DIM + (i - KEY - HEAD_DIM);
        } else if i >= KEY {
            at = params.key_at + cache_head * HEAD_DIM + (i - KEY);
        }
        own[i] = heads[at];
    }
    workgroupBarrier();
//@if NORMS
    if local < (QUERIES + 1u) * 16u {
        var sum = 0.0;
        for (var i = local % 16u; i < HEAD_DIM; i += 16u) {
            let element = own[local / 16u * HEAD_DIM + i];
            sum += element * element;
        }
        squares[local] = sum;
    }
    workgroupBarrier();
//@end
    for (var i = local; i < (QUERIES + 1u) * WORDS; i += THREADS) {
        let head = i / WORDS;
        let pair = i % WORDS;
        var first = pair * 2u;
        var second = first + 1u;
//@if ROTATES
        if pair < params.pairs {
            first = pair * params.step;
            second = first + params.distance;
        }
//@end
        var both = vec2<f32>(own[head * HEAD_DIM + first], own[head * HEAD_DIM + second]);
//@if QUERY_NORM
        if head < QUERIES {
            both *= factor(head, params.query_epsilon) * vec2<f32>(norms[first], norms[second]);
        }
//@end
//@if KEY_NORM
        if head == QUERIES {
            let weights = vec2<f32>(norms[QUERY_NORM * HEAD_DIM + first], norms[QUERY_NORM * HEAD_DIM + second]);
            both *= factor(head, params.key_epsilon) * weights;
        }
//@end
//@if ROTATES
        if pair < params.pairs {
            let turn = table[params.table_offset + pair];
            both = vec2<f32>(both.x * turn.x - both.y * turn.y, both.x * turn.y + both.y * turn.x);
        }
//@end
        if head < QUERIES {
            both *= params.scale;
        }
        own[head * HEAD_DIM + first] = both.x;
        own[head * HEAD_DIM + second] = both.y;
    }
    workgroupBarrier();
    let head_base = cache_head * params.context;
    if stop == end {
        keep(head_base + step.position, local, first_head % params.share == 0u);
    }
    for (var i = local; i < QUERIES * QUADS; i += THREADS) {
        queries[i] = four(i * 4u);
    }
    workgroupBarrier();

    let slice = local / WORDS;
    let word = local % WORDS;
//@for Q in QUERIES
    var best$Q = UNSEEN;
    var mass$Q = 0.0;
    var sum$Q = vec2<f32>();
//@end
    for (var base = start; base < stop; base += THREADS) {
        let position = base + local;
        let seen = min(THREADS, stop - base);
//@for Q in QUERIES
        var score$Q = 0.0;
//@end
        if position >= stop {
//@for Q in QUERIES
            score$Q = UNSEEN;
//@end
        } else if position + 1u == end {
            for (var quad = 0u; quad < QUADS; quad++) {
                let key = four(KEY + quad * 4u);
//@for Q in QUERIES
                score$Q += dot(key, queries[$Qu * QUADS + quad]);
//@end
            }
        } else {
            let at = (head_base + position) * CHUNKS;
            for (var chunk = 0u; chunk < CHUNKS; chunk++) {
                let key = keys[at + chunk];
//@if Q8
                let scale = half_of(key_scales[(head_base + position) * SCALE_WORDS + chunk / 4u], chunk / 2u);
                let first = signed(key.x);
                let second = signed(key.y);
                let third = signed(key.z);
                let fourth = signed(key.w);
//@for Q in QUERIES
                let query$Q = $Qu * QUADS + chunk * 4u;
                score$Q += scale * (dot(first, queries[query$Q]) + dot(second, queries[query$Q + 1u])
                    + dot(third, queries[query$Q + 2u]) + dot(fourth, queries[query$Q + 3u]));
//@end
//@else
                let low = vec4<f32>(unpack2x16float(key.x), unpack2x16float(key.y));
                let high = vec4<f32>(unpack2x16float(key.z), unpack2x16float(key.w));
//@for Q in QUERIES
                score$Q += dot(low, queries[$Qu * QUADS + chunk * 2u]);
                score$Q += dot(high, queries[$Qu * QUADS + chunk * 2u + 1u]);
//@end
//@end
            }
        }
        let highest = largest(
            array<f32, NUMBERS>(
//@for Q in QUERIES
                score$Q,
//@end
            ),
            0u,
            member,
        );
//@for Q in QUERIES
        let higher$Q = max(best$Q, highest[$Q]);
        let share$Q = exp(score$Q - higher$Q);
        shares[$Qu * THREADS + local] = share$Q;
        let shrink$Q = exp(best$Q - higher$Q);
        mass$Q = mass$Q * shrink$Q + share$Q;
        sum$Q *= shrink$Q;
        best$Q = higher$Q;
//@end
        workgroupBarrier();
        if slice < SLICES {
            for (var i = slice; i < seen; i += SLICES) {
                var value = vec2<f32>(own[KEY + HEAD_DIM + word * 2u], own[KEY + HEAD_DIM + word * 2u + 1u]);
                if base + i + 1u < end {
                    value = value_at(head_base + base + i, word);
                }
//@for Q in QUERIES
                sum$Q += shares[$Qu * THREADS + i] * value;
//@end
            }
        }
    }
    let masses = summed(
        array<f32, NUMBERS>(
//@for Q in QUERIES
            mass$Q,
//@end
        ),
        0u,
        member,
    );
    let record = (first_head * SPLITS + index % SPLITS) * (WORDS + 2u);
//@for Q in QUERIES
    sum$Q = met(array<Sum, SUMS>(sum$Q), slice, local)[0];
    if slice == 0u {
        partials[record + $Qu * SPLITS * (WORDS + 2u) + word] = sum$Q;
        if word == 0u {
            partials[record + $Qu * SPLITS * (WORDS + 2u) + WORDS] = vec2<f32>(best$Q, masses[$Q]);
        }
    }
    workgroupBarrier();
//@end
}
