//! Programs of tasks against the rules of cancellation.
//!
//! A program is a few trees of everything that tasks can do with each other: timeouts, catches with their
//! four answers, shields, scopes, groups, gathers, linked and detached tasks; and a list of what is done
//! to them from outside, and when. It runs on the real runtime, on a clock that moves by itself, and in the
//! model, which is written from the rules and knows neither wakers nor polls. What each task has
//! gone through, and at which nanosecond, must be the same; with one worker and with three.
//!
//! Durations are such that no two things happen at once, by chance: which would be first is not
//! promised, and a program in which they do is given up.

mod frame;
mod model;
mod program;
mod real;

use crate::{Target, Verdict};
use program::{End, Event, Log, Ns, Program, Record};

/// See the module.
pub const TARGET: Target = Target { name: "tasks", run, longest: 400 };

/// Without what is not promised.
fn tidy(mut record: Record, program: &Program) -> Record {
    // A child of a gather that was never polled could not register itself.
    let unseen =
        |log: &Log| log.iter().all(|(_, event)| matches!(event, Event::Dropped | Event::Ended));
    for log in &mut record.logs {
        if unseen(log) {
            log.retain(|(_, event)| *event != Event::Ended);
        }
        // What is dropped with the runtime is dropped at any time, by any thread.
        if let End::Drop(at) = program.end {
            log.retain(|(time, event)| *time < at || *event != Event::Ended);
            for (time, _) in log.iter_mut() {
                *time = at.min(*time);
            }
        }
    }
    for answer in &mut record.answers {
        *answer = Some(answer.unwrap_or_default());
    }
    record
}

/// What has happened before a shutdown whose order is not promised.
fn until(logs: Vec<Log>, end: Ns) -> Vec<Log> {
    let early = |log: Log| log.into_iter().filter(|(at, _)| *at < end).collect();
    logs.into_iter().map(early).collect()
}

/// Whoever has begun is dropped, once.
fn is_whole(log: &Log) -> bool {
    let count = |what: &Event| log.iter().filter(|(_, event)| event == what).count();
    count(&Event::Dropped) == usize::from(!log.is_empty()) && count(&Event::Ended) <= 1
}

fn show(what: &Record) -> String {
    let logs =
        what.logs.iter().enumerate().map(|(task, log)| format!("    task {task}: {log:?}\n"));
    format!("{}    answers {:?}, report {:?}", logs.collect::<String>(), what.answers, what.report)
}

/// Decodes a program and runs it.
///
/// # Errors
///
/// If runtime and model disagree.
pub fn run(bytes: &[u8]) -> Verdict {
    let program = Program::decode(bytes);
    let Ok((expected, open)) = model::run(&program) else { return Ok(()) };
    let expected = tidy(expected, &program);
    for (workers, open) in [1, 3].into_iter().zip(open) {
        let seen = tidy(real::run(Program::decode(bytes), workers), &program);
        let agree = match open {
            None => seen == expected,
            Some(open) => until(seen.logs.clone(), open) == until(expected.logs.clone(), open),
        };
        if !agree || !seen.logs.iter().all(is_whole) {
            let (seen, expected) = (show(&seen), show(&expected));
            return Err(format!(
                "{program}\n  {workers} workers:\n{seen}\n  the model (to the letter: {}):\n{expected}",
                open.is_none()
            ));
        }
    }
    Ok(())
}
