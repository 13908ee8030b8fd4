//! Who gets the request, and what becomes of it.

use super::{Demand, Is, Model, Node, NodeNo, ROOT};

impl Model {
    fn tick(&mut self) -> usize {
        self.clock += 1;
        self.clock
    }

    /// A body has ended, which is a region: a request that waits is looked at again.
    pub(super) fn look_again(&mut self) {
        self.poked |= self.waits();
    }

    fn waits(&self) -> bool {
        self.demand.as_ref().is_some_and(Demand::waits)
    }

    pub(super) fn link(&mut self, parent: NodeNo, is: Is, waiter: bool) -> NodeNo {
        let born = self.tick();
        let hears = matches!(is, Is::Catch { .. });
        let tokens = self.nodes.iter().any(|node| matches!(node.is, Is::Token { .. }));
        self.poked |= hears && tokens && self.waits();
        self.nodes.push(Node { parent, born, waiter, is });
        self.nodes.len() - 1
    }

    /// A step has ended, or was dropped; a token was dropped, or has been spent.
    pub(super) fn unlink(&mut self, node: NodeNo) {
        let parent = self.nodes[node].parent;
        let was = std::mem::replace(&mut self.nodes[node].is, Is::Gone);
        for other in &mut self.nodes {
            if other.parent == node && other.is != Is::Gone {
                other.parent = parent;
            }
        }
        if let Some(demand) = &mut self.demand {
            demand.passed.iter_mut().filter(|floor| **floor == node).for_each(|f| *f = parent);
            demand.missed.retain(|catch| *catch != node);
        }
        match was {
            Is::Catch { fired: true } | Is::Token { void: false, .. } => self.pass_on(parent),
            _ => {}
        }
        self.poked |= self.waits();
    }

    fn pass_on(&mut self, floor: NodeNo) {
        if let Some(demand) = &mut self.demand {
            demand.passed.push(floor);
        }
    }

    pub(super) fn take_token(&mut self, node: NodeNo) {
        let since = self.tick();
        self.nodes[node].is = Is::Token { since, void: false, given_up: false };
    }

    /// The request is taken back, unless that has happened before.
    pub(super) fn uncancel(&mut self, token: NodeNo) {
        if let Is::Token { void: false, .. } = self.nodes[token].is {
            self.demand = None;
            for node in &mut self.nodes {
                match &mut node.is {
                    Is::Catch { fired } => *fired = false,
                    Is::Token { void, .. } => *void = true,
                    _ => {}
                }
            }
            self.poked = true;
        }
        self.unlink(token);
    }

    /// A token is spent to pass its request on: cleanups that it is in will never come to their end.
    pub(super) fn resume(&mut self, token: NodeNo) {
        for id in self.cleanups_of(token) {
            if let Is::Token { given_up, .. } = &mut self.nodes[id].is {
                *given_up = true;
            }
        }
        if let Is::Token { void: false, .. } = self.nodes[token].is {
            self.pass_on(self.nodes[token].parent);
        }
        self.nodes[token].is = Is::Resume;
        self.poked = true;
    }

    // ── what lies where ──

