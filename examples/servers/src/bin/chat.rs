//! A chat room: what one says, all others hear.
//!
//! ```console
//! $ cargo run --bin chat -- 127.0.0.1:7008
//! listening on 127.0.0.1:7008
//! ```
//!
//! Without an address it takes a free port. To talk to it: `nc 127.0.0.1 7008`; the first line is one's name.
//!
//! The guests are members of a task group, and what is said goes through a broadcast channel. A guest who
//! reads too slowly holds up nobody: the channel keeps the last lines, and tells him how many he has missed.

use std::io;
use std::sync::Arc;

use async_broadcast::{InactiveReceiver, RecvError, Sender};
use filch::net::{TcpListener, TcpStream};
use filch::{GroupError, task_group};
use futures_lite::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use futures_lite::{StreamExt, future, io::split};

/// How many lines the channel keeps for slow guests.
const KEPT: usize = 100;

/// Who said it (the number of the connection), and the line.
type Said = (u64, Arc<str>);

/// The room: what is said into it all receivers get that exist at this moment.
#[derive(Clone)]
struct Room {
    sender: Sender<Said>,
    /// Keeps the channel open while nobody is there.
    door: InactiveReceiver<Said>,
}

impl Room {
    fn new() -> Room {
        let (mut sender, receiver) = async_broadcast::broadcast(KEPT);
        sender.set_overflow(true);
        sender.set_await_active(false);
        Room { sender, door: receiver.deactivate() }
    }

    fn say(&self, who: u64, line: String) {
        // It fails only if nobody is there to hear it.
        let _ = self.sender.try_broadcast((who, line.into()));
    }
}

async fn guest(room: Room, number: u64, stream: TcpStream) -> io::Result<()> {
    let (reader, mut writer) = split(stream);
    let mut lines = BufReader::new(reader).lines();
    let Some(name) = lines.next().await.transpose()? else { return Ok(()) };

    let mut hears = room.door.activate_cloned();
    // First to the others: whoever comes after this welcome does not hear of an earlier guest's coming.
    room.say(number, format!("{name} comes\n"));
    writer.write_all(format!("welcome, {name}\n").as_bytes()).await?;

    let talks = async {
        while let Some(line) = lines.next().await {
            room.say(number, format!("{name}: {}\n", line?));
        }
        Ok(())
    };
    let listens = async {
        loop {
            match hears.recv().await {
                // One knows what one has said.
                Ok((who, _)) if who == number => {}
                Ok((_, line)) => writer.write_all(line.as_bytes()).await?,
                Err(RecvError::Overflowed(missed)) => {
                    writer.write_all(format!("(you missed {missed} lines)\n").as_bytes()).await?;
                }
                Err(RecvError::Closed) => return Ok(()),
            }
        }
    };
    // Over when he has no more to say, or cannot hear any more.
    let result = future::or(talks, listens).await;
    room.say(number, format!("{name} goes\n"));
    result
}

#[filch::main]
async fn main() -> Result<(), GroupError<io::Error>> {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:0".to_owned());

    task_group(async |guests| {
        let listener = TcpListener::bind(address).await?;
        println!("listening on {}", listener.local_addr()?);
        let room = Room::new();
        for number in 0.. {
            let (stream, peer) = listener.accept().await?;
            let room = room.clone();
            guests.spawn(async move {
                // Were this error the group's, it would end the group, and everybody would have to go.
                if let Err(error) = guest(room, number, stream).await {
                    eprintln!("{peer}: {error}");
                }
            });
        }
        Ok(())
    })
    .await
}
