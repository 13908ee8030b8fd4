//! Turns the loom build on for this package alone: no flag, feature or variable is needed,
//! and none can silently turn it off.
fn main() {
    println!("cargo::rustc-cfg=filch_loom");
    // What the runtime's features are called; here none is on.
    println!(
        "cargo::rustc-check-cfg=cfg(feature, values(\"tokio-io\", \"hyper\", \"hyper-client\"))"
    );
    // Only with this script, which is compiled anew when it changes; it has no other input. Not named: the timer's package
    // has it in the folder above, and what cargo cannot find is compiled anew each time.
    println!("cargo::rerun-if-changed=Cargo.toml");
}
