//! Files as people upload them, and hostile ones.

use std::io::Cursor;

use super::*;

fn sniff(file: &[u8]) -> Result<Format, ReadFault> {
    super::sniff(&mut Cursor::new(file))
}

fn sample(file: &[u8]) -> Result<Sample, ReadFault> {
    sample_as(&mut Cursor::new(file), sniff(file)?)
}

fn rows(file: &[u8], format: Format) -> Result<Rows<Cursor<&[u8]>>, ReadFault> {
    super::rows(Cursor::new(file), format)
}

fn format_of(bytes: impl AsRef<[u8]>) -> (Separator, bool) {
    let format = sniff(bytes.as_ref()).unwrap();
    (format.separator, format.has_header)
}

/// Lines and cells of a file in the guessed format, or the fault.
fn read(bytes: impl AsRef<[u8]>) -> Result<Vec<(u64, Vec<String>)>, ReadFault> {
    let format = sniff(bytes.as_ref())?;
    rows(bytes.as_ref(), format)?
        .map(|row| row.map(|row| (row.line, row.cells)))
        .collect()
}

#[test]
fn the_separator_is_the_one_that_makes_a_table() {
    for (text, separator) in [
        ("name,phone\na,0812345678\n", Separator::Comma),
        (
            "name;phone\n\"a, b\";0812345678\nc, d, e;081\n",
            Separator::Semicolon,
        ),
        ("name;price\na;1,5\nb;2,5\n", Separator::Semicolon),
        ("name\tphone\na, b\t0812\n", Separator::Tab),
        ("name|phone|tags\na|0812|x,y\n", Separator::Pipe),
        ("phone\n0812345678\n", Separator::Comma),
        ("sep=|\nname|phone\n", Separator::Pipe),
        (
            "email,name,attributes\na@x.example,A,\"{\"\"a\"\": 1, \"\"b\"\": 2}\"\n",
            Separator::Comma,
        ),
        ("", Separator::Comma),
        ("é", Separator::Comma),
        ("ééé", Separator::Comma),
    ] {
        assert_eq!(guess_separator(text), separator, "{text}");
    }
}

#[test]
fn a_first_row_with_a_number_is_no_header() {
    assert_eq!(
        format_of("Name,Phone\nSiti,0812345678\n"),
        (Separator::Comma, true)
    );
    assert_eq!(
        format_of("Siti,0812 345 678\nBudi,0813345678\n"),
        (Separator::Comma, false)
    );
    assert_eq!(
        format_of("Siti;siti@x.example\n"),
        (Separator::Semicolon, false)
    );
    assert_eq!(format_of("Phone 1,E-mail 2\n"), (Separator::Comma, true));
}

#[test]
fn rows_know_their_lines() {
    for end in ["\n", "\r\n", "\r"] {
        let text = [
            "name,note",
            "a,\"two",
            "lines\"",
            "",
            "b,x",
            ",",
            "c,\"say \"\"hi\"\"\"",
            "d",
        ]
        .join(end);
        let rows = read(&text).unwrap();
        let lines: Vec<u64> = rows.iter().map(|(line, _)| *line).collect();
        let first: Vec<&str> = rows.iter().map(|(_, cells)| cells[0].as_str()).collect();
        assert_eq!(first, ["a", "b", "c", "d"]);
        assert_eq!(lines, [2, 5, 7, 8], "{end:?}");
        assert_eq!(rows[0].1[1], "two\nlines");
        assert_eq!(rows[2].1[1], "say \"hi\"");
    }
}

