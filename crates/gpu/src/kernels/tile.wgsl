// What the tiles share: where things lie in workgroup memory, and which weights a tile has.

// Where a vector of a row lies: neighbouring rows begin at different ones, so that they read different banks.
fn weight_at(row: u32, vector: u32) -> u32 {
    return row * VECTORS + (vector ^ ((row >> WEIGHT_SHIFT) & (VECTORS - 1u)));
}

fn input_at(token: u32, vector: u32) -> u32 {
    return token * VECTORS + (vector ^ ((token >> INPUT_SHIFT) & (VECTORS - 1u)));
}

fn weight_block(first_row: u32, row: u32, unit: u32) -> Block {
    let group = params.first_group + min((first_row + row) >> 4u, params.groups - 1u);
    return load_block(group * params.units + unit, row & 15u);
}
