//! Which runtime this thread works for.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::rc::Rc;

use crate::io::{self, Door};
use crate::primitive::tls;
use crate::runtime::Handle;
use crate::scheduler::Scheduler;

tls! { static HANDLE: RefCell<Option<Rc<Handle>>> = RefCell::new(None) }
tls! {
    /// The scheduler of the same runtime: spawning needs no more, and this one has no destructor.
    static SCHEDULER: Cell<Option<&'static Scheduler>> = Cell::new(None)
}

tls! {
    /// The clock of the same runtime is moved by hand.
    static MANUAL_CLOCK: Cell<bool> = Cell::new(false)
}

/// While it lives, the thread belongs to a runtime; then to the one before.
pub(crate) struct Entered {
    handle: Option<Rc<Handle>>,
    scheduler: Option<&'static Scheduler>,
    door: Option<&'static Door>,
    manual_clock: bool,
    on_this_thread: PhantomData<*const ()>,
}

pub(crate) fn enter(handle: Handle) -> Entered {
    let scheduler = SCHEDULER.replace(Some(handle.scheduler()));
    let door = io::enter(Some(handle.scheduler().door()));
    let manual_clock = MANUAL_CLOCK.replace(handle.timer().clock().is_manual());
    let handle = HANDLE.replace(Some(Rc::new(handle)));
    Entered { handle, scheduler, door, manual_clock, on_this_thread: PhantomData }
}

impl Drop for Entered {
    fn drop(&mut self) {
        SCHEDULER.set(self.scheduler);
        io::enter(self.door);
        MANUAL_CLOCK.set(self.manual_clock);
        // The old handle may be the last one, so it is dropped outside the borrow.
        drop(HANDLE.replace(self.handle.take()));
    }
}

/// Runs `f` with this thread's runtime, if it has one. Outside the borrow: what `f` calls may enter
/// or leave a runtime.
#[inline]
pub(crate) fn with<R>(f: impl FnOnce(&Handle) -> R) -> Option<R> {
    let handle = HANDLE.try_with(|handle| handle.borrow().clone()).ok().flatten();
    handle.map(|handle| f(&handle))
}

pub(crate) fn has_manual_clock() -> bool {
    MANUAL_CLOCK.get()
}

pub(crate) fn scheduler() -> Option<&'static Scheduler> {
    SCHEDULER.with(Cell::get)
}

/// What to say when something needs a runtime and there is none.
#[cold]
#[track_caller]
pub(crate) fn none(what: &str) -> ! {
    panic!(
        "{what} was called outside a filch runtime: call it inside `filch::run(async {{ … }})`, \
         `Runtime::block_on` or `#[filch::main]`, or use a `Handle` (`runtime.handle()`) from \
         other threads"
    )
}
