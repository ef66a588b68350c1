//! Which people a program asks for, page by page.

use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use super::Contact;
use crate::ids::{ContactId, ListId};
use crate::schema::{contact_tags, contacts, list_members, tags};
use crate::search::{COUNT_LIMIT, counted};

/// Which contacts the API lists.
#[derive(Debug, Clone, Default)]
pub struct ContactFilter {
    pub list: Option<ListId>,
    pub text: Option<String>,
    pub number: Option<String>,
    pub opt_out: Option<bool>,
    pub tag: Option<String>,
    pub after: i64,
    pub limit: i64,
}

pub async fn filtered(
    conn: &mut AsyncPgConnection,
    filter: &ContactFilter,
) -> QueryResult<Vec<Contact>> {
    wanted(filter)
        .filter(contacts::id.gt(filter.after))
        .order(contacts::id)
        .limit(filter.limit)
        .select(Contact::as_select())
        .load(conn)
        .await
}

/// How many [`filtered`] finds in all; `None`: more than are counted.
pub async fn count_filtered(
    conn: &mut AsyncPgConnection,
    filter: &ContactFilter,
) -> QueryResult<Option<i64>> {
    let ids: Vec<ContactId> = wanted(filter)
        .limit(COUNT_LIMIT + 1)
        .select(contacts::id)
        .load(conn)
        .await?;
    Ok(counted(i64::try_from(ids.len()).unwrap_or(i64::MAX)))
}

type Wanted<'a> = contacts::BoxedQuery<'a, diesel::pg::Pg>;

/// The condition of [`filtered`] and its count.
fn wanted(filter: &ContactFilter) -> Wanted<'_> {
    let mut query = contacts::table
        .filter(contacts::erased_at.is_null())
        .into_boxed();
    if let Some(list) = filter.list {
        let members = list_members::table
            .filter(list_members::list_id.eq(list))
            .select(list_members::contact_id);
        query = query.filter(contacts::id.eq_any(members));
    }
    if let Some(text) = &filter.text {
        let pattern = format!(
            "%{}%",
            text.replace('\\', "\\\\")
                .replace('%', "\\%")
                .replace('_', "\\_")
        );
        query = query.filter(
            contacts::name
                .ilike(pattern.clone())
                .or(contacts::whatsapp_number.like(pattern)),
        );
    }
    if let Some(number) = &filter.number {
        query = query.filter(contacts::whatsapp_number.eq(number.clone()));
    }
    if let Some(opt_out) = filter.opt_out {
        query = query.filter(contacts::opt_out.eq(opt_out));
    }
    if let Some(tag) = &filter.tag {
        let tagged = contact_tags::table
            .inner_join(tags::table.on(tags::id.eq(contact_tags::tag_id)))
            .filter(tags::name.eq(tag.clone()))
            .select(contact_tags::contact_id);
        query = query.filter(contacts::id.eq_any(tagged));
    }
    query
}
