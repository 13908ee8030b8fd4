#[filch::main(4)]
async fn only_a_value() {}

#[filch::main(worker_threads)]
async fn only_a_key() {}

#[filch::main(worker_threads =)]
async fn no_value() {}

#[filch::main(worker_threads: 4)]
async fn colon() {}

#[filch::main(worker_threads == 4)]
async fn comparison() {}

#[filch::main(worker_threads = 4, thread_name = "x", worker_threads = 5)]
async fn given_twice() {}

#[filch::main(crate = "filch")]
async fn no_path() {}

fn main() {
    only_a_value();
    only_a_key();
    no_value();
    colon();
    comparison();
    given_twice();
    no_path();
}
