//! *Requests at one time* of an account that sends through a webhook: what its owner's flow sees, however many
//! instances send.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use wablast::mailings::release;
use wablast::outgoing::deliver;

use crate::support::TestApp;
use crate::webhook_sending::account_at;

/// A flow that takes its time, and counts what it holds.
struct SlowFlow {
    url: String,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    held: AtomicUsize,
    most: AtomicUsize,
    all: AtomicUsize,
}

impl SlowFlow {
    async fn start(takes: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhook/slow", listener.local_addr().unwrap());
        let counts = Arc::new(Counts::default());
        let shared = Arc::clone(&counts);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&shared), takes));
            }
        });
        Self { url, counts }
    }

    fn most(&self) -> usize {
        self.counts.most.load(Ordering::SeqCst)
    }

    fn all(&self) -> usize {
        self.counts.all.load(Ordering::SeqCst)
    }
}

/// One connection, request after request.
async fn answer(mut stream: TcpStream, counts: Arc<Counts>, takes: Duration) {
    let mut read = Vec::new();
    loop {
        let Some(end) = whole(&read) else {
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
            continue;
        };
        read.drain(..end);
        let held = counts.held.fetch_add(1, Ordering::SeqCst) + 1;
        counts.most.fetch_max(held, Ordering::SeqCst);
        counts.all.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(takes).await;
        counts.held.fetch_sub(1, Ordering::SeqCst);
        let said =
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        if stream.write_all(said).await.is_err() {
            return;
        }
    }
}

/// Where the first request ends, once all of it is there.
fn whole(read: &[u8]) -> Option<usize> {
    let head = read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&read[..head]).to_lowercase();
    let length: usize = text
        .split("content-length:")
        .nth(1)
        .and_then(|rest| rest.lines().next())
        .map_or(0, |length| length.trim().parse().unwrap());
    (read.len() >= head + length).then_some(head + length)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_holds_as_many_requests_as_the_account_says_and_never_more() {
    for instances in [1, 2, 3] {
        for at_once in [1, 3, 5] {
            let told = format!("{at_once} at once, {instances} instances");
            let app = TestApp::new().await;
            let flow = SlowFlow::start(Duration::from_millis(60)).await;
            let more = json!({ "at_once": at_once });
            let account = account_at(&app, &flow.url, &more).await;
            let people = 12 * at_once;
            let list = app.list_of(people).await;
            let mailing = app.mailing(account, list, "Hi {{contact.name}}").await;
            app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
                .await;
            release::advance(&app.app).await.unwrap();
            let (stop, stopped) = watch::channel(false);
            let deliverers: Vec<_> = (0..instances)
                .map(|_| tokio::spawn(deliver::run(app.app.clone(), stopped.clone())))
                .collect();
            app.until(&told, || async {
                let counts = app.show(mailing).await["counts"].clone();
                ["queued", "claimed", "sending"]
                    .iter()
                    .all(|state| counts[state] == 0)
            })
            .await;
            stop.send(true).unwrap();
            for deliverer in deliverers {
                deliverer.await.unwrap();
            }
            assert_eq!(flow.all(), people, "{told}");
            assert_eq!(flow.most(), at_once, "{told}");
        }
    }
}
