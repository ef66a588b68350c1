//! What passes between us and gateways, held in memory until somebody writes it down.
//!
//! Invariants: nobody who sends ever waits for it: what does not fit is counted and gone; a body is kept by
//! reference, or its beginning copied where it is large; headers and what stands behind a question mark are never
//! held; a request about a message is judged when its outcome is known. Knows no database.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::http::{Failure, Reply};
use super::{Accepted, FailureCode, SendError};

/// Exchanges that wait to be written.
const AT_MOST: usize = 1000;
/// What is held of a body.
const BODY_AT_MOST: usize = 8 * 1024;

/// What a company wants written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum What {
    Nothing,
    #[default]
    Errors,
    Everything,
}

/// Whose request it is.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// `waha`, `meta` or `n8n`.
    pub gateway: &'static str,
    pub account: i64,
    pub company: i64,
}

/// A body, or its beginning.
#[derive(Debug, Clone, Default)]
pub struct Sample {
    pub bytes: Bytes,
    pub size: usize,
}

impl Sample {
    pub(super) fn of(bytes: &Bytes) -> Self {
        let held = if bytes.len() <= BODY_AT_MOST {
            bytes.clone()
        } else {
            // A slice would hold the whole body in memory.
            Bytes::copy_from_slice(&bytes[..BODY_AT_MOST])
        };
        Self {
            bytes: held,
            size: bytes.len(),
        }
    }

    /// Of a body in pieces: without the large one, which is a file.
    pub(super) fn of_pieces(pieces: &[Bytes]) -> Self {
        let mut bytes = Vec::new();
        for piece in pieces {
            if piece.len() <= BODY_AT_MOST / 4 {
                bytes.extend_from_slice(piece);
            } else {
                bytes.extend_from_slice("…".as_bytes());
            }
        }
        Self {
            bytes: bytes.into(),
            size: pieces.iter().map(Bytes::len).sum(),
        }
    }
}

/// One request and what came of it.
#[derive(Debug, Clone)]
pub struct Exchange {
    pub subject: Subject,
    pub message: Option<i64>,
    pub begun: Instant,
    pub took: Duration,
    pub method: String,
    /// Host and path.
    pub address: String,
    pub status: Option<u16>,
    pub outcome: &'static str,
    /// Why there was no answer; of an answer that looks like a refusal and is none, what it means.
    pub failure: Option<String>,
    pub request: Sample,
    pub answer: Sample,
}

impl Exchange {
    /// Completes it with the answer, or why there was none.
    pub(super) fn ends(&mut self, result: &Result<Reply, Failure>) {
        self.took = self.begun.elapsed();
        match result {
            Ok(reply) => {
                let meaning = MEANING.try_with(|meaning| meaning(reply)).ok().flatten();
                self.failure = meaning.map(str::to_owned);
                self.status = Some(reply.status);
                self.outcome = if reply.status < 400 || meaning.is_some() {
                    "answered"
                } else {
                    "failed"
                };
                self.answer = Sample::of(&Bytes::copy_from_slice(
                    &reply.body[..reply.body.len().min(BODY_AT_MOST)],
                ));
                self.answer.size = reply.body.len();
            }
            Err(Failure::NotSent { reason, .. }) => {
                self.outcome = "not_sent";
                self.failure = Some(reason.clone());
            }
            Err(Failure::Ambiguous { reason, .. }) => {
                self.outcome = "failed";
                self.failure = Some(reason.clone());
            }
        }
    }

    fn is_error(&self) -> bool {
        !matches!(self.outcome, "answered" | "accepted" | "handed_over")
    }
}

/// What a message's requests ended as.
fn outcome(result: &Result<Accepted, SendError>) -> &'static str {
    match result {
        Ok(_) => "accepted",
        Err(SendError::Uncertain {
            code: FailureCode::HandedOver,
            ..
        }) => "handed_over",
        Err(SendError::NotSent { .. }) => "not_sent",
        Err(SendError::AccountStop { .. }) => "account_stop",
        Err(SendError::MailingStop { .. }) => "mailing_stop",
        Err(SendError::Refused { .. }) => "refused",
        Err(SendError::Uncertain { .. }) => "uncertain",
    }
}

