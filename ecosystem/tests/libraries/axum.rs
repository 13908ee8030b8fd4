//! axum's router, asked by hyper.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use filch::hyper::{Connector, Executor, Timer};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;

use crate::{listen, run};

#[test]
fn a_router_over_hyper_with_both_versions_of_http() {
    run(async {
        let router = Router::new()
            .route(
                "/sleep/{ms}",
                get(async |Path(ms): Path<u64>| {
                    // Handlers use filch as all code does.
                    filch::sleep(std::time::Duration::from_millis(ms)).await;
                    let doubled = filch::spawn(async move { ms * 2 }).await.unwrap();
                    Json(doubled)
                }),
            )
            .route("/state", get(async |State(state): State<&'static str>| state))
            .with_state("state");
        let service = TowerToHyperService::new(router);
        let address = listen(move |stream| {
            let service = service.clone();
            async move {
                let mut http = auto::Builder::new(Executor);
                http.http1().timer(Timer);
                http.http2().timer(Timer);
                http.serve_connection(stream, service).await.unwrap();
            }
        })
        .await;
        for only_http2 in [false, true] {
            let client = Client::builder(Executor)
                .http2_only(only_http2)
                .build::<_, Full<Bytes>>(Connector::new());
            for (path, status, body) in [
                ("sleep/2", 200, "4"),
                ("state", 200, "state"),
                ("nothing", 404, ""),
                ("sleep/x", 400, "Invalid"),
            ] {
                let request = Request::get(format!("http://{address}/{path}"));
                let answer = client.request(request.body(Full::default()).unwrap()).await.unwrap();
                assert_eq!(answer.status(), status, "{path}");
                let bytes = answer.collect().await.unwrap().to_bytes();
                assert!(bytes.starts_with(body.as_bytes()), "{path}: {bytes:?}");
            }
        }
    });
}
