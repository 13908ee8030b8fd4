//~ a member that never returns needs a type: make it an `async fn`

fn main() {
    filch::run(filch::task_group(async |group| {
        group.spawn(async {
            match filch::catch_cancel(filch::yield_now()).await {
                Ok(()) => loop {
                    filch::yield_now().await;
                },
                Err(token) => token.resume().await,
            }
        });
    }));
}
