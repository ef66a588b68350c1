//! A new template: its form, filled and stored, with the sample of its header.
//!
//! Invariant: administrators of the account's owner alone; what was handed in is changed at Meta, not here.

use actix_web::{HttpResponse, web};
use askama::Template as Page;
use diesel_async::AsyncPgConnection;

use crate::accounts::{self, Account};
use crate::auth::Role;
use crate::error::{Error, FieldErrors, Result};
use crate::gateways::meta::templates::{Button, Shape};
use crate::ids::TemplateId;
use crate::templates::{SAMPLE_TYPES, Template, TemplateDraft, TemplateInput, input, query};
use crate::web::edit::{self, Stand};
use crate::web::error::WebResult;
use crate::web::form::uploads_as;
use crate::web::history;
use crate::web::mailings::preview::Bubble;
use crate::web::media::{self, FileField};
use crate::web::multipart::{self, Filled};
use crate::web::page::{Menu, Shell, html_with};
use crate::web::pieces::Event;
use crate::web::templates::{bubble, href, label, noted, owned};
use crate::web::visit::Visit;
use crate::{audit, media as files};

#[derive(Page)]
#[template(path = "templates/form.html")]
struct FormPage {
    shell: Shell,
    template: Option<Template>,
    input: TemplateInput,
    errors: FieldErrors,
    accounts: Vec<(i64, String)>,
    file: FileField,
    bubble: Bubble,
    buttons: Vec<String>,
    history: Vec<Event>,
    stand: Stand,
}

impl FormPage {
    fn action(&self) -> String {
        self.template
            .as_ref()
            .map_or_else(|| "/templates".to_owned(), |template| href(template.id))
    }

    fn title(&self) -> String {
        self.template.as_ref().map_or_else(
            || self.shell.t("templates.new"),
            |template| template.name.clone(),
        )
    }

