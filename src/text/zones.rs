//! Which clocks people look at: the time zones of a number's country, and hours in which all of them sleep
//! or none.
//!
//! Invariant: a country with several zones is quiet while any of them is. Knows numbers and zones; whose
//! quiet hours they are, others know. Zones: `zone.tab` of the tz database 2025b (public domain), for
//! Australia, Brazil, Canada and Russia with the zone of most people first. Area codes of +1, +7, +61 and
//! +262: the numbering plans as libphonenumber tells them.

use std::collections::HashMap;
use std::sync::LazyLock;

use chrono::{
    DateTime, Days, LocalResult, NaiveDateTime, NaiveTime, TimeDelta, TimeZone as _, Utc,
};
use chrono_tz::Tz;
use phonenumber::metadata::DATABASE;

const TABLE: &str = include_str!("zones.txt");

/// Regions that share a calling code with a larger one, by what their numbers begin with.
const PARTS: &[(&str, &str)] = &[
    (
        "CA",
        "1204 1226 1236 1249 1250 1263 1289 1306 1343 1354 1365 1367 1368 1382 1403 1416 1418 1428 1431 1437 1438 1450 1468 1474 1506 1514 1519 1548 1579 1581 1584 1587 1604 1613 1639 1647 1672 1683 1705 1709 1742 1753 1778 1780 1782 1807 1819 1825 1867 1873 1879 1902 1905 1942",
    ),
    ("AG", "1268"),
    ("AI", "1264"),
    ("AS", "1684"),
    ("BB", "1246"),
    ("BM", "1441"),
    ("BS", "1242"),
    ("DM", "1767"),
    ("DO", "1809 1829 1849"),
    ("GD", "1473"),
    ("GU", "1671"),
    ("JM", "1658 1876"),
    ("KN", "1869"),
    ("KY", "1345"),
    ("LC", "1758"),
    ("MP", "1670"),
    ("MS", "1664"),
    ("PR", "1787 1939"),
    ("SX", "1721"),
    ("TC", "1649"),
    ("TT", "1868"),
    ("VC", "1784"),
    ("VG", "1284"),
    ("VI", "1340"),
    ("KZ", "76 77"),
    ("CC", "6189162"),
    ("CX", "6189164"),
    ("NF", "6723"),
    ("YT", "262269 262639"),
];

static ZONES: LazyLock<HashMap<&str, Vec<Tz>>> = LazyLock::new(|| {
    TABLE
        .lines()
        .filter_map(|line| {
            let (region, zones) = line.split_once(' ')?;
            let zones = zones.split(' ').filter_map(|zone| zone.parse().ok());
            Some((region, zones.collect()))
        })
        .collect()
});

/// What numbers of a region begin with.
struct Prefix {
    digits: String,
    region: &'static str,
    zones: &'static [Tz],
}

static PREFIXES: LazyLock<Vec<Prefix>> = LazyLock::new(|| {
    let mut prefixes: HashMap<String, (&'static str, &'static [Tz])> = HashMap::new();
    for (region, zones) in ZONES.iter() {
        let Some(meta) = DATABASE.by_id(*region) else {
            continue;
        };
        let code = meta.country_code().to_string();
        let alone = DATABASE
            .region(&meta.country_code())
            .is_some_and(|regions| regions.len() == 1);
        if alone || meta.is_main_country_for_code() {
            prefixes.insert(code, (region, zones));
        } else {
            prefixes.entry(code).or_insert((region, zones));
        }
    }
    for (region, parts) in PARTS {
        let zones = ZONES.get(region).map_or(&[][..], Vec::as_slice);
        prefixes.extend(
            parts
                .split(' ')
                .map(|part| (part.to_owned(), (*region, zones))),
        );
    }
    let mut prefixes: Vec<Prefix> = prefixes
        .into_iter()
        .map(|(digits, (region, zones))| Prefix {
            digits,
            region,
            zones,
        })
        .collect();
    // The longest first: the first that fits counts.
    prefixes.sort_by_key(|one| (std::cmp::Reverse(one.digits.len()), one.digits.clone()));
    prefixes
});

