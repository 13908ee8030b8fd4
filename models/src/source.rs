//! How bytes become a program.
//!
//! Only single bytes are taken, from the front, and zeros when they have run out: so what a byte means
//! depends on nothing behind it, and a program that fails can be made shorter by leaving out bytes.

use arbitrary::Unstructured;

/// Bytes that are read one after the other; zeros at the end.
#[derive(Debug)]
pub struct Source<'a>(Unstructured<'a>);

impl<'a> Source<'a> {
    /// Reads these.
    pub fn new(bytes: &'a [u8]) -> Source<'a> {
        Source(Unstructured::new(bytes))
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        self.0.arbitrary().unwrap_or(0)
    }

    /// A number below `limit`, which is not zero.
    pub fn below(&mut self, limit: u8) -> u8 {
        self.byte() % limit
    }

    /// Whether all is read.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}
