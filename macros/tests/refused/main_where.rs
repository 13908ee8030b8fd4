#[filch::main]
async fn main()
where
    String: Clone,
{
}
