//! What a program does; whom a step means is found out when it is its turn.

use crate::source::Source;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    BindTcp,
    BindUnix,
    Pair,
    Connect,
    Accept,
    /// So many bytes; or as many as come at once.
    Read(usize),
    Write(usize),
    CancelRead,
    CancelWrite,
    CancelAccept,
    /// Ends the writing direction.
    Shut,
    Split,
    Reunite,
    DropRead,
    DropWrite,
    Close,
    Reset,
    CloseListener,
    /// To the other runtime.
    Move,
    /// Ends the second runtime.
    Stop,
    Nothing,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) what: What,
    /// The number of a listener or of an end, if there are so many.
    pub(super) whom: usize,
    /// Which runtime does it.
    pub(super) on: usize,
    /// There are several ways to read, write, cancel and end.
    pub(super) way: u8,
    /// Then everybody who can come to an end does.
    pub(super) settle: bool,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum End {
    /// Everything is closed, then the runtimes are dropped.
    Close,
    Drop,
    Shutdown,
    Grace,
}

#[derive(Debug)]
pub(super) struct Program {
    pub(super) workers: [usize; 2],
    pub(super) steps: Vec<Step>,
    pub(super) end: End,
}

/// (The last three are more than the system takes without a reader.)
const SIZES: [usize; 12] =
    [1, 2, 7, 64, 500, 1024, 4096, 5000, 16 << 10, 300 << 10, 500 << 10, 3 << 20];

fn step(source: &mut Source<'_>) -> Step {
    let (kind, operand) = (source.byte(), source.byte());
    let mut size = || SIZES[usize::from(source.below(12))];
    let what = match kind & 31 {
        0 => What::BindTcp,
        1 => What::BindUnix,
        2 => What::Pair,
        3 | 4 => What::Connect,
        5 | 6 => What::Accept,
        7..=12 => What::Read(size()),
        13..=18 => What::Write(size()),
        19 => What::CancelRead,
        20 => What::CancelWrite,
        21 => What::CancelAccept,
        22 => What::Shut,
        23 => What::Split,
        24 => What::Reunite,
        25 => What::DropRead,
        26 => What::DropWrite,
        27 => What::Close,
        28 => What::Reset,
        29 => What::CloseListener,
        30 => What::Move,
        _ if operand & 7 == 7 => What::Stop,
        _ => What::Nothing,
    };
    Step {
        what,
        whom: usize::from(operand & 7),
        on: usize::from(operand >> 3 & 1),
        way: operand >> 4,
        settle: kind >= 128,
    }
}

impl Program {
    pub(super) fn decode(bytes: &[u8]) -> Program {
        let source = &mut Source::new(bytes);
        let first = source.byte();
        let workers = [[1, 3][usize::from(first & 1)], [1, 2][usize::from(first >> 1 & 1)]];
        let end = [End::Close, End::Drop, End::Shutdown, End::Grace][usize::from(first >> 2 & 3)];
        // Most programs talk at once.
        let begin = |what, settle| Step { what, whom: 0, on: 0, way: 0, settle };
        let mut steps = match first >> 4 & 3 {
            0 => vec![begin(What::Pair, false)],
            1 => vec![What::BindTcp, What::Connect, What::Accept]
                .into_iter()
                .map(|what| begin(what, true))
                .collect(),
            2 => vec![What::BindUnix, What::Connect, What::Accept]
                .into_iter()
                .map(|what| begin(what, true))
                .collect(),
            _ => Vec::new(),
        };
        while !source.is_over() {
            steps.push(step(source));
        }
        Program { workers, steps, end }
    }
}
