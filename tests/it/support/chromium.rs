//! Debian's Chromium, headless, driven through chromedriver: what a person sees and presses.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

use super::instance::free_port;
use super::until;

/// A browser window; closed when dropped with [`Chromium::close`], killed otherwise.
pub struct Chromium {
    pub client: Client,
    driver: Child,
    port: u16,
    address: String,
}

impl Chromium {
    /// A window of 1280 by 900 on the server at `address`.
    pub async fn start(address: &str) -> Self {
        Self::begin(address, json!({})).await
    }

    /// A phone of 390 by 844.
    pub async fn start_narrow(address: &str) -> Self {
        let metrics = json!({ "width": 390, "height": 844, "pixelRatio": 2.0, "touch": true });
        Self::begin(address, json!({ "deviceMetrics": metrics })).await
    }

    async fn begin(address: &str, phone: Value) -> Self {
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("chromedriver is installed (apt package chromium-driver)");
        until("chromedriver listens", Duration::from_secs(20), || async {
            tokio::net::TcpStream::connect(("127.0.0.1", port))
                .await
                .is_ok()
        })
        .await;
        let mut options = json!({ "browserName": "chrome", "goog:chromeOptions": { "args": [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1280,900", "--disable-dev-shm-usage",
        ] }, "goog:loggingPrefs": { "browser": "ALL" } });
        if phone != json!({}) {
            options["goog:chromeOptions"]["mobileEmulation"] = phone;
        }
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(options.as_object().unwrap().clone())
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .unwrap();
        Self {
            client,
            driver,
            port,
            address: address.to_owned(),
        }
    }

    pub async fn goto(&self, path: &str) {
        self.client
            .goto(&format!("{}{path}", self.address))
            .await
            .unwrap();
    }

    /// Where the browser is, without host and query.
    pub async fn path(&self) -> String {
        self.client.current_url().await.unwrap().path().to_owned()
    }

    /// Waits until the browser is at this part of a page: a press may return before the next page is there, and
    /// what it says may stand on this one already.
    pub async fn arrives(&self, fragment: &str) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while self.client.current_url().await.unwrap().fragment() != Some(fragment) {
            assert!(Instant::now() < deadline, "it never comes to #{fragment}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What a person reads on the page.
    pub async fn text(&self) -> String {
        let script = "return document.body ? document.body.innerText : ''";
        let text = self
            .client
            .execute(script, vec![])
            .await
            .unwrap_or_default();
        text.as_str().unwrap_or_default().to_owned()
    }

    pub async fn script(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap()
    }

    /// Types into a field after emptying it.
    pub async fn fill(&self, name: &str, value: &str) {
        let found = self
            .client
            .find(Locator::Css(&format!("main [name='{name}']")))
            .await;
        let field = found.unwrap_or_else(|error| panic!("no field {name}: {error}"));
        field.clear().await.unwrap();
        field.send_keys(value).await.unwrap();
    }

    /// Sets a field that keys cannot fill: a select, a date, a hidden box.
    pub async fn set(&self, name: &str, value: &str) {
        let script = "const field = document.querySelector(`main [name='${arguments[0]}']`);
            if (!field) return false;
            field.value = arguments[1];
            field.dispatchEvent(new Event('input', { bubbles: true }));
            field.dispatchEvent(new Event('change', { bubbles: true }));
            return field.value === arguments[1];";
        let set = self
            .client
            .execute(script, vec![json!(name), json!(value)])
            .await
            .unwrap();
        assert_eq!(set, json!(true), "{name} can be {value}");
    }

    /// Ticks the box or radio of this name and value.
    pub async fn tick(&self, name: &str, value: &str) {
        let script = "const box = document.querySelector(`[name='${arguments[0]}'][value='${arguments[1]}']`);
            if (!box) return false;
            if (!box.checked) box.click();
            return box.checked;";
        let ticked = self
            .client
            .execute(script, vec![json!(name), json!(value)])
            .await
            .unwrap();
        assert_eq!(ticked, json!(true), "{name} = {value} can be ticked");
    }

    /// Presses what matches the selector, as a person does.
    pub async fn press(&self, css: &str) {
        self.press_at(Locator::Css(css)).await;
    }

    /// Presses the button or link that says this.
    pub async fn press_named(&self, words: &str) {
        let path = format!(
            "//main//*[self::button or self::a][normalize-space()='{words}'] | //section//*[self::button or self::a][normalize-space()='{words}']"
        );
        self.press_at(Locator::XPath(&path)).await;
    }

    /// The same, and waits for the next page: a press may return before it, and what it will say may stand on this
    /// one already.
    pub async fn press_through(&self, words: &str) {
        self.script("window.before = true").await;
        self.press_named(words).await;
        let deadline = Instant::now() + Duration::from_secs(15);
        let there = "return document.readyState === 'complete' && !window.before";
        while self.client.execute(there, vec![]).await.ok() != Some(Value::Bool(true)) {
            assert!(Instant::now() < deadline, "{words:?} leads to no page");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn press_at(&self, place: Locator<'_>) {
        let element = match self.client.find(place).await {
            Ok(element) => element,
            Err(error) => panic!(
                "nothing to press at {place:?}: {error}\n{}",
                self.text().await
            ),
        };
        let found = serde_json::to_value(&element).unwrap();
        let into_view = "arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' })";
        // What comes in beside it may move it from under the finger.
        for last in [false, false, true] {
            let found = vec![found.clone()];
            self.client.execute(into_view, found).await.unwrap();
            match element.click().await {
                Ok(()) => return,
                Err(error) if last || !error.to_string().contains("intercepted") => {
                    panic!("{place:?} cannot be pressed: {error}")
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Waits until the page says this.
    pub async fn reads(&self, words: &str) {
        let deadline = Instant::now() + Duration::from_secs(15);
        loop {
            let text = self.text().await;
            if text.contains(words) {
                return;
            }
            let path = self.path().await;
            assert!(
                Instant::now() < deadline,
                "{path} never says {words:?}, but:\n{text}"
            );
        }
    }

    /// Puts a file of this machine into a file field.
    pub async fn upload(&self, name: &str, file: &std::path::Path) {
        let css = format!("input[type=file][name='{name}']");
        let field = self.client.find(Locator::Css(&css)).await.unwrap();
        field.send_keys(file.to_str().unwrap()).await.unwrap();
    }

    /// What went wrong in the pages so far: exceptions of scripts and refusals of the policy.
    pub async fn faults(&self) -> Vec<String> {
        let session = self.client.session_id().await.unwrap().unwrap();
        let lines: Value = super::client()
            .post(format!(
                "http://127.0.0.1:{}/session/{session}/se/log",
                self.port
            ))
            .json(&json!({ "type": "browser" }))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        let severe = |line: &&Value| line["level"] == "SEVERE" && line["source"] != "network";
        let lines = lines["value"].as_array().cloned().unwrap_or_default();
        lines
            .iter()
            .filter(severe)
            .map(|line| line["message"].to_string())
            .collect()
    }

    pub async fn close(mut self) {
        self.client.clone().close().await.unwrap();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

impl Drop for Chromium {
    fn drop(&mut self) {
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
