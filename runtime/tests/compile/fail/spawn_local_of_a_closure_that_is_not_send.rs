//~ cannot be sent between threads safely
//~ required by a bound in `spawn_local`

fn main() {
    let shared = std::rc::Rc::new(1);
    filch::run(async {
        filch::spawn_local(move || async move { println!("{shared}") });
    });
}