#[test]
fn every_encoding_gives_the_same_rows() {
    let text = "sep=;\nname;phone\nSití;+62812345678\n";
    let utf_16 = |bytes: fn(u16) -> [u8; 2]| {
        format!("\u{feff}{text}")
            .encode_utf16()
            .flat_map(bytes)
            .collect::<Vec<u8>>()
    };
    let latin: Vec<u8> = text
        .chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect();
    for bytes in [
        text.into(),
        [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        utf_16(u16::to_le_bytes),
        utf_16(u16::to_be_bytes),
        latin,
    ] {
        assert_eq!(
            read(bytes).unwrap(),
            [(3, vec!["Sití".to_owned(), "+62812345678".to_owned()])]
        );
    }
}

#[test]
fn a_sample_shows_columns() {
    let file = b"Name, Phone ,Empty\nSiti, 0812 ,\n,0813,\nBudi,,,extra\n";
    let sample = sample(file).unwrap();
    let columns: Vec<(&str, Vec<&str>)> = sample
        .columns
        .iter()
        .map(|column| {
            (
                column.header.as_str(),
                column.samples.iter().map(String::as_str).collect(),
            )
        })
        .collect();
    assert_eq!(
        columns,
        [
            ("Name", vec!["Siti", "Budi"]),
            ("Phone", vec!["0812", "0813"]),
            ("Empty", vec![]),
            ("", vec!["extra"])
        ]
    );
    let bare = sample_as(
        &mut Cursor::new(file),
        Format {
            has_header: false,
            ..sample.format
        },
    )
    .unwrap();
    assert_eq!(bare.columns[0].samples[0], "Name");
    assert_eq!(
        header(&mut Cursor::new(file), sample.format).unwrap(),
        ["Name", " Phone ", "Empty"]
    );
    assert!(
        header(&mut Cursor::new(file), bare.format)
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_long_file_is_read_whole() {
    let mut text = "name,phone\n".to_owned();
    for number in 0..50_000 {
        text.push_str(&format!("Person {number},0812{number:08}\n"));
    }
    let file = text.as_bytes();
    let sample = sample(file).unwrap();
    assert_eq!(sample.columns[0].samples.len(), 10);
    assert_eq!(
        rows(file, sample.format)
            .unwrap()
            .filter(Result::is_ok)
            .count(),
        50_000
    );
}

#[test]
fn limits_are_kept_and_say_where() {
    for (text, expected) in [
        (String::new(), "The file is empty."),
        (
            format!("a,b\n{}", "x,".repeat(200)),
            "Line 2 has 201 columns",
        ),
        (
            format!("a,b\nc,d\n\"{}\",e\n", "x".repeat(CELL_BYTES_MAX + 1)),
            "Line 3 has a cell of more than 32 KiB",
        ),
        ("a,b\nc,d\ne,\0f\n".to_owned(), "Line 3 holds a NUL"),
        (
            format!("a,b\n\"{}", "x,y\n".repeat(3_000_000)),
            "Line 2 has a cell of more than 32 KiB",
        ),
        (
            format!("a,b\n\"{}\"\n", "x".repeat(CELL_BYTES_MAX)),
            "no fault: it just fits",
        ),
        ("%PDF-1.7".to_owned(), "This is not a table"),
    ] {
        match read(&text) {
            Err(fault) => assert!(
                fault.to_string().starts_with(expected),
                "{expected}: {fault}"
            ),
            Ok(_) if expected.starts_with("no fault") => {}
            Ok(_) => panic!("read: {expected}"),
        }
    }
    let mut large = tempfile::tempfile().unwrap();
    large.set_len(BYTES_MAX + 1).unwrap();
    assert!(matches!(super::sniff(&mut large), Err(ReadFault::TooLarge)));
}

#[test]
fn quotation_marks_alone_do_no_harm() {
    let text = "\"".repeat(1_000_000);
    assert!(read(text).is_err());
    let text = "a,\"b\n".repeat(20_000);
    let _ = read(text);
}

#[test]
fn after_a_fault_nothing_comes() {
    let file = b"a,b\nc,\0\nd,e\n";
    let format = sniff(file).unwrap();
    let mut rows = rows(file, format).unwrap();
    assert!(matches!(rows.next(), Some(Err(ReadFault::Nul { line: 2 }))));
    assert!(rows.next().is_none());
}
