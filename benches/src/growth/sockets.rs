//! More and more connections to an echo server.

use std::io;
use std::time::Duration;

use super::Grows;
use crate::contender::Serves;
use crate::load::{Exchange, Limit, Load};
use crate::served::Server;
use crate::service::Service;
use crate::usage;

/// Figures: time and CPU per request, memory per connection.
#[derive(Clone, Copy)]
pub(super) struct Echo;

const WARM_UP: Duration = Duration::from_millis(100);
const ROUND: Duration = Duration::from_millis(700);
const BYTES: usize = 64;
/// Memory is counted in pages, and the first connections bring what all share.
const ENOUGH_FOR_MEMORY: usize = 1_000;

impl Grows for Echo {
    fn measure<C: Serves>(self, size: usize, workers: usize) -> Vec<f64> {
        // The server inherits it.
        let files = usage::allow_files(size as u64 + 100);
        let figures = match files {
            Some(files) if files < size as u64 + 50 => {
                Err(io::Error::other(format!("only {files} files may be open")))
            }
            _ => figures(C::NAME, size, workers),
        };
        figures.unwrap_or_else(|error| panic!("{}: {error}", C::NAME))
    }
}

fn figures(contender: &str, size: usize, workers: usize) -> io::Result<Vec<f64>> {
    let mut server = Server::start(Service::Echo, contender, workers)?;
    let mut load = Load::connect(server.port(), 1, Exchange::echo(BYTES))?;
    load.run(Limit::Requests(10))?;
    let before = server.resident()?;
    let mut load = Load::connect(server.port(), size, Exchange::echo(BYTES))?;
    load.run(Limit::Time(WARM_UP))?;
    let memory = (server.resident()? - before) / size as f64;
    let cpu_before = server.cpu_ns()?;
    let outcome = load.run(Limit::Time(ROUND))?;
    let cpu = (server.cpu_ns()? - cpu_before) / outcome.all_answers as f64;
    let time = outcome.time.as_nanos() as f64 / outcome.answers as f64;
    Ok(vec![time, cpu, if size >= ENOUGH_FOR_MEMORY { memory } else { f64::NAN }])
}