/// The message that a request is about.
struct Scope {
    company: i64,
    message: i64,
    held: RefCell<Vec<(Tap, Exchange)>>,
}

/// What an answer means that looks like a refusal; nothing: it is one.
type Meaning = fn(&Reply) -> Option<&'static str>;

tokio::task_local! {
    static MESSAGE: Scope;
    static MEANING: Meaning;
}

/// Asks something of which `meaning` knows that a refusal may be the good answer.
pub(super) async fn asking<T>(meaning: Meaning, question: impl Future<Output = T>) -> T {
    MEANING.scope(meaning, question).await
}

/// Sends a message: what passes meanwhile is about it, and is judged by what became of it.
pub async fn of_message(
    company: i64,
    message: i64,
    send: impl Future<Output = Result<Accepted, SendError>>,
) -> Result<Accepted, SendError> {
    let scope = Scope {
        company,
        message,
        held: RefCell::default(),
    };
    MESSAGE
        .scope(scope, async {
            let result = send.await;
            let outcome = outcome(&result);
            MESSAGE.with(|scope| {
                for (tap, mut exchange) in scope.held.take() {
                    exchange.outcome = outcome;
                    tap.keep(exchange);
                }
            });
            result
        })
        .await
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Exchange>,
    dropped: HashMap<i64, i64>,
}

#[derive(Default)]
struct Inner {
    queue: Mutex<Queue>,
    wanted: RwLock<HashMap<i64, What>>,
}

/// Where exchanges wait; a cheap clone, one for all clients of a process.
#[derive(Clone, Default)]
pub struct Tap(Arc<Inner>);

impl Tap {
    /// What companies want; one that is not named wants errors.
    pub fn set(&self, wanted: HashMap<i64, What>) {
        *self
            .0
            .wanted
            .write()
            .unwrap_or_else(PoisonError::into_inner) = wanted;
    }

    fn wants(&self, company: i64) -> What {
        let wanted = self.0.wanted.read().unwrap_or_else(PoisonError::into_inner);
        wanted.get(&company).copied().unwrap_or_default()
    }

    /// The beginning of an exchange; `None` where nobody wants it.
    pub(super) fn begins(
        &self,
        mut subject: Subject,
        method: &str,
        url: &url::Url,
        request: impl FnOnce() -> Sample,
    ) -> Option<Exchange> {
        let about = MESSAGE
            .try_with(|scope| (scope.company, scope.message))
            .ok();
        if let Some((company, _)) = about {
            subject.company = company;
        }
        if self.wants(subject.company) == What::Nothing {
            return None;
        }
        // A code that links a phone is a key.
        let is_key = url.path().contains("/auth/");
        let host = url.host_str().unwrap_or_default();
        let port = url
            .port()
            .map(|port| format!(":{port}"))
            .unwrap_or_default();
        Some(Exchange {
            subject,
            message: about.map(|(_, message)| message),
            begun: Instant::now(),
            took: Duration::ZERO,
            method: method.to_owned(),
            address: format!("{host}{port}{}", url.path()),
            status: None,
            outcome: "failed",
            failure: None,
            request: if is_key { Sample::default() } else { request() },
            answer: Sample::default(),
        })
    }

    /// Takes an exchange that has ended, or holds it until its message's outcome is known.
    pub(super) fn note(&self, mut exchange: Exchange) {
        if exchange.address.contains("/auth/") {
            exchange.answer = Sample::default();
        }
        let mut exchange = Some(exchange);
        let _ = MESSAGE.try_with(|scope| {
            let mut held = scope.held.borrow_mut();
            held.extend(exchange.take().map(|exchange| (self.clone(), exchange)));
        });
        if let Some(exchange) = exchange {
            self.keep(exchange);
        }
    }

    fn keep(&self, exchange: Exchange) {
        let is_wanted = match self.wants(exchange.subject.company) {
            What::Nothing => false,
            What::Errors => exchange.is_error(),
            What::Everything => true,
        };
        if !is_wanted {
            return;
        }
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.waiting.len() < AT_MOST {
            queue.waiting.push_back(exchange);
        } else {
            *queue.dropped.entry(exchange.subject.company).or_default() += 1;
        }
    }

