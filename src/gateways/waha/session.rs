//! The session of an account at WAHA: how it stands, its QR code, starting and ending it, where it posts
//! its events.
//!
//! Invariants: `status` alone says whether it works (`me` may be there or not); what else stands in its
//! configuration stays; every failure is a sentence that says what to do. Sends no message.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use super::super::http::Reply;
use super::{CHECK, Version, Waha, classify, unreachable, version_of};

/// What we subscribe to: `message.any` holds what `message` does.
const EVENTS: [&str; 3] = ["session.status", "message.any", "message.ack"];
/// Stopping alone takes WAHA three seconds, a session that begins some more.
const ACT: Duration = Duration::from_secs(30);
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";

/// What was asked for, or why not in a sentence.
pub type Said<T> = Result<T, String>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    Stopped,
    Starting,
    ScanQr,
    Working,
    Failed,
    /// PASSKEY_REQUIRED, PASSKEY_CONFIRMATION_REQUIRED
    Passkey(String),
    /// A word of a version we do not know: not working.
    Unknown(String),
}

impl Status {
    pub fn parse(word: &str) -> Self {
        match word {
            "STOPPED" => Self::Stopped,
            "STARTING" => Self::Starting,
            "SCAN_QR_CODE" => Self::ScanQr,
            "WORKING" => Self::Working,
            "FAILED" => Self::Failed,
            word if word.starts_with("PASSKEY_") => Self::Passkey(word.to_owned()),
            word => Self::Unknown(word.to_owned()),
        }
    }

    /// WAHA's own word.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Stopped => "STOPPED",
            Self::Starting => "STARTING",
            Self::ScanQr => "SCAN_QR_CODE",
            Self::Working => "WORKING",
            Self::Failed => "FAILED",
            Self::Passkey(word) | Self::Unknown(word) => word,
        }
    }
}

/// Whose phone is linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Me {
    /// Digits.
    pub number: String,
    pub name: String,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    pub status: Status,
    /// Only while it works.
    pub me: Option<Me>,
    /// NOWEB without its store keeps nothing that could be looked up.
    pub keeps_messages: bool,
    config: Value,
}

/// Our webhook in a session's configuration.
#[derive(Debug, Clone)]
pub struct Hook {
    pub url: String,
    pub key: SecretString,
}

/// What a session's configuration says of our webhook. Webhooks of the whole server do not stand there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookState {
    Missing,
    /// Not all events, or at an address of ours that is not the present one.
    Outdated,
    OtherKey,
    Set,
}

impl Session {
    fn of(body: &Value, engine: &str) -> Self {
        let status = Status::parse(body["status"].as_str().unwrap_or("unknown"));
        let engine = body["engine"]["engine"].as_str().unwrap_or(engine);
        let told = body["config"]["noweb"]["store"]["enabled"] == true;
        Self {
            me: me_of(&body["me"]).filter(|_| status == Status::Working),
            status,
            keeps_messages: engine != "NOWEB" || told,
            config: body["config"].clone(),
        }
    }

    pub fn hook(&self, ours: &Hook) -> HookState {
        let Some(found) = hooks(&self.config).find(|one| is_same(one, &ours.url)) else {
            return HookState::Missing;
        };
        let has = |event: &str| {
            let events = found["events"].as_array().into_iter().flatten();
            events
                .filter_map(Value::as_str)
                .any(|one| one == event || one == "*")
        };
        if found["url"] != ours.url.as_str() || !EVENTS.iter().all(|event| has(event)) {
            HookState::Outdated
        } else if found["hmac"]["key"] != ours.key.expose_secret() {
            HookState::OtherKey
        } else {
            HookState::Set
        }
    }
}

fn hooks(config: &Value) -> impl Iterator<Item = &Value> {
    config["webhooks"].as_array().into_iter().flatten()
}

/// The same webhook, whatever address of ours it was given before.
fn is_same(hook: &Value, url: &str) -> bool {
    let path = |url: &str| url::Url::parse(url).map(|url| url.path().to_owned()).ok();
    let theirs = hook["url"].as_str().and_then(path);
    theirs.is_some() && theirs == path(url)
}

/// The configuration with our webhook in it; everything else as it was. A session that has no say about
/// its store yet gets one, so that messages can be looked up.
fn with_hook(config: &Value, ours: &Hook) -> Value {
    let mut config = config.as_object().cloned().unwrap_or_default();
    let mut all: Vec<Value> = hooks(&Value::Object(config.clone()))
        .filter(|one| !is_same(one, &ours.url))
        .cloned()
        .collect();
    all.push(json!({
        "url": ours.url,
        "events": EVENTS,
        "hmac": { "key": ours.key.expose_secret() },
        // Two seconds, doubled each time: about half an hour until an event is lost.
        "retries": { "policy": "exponential", "delaySeconds": 2, "attempts": 10 },
    }));
    config.insert("webhooks".to_owned(), Value::Array(all));
    with_store(&mut config);
    Value::Object(config)
}

