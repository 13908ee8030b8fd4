//! What can be said on the command line.

use std::path::PathBuf;
use std::time::Duration;

use lexopt::ValueExt;

pub(crate) const USAGE: &str = "\
cargo run --release -p filch-soak -- [OPTIONS]

  --duration TIME   how long: 90s, 5m, 1h (5m)
  --seed N          of everything that is chosen at random; what is told at the beginning can be run again
  --workers N       workers of the long-lived runtime (four for each CPU)
  --epoch TIME      the books are closed and compared that often (60s, but at least five times)
  --patience TIME   what makes no progress for so long hangs (90s)
  --only A,B        only these crews: --list names them
  --report FILE     the report, as Markdown, also into a file
  --list            the crews, and what they do

The exit status is 0 only if nothing was wrong.
";

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) duration: Duration,
    pub(crate) seed: Option<u64>,
    pub(crate) workers: Option<usize>,
    pub(crate) epoch: Option<Duration>,
    pub(crate) patience: Duration,
    pub(crate) only: Vec<String>,
    pub(crate) report: Option<PathBuf>,
    pub(crate) list: bool,
    pub(crate) help: bool,
}

impl Arguments {
    pub(crate) fn parse(mut parser: lexopt::Parser) -> Result<Arguments, lexopt::Error> {
        use lexopt::Arg::{Long, Short};
        let mut arguments = Arguments {
            duration: Duration::from_secs(300),
            seed: None,
            workers: None,
            epoch: None,
            patience: Duration::from_secs(90),
            only: Vec::new(),
            report: None,
            list: false,
            help: false,
        };
        while let Some(argument) = parser.next()? {
            match argument {
                Long("duration") => arguments.duration = time(&mut parser)?,
                Long("seed") => arguments.seed = Some(parser.value()?.parse()?),
                Long("workers") => arguments.workers = Some(parser.value()?.parse()?),
                Long("epoch") => arguments.epoch = Some(time(&mut parser)?),
                Long("patience") => arguments.patience = time(&mut parser)?,
                Long("only") => {
                    let names = parser.value()?.string()?;
                    arguments.only.extend(names.split(',').map(str::to_owned));
                }
                Long("report") => arguments.report = Some(parser.value()?.into()),
                Long("list") => arguments.list = true,
                Long("help") | Short('h') => arguments.help = true,
                other => return Err(other.unexpected()),
            }
        }
        Ok(arguments)
    }

    /// How long an epoch is: there are at least five.
    pub(crate) fn epoch(&self) -> Duration {
        self.epoch.unwrap_or(Duration::from_secs(60)).min(self.duration / 5)
    }
}

fn time(parser: &mut lexopt::Parser) -> Result<Duration, lexopt::Error> {
    let text = parser.value()?.string()?;
    let (number, unit) = text.split_at(text.trim_end_matches(|c: char| c.is_alphabetic()).len());
    let seconds = match unit {
        "s" | "" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return Err(format!("`{text}`: a time is a number with s, m or h behind it").into()),
    };
    match number.parse::<u64>() {
        Ok(number) if number > 0 => Ok(Duration::from_secs(number * seconds)),
        _ => Err(format!("`{text}` is no time: try 90s, 5m or 1h").into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Arguments, lexopt::Error> {
        Arguments::parse(lexopt::Parser::from_args(text.split_whitespace()))
    }

    #[test]
    fn times_have_units() {
        for (text, seconds) in [("7", 7), ("90s", 90), ("5m", 300), ("1h", 3600)] {
            let arguments = parse(&format!("--duration {text}")).unwrap();
            assert_eq!(arguments.duration, Duration::from_secs(seconds));
        }
        for wrong in ["", "m", "0s", "5d", "-1s", "1.5h"] {
            assert!(parse(&format!("--duration={wrong}")).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_short_run_has_epochs_as_well() {
        let seconds = |text| parse(text).unwrap().epoch().as_secs_f64();
        assert_eq!(seconds("--duration 1h"), 60.0);
        assert_eq!(seconds("--duration 10s"), 2.0);
        assert_eq!(seconds("--duration 1h --epoch 5s"), 5.0);
    }
}