    /// The node itself, then those around it, the task last.
    fn outwards(&self, id: NodeNo) -> impl Iterator<Item = NodeNo> + '_ {
        std::iter::successors(Some(id), |id| (*id != ROOT).then(|| self.nodes[*id].parent))
    }

    fn inside(&self, id: NodeNo) -> impl Iterator<Item = NodeNo> + '_ {
        let within = move |other: &NodeNo| *other != id && self.outwards(*other).any(|up| up == id);
        (0..self.nodes.len()).filter(|other| self.nodes[*other].is != Is::Gone).filter(within)
    }

    fn cleanups_of(&self, id: NodeNo) -> Vec<NodeNo> {
        let is_in = |token: &NodeNo| {
            let (Is::Token { since, .. }, top) = (self.nodes[*token].is, self.nodes[*token].parent)
            else {
                return false;
            };
            let mut way = self.outwards(id).take_while(|up| *up != top);
            *token != id
                && self.outwards(id).skip(1).any(|up| up == top)
                && way.all(|up| self.nodes[up].born > since)
        };
        (0..self.nodes.len()).filter(is_in).collect()
    }

    fn is_catch(&self, id: NodeNo) -> bool {
        matches!(self.nodes[id].is, Is::Catch { .. })
    }

    fn is_armed(&self, id: NodeNo) -> bool {
        self.nodes[id].is == (Is::Catch { fired: false })
    }

    fn has_fired(&self, id: NodeNo) -> bool {
        self.nodes[id].is == (Is::Catch { fired: true })
    }

    fn is_deaf(&self, id: NodeNo) -> bool {
        self.nodes[id].waiter && !self.cleanups_of(id).is_empty()
    }

    fn shields(&self, id: NodeNo) -> bool {
        matches!(self.nodes[id].is, Is::Shield | Is::Token { given_up: false, .. })
    }

    fn has_shield(&self, id: NodeNo) -> bool {
        self.inside(id).any(|other| self.shields(other))
    }

    fn has_catch(&self, id: NodeNo) -> bool {
        self.inside(id).any(|other| self.is_catch(other))
    }

    fn has_fired_inside(&self, id: NodeNo) -> bool {
        self.inside(id).any(|other| self.has_fired(other))
    }

    /// Neither behind a shield nor in what is about to be dropped.
    fn is_open(&self, id: NodeNo) -> bool {
        let shut = |up: NodeNo| self.nodes[up].is == Is::Shield || self.has_fired(up);
        !self.outwards(id).skip(1).any(shut)
    }

    /// Rule 2, the innermost catches.
    fn innermost(&self) -> Vec<NodeNo> {
        let hears = |id: &NodeNo| self.is_armed(*id) && !self.has_catch(*id);
        (0..self.nodes.len()).filter(hears).collect()
    }

    // ── delivery ──

    fn fire(&mut self, id: NodeNo) {
        self.nodes[id].is = Is::Catch { fired: true };
        self.poked = true;
    }

    /// A group in a cleanup is left alone; a catch around it hears instead, if there is nobody else in it.
    fn ask_catch(&mut self, id: NodeNo) -> bool {
        let mut who = Some(id);
        if self.is_deaf(id) {
            let around = |up: &NodeNo| self.is_catch(*up) && !self.is_deaf(*up);
            who = self.outwards(id).skip(1).find(around).filter(|up| {
                let alone = self.inside(*up).all(|one| !self.is_catch(one) || self.is_deaf(one));
                alone && self.is_armed(*up) && !self.has_shield(*up) && !self.has_fired_inside(*up)
            });
        }
        who.into_iter().for_each(|id| self.fire(id));
        who.is_some()
    }

    pub(super) fn deliver(&mut self) {
        if !self.waits() {
            return;
        }
        let innermost = self.innermost();
        self.catch_up(&innermost);
        if self.demand.as_ref().is_some_and(|demand| demand.fresh) {
            let token = |node: &Node| matches!(node.is, Is::Token { void: false, .. });
            let mut heard = self.demand.as_ref().is_some_and(|demand| !demand.passed.is_empty());
            heard |= self.nodes.iter().any(token);
            heard |= (0..self.nodes.len()).any(|id| self.has_fired(id));
            for id in &innermost {
                if self.is_armed(*id) && self.is_open(*id) && !self.has_shield(*id) {
                    heard |= self.ask_catch(*id);
                }
            }
            if heard {
                let missed = |id: &NodeNo| {
                    self.is_armed(*id)
                        && self.is_open(*id)
                        && self.has_shield(*id)
                        && !self.comes(*id)
                };
                let missed = innermost.into_iter().filter(missed).collect();
                let demand = self.demand.as_mut().expect("there is one");
                (demand.fresh, demand.missed) = (false, missed);
            } else if !self.has_shield(ROOT) && !self.has_catch(ROOT) {
                self.fired = true;
                return;
            }
        }
        self.lead_out();
    }

    /// Will somebody inside pass the request on to it?
    fn comes(&self, id: NodeNo) -> bool {
        let has = |one: NodeNo| {
            self.has_fired(one) || matches!(self.nodes[one].is, Is::Token { void: false, .. })
        };
        let passed = self.demand.as_ref().map_or(&[][..], |demand| &demand.passed);
        self.inside(id).any(has) || passed.iter().any(|f| self.outwards(*f).any(|up| up == id))
    }

    fn catch_up(&mut self, innermost: &[NodeNo]) {
        let missed = self.demand.as_mut().map(|demand| std::mem::take(&mut demand.missed));
        let mut missed = missed.unwrap_or_default();
        missed.retain(|id| self.is_armed(*id) && self.is_open(*id));
        missed.retain(|id| {
            if self.has_shield(*id) {
                return true;
            }
            for inner in innermost {
                let within = self.outwards(*inner).any(|up| up == *id);
                if within && self.is_armed(*inner) && self.is_open(*inner) {
                    self.ask_catch(*inner);
                }
            }
            false
        });
        self.demand.as_mut().expect("there is one").missed = missed;
    }

    /// What was passed on goes to the next catch on the way out, or ends the task; where something inside is not done, it waits.
    fn lead_out(&mut self) {
        let floors = self.demand.as_ref().map(|demand| demand.passed.clone()).unwrap_or_default();
        let hears = |id: NodeNo| id == ROOT || (self.is_catch(id) && !self.is_deaf(id));
        let next = |floor: NodeNo| self.outwards(floor).find(|id| hears(*id)).unwrap_or(ROOT);
        let ways: Vec<_> = floors.iter().map(|floor| (*floor, next(*floor))).collect();
        let mut rest = Vec::new();
        for (floor, id) in &ways {
            let later = |other: NodeNo| other != *id && self.outwards(other).any(|up| up == *id);
            if ways.iter().any(|way| later(way.1)) || self.has_shield(*id) {
                rest.push(*floor);
            } else if *id == ROOT {
                if !self.has_fired_inside(ROOT) {
                    self.fired = true;
                    return;
                }
                rest.push(*floor);
            } else if self.has_fired(*id) {
                // For another one that was passed on to it.
            } else if self.is_armed(*id) && !self.has_fired_inside(*id) {
                self.fire(*id);
            } else {
                rest.push(*floor);
            }
        }
        self.demand.as_mut().expect("there is one").passed = rest;
    }
}