fn with_store(config: &mut Map<String, Value>) {
    if config.get("noweb").is_none_or(Value::is_null) {
        config.insert(
            "noweb".to_owned(),
            json!({ "markOnline": true, "store": { "enabled": true, "fullSync": false } }),
        );
    }
}

fn me_of(me: &Value) -> Option<Me> {
    let id = me["id"].as_str()?;
    Some(Me {
        number: id.split(['@', ':']).next().unwrap_or(id).to_owned(),
        name: me["pushName"].as_str().unwrap_or_default().to_owned(),
    })
}

impl Waha {
    /// What answers there, for people.
    pub async fn server(&self, within: Duration) -> Said<Version> {
        let reply = self
            .say(Method::GET, "/api/server/version", None, within)
            .await?;
        version_of(&reply).ok_or_else(|| {
            format!(
                "What answers at this address is not WAHA (it answered {}). Check the address and the port.",
                reply.status
            )
        })
    }

    /// How the session stands; `None`: WAHA has none of this name.
    pub async fn session(&self, within: Duration) -> Said<Option<Session>> {
        let path = format!("/api/sessions/{}", self.address.session);
        let reply = self.call(Method::GET, &path, None, within).await?;
        match (reply.status, reply.json()) {
            (200, Some(body)) if body["status"].is_string() => {
                let mut session = Session::of(&body, "");
                if session.status == Status::Working && session.me.is_none() {
                    session.me = self.me(within).await;
                }
                Ok(Some(session))
            }
            (404, Some(body)) if body["statusCode"] == 404 => Ok(None),
            _ => Err(self.refused(&reply)),
        }
    }

    /// A running session without a phone answers with an empty body.
    async fn me(&self, within: Duration) -> Option<Me> {
        let path = format!("/api/sessions/{}/me", self.address.session);
        let reply = self.call(Method::GET, &path, None, within).await.ok()?;
        me_of(&reply.json().filter(|_| reply.status == 200)?)
    }

    /// The code to scan as a PNG; `None`: the session asks for none now.
    pub async fn qr(&self, within: Duration) -> Said<Option<Vec<u8>>> {
        let path = format!("/api/{}/auth/qr?format=image", self.address.session);
        let reply = self.call(Method::GET, &path, None, within).await?;
        match reply.status {
            200 => Ok(png(&reply)),
            404 | 422 => Ok(None),
            _ => Err(self.refused(&reply)),
        }
    }

    /// The code to type on the phone with this number instead of scanning.
    pub async fn pairing_code(&self, number: &str) -> Said<String> {
        let path = format!("/api/{}/auth/request-code", self.address.session);
        let body = json!({ "phoneNumber": number });
        let reply = self.call(Method::POST, &path, Some(&body), ACT).await?;
        let code = reply
            .json()
            .and_then(|body| body["code"].as_str().map(str::to_owned));
        match (reply.status, code) {
            (200..=299, Some(code)) => Ok(code),
            (422, _) => Err(
                "The session does not wait for a phone now. Look at its status and try again."
                    .to_owned(),
            ),
            _ => Err(self.refused(&reply)),
        }
    }

    /// Makes the session where WAHA has none, gives it our webhook where it has not got it, and starts it; one
    /// that runs already is fine. True: the webhook was written.
    pub async fn start(&self, ours: &Hook) -> Said<bool> {
        let Some(session) = self.session(CHECK).await? else {
            self.make(ours).await?;
            return Ok(true);
        };
        let knows_us = session.hook(ours) == HookState::Set;
        if !knows_us {
            self.configure(&session, ours).await?;
        }
        self.act("start").await?;
        Ok(!knows_us)
    }

    /// Writes our webhook into the session's configuration, also where it stands there: WAHA restarts a
    /// session that runs, which takes some seconds and causes an event.
    pub async fn set_hook(&self, ours: &Hook) -> Said<()> {
        match self.session(CHECK).await? {
            None => self.make(ours).await,
            Some(session) => self.configure(&session, ours).await,
        }
    }

    async fn make(&self, ours: &Hook) -> Said<()> {
        let config = with_hook(&Value::Null, ours);
        let body = json!({ "name": self.address.session, "start": true, "config": config });
        self.say(Method::POST, "/api/sessions", Some(&body), ACT)
            .await?;
        Ok(())
    }

    /// What was read a moment ago is written with our webhook in it. Apps of the session are left out: WAHA keeps
    /// them then, and deletes those that a request with apps does not name.
    async fn configure(&self, session: &Session, ours: &Hook) -> Said<()> {
        let body = json!({ "config": with_hook(&session.config, ours) });
        let path = format!("/api/sessions/{}", self.address.session);
        self.say(Method::PUT, &path, Some(&body), ACT).await?;
        Ok(())
    }

