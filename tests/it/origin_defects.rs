//! Defects of the add-on this product grew out of, each as a test that it does not come back. The
//! numbers are those of the list of 34 that the design keeps.
//!
//! | defect | test |
//! |---|---|
//! | 1, 2 lost after an outage, sent early | `delivery::a_submitted_mailing_is_never_early_and_survives_an_outage` |
//! | 3 manual contacts reach everybody | `defect_3_manual_contacts_are_exactly_the_chosen_ones` |
//! | 4 opt-out never read | `delivery::who_opted_out_is_left_out_with_the_reason_also_after_the_release` |
//! | 5 Send Now sends twice | `delivery::send_now_twice_is_one_run_and_the_scheduler_makes_no_second_one` |
//! | 6 date rules | `defect_6_send_now_ignores_the_date_and_submit_wants_one_that_is_not_past` |
//! | 7 one account a provider | `defect_7_two_accounts_of_one_provider_but_not_of_one_number` |
//! | 8 sleeps in the worker | `delivery::a_slow_account_is_asked_again_when_its_next_token_is_there` |
//! | 9 token handed to anybody | `defect_9_no_address_hands_out_a_secret`, `webhook_sending::a_wrong_token_learns_nothing_and_no_address_hands_one_out` |
//! | 10 counters counted twice | `receipts::receipts_in_any_order_end_the_same`, `webhook_sending::a_report_counts_once_however_often_it_comes` |
//! | 11 posted again until called back | `proof::a_crash_between_claim_and_finish_sends_nothing_twice_and_loses_nobody`, `webhook_sending::what_was_begun_when_the_process_ended_is_settled_by_its_report`, `webhook_sending::scheduler_enqueue_opens_batches_for_flows_too` |
//! | 12 numbers kept raw | `defect_12_numbers_are_normalised_on_the_api`, `defect_12_numbers_are_normalised_on_the_form_and_by_import` |
//! | 13 from and to swapped | `defect_13_the_account_sends_and_the_contact_receives` |
//! | 14 only the first placeholder filled | `defect_14_every_occurrence_is_filled_and_unknown_ones_stop_the_submit` |
//! | 15 media never left, and could not be uploaded | `defect_15_a_header_with_media_is_uploaded_checked_and_really_arrives`, `media::all_three_kinds_arrive_whole_with_their_caption_once_a_person` |
//! | 16 media at a guessable address, all leftovers deleted | `defect_16_no_address_serves_media_at_a_guessable_id`, `media::a_link_ends_with_its_mailing_and_by_itself`, `media::what_nobody_needs_goes_after_a_day_and_what_was_sent_stays` |
//! | 17 nobody to send to | `defect_17_a_mailing_to_nobody_is_refused_with_the_reason` |
//! | 18 total failure called partial | `defect_18_failed_and_partial_failure_are_told_apart` |
//! | 19 the gateway's error is lost | `delivery::an_answer_that_proves_nothing_rests_as_uncertain_and_is_never_sent_again`, `webhook_sending::what_a_flow_says_is_in_the_log_without_its_insides` |
//! | 20 buttons for everything | `mailings::mailing::tests::every_state_allows_exactly_what_the_table_says`, `defect_20_every_state_shows_exactly_the_buttons_of_the_table` |
//! | 21 errors and tokens in the log | `gateways::no_reason_repeats_the_message_or_the_key`, `webhook_sending::a_wrong_token_learns_nothing_and_no_address_hands_one_out` |
//! | 22 the test prints secrets | `defect_22_no_answer_contains_a_secret` |
//! | 24, 25 incoming twice, groups as contacts | `defect_24_an_incoming_message_is_one_row_however_often_it_comes`, `webhook_sending::people_s_messages_that_a_flow_brings_are_applied_before_it_is_answered`, `delivery::a_stop_by_message_opts_out_and_the_next_mailing_leaves_that_person_out` |
//! | 26 welcome forgotten or twice | `replies::the_welcome_goes_once_to_who_writes_for_the_first_time`, `replies::two_first_messages_read_at_the_same_time_are_welcomed_once` |
//! | 27 months sorted by name | `defect_27_months_are_sorted_by_date_and_the_newest_is_first` |
//! | 28 HTML stored and shown | `defect_28_pasted_html_is_stored_as_whatsapp_text` |
//! | 29 no company | `defect_29_another_company_s_records_do_not_exist` |
//! | 30 subject unique | `defect_30_one_subject_may_be_used_twice` |
//! | 32 the scheduler ignores lists | `delivery::a_submitted_mailing_is_never_early_and_survives_an_outage` |
//! | 33 edits between submit and send | `defect_33_a_person_in_two_lists_is_written_to_once_and_the_text_is_frozen` |
//! | 34 the test goes to the account itself | `defect_34_a_test_goes_to_the_typed_number_with_the_account_s_own_session` |
//!
//! 23 and 31 are faults of the origin's language.

