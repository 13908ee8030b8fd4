//! How requests that wait are given to whoever they are for: see [`tree`](super).

use std::panic::Location;

use super::{Delivery, Is, Node, NodeId, PATIENCE, Region, Tree, When};

/// For each node (and the root, which stands last): how many lie below it. What is inside a
/// region that has fired does not count, for it will be dropped, even if nobody should come
/// to do that.
struct Below {
    /// Shields and tokens.
    shield: Vec<usize>,
    /// Catches that are armed or have fired.
    catch: Vec<usize>,
    /// Catches that have fired.
    fired: Vec<usize>,
}

impl Tree {
    /// Gives all requests that wait to whoever they are for.
    pub(crate) fn deliver(&mut self, when: When) -> Delivery {
        let mut delivery = Delivery::default();
        if self.hard {
            self.root.fired = true;
            delivery.drop = true;
            return delivery;
        }
        if let When::AfterPoll { quiet } = when {
            self.skip_unpolled(quiet);
        }
        // The outermost first: of an inner and an outer request at once, the outer one reports.
        let mut waiting: Vec<_> = self
            .regions_asked()
            .filter(|(_, region)| region.waits())
            .map(|(id, _)| (self.ancestors(id).count(), id))
            .collect();
        waiting.sort_unstable_by_key(|(depth, id)| (*depth, id.0));
        if !waiting.is_empty() {
            let below = &mut self.below();
            let innermost = self.innermost(below);
            for (_, region) in waiting {
                if !self.is_doomed(region) {
                    self.deliver_to(region, below, &innermost[self.slot(region)], &mut delivery);
                }
            }
        }
        self.wake_idle(&mut delivery);
        let fired = |node: &Node| matches!(node.is, Is::Catch { fired: Some(_), .. });
        delivery.look_again = self.nodes.iter().flatten().any(fired);
        delivery.drop = self.root.fired;
        delivery
    }

    /// Does some request wait that a token may hold up? (Without one, whoever asks is just about to say so, and
    /// ought to find that the task has not ended yet.)
    pub(crate) fn is_waited_on(&self) -> bool {
        self.tokens > 0 && self.regions_asked().any(|(_, region)| region.waits())
    }

    /// Whether some request has not reached anybody, and where the shield or token was made that
    /// holds it up.
    pub(crate) fn held_by(&self) -> Option<&'static Location<'static>> {
        self.regions_asked().next()?;
        let holder = |is: &Is| matches!(is, Is::Token { .. } | Is::Shield);
        self.nodes.iter().flatten().find(|node| holder(&node.is)).map(|node| node.site)
    }

    /// Catches that fired and that nobody polls.
    fn skip_unpolled(&mut self, quiet: bool) {
        let patience = PATIENCE + self.nodes.len();
        for index in 0..self.nodes.len() {
            let Some(node) = &mut self.nodes[index] else { continue };
            let Is::Catch { fired, skipped } = &mut node.is else { continue };
            let Some((region, polls)) = fired else { continue };
            *polls += 1;
            if quiet || *polls > patience {
                let (region, parent) = (*region, node.parent);
                (*fired, *skipped) = (None, true);
                self.pass_on(region, parent);
            }
        }
    }

    /// What waits to be dropped for a request that was taken back.
    fn wake_idle(&mut self, delivery: &mut Delivery) {
        for index in 0..self.nodes.len() {
            let id = NodeId(index as u32);
            let resume = matches!(self.nodes[index], Some(Node { is: Is::Resume(_), .. }));
            if resume && self.is_idle(id) {
                delivery.wakers.extend(self.node_mut(id).waker.take());
            }
        }
    }

