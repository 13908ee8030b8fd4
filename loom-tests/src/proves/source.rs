//! Finds the tags in the source.

use std::collections::HashMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// The files that were looked at.
#[derive(Debug, Default)]
pub(super) struct Sources {
    lines: HashMap<PathBuf, Vec<String>>,
}

impl Sources {
    pub(super) fn new() -> Sources {
        Sources::default()
    }

    /// The path as people write it, from the root of the workspace.
    pub(super) fn shown(&self, file: &str) -> String {
        shown(&absolute(file))
    }

    /// The tag of the call in this line.
    pub(super) fn tag(&mut self, file: &str, line: u32) -> Option<String> {
        tag_at(self.lines(file), line as usize)
    }

    /// The function around this line.
    pub(super) fn function(&mut self, file: &str, line: u32) -> String {
        function_at(self.lines(file), line as usize)
    }

    fn lines(&mut self, file: &str) -> &[String] {
        self.lines.entry(absolute(file)).or_insert_with_key(|path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        })
    }
}

fn shown(absolute: &Path) -> String {
    absolute.strip_prefix(absolute_root()).unwrap_or(absolute).display().to_string()
}

fn absolute_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("inside the workspace").to_owned()
}

/// The compiler names files from the root of the workspace, with `..` in them.
pub(super) fn absolute(file: &str) -> PathBuf {
    let mut path = PathBuf::new();
    for component in absolute_root().join(file).components() {
        match component {
            Component::ParentDir => drop(path.pop()),
            Component::CurDir => {}
            other => path.push(other),
        }
    }
    path
}

/// An ordering in the sources of the runtime or the timer: that of one operation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Site {
    /// From the root of the workspace.
    pub(super) file: String,
    pub(super) function: String,
    pub(super) tag: Option<String>,
    /// What can be weakened in it: `AcqRel` has two halves.
    pub(super) parts: usize,
    /// For people: it goes out of date with the next change.
    pub(super) line: usize,
}

/// All of them, in the order of the files. (What `primitive.rs` passes on is the callers'.)
pub(super) fn sites() -> Vec<Site> {
    let mut folders = vec![absolute("runtime/src"), absolute("timer/src")];
    let mut sites = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the sources are here") {
            let path = entry.expect("the sources can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("primitive.rs") {
                let text = fs::read_to_string(&path).expect("the sources can be read");
                let lines: Vec<String> = text.lines().map(str::to_owned).collect();
                let file = shown(&path);
                let parts = lines.iter().map(|line| parts(split(line).0)).enumerate();
                sites.extend(parts.filter(|(_, parts)| *parts > 0).map(|(index, parts)| Site {
                    file: file.clone(),
                    function: function_at(&lines, index + 1),
                    tag: tag_at(&lines, index + 1),
                    parts,
                    line: index + 1,
                }));
            }
        }
    }
    sites.sort();
    sites
}

/// How many orderings that are stronger than `Relaxed` this line of code writes, in whatever way.
fn parts(code: &str) -> usize {
    let words = || code.split(|c: char| !c.is_alphanumeric() && c != '_');
    if code.starts_with("use ") {
        return 0;
    }
    let is_fence = code.contains("notify_fence()") || code.contains("fence_after_exchange()");
    let fences = usize::from(is_fence && !words().any(|word| word == "fn"));
    let strong = words().map(|word| match word {
        "Acquire" | "Release" | "SeqCst" => 1,
        "AcqRel" => 2,
        _ => 0,
    });
    fences + strong.sum::<usize>()
}

/// The function around this line.
fn function_at(lines: &[String], line: usize) -> String {
    let name = |line: &String| {
        let (before, after) = split(line).0.split_once("fn ")?;
        let qualifiers = ["", "const", "async", "unsafe", "extern"];
        let begins = before.split_whitespace().all(|word| {
            word.starts_with("pub") || word.ends_with(')') || qualifiers.contains(&word)
        });
        let name = after.split(['(', '<']).next()?;
        begins.then(|| name.to_owned())
    };
    lines[..line].iter().rev().find_map(name).unwrap_or_default()
}