use chrono::TimeDelta;
use serde_json::{Value, json};
use tokio::sync::watch;
use wablast::auth;
use wablast::i18n::{Lang, t};
use wablast::ids::{CompanyId, UserId};
use wablast::mailings::{State, legal};
use wablast::outgoing::deliver;
use wablast::simulator::{Options, Running};

use crate::support::browser::{Browser, Page};
use crate::support::site::routes;
use crate::support::{TestApp, arrived, simulator, tell};

async fn ready() -> (TestApp, Running, i64) {
    let app = TestApp::new().await;
    let waha = simulator(Options::default()).await;
    let account = app.account(&waha).await;
    (app, waha, account)
}

async fn signed_in(app: &TestApp) -> Browser {
    let mut browser = Browser::new(app);
    browser.sign_in().await;
    browser
}

#[tokio::test]
async fn defect_3_manual_contacts_are_exactly_the_chosen_ones() {
    let (app, waha, account) = ready().await;
    let list = app.list_of(5).await;
    let contacts = app
        .ok("GET", &format!("/contacts?list_id={list}"), None)
        .await;
    let chosen = contacts["items"][2]["id"].as_i64().unwrap();
    let mailing = app
        .ok("POST", "/mailings", Some(&json!({ "subject": "One", "account_id": account, "recipients": { "contact_ids": [chosen] }, "message": "Hi" })))
        .await["id"]
        .as_i64()
        .unwrap();
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    app.deliver(mailing).await;
    let arrived = arrived(&waha).await;
    assert_eq!(
        (
            arrived["total"].as_i64(),
            arrived["items"][0]["to"].as_str()
        ),
        (Some(1), Some("6281200000002"))
    );
}

#[tokio::test]
async fn defect_6_send_now_ignores_the_date_and_submit_wants_one_that_is_not_past() {
    let (app, _waha, account) = ready().await;
    let list = app.list_of(1).await;
    let mailing = app.mailing(account, list, "Hi").await;
    let submit = format!("/mailings/{mailing}/submit");
    assert_eq!(
        app.call("POST", &submit, None).await.0,
        422,
        "no date at all"
    );
    let at = |minutes: i64| json!({ "schedule_date": (app.app.clock.now() + TimeDelta::minutes(minutes)).to_rfc3339() });
    assert_eq!(app.call("POST", &submit, Some(&at(-10))).await.0, 422);
    assert_eq!(
        app.call(
            "POST",
            &submit,
            Some(&json!({ "schedule_date": "2027-01-01T10:00:00" }))
        )
        .await
        .0,
        422,
        "no offset"
    );
    assert_eq!(
        app.call("POST", &submit, Some(&at(-1))).await.0,
        200,
        "the form stood open for a minute"
    );
    assert_eq!(
        app.call("POST", &format!("/mailings/{mailing}/send_now"), None)
            .await
            .0,
        200
    );
}

