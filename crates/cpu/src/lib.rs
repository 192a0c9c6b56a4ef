//! The CPU backend, on candle-core's quantized blocks.
