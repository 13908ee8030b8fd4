//! Who waits for whom, and where.
//!
//! Each task notes, when it parks, what it waits for: the place of a future of the runtime, or the task
//! whose handle it awaits. Members of groups know whose group they are in. Put together
//! that is a graph, nearly always a tree, and a cycle in it is a deadlock.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::runtime::Handle;
use crate::task::{Id, TaskInfo};

impl Handle {
    /// All [tasks](Handle::tasks) that wait, as a tree: under each task those it waits for.
    ///
    /// ```
    /// use std::time::Duration;
    /// filch::run(async {
    ///     let child = filch::task::Builder::new().name("child").spawn(async {
    ///         filch::sleep(Duration::from_secs(3600)).await;
    ///     });
    ///     let task = child.task();
    ///     let parent = filch::task::Builder::new().name("parent").spawn(child);
    ///     while parent.task().info().waits_for.is_none() || task.waits_at().is_none() {
    ///         filch::yield_now().await;
    ///     }
    ///     let text = filch::Handle::current().task_tree().to_string();
    ///     let mut lines = text.lines().filter(|line| line.contains("nt") || line.contains("child"));
    ///     assert!(lines.next().unwrap().starts_with("parent waits for child"));
    ///     assert!(lines.next().unwrap().starts_with("└─ child waits at "));
    ///     task.abort();
    /// });
    /// ```
    #[doc(alias = "dump")]
    #[doc(alias = "print_call_graph")]
    #[doc(alias = "capture_call_graph")]
    #[doc(alias = "pstree")]
    pub fn task_tree(&self) -> TaskTree {
        TaskTree::new(self.tasks())
    }
}

/// Tasks, and who waits for whom. Its `Display` draws it.
///
/// A look at a running program: tasks that come and go meanwhile may be missing or stand alone.
#[derive(Debug, Clone)]
pub struct TaskTree {
    tasks: HashMap<Id, TaskInfo>,
    /// In the order in which they are shown.
    order: Vec<Id>,
    waits_for: HashMap<Id, Vec<Id>>,
}

impl TaskTree {
    fn new(tasks: Vec<TaskInfo>) -> TaskTree {
        let mut order: Vec<_> = tasks.iter().map(|task| task.id).collect();
        order.sort_unstable();
        let tasks: HashMap<_, _> = tasks.into_iter().map(|task| (task.id, task)).collect();
        let mut waits_for = HashMap::<Id, Vec<Id>>::new();
        for id in &order {
            let task = &tasks[id];
            let awaited = task.waits_for.map(|awaited| (*id, awaited));
            let member = task.parent.map(|parent| (parent, *id));
            for (waiter, awaited) in awaited.into_iter().chain(member) {
                let edges = waits_for.entry(waiter).or_default();
                if tasks.contains_key(&awaited) && !edges.contains(&awaited) {
                    edges.push(awaited);
                }
            }
        }
        TaskTree { tasks, order, waits_for }
    }

    /// What is known of each task.
    pub fn tasks(&self) -> impl Iterator<Item = &TaskInfo> {
        self.order.iter().map(|id| &self.tasks[id])
    }

    /// Tasks that wait for each other in a circle: none of them will ever go on, unless one is
    /// cancelled. A group's member that awaits the task of its own group is one.
    ///
    /// ```
    /// use std::sync::mpsc;
    /// filch::run(async {
    ///     // A task that waits for itself: it is given its own handle.
    ///     let (give, take) = mpsc::channel::<filch::JoinHandle<()>>();
    ///     let handle = filch::spawn(async move { take.recv().unwrap().await.unwrap() });
    ///     let task = handle.task();
    ///     give.send(handle).unwrap();
    ///     while task.info().waits_for.is_none() {
    ///         filch::yield_now().await;
    ///     }
    ///     let cycles = filch::Handle::current().task_tree().cycles();
    ///     assert_eq!(cycles, [vec![task.id()]]);
    ///     task.cancel();
    /// });
    /// ```
    pub fn cycles(&self) -> Vec<Vec<Id>> {
        let mut cycles = Vec::new();
        let mut done = HashSet::new();
        for start in &self.order {
            self.find_cycles(*start, &mut done, &mut cycles);
        }
        cycles
    }

    fn find_cycles(&self, start: Id, done: &mut HashSet<Id>, cycles: &mut Vec<Vec<Id>>) {
        // By hand instead of by recursion: chains of tasks may be long.
        let (mut ways, mut path) = (vec![(start, 0)], Vec::new());
        while let Some((id, next)) = ways.last_mut() {
            if *next == 0 {
                if let Some(begin) = path.iter().position(|other| other == id) {
                    cycles.push(path[begin..].to_vec());
                    ways.pop();
                    continue;
                }
                if done.contains(id) {
                    ways.pop();
                    continue;
                }
                path.push(*id);
            }
            let awaited = self.awaited(*id);
            match awaited.get(*next) {
                Some(awaited) => {
                    *next += 1;
                    ways.push((*awaited, 0));
                }
                None => {
                    done.insert(*id);
                    path.pop();
                    ways.pop();
                }
            }
        }
    }

    fn awaited(&self, id: Id) -> &[Id] {
        self.waits_for.get(&id).map_or(&[], Vec::as_slice)
    }

    fn name(&self, id: Id) -> String {
        match self.tasks.get(&id) {
            Some(TaskInfo { name: Some(name), .. }) => name.to_string(),
            _ => format!("task {id}"),
        }
    }

    fn line(&self, id: Id) -> String {
        let task = &self.tasks[&id];
        let mut line = self.name(id);
        if let Some(awaited) = task.waits_for {
            line += &format!(" waits for {}", self.name(awaited));
        } else if let Some(site) = task.waits_at {
            line += &format!(" waits at {site}");
        }
        line += &format!(" (spawned at {})", task.spawned_at);
        if let Some(site) = task.held_by {
            line += &format!(", asked to end, held up by what was made at {site}");
        }
        line
    }

    /// Draws a task and all it waits for. (The stack holds what is still to be drawn: the task, what
    /// stands before its line, and before those of its children.)
    fn draw(&self, f: &mut fmt::Formatter<'_>, root: Id, drawn: &mut HashSet<Id>) -> fmt::Result {
        let mut stack = vec![(root, String::new(), String::new())];
        while let Some((id, first, rest)) = stack.pop() {
            if !drawn.insert(id) {
                writeln!(f, "{first}{} (above)", self.name(id))?;
                continue;
            }
            writeln!(f, "{first}{}", self.line(id))?;
            let awaited = self.awaited(id);
            let count = awaited.len();
            for (i, awaited) in awaited.iter().enumerate().rev() {
                let last = i + 1 == count;
                let (branch, trunk) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
                stack.push((*awaited, format!("{rest}{branch}"), format!("{rest}{trunk}")));
            }
        }
        Ok(())
    }
}

impl fmt::Display for TaskTree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut drawn = HashSet::new();
        let awaited: HashSet<Id> = self.waits_for.values().flatten().copied().collect();
        for root in self.order.iter().filter(|id| !awaited.contains(id)) {
            self.draw(f, *root, &mut drawn)?;
        }
        for cycle in self.cycles() {
            let names: Vec<_> = cycle.iter().map(|id| self.name(*id)).collect();
            writeln!(f, "deadlock: {} → {}", names.join(" → "), names[0])?;
            for id in cycle {
                if !drawn.contains(&id) {
                    self.draw(f, id, &mut drawn)?;
                }
            }
        }
        Ok(())
    }
}
