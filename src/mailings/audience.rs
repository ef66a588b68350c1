//! Who a mailing goes to, and why others are left out: the SQL that pre-flight and release share.
//!
//! Invariant: what pre-flight counts and what release writes come from the same expressions. Text that
//! is put into SQL here is either constant or a placeholder's name that passed `field_sql`.

use crate::ids::AccountId;
use crate::text::merge::Template;

/// People of the mailing `$1`, one row each: `contact_id`, `list_id`, `list_opted_out`. Several lists
/// that hold one person make one row; it keeps the first chosen list the person still wants. `stretch`: which
/// contacts, as what follows their id in a condition.
pub(super) fn people(stretch: &str) -> String {
    format!(
        "SELECT lm.contact_id, (array_agg(lm.list_id ORDER BY lm.opt_out, ml.position, ml.list_id))[1] AS list_id,
           bool_and(lm.opt_out) AS list_opted_out
         FROM mailings m
         JOIN mailing_lists ml ON ml.mailing_id = m.id AND NOT ml.excluded
         JOIN list_members lm ON lm.list_id = ml.list_id
         WHERE m.id = $1 AND m.recipients = 'lists' AND lm.contact_id {stretch}
           AND NOT EXISTS (SELECT FROM mailing_lists x JOIN list_members xm ON xm.list_id = x.list_id
                           WHERE x.mailing_id = $1 AND x.excluded AND xm.contact_id = lm.contact_id)
         GROUP BY lm.contact_id
         UNION ALL
         SELECT mc.contact_id, NULL::bigint, false FROM mailings m JOIN mailing_contacts mc ON mc.mailing_id = m.id
         WHERE m.id = $1 AND m.recipients = 'contacts' AND mc.contact_id {stretch}"
    )
}

/// All of them.
pub(super) const EVERYBODY: &str = "IS NOT NULL";

/// [`people`] with their numbers. A company has no two contacts with one number (`contacts_number_unique`), so nobody
/// of them is another's double.
pub(super) fn with_numbers(stretch: &str) -> String {
    format!(
        "SELECT p.contact_id, p.list_id, p.list_opted_out, n.whatsapp_number AS number FROM ({}) p {}",
        people(stretch),
        each("n", "p.contact_id")
    )
}

/// Everybody on each list that holds them, as [`with_numbers`] says it: to find one of them without grouping all.
pub(super) fn one_by_one() -> String {
    format!(
        "SELECT p.contact_id, p.list_id, p.list_opted_out, n.whatsapp_number AS number FROM (
           SELECT lm.contact_id, lm.list_id, lm.opt_out AS list_opted_out
           FROM mailings m JOIN mailing_lists ml ON ml.mailing_id = m.id AND NOT ml.excluded JOIN list_members lm ON lm.list_id = ml.list_id
           WHERE m.id = $1 AND m.recipients = 'lists'
             AND NOT EXISTS (SELECT FROM mailing_lists x JOIN list_members xm ON xm.list_id = x.list_id
                             WHERE x.mailing_id = $1 AND x.excluded AND xm.contact_id = lm.contact_id)
           UNION ALL
           SELECT mc.contact_id, NULL::bigint, false FROM mailings m JOIN mailing_contacts mc ON mc.mailing_id = m.id
           WHERE m.id = $1 AND m.recipients = 'contacts') p {}",
        each("n", "p.contact_id")
    )
}

/// A join with contacts that looks every person up by id. As a plain join, PostgreSQL turns it around
/// while it has no statistics yet (right after an import) and reads all people once for each of them.
pub(super) fn each(alias: &str, id: &str) -> String {
    format!("CROSS JOIN LATERAL (SELECT * FROM contacts WHERE contacts.id = {id} OFFSET 0) {alias}")
}

