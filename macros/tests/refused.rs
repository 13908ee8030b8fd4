//! What the two attributes refuse, and how they say it. Only messages of our own are compared: the compiler's change
//! from version to version.

#[test]
fn refused() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
