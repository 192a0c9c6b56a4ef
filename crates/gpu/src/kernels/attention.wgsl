// One workgroup attends with one head of QUERIES tokens over the cache, THREADS positions at a time:
// each invocation scores one position, then each gathers one word (two elements) of the values of a
// slice of the positions. The running maximum rescales what was gathered, so no length is too long.
struct Params {
    row_limit: u32,
    heads: u32,
    share: u32,
    context: u32,
    window: u32,
    query_stride: u32,
    output_stride: u32,
    scale: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> query: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> keys: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> values: array<u32>;
@group(0) @binding(5) var<storage, read_write> output: array<vec2<f32>>;
//@if Q8
@group(0) @binding(6) var<storage, read> key_scales: array<u32>;
@group(0) @binding(7) var<storage, read> value_scales: array<u32>;
//@end

var<workgroup> queries: array<vec4<f32>, QUERIES * HEAD_DIM / 4u>;
var<workgroup> shares: array<f32, QUERIES * THREADS>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    member: Member,
) {
    let local = member.local;
    let index = linear(id, count);
    let head = index % params.heads;
    let first_row = index / params.heads * QUERIES;
    let rows = row_count(params.row_limit);
    if first_row >= rows {
        return;
    }
    for (var i = local; i < QUERIES * HEAD_DIM / 4u; i += THREADS) {
        let row = min(first_row + i / (HEAD_DIM / 4u), rows - 1u);
        let at = row * params.query_stride + head * (HEAD_DIM / 4u) + i % (HEAD_DIM / 4u);
        queries[i] = query[at] * params.scale;
    }
    workgroupBarrier();

    let head_base = head / params.share * params.context;
    let earliest = step.position + first_row;
    let end = step.position + min(first_row + QUERIES, rows);
    var start = 0u;
    if earliest >= params.window {
        start = earliest - params.window + 1u;
    }
    let slice = local / WORDS;
    let word = local % WORDS;
//@for Q in QUERIES
    var best$Q = UNSEEN;
    var mass$Q = 0.0;
    var sum$Q = vec2<f32>();
//@end
    for (var base = start; base < end; base += THREADS) {
        let position = base + local;
        let seen = min(THREADS, end - base);
//@for Q in QUERIES
        var score$Q = UNSEEN;
//@end
        if position < end {
            let at = (head_base + position) * CHUNKS;
//@for Q in QUERIES
            var dot$Q = 0.0;
//@end
            for (var chunk = 0u; chunk < CHUNKS; chunk++) {
                let key = keys[at + chunk];
//@if Q8
                let scale = half_of(key_scales[(head_base + position) * SCALE_WORDS + chunk / 4u], chunk / 2u);
                let first = signed(key.x);
                let second = signed(key.y);
                let third = signed(key.z);
                let fourth = signed(key.w);
//@for Q in QUERIES
                let query$Q = $Qu * (HEAD_DIM / 4u) + chunk * 4u;
                dot$Q += scale * (dot(first, queries[query$Q]) + dot(second, queries[query$Q + 1u])
                    + dot(third, queries[query$Q + 2u]) + dot(fourth, queries[query$Q + 3u]));
//@end
//@else
                let low = vec4<f32>(unpack2x16float(key.x), unpack2x16float(key.y));
                let high = vec4<f32>(unpack2x16float(key.z), unpack2x16float(key.w));
//@for Q in QUERIES
                dot$Q += dot(low, queries[$Qu * (HEAD_DIM / 4u) + chunk * 2u]);
                dot$Q += dot(high, queries[$Qu * (HEAD_DIM / 4u) + chunk * 2u + 1u]);
//@end
//@end
            }
//@for Q in QUERIES
            if position <= earliest + $Qu && earliest + $Qu - position < params.window {
                score$Q = dot$Q;
            }
//@end
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
        let share$Q = select(exp(score$Q - higher$Q), 0.0, score$Q == UNSEEN);
        shares[$Qu * THREADS + local] = share$Q;
        let shrink$Q = exp(best$Q - higher$Q);
        mass$Q = mass$Q * shrink$Q + share$Q;
        sum$Q *= shrink$Q;
        best$Q = higher$Q;
//@end
        workgroupBarrier();
        if slice < SLICES {
            for (var i = slice; i < seen; i += SLICES) {
                let value = value_at(head_base + base + i, word);
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
//@for Q in QUERIES
    sum$Q = met(array<Sum, SUMS>(sum$Q), slice, local)[0];
    if slice == 0u && first_row + $Qu < rows {
        output[(first_row + $Qu) * params.output_stride + head * WORDS + word] = sum$Q / masses[$Q];
    }
    workgroupBarrier();
//@end
}
