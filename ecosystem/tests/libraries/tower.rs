//! tower's layers: those that need no runtime, and those that need tokio's.

use std::convert::Infallible;
use std::time::Duration;

use tower::{ServiceBuilder, ServiceExt, service_fn};

use crate::run;

#[test]
fn layers_of_tower_around_a_service() {
    run(async {
        let (begun, has_begun) = async_channel::unbounded::<()>();
        let (go_on, may_go_on) = async_channel::unbounded::<()>();
        let service = ServiceBuilder::new()
            .load_shed()
            .concurrency_limit(2)
            .map_response(|number: u32| format!("answer {number}"))
            // A limit of time: filch's.
            .map_future(|answer| async {
                filch::timeout(Duration::from_secs(10), answer).await.unwrap()
            })
            .service(service_fn(move |number: u32| {
                let (begun, may_go_on) = (begun.clone(), may_go_on.clone());
                async move {
                    begun.send(()).await.unwrap();
                    may_go_on.recv().await.unwrap();
                    Ok::<_, Infallible>(number + 1)
                }
            }));
        let ask = |number| service.clone().oneshot(number);

        let (one, two) = (filch::spawn(ask(1)), filch::spawn(ask(2)));
        has_begun.recv().await.unwrap();
        has_begun.recv().await.unwrap();
        let refused = ask(3).await.unwrap_err();
        assert!(refused.is::<tower::load_shed::error::Overloaded>(), "two are in work: {refused}");
        go_on.send(()).await.unwrap();
        go_on.send(()).await.unwrap();
        assert_eq!(one.await.unwrap().unwrap(), "answer 2");
        assert_eq!(two.await.unwrap().unwrap(), "answer 3");
        go_on.send(()).await.unwrap();
        assert_eq!(ask(4).await.unwrap(), "answer 5", "there is room again");
    });
}

/// What `make` panics with.
async fn panic_of<F>(make: impl FnOnce() -> F + Send + 'static) -> String
where
    F: Future + Send,
{
    let error = filch::spawn(async { drop(make().await) }).await.unwrap_err();
    *error
        .into_panic()
        .downcast::<String>()
        .or_else(|other| other.downcast::<&str>().map(|text| Box::new((*text).to_owned())))
        .unwrap()
}

#[test]
fn layers_that_need_tokio_say_so() {
    run(async {
        const SECOND: Duration = Duration::from_secs(1);
        let service = || service_fn(async |number: u32| Ok::<_, tower::BoxError>(number));
        let panics = [
            panic_of(move || ServiceBuilder::new().timeout(SECOND).service(service()).oneshot(1))
                .await,
            panic_of(move || {
                ServiceBuilder::new().rate_limit(1, SECOND).service(service()).oneshot(1)
            })
            .await,
            panic_of(move || ServiceBuilder::new().buffer(1).service(service()).oneshot(1)).await,
        ];
        for panic in panics {
            assert!(panic.starts_with("there is no reactor running"), "{panic}");
        }
    });
}
