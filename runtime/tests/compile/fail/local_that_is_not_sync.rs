//~ `Cell<u32>` cannot be shared between threads safely

filch::task_local! { static COUNT: std::cell::Cell<u32>; }

fn main() {
    filch::run(async { COUNT.with(|count| count.is_some()) });
}
