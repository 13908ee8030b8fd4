//! Values that belong to a task: [`task_local!`](crate::task_local), asyncio's context variables.
//!
//! ```text
//!  parent ──► map { REQ, DEPTH } ◄── child        at the spawn: one map, two owners
//!  parent ──► map { REQ, DEPTH }     child ──► map { REQ, DEPTH' }    after the child's first write
//! ```
//!
//! A task has *one* map for all its locals, and none if there are no locals. A child starts with its
//! parent's map, which costs one count; who writes while others share the map copies it first. So
//! writes stay with the task that made them, and a parent hears nothing of its children's.
//!
//! The map is one of the [rare fields](super::extra) of its task, and a child only gets such fields
//! for it if its parent has a map: a program without locals pays one look a spawn.
//!
//! Only the thread that polls a task ever looks at the task's map: the current task is the only one
//! that can be named here, and it is polled by one thread. The mutex is there because the compiler
//! cannot know that; nobody ever waits for it. What comes out of the map is dropped after it is
//! unlocked, for that runs user-written code, which may well use locals again. What is in the map
//! at the end is dropped by whoever ends the task, inside the task and before its end is seen; not
//! with the memory of the task, which may be freed by anybody who had a handle, anywhere.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::cell;
use super::extra::Extra;
use super::pool::Boxed;

