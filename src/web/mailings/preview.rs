//! Beside the form: what would happen, and how the message reads for one of the people.
//!
//! Invariant: nothing is written. The posted form is stored inside a transaction that is never
//! committed, so the figures are those of the release itself.

use askama::Template;
use askama::filters::HtmlSafe;
use diesel::OptionalExtension as _;
use diesel_async::AsyncPgConnection;

use super::input::lenient;
use super::may;
use crate::error::{Error, Result};
use crate::gateways::meta::templates::Button;
use crate::ids::{ContactId, MailingId, TemplateId};
use crate::mailings::list::Sample;
use crate::mailings::preflight::{self, Preflight};
use crate::mailings::{self, Mailing, MailingInput, State, list};
use crate::media::Kind;
use crate::text::markup::{Span, to_spans};
use crate::text::merge::{self, Parts, Values};
use crate::web::media::{self, Named};
use crate::web::page::Shell;
use crate::web::pieces::Icon;
use crate::web::rates;
use crate::web::visit::Visit;
use crate::{accounts, contacts, templates};

/// Around every value that was filled in; texts never hold these.
const OPEN: char = '\u{e000}';
const CLOSE: char = '\u{e001}';
/// People one can choose to read as.
const SAMPLES: i64 = 200;

/// A stretch of a line; `filled`: a value stands here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bit {
    pub span: Span,
    pub filled: bool,
}

/// The bubble of a phone.
#[derive(Debug, Clone, Default, Template)]
#[template(path = "mailings/bubble.html")]
pub struct Bubble {
    /// The file over the text.
    pub file: Option<Named>,
    pub lines: Vec<Vec<Bit>>,
    /// Under the bubble, where a template brings them.
    pub buttons: Vec<Button>,
}

impl HtmlSafe for Bubble {}

impl Bubble {
    /// A text as WhatsApp shows it.
    pub fn of(text: &str) -> Self {
        let mut filled = false;
        let lines = to_spans(text)
            .into_iter()
            .map(|line| {
                line.into_iter()
                    .flat_map(|span| bits(&span, &mut filled))
                    .collect()
            })
            .collect();
        Self {
            file: None,
            lines,
            buttons: Vec::new(),
        }
    }

    /// The same under a file.
    pub fn under(self, file: Option<Named>) -> Self {
        Self { file, ..self }
    }

    /// The same with buttons.
    pub fn above(self, buttons: Vec<Button>) -> Self {
        Self { buttons, ..self }
    }

    /// Nothing stands under the file.
    fn is_bare(&self) -> bool {
        self.file.is_some() && self.lines.iter().all(Vec::is_empty)
    }
}

/// A span cut where values begin and end.
fn bits(span: &Span, filled: &mut bool) -> Vec<Bit> {
    let mut bits = Vec::new();
    for piece in span.text.split_inclusive([OPEN, CLOSE]) {
        let text = piece.trim_end_matches([OPEN, CLOSE]);
        if !text.is_empty() {
            let span = Span {
                text: text.to_owned(),
                ..span.clone()
            };
            bits.push(Bit {
                span,
                filled: *filled,
            });
        }
        match piece.chars().next_back() {
            Some(OPEN) => *filled = true,
            Some(CLOSE) => *filled = false,
            _ => {}
        }
    }
    bits
}

/// The buttons of a template; none without one.
pub async fn buttons(
    conn: &mut AsyncPgConnection,
    template: Option<TemplateId>,
) -> Result<Vec<Button>> {
    let Some(id) = template else {
        return Ok(Vec::new());
    };
    let found = templates::query::find(conn, id).await.optional()?;
    Ok(found
        .map(|template| template.shape().buttons)
        .unwrap_or_default())
}

/// The message with the places of its values marked.
pub fn marked(parts: &Parts, values: &Values) -> Bubble {
    let clean = |text: &str| text.replace([OPEN, CLOSE], "");
    let values: Values = values
        .iter()
        .filter(|(_, value)| !value.trim().is_empty())
        .map(|(name, value)| {
            (
                name.clone(),
                format!("{OPEN}{}{CLOSE}", clean(value.trim())),
            )
        })
        .collect();
    let parts = Parts {
        subject: clean(&parts.subject),
        header: clean(&parts.header),
        message: clean(&parts.message),
        footer: clean(&parts.footer),
    };
    Bubble::of(&merge::compose(&parts, &values))
}

/// The message for nobody yet: every placeholder stands as it is written, marked.
pub fn written(parts: &Parts) -> Bubble {
    let texts = [&parts.subject, &parts.header, &parts.message, &parts.footer];
    let values: Values = texts
        .into_iter()
        .flat_map(|text| {
            merge::Template::parse(text)
                .placeholders()
                .map(|placeholder| placeholder.name.clone())
                .collect::<Vec<_>>()
        })
        .map(|name| (name.clone(), format!("{{{{{name}}}}}")))
        .collect();
    marked(parts, &values)
}

