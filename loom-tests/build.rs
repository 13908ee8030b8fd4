//! Turns the loom build on for this package alone: no flag, feature or variable is needed,
//! and none can silently turn it off.
fn main() {
    println!("cargo::rustc-cfg=filch_loom");
    println!("cargo::rerun-if-changed=build.rs");
}
