//! One request of somebody signed in: who asks, in which company, and the page around the answer.
//!
//! Invariant: everything a visit reads or writes goes through a connection of the person's company;
//! nothing stays unless [`CompanyConn::commit`] was called.

use std::future::Future;
use std::ops::Deref;
use std::pin::Pin;

use actix_session::{Session, SessionExt as _};
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use diesel_async::AsyncPgConnection;

use crate::app::App;
use crate::db::CompanyConn;
use crate::error::Result;
use crate::i18n::{self, Lang};
use crate::presses;
use crate::web::form;
use crate::web::page::{FlashKind, Menu, Shell};
use crate::web::session::{self, Signed};

/// What a handler needs of a request; `visit.signed` says who it is.
pub struct Visit {
    pub request: HttpRequest,
    pub session: Session,
    pub signed: Signed,
    pub app: web::Data<App>,
}

impl Deref for Visit {
    type Target = Signed;
    fn deref(&self) -> &Signed {
        &self.signed
    }
}

impl Visit {
    pub fn lang(&self) -> Lang {
        Lang::parse(&self.signed.language)
    }

    /// The text behind a key, in the person's language.
    pub fn t(&self, key: &str) -> String {
        i18n::t(self.lang(), key).to_owned()
    }

    pub fn tf<S: AsRef<str>>(&self, key: &str, arguments: &[S]) -> String {
        let arguments: Vec<&str> = arguments.iter().map(AsRef::as_ref).collect();
        i18n::tf(self.lang(), key, &arguments)
    }

    pub fn tn(&self, key: &str, count: i64) -> String {
        i18n::tn(self.lang(), key, count)
    }

    /// A transaction in the person's company.
    pub async fn conn(&self) -> Result<CompanyConn> {
        self.app.db.company(self.signed.company).await
    }

    /// Where the first press of this page's button led, if this is another press of it.
    pub async fn pressed_before(
        &self,
        conn: &mut AsyncPgConnection,
    ) -> Result<Option<HttpResponse>> {
        let key = form::press(&self.request);
        let before = presses::before(conn, self.signed.company, &key).await?;
        Ok(before.map(form::see_other))
    }

    /// Keeps where this press leads and that it was made, then goes there.
    pub async fn goes_on(&self, mut conn: CompanyConn, to: String) -> Result<HttpResponse> {
        let key = form::press(&self.request);
        presses::led_to(&mut conn, self.signed.company, &key, &to).await?;
        conn.commit().await?;
        Ok(form::see_other(to))
    }

    /// Keeps where this press leads, with what it does: for forms whose commit is not the last thing they do.
    pub async fn leads_to(&self, conn: &mut AsyncPgConnection, to: &str) -> Result<()> {
        let key = form::press(&self.request);
        presses::led_to(conn, self.signed.company, &key, to).await?;
        Ok(())
    }

    /// What stands around the page.
    pub async fn shell(&self, menu: Menu, conn: &mut AsyncPgConnection) -> Result<Shell> {
        session::shell(
            &self.app,
            &self.signed,
            &self.session,
            &self.request,
            menu,
            conn,
        )
        .await
    }

    /// Tells that something went well, once, on the next page; `key` of the catalogue or a sentence.
    pub fn tell(&self, key: &str) {
        form::flash(&self.session, FlashKind::Success, self.t(key));
    }

    /// The same for something that wants a person.
    pub fn warn(&self, key: &str) {
        form::flash(&self.session, FlashKind::Warning, self.t(key));
    }
}

impl FromRequest for Visit {
    type Error = actix_web::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, actix_web::Error>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let signed = Signed::from_request(request, payload);
        let app = web::Data::<App>::extract(request);
        let session = request.get_session();
        let request = request.clone();
        Box::pin(async move {
            Ok(Self {
                signed: signed.await?,
                app: app.await?,
                session,
                request,
            })
        })
    }
}
