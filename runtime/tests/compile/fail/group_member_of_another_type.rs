//~ a member of this task group returns `()` or `Result<_, _>`, and `
//~ for any other value write `Ok(value)`

fn main() {
    let _ = filch::run(filch::task_group(async |group| {
        group.spawn(async { 5 });
        std::io::Result::Ok(())
    }));
}
