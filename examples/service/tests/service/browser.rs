//! The page in a real browser: it draws, goes on drawing, and has nothing to complain about.
//!
//! Needs Chromium and ChromeDriver (Debian: `chromium`, `chromium-driver`). Without them the test says SKIPPED and passes,
//! unless `FILCH_BROWSER=required` is set.

use std::env;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Answer, PATIENCE, Service, request};

fn installed(names: &[&str]) -> Result<PathBuf, String> {
    let folders = env::var_os("PATH").unwrap_or_default();
    let mut files = env::split_paths(&folders)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .filter(|file| file.is_file());
    files.next().ok_or_else(|| format!("there is no {}", names.join(", nor ")))
}

/// A window of its own, told what to do by means of ChromeDriver.
struct Browser {
    driver: Child,
    /// Open as long as it runs, in case it has more to say.
    _stdout: Lines<BufReader<ChildStdout>>,
    address: SocketAddr,
    profile: PathBuf,
    session: Option<String>,
}

impl Browser {
    fn start(chromium: &Path, driver: &Path) -> Browser {
        let mut driver = Command::new(driver)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut lines = BufReader::new(driver.stdout.take().expect("it is piped")).lines();
        let port = lines.by_ref().map_while(Result::ok).find_map(|line| {
            said += &line;
            line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok()
        });
        let port = port.unwrap_or_else(|| panic!("it did not say its port: {said:?}"));
        let profile = env::temp_dir().join(format!("filch-browser-{}", std::process::id()));
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let mut browser = Browser { driver, _stdout: lines, address, profile, session: None };

        let profile = format!("--user-data-dir={}", browser.profile.display());
        let options = [
            "--headless",
            "--no-sandbox", // it refuses to have one as root, and shows nothing but our own page
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1100,1000",
            &profile,
        ];
        let answer = browser.ask(
            "POST",
            "/session",
            &json!({"capabilities": {"alwaysMatch": {
                "browserName": "chrome",
                "goog:loggingPrefs": {"browser": "ALL"},
                "goog:chromeOptions": {"binary": chromium, "args": options},
            }}}),
        );
        browser.session = Some(answer["sessionId"].as_str().unwrap().to_owned());
        browser
    }

    #[track_caller]
    fn ask(&self, method: &str, path: &str, body: &Value) -> Value {
        let stream = TcpStream::connect_timeout(&self.address, PATIENCE).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let session = self.session.as_ref().map(|id| format!("/session/{id}")).unwrap_or_default();
        let body = if method == "POST" { body.to_string() } else { String::new() };
        let request = request(method, &format!("{session}{path}"), body.as_bytes());
        (&stream).write_all(&request).unwrap();
        let answer = Answer::read(stream);
        let mut value: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer.status, 200, "{method} {path}: {value}");
        value["value"].take()
    }

    /// Runs this in the page.
    #[track_caller]
    fn script(&self, script: &str) -> Value {
        self.ask("POST", "/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Asks the page until the answer is what it should be.
    #[track_caller]
    fn wait_for(&self, script: &str, is_right: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let value = self.script(script);
            if is_right(&value) {
                return value;
            }
            assert!(Instant::now() < deadline, "{script}: stays {value}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the console has got.
    #[track_caller]
    fn console(&self) -> Value {
        self.ask("POST", "/se/log", &json!({"type": "browser"}))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if let (Some(id), Ok(mut stream)) = (&self.session, TcpStream::connect(self.address)) {
            // It ends the browser, and answers after that.
            let _ = stream.set_read_timeout(Some(PATIENCE));
            let _ = stream.write_all(&request("DELETE", &format!("/session/{id}"), b""));
            let _ = stream.read(&mut [0]);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
        let _ = fs::remove_dir_all(&self.profile);
    }
}

/// The points of a line, as they are drawn.
fn line(route: &str, class: &str) -> String {
    format!(
        "return document.querySelector('path.{class}[data-route=\"{route}\"]')?.getAttribute('d') ?? ''"
    )
}

#[test]
fn the_page_draws_and_goes_on_drawing() {
    let chromium = installed(&["chromium", "chromium-browser", "google-chrome"]);
    let driver = installed(&["chromedriver"]);
    let (chromium, driver) = match (chromium, driver) {
        (Ok(chromium), Ok(driver)) => (chromium, driver),
        (chromium, driver) => {
            let reason = chromium.and(driver).unwrap_err();
            assert!(env::var_os("FILCH_BROWSER").is_none(), "{reason}");
            // Not by `eprintln!`, which is shown for tests that fail only.
            let _ = writeln!(io::stderr(), "SKIPPED: the page in a browser: {reason}");
            return;
        }
    };
    let service = Service::start(&[]);
    let browser = Browser::start(&chromium, &driver);
    browser.ask("POST", "/url", &json!({"url": format!("http://{}/", service.address)}));

    // A line has two points at least; the page's own readings are the first to have one.
    let points = |value: &Value| value.as_str().unwrap().matches(['M', 'L']).count();
    let first = browser.wait_for(&line("/metrics", "p99"), |d| points(d) >= 2);
    let first_count = browser.script("return Number(document.body.dataset.samples)");
    let readings = first_count.as_u64().unwrap();
    browser.wait_for("return Number(document.body.dataset.samples)", |count| {
        count.as_u64().unwrap() >= readings + 2
    });
    let second = browser.wait_for(&line("/metrics", "p99"), |d| *d != first);
    assert!(points(&second) > points(&first), "{first}, then {second}");

    // What others do is seen, and what the page itself does.
    for _ in 0..10 {
        service.get("/hello");
    }
    let rows = "return document.querySelector('#routes').innerText";
    browser.wait_for(rows, |text| text.as_str().unwrap().contains("/hello"));
    browser.script("document.querySelector('#hello').click()");
    browser.wait_for(&line("/hello", "p50"), |d| points(d) >= 2);
    browser.script("document.querySelector('#work').click()");
    let width = "return document.querySelector('#small').naturalWidth";
    browser.wait_for(width, |width| *width == 160);
    let state = browser.script("return document.querySelector('#state').innerText");
    assert_eq!(state, "live, one reading a second");

    assert_eq!(browser.console(), json!([]));
}
