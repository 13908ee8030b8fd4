//! Turns the shuttle build on for this package alone. What is written for models in general stands under
//! `filch_loom`, so both are set.
fn main() {
    println!("cargo::rustc-cfg=filch_loom");
    println!("cargo::rustc-cfg=filch_shuttle");
    // What the runtime's features are called; here none is on.
    println!(
        "cargo::rustc-check-cfg=cfg(feature, values(\"tokio-io\", \"hyper\", \"hyper-client\"))"
    );
    println!("cargo::rerun-if-changed=build.rs");
}
