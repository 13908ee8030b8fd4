//~ `numbers` does not live long enough

fn main() {
    filch::run(async {
        let numbers = vec![1, 2, 3];
        let doubled = numbers.iter().map(|number| async move { number * 2 });
        println!("{:?}", filch::gather(doubled).await);
    });
}
