//~ use of moved value: `handle`

fn main() {
    filch::run(async {
        let handle = filch::spawn(async { 1 });
        handle.await.unwrap();
        handle.await.unwrap();
    });
}
