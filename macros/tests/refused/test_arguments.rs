#[filch::test(clock = sundial)]
async fn unknown_clock() {}

#[filch::test(clock = manual + 1)]
async fn no_clock() {}

#[filch::test(timeout = 5)]
async fn no_unit() {}

#[filch::test(timeout = 5, clock = sundial, worker_threads)]
async fn all_at_once() {}

fn main() {}