fn prefix_of(digits: &str) -> Option<&'static Prefix> {
    PREFIXES
        .iter()
        .find(|one| digits.starts_with(one.digits.as_str()))
}

/// What E.164 digits begin with, and the zones of that country; the longest first.
pub fn prefixes() -> impl Iterator<Item = (&'static str, &'static [Tz])> {
    PREFIXES.iter().map(|one| (one.digits.as_str(), one.zones))
}

/// The zones of a number's country; none where the number belongs to no country.
pub fn of_number(digits: &str) -> &'static [Tz] {
    prefix_of(digits).map_or(&[], |one| one.zones)
}

/// The ISO code of a number's country, by its first digits alone: four tell every country but a few islands.
pub fn region_of(digits: &str) -> Option<&'static str> {
    prefix_of(digits).map(|one| one.region)
}

/// Hours of every day, in somebody's clock; over midnight where `until` comes before `from`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    pub from: NaiveTime,
    pub until: NaiveTime,
}

impl Hours {
    pub fn contain(&self, time: NaiveTime) -> bool {
        if self.from < self.until {
            self.from <= time && time < self.until
        } else {
            self.from <= time || time < self.until
        }
    }

    /// When these hours are over in every one of `zones`; `None`: no clock shows them now. Where the zones lie
    /// so far apart that it never is, the first one counts alone.
    pub fn over_at(&self, now: DateTime<Utc>, zones: &[Tz]) -> Option<DateTime<Utc>> {
        if !zones
            .iter()
            .any(|zone| self.contain(now.with_timezone(zone).time()))
        {
            return None;
        }
        self.free(now, zones)
            .or_else(|| self.free(now, zones.get(..1)?))
    }

    /// The first instant from `now` on that no zone has in these hours, within two days.
    fn free(&self, now: DateTime<Utc>, zones: &[Tz]) -> Option<DateTime<Utc>> {
        let mut at = now;
        while at < now + Days::new(2) {
            let ends = zones.iter().filter_map(|zone| self.end(at, *zone)).max();
            match ends {
                Some(end) => at = end,
                None => return Some(at),
            }
        }
        None
    }

    /// When they end in a zone that has them at `at`.
    fn end(&self, at: DateTime<Utc>, zone: Tz) -> Option<DateTime<Utc>> {
        let local = at.with_timezone(&zone).naive_local();
        if !self.contain(local.time()) {
            return None;
        }
        let today = local.date().and_time(self.until);
        let end = if today > local {
            today
        } else {
            today + Days::new(1)
        };
        Some(instant(end, zone).max(at + TimeDelta::minutes(1)))
    }
}

