//! How requests that wait are given to whoever they are for: see [`tree`](super).

use super::Node;
use super::{Delivery, Is, NodeId, PATIENCE, Region, Tree, When};

/// For each node (and the root, which stands last): what lies below it.
struct Below {
    /// A shield or a token.
    shield: Vec<bool>,
    /// A catch that is armed or has fired.
    catch: Vec<bool>,
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
            .demands()
            .filter(|(_, demand)| demand.waits())
            .map(|(id, _)| (self.ancestors(id).count(), id))
            .collect();
        waiting.sort_unstable_by_key(|(depth, id)| (*depth, id.0));
        for (_, region) in waiting {
            if !self.is_doomed(region) {
                self.deliver_to(region, &mut delivery);
            }
        }
        let fired = |node: &Node| matches!(node.is, Is::Catch { fired: Some(_), .. });
        delivery.look_again = self.nodes.iter().flatten().any(fired);
        delivery.drop = self.root.fired;
        delivery
    }

    /// Catches that fired and that nobody polls.
    fn skip_unpolled(&mut self, quiet: bool) {
        for index in 0..self.nodes.len() {
            let Some(node) = &mut self.nodes[index] else { continue };
            let Is::Catch { fired, skipped } = &mut node.is else { continue };
            let Some((region, polls)) = fired else { continue };
            *polls += 1;
            if quiet || *polls > PATIENCE {
                let (region, parent) = (*region, node.parent);
                (*fired, *skipped) = (None, true);
                self.pass_on(region, parent);
            }
        }
    }

    fn deliver_to(&mut self, region: NodeId, delivery: &mut Delivery) {
        let below = self.below();
        let demand = self.demand(region).expect("one that waits");
        let (fresh, floors) = (demand.fresh, demand.passed.clone());
        if fresh {
            let innermost: Vec<_> = self
                .ids()
                .filter(|id| self.is_armed(*id) && !below.catch[id.index()])
                .filter(|id| !below.shield[id.index()] && self.is_open_to(*id, region))
                .collect();
            for id in &innermost {
                self.fire(*id, region, delivery);
            }
            if !innermost.is_empty() || self.is_held(region) || !floors.is_empty() {
                self.demand_mut(region).fresh = false;
            } else if !below.shield[self.slot(region)] && !below.catch[self.slot(region)] {
                self.demand_mut(region).fresh = false;
                self.fire_region(region, delivery);
                return;
            }
        }
        for floor in floors {
            // What an earlier one of them fired may enclose this one.
            if !self.demand(region).is_some_and(|d| d.passed.contains(&floor)) {
                continue;
            }
            let below = self.below();
            let free = |id: NodeId| !below.shield[self.slot(id)] && !self.has_fired_below(id);
            let next = self.ancestors_from(floor).find(|id| *id == region || self.is_catch(*id));
            match next {
                Some(id) if id == region && free(id) => {
                    self.demand_mut(region).passed.clear();
                    return self.fire_region(region, delivery);
                }
                Some(id) if id != region && self.is_armed(id) && free(id) => {
                    let inside: Vec<_> = self
                        .demand(region)
                        .expect("it waits")
                        .passed
                        .iter()
                        .copied()
                        .filter(|floor| !self.ancestors_from(*floor).any(|a| a == id))
                        .collect();
                    self.demand_mut(region).passed = inside;
                    self.fire(id, region, delivery);
                }
                // It has fired for another request, or something inside is not done yet: wait.
                Some(_) => {}
                // The way out does not lead through the region any more: the future was moved.
                None => {
                    self.demand_mut(region).passed.retain(|other| *other != floor);
                    self.demand_mut(region).fresh = true;
                    return self.deliver_to(region, delivery);
                }
            }
        }
    }

    fn fire(&mut self, catch: NodeId, region: NodeId, delivery: &mut Delivery) {
        let node = self.node_mut(catch);
        node.is = Is::Catch { fired: Some((region, 0)), skipped: false };
        delivery.wakers.extend(node.waker.take());
    }

    fn fire_region(&mut self, id: NodeId, delivery: &mut Delivery) {
        self.region_mut(id).expect("it is alive").fired = true;
        if id != NodeId::ROOT {
            delivery.wakers.extend(self.node_mut(id).waker.take());
        }
    }

    /// A request that somebody had goes outwards from here.
    pub(super) fn pass_on(&mut self, region: NodeId, parent: NodeId) {
        if let Some(Region { demand: Some(demand), fired: false, .. }) = self.region_mut(region) {
            demand.passed.push(parent);
        }
    }

    /// Somebody has this region's request, and will pass it on or withdraw it.
    fn is_held(&self, region: NodeId) -> bool {
        self.region(region).is_some_and(|r| r.tokens > 0)
            || self
                .nodes
                .iter()
                .flatten()
                .any(|node| matches!(node.is, Is::Catch { fired: Some((r, _)), .. } if r == region))
    }

    fn below(&self) -> Below {
        let slots = self.nodes.len() + 1;
        let mut below = Below { shield: vec![false; slots], catch: vec![false; slots] };
        for id in self.ids() {
            let flags = match self.node(id).is {
                Is::Shield | Is::Token(_) => &mut below.shield,
                Is::Catch { skipped: false, .. } => &mut below.catch,
                Is::Catch { .. } | Is::Region(_) => continue,
            };
            for above in self.ancestors(id) {
                flags[self.slot(above)] = true;
            }
        }
        below
    }

    fn has_fired_below(&self, id: NodeId) -> bool {
        self.ids().any(|other| {
            matches!(self.node(other).is, Is::Catch { fired: Some(_), .. })
                && self.ancestors(other).any(|above| above == id)
        })
    }

    /// Is this inside something that has fired, and will be dropped?
    fn is_doomed(&self, id: NodeId) -> bool {
        self.ancestors(id).any(|above| match above {
            NodeId::ROOT => self.root.fired,
            above => match &self.node(above).is {
                Is::Region(region) => region.fired,
                Is::Catch { fired, .. } => fired.is_some(),
                Is::Shield | Is::Token(_) => false,
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