/// The texts of a stored mailing.
pub fn parts(mailing: &Mailing) -> Parts {
    let header = if mailing.header_type == "text" {
        mailing.header.clone()
    } else {
        String::new()
    };
    Parts {
        subject: mailing.subject.clone(),
        header,
        message: mailing.message.clone(),
        footer: mailing.footer.clone(),
    }
}

/// Pre-flight and preview, as the page holds them and as the live check answers them.
#[derive(Debug, Clone, Template)]
#[template(path = "mailings/aside.html")]
pub struct Aside {
    pub shell: Shell,
    pub preflight: Option<Preflight>,
    /// What Meta would charge, and by what; empty where it does not send through Meta.
    pub cost: String,
    pub cost_more: String,
    /// That Meta moved the template to another category, and what it costs now.
    pub moved: String,
    /// What stands in the way, as sentences: why there are no figures yet, or why it cannot begin.
    pub obstacles: Vec<String>,
    /// Per cent of the bar.
    pub share: f64,
    /// "29 min".
    pub takes: String,
    pub starts: String,
    pub account: String,
    pub samples: Vec<Sample>,
    /// What the people one can choose are searched by.
    pub words: String,
    pub chosen: Option<ContactId>,
    pub bubble: Bubble,
    /// Without a form beside it, choosing a person asks for this address; empty beside the form.
    pub asks: String,
}

impl HtmlSafe for Aside {}

impl Aside {
    fn empty(shell: &Shell) -> Self {
        Self {
            shell: shell.clone(),
            preflight: None,
            cost: String::new(),
            cost_more: String::new(),
            moved: String::new(),
            obstacles: Vec::new(),
            share: 0.0,
            takes: String::new(),
            starts: String::new(),
            account: String::new(),
            samples: Vec::new(),
            words: String::new(),
            chosen: None,
            bubble: Bubble::default(),
            asks: String::new(),
        }
    }

    /// Whether one searches for the person to read as: there are many, or somebody searches already.
    fn searches(&self) -> bool {
        self.cut() || !self.words.is_empty()
    }

    /// There may be more people than one can choose here.
    fn cut(&self) -> bool {
        i64::try_from(self.samples.len()).is_ok_and(|shown| shown >= SAMPLES)
    }

    fn is_chosen(&self, sample: &Sample) -> bool {
        self.chosen == Some(sample.contact_id)
    }
}

/// What the form would lead to, without storing it.
pub async fn of_form(
    visit: &Visit,
    shell: &Shell,
    id: Option<MailingId>,
    input: &MailingInput,
    contact: Option<ContactId>,
    words: &str,
) -> Result<Aside> {
    let mut conn = visit.conn().await?;
    let file = file_of(&mut conn, shell, input).await?;
    let template = input.template_id.parse().ok().map(TemplateId);
    let buttons = buttons(&mut conn, template).await?;
    let draft = match lenient(input).parse(visit.zone) {
        Ok(draft) => draft,
        Err(error) => return without(shell, error, input, file, buttons),
    };
    let (company, user) = (visit.company, visit.user);
    let stored = match id {
        Some(id) => mailings::update(&mut conn, company, user, id, &draft).await,
        None => mailings::create(&mut conn, company, user, &draft).await,
    };
    let mailing = match stored {
        Ok(mailing) => mailing,
        Err(error) => return without(shell, error, input, file, buttons),
    };
    let mut aside = of_stored(visit, &mut conn, shell, &mailing, contact, words).await?;
    aside.starts = mailings::input::instant(&input.schedule_date, visit.zone)
        .ok()
        .flatten()
        .map(|date| shell.date(&date))
        .unwrap_or_default();
    // The connection is dropped here: nothing of it stays.
    Ok(aside)
}

/// The faults instead of figures, and the message without values.
fn without(
    shell: &Shell,
    error: Error,
    input: &MailingInput,
    file: Option<Named>,
    buttons: Vec<Button>,
) -> Result<Aside> {
    let Error::Invalid(faults) = error else {
        return Err(error);
    };
    let parts = Parts {
        subject: input.subject.clone(),
        header: if input.header_type == "text" {
            input.header.clone()
        } else {
            String::new()
        },
        message: input.message.clone(),
        footer: input.footer.clone(),
    };
    Ok(Aside {
        obstacles: faults.0.into_values().flatten().collect(),
        bubble: written(&parts).under(file).above(buttons),
        ..Aside::empty(shell)
    })
}

/// The file that stands in the form.
async fn file_of(
    conn: &mut AsyncPgConnection,
    shell: &Shell,
    input: &MailingInput,
) -> Result<Option<Named>> {
    let wanted = Kind::parse(&input.header_type).is_some();
    media::named(conn, shell, input.media_id.parse().ok().filter(|_| wanted)).await
}

