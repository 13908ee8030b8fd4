//! The line of the compute lane: each job has one end, and none is left in a closed line. (A child module of the
//! line's, so that it may use what is private there. What stands for rayon is a thread that has its tokens.)

use std::panic::Location;
use std::sync::Arc;

use loom::thread;

use super::{Line, Refused, Taken, Ticket};
use crate::__models::task::Bell;
use crate::error::JoinError;
use crate::job::{Job, OnPool};
use crate::scheduler::Scheduler;
use crate::task::cell::{self, Join, Spawn};
use crate::task::extra::{self, Extra, Force, Request};
use crate::task::pool::Boxed;

/// As `spawn_compute_on`, without the token.
fn submit(line: &Arc<Line>, scheduler: &'static Scheduler) -> Join<()> {
    let ticket = Ticket::new(line, None);
    let mut extra = Boxed::<Extra>::default();
    extra.stands_in(ticket.clone());
    let site = Location::caller();
    let new = Spawn { owner: scheduler, site, home: None, extra: Some(extra) };
    let (job, handle) = cell::spawn::<OnPool, _>(Job::new(|| ()), new);
    match line.join(&ticket, job) {
        Ok(()) => {}
        Err(Refused::Closed(taken)) => drop(taken),
        Err(Refused::Full(_)) => panic!("MODEL: there is room in the line"),
    }
    handle
}

/// As `Inner::serve`.
fn token(line: &Line) {
    if let Some(Taken { job, .. }) = line.next() {
        let _ = job.run();
        line.ended();
    }
}

fn open() -> (Arc<Line>, &'static Scheduler) {
    (Arc::new(Line::new(4, 1)), Box::leak(Box::new(Scheduler::new(0))))
}

fn cancel(job: &Join<()>) -> bool {
    let request = Request { reason: None, place: Location::caller() };
    extra::on_request(&job.task(), request, Force::Cancel)
}

/// Waits for its end.
fn end(mut job: Join<()>) -> Result<(), JoinError> {
    Bell::new().join(&mut job)
}

fn assert_empty(line: &Line) {
    let counts = line.counts();
    assert!((counts.waiting, counts.running) == (0, 0), "MODEL: the counts are right");
    assert!(line.front().is_none(), "MODEL: no ticket is left");
}

/// Two jobs, two tokens; the first job is cancelled at any moment. The second is run in any case.
pub fn cancel_take() {
    let (line, scheduler) = open();
    let (first, second) = (submit(&line, scheduler), submit(&line, scheduler));
    let pool = {
        let line = line.clone();
        thread::spawn(move || (0..2).for_each(|_| token(&line)))
    };
    let asked = cancel(&first);
    if let Err(error) = end(first) {
        assert!(asked && error.is_cancelled(), "MODEL: it was cancelled");
    }
    end(second).expect("MODEL: it was run");
    pool.join().unwrap();
    assert_empty(&line);
}

/// And the line may be closed at any moment.
pub fn cancel_take_close() {
    let (line, scheduler) = open();
    let job = submit(&line, scheduler);
    let pool = {
        let line = line.clone();
        thread::spawn(move || token(&line))
    };
    let closer = {
        let line = line.clone();
        thread::spawn(move || line.close())
    };
    let _ = cancel(&job);
    if let Err(error) = end(job) {
        assert!(error.is_cancelled(), "MODEL: it was cancelled, or the end came");
    }
    pool.join().unwrap();
    closer.join().unwrap();
    assert_empty(&line);
}

/// A job comes while the line is closed: nobody has a token for it any more. (A ticket that stayed would keep the line,
/// and the line the ticket.)
pub fn submit_close() {
    let (line, scheduler) = open();
    let closer = {
        let line = line.clone();
        thread::spawn(move || line.close())
    };
    let job = submit(&line, scheduler);
    let error = end(job).expect_err("MODEL: nobody could run it");
    assert!(error.is_cancelled(), "MODEL: the end came");
    closer.join().unwrap();
    assert_empty(&line);
}
