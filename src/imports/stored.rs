//! An uploaded file between instances: in pieces in the database, until the import is over. SQL of `import_chunks`.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Binary, Integer};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

use crate::ids::{CompanyId, ImportId};
use crate::schema::import_chunks;

pub(super) async fn add_piece(
    conn: &mut AsyncPgConnection,
    company: CompanyId,
    id: ImportId,
    number: i32,
    bytes: &[u8],
) -> QueryResult<usize> {
    sql_query(
        "INSERT INTO import_chunks (company_id, import_id, number, bytes) VALUES ($1, $2, $3, $4)",
    )
    .bind::<BigInt, _>(company)
    .bind::<BigInt, _>(id)
    .bind::<Integer, _>(number)
    .bind::<Binary, _>(bytes)
    .execute(conn)
    .await
}

pub(super) async fn piece(
    conn: &mut AsyncPgConnection,
    id: ImportId,
    number: i32,
) -> QueryResult<Option<Vec<u8>>> {
    import_chunks::table
        .find((id, number))
        .select(import_chunks::bytes)
        .first(conn)
        .await
        .optional()
}

pub(super) async fn drop_all(conn: &mut AsyncPgConnection, id: ImportId) -> QueryResult<usize> {
    diesel::delete(import_chunks::table.filter(import_chunks::import_id.eq(id)))
        .execute(conn)
        .await
}
