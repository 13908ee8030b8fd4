//~ unused `Sleep` that must be used
//~ unused `YieldNow` that must be used
//~ Timeout` that must be used
//~ unused `CatchCancel` that must be used
//~ unused `Shield` that must be used
//~ unused `InScope` that must be used
//~ unused `Group` that must be used
//~ unused `Gather` that must be used
//~ unused `Settled` that must be used
//~ unused `TryGather` that must be used
//~ unused `GatherTuple` that must be used
//~ unused `Linked` that must be used
//~ unused `WaitFor` that must be used
//~ unused `Wait` that must be used
//~ unused `AsCompleted` that must be used
//~ unused implementer of `Future` that must be used
//~ Builder` that must be used
//~ futures do nothing unless awaited

#![deny(unused_must_use)]

use std::time::Duration;

async fn nothing() {}

fn main() {
    filch::run(async {
        filch::sleep(Duration::ZERO);
        filch::yield_now();
        filch::timeout(None, nothing());
        filch::catch_cancel(nothing());
        filch::shield(nothing());
        filch::CancelScope::new().run(nothing());
        filch::task_group(async |_group| {});
        filch::gather([nothing()]);
        filch::gather([nothing()]).settled();
        filch::try_gather([async { Ok::<_, ()>(1) }]);
        filch::gather!(nothing(), async { 1 });
        filch::spawn(nothing()).linked();
        filch::wait_for(None, filch::spawn(nothing()));
        filch::wait(&mut vec![filch::spawn(nothing())], filch::Until::All, None);
        filch::as_completed([filch::spawn(nothing())]);
        nothing();
        filch::task::Builder::new();
    });
}
