//~ a task group with errors of type `&str` cannot have a body that returns `()`
//~ the body returns `Result<_, &str>`, with the error type of the members; or `()`, if all members return `()`

fn main() {
    filch::run(filch::task_group(async |group| {
        group.spawn(async { Err::<(), _>("no route") });
    }));
}
