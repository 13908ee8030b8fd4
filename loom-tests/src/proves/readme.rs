//! What is listed elsewhere is complete, and exists: README's table, FAMOUS.md, and what can be run deeply.

use std::fs;

use super::source::absolute;

const PROOFS: &str = include_str!("../proofs.rs");

/// A proof as it stands in `proofs.rs`.
#[derive(Debug)]
struct Listed {
    test: String,
    /// Of models and of seeded bugs.
    names: Vec<String>,
    /// Models that have a bound of their own when they are run deeply.
    deepest: Vec<(String, usize)>,
}

fn proofs() -> Vec<Listed> {
    let tests = PROOFS.split("    #[test]\n    fn ").skip(1);
    let tests = tests.filter_map(|text| {
        let (test, body) = text.split_once("() {")?;
        let body = body.split(".check();").next()?;
        let parts = ["Proof::of(\"", ".and(\"", ".seeded(\""].iter();
        let names = parts.flat_map(|part| body.split(part).skip(1));
        let names = names.filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()));
        let deepest = body.split(".deepest(\"").skip(1).filter_map(|rest| {
            let (model, rest) = rest.split_once("\", ")?;
            Some((model.to_owned(), rest.split_once(')')?.0.parse().ok()?))
        });
        Some(Listed { test: test.to_owned(), names: names.collect(), deepest: deepest.collect() })
    });
    tests.collect()
}

#[test]
fn all_proofs_can_be_run_deeply() {
    let (_, deep) = PROOFS.split_once("    deep! {\n").expect("there is a list");
    let listed: Vec<&str> =
        deep.lines().filter_map(|line| Some(line.split_once("::")?.1)).collect();
    let tests: Vec<String> = proofs().into_iter().map(|proof| proof.test).collect();
    assert!(tests.len() > 30, "the proofs were not found");
    assert_eq!(listed, tests);
}

/// Each row: protocol, its sides, the proof, its models and seeded bugs, the time.
#[test]
fn readme_lists_every_proof() {
    let readme = fs::read_to_string(absolute("loom-tests/README.md")).expect("it is there");
    let mut problems = Vec::new();
    for Listed { test, names, .. } in proofs() {
        let cell = format!("| `{test}` |");
        let Some(row) = readme.lines().find(|line| line.contains(&cell)) else {
            problems.push(format!("no row for {test}"));
            continue;
        };
        for name in names {
            let quoted = format!("\u{201c}{name}\u{201d}");
            let bug = format!("`{name}`");
            if !row.contains(&quoted) && !row.contains(&bug) {
                problems.push(format!("{test}: {name} is not in its row"));
            }
        }
        let sides = row.split('|').nth(1).unwrap_or_default();
        for side in sides.split(['`', ',']).filter(|side| side.contains(".rs")) {
            let (file, function) = side.split_once(": ").unwrap_or((side, ""));
            let text = fs::read_to_string(absolute(file.trim())).unwrap_or_default();
            if !text.contains(&format!("fn {}", function.trim())) {
                problems.push(format!("{test}: there is no {side}"));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}

/// What is not run as deeply as the rest has its bound in the last column.
#[test]
fn readme_says_how_deeply() {
    let readme = fs::read_to_string(absolute("loom-tests/README.md")).expect("it is there");
    let mut bounds = 0;
    let mut problems = Vec::new();
    for Listed { test, deepest, .. } in proofs() {
        let cell = format!("| `{test}` |");
        let row = readme.lines().find(|line| line.contains(&cell)).unwrap_or_default();
        let column = row.trim_end_matches([' ', '|']).rsplit('|').next().unwrap_or_default();
        for (model, most) in &deepest {
            let bound = format!("\u{201c}{model}\u{201d} \u{2264} {most}");
            if !column.contains(&bound) {
                problems.push(format!("{test}: its last column does not say {bound}"));
            }
        }
        let named = column.matches('\u{201c}').count();
        if named != deepest.len() {
            problems
                .push(format!("{test}: {} models have a bound, {named} are named", deepest.len()));
        }
        bounds += deepest.len();
    }
    assert!(bounds > 0, "no bound was found");
    assert!(problems.is_empty(), "{problems:#?}");
}

/// What it names exists: `tests`, `seeded-bugs`, `[orderings]`, `files.rs`.
#[test]
fn what_famous_names_exists() {
    let read = |file: &str| fs::read_to_string(absolute(file)).unwrap_or_default();
    let famous = read("loom-tests/FAMOUS.md");
    let rows: Vec<&str> = famous.lines().filter(|line| line.contains(" #")).collect();
    assert!(rows.len() >= 14, "only {} rows were found", rows.len());
    let mut problems = Vec::new();
    for row in rows {
        let words: Vec<&str> = row.split('`').skip(1).step_by(2).collect();
        let files: Vec<String> =
            words.iter().filter(|word| word.ends_with(".rs")).map(|file| read(file)).collect();
        for word in &words {
            let function = format!("fn {word}(");
            let exists = if word.ends_with(".rs") {
                !read(word).is_empty()
            } else if word.starts_with('[') {
                read("loom-tests/ORDERINGS.md").contains(&format!("| `{word}`"))
            } else if word.contains('-') {
                PROOFS.contains(&format!(".seeded(\"{word}\""))
            } else {
                PROOFS.contains(&function)
                    || read("runtime/src/scheduler/mod.rs").contains(&function)
                    || files.iter().any(|text| text.contains(&function))
            };
            if !exists {
                problems.push(format!("there is no {word}: {row}"));
            }
        }
    }
    assert!(problems.is_empty(), "{problems:#?}");
}
