//~ unused `Result` that must be used

#![deny(unused_must_use)]

fn main() {
    filch::run(async {
        filch::catch_cancel(filch::yield_now()).await;
    });
}