#[tokio::test]
async fn defect_7_two_accounts_of_one_provider_but_not_of_one_number() {
    let app = TestApp::new().await;
    let account = |name: &str, session: &str| json!({ "name": name, "provider": "waha", "api_url": "http://127.0.0.1:3000", "session": session });
    assert_eq!(
        app.call("POST", "/accounts", Some(&account("A", "one")))
            .await
            .0,
        201
    );
    assert_eq!(
        app.call("POST", "/accounts", Some(&account("B", "two")))
            .await
            .0,
        201
    );
    let (status, answer) = app
        .call("POST", "/accounts", Some(&account("C", "two")))
        .await;
    assert_eq!(status, 422);
    assert!(
        answer["error"]["fields"]["session"][0]
            .as_str()
            .unwrap()
            .contains("already uses this number")
    );
}

#[tokio::test]
async fn defect_9_no_address_hands_out_a_secret() {
    let app = TestApp::new().await;
    for path in ["/api/v1/token", "/api/v1/accounts", "/isi/get_token"] {
        let status = app.post_raw(path, &[], Vec::new()).await;
        assert!(matches!(status, 401 | 404 | 405), "{path}: {status}");
    }
    // The address that handed the token to anybody is not there at all.
    assert_eq!(Browser::new(&app).get("/isi/get_token").await.status, 404);
}

#[tokio::test]
async fn defect_12_numbers_are_normalised_on_the_api() {
    let app = TestApp::new().await;
    let contacts = json!([{ "name": "A", "whatsapp_number": "0812 3456-7890" }, { "name": "B", "whatsapp_number": "+62 812 3456 7890" },
        { "name": "C", "whatsapp_number": "abc" }, { "name": "D", "whatsapp_number": "+1 415 555 2671", "country": "United States" }]);
    let outcome = app
        .ok(
            "POST",
            "/contacts/bulk",
            Some(&json!({ "contacts": contacts })),
        )
        .await;
    assert_eq!(
        (outcome["created"].as_i64(), outcome["skipped"].as_i64()),
        (Some(2), Some(1)),
        "{outcome}"
    );
    assert_eq!(outcome["rejected"][0]["index"], 2);
    assert_eq!(
        app.value("SELECT string_agg(whatsapp_number, ',' ORDER BY whatsapp_number) FROM contacts")
            .await,
        "14155552671,6281234567890"
    );
}