/// The figures of a mailing as it stands in `conn`.
pub async fn of_stored(
    visit: &Visit,
    conn: &mut AsyncPgConnection,
    shell: &Shell,
    mailing: &Mailing,
    contact: Option<ContactId>,
    words: &str,
) -> Result<Aside> {
    let file = media::named(conn, shell, mailing.media_id).await?;
    let buttons = buttons(conn, mailing.template_id).await?;
    let account = match accounts::query::find(conn, mailing.account_id).await {
        Ok(account) => account,
        Err(diesel::result::Error::NotFound) => {
            return Ok(Aside {
                obstacles: vec![shell.t("mailings.account_gone")],
                bubble: written(&parts(mailing)).under(file).above(buttons),
                ..Aside::empty(shell)
            });
        }
        Err(other) => return Err(other.into()),
    };
    // What is on its way goes whoever looks; of the rest they are told before they press a button.
    let begins = matches!(mailing.state(), State::Draft | State::Missed) && may(visit, mailing);
    let obstacle = if begins {
        accounts::obstacle(conn, mailing.account_id, visit.user).await?
    } else {
        None
    };
    let preflight = preflight::run(conn, mailing, shell.now).await?;
    let samples = list::samples(conn, mailing.id, contact, words, SAMPLES).await?;
    let sample = samples
        .iter()
        .find(|sample| Some(sample.contact_id) == contact)
        .or(samples.first());
    let values = match sample {
        Some(sample) => values(conn, sample).await?,
        None => Values::new(),
    };
    let people = preflight.people();
    #[expect(clippy::cast_precision_loss, reason = "the width of a bar")]
    let share = if people > 0 {
        100.0 * preflight.will_send as f64 / people as f64
    } else {
        0.0
    };
    let (cost, cost_more) = preflight
        .cost
        .as_ref()
        .map(|estimate| rates::estimated(shell, estimate))
        .unwrap_or_default();
    let moved = preflight
        .cost
        .as_ref()
        .zip(preflight.category_change.as_ref());
    Ok(Aside {
        moved: moved
            .map(|(estimate, change)| rates::moved(shell, estimate, change))
            .unwrap_or_default(),
        cost,
        cost_more,
        share,
        takes: duration(shell, preflight.estimated_seconds),
        starts: mailing
            .schedule_date
            .map(|date| shell.date(&date))
            .unwrap_or_default(),
        account: account.name,
        chosen: sample.map(|sample| sample.contact_id),
        bubble: marked(&parts(mailing), &values).under(file).above(buttons),
        preflight: Some(preflight),
        obstacles: obstacle.into_iter().collect(),
        words: words.to_owned(),
        samples,
        ..Aside::empty(shell)
    })
}

/// Every placeholder's value for one of the audience.
pub async fn values(conn: &mut AsyncPgConnection, sample: &Sample) -> Result<Values> {
    let contact = contacts::query::find(conn, sample.contact_id).await?;
    let mut values = contact.values();
    values.insert("mailingList.name".to_owned(), sample.list.clone());
    Ok(values)
}

/// Seconds in words: "under a minute", "29 min", "2 h 57 min".
pub fn duration(shell: &Shell, seconds: i64) -> String {
    let minutes = (seconds + 30) / 60;
    match (minutes / 60, minutes % 60) {
        (0, 0) => shell.t("mailings.moment"),
        (0, minutes) => shell.tf("mailings.minutes", &[minutes.to_string()]),
        (hours, minutes) => shell.tf(
            "mailings.hours",
            &[shell.number(hours), minutes.to_string()],
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_for_nobody_shows_its_placeholders() {
        let parts = Parts {
            message: "Halo {{contact.full_name|Kak}}".into(),
            ..Parts::default()
        };
        let bubble = written(&parts);
        let last = bubble.lines[0].last().unwrap();
        assert!(last.filled, "{bubble:?}");
        assert_eq!(last.span.text, "{{contact.full_name}}");
    }

    #[test]
    fn a_filled_value_is_marked_inside_bold() {
        let parts = Parts {
            message: "Poin *{{contact.points}}* untuk {{contact.name|Kak}}".into(),
            ..Parts::default()
        };
        let values: Values = [("contact.points".to_owned(), "340".to_owned())].into();
        let bubble = marked(&parts, &values);
        let filled: Vec<_> = bubble.lines[0].iter().filter(|bit| bit.filled).collect();
        assert_eq!(filled.len(), 1, "{bubble:?}");
        assert_eq!(filled[0].span.text, "340");
        assert!(filled[0].span.bold);
        let text: String = bubble.lines[0]
            .iter()
            .map(|bit| bit.span.text.as_str())
            .collect();
        assert_eq!(text, "Poin 340 untuk Kak");
    }
}
