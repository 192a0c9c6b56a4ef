//! The caller's own clock.

/// A moment from which time is counted.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) struct Clock(std::time::Instant);

#[cfg(not(target_arch = "wasm32"))]
impl Clock {
    pub(crate) fn start() -> Self {
        Self(std::time::Instant::now())
    }

    pub(crate) fn seconds(&self) -> f64 {
        self.0.elapsed().as_secs_f64()
    }
}

/// A moment from which time is counted, in whole milliseconds.
#[cfg(target_arch = "wasm32")]
pub(crate) struct Clock(f64);

#[cfg(target_arch = "wasm32")]
impl Clock {
    pub(crate) fn start() -> Self {
        Self(js_sys::Date::now())
    }

    /// At least half of what the clock can tell apart.
    pub(crate) fn seconds(&self) -> f64 {
        (js_sys::Date::now() - self.0).max(0.5) / 1e3
    }
}
