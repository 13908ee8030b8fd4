//~ cannot be sent between threads safely
//~ required by a bound in `spawn_blocking`

fn main() {
    let shared = std::rc::Rc::new(1);
    filch::run(async {
        filch::spawn_blocking(move || println!("{shared}"));
    });
}
