//! Arguments and moments that are rare: what a type refuses, and what is left when something fails twice.
#![cfg(target_os = "linux")]

mod support;

use std::collections::HashSet;
use std::fs::File;
use std::future::{Future, pending, ready};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream as StdStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};
use std::time::Duration;

use filch::io::{AsyncFd, Direction};
use filch::net::UnixStream;
use filch::{Runtime, Until, as_completed, spawn, task_group, wait};
use futures_lite::Stream;
use futures_lite::future::{block_on, poll_once};
use support::hush_panics;

const STUCK: Duration = Duration::from_secs(30);

fn panic_of<R>(f: impl FnOnce() -> R) -> String {
    let payload = catch_unwind(AssertUnwindSafe(f)).err().expect("it panics");
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => (*payload.downcast::<&str>().unwrap()).to_owned(),
    }
}

#[test]
fn a_file_descriptor_of_ones_own_is_watched_and_comes_back() {
    filch::run(async {
        let (ours, mut theirs) = StdStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let number = ours.as_raw_fd();
        let mut fd = AsyncFd::in_direction(ours, Direction::Read).unwrap();
        assert_eq!((fd.as_raw_fd(), fd.as_fd().as_raw_fd()), (number, number));
        assert_eq!(fd.get_mut().as_raw_fd(), number);

        let read = |mut ours: &StdStream| {
            let mut bytes = [0; 8];
            ours.read(&mut bytes).map(|read| bytes[..read].to_vec())
        };
        let none = fd.try_io(Direction::Read, read).unwrap_err();
        assert_eq!(none.kind(), io::ErrorKind::WouldBlock);
        // It waits for an event now, and does not even try.
        let none = fd.try_io(Direction::Read, |_| -> io::Result<()> { unreachable!() });
        assert_eq!(none.unwrap_err().kind(), io::ErrorKind::WouldBlock);

        theirs.write_all(b"one").unwrap();
        fd.ready(Direction::Read).await.unwrap();
        assert_eq!(fd.io(Direction::Read, read).await.unwrap(), b"one");
        theirs.write_all(b"two").unwrap();
        let two = std::future::poll_fn(|cx| fd.poll_io(cx, Direction::Read, read));
        assert_eq!(two.await.unwrap(), b"two");

        // Nobody watches over it any more: somebody else may.
        let again = AsyncFd::new(fd.into_inner()).unwrap();
        fd_is_writable(&again).await;
        assert_eq!(again.get_ref().as_raw_fd(), number);
    });
}

async fn fd_is_writable(fd: &AsyncFd<StdStream>) {
    let written = fd.io(Direction::Write, |mut ours| ours.write(b"back")).await;
    assert_eq!(written.unwrap(), 4);
}

#[test]
fn a_file_descriptor_that_cannot_be_watched_is_refused_and_leaves_nothing_behind() {
    filch::run(async {
        // More often than there are places in a slab of the driver's.
        for _ in 0..300 {
            let file = File::open(file_of_this_test()).unwrap();
            let error = AsyncFd::in_direction(file, Direction::Read).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}");
        }
    });
    let (ours, _theirs) = StdStream::pair().unwrap();
    let text = AsyncFd::new(ours).unwrap_err().to_string();
    assert!(text.contains("runtime"), "{text}");
}

fn file_of_this_test() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/unusual.rs")
}

#[test]
fn a_socket_knows_who_is_at_its_other_end() {
    filch::run(async {
        let (one, _other) = UnixStream::pair().unwrap();
        let (peer, me) = (one.peer_cred().unwrap(), std::fs::metadata("/proc/self").unwrap());
        assert_eq!((peer.uid(), peer.gid()), (me.uid(), me.gid()));
    });
}

#[test]
fn a_runtime_whose_threads_the_system_refuses_is_an_error() {
    // 64 TiB of stack.
    let refused = Runtime::builder().thread_stack_size(1 << 46).build().unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("thread"), "{text}");
    println!("{text}");
}

/// Panics when it is polled and again when it is dropped.
struct Twice;

impl Future for Twice {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        panic!("planned: the poll")
    }
}

impl Drop for Twice {
    fn drop(&mut self) {
        panic!("planned: the drop")
    }
}

#[test]
fn of_two_panics_of_a_task_the_first_is_told() {
    hush_panics("planned");
    filch::run(async {
        let error = spawn(Twice).await.unwrap_err();
        assert!(error.to_string().ends_with("panicked: planned: the poll"), "{error}");
        assert_eq!(spawn(ready(1)).await.unwrap(), 1, "the worker goes on");
    });
}

