//! The attributes [`macro@main`] and [`macro@test`] of filch. Use them through filch, as `#[filch::main]` and
//! `#[filch::test]`.
//!
//! Both keep the function as it is written and set a blocking function of the same name around it:
//!
//! ```text
//! #[filch::main(worker_threads = 4)]        fn main() -> io::Result<()> {
//! async fn main() -> io::Result<()> {           async fn main() -> io::Result<()> {
//!     serve().await               becomes           serve().await
//! }                                             }
//!                                               ::filch::__private::run_main(
//!                                                   ::filch::Runtime::builder().worker_threads(4), main())
//!                                           }
//! ```
//!
//! The inner function has the body, the return type and the spans of the original, so the compiler's messages
//! about them are the ones it gives for any `async fn`. (An `async` block would have to guess its output from the
//! first `?`.) Arguments become calls of the builder's method of that name, without a list of them here: a new
//! builder option needs no change in this crate, and a misspelt key is the compiler's "no method named …", at the key.
//!
//! The crate reads tokens directly and has no dependencies: it is built before anything that uses filch, so every
//! second it takes is a second of each user's build.

mod arguments;
mod error;
mod expand;
mod function;

use proc_macro::TokenStream;

/// Runs an `async fn main` on a filch runtime.
///
/// ```
/// use std::time::Duration;
///
/// #[filch::main]
/// async fn main() {
///     let answer = filch::spawn(async {
///         filch::sleep(Duration::from_millis(10)).await;
///         42
///     });
///     assert_eq!(answer.await.unwrap(), 42);
/// }
/// ```
///
/// The function may return what any `main` may return, and `?` works in it:
///
/// ```
/// #[filch::main]
/// async fn main() -> Result<(), std::num::ParseIntError> {
///     let workers: usize = "4".parse()?;
///     assert_eq!(workers, 4);
///     Ok(())
/// }
/// ```
///
/// # Arguments
///
/// Each `key = value` calls the method `key(value)` of filch's `Builder`. A value is any expression:
///
/// ```
/// const WORKERS: usize = 2;
///
/// #[filch::main(worker_threads = WORKERS, thread_name = "crawler")]
/// async fn main() {
///     filch::spawn(async { /* runs on a thread named after "crawler" */ }).await.unwrap();
/// }
/// ```
///
/// One key is the macro's own: `crate = path` says where filch is found, for a crate that renames it or passes it on.
///
/// ```
/// mod prelude {
///     pub use ::filch as runtime;
/// }
///
/// #[prelude::runtime::main(crate = crate::prelude::runtime)]
/// async fn main() {}
/// ```
///
/// # What is refused
///
/// A function that is not async, takes parameters, is generic, or is `unsafe`, `extern` or `const`:
///
/// ```compile_fail
/// #[filch::main] // error: must be async: `async fn main()`
/// fn main() {}
/// ```
#[proc_macro_attribute]
pub fn main(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(expand::Attribute::Main, arguments, item)
}

/// Makes an `async fn` a test that runs on a filch runtime of its own, with two workers if nothing else is said.
///
/// ```
/// # mod hidden {
/// #[filch::test]
/// async fn a_task_gives_its_value() {
///     assert_eq!(filch::spawn(async { 42 }).await.unwrap(), 42);
/// }
/// # }
/// ```
///
/// The test may return a `Result`, and stands well with `#[should_panic]` and `#[ignore]`, above or below:
///
/// ```
/// # mod hidden {
/// #[filch::test]
/// async fn the_port_is_a_number() -> Result<(), std::num::ParseIntError> {
///     let port: u16 = "8080".parse()?;
///     assert_eq!(port, 8080);
///     Ok(())
/// }
///
/// #[filch::test]
/// #[should_panic(expected = "out of range")]
/// async fn ports_are_checked() {
///     panic!("port out of range");
/// }
/// # }
/// ```
///
/// # Arguments
///
/// | argument | meaning |
/// |---|---|
/// | `timeout = secs(5)` | the test fails, with its name and the limit, when it is not done after 5 seconds; also `millis(50)`, or any expression that is a `Duration` or an `Option<Duration>` |
/// | `clock = manual` | time stands still, and jumps to the next deadline when nothing else can happen; `clock = system` is the default |
/// | `crate = path` | where filch is found, see [`macro@main`] |
/// | any other `key = value` | the method `key(value)` of filch's `Builder` |
///
/// ```
/// # mod hidden {
/// use std::time::Duration;
///
/// #[filch::test(worker_threads = 4, timeout = secs(5))]
/// async fn sleeping_takes_a_while() {
///     let start = std::time::Instant::now();
///     filch::sleep(Duration::from_millis(20)).await;
///     assert!(start.elapsed() >= Duration::from_millis(20));
/// }
/// # }
/// ```
///
/// With `clock = manual` a test that sleeps takes no time, and one that waits for what never comes fails at once: its
/// limit counts on that clock, too, and is an hour if it sets none. `filch::time` has more about it.
///
/// ```
/// # mod hidden {
/// use filch::time::now;
/// use std::time::Duration;
///
/// #[filch::test(clock = manual)]
/// async fn the_slower_one_wins() {
///     let start = now();
///     let slow = filch::spawn(filch::sleep(Duration::from_secs(60)));
///     filch::sleep(Duration::from_secs(20)).await;
///     slow.await.unwrap();
///     assert_eq!(now() - start, Duration::from_secs(60));
/// }
/// # }
/// ```
///
/// An unknown clock is refused:
///
/// ```compile_fail
/// #[filch::test(clock = sundial)] // error: the clocks are `system` and `manual`
/// async fn noon() {}
/// ```
#[proc_macro_attribute]
pub fn test(arguments: TokenStream, item: TokenStream) -> TokenStream {
    expand::expand(expand::Attribute::Test, arguments, item)
}
