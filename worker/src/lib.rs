//! The Cloudflare Worker through which a crossing reaches the far side.
