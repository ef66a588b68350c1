//! What an import gives to people who were there before it, and what they get back when it is taken back.
//!
//! Invariants: only what still is as the import left it is given here (`import_changes` tells it); an opt-out is
//! never touched; the history of each person tells what changed. Knows no import.

use std::collections::{BTreeMap, HashMap};

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Jsonb, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde_json::{Map, Value, json};

use super::joined::Joined;
use crate::audit::{self, Change};
use crate::ids::{CompanyId, ContactId, UserId};

/// What somebody got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    pub contact: ContactId,
    /// By field: `old`, what stood there, and `new`; an attribute that was not there has no `old`.
    pub fields: Map<String, Value>,
    /// Ids.
    pub tags: Vec<i64>,
    pub lists: Vec<i64>,
}

impl Given {
    fn of(contact: ContactId) -> Self {
        Self {
            contact,
            fields: Map::new(),
            tags: Vec::new(),
            lists: Vec::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.fields.is_empty() && self.tags.is_empty() && self.lists.is_empty()
    }
}

/// Somebody who was written to; what that replaced, where it was asked for.
#[derive(Debug, QueryableByName)]
pub(super) struct Wrote {
    #[diesel(sql_type = BigInt)]
    pub id: ContactId,
    #[diesel(sql_type = Nullable<Jsonb>)]
    pub replaced: Option<Value>,
}

/// What each got, of those who got anything.
pub(super) fn gathered(wrote: Vec<Wrote>, tags: Vec<Joined>, lists: Vec<Joined>) -> Vec<Given> {
    let mut all: BTreeMap<ContactId, Given> = BTreeMap::new();
    let mut of = |contact: ContactId, add: &mut dyn FnMut(&mut Given)| {
        add(all.entry(contact).or_insert_with(|| Given::of(contact)));
    };
    for Wrote { id, replaced } in wrote {
        if let Some(Value::Object(mut fields)) = replaced
            && !fields.is_empty()
        {
            of(id, &mut |given| given.fields.append(&mut fields));
        }
    }
    for Joined { contact, id } in tags {
        of(contact, &mut |given| given.tags.push(id));
    }
    for Joined { contact, id } in lists {
        of(contact, &mut |given| given.lists.push(id));
    }
    all.into_values().collect()
}

/// Gives everybody back what they had; `note` is for their history.
pub async fn take_back(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    user: UserId,
    given: &[Given],
    note: &str,
) -> QueryResult<()> {
    let (tags, lists) = (
        pairs(given, |one| &one.tags),
        pairs(given, |one| &one.lists),
    );
    let tag_names = names(conn, "tags", &tags.1).await?;
    let list_names = names(conn, "lists", &lists.1).await?;
    restore(conn, given).await?;
    take_out(
        conn,
        "DELETE FROM contact_tags t USING unnest($1::bigint[], $2::bigint[]) AS g(contact, id)
         WHERE t.contact_id = g.contact AND t.tag_id = g.id",
        &tags,
    )
    .await?;
    take_out(
        conn,
        "DELETE FROM list_members m USING unnest($1::bigint[], $2::bigint[]) AS g(contact, id)
         WHERE m.contact_id = g.contact AND m.list_id = g.id AND NOT m.opt_out",
        &lists,
    )
    .await?;
    let told: Vec<(i64, Vec<Change>)> = given
        .iter()
        .map(|one| (one.contact.0, changes(one, &tag_names, &list_names)))
        .collect();
    let by = Some(user);
    audit::note_changes_of_many(conn, company, "contacts", by, "import_undone", &told, note)
        .await?;
    Ok(())
}

async fn restore(conn: &mut AsyncPgConnection, given: &[Given]) -> QueryResult<usize> {
    let written: Vec<&Given> = given.iter().filter(|one| !one.fields.is_empty()).collect();
    let ids: Vec<ContactId> = written.iter().map(|one| one.contact).collect();
    let fields: Vec<Value> = written.iter().map(|one| json!(one.fields)).collect();
    sql_query(
        "UPDATE contacts c SET name = CASE WHEN g.fields ? 'name' THEN g.fields #>> '{name,old}' ELSE c.name END,
           title = CASE WHEN g.fields ? 'title' THEN g.fields #>> '{title,old}' ELSE c.title END,
           country = CASE WHEN g.fields ? 'country' THEN g.fields #>> '{country,old}' ELSE c.country END,
           email = CASE WHEN g.fields ? 'email' THEN g.fields #>> '{email,old}' ELSE c.email END,
           company_name = CASE WHEN g.fields ? 'company_name' THEN g.fields #>> '{company_name,old}' ELSE c.company_name END,
           job_position = CASE WHEN g.fields ? 'job_position' THEN g.fields #>> '{job_position,old}' ELSE c.job_position END,
           description = CASE WHEN g.fields ? 'description' THEN g.fields #>> '{description,old}' ELSE c.description END,
           attributes = wablast_attributes_before(c.attributes, g.fields), updated_at = wablast_now()
         FROM unnest($1::bigint[], $2::jsonb[]) AS g(id, fields) WHERE c.id = g.id",
    )
    .bind::<Array<BigInt>, _>(ids)
    .bind::<Array<Jsonb>, _>(fields)
    .execute(conn)
    .await
}

/// People and ids, side by side.
type Pairs = (Vec<ContactId>, Vec<i64>);

fn pairs(given: &[Given], of: fn(&Given) -> &Vec<i64>) -> Pairs {
    let each = given
        .iter()
        .flat_map(|one| of(one).iter().map(|id| (one.contact, *id)));
    each.unzip()
}

async fn take_out(
    conn: &mut AsyncPgConnection,
    statement: &str,
    (contacts, ids): &Pairs,
) -> QueryResult<usize> {
    sql_query(statement)
        .bind::<Array<BigInt>, _>(contacts)
        .bind::<Array<BigInt>, _>(ids)
        .execute(conn)
        .await
}

/// What tags or lists are called.
async fn names(
    conn: &mut AsyncPgConnection,
    table: &str,
    ids: &[i64],
) -> QueryResult<HashMap<i64, String>> {
    #[derive(QueryableByName)]
    struct Named {
        #[diesel(sql_type = BigInt)]
        id: i64,
        #[diesel(sql_type = Text)]
        name: String,
    }
    let named: Vec<Named> = sql_query(format!("SELECT id, name FROM {table} WHERE id = ANY ($1)"))
        .bind::<Array<BigInt>, _>(ids)
        .load(conn)
        .await?;
    Ok(named.into_iter().map(|one| (one.id, one.name)).collect())
}

/// What the history tells: from what the import gave to what there was before.
fn changes(
    given: &Given,
    tags: &HashMap<i64, String>,
    lists: &HashMap<i64, String>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let (mut had, mut has) = (Vec::new(), Vec::new());
    for (field, values) in &given.fields {
        if let Some(name) = field.strip_prefix("attributes.") {
            let line = |value: &Value| match value {
                Value::String(text) => format!("{name}: {text}"),
                other => format!("{name}: {other}"),
            };
            had.extend(values.get("new").map(line));
            has.extend(values.get("old").map(line));
            continue;
        }
        let told = |value: &Value| match value {
            Value::String(code) if field == "country" => json!({ "country": code }),
            Value::String(text) => json!(text),
            _ => json!(""),
        };
        changes.push(Change {
            field: format!("contacts.{}", label(field)),
            old: told(&values["new"]),
            new: told(&values["old"]),
        });
    }
    let mut lines = |field: &str, old: Vec<String>, new: Vec<String>, between: &str| {
        if !old.is_empty() || !new.is_empty() {
            changes.push(Change {
                field: format!("contacts.{field}"),
                old: json!(old.join(between)),
                new: json!(new.join(between)),
            });
        }
    };
    lines("attributes", had, has, "\n");
    let named = |ids: &[i64], names: &HashMap<i64, String>| {
        ids.iter().filter_map(|id| names.get(id).cloned()).collect()
    };
    lines("tags", named(&given.tags, tags), Vec::new(), ", ");
    lines("lists", named(&given.lists, lists), Vec::new(), ", ");
    changes
}

/// The word of a field in the catalogue.
fn label(field: &str) -> &str {
    match field {
        "company_name" => "company",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_got_is_told_from_the_import_to_what_there_was() {
        let joined = |contact, id| Joined {
            contact: ContactId(contact),
            id,
        };
        let wrote = |id, replaced| Wrote {
            id: ContactId(id),
            replaced,
        };
        let fields = json!({ "company_name": { "old": "", "new": "Dago" }, "country": { "old": "ID", "new": "SG" },
            "attributes.toko": { "new": 7 } });
        let given = gathered(
            vec![
                wrote(2, Some(json!({}))),
                wrote(3, None),
                wrote(1, Some(fields)),
            ],
            vec![joined(1, 5)],
            vec![joined(4, 6)],
        );
        let who: Vec<i64> = given.iter().map(|one| one.contact.0).collect();
        assert_eq!(who, [1, 4], "nobody who got nothing");
        let names = HashMap::from([(5, "VIP".to_owned()), (6, "Member".to_owned())]);
        let told: Vec<_> = changes(&given[0], &names, &names)
            .into_iter()
            .map(|one| (one.field, one.old, one.new))
            .collect();
        let expected = [
            ("contacts.company", json!("Dago"), json!("")),
            (
                "contacts.country",
                json!({ "country": "SG" }),
                json!({ "country": "ID" }),
            ),
            ("contacts.attributes", json!("toko: 7"), json!("")),
            ("contacts.tags", json!("VIP"), json!("")),
        ]
        .map(|(field, old, new)| (field.to_owned(), old, new));
        assert_eq!(told, expected);
    }
}
