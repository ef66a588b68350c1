//! Identifiers of rows, one type a noun, so that an account's id is never taken for a contact's.
//!
//! They are 64-bit integers in the database, in URLs and in JSON.

use diesel::backend::Backend;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::pg::Pg;
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::BigInt;

macro_rules! id {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, AsExpression, FromSqlRow,
            serde::Serialize, serde::Deserialize,
        )]
        #[diesel(sql_type = BigInt)]
        #[serde(transparent)]
        pub struct $name(pub i64);

        impl FromSql<BigInt, Pg> for $name {
            fn from_sql(bytes: <Pg as Backend>::RawValue<'_>) -> deserialize::Result<Self> {
                <i64 as FromSql<BigInt, Pg>>::from_sql(bytes).map(Self)
            }
        }

        impl ToSql<BigInt, Pg> for $name {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                <i64 as ToSql<BigInt, Pg>>::to_sql(&self.0, out)
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::num::ParseIntError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    )+};
}

id! {
    /// A tenant: the owner of every row.
    CompanyId,
    UserId,
    /// One connected WhatsApp number at one provider.
    AccountId,
    ContactId,
    ListId,
    MailingId,
    /// A text that Meta approved.
    TemplateId,
    RateId,
    /// The frozen text of a mailing.
    VersionId,
    /// One run of a mailing.
    LogId,
    /// One message to one contact, with its fate.
    OutgoingId,
    /// One try to send an outgoing message.
    AttemptId,
    IncomingId,
    ImportId,
    /// A search somebody keeps under a name.
    FavouriteId,
    /// A file that goes out with a mailing.
    MediaId,
    /// One action over many records.
    BulkRunId,
}
