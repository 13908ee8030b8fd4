//! A router of axum on filch's sockets.
//!
//! ```console
//! $ cargo run --bin http_axum -- 127.0.0.1:8080
//! listening on http://127.0.0.1:8080
//! $ curl --json '{"text": "buy milk"}' http://127.0.0.1:8080/notes
//! {"id":0,"text":"buy milk"}
//! $ curl http://127.0.0.1:8080/notes/0
//! {"id":0,"text":"buy milk"}
//! ```
//!
//! Without an address it takes a free port.
//!
//! `axum::serve` starts its tasks on tokio, so it is not used here (and axum is without its feature `tokio`). What it
//! does is short: hyper serves each connection, and asks the router. (axum's WebSockets start tasks on tokio as well.)

use std::io;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use filch::net::TcpListener;
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct NewNote {
    text: String,
}

#[derive(Clone, Serialize)]
struct Note {
    id: usize,
    text: String,
}

type Notes = Arc<Mutex<Vec<Note>>>;

async fn list(State(notes): State<Notes>) -> Json<Vec<Note>> {
    Json(notes.lock().unwrap().clone())
}

async fn add(State(notes): State<Notes>, Json(new): Json<NewNote>) -> (StatusCode, Json<Note>) {
    let mut notes = notes.lock().unwrap();
    let note = Note { id: notes.len(), text: new.text };
    notes.push(note.clone());
    (StatusCode::CREATED, Json(note))
}

async fn read(State(notes): State<Notes>, Path(id): Path<usize>) -> Result<Json<Note>, StatusCode> {
    let notes = notes.lock().unwrap();
    notes.get(id).cloned().map(Json).ok_or(StatusCode::NOT_FOUND)
}

/// As `axum::serve`, on filch.
async fn serve(listener: TcpListener, router: Router) -> io::Result<()> {
    let mut http = auto::Builder::new(filch::hyper::Executor);
    http.http1().timer(filch::hyper::Timer);
    http.http2().timer(filch::hyper::Timer);
    let service = TowerToHyperService::new(router);
    loop {
        let (stream, peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (http, service) = (http.clone(), service.clone());
        filch::spawn(async move {
            if let Err(error) = http.serve_connection(stream, service).await {
                eprintln!("{peer}: {error}");
            }
        });
    }
}

#[filch::main]
async fn main() -> io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:0".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("listening on http://{}", listener.local_addr()?);

    let router = Router::new()
        .route("/notes", get(list).post(add))
        .route("/notes/{id}", get(read))
        .with_state(Notes::default());
    serve(listener, router).await
}
