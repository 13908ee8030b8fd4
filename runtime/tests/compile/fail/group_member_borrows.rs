//~ `text` does not live long enough

fn main() {
    let text = String::from("gone before the member is");
    filch::run(filch::task_group(async |group| {
        group.spawn(async { println!("{text}") });
    }));
}
