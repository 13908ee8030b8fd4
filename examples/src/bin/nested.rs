//! Calling an async function only makes a future; awaiting the future runs the function.
//!
//! Mirrors the `nested` program of Python's *Coroutines and Tasks*:
//!
//! ```python
//! async def main():
//!     # Nothing happens if we just call "nested()".
//!     nested()  # will raise a "RuntimeWarning".
//!     print(await nested())  # will print "42".
//! ```

async fn nested() -> u32 {
    42
}

#[filch::main]
async fn main() {
    // Nothing runs here. Python warns of this when the program runs; without `drop`, rustc does when it compiles.
    drop(nested());

    println!("{}", nested().await);
}
