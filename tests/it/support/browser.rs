//! A person's browser: keeps cookies, posts the form that is on the page, reads what is shown.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, HeaderMap, LOCATION, ORIGIN, REFERER, SET_COOKIE};
use scraper::{Html, Selector};

use super::{EMAIL, PASSWORD, TestApp};

pub struct Browser {
    client: reqwest::Client,
    address: String,
    /// The page in front, which a posted form names as where it comes from.
    at: String,
    cookies: BTreeMap<String, String>,
    /// The last Set-Cookie header, whole.
    pub last_cookie: String,
}

/// A page as it came.
pub struct Page {
    pub status: u16,
    /// Where the redirects ended, without the query.
    pub path: String,
    pub html: String,
    headers: HeaderMap,
}

/// A form of a page, filled as the page filled it.
#[derive(Debug, Clone)]
pub struct Form {
    action: String,
    fields: Vec<(String, String)>,
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).unwrap()
}

impl Form {
    /// The one value of a field, at its place in the form.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        let at = self.fields.iter().position(|(known, _)| known == name);
        self = self.without(name);
        let at = at.unwrap_or(self.fields.len());
        self.fields.insert(at, (name.to_owned(), value.to_owned()));
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self
    }

    /// Adds one more value of a repeated field.
    pub fn add(mut self, name: &str, value: impl ToString) -> Self {
        self.fields.push((name.to_owned(), value.to_string()));
        self
    }

    /// The same fields posted to another address, as a button with formaction does.
    pub fn to(mut self, action: &str) -> Self {
        self.action = action.to_owned();
        self
    }

    pub fn get(&self, name: &str) -> String {
        self.fields
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
            .unwrap_or_default()
    }

    /// All values of a repeated field.
    pub fn all(&self, name: &str) -> Vec<String> {
        self.fields
            .iter()
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value.clone())
            .collect()
    }
}

impl Page {
    /// The form that posts to `action`; a page without it fails the test.
    pub fn form(&self, action: &str) -> Form {
        let document = Html::parse_document(&self.html);
        let form = document
            .select(&selector("form"))
            .find(|form| form.value().attr("action") == Some(action))
            .unwrap_or_else(|| panic!("no form to {action} on {} ({})", self.path, self.status));
        let mut fields = Vec::new();
        for field in form.select(&selector("input, textarea, select")) {
            let (element, Some(name)) = (field.value(), field.value().attr("name")) else {
                continue;
            };
            match (element.name(), element.attr("type")) {
                ("input", Some("checkbox" | "radio")) => {
                    if element.attr("checked").is_some() {
                        fields.push((
                            name.to_owned(),
                            element.attr("value").unwrap_or("on").to_owned(),
                        ));
                    }
                }
                ("input", Some("submit" | "button" | "file")) => {}
                ("input", _) => fields.push((
                    name.to_owned(),
                    element.attr("value").unwrap_or_default().to_owned(),
                )),
                ("textarea", _) => fields.push((name.to_owned(), field.text().collect())),
                _ => {
                    let options: Vec<_> = field.select(&selector("option")).collect();
                    let chosen = options
                        .iter()
                        .find(|option| option.value().attr("selected").is_some())
                        .or(options.first());
                    if let Some(option) = chosen {
                        let text: String = option.text().collect();
                        fields.push((
                            name.to_owned(),
                            option.value().attr("value").map_or(text, str::to_owned),
                        ));
                    }
                }
            }
        }
        Form {
            action: action.to_owned(),
            fields,
        }
    }

    /// What a person reads.
    pub fn text(&self) -> String {
        let document = Html::parse_document(&self.html);
        let main = document
            .select(&selector("body"))
            .next()
            .map(|body| body.text().collect::<String>());
        main.unwrap_or_default()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// The value of an input by its name.
    pub fn value(&self, name: &str) -> String {
        let document = Html::parse_document(&self.html);
        document
            .select(&selector(&format!("[name={name}]")))
            .next()
            .and_then(|input| input.value().attr("value").map(str::to_owned))
            .unwrap_or_default()
    }

    /// An attribute of everything that a selector finds and that has it.
    pub fn attributes(&self, css: &str, attribute: &str) -> Vec<String> {
        Html::parse_document(&self.html)
            .select(&selector(css))
            .filter_map(|found| found.value().attr(attribute))
            .map(str::to_owned)
            .collect()
    }

    /// The words of everything that a selector finds.
    pub fn texts(&self, css: &str) -> Vec<String> {
        Html::parse_document(&self.html)
            .select(&selector(css))
            .map(|found| {
                let text: String = found.text().collect();
                text.split_whitespace().collect::<Vec<_>>().join(" ")
            })
            .collect()
    }

    /// What a record's page says beside a label.
    pub fn fact(&self, label: &str) -> String {
        let labels = self.texts("dt");
        let at = labels.iter().position(|known| known == label);
        let at = at.unwrap_or_else(|| panic!("no {label} on {}: {labels:?}", self.path));
        self.texts("dd").swap_remove(at)
    }

    /// The cells under a head of a list, row by row.
    pub fn column(&self, head: &str) -> Vec<String> {
        let heads = self.texts("table.list thead th");
        let at = heads.iter().position(|known| known == head);
        let at = at.unwrap_or_else(|| panic!("no {head} on {}: {heads:?}", self.path));
        let rows = "table.list tbody tr:not(.group):not(.more-row)";
        self.texts(&format!("{rows} > :nth-child({})", at + 1))
    }

    pub fn header(&self, name: &str) -> String {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    }
}

impl Browser {
    pub fn new(app: &TestApp) -> Self {
        Self::at(&app.address)
    }

