//~ unused `Cancelled` that must be used
//~ dropping it passes the request on: the task ends where it waits next; `resume().await`, `uncancel()`, or return it

#![deny(unused_must_use)]

fn main() {
    filch::run(async {
        filch::catch_cancel(filch::yield_now()).await.unwrap_err();
    });
}
