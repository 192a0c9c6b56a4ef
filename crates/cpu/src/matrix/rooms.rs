//! What products need besides weights, kept from one to the next.

use nearside_engine::backend::BackendError;

use crate::memory::grow;
use crate::pool::Pool;
use crate::simd::{Line, Rounded};

/// Room for the products of one pool. It grows to what the largest of them needs and stays.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    pub(super) rounded: Rounded,
    pub(super) threads: Threads,
}

impl Rooms {
    /// The products that follow have other inputs than the last one.
    pub(crate) fn forget_inputs(&mut self) {
        self.rounded.forget();
    }
}

/// Room for each thread.
#[derive(Debug, Default)]
pub(super) struct Threads(Vec<Room>);

/// Room for one thread.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// A panel's levels, brought out.
    pub(super) levels: Vec<Line>,
    pub(super) products: Vec<f32>,
}

impl Threads {
    /// For each thread room for so many lines and products.
    pub(super) fn reserve(&mut self, pool: &Pool, lines: usize, products: usize) -> Result<&mut [Room], BackendError> {
        let purpose = || "a step's products".to_owned();
        if self.0.len() < pool.threads() {
            self.0.resize_with(pool.threads(), Room::default);
        }
        for room in &mut self.0 {
            grow(&mut room.levels, lines, Line::ZERO, purpose)?;
            grow(&mut room.products, products, 0.0, purpose)?;
        }
        Ok(&mut self.0)
    }
}