/// The instant of a local time: the later one where it comes twice, the first one after it where the clocks
/// are put forward over it.
fn instant(local: NaiveDateTime, zone: Tz) -> DateTime<Utc> {
    let mut time = local;
    loop {
        match zone.from_local_datetime(&time) {
            LocalResult::Single(at) | LocalResult::Ambiguous(_, at) => {
                return at.with_timezone(&Utc);
            }
            LocalResult::None => time += TimeDelta::minutes(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn night() -> Hours {
        Hours {
            from: NaiveTime::from_hms_opt(21, 0, 0).unwrap(),
            until: NaiveTime::from_hms_opt(8, 0, 0).unwrap(),
        }
    }

    #[test]
    fn zones_every_region_has_zones_and_every_zone_is_known() {
        for line in TABLE.lines() {
            let (region, zones) = line.split_once(' ').unwrap();
            for zone in zones.split(' ') {
                assert!(zone.parse::<Tz>().is_ok(), "{region}: {zone}");
            }
        }
        for (region, _) in PARTS {
            assert!(ZONES.contains_key(region), "{region}");
        }
    }

    #[test]
    fn zones_a_number_tells_its_country() {
        for (number, zone, count) in [
            ("6281234567890", "Asia/Jakarta", 4),
            ("34612345678", "Europe/Madrid", 3),
            ("18765551234", "America/Jamaica", 1),
            ("14165551234", "America/Toronto", 23),
            ("12125551234", "America/New_York", 29),
            ("77011234567", "Asia/Almaty", 7),
            ("79161234567", "Europe/Moscow", 26),
            ("447911123456", "Europe/London", 1),
            ("971501234567", "Asia/Dubai", 1),
        ] {
            let zones = of_number(number);
            assert_eq!(
                zones.first().map(|zone| zone.name()),
                Some(zone),
                "{number}"
            );
            assert!(
                zones.len().abs_diff(count) <= 2,
                "{number}: {}",
                zones.len()
            );
        }
        assert!(
            of_number("88213123456").is_empty(),
            "a satellite has no country"
        );
    }

    #[test]
    fn zones_hours_over_midnight_are_over_in_the_morning_there() {
        let madrid = &[chrono_tz::Europe::Madrid];
        assert_eq!(night().over_at(at("2026-11-26T12:00:00Z"), madrid), None);
        let over = night().over_at(at("2026-11-26T21:30:00Z"), madrid);
        assert_eq!(over, Some(at("2026-11-27T07:00:00Z")));
        let early = night().over_at(at("2026-11-26T05:30:00Z"), madrid);
        assert_eq!(early, Some(at("2026-11-26T07:00:00Z")));
    }

    #[test]
    fn zones_a_country_with_several_waits_for_all_of_them() {
        // Jakarta, Pontianak, Makassar and Jayapura: UTC+7 to UTC+9.
        let indonesia = of_number("6281234567890");
        // 08:00 in Jayapura, 06:00 in Jakarta.
        let over = night().over_at(at("2026-11-25T23:00:00Z"), indonesia);
        assert_eq!(over, Some(at("2026-11-26T01:00:00Z")), "08:00 in Jakarta");
        // 21:00 in Jayapura, 19:00 in Jakarta.
        assert!(
            night()
                .over_at(at("2026-11-26T12:00:00Z"), indonesia)
                .is_some()
        );
        assert_eq!(night().over_at(at("2026-11-26T11:59:00Z"), indonesia), None);
    }

    #[test]
    fn zones_too_far_apart_for_a_common_hour_let_the_first_decide() {
        let hours = Hours {
            from: NaiveTime::from_hms_opt(12, 0, 0).unwrap(),
            until: NaiveTime::from_hms_opt(10, 0, 0).unwrap(),
        };
        let zones = &[chrono_tz::Europe::Moscow, chrono_tz::Asia::Kamchatka];
        let over = hours.over_at(at("2026-11-26T12:00:00Z"), zones);
        assert_eq!(over, Some(at("2026-11-27T07:00:00Z")), "10:00 in Moscow");
    }

    #[test]
    fn zones_clocks_put_forward_or_back_do_not_lose_the_end() {
        let berlin = &[chrono_tz::Europe::Berlin];
        let until = |hour, minute| Hours {
            from: NaiveTime::from_hms_opt(22, 0, 0).unwrap(),
            until: NaiveTime::from_hms_opt(hour, minute, 0).unwrap(),
        };
        // 02:30 does not exist on this day: 03:00 summer time is the first instant after it.
        let gap = until(2, 30).over_at(at("2026-03-29T00:00:00Z"), berlin);
        assert_eq!(gap, Some(at("2026-03-29T01:00:00Z")));
        // 02:30 comes twice: the later one.
        let twice = until(2, 30).over_at(at("2026-10-24T22:00:00Z"), berlin);
        assert_eq!(twice, Some(at("2026-10-25T01:30:00Z")));
    }
}
