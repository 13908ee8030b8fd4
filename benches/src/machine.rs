//! Where and with what it was measured.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

/// This package's folder.
pub(crate) const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// How busy the machine was with other things before it began: whoever reads the results is to see that.
static BUSY_BEFORE: OnceLock<String> = OnceLock::new();

/// To be called before anything is measured.
pub(crate) fn look_around() {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    if let Some(minute) = load.split_whitespace().next() {
        let _ = BUSY_BEFORE.set(minute.to_owned());
    }
}

/// Names and values, to be shown beside the results.
pub(crate) fn describe() -> Vec<(String, String)> {
    let cores = thread::available_parallelism().map_or_else(|_| "?".to_owned(), |n| n.to_string());
    let mut lines = vec![
        ("CPU".to_owned(), format!("{}, {cores} cores", cpu_model().unwrap_or_default())),
        ("kernel".to_owned(), kernel()),
        ("compiler".to_owned(), output("rustc", &["--version"]).unwrap_or_default()),
        ("commit".to_owned(), commit()),
    ];
    if let Some(load) = BUSY_BEFORE.get() {
        lines
            .push(("load in the minute before".to_owned(), format!("{load} (quiet is under 0.2)")));
    }
    let lock = fs::read_to_string(Path::new(HERE).join("../Cargo.lock")).unwrap_or_default();
    for package in ["filch", "tokio", "async-executor", "async-io", "async-channel"] {
        lines.extend(locked(&lock, package).map(|version| (package.to_owned(), version)));
    }
    lines
}

fn cpu_model() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn kernel() -> String {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    format!("{} {}", std::env::consts::OS, release.trim()).trim().to_owned()
}

/// With a word of warning if the sources differ from it. The results themselves do not count.
fn commit() -> String {
    let Some(commit) = output("git", &["rev-parse", "--short=12", "HEAD"]) else {
        return "none".to_owned();
    };
    let status = [
        "status",
        "--porcelain",
        "--",
        ":/",
        ":!:/benches/RESULTS*",
        ":!:/benches/GROWTH*",
        ":!:/benches/CORES*",
    ];
    match output("git", &status) {
        Some(changes) if changes.is_empty() => commit,
        _ => commit + ", with changes",
    }
}

/// What a command says, run in this package's folder.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).current_dir(HERE).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

/// The version of `package` in a Cargo.lock.
fn locked(lock: &str, package: &str) -> Option<String> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    let version = lines.nth(1)?.strip_prefix("version = \"")?;
    Some(version.trim_end_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_come_from_the_lock() {
        let lock = "[[package]]\nname = \"tokio-util\"\nversion = \"0.7.0\"\n\n\
                    [[package]]\nname = \"tokio\"\nversion = \"1.2.3\"\n";
        assert_eq!(locked(lock, "tokio").as_deref(), Some("1.2.3"));
        assert_eq!(locked(lock, "smol"), None);
    }

    #[test]
    fn the_versions_of_this_workspace_are_found() {
        let names: Vec<_> = describe().into_iter().map(|(name, _)| name).collect();
        assert!(names.contains(&"tokio".to_owned()), "{names:?}");
    }
}
