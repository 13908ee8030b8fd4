//! What the attribute macros call. Not for anybody else.

use std::future::Future;
use std::time::Duration;

use crate::builder::Builder;
use crate::timeouts::timeout;

/// Runs the body of a `#[filch::test]`.
pub fn run_test<F: Future>(
    name: &str,
    builder: Builder,
    limit: Option<Duration>,
    test: F,
) -> F::Output {
    let runtime = match builder.build() {
        Ok(runtime) => runtime,
        Err(error) => panic!("the runtime of the test `{name}` could not be made: {error}"),
    };
    runtime.block_on(async {
        match timeout(limit, test).await {
            Ok(output) => output,
            Err(_) => panic!("the test `{name}` took longer than {:?}", limit.unwrap_or_default()),
        }
    })
}

/// What `gather!` calls.
#[track_caller]
pub fn gather_tuple<Futures: crate::combine::Together>(
    futures: Futures,
) -> crate::combine::GatherTuple<Futures> {
    crate::combine::GatherTuple::new(futures, std::panic::Location::caller())
}
