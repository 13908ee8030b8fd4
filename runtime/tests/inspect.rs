//! Row 34: where a suspended task waits, and who awaits it.

#![allow(missing_docs)]

use std::time::Duration;

use filch::{Handle, Runtime, gather, sleep, spawn, task, task_group, yield_now};

const HOUR: Duration = Duration::from_secs(3600);

fn on_each(test: impl AsyncFn()) {
    for workers in [1, 4] {
        let runtime = Runtime::builder().worker_threads(workers).build().unwrap();
        runtime.block_on(async {
            filch::timeout(Duration::from_secs(60), test()).await.expect("it takes too long");
        });
    }
}

/// The tree, once all of these lines are in it.
async fn tree_with(lines: &[&str]) -> String {
    loop {
        let text = Handle::current().task_tree().to_string();
        if lines.iter().all(|line| text.lines().any(|found| found.contains(line))) {
            return text;
        }
        yield_now().await;
    }
}

fn named(name: &str) -> task::Builder {
    task::Builder::new().name(name)
}

#[test]
fn row_34_the_dump_names_the_line_of_each_leaf() {
    on_each(async || {
        let line = line!() + 2;
        let sleeper = named("sleeper").spawn(async {
            sleep(HOUR).await;
        });
        let text = tree_with(&["sleeper waits at"]).await;
        assert!(text.contains(&format!("sleeper waits at {}:{line}:", file!())), "{text}");
        sleeper.abort();
        let _ = sleeper.await;

        let line = line!() + 1;
        let limited = named("limited").spawn(filch::timeout(HOUR, std::future::pending::<()>()));
        let text = tree_with(&["limited waits at"]).await;
        assert!(text.contains(&format!("limited waits at {}:{line}:", file!())), "{text}");
        limited.abort();
    });
}

#[test]
fn row_34_who_awaits_whom_is_a_tree() {
    on_each(async || {
        let leaf = named("leaf").spawn(sleep(HOUR));
        let leaf_task = leaf.task();
        let middle = named("middle").spawn(leaf);
        let top = named("top").spawn(middle);
        let text =
            tree_with(&["top waits for middle", "middle waits for leaf", "leaf waits at"]).await;
        assert!(text.contains("└─ middle waits for leaf"), "{text}");
        assert!(text.contains("   └─ leaf waits at"), "{text}");
        leaf_task.abort();
        assert!(top.await.unwrap().unwrap().unwrap_err().is_cancelled());
    });
}

#[test]
fn row_34_members_stand_under_the_task_of_their_group() {
    on_each(async || {
        let grouped = named("grouped").spawn(task_group(async |group| {
            group.spawn_with(named("one"), sleep(HOUR));
            group.spawn_with(named("two"), sleep(HOUR));
        }));
        let text = tree_with(&["─ one waits at", "─ two waits at", "grouped waits at"]).await;
        assert!(text.contains("├─ one") && text.contains("└─ two"), "{text}");
        grouped.abort();
        let gathered = named("gathered").spawn(gather([sleep(HOUR), sleep(HOUR)]));
        let text = tree_with(&["gathered waits at", "├─ task", "└─ task"]).await;
        assert!(text.contains(file!()), "{text}");
        gathered.abort();
    });
}

#[test]
fn row_34_a_cycle_is_reported() {
    on_each(async || {
        // Two tasks that await each other.
        let (give, take) = async_channel::bounded::<filch::JoinHandle<()>>(1);
        let first = named("first").spawn(async move {
            let other = take.recv().await.unwrap();
            let _ = other.await;
        });
        let first_task = first.task();
        let second = named("second").spawn(async move {
            let _ = first.await;
        });
        let second_task = second.task();
        give.send(second).await.unwrap();
        let text = tree_with(&["deadlock: "]).await;
        assert!(text.contains("first → second") || text.contains("second → first"), "{text}");
        assert_eq!(Handle::current().task_tree().cycles().len(), 1);
        first_task.abort();
        second_task.abort();
    });
}

#[test]
fn trap_10_a_member_that_awaits_its_own_parent_is_reported() {
    on_each(async || {
        let (give, take) = async_channel::bounded::<filch::JoinHandle<()>>(1);
        let parent = named("parent").spawn(task_group(async |group| {
            group.spawn_with(named("member"), async move {
                let _ = take.recv().await.unwrap().await;
            });
        }));
        let task = parent.task();
        give.send(parent).await.unwrap();
        let text = tree_with(&["deadlock: "]).await;
        assert!(text.contains("parent → member") || text.contains("member → parent"), "{text}");
        task.abort();
    });
}

#[test]
fn row_34_what_holds_a_request_up_is_named() {
    on_each(async || {
        let keeper = named("keeper").spawn(async {
            let _kept = filch::catch_cancel(sleep(HOUR)).await;
            sleep(HOUR).await;
        });
        tree_with(&["keeper waits at"]).await;
        keeper.cancel();
        let text = tree_with(&["held up by what was made at"]).await;
        assert!(text.contains("keeper") && text.contains("asked to end"), "{text}");
        keeper.abort();
    });
}

#[test]
fn a_task_that_runs_waits_for_nothing() {
    on_each(async || {
        let handle = spawn(async { task::current().unwrap().info() });
        let info = handle.await.unwrap();
        assert_eq!((info.waits_at, info.waits_for), (None, None));
    });
}
