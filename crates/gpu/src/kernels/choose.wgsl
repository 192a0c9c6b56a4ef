// One workgroup adds up the groups' sums of exponentials; then one invocation chooses.
struct Params {
    vocabulary: u32,
    groups: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> groups: array<u32>;
@group(0) @binding(3) var<storage, read_write> result: array<u32>;

var<workgroup> sums: array<f32, THREADS>;

fn weight(index: u32) -> f32 {
    return exp((bitcast<f32>(result[5u + 2u * index]) - bitcast<f32>(result[5u])) / step.temperature);
}

fn choice(count: u32) -> u32 {
    if step.temperature <= 0.0 {
        return result[4u];
    }
    var limit = count;
    if step.top_k > 0u {
        limit = min(count, step.top_k);
    }
    var total = 0.0;
    for (var i = 0u; i < limit; i++) {
        total += weight(i);
    }
    var kept = 0u;
    var sum = 0.0;
    for (var i = 0u; i < limit; i++) {
        let next = weight(i);
        if i > 0u && (sum >= step.top_p * total || next < step.min_p) {
            break;
        }
        sum += next;
        kept++;
    }
    let goal = step.draw * sum;
    var running = 0.0;
    for (var i = 0u; i < kept; i++) {
        running += weight(i);
        if running > goal {
            return result[4u + 2u * i];
        }
    }
    return result[4u + 2u * (kept - 1u)];
}

@compute @workgroup_size(THREADS)
fn main(@builtin(local_invocation_index) local: u32) {
    let best = bitcast<f32>(result[5]);
    var sum = 0.0;
    for (var group = local; group < params.groups; group += THREADS) {
        let share = bitcast<f32>(groups[2u * params.groups + group]);
        sum += share * exp(bitcast<f32>(groups[group]) - best);
    }
    sums[local] = sum;
    workgroupBarrier();
    if local == 0u {
        for (var i = 1u; i < THREADS; i++) {
            sum += sums[i];
        }
        let count = min(step.candidates, params.vocabulary);
        result[0] = choice(count);
        result[1] = bitcast<u32>(best + log(sum));
        result[2] = count;
    }
}
