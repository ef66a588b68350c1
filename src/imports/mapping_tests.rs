//! Files of the programs people come from, and what is made of their columns.

use super::*;

/// `Header: sample / sample` for each column.
fn columns(columns: &[&str]) -> Vec<ColumnSample> {
    let column = |text: &&str| {
        let (header, samples) = text.split_once(':').unwrap_or((text, ""));
        let samples = samples
            .split(" / ")
            .map(str::trim)
            .filter(|sample| !sample.is_empty());
        ColumnSample {
            header: header.trim().to_owned(),
            samples: samples.map(str::to_owned).collect(),
            filled: 0,
        }
    };
    columns.iter().map(column).collect()
}

fn guessed(texts: &[&str]) -> Vec<String> {
    guess(&columns(texts), "ID")
        .iter()
        .map(Field::to_string)
        .collect()
}

#[test]
fn exports_of_other_programs_are_known() {
    assert_eq!(
        guessed(&[
            "Name: Siti",
            "Phone: 021 5550123",
            "Mobile: 0812 3456 7890",
            "Email: a@x.example",
            "Country: Indonesia",
            "Tags: VIP"
        ]),
        [
            "name",
            "other_number",
            "whatsapp_number",
            "email",
            "country",
            "tags"
        ]
    );
    assert_eq!(
        guessed(&[
            "Full Name",
            "WhatsApp Number",
            "Company",
            "Mailing Lists",
            "Tags"
        ]),
        ["name", "whatsapp_number", "company_name", "lists", "tags"]
    );
    assert_eq!(
        guessed(&[
            "uuid: 0b7c",
            "email: a@x.example",
            "name: Siti",
            "attributes: {\"city\": \"Bandung\"} / {}",
            "status: enabled / blocklisted",
            "created_at: 2026-01-02",
        ]),
        ["ignore", "email", "name", "attributes", "opt_out", "ignore"]
    );
    assert_eq!(
        guessed(&[
            "First Name",
            "Last Name",
            "Phone 1 - Value: +62 812-3456-7890",
            "E-mail 1 - Value",
            "Organization Name",
            "Labels"
        ]),
        [
            "name",
            "name",
            "whatsapp_number",
            "email",
            "company_name",
            "tags"
        ]
    );
    assert_eq!(
        guessed(&[
            "No: 1 / 2 / 3",
            "Nama Lengkap",
            "No. HP",
            "Alamat Email",
            "Perusahaan",
            "Jabatan",
            "Negara",
            "Catatan",
            "Kota: Bandung"
        ]),
        [
            "ignore",
            "name",
            "whatsapp_number",
            "email",
            "company_name",
            "job_position",
            "country",
            "description",
            "attributes.kota"
        ]
    );
    assert_eq!(
        guessed(&[
            "Title",
            "Job Position",
            "Description",
            "Opt-Out",
            "Messages Sent"
        ]),
        ["title", "job_position", "description", "opt_out", "ignore"]
    );
    assert_eq!(
        guessed(&[
            "name",
            "title",
            "whatsapp_number",
            "country",
            "email",
            "company_name",
            "job_position",
            "description",
            "tags",
            "lists",
            "opt_out"
        ]),
        [
            "name",
            "title",
            "whatsapp_number",
            "country",
            "email",
            "company_name",
            "job_position",
            "description",
            "tags",
            "lists",
            "opt_out"
        ]
    );
}

#[test]
fn spelling_of_headers_does_not_matter() {
    for header in [
        "WhatsApp Number",
        "whatsapp_number",
        "WHATSAPP NUMBER",
        "whatsappNumber",
        "WhatsAppNumber",
        " Whatsapp-Number* ",
        "WhatsApp Number (62812...)",
        "No. WA",
        "NO HP",
        "NoHP",
        "Nomor WhatsApp",
        "Phone Number",
        "Phone/Mobile",
    ] {
        assert_eq!(guessed(&[header]), ["whatsapp_number"], "{header}");
    }
    assert_eq!(
        guessed(&["No. WA Aktif: 081234567890"]),
        ["whatsapp_number"]
    );
}

#[test]
fn cells_decide_where_a_header_means_several_things() {
    assert_eq!(
        guessed(&["Contact: 081234567890", "Customer: Siti"]),
        ["whatsapp_number", "name"]
    );
    assert_eq!(
        guessed(&["Contact: Siti", "Number: 081234567890"]),
        ["name", "whatsapp_number"]
    );
    assert_eq!(
        guessed(&["No: 1 / 2", "Number: 081234567890"]),
        ["ignore", "whatsapp_number"]
    );
    assert_eq!(
        guessed(&["Number: 7 / 8", "Phone: 081234567890"]),
        ["attributes.number", "whatsapp_number"]
    );
    assert_eq!(
        guessed(&["Mobile", "Phone: 081234567890"]),
        ["attributes.mobile", "whatsapp_number"]
    );
    assert_eq!(
        guessed(&["Mobile: yes / no", "Phone: 081234567890"]),
        ["attributes.mobile", "whatsapp_number"]
    );
    assert_eq!(guessed(&["Phone: soon / later"]), ["whatsapp_number"]);
    assert_eq!(
        guessed(&["status: married / single"]),
        ["attributes.status"]
    );
    assert_eq!(
        guessed(&["country code: 62 / 65"]),
        ["attributes.country_code"]
    );
    assert_eq!(guessed(&["country code: ID / SG"]), ["country"]);
    assert_eq!(
        guessed(&["attributes: blue / red"]),
        ["attributes.attributes"]
    );
}

