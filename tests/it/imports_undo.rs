//! Undoing an import: who goes, who gets back what it replaced, and what somebody changed since.

use chrono::TimeDelta;
use serde_json::json;

use crate::imports_background::{figures, file, upload, work_on};
use crate::support::TestApp;
use crate::support::browser::Browser;

#[tokio::test]
async fn an_import_is_taken_back_but_for_those_somebody_uses() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    app.ok(
        "POST",
        "/contacts/bulk",
        Some(&json!({ "contacts": [{ "name": "Lama", "whatsapp_number": "081200000000" }] })),
    )
    .await;
    let list = app
        .ok("POST", "/lists", Some(&json!({ "name": "Member" })))
        .await["id"]
        .clone();
    let options = json!({ "mode": "update", "list_ids": [list], "tags": ["Baru"] });
    let id = upload(&app, file(10), options).await;
    work_on(&app.app).await;
    assert_eq!(figures(&app, id).await, "done 10 8 1 0 1");
    app.execute(
        "UPDATE contacts SET opt_out = true, opt_out_at = wablast_now() WHERE name = 'P1';
         UPDATE contacts SET name = 'Diubah', updated_at = wablast_now() + interval '1 hour' WHERE name = 'P2';
         INSERT INTO lists (company_id, name) VALUES (1, 'Lain');
         INSERT INTO list_members (company_id, list_id, contact_id, added_at)
           SELECT 1, l.id, c.id, wablast_now() FROM lists l, contacts c WHERE l.name = 'Lain' AND c.name = 'P3'",
    )
    .await;
    let page = browser.get(&format!("/imports/{id}/undo")).await;
    let text = page.text();
    for sentence in [
        "Undo this import?",
        "Deleted: this import made them, and nobody has used them since5",
        "Get back what this import replaced1",
        "Opted out",
        "Made by it, and changed or put into a list since2",
    ] {
        assert!(text.contains(sentence), "{sentence}: {text}");
    }
    let form = page.form(&format!("/imports/{id}/undo"));
    let page = browser.submit(form.clone()).await;
    assert!(
        page.text()
            .contains("5 people of this import were taken back out."),
        "{}",
        page.text()
    );
    let stays = "SELECT string_agg(name, ' ' ORDER BY id) FROM contacts";
    assert_eq!(app.value(stays).await, "Lama P1 Diubah P3");
    assert_eq!(app.value("SELECT count(*) FROM list_members").await, "4");
    assert!(
        page.text()
            .contains("1 person has back what this import had replaced."),
        "{}",
        page.text()
    );
    // Again changes nothing; it is not for everybody, and after thirty days too late.
    browser.submit(form.clone()).await;
    assert_eq!(app.value(stays).await, "Lama P1 Diubah P3");
    app.execute("UPDATE user_companies SET role = 'user'").await;
    assert_eq!(
        browser.get(&format!("/imports/{id}/undo")).await.status,
        403
    );
    assert_eq!(browser.submit(form).await.status, 403, "not for everybody");
    app.execute("UPDATE user_companies SET role = 'manager'")
        .await;
    app.advance(TimeDelta::days(31)).await;
    browser.sign_in().await;
    let late = browser.get(&format!("/imports/{id}/undo")).await;
    assert_eq!(late.path, format!("/imports/{id}"));
    assert!(!late.html.contains("/undo"), "{}", late.text());
}

/// People who were here before: Rina with a tag, a list and facts, Budi with little, Tono who said stop.
async fn known(app: &TestApp) {
    let contacts = json!([
        { "name": "Rina Lama", "title": "Ibu", "whatsapp_number": "081200000001", "email": "rina@example.com",
          "company_name": "Batik", "tags": ["Setia"], "attributes": { "toko": "Dago", "poin": 7 } },
        { "name": "Budi", "whatsapp_number": "081200000002" },
        { "name": "Tono", "whatsapp_number": "081200000003" },
    ]);
    app.ok(
        "POST",
        "/contacts/bulk",
        Some(&json!({ "contacts": contacts })),
    )
    .await;
    app.execute(
        "UPDATE contacts SET opt_out = true, opt_out_at = wablast_now() WHERE name = 'Tono'",
    )
    .await;
}

/// Everybody as they are, without the moments.
const ALL: &str = "SELECT string_agg(concat_ws(' ', c.whatsapp_number, c.name, c.title, c.country, c.email, c.company_name, c.job_position,
    c.description, c.attributes, c.opt_out,
    (SELECT string_agg(t.name, ',' ORDER BY t.name) FROM contact_tags ct JOIN tags t ON t.id = ct.tag_id WHERE ct.contact_id = c.id),
    (SELECT string_agg(l.name, ',' ORDER BY l.name) FROM list_members m JOIN lists l ON l.id = m.list_id WHERE m.contact_id = c.id)),
    chr(10) ORDER BY c.id) FROM contacts c";

