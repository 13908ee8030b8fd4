#[filch::test]
fn not_async() {}

#[filch::test]
async fn parameters(port: u16) {
    let _ = port;
}

#[filch::test]
#[test]
async fn twice() {}

#[filch::test]
const fn not_async_and_const() {}

fn main() {}
