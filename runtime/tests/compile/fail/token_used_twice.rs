//~ use of moved value: `token`
//~ `Cancelled::uncancel` takes ownership of the receiver `self`

async fn work() {
    if let Err(token) = filch::catch_cancel(filch::yield_now()).await {
        token.uncancel();
        token.resume().await;
    }
}

fn main() {
    filch::run(work());
}
