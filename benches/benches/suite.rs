//! `cargo bench -p filch-benches`: everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    filch_benches::main()
}
