// One workgroup a row adds up the groups' sums of exponentials; then one invocation chooses.
struct Params {
    row_limit: u32,
    vocabulary: u32,
    groups: u32,
}

struct Rule {
    temperature: f32,
    top_k: u32,
    top_p: f32,
    min_p: f32,
    draw: f32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> groups: array<u32>;
@group(0) @binding(3) var<storage, read> rules: array<Rule>;
// For each row the token, the log-sum-exp, how many candidates there are, and nothing; then them.
@group(0) @binding(4) var<storage, read_write> result: array<u32>;

fn weight(first: u32, index: u32, temperature: f32) -> f32 {
    return exp((bitcast<f32>(result[first + 1u + 2u * index]) - bitcast<f32>(result[first + 1u])) / temperature);
}

fn choice(first: u32, count: u32, rule: Rule) -> u32 {
    if rule.temperature <= 0.0 {
        return result[first];
    }
    var limit = count;
    if rule.top_k > 0u {
        limit = min(count, rule.top_k);
    }
    var total = 0.0;
    for (var i = 0u; i < limit; i++) {
        total += weight(first, i, rule.temperature);
    }
    var kept = 0u;
    var sum = 0.0;
    for (var i = 0u; i < limit; i++) {
        let next = weight(first, i, rule.temperature);
        if i > 0u && (sum >= rule.top_p * total || next < rule.min_p) {
            break;
        }
        sum += next;
        kept++;
    }
    let goal = rule.draw * sum;
    var running = 0.0;
    for (var i = 0u; i < kept; i++) {
        running += weight(first, i, rule.temperature);
        if running > goal {
            return result[first + 2u * i];
        }
    }
    return result[first + 2u * (kept - 1u)];
}

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    member: Member,
) {
    let row = linear(id, workgroups);
    if row >= row_count(params.row_limit) {
        return;
    }
    let first = row * RESULT_WORDS + 4u;
    let base = row * 3u * params.groups;
    let best = bitcast<f32>(result[first + 1u]);
    var sum = 0.0;
    for (var group = member.local; group < params.groups; group += THREADS) {
        let share = bitcast<f32>(groups[base + 2u * params.groups + group]);
        sum += share * exp(bitcast<f32>(groups[base + group]) - best);
    }
    sum = summed(array<f32, 1>(sum), 0u, member)[0];
    if member.local == 0u {
        let count = min(step.candidates, params.vocabulary);
        result[first - 4u] = choice(first, count, rules[row]);
        result[first - 3u] = bitcast<u32>(best + log(sum));
        result[first - 2u] = count;
    }
}
