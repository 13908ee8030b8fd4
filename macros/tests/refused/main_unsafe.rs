#[filch::main]
async unsafe fn main() {}
