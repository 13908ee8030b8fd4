//! Requests and their answers.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use filch::{Handle, JoinError, JoinHandle};
use http_body_util::{BodyExt, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, EXPECT, HeaderValue, RETRY_AFTER};
use hyper::{Method, Request, Response, StatusCode};

use crate::arguments::Arguments;
use crate::figures::Figures;
use crate::picture::{self, Thumbnail, Trouble};

pub(crate) type Answer = Response<Full<Bytes>>;

/// How wide a thumbnail is if nobody says.
const USUAL_WIDTH: u32 = 256;
const MAX_WIDTH: u32 = 2048;

/// How long, and how much, is read of an upload that is refused, so that its sender comes to read why. (A connection that is
/// closed on somebody who still sends is reset, and the answer may be lost on its way.)
const LINGER: Duration = Duration::from_secs(3);
const LINGER_BYTES: usize = 64_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    Page,
    Hello,
    Thumbnail,
    Sample,
    Metrics,
    /// There is nothing.
    Other,
}

impl Route {
    pub(crate) const ALL: [Route; 6] =
        [Route::Page, Route::Hello, Route::Thumbnail, Route::Sample, Route::Metrics, Route::Other];

    pub(crate) fn label(self) -> &'static str {
        match self {
            Route::Page => "/",
            Route::Hello => "/hello",
            Route::Thumbnail => "/thumbnail",
            Route::Sample => "/sample.jpg",
            Route::Metrics => "/metrics",
            Route::Other => "other",
        }
    }

    fn of(path: &str) -> Route {
        let known = Route::ALL.into_iter().filter(|route| *route != Route::Other);
        known.into_iter().find(|route| route.label() == path).unwrap_or(Route::Other)
    }

    fn allows(self) -> &'static str {
        if self == Route::Thumbnail { "POST" } else { "GET, HEAD" }
    }

    /// (Where there is nothing, every method is answered with that.)
    fn takes(self, method: &Method) -> bool {
        match self {
            Route::Thumbnail => method == Method::POST,
            Route::Other => true,
            _ => method == Method::GET || method == Method::HEAD,
        }
    }
}

/// No answer can be given: the client is gone, or has stopped in the middle of its upload. It ends the connection.
#[derive(Debug)]
pub(crate) struct Stopped(String);

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Stopped {}

/// Why a request gets no thumbnail: it is told so, or cannot be told any more.
enum Failure {
    Refused(StatusCode, String),
    Stopped(Stopped),
}

/// What all requests share.
pub(crate) struct Service {
    pub(crate) figures: Arc<Figures>,
    max_body: usize,
    body_timeout: Duration,
    pretend_slow: Duration,
    sample: OnceLock<Bytes>,
}

impl Service {
    pub(crate) fn new(arguments: &Arguments) -> Service {
        Service {
            figures: Figures::new(),
            max_body: arguments.max_body,
            body_timeout: arguments.body_timeout,
            pretend_slow: arguments.pretend_slow,
            sample: OnceLock::new(),
        }
    }

    pub(crate) async fn answer(
        self: Arc<Service>,
        request: Request<Incoming>,
    ) -> Result<Answer, Stopped> {
        let route = Route::of(request.uri().path());
        let in_flight = self.figures.request(route);
        let answer = self.route(route, request).await?;
        in_flight.answered(answer.status());
        Ok(answer)
    }

