// Puts together what the slices of one token's attention gathered. One invocation makes four neighbouring
// elements.
struct Params {
    quads: u32,
    window: u32,
}

const QUADS: u32 = HEAD_DIM / 4u;

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> output: array<vec4<f32>>;

@compute @workgroup_size(THREADS)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let quad = linear(id, count) * THREADS + local;
    if quad >= params.quads {
        return;
    }
    let record = quad / QUADS * SPLITS * (QUADS + 1u);
    let length = slice_length(params.window);
    let slices = (step.position + length - first_seen(params.window)) / length;
    var best = -1e30;
    for (var i = 0u; i < slices; i++) {
        best = max(best, partials[record + i * (QUADS + 1u) + QUADS].x);
    }
    var mass = 0.0;
    var value = vec4<f32>();
    for (var i = 0u; i < slices; i++) {
        let facts = partials[record + i * (QUADS + 1u) + QUADS];
        let share = exp(facts.x - best);
        mass += share * facts.y;
        value += share * partials[record + i * (QUADS + 1u) + quad % QUADS];
    }
    output[quad] = value / mass;
}