const NEWS: &str = "Nama;HP;Sapaan;Email;Perusahaan;Jabatan;Kategori;Mailing Lists;Toko;Kota
Rina Baru;081200000001;Kak;baru@example.com;Sutra;Direktur;Setia, Baru;Pembeli;Malioboro;Bandung
Budi Baru;081200000002;;;;;;Pembeli;Dago;
Tono Baru;081200000003;;;;;;;;
Siti;081200000004;;;;;Baru;Pembeli;;
Rina lagi;081200000001;;;;;Ulang;;;
";

#[tokio::test]
async fn who_was_there_before_is_again_as_before_the_import() {
    for mode in ["update", "fill_blanks", "insert"] {
        let app = TestApp::new().await;
        known(&app).await;
        let before = app.value(ALL).await;
        let list = app
            .ok("POST", "/lists", Some(&json!({ "name": "Semua" })))
            .await["id"]
            .clone();
        let options = json!({ "mode": mode, "list_ids": [list], "tags": ["Impor"] });
        let id = upload(&app, NEWS, options).await;
        work_on(&app.app).await;
        let after = app.value(ALL).await;
        assert_ne!(before, after, "{mode}");
        assert!(after.contains("Setia,Ulang"), "{mode}: {after}");
        let path = format!("/imports/{id}/undo");
        let foreseen = app.ok("GET", &path, None).await;
        assert_eq!(
            foreseen,
            json!({ "possible": true, "removes": 1, "restores": 3, "restores_partly": 0, "changed_since": 0, "stays": {} }),
            "{mode}"
        );
        let undone = app.ok("POST", &path, None).await;
        assert_eq!(
            undone,
            json!({ "finished": true, "undone": 1, "restored": 3 }),
            "{mode}"
        );
        assert_eq!(app.value(ALL).await, before, "{mode}");
        assert_eq!(app.value("SELECT count(*) FROM import_changes").await, "0");
        // Once more changes nothing, and the import says what was done.
        let (status, answer) = app.call("POST", &path, None).await;
        assert_eq!(status, 409, "{answer}");
        assert_eq!(app.ok("GET", &path, None).await["possible"], false);
        let shown = app.ok("GET", &format!("/imports/{id}"), None).await;
        assert_eq!(
            (&shown["undone"], &shown["restored"]),
            (&json!(1), &json!(3))
        );
        app.holds().await;
    }
}

