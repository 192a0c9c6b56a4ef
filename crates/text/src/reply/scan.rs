//! Finding the end of a bracketed value that arrives in pieces.

/// Follows brackets and quotes, each byte seen once.
#[derive(Debug, Default, Clone)]
pub(super) struct Scan {
    depth: usize,
    quote: Option<u8>,
    escaped: bool,
    begun: bool,
}

impl Scan {
    /// Reads on; the place after the byte that closes the first bracket.
    pub(super) fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, &byte) in bytes.iter().enumerate() {
            if let Some(open) = self.quote {
                if !self.escaped && byte == open {
                    self.quote = None;
                }
                self.escaped = !self.escaped && byte == b'\\';
                continue;
            }
            match byte {
                b'"' | b'\'' if self.begun => self.quote = Some(byte),
                b'{' | b'[' | b'(' => {
                    self.depth += 1;
                    self.begun = true;
                }
                b'}' | b']' | b')' if self.begun => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Some(at + 1);
                    }
                }
                _ => {}
            }
        }
        None
    }
}
