//! The rules of the layout, held by a test: which files may contain unsafe code, who may use
//! whom, where atomics are named, and that each sequentially consistent fence names its partner.

use std::fs;
use std::path::{Path, PathBuf};

/// The starred files of ARCHITECTURE.md.
const UNSAFE: [&str; 8] = [
    "sys.rs",
    "task/cell.rs",
    "task/cell/join.rs",
    "task/cell/links.rs",
    "task/cell/run.rs",
    "task/pool.rs",
    "task/pool/chunk.rs",
    "task/waker.rs",
];

/// From the top down: a file may use its own layer and those below.
const LAYERS: [&[&str]; 7] = [
    &["lib", "guide", "__private", "entry"],
    &[
        "group", "timeouts", "time", "cancel", "combine", "inspect", "metrics", "net", "signal",
        "hyper",
    ],
    &[
        "runtime",
        "builder",
        "shutdown",
        "context",
        "spawn",
        "spawn_local",
        "blocking",
        "compute",
        "job",
    ],
    &["scheduler"],
    &["io"],
    &["task", "error"],
    &["primitive", "sys"],
];

fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, root: &Path, found: &mut Vec<(String, String)>) {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&root, &root, &mut found);
    assert!(found.len() > 20, "the sources were not found");
    found
}

/// Lines of code, numbered, without comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(i, line)| (i + 1, line.split("//").next().unwrap()))
        .filter(|(_, line)| !line.trim().is_empty())
}

#[test]
fn unsafe_code_stands_only_in_the_starred_files() {
    for (name, text) in sources() {
        let allowed = text.contains("#![allow(unsafe_code)]");
        assert_eq!(allowed, UNSAFE.contains(&name.as_str()), "{name}");
        for (number, line) in code(&text) {
            let found = line.contains("unsafe ") && !line.contains("unsafe_code");
            assert!(allowed || !found, "{name}:{number}: {line}");
        }
    }
}

#[test]
fn atomics_are_named_only_in_primitive() {
    for (name, text) in sources() {
        for (number, line) in code(&text) {
            let found = line.contains("sync::atomic") || line.contains("core::sync");
            assert!(name == "primitive.rs" || !found, "{name}:{number}: {line}");
        }
    }
}

/// Where an explorer of schedules has its own clock, all must go by it.
#[test]
fn the_clock_is_read_only_in_primitive() {
    for (name, text) in sources() {
        let text = text.split("#[cfg(all(test").next().unwrap();
        for (number, line) in code(text) {
            let found = line.contains("Instant::now");
            let allowed = name == "primitive.rs" || name.contains("/tests");
            assert!(allowed || !found, "{name}:{number}: {line}");
        }
    }
}

#[test]
fn sequentially_consistent_means_a_fence_with_a_named_partner() {
    let mut fences = 0;
    for (name, text) in sources() {
        let lines: Vec<_> = text.lines().collect();
        for (number, line) in code(&text) {
            if line.contains("SeqCst") {
                assert!(line.contains("fence("), "{name}:{number}: not a fence: {line}");
                let above = lines[number - 2];
                assert!(
                    above.contains("-fence]") && above.contains("partner:"),
                    "{name}:{number}: the line above must name the partner"
                );
                fences += 1;
            }
        }
    }
    assert!(fences >= 3, "the sleep protocol has three fences, {fences} were found");
}

#[test]
fn layers_point_down() {
    let layer_of = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    for (name, text) in sources() {
        let module = name.split(['/', '.']).next().unwrap();
        let layer = layer_of(module).unwrap_or_else(|| panic!("{name} has no layer: see LAYERS"));
        // What the crate shows to the world is no use of a layer.
        let text = text.split("#[cfg(all(test").next().unwrap();
        for (number, line) in code(text) {
            if module == "lib" || line.trim_start().starts_with("pub use crate::") {
                continue;
            }
            // (What a macro expands to is its user's.)
            let line = line.replace("$crate::", "");
            for used in line.split("crate::").skip(1) {
                let end = used.find(|c: char| !c.is_alphanumeric() && c != '_');
                let used = &used[..end.unwrap_or(used.len())];
                if let Some(other) = layer_of(used) {
                    assert!(other >= layer, "{name}:{number} reaches up: {}", line.trim());
                }
            }
        }
    }
}

#[test]
fn the_oldest_compiler_we_promise_knows_no_let_chains() {
    for (name, text) in sources() {
        for (number, line) in code(&text) {
            assert!(!line.contains("&& let "), "{name}:{number}: {}", line.trim());
        }
    }
}

#[test]
fn no_file_is_a_god() {
    for (name, text) in sources() {
        let lines = text.lines().count();
        let most = if name == "task/cell.rs" { 800 } else { 600 };
        assert!(lines <= most, "{name} has {lines} lines: does it hold two ideas?");
    }
}

#[test]
fn the_table_of_cpythons_scenarios_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let table = fs::read_to_string(root.join("CPYTHON.md")).unwrap();
    let (mut tests, mut rows) = (String::new(), 0);
    for entry in fs::read_dir(&root).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|e| e == "rs") {
            tests.push_str(&fs::read_to_string(path).unwrap());
        }
    }
    // | CPython | checks | `our_test` | how |
    for line in table.lines() {
        let Some(cell) = line.split(" | ").nth(2) else { continue };
        if let Some(name) = cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`')) {
            assert!(tests.contains(&format!("fn {name}()")), "there is no test `{name}`: {line}");
            rows += 1;
        }
    }
    assert!(rows > 200, "{rows} rows were found");
}

#[test]
fn the_table_of_rows_and_rules_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("tests/ROWS.md")).unwrap();
    let mut found = 0;
    // Every second part stands between backticks.
    for name in table.lines().skip(5).flat_map(|line| line.split('`').skip(1).step_by(2)) {
        let Some((file, test)) = name.split_once("::") else { continue };
        let path = match file.contains('/') {
            true => root.join("..").join(file),
            false => root.join("tests").join(file).with_extension("rs"),
        };
        let text = fs::read_to_string(&path).unwrap_or_else(|_| panic!("there is no {path:?}"));
        assert!(text.contains(&format!("fn {test}()")), "there is no test `{name}`");
        found += 1;
    }
    assert!(found > 100, "{found} tests were found");
    for number in 1..=36 {
        assert!(table.contains(&format!("\n| {number} | ")), "row {number} is missing");
    }
}
