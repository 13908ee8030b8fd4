//! Orderings that no model makes fail, and why they stay.
//!
//! An ordering is never weakened because a tool stayed silent. What stands here is either out of
//! loom's sight, or spare by an argument that stands here, too.

/// By its tag.
pub(super) const UNMET: &[(&str, &str)] = &[
    ("depot-take", DEPOT),
    ("depot-give", DEPOT),
    ("late-give", LATE),
    ("late-take", LATE),
    ("notify-fence", "The function stands for its callers: each has a tag, and a row, of its own."),
];

const DEPOT: &str = "Lives in a static, which loom cannot have. A pointer is swapped for null, or put where \
                     null was, so whoever has it has it alone; the orderings hand over what it points to.";

const LATE: &str = "Lives in a static, which loom cannot have. The stack is pushed to and emptied at once, as the \
                    injector's is: `injector_push_pop_close` fails without these.";
