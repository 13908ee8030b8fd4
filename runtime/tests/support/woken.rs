//! A combinator that polls only the children that were woken, as `FuturesUnordered` does.
#![allow(dead_code, reason = "not every test uses everything")]

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

pub(crate) type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Gives what each future gave, in their order.
pub(crate) fn all<T>(futures: Vec<Boxed<T>>) -> All<T> {
    All { children: futures.into_iter().map(Child::new).collect() }
}

pub(crate) struct All<T> {
    children: Vec<Child<T>>,
}

struct Child<T> {
    future: Option<Boxed<T>>,
    output: Option<T>,
    bell: Arc<Bell>,
}

struct Bell {
    rung: AtomicBool,
    outer: Mutex<Option<Waker>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        let outer = self.outer.lock().unwrap().take();
        outer.into_iter().for_each(Waker::wake);
    }
}

impl<T> Child<T> {
    fn new(future: Boxed<T>) -> Child<T> {
        let bell = Arc::new(Bell { rung: AtomicBool::new(true), outer: Mutex::new(None) });
        Child { future: Some(future), output: None, bell }
    }
}

impl<T> Unpin for All<T> {}

impl<T> Future for All<T> {
    type Output = Vec<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Vec<T>> {
        for child in &mut self.children {
            let Some(future) = &mut child.future else { continue };
            *child.bell.outer.lock().unwrap() = Some(cx.waker().clone());
            if !child.bell.rung.swap(false, Ordering::AcqRel) {
                continue;
            }
            let waker = Waker::from(Arc::clone(&child.bell));
            if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
                child.future = None;
                child.output = Some(output);
            }
        }
        if self.children.iter().any(|child| child.future.is_some()) {
            return Poll::Pending;
        }
        Poll::Ready(self.children.iter_mut().filter_map(|child| child.output.take()).collect())
    }
}
