//! Where a task of the model stands: a stack of the steps it is in, and what it was asked.

use super::program::{Answer, Ns, Outcome, Step, StepNo, TaskNo};

/// The number of a region; a place in a stack may be another one's later.
pub(super) type RegionNo = u64;

/// What requests are aimed at.
#[derive(Debug)]
pub(super) struct Region {
    pub(super) number: RegionNo,
    pub(super) demand: Option<Demand>,
    /// How many tokens for its requests live.
    pub(super) tokens: usize,
}

#[derive(Debug, Default)]
pub(super) struct Demand {
    pub(super) count: usize,
    /// Nobody has it yet.
    pub(super) fresh: bool,
    /// Somebody had it and has passed it on: it is for a catch at this place of the stack or further
    /// out, or for the region.
    pub(super) passed: Vec<usize>,
}

impl Region {
    pub(super) fn waits(&self) -> bool {
        self.demand.as_ref().is_some_and(|demand| demand.fresh || !demand.passed.is_empty())
    }
}

/// A token: who was asked to end, and whether that was taken back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Token {
    pub(super) region: RegionNo,
    pub(super) void: bool,
    /// Its cleanup has been given up, so it shields no more.
    pub(super) given_up: bool,
}

/// How a step that waits for other tasks hears of requests.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hearing {
    /// As a catch does.
    Armed,
    /// It has asked them to end, and waits for that.
    Asked(Token),
    /// They have ended; the request goes outwards.
    Passed(RegionNo),
}

#[derive(Debug)]
pub(super) enum Frame<'p> {
    Root(Region),
    Seq(&'p [Step]),
    Timeout {
        n: StepNo,
        at: Ns,
        region: Region,
        expired: bool,
    },
    Scope {
        n: StepNo,
        scope: usize,
        region: Region,
    },
    Body(Region),
    Catch {
        n: StepNo,
        cleanup: &'p Step,
        answer: Answer,
    },
    /// The cleanup of a catch runs.
    Cleanup {
        token: Token,
        answer: Answer,
    },
    Shield,
    // What follows is the last of its stack (but a group whose body runs).
    Group {
        n: StepNo,
        hearing: Hearing,
        members: Vec<TaskNo>,
        errors: Vec<StepNo>,
        panicked: bool,
        asked: Option<Ns>,
        body: Body,
    },
    One {
        n: StepNo,
        hearing: Hearing,
        child: TaskNo,
        at: Option<Ns>,
        expired: bool,
    },
    Gather {
        n: StepNo,
        hearing: Hearing,
        settled: bool,
        children: Vec<(TaskNo, Option<Outcome>)>,
        ended: Vec<Outcome>,
    },
    /// A token was spent to pass its request on.
    Resume(RegionNo),
    Sleep {
        n: Option<StepNo>,
        at: Ns,
    },
    Yield {
        n: StepNo,
        blocks: bool,
    },
    Join {
        n: StepNo,
        child: TaskNo,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Runs,
    Value,
    NoValue,
}

impl Frame<'_> {
    pub(super) fn region(&self) -> Option<&Region> {
        match self {
            Frame::Root(region)
            | Frame::Body(region)
            | Frame::Timeout { region, .. }
            | Frame::Scope { region, .. } => Some(region),
            _ => None,
        }
    }

    pub(super) fn region_mut(&mut self) -> Option<&mut Region> {
        match self {
            Frame::Root(region)
            | Frame::Body(region)
            | Frame::Timeout { region, .. }
            | Frame::Scope { region, .. } => Some(region),
            _ => None,
        }
    }

    pub(super) fn hearing(&mut self) -> Option<&mut Hearing> {
        match self {
            Frame::Group { hearing, .. }
            | Frame::One { hearing, .. }
            | Frame::Gather { hearing, .. } => Some(hearing),
            _ => None,
        }
    }

    fn heard(&self) -> Option<Hearing> {
        match self {
            Frame::Group { hearing, .. }
            | Frame::One { hearing, .. }
            | Frame::Gather { hearing, .. } => Some(*hearing),
            _ => None,
        }
    }

    /// A catch of the program's own.
    pub(super) fn is_catch(&self) -> bool {
        matches!(self, Frame::Catch { .. })
    }

    /// A step that waits for other tasks and has not been asked to end.
    pub(super) fn is_waiter(&self) -> bool {
        matches!(self.heard(), Some(Hearing::Armed))
    }

    pub(super) fn token(&self) -> Option<Token> {
        if let Frame::Cleanup { token, .. } = self {
            return Some(*token);
        }
        match self.heard() {
            Some(Hearing::Asked(token)) => Some(token),
            _ => None,
        }
    }

    pub(super) fn token_mut(&mut self) -> Option<&mut Token> {
        if let Frame::Cleanup { token, .. } = self {
            return Some(token);
        }
        match self.hearing() {
            Some(Hearing::Asked(token)) => Some(token),
            _ => None,
        }
    }

    /// Does it hold requests back that come from around it?
    pub(super) fn shields(&self) -> bool {
        matches!(self, Frame::Shield) || self.token().is_some_and(|token| !token.given_up)
    }
}

/// What a step gives.
#[derive(Debug, Clone, Copy)]
pub(super) enum Value {
    Ok,
    Failed(StepNo),
    Token(Token),
    Panic,
}
