//! filch under everything at once, for as long as one likes.
//!
//! Crews of tasks and threads do at random what the runtime offers (`crews`), on too many workers for the machine.
//! Time goes in epochs. At the end of each everybody comes to rest, and then everything must be as it was: the
//! books balanced (`ledger`), no task, timer, socket or job left, no more memory, files or threads than after the
//! first epochs (`audit`). Between the ends somebody watches that everybody makes progress (`watch`).

use std::alloc::System;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cap::Cap;

mod arguments;
mod audit;
mod crews;
mod ledger;
mod report;
mod run;
mod system;
mod watch;
mod world;

use arguments::{Arguments, USAGE};
use crews::KINDS;

/// Counts what is allocated: memory that leaks shows here long before it does in the resident set.
#[global_allocator]
static HEAP: Cap<System> = Cap::new(System, usize::MAX);

fn main() -> ExitCode {
    let arguments = match Arguments::parse(lexopt::Parser::from_env()) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if arguments.help {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    if arguments.list {
        KINDS.iter().for_each(|kind| println!("{:8} × {}  {}", kind.name, kind.members, kind.what));
        return ExitCode::SUCCESS;
    }
    let known = |name: &String| KINDS.iter().any(|kind| kind.name == name);
    if let Some(unknown) = arguments.only.iter().find(|name| !known(name)) {
        eprintln!("there is no crew `{unknown}`: --list names them");
        return ExitCode::from(2);
    }
    let seed = arguments.seed.unwrap_or_else(|| {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        (time.as_nanos() as u64) & 0xffff_ffff
    });
    hush_planned_panics();
    run::run(&Arc::new(arguments), seed)
}

/// The others are told as ever, and found wrong where they arrive.
fn hush_planned_panics() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
        if !text.is_some_and(|text| text.contains(world::PLANNED)) {
            default(info);
        }
    }));
}

/// `1:02:03`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}
