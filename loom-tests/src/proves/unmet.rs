//! Orderings that no model makes fail, and why they stay.
//!
//! An ordering is never weakened because a tool stayed silent. What stands here is either out of
//! loom's sight, or spare by an argument that stands here, too.

/// By its tag.
pub(super) const UNMET: &[(&str, &str)] = &[
    ("depot-take", DEPOT),
    ("depot-give", DEPOT),
    ("carve-take", DEPOT),
    ("carve-give", DEPOT),
    (
        "chunk-return",
        "Lives in memory that has no owner, where loom cannot put its objects. It is what the last \
         drop of an `Arc` does, in one operation.",
    ),
    ("notify-fence", "The function stands for its callers: each has a tag, and a row, of its own."),
];

const DEPOT: &str = "Lives in a static, which loom cannot have. A pointer is swapped for null, or put where \
                     null was, so whoever has it has it alone; the orderings hand over what it points to.";
