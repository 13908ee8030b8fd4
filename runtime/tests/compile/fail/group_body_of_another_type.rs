//~ a task group with errors of type `_` cannot have a body that returns
//~ for any other value write `Ok(value)`, or `Ok::<_, std::convert::Infallible>(value)` if no member can fail

fn main() {
    filch::run(filch::task_group(async |_group| 42));
}
