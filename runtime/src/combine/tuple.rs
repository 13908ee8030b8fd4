//! `gather!`: futures of different types.

use std::any::Any;
use std::future::Future;
use std::panic::Location;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::children::{Children, Ends, Next, spawn_child};
use crate::error::JoinError;
use crate::task::JoinHandle;

/// As [`gather`](fn@crate::gather), for up to twelve futures of different types: gives
/// `Result<(A, B, …), JoinError>`. Panics and cancel safety are those of `gather`.
///
/// ```
/// filch::run(async {
///     let both = filch::gather!(async { "one" }, async { 2 }).await;
///     assert_eq!(both.unwrap(), ("one", 2));
/// });
/// ```
#[macro_export]
#[doc(alias = "join")]
macro_rules! gather {
    ($($future:expr),+ $(,)?) => { $crate::__private::gather_tuple(($($future,)+)) };
}

type Anything = Box<dyn Any + Send>;

/// Tuples of futures.
pub trait Together: sealed::Sealed {
    /// The tuple of what they give.
    type Output;
    #[doc(hidden)]
    const COUNT: usize;
    #[doc(hidden)]
    fn spawn(self, spawner: &mut Spawner<'_>);
    #[doc(hidden)]
    fn collect(values: Vec<Anything>) -> Self::Output;
}

mod sealed {
    pub trait Sealed {}
}

/// Starts one of them after the other.
#[derive(Debug)]
#[doc(hidden)]
pub struct Spawner<'a> {
    site: &'static Location<'static>,
    ends: &'a Arc<Ends>,
    handles: Vec<JoinHandle<Anything>>,
}

impl Spawner<'_> {
    fn spawn<F>(&mut self, future: F)
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let future = async { Box::new(future.await) as Anything };
        self.handles.push(spawn_child(future, self.site, self.ends, self.handles.len()));
    }
}

fn next<T: 'static>(values: &mut impl Iterator<Item = Anything>) -> T {
    let value = values.next().and_then(|value| value.downcast().ok());
    *value.expect("a value of each future, in order")
}

macro_rules! together {
    ($($future:ident),+) => {
        impl<$($future),+> sealed::Sealed for ($($future,)+) {}

        impl<$($future),+> Together for ($($future,)+)
        where
            $($future: Future<Output: Send + 'static> + Send + 'static,)+
        {
            type Output = ($($future::Output,)+);
            const COUNT: usize = [$(stringify!($future)),+].len();

            #[allow(non_snake_case, reason = "the types' names serve for the values")]
            fn spawn(self, spawner: &mut Spawner<'_>) {
                let ($($future,)+) = self;
                $(spawner.spawn($future);)+
            }

            fn collect(values: Vec<Anything>) -> Self::Output {
                let mut values = values.into_iter();
                ($(next::<$future::Output>(&mut values),)+)
            }
        }
    };
}

together!(A);
together!(A, B);
together!(A, B, C);
together!(A, B, C, D);
together!(A, B, C, D, E);
together!(A, B, C, D, E, F);
together!(A, B, C, D, E, F, G);
together!(A, B, C, D, E, F, G, H);
together!(A, B, C, D, E, F, G, H, I);
together!(A, B, C, D, E, F, G, H, I, J);
together!(A, B, C, D, E, F, G, H, I, J, K);
together!(A, B, C, D, E, F, G, H, I, J, K, L);

/// The future of [`gather!`](macro@crate::gather).
#[derive(Debug)]
#[must_use = "futures do nothing unless awaited"]
pub struct GatherTuple<Futures> {
    futures: Option<Futures>,
    site: &'static Location<'static>,
    children: Option<Children<Anything>>,
    values: Vec<Option<Anything>>,
    error: Option<JoinError>,
}

impl<Futures> GatherTuple<Futures> {
    pub(crate) fn new(futures: Futures, site: &'static Location<'static>) -> GatherTuple<Futures> {
        let futures = Some(futures);
        GatherTuple { futures, site, children: None, values: Vec::new(), error: None }
    }
}

impl<Futures> Unpin for GatherTuple<Futures> {}

impl<Futures: Together> Future for GatherTuple<Futures> {
    type Output = Result<Futures::Output, JoinError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(futures) = this.futures.take() {
            this.values.resize_with(Futures::COUNT, || None);
            this.children = Some(Children::new(this.site, |ends| {
                let mut spawner = Spawner { site: this.site, ends, handles: Vec::new() };
                futures.spawn(&mut spawner);
                spawner.handles
            }));
        }
        let children = this.children.as_mut().expect("they were started");
        loop {
            match std::task::ready!(children.poll_next(cx)) {
                Next::Ended(number, Ok(value)) => this.values[number] = Some(value),
                Next::Ended(_, Err(error)) if children.is_cancelled() => {
                    this.error.get_or_insert(error);
                }
                Next::Ended(_, Err(error)) => {
                    children.release();
                    return Poll::Ready(Err(error));
                }
                Next::AllEnded => break,
            }
        }
        if let Some(error) = this.error.take() {
            return Poll::Ready(Err(error));
        }
        let values = std::mem::take(&mut this.values).into_iter();
        let values = values.map(|value| value.expect("all have ended")).collect();
        Poll::Ready(Ok(Futures::collect(values)))
    }
}
