//~ a task group with errors of type `String` cannot have a body that returns `Result<(), std::fmt::Error>`
//~ the body returns `Result<_, String>`, with the error type of the members

fn main() {
    let _ = filch::run(filch::task_group(async |group| {
        group.spawn(async { Err::<(), _>(String::from("no route")) });
        std::fmt::Result::Ok(())
    }));
}
