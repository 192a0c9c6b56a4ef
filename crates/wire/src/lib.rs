//! OpenAI-compatible types, SSE reader and writer, and the one error shape.
