//~ a member of this task group returns `()` or `Result<_, String>`, and `Result<(), std::fmt::Error>` is neither
//~ the error type is that of the group's body and of its other members

fn main() {
    let _ = filch::run(filch::task_group(async |group| {
        group.spawn(async { Err::<(), _>(String::from("no route")) });
        group.spawn(async { std::fmt::Result::Ok(()) });
        Ok(())
    }));
}