#[test]
fn files_without_headers_are_known_by_their_cells() {
    assert_eq!(
        guessed(&[
            ": Siti / Budi",
            ": 081234567890 / +1 415 555 2671",
            ": a@x.example / b@x.example",
            ": Indonesia / Singapura",
            ": 7"
        ]),
        ["name", "whatsapp_number", "email", "country", "ignore"]
    );
    assert_eq!(
        guessed(&[
            "Kolom A: 081234567890 / 6281398765432",
            "Kolom B: a@x.example"
        ]),
        ["whatsapp_number", "email"]
    );
    // Dates, prices and identity numbers.
    assert_eq!(
        guessed(&[
            "Lahir: 20240131 / 19991231",
            "Harga: 1500000",
            "NIK: 3273012345678901"
        ]),
        ["attributes.lahir", "attributes.harga", "attributes.nik"]
    );
    assert!(guess(&[], "ID").is_empty());
}

#[test]
fn each_field_is_filled_by_one_column_unless_they_add_up() {
    let fields = guess(
        &columns(&[
            "Email",
            "E-mail",
            "Email Address",
            "Tags",
            "Label",
            "Notes",
            "Comment",
            "Full Name",
            "First Name",
        ]),
        "ID",
    );
    for field in &fields {
        assert!(
            field.repeats() || fields.iter().filter(|one| *one == field).count() == 1,
            "{field}"
        );
    }
    let texts: Vec<String> = fields.iter().map(Field::to_string).collect();
    assert_eq!(
        texts,
        [
            "email",
            "attributes.e_mail",
            "attributes.email_address",
            "tags",
            "tags",
            "description",
            "description",
            "name",
            "attributes.first_name"
        ]
    );
}

#[test]
fn attributes_have_keys_a_placeholder_can_name() {
    for (header, expected) in [
        ("Kode Pos!", "kode_pos"),
        ("  Größe (cm) ", "größe_cm"),
        ("###", ""),
        ("ÉTÉ", "été"),
        ("a--b__c", "a_b_c"),
    ] {
        assert_eq!(key(header), expected, "{header}");
        if !expected.is_empty() {
            assert!(is_key(expected));
            let text = format!("{{{{contact.{expected}}}}}");
            assert_eq!(
                crate::text::merge::Template::parse(&text)
                    .placeholders()
                    .count(),
                1,
                "{text}"
            );
        }
    }
    // A second of a name gets a number; the name of a field is never an attribute's.
    assert_eq!(
        guessed(&["City", "city", "CITY"]),
        ["attributes.city", "attributes.city_2", "attributes.city_3"]
    );
    assert_eq!(
        guessed(&["Email: a@x.example", "email: b@x.example"]),
        ["email", "attributes.email_2"]
    );
    assert!(is_key(&key(&"x".repeat(500))));
}

#[test]
fn a_field_is_read_back_from_its_text() {
    for (field, _) in CHOICES {
        assert_eq!(field.to_string().parse(), Ok(field.clone()));
    }
    assert_eq!(
        "attributes.city".parse(),
        Ok(Field::Attribute("city".into()))
    );
    for no in [
        "",
        "company_id",
        "attributes.",
        "attributes.email",
        "attributes. x",
        "attributes.{{x}}",
        "Name",
    ] {
        assert_eq!(no.parse::<Field>(), Err(UnknownField), "{no}");
    }
}

#[test]
fn cells_of_several_values_are_cut() {
    assert_eq!(
        names(" VIP, Jakarta ;VIP||New\nOld"),
        ["VIP", "Jakarta", "New", "Old"]
    );
    assert!(names(" , ").is_empty());
    let found = attributes("{\"city\": \"Bandung\", \"age\": 30, \"none\": null}").unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["age", "city"]);
    assert_eq!(attributes(" "), Some(serde_json::Map::new()));
    assert_eq!(attributes("[1]"), None);
    assert_eq!(attributes("x"), None);
    for yes in [
        "1",
        "Yes",
        " TRUE ",
        "x",
        "Ya",
        "blocklisted",
        "Opt-Out",
        "✓",
    ] {
        assert!(says_opt_out(yes), "{yes}");
    }
    for no in ["", "0", "no", "false", "enabled", "tidak", "-", "?"] {
        assert!(!says_opt_out(no), "{no}");
    }
}

proptest::proptest! {
    #[test]
    fn nothing_panics(header in ".{0,30}", sample in ".{0,30}") {
        let column = ColumnSample { header, samples: vec![sample.clone()], filled: 1 };
        for field in guess(&[column.clone(), column], "ID") {
            proptest::prop_assert_eq!(field.to_string().parse(), Ok(field));
        }
        let _ = (names(&sample), attributes(&sample), says_opt_out(&sample));
    }
}
