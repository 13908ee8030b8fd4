//~ cannot be sent between threads safely
//~ required by a bound in `spawn_local`

fn main() {
    filch::run(async {
        filch::spawn_local(|| async { std::rc::Rc::new(1) });
    });
}