    fn deliver_to(
        &mut self,
        region: NodeId,
        below: &mut Below,
        innermost: &[NodeId],
        delivery: &mut Delivery,
    ) {
        let demand = self.demand(region).expect("one that waits");
        // A way out that does not lead through the region any more: the future was moved.
        let leads_out = |floor: &NodeId| self.ancestors_from(*floor).any(|id| id == region);
        let (passed, strays): (Vec<_>, Vec<_>) =
            demand.passed.iter().partition(|floor| leads_out(floor));
        if !strays.is_empty() {
            let demand = self.demand_mut(region);
            (demand.passed, demand.fresh) = (passed, true);
        }
        let demand = self.demand(region).expect("one that waits");
        if !demand.missed.is_empty() {
            self.catch_up(region, below, innermost, delivery);
        }
        let demand = self.demand(region).expect("one that waits");
        if demand.fresh {
            let mut held = !demand.passed.is_empty() || self.is_held(region);
            for id in innermost {
                let innermost = below.catch[id.index()] == 0 && below.shield[id.index()] == 0;
                if !innermost || !self.is_armed(*id) || !self.is_open_to(*id, region) {
                    continue;
                }
                if let Some(id) = self.who_hears(*id, region, below) {
                    self.fire(id, region, below, delivery);
                    held = true;
                }
            }
            let slot = self.slot(region);
            if held {
                // Others have it; to these it comes when what shields in them has ended.
                let missed =
                    innermost.iter().filter(|id| self.is_around_a_shield(**id, region, below));
                let missed = missed.copied().collect();
                let demand = self.demand_mut(region);
                (demand.fresh, demand.missed) = (false, missed);
            } else if below.shield[slot] == 0 && below.catch[slot] == 0 {
                return self.fire_region(region, below, delivery);
            }
        }
        self.lead_out(region, below, delivery);
    }

    /// Catches that a request has passed by, because of a shield in them, hear of it when that ends; or those that
    /// they are around by then.
    fn catch_up(
        &mut self,
        region: NodeId,
        below: &mut Below,
        innermost: &[NodeId],
        delivery: &mut Delivery,
    ) {
        let mut missed = std::mem::take(&mut self.demand_mut(region).missed);
        missed.retain(|id| self.is_armed(*id) && self.is_open_to(*id, region));
        for id in &missed {
            let inside =
                innermost.iter().filter(|inner| self.ancestors_from(**inner).any(|a| a == *id));
            for inner in inside.copied().collect::<Vec<_>>() {
                let shields = below.shield[id.index()] > 0 || below.shield[inner.index()] > 0;
                if shields || !self.is_armed(inner) || !self.is_open_to(inner, region) {
                    continue;
                }
                if let Some(inner) = self.who_hears(inner, region, below) {
                    self.fire(inner, region, below, delivery);
                }
            }
        }
        missed.retain(|id| below.shield[id.index()] > 0);
        self.demand_mut(region).missed = missed;
    }

    /// An innermost catch that cannot hear of this region's request yet, and to which nobody will pass it on.
    fn is_around_a_shield(&self, id: NodeId, region: NodeId, below: &Below) -> bool {
        let passes = |other: NodeId| match self.node(other).is {
            Is::Token { region: Some(r), void: false, .. } => r == region,
            _ => self.has_fired_for(other, region),
        };
        let mut inside = self.ids().filter(|other| self.ancestors(*other).any(|above| above == id));
        let passed = &self.demand(region).expect("one that waits").passed;
        below.shield[id.index()] > 0
            && self.is_armed(id)
            && self.is_open_to(id, region)
            && !inside.any(passes)
            && !passed.iter().any(|floor| self.ancestors_from(*floor).any(|above| above == id))
    }