/// Declares values that belong to tasks: each task has its own, and a new task starts with those of the
/// task that spawned it.
///
/// What is declared is a static of type [`task::LocalKey`](crate::task::LocalKey), whose methods read
/// and change the current task's value. With `= value` there is a default for tasks that never set
/// one. Values are `Send + Sync + 'static`.
///
/// A child gets what its parent has at the moment of the spawn, whether by
/// [`spawn`](fn@crate::spawn), [`Handle::spawn`](crate::Handle::spawn),
/// [`task::Builder`](crate::task::Builder), [`spawn_blocking`](fn@crate::spawn_blocking) or as a
/// member of a group. What it sets stays its own. A task's values are dropped when it ends, before
/// its joiner hears of that; a panic in such a drop is reported by the panic hook and goes no further.
///
/// ```
/// filch::task_local! {
///     /// Which request this task works for.
///     static REQUEST: String;
///     static DEPTH: u32 = 0;
/// }
///
/// filch::run(async {
///     REQUEST.set("GET /".to_owned());
///     let child = filch::spawn(async {
///         DEPTH.set(1);
///         (REQUEST.get(), DEPTH.get())
///     });
///     assert_eq!(child.await.unwrap(), (Some("GET /".to_owned()), Some(1)));
///     assert_eq!(DEPTH.get(), Some(0), "what a child sets is its own");
///
///     let job = filch::spawn_blocking(|| REQUEST.get());
///     assert_eq!(job.await.unwrap().as_deref(), Some("GET /"));
/// });
/// ```
#[doc(alias = "thread_local")]
#[doc(alias = "contextvars")]
#[doc(alias = "ContextVar")]
#[doc(alias = "copy_context")]
#[macro_export]
macro_rules! task_local {
    (@default $ty:ty) => { ::core::option::Option::None };
    (@default $ty:ty = $value:expr) => {
        ::core::option::Option::Some({
            fn default() -> $ty {
                $value
            }
            default
        })
    };
    ($($(#[$attr:meta])* $vis:vis static $name:ident : $ty:ty $(= $value:expr)?);* $(;)?) => {
        $(
            $(#[$attr])*
            $vis static $name: $crate::task::LocalKey<$ty> = $crate::task::LocalKey::__new(
                ::core::stringify!($name),
                $crate::task_local!(@default $ty $(= $value)?),
            );
        )*
    };
}

/// Names a value that each task has its own of; declared with [`task_local!`](crate::task_local).
///
/// Besides tasks there are two places that have locals: a closure in
/// [`spawn_blocking`](fn@crate::spawn_blocking) or [`spawn_compute`](fn@crate::spawn_compute), which is a task too, and the future of
/// [`block_on`](crate::Runtime::block_on) (inside such a closure, it starts with the closure's). On all
/// other threads, and in callbacks ([`Task::on_done`](crate::task::Task::on_done)), no task
/// is current: there `with` and `get` find the default or nothing.
#[doc(alias = "ContextVar")]
#[doc(alias = "thread_local")]
pub struct LocalKey<T: 'static> {
    name: &'static str,
    init: Option<fn() -> T>,
    /// Made by the first who asks for it; for all tasks.
    default: OnceLock<T>,
}

impl<T: Send + Sync + 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn __new(name: &'static str, init: Option<fn() -> T>) -> LocalKey<T> {
        LocalKey { name, init, default: OnceLock::new() }
    }

    /// Sets the current task's value. Tasks that it spawned before keep the one they have.
    ///
    /// # Panics
    ///
    /// Outside a task (there is nothing it could belong to), and in the drop of a value that is
    /// dropped because its task ends.
    ///
    /// ```
    /// filch::task_local! { static USER: &'static str }
    /// filch::run(async {
    ///     USER.set("ada");
    ///     let child = filch::spawn(async {
    ///         filch::yield_now().await;
    ///         USER.get()
    ///     });
    ///     USER.set("grace");
    ///     assert_eq!((child.await.unwrap(), USER.get()), (Some("ada"), Some("grace")));
    /// });
    /// ```
    #[track_caller]
    pub fn set(&'static self, value: T) {
        match self.swap(Some(Arc::new(value))) {
            Ok(old) => drop(old),
            Err(refused) => self.refuse("set", refused),
        }
    }

    /// Calls `f` with the current task's value, or the default; with `None` if there is neither,
    /// for instance outside tasks. What `f` sets meanwhile does not change what it was given.
    ///
    /// The default is made once, by the first task that asks for it, and lives as long as the program.
    ///
    /// ```
    /// filch::task_local! { static TAGS: Vec<u8> = vec![7] }
    /// assert_eq!(TAGS.with(|tags| tags.map(Vec::len)), Some(1));
    /// filch::run(async {
    ///     TAGS.set(vec![1, 2, 3]);
    ///     assert_eq!(TAGS.with(|tags| tags.map(Vec::len)), Some(3));
    /// });
    /// ```
    pub fn with<R>(&'static self, f: impl FnOnce(Option<&T>) -> R) -> R {
        // A count keeps the value alive, so that nothing is locked while `f` runs.
        let value = locals_of_current(|locals| locals.get(self.key())).flatten();
        match &value {
            Some(value) => f(Some(value.downcast_ref().expect("a key has one type of values"))),
            None => f(self.init.map(|init| self.default.get_or_init(init))),
        }
    }

    /// The current task's value, cloned. Always there if the declaration has a default; without one,
    /// `None` in tasks that never got a value and outside tasks.
    ///
    /// ```
    /// filch::task_local! { static USER: String; static DEPTH: u32 = 0 }
    /// assert_eq!((USER.get(), DEPTH.get()), (None, Some(0)));
    /// ```
    pub fn get(&'static self) -> Option<T>
    where
        T: Clone,
    {
        self.with(|value| value.cloned())
    }

    /// Runs a future with this value: it is there while the future is polled (or dropped), and the
    /// task's former one is back after each poll. So it belongs to this part of the task and what is
    /// spawned in it; what sets it inside changes it for the rest of the scope.
    ///
    /// # Panics
    ///
    /// When polled outside a task of this runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping it drops the future, with the value in place.
    ///
    /// ```
    /// filch::task_local! { static USER: &'static str }
    /// filch::run(async {
    ///     USER.set("ada");
    ///     let (inside, child) = USER
    ///         .scope("grace", async { (USER.get(), filch::spawn(async { USER.get() })) })
    ///         .await;
    ///     assert_eq!((inside, child.await.unwrap()), (Some("grace"), Some("grace")));
    ///     assert_eq!(USER.get(), Some("ada"));
    /// });
    /// ```
    #[doc(alias = "TaskLocalFuture")]
    pub fn scope<F: IntoFuture>(&'static self, value: T, future: F) -> Scoped<T, F::IntoFuture> {
        Scoped { future: Some(future.into_future()), key: self, value: Some(Arc::new(value)) }
    }

    /// Calls `f` with this value in place; then the task's former one is back.
    ///
    /// # Panics
    ///
    /// Outside a task.
    ///
    /// ```
    /// filch::task_local! { static DEPTH: u32 = 0 }
    /// filch::run(async {
    ///     assert_eq!(DEPTH.sync_scope(1, || DEPTH.get()), Some(1));
    ///     assert_eq!(DEPTH.get(), Some(0));
    /// });
    /// ```
    #[track_caller]
    pub fn sync_scope<R>(&'static self, value: T, f: impl FnOnce() -> R) -> R {
        let mut value: Option<Value> = Some(Arc::new(value));
        let _inside = match Inside::enter(self, &mut value) {
            Ok(inside) => inside,
            Err(refused) => self.refuse("sync_scope", refused),
        };
        f()
    }

    /// Statics have addresses of their own (and this one is not empty).
    fn key(&'static self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn swap(&'static self, value: Option<Value>) -> Result<Option<Value>, Refused> {
        let mut value = Some(value);
        let swapped = cell::with_current(|task| {
            let value = value.take().expect("it is called once");
            task.extra_or_new().locals().swap(self.key(), value)
        });
        swapped.unwrap_or(Err(Refused::NoTask))
    }

    #[cold]
    #[track_caller]
    fn refuse(&self, what: &str, refused: Refused) -> ! {
        let name = self.name;
        match refused {
            Refused::NoTask => panic!(
                "{name}.{what} was called outside a task, so there is nothing the value could \
                 belong to; do it inside `filch::run`, `filch::spawn` or `filch::spawn_blocking` (what is set \
                 there before a spawn is inherited), or declare a default: `static {name}: … = …`"
            ),
            Refused::Over => panic!(
                "{name}.{what} was called in a drop at the end of its task, which has no \
                 locals any more; do it before the task ends"
            ),
        }
    }
}

impl<T> fmt::Debug for LocalKey<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").field("name", &self.name).finish_non_exhaustive()
    }
}

