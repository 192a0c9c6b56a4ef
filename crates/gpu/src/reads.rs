//! What a kernel call reads of the weights.

use nearside_engine::graph::Graph;

use crate::binding::{MatrixId, Resources, Source};
use crate::kernels::Access;
use crate::plan::Call;
use crate::quants::LANES;

/// How much of a bound matrix a kernel reads.
enum Part {
    /// One row for each token.
    Row,
    /// The piece that it is called for.
    Piece,
    /// All that is bound: stacked matrices are read together.
    Bound,
}

fn part(call: &Call) -> Part {
    match call.program.label {
        "embed" => Part::Row,
        "matvec" | "matmul" | "matmul_packed" => Part::Piece,
        _ => Part::Bound,
    }
}

/// Bytes of weights that a call reads for a token, each byte counted once.
pub(crate) fn weight_bytes(resources: &Resources, call: &Call) -> u64 {
    let part = part(call);
    let bytes = |source: &Source| match *source {
        Source::Vector(weight) => resources.weights.vectors[weight].as_ref().map_or(0, wgpu::Buffer::size),
        Source::Joined(index) => resources.weights.joined.get(index).map_or(0, |joined| joined.buffer.size()),
        // The piece's extras are counted with it.
        Source::Quants { matrix, piece } => matrix_bytes(resources, matrix, piece, &part),
        _ => 0,
    };
    call.sources.iter().map(bytes).sum()
}

fn matrix_bytes(resources: &Resources, matrix: MatrixId, index: usize, part: &Part) -> u64 {
    let Some(matrix) = resources.matrix(matrix) else { return 0 };
    let Some(piece) = matrix.pieces.get(index) else { return 0 };
    let (quants, extras) = matrix.packing.group_bytes(matrix.columns);
    let group = (quants + extras) as u64;
    match part {
        // Of a table in pieces only one holds the token.
        Part::Row if index > 0 => 0,
        Part::Row => group / LANES as u64,
        Part::Piece => piece.rows.div_ceil(LANES) as u64 * group + matrix.packing.table_bytes(),
        Part::Bound => piece.quant_bytes + piece.extra_bytes,
    }
}

/// A call's shape in words, and how many elements of matrices it multiplies for each row.
pub(crate) fn shape(graph: &Graph, resources: &Resources, call: &Call) -> (String, u64) {
    let part = part(call);
    let mut multiplied = 0;
    let matrices = call.sources.iter().filter_map(|source| match *source {
        Source::Quants { matrix: id, piece: index } => {
            let matrix = resources.matrix(id)?;
            let rows = match part {
                Part::Row | Part::Piece => matrix.pieces.get(index).map_or(0, |piece| piece.rows),
                Part::Bound => bound_rows(resources, id, index),
            };
            let (columns, name) = (matrix.columns, matrix.packing.data_type.name());
            if !matches!(part, Part::Row) {
                multiplied += (rows * columns) as u64;
            }
            Some(format!("{rows}x{columns} {name}"))
        }
        _ => None,
    });
    let matrices: Vec<_> = matrices.collect();
    if matrices.is_empty() { (written(graph, call), 0) } else { (matrices.join(" + "), multiplied) }
}

/// Rows of all matrices in a piece's buffer.
fn bound_rows(resources: &Resources, matrix: MatrixId, index: usize) -> usize {
    let Some(matrix) = resources.matrix(matrix) else { return 0 };
    let quants = matrix.packing.group_bytes(matrix.columns).0.max(1) as u64;
    matrix.pieces.get(index).map_or(0, |piece| (piece.quant_bytes / quants) as usize * LANES)
}

/// The width of what a call writes.
fn written(graph: &Graph, call: &Call) -> String {
    let bindings = call.program.bindings.iter().zip(&call.sources);
    let width = bindings.filter(|((_, access), _)| *access == Access::Write).find_map(|(_, source)| match *source {
        Source::Slot(slot) => graph.slots.get(slot),
        _ => None,
    });
    width.map_or_else(|| "-".to_owned(), |width| format!("{width} wide"))
}