#[tokio::test]
async fn what_somebody_changed_since_stays_and_the_history_tells_the_rest() {
    let app = TestApp::new().await;
    let mut browser = Browser::new(&app);
    browser.sign_in().await;
    known(&app).await;
    let id = upload(&app, NEWS, json!({ "mode": "update" })).await;
    work_on(&app.app).await;
    app.advance(TimeDelta::hours(1)).await;
    // Rina got another name and shop, left the list and came again; Budi was changed in everything; Tono said nothing.
    app.execute(
        "UPDATE contacts SET updated_at = wablast_now(), name = 'Rina Wijaya', attributes = attributes || '{\"toko\": \"Tunjungan\"}' WHERE name = 'Rina Baru';
         DELETE FROM list_members WHERE contact_id = (SELECT id FROM contacts WHERE name = 'Rina Wijaya');
         INSERT INTO list_members (company_id, list_id, contact_id, added_at)
           SELECT 1, l.id, c.id, wablast_now() FROM lists l, contacts c WHERE c.name = 'Rina Wijaya';
         UPDATE contacts SET updated_at = wablast_now(), name = 'Budi Dua', attributes = '{\"toko\": \"Braga\"}' WHERE name = 'Budi Baru';
         UPDATE list_members SET opt_out = true, opt_out_at = wablast_now()
           WHERE contact_id = (SELECT id FROM contacts WHERE name = 'Budi Dua')",
    )
    .await;
    let page = browser.get(&format!("/imports/{id}/undo")).await;
    let text = page.text();
    for said in [
        "Get back what this import replaced 1 of them only in part: somebody changed the rest since.2",
        "Were here before and changed since: they keep what they have1",
        "Deleted: this import made them, and nobody has used them since1",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    browser
        .submit(page.form(&format!("/imports/{id}/undo")))
        .await;
    assert_eq!(
        app.value(ALL).await,
        "6281200000001 Rina Wijaya Ibu ID rina@example.com Batik   {\"poin\": 7, \"toko\": \"Tunjungan\"} f Setia Pembeli\n\
         6281200000002 Budi Dua  ID     {\"toko\": \"Braga\"} f Pembeli\n\
         6281200000003 Tono  ID     {} t"
    );
    let rina = app
        .value("SELECT id FROM contacts WHERE name = 'Rina Wijaya'")
        .await;
    let history = browser.get(&format!("/contacts/{rina}")).await.text();
    for told in [
        "An import was undone: people.csv",
        "Sutra",
        "baru@example.com",
        "kota: Bandung",
        "Baru, Ulang",
    ] {
        assert!(history.contains(told), "{told}: {history}");
    }
    let told = "SELECT count(*) FROM audit WHERE noun = 'contacts' AND action = 'import_undone' AND user_id IS NOT NULL";
    assert_eq!(app.value(told).await, "2", "nobody who kept everything");
    // Who keeps everything is asked about again: the change may have been an error itself.
    app.execute("UPDATE contacts SET name = 'Budi Baru' WHERE name = 'Budi Dua'")
        .await;
    let path = format!("/imports/{id}/undo");
    let foreseen = app.ok("GET", &path, None).await;
    assert_eq!(
        (&foreseen["restores"], &foreseen["restores_partly"]),
        (&json!(1), &json!(1))
    );
    // It is kept as long as it can be undone.
    let sweep = || async {
        let mut conn = app.app.db.system().await.unwrap();
        wablast::imports::query::sweep(&mut conn).await.unwrap();
    };
    sweep().await;
    assert_eq!(app.value("SELECT count(*) FROM import_changes").await, "1");
    app.advance(TimeDelta::days(31)).await;
    sweep().await;
    assert_eq!(app.value("SELECT count(*) FROM import_changes").await, "0");
    assert_eq!(app.call("POST", &path, None).await.0, 409, "too late");
}

#[tokio::test]
async fn an_undo_that_broke_off_goes_on_and_gives_nothing_back_twice() {
    let app = TestApp::new().await;
    let people = 5_000;
    app.execute(&format!(
        "INSERT INTO contacts (company_id, name, whatsapp_number)
         SELECT 1, 'Dulu ' || n, (6281200000000 + n)::text FROM generate_series(0, {people} - 1) n"
    ))
    .await;
    let id = upload(&app, file(people), json!({ "mode": "update" })).await;
    work_on(&app.app).await;
    let changed = app.value("SELECT count(*) FROM import_changes").await;
    assert_eq!(changed, "4500");
    // The last people cannot be written: the first two chunks are done, the third is not.
    app.execute(
        "CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$;
         CREATE TRIGGER broken BEFORE UPDATE ON contacts FOR EACH ROW WHEN (old.whatsapp_number = '6281200004998') EXECUTE FUNCTION broken()",
    )
    .await;
    let path = format!("/imports/{id}/undo");
    assert_eq!(app.call("POST", &path, None).await.0, 500);
    let restored = format!("SELECT restored FROM imports WHERE id = {id}");
    assert_eq!(app.value(&restored).await, "4000", "two chunks");
    app.execute("DROP TRIGGER broken ON contacts").await;
    let both = futures_util::join!(app.call("POST", &path, None), app.call("POST", &path, None));
    for (status, answer) in [both.0, both.1] {
        assert!(matches!(status, 200 | 409), "{status} {answer}");
    }
    assert_eq!(app.value(&restored).await, "4500", "nobody twice");
    let back = "SELECT count(*) FROM contacts WHERE name LIKE 'Dulu %' AND attributes = '{}'";
    assert_eq!(app.value(back).await, "5000");
    let histories = "SELECT count(DISTINCT record_id) || ' ' || count(*) FROM audit WHERE action = 'import_undone'";
    assert_eq!(app.value(histories).await, "4500 4500");
}

#[tokio::test]
async fn only_managers_of_its_company_undo_an_import() {
    let app = TestApp::new().await;
    known(&app).await;
    let id = upload(&app, NEWS, json!({ "mode": "update" })).await;
    let path = format!("/imports/{id}/undo");
    assert_eq!(
        app.ok("GET", &path, None).await["possible"],
        false,
        "it waits"
    );
    assert_eq!(app.call("POST", &path, None).await.0, 409);
    work_on(&app.app).await;
    let before = app.value(ALL).await;
    let other = app.company("Toko Melati").await;
    let stranger = app
        .person_of(&other, "budi@example.com", "administrator")
        .await;
    let stranger = app.as_token(&app.token_of(&other, &stranger).await);
    let user = app.person("rudi@example.com", "user").await;
    let user = app.as_token(&app.token_of("1", &user).await);
    for method in ["GET", "POST"] {
        assert_eq!(stranger.call(method, &path, None).await.0, 404);
        assert_eq!(user.call(method, &path, None).await.0, 403);
    }
    assert_eq!(app.value(ALL).await, before);
    let manager = app.person("sari@example.com", "manager").await;
    let manager = app.as_token(&app.token_of("1", &manager).await);
    assert_eq!(manager.call("POST", &path, None).await.0, 200);
}