// ── the map of a task ─────────────────────────────────────────────────────────────────────────

type Value = Arc<dyn Any + Send + Sync>;

/// By key; there are few, so a look goes through all.
pub(crate) type Map = Vec<(usize, Value)>;

/// The locals of a task. Nothing is in here until the first is set.
#[derive(Default)]
pub(crate) struct Locals(OnceLock<Mutex<Table>>);

#[derive(Default)]
struct Table {
    /// Shared with parents and children that have not written since. Never empty.
    map: Option<Arc<Map>>,
    /// The task has ended: nothing new comes in.
    over: bool,
}

#[derive(Debug, Clone, Copy)]
enum Refused {
    NoTask,
    Over,
}

impl Locals {
    fn table(&self) -> Option<MutexGuard<'_, Table>> {
        self.0.get().map(|table| table.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn get(&self, key: usize) -> Option<Value> {
        let table = self.table()?;
        let (_, value) = table.map.as_ref()?.iter().find(|(other, _)| *other == key)?;
        Some(Arc::clone(value))
    }

    /// Puts a value into its place, or takes it away. The one before is given back, for the caller to
    /// drop: in here nothing user-written runs. (To copy a map is to count its values, and the
    /// copy keeps each of them alive.)
    fn swap(&self, key: usize, value: Option<Value>) -> Result<Option<Value>, Refused> {
        let mut table = match (self.0.get(), &value) {
            (None, None) => return Ok(None),
            _ => self.0.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner),
        };
        if table.over {
            drop(table);
            return Err(Refused::Over);
        }
        let map = Arc::make_mut(table.map.get_or_insert_default());
        let index = map.iter().position(|(other, _)| *other == key);
        let old = match (index, value) {
            (Some(index), Some(value)) => Some(std::mem::replace(&mut map[index].1, value)),
            (Some(index), None) => Some(map.swap_remove(index).1),
            (None, Some(value)) => {
                map.push((key, value));
                None
            }
            (None, None) => None,
        };
        if map.is_empty() {
            table.map = None;
        }
        Ok(old)
    }

    /// The task has ended: what is to be dropped.
    pub(super) fn end(&self) -> Option<Arc<Map>> {
        let mut table = self.table()?;
        table.over = true;
        table.map.take()
    }
}

impl fmt::Debug for Locals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locals")
    }
}

fn locals_of_current<R>(f: impl FnOnce(&Locals) -> R) -> Option<R> {
    cell::with_current(|task| task.extra().map(|extra| f(extra.locals()))).flatten()
}

/// What a task that is spawned here starts with: also the locals of the one that spawns it.
#[inline]
pub(crate) fn inherited(extra: Option<Boxed<Extra>>) -> Option<Boxed<Extra>> {
    match cell::with_current(|task| task.extra().is_some()) {
        Some(true) => inherited_by(extra),
        _ => extra,
    }
}

