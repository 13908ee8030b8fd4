//! Turns the shuttle build on for this package alone. What is written for models in general stands under
//! `filch_loom`, so both are set.
fn main() {
    println!("cargo::rustc-cfg=filch_loom");
    println!("cargo::rustc-cfg=filch_shuttle");
    // What the runtime's features are called; here none is on.
    println!(
        "cargo::rustc-check-cfg=cfg(feature, values(\"tokio-io\", \"hyper\", \"hyper-client\"))"
    );
    // Only with this script, which is compiled anew when it changes; it has no other input. Not named: the timer's package
    // has it in the folder above, and what cargo cannot find is compiled anew each time.
    println!("cargo::rerun-if-changed=Cargo.toml");
}
