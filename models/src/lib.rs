//! Random programs for filch, and simple models that say what comes of them.
//!
//! Each module has one: a program is decoded from bytes (whichever they are), run on the real thing
//! and on a model made of plain lists, and the two must agree. The same functions are called by
//! this package's tests, on stable Rust and for seconds, and by the targets in `fuzz/`, for as long as one
//! likes. See `README.md`.

pub mod branches;
#[cfg(unix)]
pub mod net;
pub mod source;
pub mod tasks;
pub mod timer;

/// What a run has shown: nothing, or where the two disagree, with the whole program.
pub type Verdict = Result<(), String>;

/// A kind of programs: what the tests and the fuzz targets call.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Also the name of the folder in `fuzz/corpus`.
    pub name: &'static str,
    /// Runs the program that these bytes say.
    pub run: fn(&[u8]) -> Verdict,
    /// How many bytes are enough for a long program.
    pub longest: usize,
}