/// The current task has an `Extra`, and there may be locals in it.
fn inherited_by(extra: Option<Boxed<Extra>>) -> Option<Boxed<Extra>> {
    let map = locals_of_current(|locals| locals.table()?.map.clone()).flatten();
    let Some(map) = map else { return extra };
    let extra = extra.unwrap_or_default();
    let _ = extra.locals().0.set(Mutex::new(Table { map: Some(map), over: false }));
    Some(extra)
}

// ── scopes ────────────────────────────────────────────────────────────────────────────────────

/// While it lives, what was in `value` is the current task's, and what the task had is in `value`.
/// It stands on the stack of a poll (or of a drop) in that task, so the task is the same at the end.
struct Inside<'a, T: Send + Sync + 'static> {
    key: &'static LocalKey<T>,
    value: &'a mut Option<Value>,
}

impl<'a, T: Send + Sync + 'static> Inside<'a, T> {
    fn enter(
        key: &'static LocalKey<T>,
        value: &'a mut Option<Value>,
    ) -> Result<Inside<'a, T>, Refused> {
        *value = key.swap(value.clone())?;
        Ok(Inside { key, value })
    }
}

impl<T: Send + Sync + 'static> Drop for Inside<'_, T> {
    fn drop(&mut self) {
        // (It cannot be refused: it was not at the beginning.)
        if let Ok(value) = self.key.swap(self.value.take()) {
            *self.value = value;
        }
    }
}

pin_project! {
    /// The future of [`LocalKey::scope`].
    #[must_use = "futures do nothing unless awaited"]
    pub struct Scoped<T, F>
    where
        T: Send,
        T: Sync,
        T: 'static,
    {
        #[pin]
        future: Option<F>,
        key: &'static LocalKey<T>,
        // The scope's value; during a poll, the one it covers.
        value: Option<Value>,
    }

    impl<T, F> PinnedDrop for Scoped<T, F>
    where
        T: Send,
        T: Sync,
        T: 'static,
    {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            if this.future.is_some() {
                // Outside a task (never spawned, for instance) the value is just not there.
                let _inside = Inside::enter(this.key, this.value);
                this.future.set(None);
            }
        }
    }
}

impl<T: Send + Sync + 'static, F: Future> Future for Scoped<T, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let mut this = self.project();
        let _inside = match Inside::enter(this.key, this.value) {
            Ok(inside) => inside,
            Err(refused) => this.key.refuse("scope", refused),
        };
        let future = this.future.as_mut().as_pin_mut();
        let polled = future.expect("a scope was polled after it was ready").poll(cx);
        if polled.is_ready() {
            this.future.set(None);
        }
        polled
    }
}

impl<T: Send + Sync + 'static, F: fmt::Debug> fmt::Debug for Scoped<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scoped").field("key", self.key).field("future", &self.future).finish()
    }
}

#[cfg(all(test, not(filch_loom)))]
mod tests {
    use super::*;

    crate::task_local! { static NUMBER: u32 = 1 }

    fn map(extra: Option<&Extra>) -> Option<Arc<Map>> {
        extra?.locals().table()?.map.clone()
    }

    fn map_here() -> Option<Arc<Map>> {
        cell::with_current(|task| map(task.extra())).flatten()
    }

    #[test]
    fn a_child_gets_rare_fields_only_for_locals_there_are() {
        crate::run(async {
            assert!(inherited(None).is_none());
            NUMBER.scope(2, async { assert!(inherited(None).is_some()) }).await;
            assert!(map_here().is_none() && inherited(None).is_none(), "the map was left empty");
        });
        assert!(inherited(None).is_none(), "outside tasks there is nothing to inherit");
    }

    #[test]
    fn the_map_is_one_until_somebody_writes() {
        crate::run(async {
            NUMBER.set(2);
            let ours = map_here().unwrap();
            let child = inherited(None);
            assert!(Arc::ptr_eq(&ours, &map(child.as_deref()).unwrap()));
            NUMBER.set(3);
            assert!(Arc::ptr_eq(&ours, &map(child.as_deref()).unwrap()));
            assert!(!Arc::ptr_eq(&ours, &map_here().unwrap()));
            drop((ours, child));
            let alone = map_here().map(|map| Arc::as_ptr(&map));
            NUMBER.set(4);
            assert_eq!(map_here().map(|map| Arc::as_ptr(&map)), alone, "nobody shares it now");
        });
    }
}
