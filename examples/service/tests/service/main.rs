//! The service on good days and on bad ones.

mod browser;
mod support;

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use support::{Answer, Service, request};

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, reason: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.text().contains(reason), "{:?} instead of {reason:?}", answer.text());
}

#[test]
fn each_route_answers_and_is_counted() {
    let service = Service::start(&[]);
    let hello = service.get("/hello");
    assert_eq!((hello.status, hello.text().as_str()), (200, "hello\n"));
    let page = service.get("/");
    assert!(page.head.contains("text/html"), "{}", page.head);
    assert!(page.text().contains("/metrics"));
    let head = service.ask("HEAD", "/hello", b"");
    assert_eq!((head.status, head.body.len()), (200, 0));

    let sample = service.get("/sample.jpg");
    let small = service.ask("POST", "/thumbnail?width=64", &sample.body);
    assert_eq!(small.status, 200, "{small:?}");
    assert!(small.head.contains("content-type: image/jpeg"), "{}", small.head);
    let small = image::load_from_memory(&small.body).unwrap();
    assert_eq!((small.width(), small.height()), (64, 48));

    for (name, value) in [
        (r#"service_answers_total{route="/hello",status="2xx"}"#, 2.0),
        (r#"service_answers_total{route="/thumbnail",status="2xx"}"#, 1.0),
        (r#"service_answers_total{route="/thumbnail",status="4xx"}"#, 0.0),
        (r#"service_request_seconds_count{route="/hello"}"#, 2.0),
        (r#"service_request_seconds_bucket{route="/hello",le="+Inf"}"#, 2.0),
        (r#"service_request_seconds_bucket{route="/thumbnail",le="0.000001"}"#, 0.0),
        (r#"service_requests_in_flight{route="/metrics"}"#, 1.0),
        ("filch_compute_started_total", 2.0), // the sample is drawn there as well
        ("filch_compute_queued", 0.0),
        ("filch_workers", 2.0),
        ("filch_panicked_total", 0.0),
        (r#"filch_poll_seconds_bucket{le="0.000000002"}"#, 0.0),
    ] {
        assert_eq!(service.figure(name), value, "{name}");
    }
    for name in [
        r#"service_request_seconds_sum{route="/thumbnail"}"#,
        "filch_polls_total",
        "filch_tasks_alive",
        "filch_poll_seconds_count",
    ] {
        assert!(service.figure(name) > 0.0, "{name}");
    }
    assert_eq!(service.complaints(), [""; 0]);
}

#[test]
fn what_cannot_be_answered_is_told_why() {
    let service = Service::start(&[]);
    assert_refused(&service.get("/elsewhere"), 404, "there is nothing at /elsewhere");
    let answer = service.get("/thumbnail");
    assert_refused(&answer, 405, "/thumbnail takes POST, not GET");
    assert!(answer.head.contains("allow: POST\r\n"), "{}", answer.head);
    assert_refused(
        &service.ask("DELETE", "/hello", b""),
        405,
        "/hello takes GET, HEAD, not DELETE",
    );

    let post = |query: &str, body: &[u8]| service.ask("POST", &format!("/thumbnail{query}"), body);
    assert_refused(&post("", b"no picture"), 400, "it begins as neither PNG nor JPEG do");
    assert_refused(
        &post("", b"\x89PNG\r\n\x1a\nand no more"),
        400,
        "no picture that can be read: ",
    );
    let sample = service.get("/sample.jpg").body;
    assert_refused(&post("", &sample[..300]), 400, "no picture that can be read: ");
    assert_refused(&post("?width=0", &sample), 400, "from 1 to 2048, not \"0\"");
    assert_refused(&post("?width=wide", &sample), 400, "not \"wide\"");
    assert_refused(&post("?height=9", &sample), 400, "no parameter \"height=9\"");
    assert_eq!(post("?width=2048", &sample).status, 200, "and goes on after all that");
    assert_eq!(service.figure(r#"service_answers_total{route="/thumbnail",status="4xx"}"#), 7.0);
    assert_eq!(service.complaints(), [""; 0], "clients' mistakes are told to clients");
}

#[test]
fn an_upload_over_the_limit_is_refused() {
    let service = Service::start(&["--max-body", "1000"]);
    let too_long = "the body is longer than 1000 bytes";
    // Announced, and sent all the same, more than the system's buffers take: it is not interrupted.
    assert_refused(&service.ask("POST", "/thumbnail", &vec![0; 12_000_000]), 413, too_long);
    // Announced by one who waits for a word.
    let head = "POST /thumbnail HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\
                Connection: close\r\n\r\n";
    assert_refused(&Answer::read(service.send(head)), 413, too_long);
    // Not announced.
    let mut stream = service.send(
        "POST /thumbnail HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    for _ in 0..3 {
        stream.write_all(format!("190\r\n{}\r\n", "x".repeat(400)).as_bytes()).unwrap();
    }
    stream.write_all(b"0\r\n\r\n").unwrap();
    assert_refused(&Answer::read(stream), 413, too_long);
    // As long as it may be.
    assert_refused(&service.ask("POST", "/thumbnail", &[0; 1000]), 400, "neither PNG nor JPEG");
    assert_eq!(service.complaints(), [""; 0]);
}

#[test]
fn an_upload_that_stops_half_way_leaves_one_line_and_nothing_else() {
    let service = Service::start(&[]);
    let mut upload = service.begin_upload(10);
    upload.write_all(b"half.").unwrap();
    service.wait_for(r#"service_requests_in_flight{route="/thumbnail"}"#, 1.0);
    drop(upload);
    service.wait_for(r#"service_abandoned_total{route="/thumbnail"}"#, 1.0);
    service.wait_for(r#"service_requests_in_flight{route="/thumbnail"}"#, 0.0);
    service.wait_for("service_connections", 1.0); // the one that asks
    assert_eq!(service.figure("filch_compute_started_total"), 0.0);
    let complaints = service.complaints();
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(complaints[0].contains("the upload stopped after 5 of 10 bytes"), "{complaints:?}");
}

#[test]
fn who_sends_too_slowly_is_cut_off() {
    let service = Service::start(&["--head-timeout", "1", "--body-timeout", "0.2"]);
    let mut slow = service.send("GET /hello HT");
    let mut answer = String::new();
    slow.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "", "there was no request to answer");

    let mut slow = service.begin_upload(10);
    slow.write_all(b"half.").unwrap();
    assert_refused(&Answer::read(slow), 408, "the upload took longer than 200ms");
    service.wait_for("service_head_timeouts_total", 1.0);
    assert_eq!(service.complaints(), [""; 0]);
}

/// One thumbnail is being made, for ever, and one waits.
fn busy() -> (Service, std::net::TcpStream, std::net::TcpStream) {
    let slow = ["--compute-threads", "1", "--queue", "1", "--pretend-slow", "600"];
    let service = Service::start(&[&slow[..], &["--grace", "0.05"]].concat());
    let thumbnail = request("POST", "/thumbnail", b"whatever");
    let running = service.send(&thumbnail);
    service.wait_for("filch_compute_running", 1.0);
    let queued = service.send(&thumbnail);
    service.wait_for("filch_compute_queued", 1.0);
    (service, running, queued)
}

#[test]
fn a_client_that_goes_away_takes_its_job_along() {
    let (service, running, queued) = busy();
    drop(queued);
    service.wait_for("filch_compute_queued", 0.0);
    assert_eq!(service.figure("filch_compute_started_total"), 1.0, "it never ran");
    assert_eq!(service.figure("filch_compute_running"), 1.0, "and the other one does still");
    drop(running);
    service.wait_for("filch_compute_running", 0.0);
    service.wait_for(r#"service_abandoned_total{route="/thumbnail"}"#, 2.0);
    service.wait_for("service_connections", 1.0);
    let complaints = service.complaints();
    assert_eq!(complaints.len(), 2, "{complaints:?}");
    let gone = "the client went away in the middle of a request";
    assert!(complaints.iter().all(|line| line.ends_with(gone)), "{complaints:?}");
}

#[test]
fn a_full_line_is_told_at_once_and_cheap_requests_do_not_stand_in_it() {
    let (service, _running, _queued) = busy();
    let answer = service.ask("POST", "/thumbnail", b"whatever");
    assert_refused(&answer, 503, "1 compute jobs wait already");
    assert!(answer.head.contains("retry-after: 1\r\n"), "{}", answer.head);
    assert_eq!(service.get("/hello").status, 200);
}

#[cfg(unix)]
#[test]
fn after_sigterm_what_is_in_flight_is_answered_and_nothing_new() {
    let mut service = Service::start(&["--grace", "25", "--head-timeout", "600"]);
    let sample = service.get("/sample.jpg").body;
    let mut upload = service.begin_upload(sample.len());
    // A connection that is kept for a next request.
    let mut idle = service.send("GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    idle.read_exact(&mut [0; 12]).unwrap();

    service.terminate();
    assert_eq!(service.line(), "stopping: requests in flight have 25s");
    let error = service.connect().expect_err("nobody listens any more");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    let mut rest = String::new();
    idle.read_to_string(&mut rest).unwrap();
    assert!(rest.ends_with("hello\n"), "the rest of that answer, and the end: {rest:?}");

    upload.write_all(&sample).unwrap();
    let small = Answer::read(upload);
    assert_eq!(small.status, 200);
    assert_eq!(image::load_from_memory(&small.body).unwrap().width(), 256);
    assert_eq!(service.line(), "stopped");
    assert_eq!(service.wait().code(), Some(0));
    assert_eq!(service.log(), "");
}

#[cfg(unix)]
#[test]
fn after_sigterm_it_waits_no_longer_than_its_grace() {
    let (mut service, mut running, mut queued) = busy();
    service.terminate();
    assert_eq!(service.line(), "stopping: requests in flight have 50ms");
    assert_eq!(service.line(), "stopped: 2 connections had to be cut");
    assert_eq!(service.wait().code(), Some(1));
    for stream in [&mut running, &mut queued] {
        let mut answer = Vec::new();
        // The end of the connection, by whatever name.
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.is_empty(), "{:?}", answer.escape_ascii());
    }
}

/// The first page shows this table, and CI compares its shape.
#[test]
fn load_prints_a_table() {
    let output = Command::new(env!("CARGO_BIN_EXE_service"))
        .args(["--load", "--seconds", "0.3"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}{complaints}");
    let lines: Vec<Vec<&str>> =
        text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines.len(), 6, "{text}");
    assert!(text.starts_with("a picture of 1280 x 960 pixels, "), "{text}");
    assert_eq!(lines[1], ["cheap", "requests", "number", "p50", "p99", "p99.9"]);
    assert_eq!(lines[2][0], "alone");
    assert_eq!(lines[3][..5], ["beside", "8", "jobs", "in", "flight"]);
    assert_eq!(lines[4], ["thumbnails", "number", "p50", "p99", "per", "second"]);
    for cheap in [&lines[2][1..], &lines[3][5..]] {
        let [number, p50, ms, p99, _, p999, _] = cheap else { panic!("{text}") };
        assert_eq!((*number, *ms), ("600", "ms"), "4 clients, every 2 ms, for 0.3 s");
        let [p50, p99, p999] = [p50, p99, p999].map(|number| number.parse::<f64>().unwrap());
        assert!(0.0 < p50 && p50 <= p99 && p99 <= p999, "{text}");
    }
}
