//! Files as they come out of spreadsheets, read as people.

use std::io::Cursor;

use super::*;
use crate::contacts::bulk::OnDuplicate;
use crate::imports::Notes;
use crate::imports::stage::tests::looked;

fn options(file: &str, country: &str) -> (Options, Vec<Field>) {
    let (format, columns, _) = looked(file.as_bytes(), None).unwrap();
    let fields = mapping::guess(&columns, country);
    let options = Options {
        country: country.to_owned(),
        on_duplicate: OnDuplicate::Skip,
        list_ids: Vec::new(),
        tags: vec!["November".to_owned()],
        format,
        columns,
        mapping: fields.iter().map(ToString::to_string).collect(),
        notes: Notes::default(),
        sheets: Vec::new(),
        sheet: String::new(),
        header: None,
        remembered: None,
    };
    (options, fields)
}

fn read(file: &str, options: &Options, fields: &[Field]) -> Chunk {
    let mut people = People::open(Cursor::new(file.as_bytes()), options, fields).unwrap();
    people.chunk(1_000).unwrap()
}

fn people(file: &str) -> Chunk {
    let (options, fields) = options(file, "ID");
    read(file, &options, &fields)
}

#[test]
fn chunks_know_each_other_and_rows_that_are_done() {
    let file = "Nama,HP,Tags\nSiti,081234567890,A\nBudi,62 813 1111 222,\nx,12,\nSiti,+62 812 3456 7890,B\nAyu,081355556666,C\nBudi,08131111222,D\n";
    let (options, fields) = options(file, "ID");
    let open = || People::open(Cursor::new(file.as_bytes()), &options, &fields).unwrap();
    let mut people = open();
    let (one, two, three) = (
        people.chunk(3).unwrap(),
        people.chunk(3).unwrap(),
        people.chunk(3).unwrap(),
    );
    assert_eq!(
        (one.rows(), one.accepted.len(), one.refused.len()),
        (3, 2, 1)
    );
    assert_eq!(one.by_country, 1);
    assert_eq!(two.repeats, [(5, 2), (7, 3)]);
    assert_eq!((two.accepted.len(), two.again.len()), (1, 2));
    assert_eq!(two.again[0].row.tags, ["B"]);
    assert_eq!(three.rows(), 0);
    // As if the program had ended after the first chunk.
    let mut people = open();
    people.skip(3).unwrap();
    assert_eq!(people.chunk(3).unwrap().repeats, two.repeats);
    let (tags, lists) = group_names(Cursor::new(file.as_bytes()), &options, &fields, 10).unwrap();
    assert_eq!(
        tags.into_iter().collect::<Vec<_>>(),
        ["A", "B", "C", "D", "November"]
    );
    assert!(lists.is_empty());
}

#[test]
fn every_row_is_somebody_a_repeat_or_refused() {
    let people = people(
        "Nama Lengkap;No. HP;Kategori;Toko\n\
         Siti;0812 3456 7890;VIP, Grosir;Dago\n\
         \n\
         ;;;\n\
         Budi;6.28E+11;;\n\
         Siti lagi;+62 812-3456-7890;Baru;\n\
         Ayu;628111122233;;;lebih\n\
         Tini;62 811 1122 233;;\n",
    );
    assert_eq!(people.rows(), 5);
    assert_eq!(people.repeats, [(6, 2)]);
    let siti = &people.accepted[0];
    assert_eq!(siti.number.as_str(), "6281234567890");
    assert_eq!(siti.row.tags, ["VIP", "Grosir", "November", "Baru"]);
    assert_eq!(siti.row.attributes["toko"], "Dago");
    assert_eq!(people.accepted[1].row.name, "Tini");
    let reasons: Vec<(u64, &str)> = people
        .refused
        .iter()
        .map(|refused| (refused.line, refused.reason.as_str()))
        .collect();
    assert_eq!(reasons[0].0, 5);
    assert!(reasons[0].1.contains("spreadsheet"), "{reasons:?}");
    assert_eq!(reasons[1].0, 7);
    assert!(reasons[1].1.contains("5 cells"), "{reasons:?}");
}

#[test]
fn a_repeat_that_says_stop_counts_for_the_person() {
    let people = people("Nama,HP,Opt-Out\nSiti,081234567890,\nSiti,081234567890,ya\n");
    assert!(people.accepted[0].opt_out);
    assert_eq!(people.repeats, [(3, 2)]);
}

#[test]
fn what_the_database_cannot_hold_is_refused() {
    for (cell, reason) in [
        (
            format!("{},081234567890,", "x".repeat(201)),
            "The name is too long",
        ),
        (
            "Siti,081234567890,\"{\"\"a\"\": \"\"\\u0000\"\"}\"".to_owned(),
            "not a JSON object",
        ),
        (
            "Siti,081234567890,\"{\"\"name\"\": 1}\"".to_owned(),
            "cannot be called",
        ),
        ("Siti,081234567890,[1]".to_owned(), "not a JSON object"),
    ] {
        let file = format!("Nama,HP,Attributes\nBudi,081234567891,\n{cell}\n");
        let (options, mut fields) = options(&file, "ID");
        fields[2] = Field::Attributes;
        let people = read(&file, &options, &fields);
        assert_eq!(people.accepted.len(), 1, "{cell}");
        assert!(
            people.refused[0].reason.contains(reason),
            "{:?}",
            people.refused
        );
    }
}

#[test]
fn a_cell_from_our_own_file_of_rejected_rows_loses_its_quotation_mark() {
    let people = people("Nama,HP\n'=SUM(A1),'+6281234567890\n");
    assert_eq!(people.accepted[0].row.name, "=SUM(A1)");
    assert_eq!(people.accepted[0].number.as_str(), "6281234567890");
}