#[tokio::test]
async fn defect_12_numbers_are_normalised_on_the_form_and_by_import() {
    let app = TestApp::new().await;
    let mut browser = signed_in(&app).await;
    let form = browser.get("/contacts/new").await.form("/contacts");
    let form = form.set("name", "Ayu");
    let page = browser
        .submit(form.clone().set("whatsapp_number", "0812 3456-7890"))
        .await;
    assert_eq!(page.status, 200, "{}", page.text());
    for (typed, why) in [
        ("+62 812 3456 7890", "the same number"),
        ("abc", "no number"),
    ] {
        let page = browser
            .submit(form.clone().set("whatsapp_number", typed))
            .await;
        assert_eq!(page.status, 422, "{why}");
        assert_eq!(page.value("whatsapp_number"), typed, "what was typed stays");
    }
    let file = "Name,Phone\nAyu Lestari,(+62) 812-3456.7890\nBudi,0813 1111 2222\nCitra,abc\n";
    let form = browser.get("/imports/new").await.form("/imports");
    let page = browser.upload(form, "file", "people.csv", file).await;
    let run = page.form(&format!("{}/run", page.path));
    browser.submit(run).await;
    assert_eq!(
        app.value("SELECT string_agg(whatsapp_number, ',' ORDER BY whatsapp_number) FROM contacts")
            .await,
        "6281234567890,6281311112222"
    );
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

/// What a page calls something.
fn word(key: &str) -> &str {
    t(Lang::En, key)
}

#[tokio::test]
async fn defect_13_the_account_sends_and_the_contact_receives() {
    let (app, waha, account) = ready().await;
    // Its own number is known from the test of the account.
    app.ok("POST", &format!("/accounts/{account}/test"), None)
        .await;
    let (own, theirs) = ("628990000001", "6281200000000");
    let list = app.list_of(1).await;
    let mailing = app.mailing(account, list, "Hi").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    app.deliver(mailing).await;
    tell(
        &waha,
        "/simulator/incoming",
        &json!({ "from": theirs, "text": "Halo" }),
    )
    .await;
    app.until("the reply is here", || async {
        app.apply_webhooks().await;
        app.value("SELECT count(*) FROM incoming").await == "1"
    })
    .await;
    let mut browser = signed_in(&app).await;
    let list = browser.get("/outgoing").await;
    assert_eq!(digits(&list.column(word("outgoing.number"))[0]), theirs);
    assert_eq!(list.column(word("outgoing.account")), ["Toko Bandung"]);
    let id = app.value("SELECT id FROM outgoing").await;
    let page = browser.get(&format!("/outgoing/{id}")).await;
    assert_eq!(digits(&page.fact(word("outgoing.number"))), theirs);
    assert_eq!(page.fact(word("outgoing.account")), "Toko Bandung");
    let list = browser.get("/incoming?g=&c=receiver").await;
    assert_eq!(digits(&list.column(word("incoming.sender"))[0]), theirs);
    assert_eq!(digits(&list.column(word("incoming.receiver"))[0]), own);
    assert_eq!(list.column(word("incoming.account")), ["Toko Bandung"]);
    let id = app.value("SELECT id FROM incoming").await;
    let page = browser.get(&format!("/incoming/{id}")).await;
    assert_eq!(digits(&page.fact(word("incoming.sender"))), theirs);
    assert_eq!(digits(&page.fact(word("incoming.receiver"))), own);
    assert_eq!(page.fact(word("incoming.account")), "Toko Bandung");
}

#[tokio::test]
async fn defect_15_a_header_with_media_is_uploaded_checked_and_really_arrives() {
    let (app, waha, account) = ready().await;
    let list = app.list_of(1).await;
    let mut browser = signed_in(&app).await;
    let form = browser.get("/mailings/new").await.form("/mailings");
    let form = form.set("subject", "Promo").set("message", "Halo");
    let form = form
        .set("header_type", "document")
        .add("list_ids", list)
        .set("account_id", &account.to_string());
    let wrong = browser
        .upload(
            form.clone(),
            "file",
            "prices.pdf",
            b"MZ not a document".to_vec(),
        )
        .await;
    assert_eq!(wrong.status, 422, "the type is checked");
    let page = browser
        .upload(
            form,
            "file",
            "prices.pdf",
            b"%PDF-1.7 prices %%EOF".to_vec(),
        )
        .await;
    assert_eq!(page.status, 200, "{}", page.text());
    let mailing: i64 = page.path.rsplit('/').next().unwrap().parse().unwrap();
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    let done = app.deliver(mailing).await;
    assert_eq!(done["counts"]["failed"], 0, "{done}");
    let arrived = arrived(&waha).await;
    assert_eq!(
        (
            arrived["items"][0]["file"]["name"].as_str(),
            arrived["items"][0]["text"].as_str()
        ),
        (Some("prices.pdf"), Some("Halo"))
    );
}

#[tokio::test]
async fn defect_16_no_address_serves_media_at_a_guessable_id() {
    let app = TestApp::new().await;
    let file = app
        .upload("prices.pdf", b"%PDF-1.7 prices %%EOF".to_vec())
        .await
        .1["id"]
        .clone();
    let mut browser = signed_in(&app).await;
    for path in ["/web/content/1", "/web/image/1", "/media/1"] {
        let status = browser.get(path).await.status;
        assert_eq!(status, 404, "{path}");
    }
    let own = format!("/media/{file}/file");
    assert_eq!(browser.get(&own).await.status, 200, "who is signed in");
    let stranger = Browser::new(&app).get(&own).await.path;
    assert_eq!(stranger, "/login");
    let open: Vec<_> = routes()
        .into_iter()
        .filter(|route| {
            ["media", "content", "attachment"]
                .iter()
                .any(|word| route.path.contains(word))
        })
        .map(|route| route.path)
        .collect();
    assert_eq!(open, ["/media", "/media/{id}/file"]);
}

#[tokio::test]
async fn defect_14_every_occurrence_is_filled_and_unknown_ones_stop_the_submit() {
    let (app, waha, account) = ready().await;
    let list = app.list_of(1).await;
    let mailing = app.mailing(account, list, "{{contact.name}}, {{contact.name}} and {{contact.name}}: {{subject}} for {{mailingList.name}}").await;
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    app.deliver(mailing).await;
    assert_eq!(
        arrived(&waha).await["items"][0]["text"],
        "P0, P0 and P0: Hello for List of 1"
    );
    let unknown = app.mailing(account, list, "Hi {{contact.pointz}}").await;
    let (status, answer) = app
        .call("POST", &format!("/mailings/{unknown}/send_now"), None)
        .await;
    assert_eq!(status, 422);
    assert!(
        answer["error"]["fields"]["message"][0]
            .as_str()
            .unwrap()
            .contains("{{contact.pointz}}"),
        "{answer}"
    );
}

#[tokio::test]
async fn defect_17_a_mailing_to_nobody_is_refused_with_the_reason() {
    let (app, _waha, account) = ready().await;
    let empty = app
        .ok("POST", "/lists", Some(&json!({ "name": "Empty" })))
        .await["id"]
        .as_i64()
        .unwrap();
    let mailing = app.mailing(account, empty, "Hi").await;
    let (status, answer) = app
        .call("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    assert_eq!(status, 422);
    assert!(
        answer["error"]["fields"]["list_ids"][0]
            .as_str()
            .unwrap()
            .contains("Nobody"),
        "{answer}"
    );
}

#[tokio::test]
async fn defect_18_failed_and_partial_failure_are_told_apart() {
    let (app, waha, account) = ready().await;
    let list = app.list_of(2).await;
    let all = json!({ "numbers": { "6281200000000": "error_ack", "6281200000001": "error_ack" } });
    let one = json!({ "numbers": { "6281200000001": "error_ack" } });
    for (faults, expected) in [(all, "failed"), (one, "partial_failure")] {
        tell(&waha, "/simulator/faults", &faults).await;
        let mailing = app.mailing(account, list, "Hi").await;
        app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
            .await;
        app.deliver(mailing).await;
        app.until(expected, || async {
            app.apply_webhooks().await;
            app.show(mailing).await["state"] == expected
        })
        .await;
    }
}

/// The verbs that a mailing's page offers, sorted.
fn offered(page: &Page, mailing: i64) -> Vec<String> {
    let own = format!("/mailings/{mailing}");
    let mut verbs = page.attributes("button[name=then]:not([value=find])", "value");
    for lead in page
        .attributes("form:not([method=get])", "action")
        .into_iter()
        .chain(page.attributes("a", "href"))
    {
        match lead.strip_prefix(&own) {
            Some("") if page.path == own => verbs.push("edit".to_owned()),
            Some("/send") => verbs.push("send_now".to_owned()),
            // A note changes nothing about the mailing.
            Some("/note") => {}
            Some(verb) if verb.starts_with('/') => verbs.push(verb[1..].to_owned()),
            _ => {}
        }
    }
    verbs.sort();
    verbs.dedup();
    verbs
}

#[tokio::test]
async fn defect_20_every_state_shows_exactly_the_buttons_of_the_table() {
    let (app, _waha, account) = ready().await;
    let list = app.list_of(1).await;
    let fresh = app.mailing(account, list, "Hi").await;
    let sent = app.mailing(account, list, "Hi").await;
    app.ok("POST", &format!("/mailings/{sent}/send_now"), None)
        .await;
    app.deliver(sent).await;
    let mut browser = signed_in(&app).await;
    for (mailing, released) in [(fresh, false), (sent, true)] {
        for state in State::ALL {
            let stored = state.as_str();
            app.execute(&format!(
                "UPDATE mailings SET state = '{stored}', schedule_date = wablast_now() + interval '1 day' WHERE id = {mailing}"
            ))
            .await;
            let page = browser.get(&format!("/mailings/{mailing}")).await;
            let mut expected = legal(state, released);
            // These stand beside messages nobody knows the end of, and here are none.
            expected.retain(|verb| !matches!(*verb, "resend" | "mark_sent"));
            // What was missed is submitted with its new date, which is one form.
            if state == State::Missed {
                expected.retain(|verb| *verb != "reschedule");
            }
            expected.sort_unstable();
            assert_eq!(
                offered(&page, mailing),
                expected,
                "{stored}, released: {released}"
            );
        }
    }
}

#[tokio::test]
async fn defect_22_no_answer_contains_a_secret() {
    let app = TestApp::new().await;
    let account = json!({ "name": "A", "provider": "waha", "api_url": "http://127.0.0.1:9", "api_key": "canary-key-1", "webhook_password": "canary-pass-2" });
    let id = app.ok("POST", "/accounts", Some(&account)).await["id"]
        .as_i64()
        .unwrap();
    let mut seen = String::new();
    for (method, path) in [
        ("GET", format!("/accounts/{id}")),
        ("GET", "/accounts".to_owned()),
        ("POST", format!("/accounts/{id}/test")),
    ] {
        seen.push_str(&app.call(method, &path, None).await.1.to_string());
    }
    assert!(
        !seen.contains("canary") && seen.contains("\"set\""),
        "{seen}"
    );
    assert_eq!(
        app.value("SELECT count(*) FROM accounts WHERE accounts::text LIKE '%canary%'")
            .await,
        "0",
        "sealed at rest"
    );
}

#[tokio::test]
async fn defect_24_an_incoming_message_is_one_row_however_often_it_comes() {
    let (app, waha, _) = ready().await;
    for _ in 0..3 {
        tell(
            &waha,
            "/simulator/incoming",
            &json!({ "from": "628555", "text": "Hi", "id": "SAME" }),
        )
        .await;
    }
    app.until("three events are applied", || async {
        app.apply_webhooks().await;
        app.value("SELECT count(*) FROM inbox WHERE state = 'applied'")
            .await
            == "3"
    })
    .await;
    assert_eq!(app.value("SELECT count(*) FROM incoming").await, "1");
}

#[tokio::test]
async fn defect_27_months_are_sorted_by_date_and_the_newest_is_first() {
    let (app, _waha, account) = ready().await;
    for date in ["2025-12-05", "2026-04-07", "2025-08-09"] {
        app.execute(&format!(
            "INSERT INTO incoming (company_id, account_id, provider_id, sender, message, received_at)
               VALUES (1, {account}, '{date}', '6281200000000', 'Halo', '{date} 10:00+07');
             WITH said AS (INSERT INTO outgoing_content (company_id, text, cause) VALUES (1, 'Hi', '{date}') RETURNING id)
               INSERT INTO outgoing (company_id, account_id, kind, content_id, number, state, created_at, accepted_at)
               SELECT 1, {account}, 'test', id, '6281200000000', 'sent', '{date} 10:00+07', '{date} 10:00+07' FROM said"
        ))
        .await;
    }
    let mut browser = signed_in(&app).await;
    for path in ["/incoming?g=month", "/outgoing?g=month"] {
        let page = browser.get(path).await;
        let months = page.texts("tr.group .grp > span:not(.n)");
        assert_eq!(months, ["Apr 2026", "Dec 2025", "Aug 2025"], "{path}");
    }
}

#[tokio::test]
async fn defect_28_pasted_html_is_stored_as_whatsapp_text() {
    let (app, _waha, account) = ready().await;
    let list = app.list_of(1).await;
    app.mailing(
        account,
        list,
        "<p>Hi <b>you</b></p><script>alert(1)</script>",
    )
    .await;
    let stored = app.value("SELECT message FROM mailings").await;
    assert!(
        stored.starts_with("Hi *you*") && !stored.contains("<script"),
        "{stored}"
    );
}

#[tokio::test]
async fn defect_29_another_company_s_records_do_not_exist() {
    let (app, _waha, account) = ready().await;
    let list = app.list_of(1).await;
    let mailing = app.mailing(account, list, "Hi").await;
    let contact = app.ok("GET", "/contacts", None).await["items"][0]["id"]
        .as_i64()
        .unwrap();
    app.execute(
        "INSERT INTO companies (name, country, time_zone) VALUES ('Other', 'ID', 'Asia/Jakarta');
         INSERT INTO user_companies SELECT 1, id, 'administrator' FROM companies WHERE name = 'Other'",
    )
    .await;
    let token = {
        let mut conn = app.app.db.system().await.unwrap();
        auth::token::create(&mut conn, CompanyId(2), UserId(1), "other", &[])
            .await
            .unwrap()
    };
    let other = app.as_token(&token);
    let calls: Vec<(&str, String, Option<Value>)> = vec![
        ("GET", format!("/accounts/{account}"), None),
        ("POST", format!("/accounts/{account}/test"), None),
        ("POST", format!("/accounts/{account}/pause"), None),
        ("GET", format!("/contacts/{contact}"), None),
        (
            "PATCH",
            format!("/contacts/{contact}"),
            Some(json!({ "name": "stolen" })),
        ),
        ("GET", format!("/mailings/{mailing}"), None),
        ("GET", format!("/mailings/{mailing}/preflight"), None),
        ("POST", format!("/mailings/{mailing}/send_now"), None),
        ("POST", format!("/mailings/{mailing}/submit"), None),
        ("POST", format!("/mailings/{mailing}/cancel"), None),
        ("POST", format!("/mailings/{mailing}/duplicate"), None),
    ];
    for (method, path, body) in calls {
        let (status, answer) = other.call(method, &path, body.as_ref()).await;
        assert_eq!(status, 404, "{method} {path}: {answer}");
    }
    for path in ["/contacts", "/lists", "/accounts", "/messages", "/incoming"] {
        assert_eq!(
            other.ok("GET", path, None).await["items"],
            json!([]),
            "{path}"
        );
    }
    let (status, _) = other
        .call(
            "POST",
            "/contacts/bulk",
            Some(&json!({ "list_ids": [list], "contacts": [] })),
        )
        .await;
    assert_eq!(status, 422, "another company's list");
    let crossed = json!({ "subject": "x", "account_id": account, "recipients": { "list_ids": [list] }, "message": "x" });
    assert_eq!(other.call("POST", "/mailings", Some(&crossed)).await.0, 422);
    assert_eq!(app.show(mailing).await["state"], "draft");
}

#[tokio::test]
async fn defect_30_one_subject_may_be_used_twice() {
    let (app, _waha, account) = ready().await;
    let list = app.list_of(1).await;
    let (first, second) = (
        app.mailing(account, list, "Hi").await,
        app.mailing(account, list, "Hi").await,
    );
    assert_ne!(first, second);
}

#[tokio::test]
async fn defect_33_a_person_in_two_lists_is_written_to_once_and_the_text_is_frozen() {
    let (app, waha, account) = ready().await;
    let first = app.list_of(3).await;
    let second = app
        .ok("POST", "/lists", Some(&json!({ "name": "Second" })))
        .await["id"]
        .as_i64()
        .unwrap();
    let again = json!({ "list_ids": [second], "contacts": [{ "name": "x", "whatsapp_number": "6281200000001" }, { "name": "New", "whatsapp_number": "6281200000009" }] });
    app.ok("POST", "/contacts/bulk", Some(&again)).await;
    let body = json!({ "subject": "Both", "account_id": account, "recipients": { "list_ids": [first, second] }, "message": "Before" });
    let mailing = app.ok("POST", "/mailings", Some(&body)).await["id"]
        .as_i64()
        .unwrap();
    app.ok("POST", &format!("/mailings/{mailing}/send_now"), None)
        .await;
    wablast::mailings::release::advance(&app.app).await.unwrap();
    app.execute("UPDATE mailings SET message = 'After'").await;
    let late = json!({ "list_ids": [first], "contacts": [{ "name": "Late", "whatsapp_number": "6281200000077" }] });
    app.ok("POST", "/contacts/bulk", Some(&late)).await;
    app.deliver(mailing).await;
    let arrived = arrived(&waha).await;
    assert_eq!(
        (arrived["total"].as_i64(), arrived["doubled"].as_i64()),
        (Some(4), Some(0))
    );
    assert!(
        arrived["items"]
            .as_array()
            .unwrap()
            .iter()
            .all(|message| message["text"] == "Before")
    );
}

#[tokio::test]
async fn defect_34_a_test_goes_to_the_typed_number_with_the_account_s_own_session() {
    let app = TestApp::new().await;
    let waha = simulator(Options {
        session: "toko".to_owned(),
        ..Options::default()
    })
    .await;
    let account = json!({ "name": "Toko", "provider": "waha", "api_url": waha.url(), "api_key": "simulator-key", "session": "toko",
        "pace": { "per_second": 5000, "burst": 5000 } });
    let account = app.ok("POST", "/accounts", Some(&account)).await["id"]
        .as_i64()
        .unwrap();
    let list = app.list_of(1).await;
    let mailing = app.mailing(account, list, "Hi {{contact.name}}").await;
    let mut browser = signed_in(&app).await;
    let asks = format!("/mailings/{mailing}/test");
    let form = browser.get(&asks).await.form(&asks);
    let page = browser.submit(form.clone()).await;
    assert_eq!(page.status, 422, "it asks for a number");
    let form = form.set("number", "0811 2233 4455");
    for _ in 0..2 {
        let page = browser.submit(form.clone()).await;
        assert_eq!(page.status, 200, "{}", page.text());
    }
    let own = format!("/accounts/{account}/test-message");
    let page = browser.get(&format!("/accounts/{account}")).await;
    let own = page.form(&own).set("number", "+62 811 2233 4466");
    browser
        .submit(own.clone().set("text", "From the account"))
        .await;
    let (stop, stopped) = watch::channel(false);
    let deliverer = tokio::spawn(deliver::run(app.app.clone(), stopped));
    app.until("both tests went out", || async {
        app.value("SELECT count(*) FROM outgoing WHERE state = 'accepted'")
            .await
            == "2"
    })
    .await;
    stop.send(true).unwrap();
    deliverer.await.unwrap();
    let arrived = arrived(&waha).await;
    let mut to: Vec<String> = arrived["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| {
            format!(
                "{} {}",
                message["to"].as_str().unwrap(),
                message["text"].as_str().unwrap()
            )
        })
        .collect();
    to.sort();
    assert_eq!(
        to,
        ["6281122334455 Hi P0", "6281122334466 From the account"]
    );
    assert_eq!(app.show(mailing).await["state"], "draft");
    app.execute("UPDATE contacts SET opt_out = true, opt_out_at = wablast_now()")
        .await;
    let refused = own.set("number", "6281200000000").set("text", "Hi");
    let page = browser.submit(refused).await;
    assert_eq!(page.status, 422, "who opted out gets no tests");
}
