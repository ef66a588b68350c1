//! Invented people of the demo: names, numbers and attributes follow from their position, so that every
//! demo begins the same.

use std::collections::BTreeMap;

use serde_json::json;

use crate::contacts::bulk::Row;

/// Where they live, how many of a thousand, and how a number of theirs is made.
struct Place {
    country: &'static str,
    share: usize,
    cities: &'static [&'static str],
    first: &'static [&'static str],
    last: &'static [&'static str],
    /// Before the last four digits.
    prefixes: &'static [&'static str],
}

const PLACES: [Place; 7] = [
    Place {
        country: "ID",
        share: 700,
        cities: &[
            "Bandung",
            "Jakarta",
            "Yogyakarta",
            "Surabaya",
            "Solo",
            "Semarang",
            "Denpasar",
            "Medan",
            "Cirebon",
            "Pekalongan",
        ],
        first: &[
            "Siti", "Bambang", "Dewi", "Agus", "Putri", "Rizky", "Wulan", "Eko", "Ayu", "Fajar",
            "Nur", "Hendra", "Indah", "Yusuf", "Maya", "Dedi", "Ratna", "Arif", "Lestari", "Joko",
            "Kartika", "Bayu", "Sri", "Ilham", "Melati", "Teguh", "Anisa", "Rudi",
        ],
        last: &[
            "Rahmawati",
            "Hermanto",
            "Kusuma",
            "Santoso",
            "Wijaya",
            "Pratama",
            "Lestari",
            "Nugroho",
            "Handayani",
            "Saputra",
            "Hidayat",
            "Permata",
            "Setiawan",
            "Utami",
            "Suryani",
            "Firmansyah",
            "Maharani",
            "Gunawan",
            "Anggraini",
            "Siregar",
            "Halim",
        ],
        prefixes: &[
            "+62812555",
            "+62813555",
            "+62821555",
            "+62822555",
            "+62852555",
            "+62853555",
            "+62878555",
            "+62896555",
        ],
    },
    Place {
        country: "MY",
        share: 90,
        cities: &["Kuala Lumpur", "George Town", "Johor Bahru"],
        first: &[
            "Nurul", "Ahmad", "Farah", "Hafiz", "Mei Ling", "Wei Jie", "Aisyah", "Faizal",
        ],
        last: &[
            "binti Osman",
            "bin Ismail",
            "Tan",
            "Lim",
            "binti Yusof",
            "bin Rahman",
            "Wong",
        ],
        prefixes: &["+6012555", "+6013555"],
    },
    Place {
        country: "SG",
        share: 60,
        cities: &["Singapore"],
        first: &["Grace", "Jun Wei", "Priya", "Marcus", "Hui Min", "Daniel"],
        last: &["Tan", "Lim", "Ng", "Pillai", "Goh", "Lee", "Chua"],
        prefixes: &["+658555", "+659555"],
    },
    Place {
        country: "NL",
        share: 50,
        cities: &["Amsterdam", "Den Haag", "Utrecht"],
        first: &["Anouk", "Bram", "Femke", "Joost", "Sanne", "Thijs", "Lieke"],
        last: &["de Vries", "Jansen", "Bakker", "Visser", "van Dijk", "Smit"],
        prefixes: &["+3165555"],
    },
    Place {
        country: "AU",
        share: 50,
        cities: &["Melbourne", "Perth", "Sydney"],
        first: &["Olivia", "Jack", "Chloe", "Liam", "Ruby", "Noah"],
        last: &["Wilson", "Nguyen", "Taylor", "Brown", "Walker", "Kelly"],
        prefixes: &["+6148555"],
    },
    Place {
        country: "IN",
        share: 30,
        cities: &["Mumbai", "Bengaluru"],
        first: &["Ananya", "Rohan", "Kavya", "Arjun", "Meera"],
        last: &["Sharma", "Iyer", "Patel", "Nair", "Gupta"],
        prefixes: &["+91985550"],
    },
    Place {
        country: "JP",
        share: 20,
        cities: &["Tokyo", "Kyoto"],
        first: &["Yuki", "Haruto", "Aoi", "Sakura"],
        last: &["Tanaka", "Sato", "Suzuki", "Ito", "Mori"],
        prefixes: &["+81905555"],
    },
];

pub const COUNT: usize = 2000;

/// Names of the lists people are on.
pub const NEWSLETTER: &str = "Newsletter";
pub const BANDUNG: &str = "Member Bandung";
pub const JAKARTA: &str = "Member Jakarta";
pub const RESELLERS: &str = "Reseller";
pub const OVERSEAS: &str = "Customers abroad";
pub const WORKSHOP: &str = "Workshop Batik, November";

