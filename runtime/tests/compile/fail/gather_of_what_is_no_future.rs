//~ is not a future

fn main() {
    filch::run(async {
        let _ = filch::gather!(async { 1 }, 2).await;
    });
}
