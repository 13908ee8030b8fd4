//! A service that computes *and* waits: it makes thumbnails of the pictures it is sent, which takes a CPU for tens of
//! milliseconds, and answers cheap requests beside it, which must not notice.
//!
//! ```console
//! $ cargo run --release -p filch-example-service -- --listen 127.0.0.1:8080
//! listening on http://127.0.0.1:8080
//! $ cargo run --release -p filch-example-service -- --make-sample sample.jpg
//! $ curl --data-binary @sample.jpg 'http://127.0.0.1:8080/thumbnail?width=256' > thumbnail.jpg
//! $ curl http://127.0.0.1:8080/hello
//! hello
//! ```
//!
//! | route | answer |
//! |-------|--------|
//! | `GET /` | a page that draws how long requests take, live |
//! | `GET /hello` | a cheap answer |
//! | `POST /thumbnail?width=…` | the body is a picture (PNG or JPEG), the answer a small one of the same kind |
//! | `GET /sample.jpg` | a picture to try that with |
//! | `GET /metrics` | figures for Prometheus: latencies by route, what the runtime is doing |
//!
//! `--load` starts a second process that is the server, drives it over loopback, and tells how long cheap requests
//! take while thumbnails are made and while they are not.
//!
//! # Where to read on
//!
//! - [`server`]: connections, and how they end. `SIGTERM` means: no more of them, but what has begun is answered.
//! - [`routes`]: requests, and what can go wrong with them.
//! - [`picture`]: the work. It knows nothing of all the rest, but looks now and then whether it is still wanted.
//! - [`figures`] and [`runtime_figures`]: what `/metrics` tells.
//! - [`load`]: the other side.
//!
//! The place where computing and waiting meet is one line of `routes.rs`: `filch::spawn_compute`. Workers, which
//! answer within microseconds, never run what it is given; threads of a lower priority do, and a line of
//! limited length forms in front of them.

mod arguments;
mod figures;
mod load;
mod picture;
mod routes;
mod runtime_figures;
mod server;

use std::error::Error;
use std::process::ExitCode;

use arguments::{Arguments, Mode};

fn main() -> Result<ExitCode, Box<dyn Error + Send + Sync>> {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("{error}\n\n{}", arguments::USAGE);
            return Ok(ExitCode::from(2));
        }
    };
    match &arguments.mode {
        Mode::Help => println!("{}", arguments::USAGE),
        Mode::MakeSample(file) => std::fs::write(file, picture::sample())
            .map_err(|error| format!("{}: {error}", file.display()))?,
        Mode::Load => load::run(&arguments)?,
        Mode::Serve => return Ok(server::run(&arguments)?),
    }
    Ok(ExitCode::SUCCESS)
}
