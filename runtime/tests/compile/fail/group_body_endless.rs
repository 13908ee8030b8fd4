//~ an endless body needs a type: `async |group| -> std::io::Result<()> { loop { … } }`

fn main() {
    filch::run(filch::task_group(async |group| {
        loop {
            group.spawn(async { std::io::Result::Ok(()) });
            filch::yield_now().await;
        }
    }));
}
