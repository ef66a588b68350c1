//! The brief, sentence by sentence, and the tests that stand for each. Its text is
//! `tests/fixtures/brief.md`, word for word.
//!
//! What a standalone product means differently is said beside the sentence; what is not built yet too.

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// A sentence, the tests that prove it, and what of it is open ("": nothing).
struct Row(&'static str, &'static [&'static str], &'static str);

#[rustfmt::skip]
const ROWS: &[Row] = &[
    Row("Mass broadcast add-on for **Odoo 19 Enterprise** that reuses the official WhatsApp module and its infrastructure (Meta Cloud API or WAHA).",
        &["a_mailing_reaches_everybody_once_and_its_receipts_come_back", "from_the_first_start_to_a_mailing_that_leaves_out_who_said_stop", "the_demo_is_walked_from_the_sign_in_to_a_mailing_that_everybody_got", "meta_a_mailing_on_a_template_reaches_everybody_once_with_their_values"], ""),
    Row("Every place where the UI requests a “WhatsApp Account” is pointing to *WhatsApp ‣ Configuration ‣ WhatsApp Business Accounts* from the standard app—no parallel configuration exists inside this module.",
        &["an_account_field_never_creates_or_edits_an_account"], ""),
    Row("**Broadcasts** – Mailings and Mailing Logs (campaign-centric views).",
        &["the_menu_is_the_briefs", "logs_messages_and_events_have_pages_that_say_what_became_of_them"], ""),
    Row("**Contacts** – Contact-centric views: Mailing Lists, Recipients, Incoming, Outgoing.",
        &["the_menu_is_the_briefs", "every_page_shows_a_typical_record"], ""),
    Row("Everything lives inside the default WhatsApp app, so users never leave the native experience.",
        &["the_demo_is_walked_from_the_sign_in_to_a_mailing_that_everybody_got", "menu_a_page_below_an_entry_lights_only_that_entry"], ""),
    Row("Install **WhatsApp** from Odoo Enterprise and finish Meta/WAHA onboarding until you can send a message from Discuss.",
        &["an_installation_is_set_up_once_by_who_has_the_token", "defect_34_a_test_goes_to_the_typed_number_with_the_account_s_own_session", "meta_a_connection_is_tested_in_words_and_templates_are_copied_page_by_page"], ""),
    Row("Install this module and upgrade the app list.",
        &["migrations_go_down_and_up_again", "a_cluster_is_made_once_and_everybody_but_a_server_joins_it"], ""),
    Row("The WhatsApp menu gains the Broadcasts + Contacts entries described above.",
        &["the_menu_is_the_briefs"], ""),
    Row("Ensure scheduled actions are running (Odoo cron workers must be active).",
        &["a_scheduler_that_stopped_is_told_on_every_page_until_it_runs_again", "off_means_that_it_does_not_run_and_a_banner_says_what_waits"], ""),
    Row("Go to *WhatsApp ‣ Configuration ‣ WhatsApp Business Accounts*.",
        &["the_menu_is_the_briefs"], ""),
    Row("Create or open an account and fill the standard Meta fields.",
        &["from_the_first_start_to_a_mailing_that_leaves_out_who_said_stop", "all_faults_come_at_once"], ""),
    Row("Scroll to the **Infinys Gateway** section that this module injects and fill:",
        &["the_account_form_has_the_fields_of_the_gateway"], ""),
    Row("**Provider** – choose `WAHA` for on-prem WAHA or `Meta` to continue using Meta Cloud.",
        &["the_account_form_has_the_fields_of_the_gateway", "defect_7_two_accounts_of_one_provider_but_not_of_one_number", "meta_events_of_another_number_of_the_app_find_their_account"], ""),
    Row("**WhatsApp API URL / Webhook URL** – WAHA base URL and the N8n (or similar) webhook that will receive payloads.",
        &["the_account_form_has_the_fields_of_the_gateway", "a_waha_account_needs_little", "the_flow_gets_the_add_on_s_payload_with_credentials_and_signature"], ""),
    Row("**Authentication User / Password** – WAHA credentials.",
        &["the_account_form_has_the_fields_of_the_gateway", "a_test_says_what_is_wrong_in_plain_words", "refused_credentials_stop_the_account_until_a_test_passes"], ""),
    Row("**Phone Number ID (WAHA)** – identifier provided by WAHA (defaults to the same phone UID that Odoo requires).",
        &["the_session_defaults_to_the_phone_number_id"], ""),
    Row("Optional **Welcome Message** template.",
        &["the_welcome_goes_once_to_who_writes_for_the_first_time", "an_account_s_texts_know_their_placeholders"], ""),
    Row("Click **Test WAHA Credentials** (visible for provider = WAHA) to validate access.",
        &["a_test_says_what_is_wrong_in_plain_words", "from_the_first_start_to_a_mailing_that_leaves_out_who_said_stop"], ""),
    Row("Re-use this screen whenever credentials change.",
        &["from_the_first_start_to_a_mailing_that_leaves_out_who_said_stop", "a_refused_key_stops_the_account_and_burns_no_message"], ""),
    Row("Multi-company rules, allowed users, and access rights are inherited from the default WhatsApp configuration.",
        &["another_company_s_records_do_not_exist_on_any_page", "what_each_role_may_open", "a_user_changes_only_own_mailings", "defect_29_another_company_s_records_do_not_exist", "a_company_that_may_use_an_account_sends_with_it", "only_allowed_users_choose_submit_send_test_and_reply"], ""),
    Row("Navigate to *WhatsApp ‣ Contacts ‣ Recipients*.",
        &["the_menu_is_the_briefs"], ""),
    Row("Create or import contacts (international format, numbers only).",
        &["what_people_write_becomes_e164_digits", "an_import_adds_up_and_tells_every_row", "the_api_imports_in_the_background_and_tells_every_row", "defect_12_numbers_are_normalised_on_the_form_and_by_import"], ""),
    Row("The form includes country, tags, and an Incoming/Outgoing history similar to the standard Contacts app.",
        &["the_contact_form_has_country_tags_and_history", "a_contact_is_normalised"], ""),
    Row("Build mailing lists from *WhatsApp ‣ Contacts ‣ Mailing Lists* and add contacts to each list.",
        &["defect_33_a_person_in_two_lists_is_written_to_once_and_the_text_is_frozen", "lists_are_read_page_by_page_with_filters"], ""),
    Row("Use the *Incoming* and *Outgoing* menu items to inspect automatically captured messages and confirm opt-outs.",
        &["a_stop_by_message_opts_out_and_the_next_mailing_leaves_that_person_out", "a_stop_is_confirmed_once_and_never_welcomed", "logs_messages_and_events_have_pages_that_say_what_became_of_them"], ""),
    Row("Open *WhatsApp ‣ Broadcasts ‣ Mailings* and click **New**.",
        &["from_the_first_start_to_a_mailing_that_leaves_out_who_said_stop", "a_new_mailing_is_addressed_to_whom_its_link_names"], ""),
    Row("Fill the form:",
        &["kit_faults_are_named_on_top_and_under_their_field", "a_draft_is_saved_before_it_is_submitted"], ""),
    Row("**Subject** and **Message/Header/Footer** fields support the placeholders listed in the Variables tab (e.g., `{{contact.name}}`).",
        &["defect_14_every_occurrence_is_filled_and_unknown_ones_stop_the_submit", "a_message_has_its_header_bold_and_its_footer_italic", "mailings_know_every_placeholder_of_a_person", "all_three_kinds_arrive_whole_with_their_caption_once_a_person"], ""),
    Row("**WhatsApp Account** is a direct link to the default WhatsApp configuration; creation/quickedits are disabled to guarantee a single source of truth.",
        &["an_account_field_never_creates_or_edits_an_account"], ""),
    Row("Choose **Recipients** = Mailing List or Manual Contacts.",
        &["defect_3_manual_contacts_are_exactly_the_chosen_ones", "defect_33_a_person_in_two_lists_is_written_to_once_and_the_text_is_frozen"], ""),
    Row("Select the Mailing List or the Contact records, then set the **Schedule Date** (must be >= current datetime).",
        &["defect_6_send_now_ignores_the_date_and_submit_wants_one_that_is_not_past", "a_submitted_mailing_is_never_early_and_survives_an_outage"], ""),
    Row("Click **Submit to Scheduler** to move the mailing to the queue or **Send Now** to push it immediately.",
        &["send_now_twice_is_one_run_and_the_scheduler_makes_no_second_one", "from_the_first_start_to_a_mailing_that_leaves_out_who_said_stop"], ""),
    Row("Use *Broadcasts ‣ Mailing Log* to follow the status.",
        &["logs_messages_and_events_have_pages_that_say_what_became_of_them", "the_demo_is_walked_from_the_sign_in_to_a_mailing_that_everybody_got"], ""),
    Row("Each log entry references outgoing messages, the WhatsApp account, and any error message returned by WAHA/Meta.",
        &["logs_messages_and_events_have_pages_that_say_what_became_of_them", "defect_18_failed_and_partial_failure_are_told_apart"], ""),
    Row("*Contacts ‣ Incoming* lists received messages (auto-linked to contacts when possible) so you can react or enrich the database.",
        &["defect_24_an_incoming_message_is_one_row_however_often_it_comes", "a_reply_arrives_once_and_quotes_what_it_answers_also_for_who_opted_out", "somebody_known_by_a_hidden_id_alone_is_answered_there"], ""),
    Row("*Contacts ‣ Outgoing* shows deliveries triggered by campaigns with metadata such as config account, mailing list, and error messages.",
        &["logs_messages_and_events_have_pages_that_say_what_became_of_them", "defect_13_the_account_sends_and_the_contact_receives", "defect_27_months_are_sorted_by_date_and_the_newest_is_first"], ""),
    Row("Contact records maintain counters (`Messages Sent`, `Received Messages`) and the `Opt-Out` flag to control future blasts.",
        &["the_contact_form_has_country_tags_and_history", "who_opted_out_is_left_out_with_the_reason_also_after_the_release", "the_demo_is_made_and_every_figure_equals_a_recount"], ""),
    Row("**Infinys Whatsapp Blasting : Scheduler Send** – runs every minute; releases mailings whose schedule date has been reached.",
        &["the_jobs_are_named_and_set_as_the_brief_says", "a_submitted_mailing_is_never_early_and_survives_an_outage", "of_several_instances_one_takes_a_slot_and_one_a_run_somebody_asked_for"], ""),
    Row("**Infinys Whatsapp Blasting : Scheduler Enqueue** – disabled by default; enable when you want the system to push queued payloads to WAHA/N8n automatically in batches.",
        &["the_jobs_are_named_and_set_as_the_brief_says", "nothing_leaves_while_the_job_is_off_and_one_run_opens_one_batch", "an_administrator_pushes_a_batch_while_the_job_is_off", "scheduler_enqueue_opens_batches_for_flows_too"], ""),
    Row("Keep the WAHA/N8n endpoints reachable from the Odoo server; failed webhooks surface in the Mailing Log’s `Error Message` column.",
        &["nobody_listening_is_proven_not_sent_and_a_huge_answer_is_not", "a_refused_key_stops_the_account_and_burns_no_message", "logs_messages_and_events_have_pages_that_say_what_became_of_them", "patience_asked_for_and_a_flow_that_is_away_burn_no_message_and_show_in_the_log"], ""),
    Row("If contact imports fail, double-check that numbers are stripped from spaces/`+` (the form auto-normalises input).",
        &["defect_12_numbers_are_normalised_on_the_form_and_by_import", "known_numbers_can_stay_as_they_are_and_a_column_can_say_stop", "exports_of_other_programs_come_in_as_they_are"], ""),
    Row("Because the module reuses default WhatsApp accounts, any transport-level issue can be debugged from *Discuss > WhatsApp* logs or the standard WhatsApp module tools.",
        &["only_administrators_come_to_the_jobs_and_the_webhook_log", "credentials_and_signatures_are_not_shown", "logs_messages_and_events_have_pages_that_say_what_became_of_them"], ""),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The brief without headings, list marks and line breaks.
fn brief() -> String {
    let text = fs::read_to_string(root().join("tests/fixtures/brief.md")).unwrap();
    let mark = Regex::new(r"^\s*(-|\d+\.)\s+").unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let lines = lines.map(|line| mark.replace(line, "").trim().to_owned());
    lines
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
fn no_sentence_of_the_brief_is_missing_here() {
    let brief = brief();
    let mut rest = brief.as_str();
    for Row(sentence, tests, _) in ROWS {
        rest = rest.strip_prefix(sentence).unwrap_or_else(|| {
            panic!(
                "the brief goes on with: {}\nthe table with: {sentence}",
                rest.chars().take(120).collect::<String>()
            )
        });
        rest = rest.trim_start();
        assert!(!tests.is_empty(), "no test stands for: {sentence}");
    }
    assert_eq!(rest, "", "sentences without a row");
    assert!(ROWS.len() > 40);
    // One row, one sentence.
    let end = Regex::new(r"[a-z)*`’]\.\s+[A-Z*]").unwrap();
    for Row(sentence, ..) in ROWS {
        assert!(
            !end.is_match(sentence),
            "two sentences in a row: {sentence}"
        );
    }
}

#[test]
fn nothing_of_the_brief_is_open() {
    for Row(sentence, _, open) in ROWS {
        assert_eq!(*open, "", "open: {sentence}");
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn every_test_named_here_exists() {
    let mut files = Vec::new();
    for folder in ["src", "tests/it"] {
        sources(&root().join(folder), &mut files);
    }
    let text: String = files
        .iter()
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let test =
        Regex::new(r"#\[(?:tokio::)?test[^\]]*\]\s*(?:#\[[^\]]*\]\s*)*(?:async )?fn (\w+)\(")
            .unwrap();
    let known: Vec<&str> = test
        .captures_iter(&text)
        .map(|found| found.get(1).unwrap().as_str())
        .collect();
    assert!(
        known.len() > 200,
        "the tests are read from the sources: {}",
        known.len()
    );
    let missing: Vec<&str> = ROWS
        .iter()
        .flat_map(|Row(_, tests, _)| tests.iter().copied())
        .filter(|name| !known.contains(name))
        .collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

mod pages {
    //! What the brief says in so many words, looked up on the pages.

    use crate::support::TestApp;
    use crate::support::browser::Browser;
    use crate::support::site::World;

    #[tokio::test]
    async fn the_menu_is_the_briefs() {
        let app = TestApp::new().await;
        let mut browser = Browser::new(&app);
        browser.sign_in().await;
        let page = browser.get("/mailings").await;
        let entries = page.attributes("nav a", "href");
        let words = page.texts("nav");
        let words = words.join(" ");
        for (menu, named) in [
            (
                "Broadcasts",
                [("Mailings", "/mailings"), ("Mailing Logs", "/logs")].as_slice(),
            ),
            (
                "Contacts",
                &[
                    ("Mailing Lists", "/lists"),
                    ("Recipients", "/contacts"),
                    ("Incoming", "/incoming"),
                    ("Outgoing", "/outgoing"),
                ],
            ),
            (
                "Configuration",
                &[
                    ("WhatsApp Business Accounts", "/accounts"),
                    ("Scheduled Actions", "/jobs"),
                ],
            ),
        ] {
            assert!(words.contains(menu), "{menu}");
            for (name, address) in named {
                assert!(words.contains(name), "{name}");
                assert!(entries.contains(&(*address).to_owned()), "{address}");
                let page = browser.get(address).await;
                assert_eq!((page.status, page.path.as_str()), (200, *address));
                assert!(
                    page.texts("h1").iter().any(|title| title == name),
                    "{address} is called {name}"
                );
            }
        }
    }

    #[tokio::test]
    async fn the_account_form_has_the_fields_of_the_gateway() {
        let app = TestApp::new().await;
        let mut browser = Browser::new(&app);
        browser.sign_in().await;
        let page = browser.get("/accounts/new").await;
        let text = page.text();
        for word in [
            "Infinys Gateway",
            "Provider",
            "WAHA",
            "Meta",
            "WhatsApp API URL",
            "Webhook URL",
            "Authentication User",
            "Password",
            "Phone Number ID (WAHA)",
            "Welcome Message",
        ] {
            assert!(text.to_lowercase().contains(&word.to_lowercase()), "{word}");
        }
    }

    #[tokio::test]
    async fn the_contact_form_has_country_tags_and_history() {
        let world = World::new("Toko").await;
        let mut browser = Browser::new(&world.app);
        browser.sign_in().await;
        let contact = world
            .app
            .value("SELECT min(contact_id) FROM incoming")
            .await;
        let page = browser.get(&format!("/contacts/{contact}")).await;
        let fields = page.attributes("main [name]", "name");
        for field in ["country", "tags", "whatsapp_number"] {
            assert!(
                fields.iter().any(|name| name == field),
                "{field} of {fields:?}"
            );
        }
        let leads = page.attributes("main a", "href");
        for history in ["?tab=outgoing", "?tab=incoming"] {
            assert!(
                leads.iter().any(|lead| lead.starts_with(history)),
                "{history} of {leads:?}"
            );
        }
        let shown = world
            .app
            .ok("GET", &format!("/contacts/{contact}"), None)
            .await;
        assert_eq!(
            (
                shown["messages_sent"].as_i64(),
                shown["messages_received"].as_i64()
            ),
            (Some(1), Some(1))
        );
        assert_eq!(shown["opt_out"], false);
    }

    #[tokio::test]
    async fn the_jobs_are_named_and_set_as_the_brief_says() {
        let app = TestApp::new().await;
        for (name, every, active) in [
            ("Scheduler Send", "1 minutes", "true"),
            ("Scheduler Enqueue", "2 minutes", "false"),
        ] {
            let row = app
                .value(&format!(
                    "SELECT interval_number || ' ' || interval_unit || ' ' || active FROM jobs WHERE label = 'Infinys Whatsapp Blasting : {name}'"
                ))
                .await;
            assert_eq!(row, format!("{every} {active}"), "{name}");
        }
    }
}
