//! Countries by ISO 3166 code, found by the names that forms and files use: English and Indonesian
//! ones, two and three letter codes.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::country_names::OTHER;
use super::keyword;
use crate::i18n::Lang;

/// ISO 3166 code and English name, by code.
pub const ALL: &[(&str, &str)] = &[
    ("AD", "Andorra"),
    ("AE", "United Arab Emirates"),
    ("AF", "Afghanistan"),
    ("AG", "Antigua and Barbuda"),
    ("AI", "Anguilla"),
    ("AL", "Albania"),
    ("AM", "Armenia"),
    ("AO", "Angola"),
    ("AQ", "Antarctica"),
    ("AR", "Argentina"),
    ("AS", "American Samoa"),
    ("AT", "Austria"),
    ("AU", "Australia"),
    ("AW", "Aruba"),
    ("AX", "Åland Islands"),
    ("AZ", "Azerbaijan"),
    ("BA", "Bosnia and Herzegovina"),
    ("BB", "Barbados"),
    ("BD", "Bangladesh"),
    ("BE", "Belgium"),
    ("BF", "Burkina Faso"),
    ("BG", "Bulgaria"),
    ("BH", "Bahrain"),
    ("BI", "Burundi"),
    ("BJ", "Benin"),
    ("BL", "Saint Barthélemy"),
    ("BM", "Bermuda"),
    ("BN", "Brunei"),
    ("BO", "Bolivia"),
    ("BQ", "Bonaire, Sint Eustatius and Saba"),
    ("BR", "Brazil"),
    ("BS", "Bahamas"),
    ("BT", "Bhutan"),
    ("BV", "Bouvet Island"),
    ("BW", "Botswana"),
    ("BY", "Belarus"),
    ("BZ", "Belize"),
    ("CA", "Canada"),
    ("CC", "Cocos (Keeling) Islands"),
    ("CD", "Congo (Kinshasa)"),
    ("CF", "Central African Republic"),
    ("CG", "Congo (Brazzaville)"),
    ("CH", "Switzerland"),
    ("CI", "Côte d'Ivoire"),
    ("CK", "Cook Islands"),
    ("CL", "Chile"),
    ("CM", "Cameroon"),
    ("CN", "China"),
    ("CO", "Colombia"),
    ("CR", "Costa Rica"),
    ("CU", "Cuba"),
    ("CV", "Cabo Verde"),
    ("CW", "Curaçao"),
    ("CX", "Christmas Island"),
    ("CY", "Cyprus"),
    ("CZ", "Czechia"),
    ("DE", "Germany"),
    ("DJ", "Djibouti"),
    ("DK", "Denmark"),
    ("DM", "Dominica"),
    ("DO", "Dominican Republic"),
    ("DZ", "Algeria"),
    ("EC", "Ecuador"),
    ("EE", "Estonia"),
    ("EG", "Egypt"),
    ("EH", "Western Sahara"),
    ("ER", "Eritrea"),
    ("ES", "Spain"),
    ("ET", "Ethiopia"),
    ("FI", "Finland"),
    ("FJ", "Fiji"),
    ("FK", "Falkland Islands"),
    ("FM", "Micronesia"),
    ("FO", "Faroe Islands"),
    ("FR", "France"),
    ("GA", "Gabon"),
    ("GB", "United Kingdom"),
    ("GD", "Grenada"),
    ("GE", "Georgia"),
    ("GF", "French Guiana"),
    ("GG", "Guernsey"),
    ("GH", "Ghana"),
    ("GI", "Gibraltar"),
    ("GL", "Greenland"),
    ("GM", "Gambia"),
    ("GN", "Guinea"),
    ("GP", "Guadeloupe"),
    ("GQ", "Equatorial Guinea"),
    ("GR", "Greece"),
    ("GS", "South Georgia and the South Sandwich Islands"),
    ("GT", "Guatemala"),
    ("GU", "Guam"),
    ("GW", "Guinea-Bissau"),
    ("GY", "Guyana"),
    ("HK", "Hong Kong"),
    ("HM", "Heard Island and McDonald Islands"),
    ("HN", "Honduras"),
    ("HR", "Croatia"),
    ("HT", "Haiti"),
    ("HU", "Hungary"),
    ("ID", "Indonesia"),
    ("IE", "Ireland"),
    ("IL", "Israel"),
    ("IM", "Isle of Man"),
    ("IN", "India"),
    ("IO", "British Indian Ocean Territory"),
    ("IQ", "Iraq"),
    ("IR", "Iran"),
    ("IS", "Iceland"),
    ("IT", "Italy"),
    ("JE", "Jersey"),
    ("JM", "Jamaica"),
    ("JO", "Jordan"),
    ("JP", "Japan"),
    ("KE", "Kenya"),
    ("KG", "Kyrgyzstan"),
    ("KH", "Cambodia"),
    ("KI", "Kiribati"),
    ("KM", "Comoros"),
    ("KN", "Saint Kitts and Nevis"),
    ("KP", "North Korea"),
    ("KR", "South Korea"),
    ("KW", "Kuwait"),
    ("KY", "Cayman Islands"),
    ("KZ", "Kazakhstan"),
    ("LA", "Laos"),
    ("LB", "Lebanon"),
    ("LC", "Saint Lucia"),
    ("LI", "Liechtenstein"),
    ("LK", "Sri Lanka"),
    ("LR", "Liberia"),
    ("LS", "Lesotho"),
    ("LT", "Lithuania"),
    ("LU", "Luxembourg"),
    ("LV", "Latvia"),
    ("LY", "Libya"),
    ("MA", "Morocco"),
    ("MC", "Monaco"),
    ("MD", "Moldova"),
    ("ME", "Montenegro"),
    ("MF", "Saint Martin (French part)"),
    ("MG", "Madagascar"),
    ("MH", "Marshall Islands"),
    ("MK", "North Macedonia"),
    ("ML", "Mali"),
    ("MM", "Myanmar"),
    ("MN", "Mongolia"),
    ("MO", "Macao"),
    ("MP", "Northern Mariana Islands"),
    ("MQ", "Martinique"),
    ("MR", "Mauritania"),
    ("MS", "Montserrat"),
    ("MT", "Malta"),
    ("MU", "Mauritius"),
    ("MV", "Maldives"),
    ("MW", "Malawi"),
    ("MX", "Mexico"),
    ("MY", "Malaysia"),
    ("MZ", "Mozambique"),
    ("NA", "Namibia"),
    ("NC", "New Caledonia"),
    ("NE", "Niger"),
    ("NF", "Norfolk Island"),
    ("NG", "Nigeria"),
    ("NI", "Nicaragua"),
    ("NL", "Netherlands"),
    ("NO", "Norway"),
    ("NP", "Nepal"),
    ("NR", "Nauru"),
    ("NU", "Niue"),
    ("NZ", "New Zealand"),
    ("OM", "Oman"),
    ("PA", "Panama"),
    ("PE", "Peru"),
    ("PF", "French Polynesia"),
    ("PG", "Papua New Guinea"),
    ("PH", "Philippines"),
    ("PK", "Pakistan"),
    ("PL", "Poland"),
    ("PM", "Saint Pierre and Miquelon"),
    ("PN", "Pitcairn"),
    ("PR", "Puerto Rico"),
    ("PS", "Palestine"),
    ("PT", "Portugal"),
    ("PW", "Palau"),
    ("PY", "Paraguay"),
    ("QA", "Qatar"),
    ("RE", "Réunion"),
    ("RO", "Romania"),
    ("RS", "Serbia"),
    ("RU", "Russia"),
    ("RW", "Rwanda"),
    ("SA", "Saudi Arabia"),
    ("SB", "Solomon Islands"),
    ("SC", "Seychelles"),
    ("SD", "Sudan"),
    ("SE", "Sweden"),
    ("SG", "Singapore"),
    ("SH", "Saint Helena, Ascension and Tristan da Cunha"),
    ("SI", "Slovenia"),
    ("SJ", "Svalbard and Jan Mayen"),
    ("SK", "Slovakia"),
    ("SL", "Sierra Leone"),
    ("SM", "San Marino"),
    ("SN", "Senegal"),
    ("SO", "Somalia"),
    ("SR", "Suriname"),
    ("SS", "South Sudan"),
    ("ST", "Sao Tome and Principe"),
    ("SV", "El Salvador"),
    ("SX", "Sint Maarten (Dutch part)"),
    ("SY", "Syria"),
    ("SZ", "Eswatini"),
    ("TC", "Turks and Caicos Islands"),
    ("TD", "Chad"),
    ("TF", "French Southern Territories"),
    ("TG", "Togo"),
    ("TH", "Thailand"),
    ("TJ", "Tajikistan"),
    ("TK", "Tokelau"),
    ("TL", "Timor-Leste"),
    ("TM", "Turkmenistan"),
    ("TN", "Tunisia"),
    ("TO", "Tonga"),
    ("TR", "Türkiye"),
    ("TT", "Trinidad and Tobago"),
    ("TV", "Tuvalu"),
    ("TW", "Taiwan"),
    ("TZ", "Tanzania"),
    ("UA", "Ukraine"),
    ("UG", "Uganda"),
    ("UM", "United States Minor Outlying Islands"),
    ("US", "United States"),
    ("UY", "Uruguay"),
    ("UZ", "Uzbekistan"),
    ("VA", "Holy See (Vatican City State)"),
    ("VC", "Saint Vincent and the Grenadines"),
    ("VE", "Venezuela"),
    ("VG", "British Virgin Islands"),
    ("VI", "U.S. Virgin Islands"),
    ("VN", "Vietnam"),
    ("VU", "Vanuatu"),
    ("WF", "Wallis and Futuna"),
    ("WS", "Samoa"),
    ("YE", "Yemen"),
    ("YT", "Mayotte"),
    ("ZA", "South Africa"),
    ("ZM", "Zambia"),
    ("ZW", "Zimbabwe"),
];

