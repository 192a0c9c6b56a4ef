struct Step {
    position: u32,
    rows: u32,
    sampled: u32,
    candidates: u32,
    temperature: f32,
    top_k: u32,
    top_p: f32,
    min_p: f32,
    draw: f32,
}

@group(0) @binding(0) var<uniform> step: Step;

// Workgroups are folded into two dimensions, since one holds only 65,535.
fn linear(id: vec3<u32>, count: vec3<u32>) -> u32 {
    return id.y * count.x + id.x;
}
