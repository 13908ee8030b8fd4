#[filch::main]
async fn main<T: Default>() -> T {
    T::default()
}
