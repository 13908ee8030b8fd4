//! What `run`, a task and a group give need not be shown, compared or cloned.

#![deny(warnings)]

struct Opaque;

fn main() {
    let _: Opaque = filch::run(async {
        let _: Result<Opaque, filch::JoinError> = filch::spawn(async { Opaque }).await;
        let _: Result<Opaque, filch::GroupError<Opaque>> =
            filch::task_group(async |_group| Err(Opaque)).await;
        Opaque
    });
}