/// Every name, as [`key`] makes it, to its code.
static BY_NAME: LazyLock<HashMap<String, &'static str>> = LazyLock::new(|| {
    let others = OTHER
        .iter()
        .flat_map(|(code, names)| names.split(';').map(move |name| (*code, name)));
    let mut names: HashMap<String, &'static str> =
        others.map(|(code, name)| (key(name), code)).collect();
    names.extend(ALL.iter().map(|(code, name)| (key(name), *code)));
    names
});

/// Indonesian names by code.
static INDONESIAN: LazyLock<HashMap<&'static str, &'static str>> = LazyLock::new(|| {
    include_str!("countries.id.properties")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once(" = "))
        .collect()
});

/// The name of an ISO code in a language of the panel; what is no code stays as it is.
pub fn named(lang: Lang, code: &str) -> &str {
    match (lang, by_code(code)) {
        (Lang::Id, Some(english)) => INDONESIAN.get(code).copied().unwrap_or(english),
        (Lang::En, Some(english)) => english,
        (_, None) => code,
    }
}

/// The English name of an ISO code in capitals.
pub fn by_code(code: &str) -> Option<&'static str> {
    let position = ALL.binary_search_by_key(&code, |(known, _)| known).ok()?;
    ALL.get(position).map(|(_, name)| *name)
}

