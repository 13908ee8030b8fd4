//! The token rides `?` in whatever errors a program uses.

#![deny(warnings)]

use std::error::Error;
use std::fmt;

use filch::{Cancelled, catch_cancel, yield_now};

#[derive(Debug)]
enum Failure {
    Cancelled(Cancelled),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Cancelled(token) => token.fmt(f),
        }
    }
}

impl From<Cancelled> for Failure {
    fn from(token: Cancelled) -> Failure {
        Failure::Cancelled(token)
    }
}

async fn plain() -> Result<(), Cancelled> {
    catch_cancel(yield_now()).await
}

async fn boxed() -> Result<(), Box<dyn Error>> {
    Ok(catch_cancel(yield_now()).await?)
}

async fn boxed_for_tasks() -> Result<(), Box<dyn Error + Send + Sync>> {
    Ok(catch_cancel(yield_now()).await?)
}

async fn of_ones_own() -> Result<(), Failure> {
    Ok(catch_cancel(yield_now()).await?)
}

async fn of_io() -> std::io::Result<()> {
    catch_cancel(yield_now()).await.map_err(std::io::Error::other)
}

fn main() {
    filch::run(async {
        drop(boxed());
        filch::spawn(plain());
        filch::spawn(boxed_for_tasks());
        filch::spawn(of_ones_own());
        filch::spawn(of_io());
    });
}
