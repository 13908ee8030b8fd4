//! What must compile (`compile/pass`), what must not (`compile/fail`), and what the compiler then says.
//!
//! A file in `fail` begins with lines `//~ text`: each text must be in one of the compiler's messages. That is all
//! that is compared. (trybuild, which the macros' tests use, compares whole messages. For messages of our own that is
//! right; but these come from the compiler, with our hints in them, and change with its version.)
//!
//! All files are binaries of one package, made in the target directory, and checked by one call of cargo.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Case {
    name: String,
    source: PathBuf,
    /// `None`: it must compile.
    expected: Option<Vec<String>>,
}

fn cases(folder: &str) -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compile").join(folder);
    let mut cases: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| {
            let source = entry.unwrap().path();
            let text = fs::read_to_string(&source).unwrap();
            let texts = text.lines().filter_map(|line| line.strip_prefix("//~ "));
            let fails = folder.ends_with("fail");
            Case {
                name: source.file_stem().unwrap().to_str().unwrap().to_owned(),
                expected: fails.then(|| texts.map(str::to_owned).collect()),
                source,
            }
        })
        .collect();
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    cases
}

/// The compiler's messages, one a line, in JSON.
fn check(cases: &[Case]) -> String {
    let runtime = Path::new(env!("CARGO_MANIFEST_DIR"));
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("compile-tests");
    fs::create_dir_all(package.join("src")).unwrap();
    let mut manifest = format!(
        "[package]\nname = \"compile-tests\"\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n\n\
         [dependencies]\nfilch = {{ path = {runtime:?} }}\n\n[workspace]\n"
    );
    for Case { name, source, .. } in cases {
        manifest += &format!("\n[[bin]]\nname = {name:?}\npath = {source:?}\n");
    }
    fs::write(package.join("Cargo.toml"), manifest).unwrap();
    // The versions that were fetched for this workspace, so that nothing is fetched now.
    fs::copy(runtime.join("../Cargo.lock"), package.join("Cargo.lock")).unwrap();
    let output = Command::new(env!("CARGO"))
        .args(["check", "--offline", "--keep-going", "--bins", "--message-format=json"])
        .arg("--manifest-path")
        .arg(package.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(package.join("target"))
        // They may be those of a sanitizer.
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .output()
        .unwrap();
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        messages.contains("\"reason\":\"build-finished\""),
        "cargo did not get that far:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    messages
}

#[test]
fn each_compiles_or_says_why_not() {
    let cases: Vec<_> = ["pass", "fail"].into_iter().flat_map(cases).collect();
    let messages = check(&cases);
    let mut problems = String::new();
    for Case { name, expected, .. } in &cases {
        let own: Vec<_> = messages
            .lines()
            .filter(|line| line.starts_with("{\"reason\":\"compiler-message\""))
            .filter(|line| {
                line.contains(&format!(
                    "\"kind\":[\"bin\"],\"crate_types\":[\"bin\"],\"name\":\"{name}\""
                ))
            })
            .map(|line| line.replace("\\\"", "\""))
            .collect();
        let failed = own.iter().any(|message| message.contains("\"level\":\"error\""));
        let rendered = || own.iter().map(|m| text_of(m)).collect::<String>();
        match expected {
            None if failed => problems += &format!("{name} does not compile:\n{}", rendered()),
            None => {
                let built = format!("\"name\":\"{name}\"");
                let done = |line: &str| {
                    line.starts_with("{\"reason\":\"compiler-artifact\"") && line.contains(&built)
                };
                assert!(messages.lines().any(done), "{name} was not compiled");
            }
            Some(_) if !failed => problems += &format!("{name} compiles\n"),
            Some(texts) => {
                assert!(!texts.is_empty(), "{name} says nothing about the message");
                for text in texts {
                    if !own.iter().any(|message| message.contains(text)) {
                        problems += &format!("{name}: `{text}` is not in\n{}", rendered());
                    }
                }
            }
        }
    }
    assert!(problems.is_empty(), "\n{problems}");
}

/// The message as a person sees it.
fn text_of(message: &str) -> String {
    let rendered = message.split("\"rendered\":\"").nth(1).unwrap_or(message);
    rendered.split("\",\"").next().unwrap_or(rendered).replace("\\n", "\n")
}