/// Spreads positions without a pattern one sees.
fn mix(n: usize, salt: usize) -> usize {
    let mixed =
        (n.wrapping_mul(2_654_435_761) ^ salt.wrapping_mul(40_503)).wrapping_mul(2_246_822_519);
    (mixed >> 13) % 1_000_003
}

fn of<'a>(choices: &'a [&'a str], n: usize, salt: usize) -> &'a str {
    choices[mix(n, salt) % choices.len()]
}

fn place(n: usize) -> &'static Place {
    let mut at = mix(n, 1) % 1000;
    for place in &PLACES {
        if at < place.share {
            return place;
        }
        at -= place.share;
    }
    &PLACES[0]
}

/// All of them.
pub fn all() -> Vec<Row> {
    (0..COUNT).map(person).collect()
}

fn person(n: usize) -> Row {
    let place = place(n);
    let first = of(place.first, n, 2);
    let city = of(place.cities, n, 4);
    // Numbers do not repeat: the last four digits and the prefix follow from the position.
    let prefix = place.prefixes[n % place.prefixes.len()];
    let home = place.country == "ID";
    let points = if mix(n, 5).is_multiple_of(5) {
        None
    } else {
        Some(mix(n, 6) % 90 * 10)
    };
    let mut attributes: BTreeMap<String, serde_json::Value> =
        BTreeMap::from([("city".to_owned(), json!(city))]);
    if let Some(points) = points {
        attributes.insert("points".to_owned(), json!(points));
    }
    Row {
        name: format!("{first} {}", of(place.last, n, 3)),
        title: title(n, first, home).to_owned(),
        whatsapp_number: format!("{prefix}{n:04}"),
        country: place.country.to_owned(),
        email: if mix(n, 8).is_multiple_of(3) {
            format!("{}.{n}@example.com", first.to_lowercase().replace(' ', ""))
        } else {
            String::new()
        },
        tags: tags(n, home),
        attributes,
        lists: lists(n, city, home),
        ..Row::default()
    }
}

/// Some are addressed as one addresses them at home.
fn title(n: usize, first: &str, home: bool) -> &'static str {
    const WOMEN: [&str; 14] = [
        "Siti", "Dewi", "Putri", "Wulan", "Ayu", "Indah", "Maya", "Ratna", "Lestari", "Kartika",
        "Sri", "Melati", "Anisa", "Nur",
    ];
    match (home && mix(n, 7).is_multiple_of(4), WOMEN.contains(&first)) {
        (true, true) => "Ibu",
        (true, false) => "Bapak",
        _ => "",
    }
}

fn tags(n: usize, home: bool) -> Vec<String> {
    let mut tags = Vec::new();
    if mix(n, 9).is_multiple_of(12) {
        tags.push("VIP".to_owned());
    }
    if mix(n, 10).is_multiple_of(9) {
        tags.push("Reseller".to_owned());
    }
    if home && mix(n, 11).is_multiple_of(3) {
        tags.push("Member".to_owned());
    }
    tags
}

fn lists(n: usize, city: &str, home: bool) -> Vec<String> {
    let mut lists = Vec::new();
    let mut join = |list: &str| lists.push(list.to_owned());
    if mix(n, 12).is_multiple_of(4) {
        join(NEWSLETTER);
    }
    match city {
        "Bandung" | "Cirebon" => join(BANDUNG),
        "Jakarta" => join(JAKARTA),
        _ => {}
    }
    if mix(n, 10).is_multiple_of(9) {
        join(RESELLERS);
    }
    if !home && mix(n, 14).is_multiple_of(2) {
        join(OVERSEAS);
    }
    if home && mix(n, 13).is_multiple_of(16) {
        join(WORKSHOP);
    }
    lists
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::contacts::bulk;

    #[test]
    fn demo_people_have_numbers_that_exist_nowhere_twice() {
        let people = all();
        let numbers: HashSet<String> = people
            .iter()
            .map(|person| bulk::number_of(person, "ID").unwrap().as_str().to_owned())
            .collect();
        assert_eq!(numbers.len(), COUNT);
        let countries: HashSet<&str> = people
            .iter()
            .map(|person| person.country.as_str())
            .collect();
        assert_eq!(countries.len(), PLACES.len());
        assert_eq!(PLACES.iter().map(|place| place.share).sum::<usize>(), 1000);
    }
}