    /// Usually the catch itself. A waiter in a cleanup is left alone, and a catch around it in the same
    /// cleanup hears instead, if there is nobody else inside that one.
    fn who_hears(&self, id: NodeId, region: NodeId, below: &Below) -> Option<NodeId> {
        let is_deaf = |id: NodeId| self.is_deaf(id, region);
        if !is_deaf(id) {
            return Some(id);
        }
        let mut around = self.ancestors(id).take_while(|above| *above != region);
        let id = around.find(|above| self.is_catch(*above) && !is_deaf(*above))?;
        let slot = self.slot(id);
        let mut inside = self.ids().filter(|other| self.ancestors(*other).any(|above| above == id));
        let alone = inside.all(|other| !self.is_catch(other) || is_deaf(other));
        (alone && self.is_armed(id) && below.shield[slot] == 0 && below.fired[slot] == 0)
            .then_some(id)
    }

    /// A waiter in a cleanup: it would wait for that, and the cleanup for it.
    fn is_deaf(&self, id: NodeId, region: NodeId) -> bool {
        self.node(id).waiter && self.tokens > 0 && self.cleanups_of(id, region).next().is_some()
    }

    /// The tokens inside a region in whose cleanup a node is: it has begun after them, under what they
    /// stand under, and so has all that is in between. (Another branch of a `join` of which all has begun later cannot be
    /// told from that.)
    pub(super) fn cleanups_of(&self, id: NodeId, region: NodeId) -> impl Iterator<Item = NodeId> {
        let born = self.node(id).born;
        let later = move |since: u64, top: NodeId| {
            let mut way = self.ancestors(id).take_while(move |above| *above != top);
            way.all(|above| self.node(above).born > since)
        };
        self.ids().filter(move |token| {
            let node = self.node(*token);
            let Is::Token { since, .. } = node.is else { return false };
            since < born
                && *token != id
                && self.ancestors(id).any(|above| above == node.parent)
                && later(since, node.parent)
                && self.ancestors(*token).any(|above| above == region)
        })
    }

    /// What was passed on goes to the next catch on the way out, or to the region when there is
    /// none on any way; where something inside is not done yet, it waits.
    fn lead_out(&mut self, region: NodeId, below: &mut Below, delivery: &mut Delivery) {
        let passed = &self.demand(region).expect("one that waits").passed;
        if passed.is_empty() {
            return;
        }
        let next = |floor: &NodeId| {
            let mut way = self.ancestors_from(*floor);
            let hears = |id: NodeId| self.is_catch(id) && !self.is_deaf(id, region);
            way.find(|id| *id == region || hears(*id)).expect("it leads to the region")
        };
        let next: Vec<_> = passed.iter().map(|floor| (*floor, next(floor))).collect();
        // Of two on the same way, the inner one comes first.
        let mut later = vec![false; self.nodes.len() + 1];
        for (_, id) in &next {
            self.ancestors(*id).for_each(|above| later[self.slot(above)] = true);
        }
        let mut rest = Vec::new();
        for (floor, id) in next {
            let slot = self.slot(id);
            if later[slot] || below.shield[slot] > 0 {
                rest.push(floor);
            } else if id == region {
                match below.fired[slot] {
                    0 => return self.fire_region(region, below, delivery),
                    _ => rest.push(floor),
                }
            } else if self.has_fired_for(id, region) {
                // For another of the floors below it.
            } else if self.is_armed(id) && below.fired[slot] == 0 {
                self.fire(id, region, below, delivery);
            } else {
                rest.push(floor);
            }
        }
        self.demand_mut(region).passed = rest;
    }

    fn fire(&mut self, catch: NodeId, region: NodeId, below: &mut Below, to: &mut Delivery) {
        let node = self.node_mut(catch);
        node.is = Is::Catch { fired: Some((region, 0)), skipped: false };
        to.wakers.extend(node.waker.take());
        self.ancestors(catch).for_each(|above| below.fired[self.slot(above)] += 1);
    }