/// The ISO code of a code or a name, in any case, accents and punctuation aside.
pub fn by_name(text: &str) -> Option<&'static str> {
    let text = text.trim();
    if text.len() == 2 {
        let code = text.to_ascii_uppercase();
        if let Ok(position) = ALL.binary_search_by_key(&code.as_str(), |(known, _)| known) {
            return ALL.get(position).map(|(code, _)| *code);
        }
    }
    let key = key(text);
    BY_NAME
        .get(&key)
        .or_else(|| BY_NAME.get(key.strip_prefix("the ")?))
        .copied()
}

/// A name as names are compared: `Côte d’Ivoire` is `cote d ivoire`.
fn key(name: &str) -> String {
    let spaced: String = keyword::normalize(name)
        .chars()
        .map(|c| if c.is_alphanumeric() { c } else { ' ' })
        .collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_found_by_code_and_by_names_people_use() {
        for (text, code) in [
            ("id", "ID"),
            ("IDN", "ID"),
            ("Indonesia", "ID"),
            ("Singapura", "SG"),
            ("usa", "US"),
            ("U.S.A.", "US"),
            ("AS", "AS"),
            (" Inggris ", "GB"),
            ("uk", "GB"),
            ("Viet Nam", "VN"),
            ("Cote d’Ivoire", "CI"),
            ("PANTAI GADING", "CI"),
            ("the netherlands", "NL"),
            ("Turkey", "TR"),
            ("Türkiye", "TR"),
            ("Timor-Leste", "TL"),
            ("Guinea-Bissau", "GW"),
            ("Korea Selatan", "KR"),
            ("Arab Saudi", "SA"),
            ("Samoa Amerika", "AS"),
            ("Dominika", "DM"),
            ("Republik Dominika", "DO"),
            ("Niger", "NE"),
            ("Nigeria", "NG"),
        ] {
            assert_eq!(by_name(text), Some(code), "{text}");
        }
        for no in ["", " ", "-", "Atlantis", "XX", "62", "é"] {
            assert_eq!(by_name(no), None, "{no}");
        }
        assert_eq!(by_code("ID"), Some("Indonesia"));
        assert_eq!(by_code("XX"), None);
    }

    #[test]
    fn every_country_has_an_indonesian_name() {
        for (code, _) in ALL {
            assert!(INDONESIAN.contains_key(code), "{code}");
        }
        assert_eq!(named(Lang::Id, "DE"), "Jerman");
        assert_eq!(named(Lang::En, "DE"), "Germany");
        assert_eq!(named(Lang::Id, "Atlantis"), "Atlantis");
    }

    #[test]
    fn the_tables_are_whole_and_no_name_means_two_countries() {
        assert!(ALL.is_sorted_by_key(|(code, _)| code));
        assert!(
            ALL.iter()
                .map(|(code, _)| code)
                .eq(OTHER.iter().map(|(code, _)| code))
        );
        let mut meant: HashMap<String, &str> = HashMap::new();
        let others = OTHER
            .iter()
            .flat_map(|(code, names)| names.split(';').map(move |name| (*code, name)));
        for (code, name) in others.chain(ALL.iter().copied()) {
            let before = meant.insert(key(name), code);
            assert!(
                before.is_none_or(|before| before == code),
                "{name}: {before:?} and {code}"
            );
            assert_eq!(by_name(code), Some(code));
        }
        for (code, names) in OTHER {
            let letters = names.split(';').next().unwrap();
            assert!(
                letters.len() == 3 && letters.bytes().all(|b| b.is_ascii_uppercase()),
                "{code} {letters}"
            );
        }
    }
}