    pub fn at(address: &str) -> Self {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self {
            client,
            address: address.to_owned(),
            at: "/".to_owned(),
            cookies: BTreeMap::new(),
            last_cookie: String::new(),
        }
    }

    pub async fn sign_in(&mut self) {
        self.sign_in_as(EMAIL).await;
    }

    /// Somebody else, with the same password.
    pub async fn sign_in_as(&mut self, email: &str) {
        let page = self.get("/login").await;
        let answer = self
            .submit_once(
                page.form("/login")
                    .set("email", email)
                    .set("password", PASSWORD),
            )
            .await;
        assert_eq!(answer.0, 303, "signing in");
    }

    /// A page, redirects followed.
    pub async fn get(&mut self, path: &str) -> Page {
        let mut path = path.to_owned();
        for _ in 0..5 {
            let response = self
                .client
                .get(format!("{}{path}", self.address))
                .header(COOKIE, self.cookie_header())
                .send()
                .await
                .unwrap();
            self.keep_cookies(response.headers());
            if let Some(next) = response.headers().get(LOCATION) {
                path = next.to_str().unwrap().to_owned();
                continue;
            }
            self.at.clone_from(&path);
            return page(path, response).await;
        }
        panic!("redirects without end at {path}")
    }

    /// What is answered, as it comes.
    pub async fn raw(&self, path: &str) -> reqwest::Response {
        self.client
            .get(format!("{}{path}", self.address))
            .header(COOKIE, self.cookie_header())
            .send()
            .await
            .unwrap()
    }

    /// Posts a form and follows where it leads.
    pub async fn submit(&mut self, form: Form) -> Page {
        self.submit_from(form, None).await
    }

    pub async fn submit_from(&mut self, form: Form, origin: Option<&str>) -> Page {
        let action = form.action.clone();
        let response = self.post(form, origin).await;
        match response.headers().get(LOCATION).cloned() {
            Some(next) => self.get(next.to_str().unwrap()).await,
            None => page(action, response).await,
        }
    }

    /// Posts a form; the status and where it would lead.
    pub async fn submit_once(&mut self, form: Form) -> (u16, String) {
        let response = self.post(form, None).await;
        let next = response
            .headers()
            .get(LOCATION)
            .map(|next| next.to_str().unwrap().to_owned());
        (response.status().as_u16(), next.unwrap_or_default())
    }

    /// Posts a form with a file, as a browser does, and follows where it leads.
    pub async fn upload(
        &mut self,
        form: Form,
        field: &str,
        file_name: &str,
        bytes: impl Into<Vec<u8>>,
    ) -> Page {
        self.upload_from(form, field, file_name, bytes, None).await
    }

    pub async fn upload_from(
        &mut self,
        form: Form,
        field: &str,
        file_name: &str,
        bytes: impl Into<Vec<u8>>,
        origin: Option<&str>,
    ) -> Page {
        let mut body = reqwest::multipart::Form::new();
        for (name, value) in form.fields {
            body = body.text(name, value);
        }
        let file = reqwest::multipart::Part::bytes(bytes.into()).file_name(file_name.to_owned());
        let mut request = self
            .client
            .post(format!("{}{}", self.address, form.action))
            .header(COOKIE, self.cookie_header())
            .header(REFERER, format!("{}{}", self.address, self.at))
            .multipart(body.part(field.to_owned(), file));
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        let response = request.send().await.unwrap();
        self.keep_cookies(response.headers());
        match response.headers().get(LOCATION).cloned() {
            Some(next) => self.get(next.to_str().unwrap()).await,
            None => page(form.action, response).await,
        }
    }

    async fn post(&mut self, form: Form, origin: Option<&str>) -> reqwest::Response {
        let body: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&form.fields)
            .finish();
        let mut request = self
            .client
            .post(format!("{}{}", self.address, form.action))
            .header(COOKIE, self.cookie_header())
            .header(REFERER, format!("{}{}", self.address, self.at))
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(body);
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        let response = request.send().await.unwrap();
        self.keep_cookies(response.headers());
        response
    }

    fn cookie_header(&self) -> String {
        self.cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("; ")
    }

    fn keep_cookies(&mut self, headers: &HeaderMap) {
        for cookie in headers.get_all(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            if cookie.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
                self.last_cookie = cookie.to_owned();
            }
        }
    }
}

async fn page(path: String, response: reqwest::Response) -> Page {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let path = path.split('?').next().unwrap_or_default().to_owned();
    Page {
        status,
        path,
        headers,
        html: response.text().await.unwrap(),
    }
}
