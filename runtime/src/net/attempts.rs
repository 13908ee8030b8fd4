//! An address after the other, until one can be had; the error tells of all.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;

/// What went wrong so far.
pub(super) struct Attempts {
    /// "connect to", "bind a TCP listener to".
    what: &'static str,
    failed: Vec<(SocketAddr, io::Error)>,
}

impl Attempts {
    pub(super) fn to(what: &'static str) -> Attempts {
        Attempts { what, failed: Vec::new() }
    }

    pub(super) fn failed(&mut self, at: SocketAddr, error: io::Error) {
        self.failed.push((at, error));
    }

    /// The last one's error, which tells of all addresses. (Its source is the system's own.)
    pub(super) fn into_error(mut self) -> io::Error {
        let Some((at, last)) = self.failed.pop() else {
            return io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "there is no address to {}: the list or the resolver's answer is empty",
                    self.what
                ),
            );
        };
        let earlier = self.failed;
        io::Error::new(last.kind(), Failed { what: self.what, at, last, earlier })
    }
}

#[derive(Debug)]
struct Failed {
    what: &'static str,
    at: SocketAddr,
    last: io::Error,
    earlier: Vec<(SocketAddr, io::Error)>,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.what, self.at, self.last)?;
        for (number, (at, error)) in self.earlier.iter().enumerate() {
            let before = if number == 0 { " (before that," } else { ";" };
            write!(f, "{before} {at}: {error}")?;
        }
        if !self.earlier.is_empty() {
            write!(f, ")")?;
        }
        Ok(())
    }
}

impl Error for Failed {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.last)
    }
}

#[cfg(all(test, not(filch_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_the_last_ones_and_tells_of_all() {
        let mut attempts = Attempts::to("connect to");
        for (port, code) in [(1, 13), (2, 98), (3, 111)] {
            let at = ([127, 0, 0, 1], port).into();
            attempts.failed(at, io::Error::from_raw_os_error(code));
        }
        let error = attempts.into_error();
        let text = error.to_string();
        assert_eq!(error.kind(), io::Error::from_raw_os_error(111).kind());
        assert!(text.starts_with("cannot connect to 127.0.0.1:3: "), "{text}");
        assert!(text.contains("(before that, 127.0.0.1:1: ") && text.contains("; 127.0.0.1:2: "));
        assert!(text.ends_with(')'), "{text}");
        let source = error.get_ref().and_then(|error| error.source());
        let source = source.and_then(|source| source.downcast_ref::<io::Error>());
        assert_eq!(source.and_then(io::Error::raw_os_error), Some(111));

        let none = Attempts::to("connect to").into_error();
        assert_eq!(none.kind(), io::ErrorKind::InvalidInput);
        assert!(none.to_string().contains("no address to connect to"));
    }
}
