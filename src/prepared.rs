//! Statements that PostgreSQL plans once a connection: `prepared(SQL).bind::<Type, _>(value)`.
//!
//! `diesel::sql_query` is parsed and planned at every call. The deliverer's statements are long and
//! short-lived: planning one takes longer than running it for fifty messages. Invariant: the text holds its
//! placeholders `$1`, `$2` … itself, in the order of the binds; results are read by name, as of `sql_query`.
//! Knows no table. Not for text that varies with input: each text stays with its connection.

use std::marker::PhantomData;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::serialize::ToSql;
use diesel::sql_types::{HasSqlType, Untyped};

/// A statement with the values bound so far.
#[must_use = "a statement runs when it is loaded or executed"]
pub struct Prepared<'a, Binds = NoBinds> {
    text: &'a str,
    binds: Binds,
}

/// Nothing is bound yet.
pub struct NoBinds;

/// One value behind those before it.
pub struct Bind<Before, Value, Type> {
    before: Before,
    value: Value,
    kind: PhantomData<Type>,
}

pub fn prepared(text: &str) -> Prepared<'_> {
    Prepared {
        text,
        binds: NoBinds,
    }
}

impl<'a, Binds> Prepared<'a, Binds> {
    /// Binds the next placeholder.
    pub fn bind<Type, Value>(self, value: Value) -> Prepared<'a, Bind<Binds, Value, Type>> {
        Prepared {
            text: self.text,
            binds: Bind {
                before: self.binds,
                value,
                kind: PhantomData,
            },
        }
    }
}

impl<Binds: QueryFragment<Pg>> QueryFragment<Pg> for Prepared<'_, Binds> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.text);
        // Diesel writes a placeholder with every value it binds; the text has its own already.
        out.push_sql(" /* ");
        self.binds.walk_ast(out.reborrow())?;
        out.push_sql(" */");
        Ok(())
    }
}

impl QueryFragment<Pg> for NoBinds {
    fn walk_ast<'b>(&'b self, _: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        Ok(())
    }
}

impl<Before, Value, Type> QueryFragment<Pg> for Bind<Before, Value, Type>
where
    Before: QueryFragment<Pg>,
    Pg: HasSqlType<Type>,
    Value: ToSql<Type, Pg>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.before.walk_ast(out.reborrow())?;
        out.push_bind_param::<Type, _>(&self.value)
    }
}

/// Found again by its text.
impl<Binds> QueryId for Prepared<'_, Binds> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Binds> Query for Prepared<'_, Binds> {
    type SqlType = Untyped;
}
