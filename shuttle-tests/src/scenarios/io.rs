//! Events, and who sleeps in the driver.

use shuttle::thread;

use super::Scenario;
use crate::filch;
use crate::filch::io::wire::Wire;
use crate::support::{Gate, Ledger, any, runtime, watched};

pub(crate) const ALL: &[Scenario] = &[
    ("events", 1, events),
    ("events_beside_work", 1, events_beside_work),
    ("events_beside_the_end", 1, events_beside_the_end),
];

/// The first socket of a runtime whose workers may all be asleep; bytes from two threads.
fn events() {
    let runtime = if any(3) == 0 { watched(2) } else { runtime(3) };
    let ledger = Ledger::new();
    let wires = runtime.block_on(async { [(); 3].map(|()| Wire::new().unwrap()) });
    let ends = wires.each_ref().map(Wire::other_end);
    let readers = wires.map(|wire| {
        runtime.spawn(ledger.enter(async move {
            wire.read().await.unwrap();
            wire.read().await.unwrap();
        }))
    });
    let senders = [(); 2].map(|()| {
        let ends = ends.clone();
        thread::spawn(move || ends.iter().for_each(|end| end.send()))
    });
    runtime.block_on(async {
        for reader in readers {
            reader.await.unwrap();
        }
    });
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let handle = runtime.handle();
    drop(runtime);
    assert_eq!(ledger.finished(), 3);
    ledger.assert_agrees(&handle);
}

/// Whoever comes back from the driver finds work, whoever has work may be needed in the driver; sockets come and go, and
/// late events of one are not for the next in its place.
fn events_beside_work() {
    let runtime = runtime(2 + any(2));
    let ledger = Ledger::new();
    let gate = Gate::new();
    let reader = {
        let (gate, ledger) = (gate.clone(), ledger.clone());
        runtime.spawn(ledger.clone().enter(async move {
            for _ in 0..2 {
                let wire = Wire::new().unwrap();
                let (end, late) = (wire.other_end(), wire.other_end());
                let sender = filch::spawn(ledger.enter(async move {
                    filch::yield_now().await;
                    end.send();
                }));
                wire.read().await.unwrap();
                sender.await.unwrap();
                drop(wire);
                late.send();
            }
            gate.open();
        }))
    };
    let other = {
        let (handle, ledger) = (runtime.handle(), ledger.clone());
        thread::spawn(move || {
            (0..3)
                .for_each(|_| drop(handle.spawn(ledger.enter(async { filch::yield_now().await }))));
        })
    };
    runtime.block_on(async {
        gate.passed().await;
        reader.await.unwrap();
    });
    other.join().unwrap();
    let handle = runtime.handle();
    drop(runtime);
    ledger.assert_over();
    ledger.assert_agrees(&handle);
}

/// Bytes come while the runtime ends; who reads in another runtime learns that this one is gone.
fn events_beside_the_end() {
    let (ending, other) = (runtime(2), runtime(1));
    let ledger = Ledger::new();
    let [mine, abroad] = ending.block_on(async { [(); 2].map(|()| Wire::new().unwrap()) });
    let ends = [mine.other_end(), abroad.other_end()];
    drop(ending.spawn(ledger.enter(async move { while mine.read().await.is_ok() {} })));
    let reader = other.spawn(ledger.enter(async move { while abroad.read().await.is_ok() {} }));
    let sender = thread::spawn(move || ends.iter().for_each(|end| end.send()));
    drop(ending);
    other.block_on(reader).unwrap();
    sender.join().unwrap();
    drop(other);
    ledger.assert_over();
}