#[test]
fn what_has_given_its_result_gives_no_other() {
    hush_panics("polled again after");
    filch::run(async {
        let mut linked = spawn(ready(1)).linked();
        assert_eq!((&mut linked).await.unwrap(), 1);
        let text = panic_of(|| block_on(poll_once(&mut linked)));
        assert_eq!(text, "a linked handle was polled again after it had given its result");
        drop(linked);

        let mut group = Box::pin(task_group(async |_| Ok::<_, ()>(2)));
        assert_eq!(group.as_mut().await.unwrap(), 2);
        let text = panic_of(|| block_on(poll_once(group.as_mut())));
        assert_eq!(text, "a group was polled again after it had given its result");
    });
}

#[test]
fn a_group_outside_any_task_fails_as_others_do() {
    let error = block_on(task_group(async |_| Err::<(), _>("no"))).unwrap_err();
    let [failure] = error.errors() else { panic!("{error:?}") };
    assert_eq!(failure.error, "no");
    // It stands where a task's name would: a task that is none, and can be asked nevertheless.
    assert!(error.to_string().contains(file!()), "{error}");
    let nobody = failure.task.clone();
    assert_eq!((nobody.name(), nobody.spawned_at().file()), (None, file!()));
    assert_eq!(HashSet::from([nobody.clone(), nobody.clone()]).len(), 1);
    nobody.cancel();
    nobody.abort();
    drop((error, nobody));
}

#[test]
fn a_member_needs_a_runtime() {
    hush_panics("TaskGroup::spawn");
    let text = block_on(task_group(async |group| {
        let text = panic_of(|| group.spawn(async { Ok::<(), ()>(()) }));
        Ok::<_, ()>(text)
    }));
    assert!(text.unwrap().contains("TaskGroup::spawn"));
}

#[test]
fn a_wait_for_the_first_error_ends_with_a_panic_too() {
    hush_panics("planned");
    filch::run(async {
        let until = Until::<Result<(), &str>>::first_err();
        // (A copy, by hand.)
        let same = Clone::clone(&until);
        let forever = || spawn(pending::<Result<(), &str>>());
        let mut panics = vec![forever(), spawn(async { panic!("planned") })];
        let done = wait(&mut panics, same, None).await;
        assert_eq!((done.iter().all(|task| task.is_finished()), panics.len()), (true, 1));
        let mut fails = vec![forever(), spawn(ready(Ok(()))), spawn(ready(Err("no")))];
        let done = wait(&mut fails, until, None).await;
        assert!(done.iter().all(|task| task.is_finished()) && !fails[0].is_finished());
        // (The one that was ready may be in the rest, too.)
        [&fails[0], &panics[0]].into_iter().for_each(|task| assert!(task.abort()));
    });
}

#[test]
fn as_completed_knows_how_many_are_left() {
    filch::run(async {
        let mut left = as_completed([spawn(ready(1)), spawn(ready(2))]);
        assert_eq!(left.size_hint(), (2, Some(2)));
        assert!(left.next().await.unwrap().1.is_ok());
        assert_eq!(left.size_hint(), (1, Some(1)));
        assert_eq!(left.into_pending().len(), 1);
    });
}

filch::task_local! { static PLACE: u32 }

/// Says what happens to somebody who sets a task's local when it is too late.
struct TooLate(mpsc::Sender<String>);

impl Drop for TooLate {
    fn drop(&mut self) {
        self.0.send(panic_of(|| PLACE.set(2))).unwrap();
    }
}

#[test]
fn a_local_that_is_set_at_the_wrong_time_says_why_not() {
    hush_panics("PLACE");
    let text = panic_of(|| PLACE.set(1));
    assert!(text.starts_with("PLACE.set was called outside a task"), "{text}");
    let text = panic_of(|| PLACE.sync_scope(1, || ()));
    assert!(text.starts_with("PLACE.sync_scope was called outside a task"), "{text}");
    assert!(format!("{PLACE:?}").contains("PLACE"));

    let (late, told) = mpsc::channel();
    filch::run(async {
        spawn(async move {
            // A value of the task's own, dropped after the others are gone.
            KEEPS.set(std::sync::Arc::new(std::sync::Mutex::new(Some(TooLate(late)))));
        })
        .await
        .unwrap();
    });
    let text = told.recv_timeout(STUCK).unwrap();
    assert!(text.contains("at the end of its task"), "{text}");
}

filch::task_local! { static KEEPS: std::sync::Arc<std::sync::Mutex<Option<TooLate>>> }

#[test]
fn who_watches_the_task_of_block_on_is_told_of_its_end() {
    let runtime = Runtime::builder().worker_threads(1).build().unwrap();
    let (tell, told) = mpsc::channel();
    let value = runtime.block_on(async {
        let me = filch::task::current().unwrap();
        me.on_done(move |task| tell.send(task.id()).unwrap());
        filch::yield_now().await;
        (me.id(), 7)
    });
    assert_eq!(value, (told.recv_timeout(STUCK).unwrap(), 7));
}
