//~ async block may outlive the current function
//~ to force the async block to take ownership of `text`

fn main() {
    filch::run(async {
        let text = String::from("gone before the task is");
        filch::spawn(async { println!("{text}") }).await.unwrap();
    });
}
