#[filch::main]
extern "C" fn main() {}