    async fn route(
        self: Arc<Service>,
        route: Route,
        request: Request<Incoming>,
    ) -> Result<Answer, Stopped> {
        if !route.takes(request.method()) {
            let reason =
                format!("{} takes {}, not {}", route.label(), route.allows(), request.method());
            let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED, &reason);
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(route.allows()));
            return Ok(answer);
        }
        Ok(match route {
            Route::Page => content("text/html; charset=utf-8", include_str!("page.html")),
            Route::Hello => content("text/plain", "hello\n"),
            Route::Metrics => {
                content("text/plain; version=0.0.4", self.figures.text(&Handle::current()))
            }
            Route::Sample => self.sample().await,
            Route::Thumbnail => match self.thumbnail(request).await {
                Ok(small) => content(small.content_type, small.bytes),
                Err(Failure::Refused(status, reason)) => refusal(status, &reason),
                Err(Failure::Stopped(stopped)) => return Err(stopped),
            },
            Route::Other => {
                let reason = format!("there is nothing at {}", request.uri().path());
                refusal(StatusCode::NOT_FOUND, &reason)
            }
        })
    }

    async fn thumbnail(&self, request: Request<Incoming>) -> Result<Thumbnail, Failure> {
        let width = width(request.uri().query())?;
        let upload = filch::timeout(self.body_timeout, self.upload(request)).await;
        let Ok(bytes) = upload else {
            let reason = format!("the upload took longer than {:?}", self.body_timeout);
            return Err(Failure::Refused(StatusCode::REQUEST_TIMEOUT, reason));
        };
        let (bytes, slow) = (bytes?, self.pretend_slow);
        // This is the place. The task waits here, as it would for a socket; a thread for such work computes.
        let job = filch::spawn_compute(move || {
            pretend(slow);
            picture::thumbnail(&bytes, width)
        });
        match Wanted(job).result().await {
            Ok(Ok(small)) => Ok(small),
            Ok(Err(trouble @ Trouble::NoPicture(_))) => {
                Err(Failure::Refused(StatusCode::BAD_REQUEST, trouble.to_string()))
            }
            // The line is full. Whoever comes now waits less if he comes again later than if all wait.
            Err(error) if error.is_rejected() => {
                Err(Failure::Refused(StatusCode::SERVICE_UNAVAILABLE, error.to_string()))
            }
            Ok(Err(Trouble::Cancelled)) | Err(_) => {
                let reason =
                    "the work was given up: a fault of this service, or its end".to_owned();
                Err(Failure::Refused(StatusCode::INTERNAL_SERVER_ERROR, reason))
            }
        }
    }

    /// The whole body, unless it is too long.
    async fn upload(&self, request: Request<Incoming>) -> Result<Vec<u8>, Failure> {
        // Such a client waits for a word before it sends: a refusal may be that word.
        let waits = request.headers().contains_key(EXPECT);
        let mut body = request.into_body();
        let announced = body.size_hint().exact();
        let too_long = || {
            let reason = format!("the body is longer than {} bytes", self.max_body);
            Failure::Refused(StatusCode::PAYLOAD_TOO_LARGE, reason)
        };
        if announced.is_some_and(|length| length > self.max_body as u64) {
            if !waits {
                linger(&mut body).await;
            }
            return Err(too_long());
        }
        let mut bytes = Vec::with_capacity(announced.unwrap_or(0) as usize);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                let of = announced.map_or(String::new(), |length| format!(" of {length}"));
                let stopped =
                    format!("the upload stopped after {}{of} bytes: {error}", bytes.len());
                Failure::Stopped(Stopped(stopped))
            })?;
            let Ok(data) = frame.into_data() else { continue };
            if bytes.len() + data.len() > self.max_body {
                linger(&mut body).await;
                return Err(too_long());
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes)
    }

    async fn sample(&self) -> Answer {
        if self.sample.get().is_none() {
            // Drawn once, or twice if two ask at the same time.
            if let Ok(drawn) = filch::spawn_compute(picture::sample).await {
                let _ = self.sample.set(drawn.into());
            }
        }
        match self.sample.get() {
            Some(bytes) => content("image/jpeg", bytes.clone()),
            None => refusal(StatusCode::SERVICE_UNAVAILABLE, "there was no time to draw it"),
        }
    }
}

/// A job that somebody waits for. When he goes away (hyper drops the future of a request whose connection is closed), so
/// does the job: out of the line at once, or when it looks next, if it runs already.
///
/// [`JoinHandle::linked`] would do that too, and more: it would pass a request to end, as the service gets one when it stops, on
/// to the job. But what is in flight then shall be finished.
struct Wanted<T>(JoinHandle<T>);

impl<T> Wanted<T> {
    async fn result(mut self) -> Result<T, JoinError> {
        (&mut self.0).await
    }
}

impl<T> Drop for Wanted<T> {
    fn drop(&mut self) {
        // (It does nothing to a job that is finished.)
        self.0.cancel();
    }
}

/// To see what happens when thumbnails take long.
fn pretend(slow: Duration) {
    let begin = Instant::now();
    while begin.elapsed() < slow && !filch::compute::cancel_requested() {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Reads on for a while what nobody wants.
async fn linger(body: &mut Incoming) {
    let discard = async {
        let mut left = LINGER_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
            if left == 0 {
                break;
            }
        }
    };
    let _ = filch::timeout(LINGER, discard).await;
}

fn width(query: Option<&str>) -> Result<u32, Failure> {
    let mut width = USUAL_WIDTH;
    for part in query.unwrap_or("").split('&').filter(|part| !part.is_empty()) {
        let refused = |reason| Err(Failure::Refused(StatusCode::BAD_REQUEST, reason));
        let Some(("width", value)) = part.split_once('=') else {
            return refused(format!("there is no parameter {part:?}, only width=…"));
        };
        width = match value.parse() {
            Ok(width @ 1..=MAX_WIDTH) => width,
            _ => return refused(format!("width must be from 1 to {MAX_WIDTH}, not {value:?}")),
        };
    }
    Ok(width)
}

fn content(content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn refusal(status: StatusCode, reason: &str) -> Answer {
    let mut answer = content("text/plain; charset=utf-8", format!("{reason}\n"));
    *answer.status_mut() = status;
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}
