struct Step {
    position: u32,
    rows: u32,
    // One more than the row whose choice is the token; 0 when the tokens are given.
    sampled: u32,
    candidates: u32,
    // How many last rows something is chosen for.
    choices: u32,
    changes: u32,
    masked: u32,
}

@group(0) @binding(0) var<uniform> step: Step;

// Words of one row's result: four, then a token and a logit for each candidate.
const RESULT_WORDS: u32 = 132u;

// The bits of the least logit: of those that are not numbers, and of tokens that are not allowed.
const LEAST: u32 = 0xff7fffffu;

// Rows of this step that an operation treats: the last ones only where its limit says so.
fn row_count(limit: u32) -> u32 {
    if limit >= 0x80000000u {
        return min(step.choices, limit & 0x7fffffffu);
    }
    return min(step.rows, limit);
}

// Workgroups are folded into two dimensions, since one holds only 65,535.
fn linear(id: vec3<u32>, count: vec3<u32>) -> u32 {
    return id.y * count.x + id.x;
}
