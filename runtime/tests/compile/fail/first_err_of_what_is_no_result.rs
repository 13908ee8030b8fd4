//~ found `Until<Result<_, _>>`

fn main() {
    filch::run(async {
        let mut tasks = vec![filch::spawn(async { 1_u32 })];
        filch::wait(&mut tasks, filch::Until::first_err(), None).await;
    });
}
