//! gRPC: tonic's server as a service of hyper's, its client over the client of hyper-util. What `protoc` would write
//! for the service is written by hand.
//!
//! ```proto
//! service Counting {
//!   rpc Double(Number) returns (Number);
//!   rpc CountTo(Number) returns (stream Number);
//! }
//! ```

use std::convert::Infallible;
use std::pin::Pin;

use filch::hyper::{Connector, Executor, Timer};
use futures_util::{Stream, StreamExt, stream};
use hyper_util::client::legacy::Client;
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tonic::body::Body;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::{listen, run};

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Number {
    #[prost(uint64, tag = "1")]
    value: u64,
}

#[derive(Clone)]
struct Counting;

struct Double;

impl tonic::server::UnaryService<Number> for Double {
    type Response = Number;
    type Future = BoxFuture<Response<Number>, Status>;

    fn call(&mut self, request: Request<Number>) -> Self::Future {
        Box::pin(async move {
            let value = request.into_inner().value;
            let doubled = value.checked_mul(2);
            let value = doubled.ok_or_else(|| Status::out_of_range("that is too much"))?;
            Ok(Response::new(Number { value }))
        })
    }
}

struct CountTo;

impl tonic::server::ServerStreamingService<Number> for CountTo {
    type Response = Number;
    type ResponseStream = Pin<Box<dyn Stream<Item = Result<Number, Status>> + Send>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<Number>) -> Self::Future {
        Box::pin(async move {
            let numbers = stream::iter(1..=request.into_inner().value);
            let numbers = numbers.then(async |value| {
                filch::yield_now().await;
                Ok(Number { value })
            });
            Ok(Response::new(numbers.boxed() as Self::ResponseStream))
        })
    }
}

impl tonic::server::NamedService for Counting {
    const NAME: &'static str = "test.Counting";
}

impl Service<http::Request<Body>> for Counting {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<Number, Number>::default());
            Ok(match request.uri().path() {
                "/test.Counting/Double" => grpc.unary(Double, request).await,
                "/test.Counting/CountTo" => grpc.server_streaming(CountTo, request).await,
                _ => Status::unimplemented("no such method").into_http(),
            })
        })
    }
}

#[test]
fn tonic_on_both_sides() {
    run(async {
        let routes = tonic::service::Routes::new(Counting).prepare();
        let service = TowerToHyperService::new(routes.into_axum_router());
        let address = listen(move |stream| {
            let service = service.clone();
            async move {
                let mut http = auto::Builder::new(Executor).http2_only();
                http.http2().timer(Timer);
                http.serve_connection(stream, service).await.unwrap();
            }
        })
        .await;

        let client = Client::builder(Executor)
            .timer(Timer)
            .http2_only(true)
            .build::<_, Body>(Connector::new());
        let origin = format!("http://{address}").parse().unwrap();
        let client = tonic::client::Grpc::with_origin(client, origin);
        let codec = ProstCodec::<Number, Number>::default;
        let path = |text: &'static str| http::uri::PathAndQuery::from_static(text);

        let double = |value| {
            let mut client = client.clone();
            async move {
                client.ready().await.unwrap();
                let request = Request::new(Number { value });
                client.unary(request, path("/test.Counting/Double"), codec()).await
            }
        };
        let answers = filch::gather((0..20).map(&double)).await.unwrap();
        for (number, answer) in (0..).zip(answers) {
            assert_eq!(answer.unwrap().into_inner().value, number * 2);
        }
        assert_eq!(double(u64::MAX).await.unwrap_err().code(), Code::OutOfRange);

        let mut client = client.clone();
        client.ready().await.unwrap();
        let request = Request::new(Number { value: 1000 });
        let numbers =
            client.server_streaming(request, path("/test.Counting/CountTo"), codec()).await;
        let numbers = numbers.unwrap().into_inner().map(|number| number.unwrap().value);
        assert_eq!(numbers.collect::<Vec<_>>().await, (1..=1000).collect::<Vec<_>>());

        client.ready().await.unwrap();
        let request = Request::new(Number { value: 1 });
        let answer = client.unary(request, path("/test.Counting/Halve"), codec()).await;
        assert_eq!(answer.unwrap_err().code(), Code::Unimplemented);
    });
}