#[test]
fn the_function_around_a_line_is_found() {
    let source = "\
pub(in crate::scheduler) const unsafe fn first<T>(
    of: impl Fn(u8) -> T,
) {
    // fn comment() {
    let call = |f: fn(u8) -> u8| f(1);
    fence(SeqCst);
}";
    let lines: Vec<String> = source.lines().map(str::to_owned).collect();
    assert_eq!(function_at(&lines, 6), "first");
    assert_eq!(function_at(&lines, 0), "");
}

#[test]
fn orderings_are_counted_however_they_are_written() {
    let lines = [
        ("word.load(Ordering::Acquire)", 1),
        ("word.swap(1, AcqRel)", 2),
        ("Ordering::Release,", 1),
        ("word.compare_exchange(a, b, Release, Acquire)", 2),
        ("fence(Ordering::SeqCst);", 1),
        ("notify_fence();", 1),
        ("pub(crate) fn notify_fence() {", 0),
        ("use std::sync::atomic::Ordering::{Acquire, Release};", 0),
        ("word.load(Ordering::Relaxed)", 0),
        ("ReleaseNotes::new()", 0),
    ];
    for (line, expected) in lines {
        assert_eq!(parts(line), expected, "{line}");
    }
}

/// Looks at the end of the line, then upwards as far as the statement and the comment above it
/// go. `line` counts from 1.
fn tag_at(lines: &[String], line: usize) -> Option<String> {
    let mut above = lines.get(..line)?.iter().rev();
    let (_, comment) = split(above.next()?);
    if let Some(tag) = comment.and_then(tag_in) {
        return Some(tag);
    }
    let mut in_comment = false;
    for line in above {
        let (code, comment) = split(line);
        match (code, comment) {
            ("", None) => return None,
            ("", Some(comment)) => {
                in_comment = true;
                if let Some(tag) = tag_in(comment) {
                    return Some(tag);
                }
            }
            // The beginning of the same statement.
            (code, _) if !in_comment && !code.ends_with([';', '{', '}', ',']) => {}
            _ => return None,
        }
    }
    None
}

/// The code of a line and its comment, unless that is documentation.
fn split(line: &str) -> (&str, Option<&str>) {
    let (code, comment) = match line.find("//") {
        Some(at) => (&line[..at], Some(&line[at + 2..])),
        None => (line, None),
    };
    (code.trim(), comment.filter(|comment| !comment.starts_with(['/', '!'])))
}

/// `[like-this]`, but not `[like](this)`.
fn tag_in(comment: &str) -> Option<String> {
    let mut rest = comment;
    while let Some((_, after)) = rest.split_once('[') {
        let (inside, behind) = after.split_once(']')?;
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if !inside.is_empty() && inside.chars().all(letters) && !behind.starts_with(['(', '[']) {
            return Some(inside.to_owned());
        }
        rest = after;
    }
    None
}

#[test]
fn a_tag_is_behind_the_call_or_above_its_statement() {
    let source = "\
fence(SeqCst); // [behind] partner: above.
// [above] is a tag, [this](that) and [`this`] are links,
// and the tag need not be in the last line.
fence(SeqCst);
// [statement]
let before =
    self.word
        .swap(1, AcqRel);
fence(SeqCst);
/// [documentation] is none.
fence(SeqCst);

// [far] away

fence(SeqCst);
call(
    1, // [inside]
    word.load(Acquire),
);";
    let lines: Vec<String> = source.lines().map(str::to_owned).collect();
    let tags: Vec<Option<String>> =
        [1, 4, 8, 9, 11, 15, 18].iter().map(|line| tag_at(&lines, *line)).collect();
    let expected = [Some("behind"), Some("above"), Some("statement"), None, None, None, None];
    assert_eq!(tags, expected.map(|tag| tag.map(str::to_owned)));
}
