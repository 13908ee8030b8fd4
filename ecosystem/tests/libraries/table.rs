//! The guide's table says only what a test here, or an example, shows.

use std::fs;
use std::path::Path;

/// The test of this name exists here.
#[track_caller]
fn assert_test(name: &str) {
    let (module, test) = name.split_once("::").unwrap_or_else(|| panic!("no test: `{name}`"));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/libraries").join(module);
    let text = fs::read_to_string(file.with_extension("rs"));
    let text = text.unwrap_or_else(|_| panic!("there is no module `{module}`"));
    assert!(text.contains(&format!("#[test]\nfn {test}() {{")), "there is no test `{name}`");
}

#[test]
fn the_guide_names_tests_and_examples_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let guide = fs::read_to_string(root.join("runtime/guide/libraries.md")).unwrap();
    let part = |title: &str| {
        guide.split("\n# ").find(|part| part.starts_with(title)).expect("the part is there")
    };

    let rows: Vec<_> = part("Which\n").lines().filter(|line| line.starts_with("| `")).collect();
    assert!(rows.len() >= 15, "{} rows were found", rows.len());
    for row in rows {
        let shown_by = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        for name in shown_by.split(", ") {
            let quoted = name.split('`').nth(1).unwrap_or_else(|| panic!("no name: {row}"));
            if name.starts_with("example ") {
                let file = root.join("examples/servers/src/bin").join(quoted).with_extension("rs");
                assert!(file.exists(), "there is no example `{quoted}`: {row}");
            } else {
                assert_test(quoted);
            }
        }
    }

    let names: Vec<_> = part("Which not\n").split("shown by `").skip(1).collect();
    assert!(!names.is_empty());
    for name in names {
        assert_test(name.split('`').next().unwrap());
    }
}