/// The skip reason of a person, over `u` (a row of [`with_numbers`]), `c` (contacts) and `l` (lists); null:
/// will be sent. `required`: placeholders whose absence leaves the person out. `frequency`: most mailings to
/// one person, and in how many days. `window`: only who wrote to this account within 24 hours can be written to.
pub(super) fn verdict(
    required: &[String],
    frequency: Option<(i32, i32)>,
    window: Option<AccountId>,
) -> String {
    let missing = if required.is_empty() {
        String::new()
    } else {
        let empty: Vec<String> = required
            .iter()
            .map(|name| format!("coalesce({}, '') = ''", field_sql(name)))
            .collect();
        format!(" WHEN {} THEN 'missing_value'", empty.join(" OR "))
    };
    let often = frequency.map_or_else(String::new, |(most, days)| {
        format!(" WHEN wablast_mailed(u.contact_id, 0, {days}) >= {most} THEN 'frequency_cap'")
    });
    let closed = window.map_or_else(String::new, |account| {
        format!(
            " WHEN NOT EXISTS (SELECT FROM incoming i WHERE i.contact_id = u.contact_id AND i.account_id = {account}
               AND i.received_at > wablast_now() - interval '24 hours') THEN 'window_closed'"
        )
    });
    format!(
        "CASE WHEN c.erased_at IS NOT NULL THEN 'erased'
          WHEN c.opt_out THEN 'opted_out'
          WHEN EXISTS (SELECT FROM blacklist b WHERE b.company_id = c.company_id AND b.number = u.number) THEN 'blacklisted'
          WHEN NOT c.active THEN 'inactive'
          WHEN u.number IS NULL THEN 'no_number'
          WHEN EXISTS (SELECT FROM number_checks k WHERE k.company_id = c.company_id AND k.number = u.number AND NOT k.on_whatsapp
            AND k.checked_at > wablast_now() - interval '90 days') THEN 'not_on_whatsapp'
          WHEN u.list_opted_out THEN 'list_opted_out'{closed}{missing}{often} END"
    )
}

/// A jsonb object with the values of `fields`, over `c` and `l`.
pub(super) fn values(fields: &[String]) -> String {
    let pairs: Vec<String> = fields
        .iter()
        .filter(|name| *name != "subject")
        .map(|name| format!("{}, {}", quoted(name), field_sql(name)))
        .collect();
    if pairs.is_empty() {
        "'{}'::jsonb".to_owned()
    } else {
        format!(
            "jsonb_strip_nulls(jsonb_build_object({}))",
            pairs.join(", ")
        )
    }
}

/// Placeholders that every contact has.
pub const FIXED: [&str; 11] = [
    "subject",
    "mailingList.name",
    "contact.name",
    "contact.full_name",
    "contact.title",
    "contact.whatsapp_number",
    "contact.country",
    "contact.email",
    "contact.company_name",
    "contact.job_position",
    "contact.description",
];

/// The attribute behind `contact.<key>`, when it is not a field of every contact.
pub fn attribute(name: &str) -> Option<&str> {
    if FIXED.contains(&name) {
        return None;
    }
    name.strip_prefix("contact.").filter(|key| !key.is_empty())
}

/// SQL of a placeholder's value.
pub(super) fn field_sql(name: &str) -> String {
    match name {
        "mailingList.name" => "l.name".to_owned(),
        "contact.full_name" => "btrim(c.title || ' ' || c.name)".to_owned(),
        _ => match (attribute(name), name.strip_prefix("contact.")) {
            (Some(key), _) => format!("(c.attributes ->> {})", quoted(key)),
            // One of FIXED: a column's name.
            (None, Some(column)) => format!("c.{column}"),
            (None, None) => "NULL::text".to_owned(),
        },
    }
}

/// A text as an SQL literal.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\0', "").replace('\'', "''"))
}

/// The placeholders of some texts: all of them, and those that have no fallback everywhere they stand.
pub fn placeholders(texts: &[&str]) -> (Vec<String>, Vec<String>) {
    let mut all = Vec::new();
    let mut bare = Vec::new();
    for text in texts {
        for placeholder in Template::parse(text).placeholders() {
            if !all.contains(&placeholder.name) {
                all.push(placeholder.name.clone());
            }
            if placeholder.fallback.is_none() && !bare.contains(&placeholder.name) {
                bare.push(placeholder.name.clone());
            }
        }
    }
    bare.retain(|name| name != "subject");
    (all, bare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_name_cannot_leave_its_literal() {
        assert_eq!(field_sql("contact.o'hara"), "(c.attributes ->> 'o''hara')");
        assert_eq!(field_sql("nonsense"), "NULL::text");
        assert_eq!(field_sql("contact.name"), "c.name");
    }

    #[test]
    fn mailings_know_every_placeholder_of_a_person() {
        for name in crate::text::merge::CONTACT {
            assert!(FIXED.contains(&name), "{name}");
        }
    }
}
