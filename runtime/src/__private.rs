//! What the attribute macros call. Not for anybody else.

use std::future::Future;
use std::time::Duration;

use crate::builder::Builder;
use crate::timeouts::timeout;

/// The limit of a test with a manual clock, if it sets none. There all waiting ends at once, so a test
/// that is stuck fails at once: when nothing else can happen, time runs to this limit. (Not much
/// longer, because something may tick every millisecond until then.)
const MANUAL_LIMIT: Duration = Duration::from_secs(3600);

/// Runs the body of a `#[filch::main]`.
#[track_caller]
pub fn run_main<F: Future>(builder: Builder, main: F) -> F::Output {
    crate::entry::run_on(builder, main)
}

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
    let is_manual = runtime.handle().timer().clock().is_manual();
    let default = is_manual.then_some(MANUAL_LIMIT);
    let late = runtime.block_on(async {
        match timeout(limit.or(default), test).await {
            Ok(output) => Ok(output),
            Err(_) => Err(limit),
        }
    });
    match late {
        Ok(output) => output,
        Err(Some(limit)) if is_manual => {
            panic!("the test `{name}` took longer than {limit:?} on its manual clock")
        }
        Err(Some(limit)) => panic!("the test `{name}` took longer than {limit:?}"),
        Err(None) => panic!(
            "the test `{name}` took longer than an hour on its manual clock, which moves on only \
             when nothing else can happen: it seems to wait for something that never comes (if \
             it has to take that long, give it a `timeout = …`)"
        ),
    }
}

/// What `gather!` calls.
#[track_caller]
pub fn gather_tuple<Futures: crate::combine::Together>(
    futures: Futures,
) -> crate::combine::GatherTuple<Futures> {
    crate::combine::GatherTuple::new(futures, std::panic::Location::caller())
}