    /// start, stop, restart, logout. What is already so is fine.
    pub async fn act(&self, what: &str) -> Said<()> {
        let path = format!("/api/sessions/{}/{what}", self.address.session);
        let reply = self.call(Method::POST, &path, None, ACT).await?;
        let is_so = |body: &Value| {
            body["message"]
                .as_str()
                .is_some_and(|said| said.contains("already"))
        };
        match reply.status {
            200..=299 => Ok(()),
            422 if reply.json().as_ref().is_some_and(is_so) => Ok(()),
            _ => Err(self.refused(&reply)),
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        within: Duration,
    ) -> Said<Reply> {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let mut url = self.url(path);
        url.set_query((!query.is_empty()).then_some(query));
        let body = body.map(|body| body.to_string().into_bytes());
        self.http
            .call_within(method, url, &self.credentials, body, within)
            .await
            .map_err(|failure| unreachable(&failure, &self.address.base_url, within))
    }

    /// The same; every other answer than 2xx is a failure.
    async fn say(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        within: Duration,
    ) -> Said<Reply> {
        let reply = self.call(method, path, body, within).await?;
        if (200..300).contains(&reply.status) {
            Ok(reply)
        } else {
            Err(self.refused(&reply))
        }
    }

    /// Why WAHA did not do it, and what to do.
    fn refused(&self, reply: &Reply) -> String {
        let error = classify::asked(reply);
        let name = &self.address.session;
        match reply.status {
            401 | 403 => {
                "WAHA does not accept the API key. Copy it again from WAHA's settings (WAHA_API_KEY).".to_owned()
            }
            404 => format!(
                "WAHA has no session called “{name}”. Correct Phone Number ID (WAHA), or create the session in WAHA."
            ),
            422 if error.reason().contains("only 'default' session") => {
                "This WAHA has only the session “default”. Enter default as Phone Number ID (WAHA).".to_owned()
            }
            _ => error.reason().to_owned(),
        }
    }
}

/// An image, or JSON with one in base64; nothing else is ever passed on.
fn png(reply: &Reply) -> Option<Vec<u8>> {
    let bytes = match reply.json() {
        Some(body) => STANDARD.decode(body["data"].as_str()?).ok()?,
        None => reply.body.clone(),
    };
    bytes.starts_with(PNG).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ours() -> Hook {
        Hook {
            url: "https://blast.example/webhooks/waha/abc".to_owned(),
            key: SecretString::from("k".to_owned()),
        }
    }

    #[test]
    fn only_the_status_says_whether_it_works() {
        let body = |status: &str| json!({ "status": status, "me": { "id": "628111:3@c.us", "pushName": "Toko" }, "config": null });
        for status in [
            "STOPPED",
            "STARTING",
            "SCAN_QR_CODE",
            "FAILED",
            "PASSKEY_REQUIRED",
            "SOMETHING_NEW",
        ] {
            let session = Session::of(&body(status), "NOWEB");
            assert!(
                session.status != Status::Working && session.me.is_none(),
                "{status}"
            );
            assert_eq!(session.status.as_str(), status);
        }
        let session = Session::of(&body("WORKING"), "NOWEB");
        let me = Me {
            number: "628111".to_owned(),
            name: "Toko".to_owned(),
        };
        assert_eq!((session.status, session.me), (Status::Working, Some(me)));
    }

    #[test]
    fn what_else_stands_in_a_configuration_stays() {
        let theirs = json!({ "url": "https://crm.example/hook", "events": ["message"] });
        let old = json!({ "url": "http://old.example/webhooks/waha/abc", "events": ["*"], "hmac": { "key": "old" } });
        let config = json!({ "metadata": { "user": "7" }, "proxy": null, "noweb": { "markOnline": false },
            "webhooks": [theirs, old] });
        let before = Session::of(&json!({ "status": "WORKING", "config": config }), "NOWEB");
        assert_eq!(before.hook(&ours()), HookState::Outdated);
        let written = with_hook(&config, &ours());
        assert_eq!(written["metadata"], config["metadata"]);
        assert_eq!(written["noweb"], config["noweb"]);
        assert_eq!(written["webhooks"][0], theirs);
        assert_eq!(written["webhooks"].as_array().map(Vec::len), Some(2));
        let after = Session::of(&json!({ "status": "WORKING", "config": written }), "NOWEB");
        assert_eq!(after.hook(&ours()), HookState::Set);
        let other = Hook {
            key: SecretString::from("other".to_owned()),
            ..ours()
        };
        assert_eq!(after.hook(&other), HookState::OtherKey);
        let fresh = with_hook(&Value::Null, &ours());
        assert_eq!(fresh["noweb"]["store"]["enabled"], true);
        let nothing = Session::of(&json!({ "status": "STOPPED", "config": null }), "NOWEB");
        assert_eq!(nothing.hook(&ours()), HookState::Missing);
    }

    #[test]
    fn nothing_but_a_png_is_passed_on() {
        let reply = |body: &[u8]| Reply {
            status: 200,
            body: body.to_vec(),
            retry_after: None,
        };
        let image = [PNG, b"rest"].concat();
        assert_eq!(png(&reply(&image)), Some(image.clone()));
        let json = json!({ "mimetype": "image/png", "data": STANDARD.encode(&image) });
        assert_eq!(png(&reply(json.to_string().as_bytes())), Some(image));
        assert_eq!(png(&reply(b"<svg onload=x>")), None);
        assert_eq!(png(&reply(br#"{"value":"2@abc"}"#)), None);
    }
}
