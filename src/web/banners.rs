//! Warnings of the whole installation: an amber strip over every page.

use diesel_async::AsyncPgConnection;

use crate::app::App;
use crate::error::Result;
use crate::web::page::Banner;
use crate::web::session::Signed;

pub async fn all(
    app: &App,
    _signed: &Signed,
    _conn: &mut AsyncPgConnection,
) -> Result<Vec<Banner>> {
    let mut banners = Vec::new();
    if app.config.is_plain_http() {
        banners.push(Banner {
            text: "The connection is not encrypted.\nPut a proxy with https in front and set WABLAST_PUBLIC_URL to its address."
                .to_owned(),
            actions: Vec::new(),
        });
    }
    if !app.config.sending {
        banners.push(Banner {
            text: "This copy never sends.\nIt was started with WABLAST_SENDING=off.".to_owned(),
            actions: Vec::new(),
        });
    }
    Ok(banners)
}
