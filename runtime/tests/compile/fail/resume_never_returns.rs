//~ unreachable

#![deny(unreachable_code)]

async fn work(token: filch::Cancelled) {
    token.resume().await;
    println!("never");
}

fn main() {
    drop(work);
}
