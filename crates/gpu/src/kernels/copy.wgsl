// Each invocation copies four vectors, a workgroup's length apart, so that neighbours read one span.
struct Params {
    vectors: u32,
}

@group(0) @binding(1) var<uniform> params: Params;
@group(0) @binding(2) var<storage, read> original: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> copied: array<vec4<u32>>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) id: vec3<u32>,
    @builtin(num_workgroups) count: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let start = linear(id, count) * 1024u + local;
    for (var i = 0u; i < 4u; i++) {
        let at = start + i * 256u;
        if at < params.vectors {
            copied[at] = original[at];
        }
    }
}
