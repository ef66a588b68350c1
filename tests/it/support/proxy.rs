//! A bad line between two programs: bytes that wait, stop for ever in one direction or in both, or end in a
//! reset, at the byte that the test names.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// Where the other end is.
#[derive(Debug, Clone)]
pub enum Far {
    Tcp(String),
    Unix(String),
}

/// How the line is now, for what comes over it from now on.
#[derive(Debug, Clone, Copy, Default)]
pub struct Line {
    /// Each piece waits so long.
    pub delay: Duration,
    /// What is asked gets no further; nobody is told.
    pub asks_vanish: bool,
    /// What is answered gets no further; nobody is told.
    pub answers_vanish: bool,
    /// A connection is reset when so many bytes were asked over it.
    pub reset_at: Option<u64>,
}

/// A moment of a connection at which the test does something, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    Connected,
    /// So many bytes were asked.
    Asked(u64),
    /// The first bytes of an answer are through.
    Answered,
}

type Act = Box<dyn Fn() + Send + Sync>;

/// The line, until it is dropped.
pub struct Proxy {
    pub port: u16,
    line: watch::Sender<Line>,
    accepting: tokio::task::JoinHandle<()>,
}

struct Watched {
    at: Option<(Moment, Act)>,
    /// Comings by of the moment that do nothing, before the one that does.
    left: AtomicU64,
}

impl Watched {
    fn comes_by(&self, fits: impl Fn(Moment) -> bool) {
        if let Some((moment, act)) = &self.at
            && fits(*moment)
            && self.left.fetch_sub(1, Ordering::SeqCst) == 1
        {
            act();
        }
    }
}

impl Proxy {
    pub async fn to(far: Far) -> Self {
        Self::watching(far, None, 1).await
    }

    /// `at`: what to do at the `pass`th coming by of a moment.
    pub async fn watching(far: Far, at: Option<(Moment, Act)>, pass: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (line, told) = watch::channel(Line::default());
        let watched = Arc::new(Watched {
            at,
            left: AtomicU64::new(pass),
        });
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                watched.comes_by(|moment| moment == Moment::Connected);
                tokio::spawn(carry(near, far.clone(), told.clone(), Arc::clone(&watched)));
            }
        });
        Self {
            port,
            line,
            accepting,
        }
    }

    pub fn set(&self, line: Line) {
        self.line.send(line).unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn carry(near: TcpStream, far: Far, line: watch::Receiver<Line>, watched: Arc<Watched>) {
    let _ = near.set_nodelay(true);
    let carried = match far {
        Far::Tcp(address) => match TcpStream::connect(address).await {
            Ok(far) => both(near, far, line, watched).await,
            Err(error) => Err(error),
        },
        Far::Unix(path) => match UnixStream::connect(path).await {
            Ok(far) => both(near, far, line, watched).await,
            Err(error) => Err(error),
        },
    };
    // Ends of connections are what this is for.
    drop(carried);
}

async fn both(
    mut near: TcpStream,
    far: impl AsyncRead + AsyncWrite,
    line: watch::Receiver<Line>,
    watched: Arc<Watched>,
) -> io::Result<()> {
    let (far_read, far_write) = tokio::io::split(far);
    let reset = {
        let (near_read, near_write) = near.split();
        tokio::select! {
            reset = pump(near_read, far_write, line.clone(), &watched, true) => reset?,
            reset = pump(far_read, near_write, line, &watched, false) => reset?,
        }
    };
    if reset {
        near.set_zero_linger()?;
    }
    Ok(())
}

/// Carries one direction; true when it ended in a reset.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut line: watch::Receiver<Line>,
    watched: &Watched,
    asks: bool,
) -> io::Result<bool> {
    let mut buffer = vec![0; 16 * 1024];
    let mut carried = 0_u64;
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(false);
        }
        let now = *line.borrow_and_update();
        tokio::time::sleep(now.delay).await;
        // A lost packet is sent again: it arrives when the line is well.
        while {
            let now = *line.borrow_and_update();
            if asks {
                now.asks_vanish
            } else {
                now.answers_vanish
            }
        } {
            if line.changed().await.is_err() {
                return Ok(false);
            }
        }
        let mut piece = &buffer[..read];
        let (before, after) = (carried, carried + read as u64);
        if asks && let Some(at) = now.reset_at.filter(|at| *at <= after) {
            to.write_all(&piece[..usize::try_from(at.saturating_sub(before)).unwrap()])
                .await?;
            return Ok(true);
        }
        if asks
            && let Some((Moment::Asked(at), _)) = &watched.at
            && (before..after).contains(at)
        {
            // So many and no more have arrived when it happens.
            let (first, rest) = piece.split_at(usize::try_from(at - before).unwrap());
            to.write_all(first).await?;
            to.flush().await?;
            watched.comes_by(|moment| matches!(moment, Moment::Asked(_)));
            piece = rest;
        }
        to.write_all(piece).await?;
        to.flush().await?;
        if !asks && before == 0 {
            watched.comes_by(|moment| moment == Moment::Answered);
        }
        carried = after;
    }
}
