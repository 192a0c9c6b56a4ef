// The positions that the newest one sees, in SPLITS slices: the last ones may be empty.
fn slice_length(window: u32) -> u32 {
    let seen = min(step.position + 1u, window);
    return ((seen + SPLITS - 1u) / SPLITS + 31u) / 32u * 32u;
}

fn first_seen(window: u32) -> u32 {
    return step.position + 1u - min(step.position + 1u, window);
}