    fn languages(&self) -> Vec<(&'static str, String)> {
        let written = |(code, name): &(&'static str, &str)| (*code, format!("{name} ({code})"));
        input::LANGUAGES.iter().map(written).collect()
    }

    fn categories(&self) -> [(&'static str, &'static str); 3] {
        [
            ("marketing", "state.template_category.marketing"),
            ("utility", "state.template_category.utility"),
            ("authentication", "state.template_category.authentication"),
        ]
    }

    fn headers(&self) -> [(&'static str, &'static str); 5] {
        [
            ("none", "mailings.header_none"),
            ("text", "mailings.header_text"),
            ("image", "media.image"),
            ("video", "media.video"),
            ("document", "media.document"),
        ]
    }

    fn code_buttons(&self) -> [(&'static str, &'static str); 2] {
        [
            ("copy_code", "templates.copy_code"),
            ("one_tap", "templates.one_tap"),
        ]
    }

    fn kinds(&self) -> [(&'static str, &'static str); 2] {
        [
            ("quick_reply", "templates.quick_reply"),
            ("url", "templates.url"),
        ]
    }

    /// Kind, text and address of each button's line.
    fn lines(&self) -> Vec<(String, String, String)> {
        let of = |all: &[String], index: usize| all.get(index).cloned().unwrap_or_default();
        (0..input::BUTTONS)
            .map(|index| {
                (
                    of(&self.input.button_kinds, index),
                    of(&self.input.button_texts, index),
                    of(&self.input.button_urls, index),
                )
            })
            .collect()
    }

    /// Each variable with its sample.
    fn samples(&self) -> Vec<(String, String)> {
        let samples = self
            .input
            .samples
            .iter()
            .cloned()
            .chain(std::iter::repeat(String::new()));
        let variables = self.input.variables_of();
        variables
            .iter()
            .map(|key| label(&self.shell, key))
            .zip(samples)
            .collect()
    }

    /// Something can be shown beside the form.
    fn says_something(&self) -> bool {
        self.input.is_authentication() || !self.input.body.trim().is_empty()
    }
}

/// A draft as its form shows it.
pub fn stored(template: &Template) -> TemplateInput {
    let shape = template.shape();
    let column = |of: fn(&Button) -> &String| {
        shape
            .buttons
            .iter()
            .map(|button| of(button).clone())
            .collect()
    };
    let mut input = TemplateInput {
        account_id: template.account_id.to_string(),
        name: template.name.clone(),
        language: template.language.clone(),
        category: template.category.clone(),
        ..TemplateInput::default()
    };
    if let Some(code) = shape.code {
        let app = code.app.clone().unwrap_or_default();
        return TemplateInput {
            warns: code.warns.then(|| "true".to_owned()),
            minutes: code
                .minutes
                .map(|minutes| minutes.to_string())
                .unwrap_or_default(),
            code_button: if code.app.is_some() {
                "one_tap"
            } else {
                "copy_code"
            }
            .to_owned(),
            package: app.package,
            hash: app.hash,
            ..input
        };
    }
    input = TemplateInput {
        button_kinds: column(|button| &button.kind),
        button_texts: column(|button| &button.text),
        button_urls: column(|button| &button.url),
        header_type: shape.header_type,
        header: shape.header,
        media_id: template
            .media_id
            .map(|id| id.to_string())
            .unwrap_or_default(),
        body: shape.body,
        footer: shape.footer,
        ..input
    };
    let keys = input.variables_of();
    input.samples = keys
        .iter()
        .map(|key| shape.samples.get(key).cloned().unwrap_or_default())
        .collect();
    input
}

/// What is typed as far as it can be shown.
fn shown(input: &TemplateInput) -> Shape {
    if let Ok(draft) = (TemplateInput {
        account_id: "1".into(),
        ..input.clone()
    })
    .parse()
    {
        return draft.shape;
    }
    Shape {
        header_type: if input.has_file() {
            &input.header_type
        } else if input.own_header().is_empty() {
            "none"
        } else {
            "text"
        }
        .to_owned(),
        header: input.own_header().to_owned(),
        body: input.body.clone(),
        footer: input.footer.clone(),
        samples: input
            .variables_of()
            .into_iter()
            .zip(input.samples.clone())
            .collect(),
        ..Shape::default()
    }
}

/// Accounts at Meta of the person's company.
async fn account_choices(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
) -> Result<Vec<(i64, String)>> {
    let accounts = accounts::query::active(conn).await?;
    let own = |account: &Account| account.is_meta() && account.company_id == visit.company;
    Ok(accounts
        .into_iter()
        .filter(own)
        .map(|account| (account.id.0, account.name))
        .collect())
}

/// A template before anything is typed.
fn blank(visit: &Visit, accounts: &[(i64, String)]) -> TemplateInput {
    TemplateInput {
        account_id: match accounts {
            [(id, _)] => id.to_string(),
            _ => String::new(),
        },
        category: "marketing".to_owned(),
        language: visit.language.clone(),
        header_type: "none".to_owned(),
        code_button: "copy_code".to_owned(),
        warns: Some("true".to_owned()),
        minutes: "10".to_owned(),
        ..TemplateInput::default()
    }
}

/// The form: of a draft (`id`) or a new one; `typed` is what was typed, when it had faults.
pub(super) async fn render(
    visit: &Visit,
    id: Option<TemplateId>,
    typed: Option<TemplateInput>,
    mut errors: FieldErrors,
) -> WebResult {
    visit.require(Role::Administrator)?;
    let mut conn = visit.conn().await?;
    let template = match id {
        Some(id) => Some(query::find(&mut conn, id).await?),
        None => None,
    };
    let accounts = account_choices(visit, &mut conn).await?;
    let shell = visit.shell(Menu::Templates, &mut conn).await?;
    let history = match id {
        Some(id) => {
            let entries = audit::of(&mut conn, "templates", id.0).await?;
            history::events(&shell, "templates", entries)
        }
        None => Vec::new(),
    };
    let mut stand = Stand::default();
    if let Some(template) = &template {
        let (record, filled) = (("templates", template.id.0), stored(template));
        stand = Stand::of(visit, &mut conn, &shell, record, &filled, &mut errors).await?;
    }
    let input = typed.unwrap_or_else(|| match &template {
        Some(template) => stored(template),
        None => blank(visit, &accounts),
    });
    let sample = input.media_id.trim().parse().ok();
    let file = media::named(&mut conn, &shell, sample).await?;
    let shape = shown(&input);
    let status = stand.status(&errors);
    let page = FormPage {
        stand,
        bubble: bubble(&shape).under(file.clone().filter(|_| shape.has_file())),
        buttons: shape
            .buttons
            .into_iter()
            .map(|button| button.text)
            .collect(),
        file: FileField {
            shell: shell.clone(),
            file,
            errors: errors.clone(),
        },
        shell,
        template,
        input,
        errors,
        accounts,
        history,
    };
    Ok(html_with(status, page))
}

pub(super) async fn new(visit: Visit) -> WebResult {
    let typed = crate::web::kept::form(&visit).await?;
    render(&visit, None, typed, FieldErrors::default()).await
}

pub(super) async fn create(visit: Visit, payload: web::Payload) -> WebResult {
    let filled = multipart::read(&visit, payload).await?;
    saved(&visit, None, filled).await
}

pub(super) async fn update(visit: Visit, id: web::Path<i64>, payload: web::Payload) -> WebResult {
    let filled = multipart::read(&visit, payload).await?;
    saved(&visit, Some(TemplateId(*id)), filled).await
}

/// The fields, and whether the file is to be taken out of them.
fn typed(visit: &Visit, pairs: &[(String, String)]) -> Result<(TemplateInput, bool)> {
    let of = |wanted: &str| pairs.iter().find(|(name, _)| name == wanted);
    let body: String = url::form_urlencoded::Serializer::new(String::new())
        // A NUL cannot be stored, and nobody can type one.
        .extend_pairs(
            pairs
                .iter()
                .map(|(name, value)| (name, value.replace('\0', ""))),
        )
        .finish();
    let token = of("csrf").map_or("", |(_, token)| token.as_str());
    uploads_as(&visit.request, token, body.as_bytes());
    let input = serde_html_form::from_str(&body)
        .map_err(|_| Error::invalid("form", "The form could not be read."))?;
    Ok((
        input,
        of("then").is_some_and(|(_, then)| then == "remove_file"),
    ))
}

async fn saved(visit: &Visit, id: Option<TemplateId>, filled: Filled) -> WebResult {
    visit.require(Role::Administrator)?;
    let (mut input, removes) = typed(visit, &filled.pairs)?;
    if removes {
        input.media_id.clear();
        return render(visit, id, Some(input), FieldErrors::default()).await;
    }
    match store(visit, id, &mut input, filled).await {
        Ok(answer) => Ok(answer),
        Err(Error::Invalid(errors)) => render(visit, id, Some(input), errors).await,
        Err(other) => Err(other.into()),
    }
}

/// Keeps the file that came with the form, then the draft.
async fn store(
    visit: &Visit,
    id: Option<TemplateId>,
    input: &mut TemplateInput,
    filled: Filled,
) -> Result<HttpResponse> {
    if let Some(received) = filled.file.filter(|_| input.has_file()) {
        let kept = files::keep(&visit.app, visit.company, visit.user, received?).await?;
        input.media_id = kept.id.to_string();
    }
    save(visit, id, input).await
}

async fn save(
    visit: &Visit,
    id: Option<TemplateId>,
    input: &TemplateInput,
) -> Result<HttpResponse> {
    let draft = input.parse()?;
    let mut conn = visit.conn().await?;
    let account = accounts::owned(&mut conn, draft.account_id, visit.company).await?;
    if !account.is_meta() {
        return Err(Error::invalid(
            "account_id",
            "Choose the account at Meta it belongs to.",
        ));
    }
    sample_fits(&mut conn, &draft).await?;
    let (id, what) = match id {
        Some(id) => {
            audit::hold(&mut conn, "templates", id.0).await?;
            edit::unchanged(visit, &stored(&owned(visit, &mut conn, id).await?))?;
            if query::write(&mut conn, id, &draft)
                .await
                .map_err(input::name_taken)?
                == 0
            {
                return Err(Error::conflict(
                    "This template stands at Meta already and is changed there.",
                ));
            }
            (id, "written")
        }
        None => {
            if let Some(first) = visit.pressed_before(&mut conn).await? {
                return Ok(first);
            }
            let made = query::insert(&mut conn, visit.company, visit.user, &draft)
                .await
                .map_err(input::name_taken)?;
            (made, "created")
        }
    };
    noted(visit, &mut conn, id, what, None).await?;
    visit.tell("templates.saved");
    visit.goes_on(conn, href(id)).await
}

/// Whether the sample of the header is there and of a type that Meta's reviewers can open.
async fn sample_fits(conn: &mut AsyncPgConnection, draft: &TemplateDraft) -> Result<()> {
    let Some(id) = draft.media_id else {
        return Ok(());
    };
    let sample = files::for_header(conn, id, &draft.shape.header_type, "meta").await?;
    if SAMPLE_TYPES.contains(&sample.mime.as_str()) {
        Ok(())
    } else {
        Err(Error::invalid(
            "media_id",
            "As the sample of a header Meta takes JPEG, PNG, MP4 and PDF files only.",
        ))
    }
}
