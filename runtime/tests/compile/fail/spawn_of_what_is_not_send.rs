//~ future cannot be sent between threads safely
//~ future is not `Send` as this value is used across an await
//~ required by a bound in `filch::spawn`

fn main() {
    filch::run(async {
        filch::spawn(async {
            let one = std::rc::Rc::new(1);
            filch::yield_now().await;
            println!("{one}");
        });
    });
}
