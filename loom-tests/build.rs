//! Turns the loom build on for this package alone: no flag, feature or variable is needed,
//! and none can silently turn it off.
fn main() {
    println!("cargo::rustc-cfg=filch_loom");
    // What the runtime's features are called; here none is on.
    println!(
        "cargo::rustc-check-cfg=cfg(feature, values(\"tokio-io\", \"hyper\", \"hyper-client\"))"
    );
    println!("cargo::rerun-if-changed=build.rs");
}
