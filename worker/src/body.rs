//! Bodies, read no further than a limit.

use futures_util::StreamExt;
use nearside_wire::WireError;
use worker::{ByteStream, Request};

use crate::failed;

/// The request's body.
pub(crate) async fn of_request(request: &mut Request, limit: usize) -> Result<Vec<u8>, WireError> {
    let declared = request.headers().get("content-length").map_err(failed)?;
    if declared.and_then(|length| length.parse::<usize>().ok()).is_some_and(|length| length > limit) {
        return Err(WireError::BodyTooLarge { limit });
    }
    if request.inner().body().is_none() {
        return Ok(Vec::new());
    }
    let stream = request.stream().map_err(failed)?;
    collect(stream, limit).await.map_err(failed)?.ok_or(WireError::BodyTooLarge { limit })
}

/// All of a stream, or nothing if it is longer than the limit.
pub(crate) async fn collect(mut stream: ByteStream, limit: usize) -> worker::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        let piece = piece?;
        if bytes.len() + piece.len() > limit {
            return Ok(None);
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Some(bytes))
}
