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
        let absolute = absolute(file);
        let shown = absolute.strip_prefix(absolute_root()).unwrap_or(&absolute);
        shown.display().to_string()
    }

    /// The tag of the call in this line.
    pub(super) fn tag(&mut self, file: &str, line: u32) -> Option<String> {
        let lines = self.lines.entry(absolute(file)).or_insert_with_key(|path| {
            let text = fs::read_to_string(path).unwrap_or_default();
            text.lines().map(str::to_owned).collect()
        });
        tag_at(lines, line as usize)
    }
}

fn absolute_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("inside the workspace").to_owned()
}

/// The compiler names files from the root of the workspace, with `..` in them.
fn absolute(file: &str) -> PathBuf {
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

/// Whoever writes an ordering into the runtime or the timer says by a tag which one it is, and so
/// comes to think of who proves it. (What lives in statics loom cannot have.)
#[test]
fn every_ordering_has_a_tag() {
    let mut folders = vec![absolute("runtime/src"), absolute("timer/src")];
    let (mut tagged, mut untagged) = (0, Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the sources are here") {
            let path = entry.expect("the sources can be read").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = fs::read_to_string(&path).expect("the sources can be read");
            if text.contains("unmodelled::{") || path.ends_with("primitive.rs") {
                continue;
            }
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            for (index, line) in lines.iter().enumerate() {
                let (code, _) = split(line);
                let strong = ["Acquire", "Release", "AcqRel", "SeqCst"];
                let written = strong.iter().any(|name| code.contains(&format!("Ordering::{name}")));
                match tag_at(&lines, index + 1) {
                    _ if !written => {}
                    Some(_) => tagged += 1,
                    None => untagged.push(format!("{}:{}", path.display(), index + 1)),
                }
            }
        }
    }
    assert!(untagged.is_empty(), "no tag: {untagged:#?}");
    assert!(tagged > 20, "only {tagged} orderings were found");
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
