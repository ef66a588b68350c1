//! Changing a contact through the API: what is named and nothing else.

use serde_json::json;

use crate::support::TestApp;

#[tokio::test]
async fn a_change_touches_what_it_names_and_an_opt_out_depends_on_nothing_else() {
    let app = TestApp::new().await;
    let list = app.list_of(1).await;
    let bulk = json!({ "list_ids": [list], "contacts": [
        { "whatsapp_number": "628111000001", "email": "nomail", "tags": ["x,y"], "attributes": { "points": 340, "n": { "deep": 1 }, "note": "a\nb" } } ] });
    app.ok("POST", "/contacts/bulk", Some(&bulk)).await;
    let id = app
        .value("SELECT id FROM contacts WHERE whatsapp_number = '628111000001'")
        .await;
    let path = format!("/contacts/{id}");
    // Nobody has to know a name to honour a stop.
    let out = json!({ "opt_out": true, "reason": "Asked by phone" });
    let shown = app.ok("PATCH", &path, Some(&out)).await;
    assert_eq!(
        (&shown["opt_out"], &shown["name"]),
        (&json!(true), &json!(""))
    );
    let titled = app
        .ok(
            "PATCH",
            &path,
            Some(&json!({ "title": "Ibu", "attributes": { "points": 341 } })),
        )
        .await;
    assert_eq!(
        titled["attributes"],
        json!({ "points": 341, "n": { "deep": 1 }, "note": "a\nb" })
    );
    assert_eq!(titled["tags"], json!(["x,y"]));
    assert_eq!(titled["title"], "Ibu");
    assert_eq!(
        app.value(&format!(
            "SELECT count(*) FROM list_members WHERE contact_id = {id}"
        ))
        .await,
        "1"
    );
    for wrong in [
        json!({ "list_ids": [-1] }),
        json!({ "list_ids": [list, 99_999] }),
        json!({ "name": " " }),
        json!({ "attributes": { "a:b": "1" } }),
        json!({ "attributes": { "a": "x\u{0}y" } }),
        json!({ "tags": ["t".repeat(101)] }),
    ] {
        let (status, answer) = app.call("PATCH", &path, Some(&wrong)).await;
        assert_eq!(status, 422, "{wrong}: {answer}");
    }
    let long =
        json!({ "contacts": [{ "whatsapp_number": "628111000002", "name": "n".repeat(201) }] });
    let bulk = app.ok("POST", "/contacts/bulk", Some(&long)).await;
    assert_eq!(
        bulk["rejected"][0]["reason"],
        "The name is too long; at most 200 letters."
    );
}

#[tokio::test]
async fn changes_at_one_time_all_count() {
    let app = TestApp::new().await;
    let list = app.list_of(8).await;
    for id in 1..=8 {
        let path = format!("/contacts/{id}");
        let (archived, titled, left) = (
            json!({ "active": false }),
            json!({ "title": "Z" }),
            json!({ "list_ids": [] }),
        );
        tokio::join!(
            app.ok("PATCH", &path, Some(&archived)),
            app.ok("PATCH", &path, Some(&titled)),
            app.ok("PATCH", &path, Some(&left)),
        );
    }
    let kept = app
        .value("SELECT count(*) FROM contacts c WHERE active OR title <> 'Z' OR EXISTS (SELECT FROM list_members m WHERE m.contact_id = c.id)")
        .await;
    assert_eq!(kept, "0", "of list {list}");
}