    fn fire_region(&mut self, id: NodeId, below: &mut Below, delivery: &mut Delivery) {
        let region = self.region_mut(id).expect("it is alive");
        region.fired = true;
        let demand = region.demand.as_mut().expect("one that waits");
        demand.fresh = false;
        demand.passed.clear();
        demand.missed.clear();
        if id == NodeId::ROOT {
            return self.condemn();
        }
        delivery.wakers.extend(self.node_mut(id).waker.take());
        // What is inside does not count any more.
        let inside = id.index();
        for above in self.ancestors(id).map(|above| self.slot(above)) {
            for counts in [&mut below.shield, &mut below.catch, &mut below.fired] {
                counts[above] -= counts[inside];
            }
        }
    }

    /// A request that somebody had goes outwards from here.
    pub(super) fn pass_on(&mut self, region: NodeId, parent: NodeId) {
        if let Some(Region { demand: Some(demand), fired: false, .. }) = self.region_mut(region) {
            if !demand.passed.contains(&parent) {
                demand.passed.push(parent);
            }
        }
    }

    /// Somebody has this region's request, and will pass it on or withdraw it.
    fn is_held(&self, region: NodeId) -> bool {
        self.region(region).is_some_and(|r| r.tokens > 0)
            || self.ids().any(|id| self.has_fired_for(id, region))
    }

    fn has_fired_for(&self, id: NodeId, region: NodeId) -> bool {
        matches!(self.node(id).is, Is::Catch { fired: Some((r, _)), .. } if r == region)
    }

    fn below(&self) -> Below {
        let none = vec![0; self.nodes.len() + 1];
        let mut below = Below { shield: none.clone(), catch: none.clone(), fired: none };
        for id in self.ids() {
            let has_fired = match self.node(id).is {
                Is::Token { given_up: true, .. } => continue,
                Is::Shield | Is::Token { .. } => false,
                Is::Catch { skipped: false, fired } => fired.is_some(),
                Is::Catch { .. } | Is::Region(_) | Is::Resume(_) => continue,
            };
            let counts = if self.is_catch(id) { &mut below.catch } else { &mut below.shield };
            for above in self.ancestors(id) {
                if self.region(above).is_some_and(|region| region.fired) {
                    break;
                }
                counts[self.slot(above)] += 1;
                below.fired[self.slot(above)] += usize::from(has_fired);
            }
        }
        below
    }

    /// For each region whose request waits, the catches that it may fire.
    fn innermost(&self, below: &Below) -> Vec<Vec<NodeId>> {
        let mut catches = vec![Vec::new(); self.nodes.len() + 1];
        for id in self.ids().filter(|id| self.is_armed(*id) && below.catch[id.index()] == 0) {
            for above in self.ancestors(id) {
                if self.region(above).is_some_and(Region::waits) {
                    catches[self.slot(above)].push(id);
                }
            }
        }
        catches
    }

    /// Is this inside something that has fired, and will be dropped?
    fn is_doomed(&self, id: NodeId) -> bool {
        self.ancestors(id).any(|above| match above {
            NodeId::ROOT => self.root.fired,
            above => match &self.node(above).is {
                Is::Region(region) => region.fired,
                Is::Catch { fired, .. } => fired.is_some(),
                Is::Shield | Is::Token { .. } | Is::Resume(_) => false,
            },
        })
    }

    /// Does the way from the region down to this node lead through no shield, and through nothing
    /// that is going to be dropped?
    fn is_open_to(&self, id: NodeId, region: NodeId) -> bool {
        for above in self.ancestors(id) {
            if above == region {
                return true;
            }
            if above == NodeId::ROOT {
                return false;
            }
            match &self.node(above).is {
                Is::Shield | Is::Catch { fired: Some(_), .. } => return false,
                Is::Region(region) if region.fired => return false,
                _ => {}
            }
        }
        false
    }

    fn is_catch(&self, id: NodeId) -> bool {
        id != NodeId::ROOT && matches!(self.node(id).is, Is::Catch { skipped: false, .. })
    }

    fn is_armed(&self, id: NodeId) -> bool {
        matches!(self.node(id).is, Is::Catch { fired: None, skipped: false })
    }
}
