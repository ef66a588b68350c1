//! The panel's site map as the sources write it, and a company whose every noun has a record.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use serde_json::json;
use wablast::ids::UserId;
use wablast::simulator::{Options, Running};

use super::browser::Browser;
use super::{TestApp, simulator, tell};

/// One address of the panel.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    pub path: String,
    pub posts: bool,
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

/// Every route of `src/web`, alternatives such as `{verb:pause|resume}` written out.
pub fn routes() -> Vec<Route> {
    let mut files = Vec::new();
    let web = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web");
    sources(&web, &mut files);
    let route = Regex::new(r#"\.route\(\s*"([^"]+)",\s*web::(get|post)\(\)"#).unwrap();
    let choice = Regex::new(r"\{\w+:([\w|-]+)\}").unwrap();
    let mut routes = Vec::new();
    for file in files {
        let text = fs::read_to_string(file)
            .unwrap()
            .replace("{id:[0-9]+}", "{id}");
        for found in route.captures_iter(&text) {
            let (path, posts) = (found[1].to_owned(), &found[2] == "post");
            match choice.captures(&path) {
                Some(choices) => {
                    for one in choices[1].split('|') {
                        let path = path.replace(&choices[0], one);
                        routes.push(Route { path, posts });
                    }
                }
                None => routes.push(Route { path, posts }),
            }
        }
    }
    routes.sort();
    assert!(routes.len() > 40, "the site map is read from the sources");
    routes
}

/// One import that is done, with a row it could not take, and one that waits for its columns.
async fn imports(app: &TestApp, words: &str) {
    let words = words.replace('"', "'");
    let file = format!("Nama,No HP,{words}\n{words},0812 5550 0147,x\n{words},12,{words}\n");
    let mut browser = Browser::new(app);
    browser.sign_in().await;
    for run in [true, false] {
        let form = browser.get("/imports/new").await.form("/imports");
        let page = browser
            .upload(form, "file", "people.csv", file.clone())
            .await;
        if run {
            let form = page.form(&format!("{}/run", page.path));
            browser.submit(form).await;
        }
    }
}

/// A company with a record of every noun. `words` stands in every text a person can write.
pub struct World {
    pub app: TestApp,
    pub _waha: Running,
    /// By the first part of an address.
    pub ids: BTreeMap<&'static str, String>,
}

impl World {
    pub async fn new(words: &str) -> Self {
        let app = TestApp::new().await;
        let waha = simulator(Options::default()).await;
        let account = app.account(&waha).await;
        let list = app
            .ok(
                "POST",
                "/lists",
                Some(&json!({ "name": words, "description": words })),
            )
            .await["id"]
            .clone();
        app.ok(
            "POST",
            "/contacts/bulk",
            Some(&json!({ "list_ids": [list], "contacts": [
                { "name": words, "whatsapp_number": "6281200000001", "email": "a@example.com", "company_name": words,
                  "tags": [words], "attributes": { "points": words } },
                { "name": "Siti", "whatsapp_number": "6281200000002" },
            ] })),
        )
        .await;
        let mailing = json!({ "subject": words, "account_id": account, "recipients": { "list_ids": [list] },
            "header": { "type": "text", "text": words }, "message": format!("{words} {{{{contact.name}}}}"), "footer": words });
        let sent = app.ok("POST", "/mailings", Some(&mailing)).await["id"].clone();
        app.ok("POST", &format!("/mailings/{sent}/send_now"), None)
            .await;
        app.deliver(sent.as_i64().unwrap()).await;
        tell(
            &waha,
            "/simulator/incoming",
            &json!({ "from": "6281200000001", "text": format!("{words} halo"), "name": words }),
        )
        .await;
        app.until("the receipts and the reply are here", || async {
            app.apply_webhooks().await;
            app.value("SELECT (SELECT count(*) FROM incoming) || ' ' || (SELECT count(*) FROM outgoing WHERE state = 'read')")
                .await
                == "1 2"
        })
        .await;
        let file = app
            .upload(
                &format!("{words}.pdf"),
                b"%PDF-1.7 price list %%EOF".to_vec(),
            )
            .await
            .1["id"]
            .clone();
        let mailing = json!({ "subject": words, "account_id": account, "recipients": { "list_ids": [list] },
            "header": { "type": "document", "media_id": file }, "message": format!("{words} {{{{contact.name}}}}"), "footer": words });
        let draft = app.ok("POST", "/mailings", Some(&mailing)).await["id"].clone();
        imports(&app, words).await;
        app.execute(&format!(
            "UPDATE accounts SET name = $words${words}$words$, health_reason = $words${words}$words$;
             UPDATE logs SET error_message = $words${words}$words$;
             UPDATE imports SET file_name = $words${words}$words$;
             INSERT INTO bulk_runs (company_id, user_id, action, argument_name, back, total)
               VALUES (1, 1, 'unarchive', $words${words}$words$, '/contacts', 1);
             INSERT INTO bulk_items (company_id, run_id, position, record_id)
               SELECT 1, r.id, 1, (SELECT min(id) FROM contacts) FROM bulk_runs r;
             INSERT INTO templates (company_id, account_id, uid, name, language, category, status, shape)
               VALUES (1, {account}, '9', 'promo', 'id', 'marketing', 'approved', jsonb_build_object('header_type', 'text',
                 'header', $words${words}$words$, 'body', $words${words}$words$ || ' {{{{1}}}}', 'footer', $words${words}$words$,
                 'samples', jsonb_build_object('body.1', $words${words}$words$),
                 'buttons', jsonb_build_array(jsonb_build_object('kind', 'quick_reply', 'text', $words${words}$words$))));
             INSERT INTO gateway_log (company_id, account_id, gateway, at, method, address, ms, outcome, failure, request, request_bytes, answer, answer_bytes)
               VALUES (1, {account}, 'n8n', wablast_now(), 'POST', $words${words}$words$, 7, 'failed', $words${words}$words$, $words${words}$words$, 9, $words${words}$words$, 9);
             INSERT INTO incoming_files (incoming_id, company_id, account_id, provider_id, state, mime, size, storage_key, file_name)
               SELECT (SELECT min(id) FROM incoming), 1, {account}, '1', 'kept', m.mime, m.size, m.storage_key, $words${words}$words$ FROM media m LIMIT 1;
             INSERT INTO favourites (company_id, user_id, list, name, query)
               VALUES (1, 1, '/contacts', $words${words}$words$, 'f=active')"
        ))
        .await;
        let person = app.person("rudi@example.com", "user").await;
        app.execute(&format!(
            "UPDATE users SET name = $words${words}$words$ WHERE id = {person}"
        ))
        .await;
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("note", words)
            .finish();
        let mut conn = app.app.db.system().await.unwrap();
        let company = wablast::ids::CompanyId(1);
        wablast::rates::query::ensure(&mut conn, company)
            .await
            .unwrap();
        let crypt = &app.app.crypt;
        let kept = wablast::auth::kept::store(&mut conn, crypt, UserId(1), "/incoming/1", &form)
            .await
            .unwrap();
        drop(conn);
        let mut ids = BTreeMap::new();
        ids.insert("kept", kept);
        ids.insert("users", person);
        ids.insert("accounts", account.to_string());
        ids.insert("lists", list.to_string());
        ids.insert("mailings", draft.to_string());
        ids.insert("media", file.to_string());
        for (noun, query) in [
            ("contacts", "SELECT min(id) FROM contacts"),
            ("logs", "SELECT min(id) FROM logs"),
            ("outgoing", "SELECT min(id) FROM outgoing"),
            ("incoming", "SELECT min(id) FROM incoming"),
            ("imports", "SELECT min(id) FROM imports"),
            ("webhook-log", "SELECT min(id) FROM inbox"),
            ("gateway-log", "SELECT min(id) FROM gateway_log"),
            ("tokens", "SELECT min(id) FROM api_tokens"),
            ("favourites", "SELECT min(id) FROM favourites"),
            ("bulk", "SELECT min(id) FROM bulk_runs"),
            ("jobs", "SELECT min(name) FROM jobs"),
            ("templates", "SELECT min(id) FROM templates"),
            ("rates", "SELECT min(id) FROM rates"),
            ("companies", "SELECT min(id) FROM companies"),
        ] {
            ids.insert(noun, app.value(query).await);
        }
        Self {
            app,
            _waha: waha,
            ids,
        }
    }

    /// The address with its record's id in it; `None` for one without a record.
    pub fn address(&self, route: &Route) -> Option<String> {
        let noun = route.path.split('/').nth(1)?;
        let (from, to) = (route.path.find('{')?, route.path.find('}')?);
        let id = self.ids.get(noun)?;
        Some(format!(
            "{}{id}{}",
            &route.path[..from],
            &route.path[to + 1..]
        ))
    }
}