    /// The next that wait, at most so many, and how many of each company were dropped since.
    pub fn take(&self, at_most: usize) -> (Vec<Exchange>, HashMap<i64, i64>) {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let many = at_most.min(queue.waiting.len());
        let taken = queue.waiting.drain(..many).collect();
        (taken, std::mem::take(&mut queue.dropped))
    }

    /// What was taken could not be written: it counts as dropped.
    pub fn lost(&self, companies: impl Iterator<Item = (i64, i64)>) {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        for (company, many) in companies {
            *queue.dropped.entry(company).or_default() += many;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUBJECT: Subject = Subject {
        gateway: "waha",
        account: 1,
        company: 7,
    };

    fn passes(tap: &Tap, status: u16) {
        let url = url::Url::parse("https://waha.example:3000/api/sendText?key=secret").unwrap();
        let request = || Sample::of(&Bytes::from_static(b"{}"));
        if let Some(mut exchange) = tap.begins(SUBJECT, "POST", &url, request) {
            exchange.ends(&Ok(Reply {
                status,
                body: b"{}".to_vec(),
                retry_after: None,
            }));
            tap.note(exchange);
        }
    }

    #[tokio::test]
    async fn errors_alone_are_held_unless_more_or_nothing_is_wanted() {
        let tap = Tap::default();
        passes(&tap, 201);
        passes(&tap, 500);
        let (held, _) = tap.take(10);
        assert_eq!((held.len(), held[0].status), (1, Some(500)));
        assert_eq!(held[0].address, "waha.example:3000/api/sendText");
        tap.set(HashMap::from([(7, What::Everything)]));
        passes(&tap, 201);
        assert_eq!(tap.take(10).0.len(), 1);
        tap.set(HashMap::from([(7, What::Nothing)]));
        passes(&tap, 500);
        assert_eq!(tap.take(10).0.len(), 0);
    }

    #[tokio::test]
    async fn a_message_s_requests_are_judged_by_what_became_of_it() {
        let tap = Tap::default();
        for (result, held) in [
            (Ok(Accepted::default()), 0),
            (
                Err(SendError::Refused {
                    code: FailureCode::GatewayError,
                    reason: String::new(),
                }),
                1,
            ),
            (
                Err(SendError::Uncertain {
                    code: FailureCode::HandedOver,
                    reason: String::new(),
                }),
                0,
            ),
        ] {
            // The answer alone looks right.
            let sent = of_message(8, 42, async {
                passes(&tap, 200);
                result
            })
            .await;
            let (exchanges, _) = tap.take(10);
            assert_eq!(exchanges.len(), held, "{sent:?}");
            for exchange in exchanges {
                assert_eq!(
                    (exchange.message, exchange.outcome, exchange.subject.company),
                    (Some(42), "refused", 8)
                );
            }
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_counted_and_nobody_waits() {
        let tap = Tap::default();
        for _ in 0..AT_MOST + 25 {
            passes(&tap, 500);
        }
        let (held, dropped) = tap.take(AT_MOST * 2);
        assert_eq!((held.len(), dropped.get(&7)), (AT_MOST, Some(&25)));
        tap.lost([(7, 3)].into_iter());
        assert_eq!(tap.take(1).1.get(&7), Some(&3));
    }

    #[test]
    fn a_large_body_is_held_by_its_beginning_and_a_file_not_at_all() {
        let large = Bytes::from(vec![b'x'; 1_000_000]);
        let sample = Sample::of(&large);
        assert_eq!((sample.bytes.len(), sample.size), (BODY_AT_MOST, 1_000_000));
        let pieces = [
            Bytes::from_static(b"{\"data\":\""),
            large,
            Bytes::from_static(b"\"}"),
        ];
        let sample = Sample::of_pieces(&pieces);
        assert_eq!(&sample.bytes[..], "{\"data\":\"…\"}".as_bytes());
        assert_eq!(sample.size, 1_000_011);
    }
}
