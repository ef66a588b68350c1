//! What people type about a new template, and what Meta takes.
//!
//! Invariant: every fault stands at its field, before Meta is asked; limits are Meta's (October 2026).

use std::collections::BTreeMap;

use crate::error::{Error, FieldErrors, Result, violated_constraint};
use crate::gateways::meta::templates::{App, Button, CODE_BUTTON, Code, Shape, variables};
use crate::ids::{AccountId, MediaId};

const NAME_MAX: usize = 512;
const HEADER_MAX: usize = 60;
const BODY_MAX: usize = 1024;
const FOOTER_MAX: usize = 60;
const BUTTON_MAX: usize = 25;
/// Buttons of one template here; Meta takes ten.
pub const BUTTONS: usize = 3;
/// For how long a code may hold.
const MINUTES_MAX: u8 = 90;

pub const CATEGORIES: [&str; 3] = ["marketing", "utility", AUTHENTICATION];
/// The category whose text Meta writes itself.
pub const AUTHENTICATION: &str = "authentication";

/// The form, as text.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct TemplateInput {
    pub account_id: String,
    pub name: String,
    pub language: String,
    pub category: String,
    /// none, text, image, video or document.
    pub header_type: String,
    pub header: String,
    /// The sample of a header that is a file.
    pub media_id: String,
    pub body: String,
    pub footer: String,
    /// The three of each button, in their order; one without a text is none.
    pub button_kinds: Vec<String>,
    pub button_texts: Vec<String>,
    pub button_urls: Vec<String>,
    /// Of the variables, in the order of [`TemplateInput::variables_of`].
    pub samples: Vec<String>,
    /// Of an authentication template: whether it warns not to share the code, for how long the code holds, and
    /// the app a press fills it into.
    pub warns: Option<String>,
    pub minutes: String,
    /// copy_code or one_tap.
    pub code_button: String,
    pub package: String,
    pub hash: String,
}

#[derive(Debug, Clone)]
pub struct TemplateDraft {
    pub account_id: AccountId,
    pub name: String,
    pub language: String,
    pub category: &'static str,
    pub media_id: Option<MediaId>,
    pub shape: Shape,
}

impl TemplateDraft {
    pub(super) fn shape_json(&self) -> serde_json::Value {
        serde_json::to_value(&self.shape).unwrap_or_default()
    }
}

impl TemplateInput {
    /// Every variable of the texts that needs a sample: place and name, each once.
    pub fn variables_of(&self) -> Vec<String> {
        let mut keys: Vec<String> = Vec::new();
        if self.is_authentication() {
            return keys;
        }
        for (place, text) in [("header", self.own_header()), ("body", self.body.as_str())] {
            for name in variables(text) {
                let key = format!("{place}.{name}");
                if !keys.contains(&key) {
                    keys.push(key);
                }
            }
        }
        keys
    }

    pub fn is_authentication(&self) -> bool {
        self.category == AUTHENTICATION
    }

    /// Its header is a file.
    pub fn has_file(&self) -> bool {
        matches!(self.header_type.as_str(), "image" | "video" | "document")
    }

    /// The text of the header, where it has one.
    pub fn own_header(&self) -> &str {
        match self.header_type.as_str() {
            "none" | "image" | "video" | "document" => "",
            _ => self.header.trim(),
        }
    }

    pub fn parse(&self) -> Result<TemplateDraft> {
        let mut errors = FieldErrors::default();
        let account_id = self.account_id.trim().parse().ok().map(AccountId);
        if account_id.is_none() {
            errors.add("account_id", "Choose the account at Meta it belongs to.");
        }
        let name = self.name.trim().to_lowercase().replace([' ', '-'], "_");
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        if name.is_empty() || !name.chars().all(is_name) || name.len() > NAME_MAX {
            errors.add("name", "The name has small letters, digits and underscores only, for example promo_december.");
        }
        let language = self.language.trim().to_owned();
        if !LANGUAGES.iter().any(|(code, _)| *code == language) {
            errors.add("language", "Choose the language it is written in.");
        }
        let category = CATEGORIES
            .iter()
            .find(|one| **one == self.category)
            .copied()
            .unwrap_or_else(|| {
                errors.add("category", "Choose Marketing, Utility or Authentication.");
                "marketing"
            });
        if self.is_authentication() {
            let code = self.code(&mut errors);
            let shape = code_shape(code);
            return errors.or(account_id.map(|account_id| TemplateDraft {
                account_id,
                name,
                language,
                category,
                media_id: None,
                shape,
            }));
        }
        let media_id = self.media(&mut errors);
        let header = self.own_header().to_owned();
        let body = self.body.trim().replace("\r\n", "\n");
        let footer = self.footer.trim().to_owned();
        limit(&header, HEADER_MAX, "header", &mut errors);
        limit(&body, BODY_MAX, "body", &mut errors);
        limit(&footer, FOOTER_MAX, "footer", &mut errors);
        if body.is_empty() {
            errors.add("body", "Write the text people get.");
        }
        texts(&header, &body, &footer, &mut errors);
        let samples = self.samples(&mut errors);
        let buttons = self.buttons(&mut errors);
        let shape = Shape {
            named: is_named(&body) || is_named(&header),
            header_type: if self.has_file() {
                self.header_type.clone()
            } else if header.is_empty() {
                "none".to_owned()
            } else {
                "text".to_owned()
            },
            header,
            body,
            footer,
            buttons,
            samples,
            code: None,
        };
        errors.or(account_id.map(|account_id| TemplateDraft {
            account_id,
            name,
            language,
            category,
            media_id,
            shape,
        }))
    }

    /// The sample of a header that is a file.
    fn media(&self, errors: &mut FieldErrors) -> Option<MediaId> {
        if !self.has_file() {
            return None;
        }
        let media = self.media_id.trim().parse().ok().map(MediaId);
        if media.is_none() {
            errors.add(
                "media_id",
                "Upload a sample of the header: Meta's reviewers want to see what stands there.",
            );
        }
        media
    }

    fn code(&self, errors: &mut FieldErrors) -> Code {
        let typed = self.minutes.trim();
        let minutes = typed.parse::<u8>().ok();
        let minutes = minutes.filter(|minutes| (1..=MINUTES_MAX).contains(minutes));
        if minutes.is_none() && !typed.is_empty() {
            errors.add("minutes", "A code holds from 1 to 90 minutes, a whole number; blank: the template does not say.");
        }
        Code {
            warns: self.warns.is_some(),
            minutes,
            app: (self.code_button == "one_tap").then(|| self.app(errors)),
        }
    }

    fn app(&self, errors: &mut FieldErrors) -> App {
        let package = self.package.trim().to_owned();
        let of_package = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
        if !package.contains('.') || !package.chars().all(of_package) {
            errors.add(
                "package",
                "Enter the package name of the Android app, for example com.example.shop.",
            );
        }
        let hash = self.hash.trim().to_owned();
        if hash.len() != 11 {
            errors.add("hash", "The signature hash of the app has 11 characters.");
        }
        App { package, hash }
    }

    fn samples(&self, errors: &mut FieldErrors) -> BTreeMap<String, String> {
        let given = self.samples.iter().map(|sample| sample.trim().to_owned());
        let samples: BTreeMap<String, String> =
            self.variables_of().into_iter().zip(given).collect();
        let without = self
            .variables_of()
            .iter()
            .any(|key| samples.get(key).is_none_or(String::is_empty));
        if without {
            errors.add(
                "samples",
                "Give every variable a sample: Meta's reviewers want to see what stands there.",
            );
        }
        samples
    }

    fn buttons(&self, errors: &mut FieldErrors) -> Vec<Button> {
        let mut buttons = Vec::new();
        for (index, text) in self.button_texts.iter().take(BUTTONS).enumerate() {
            let text = text.trim().to_owned();
            if text.is_empty() {
                continue;
            }
            limit(&text, BUTTON_MAX, "buttons", errors);
            if buttons.iter().any(|button: &Button| button.text == text) {
                errors.add(
                    "buttons",
                    "Two buttons have the same text. Give each its own.",
                );
            }
            let kind = self
                .button_kinds
                .get(index)
                .map_or("quick_reply", String::as_str);
            let address = self
                .button_urls
                .get(index)
                .map(|url| url.trim())
                .unwrap_or_default();
            let url = if kind == "url" {
                address.to_owned()
            } else {
                String::new()
            };
            if kind == "url" && !(url.starts_with("https://") || url.starts_with("http://")) {
                errors.add(
                    "buttons",
                    "Enter the address a button leads to, beginning with https://.",
                );
            }
            buttons.push(Button {
                kind: if kind == "url" { "url" } else { "quick_reply" }.to_owned(),
                text,
                url,
                phone: String::new(),
            });
        }
        buttons
    }
}

/// As Meta will write it, in English; the words of the language come with the next sync.
fn code_shape(code: Code) -> Shape {
    let mut body = "*{{1}}* is your verification code.".to_owned();
    if code.warns {
        body.push_str(" For your security, do not share this code.");
    }
    let footer = code.minutes.map(|minutes| match minutes {
        1 => "This code expires in 1 minute.".to_owned(),
        minutes => format!("This code expires in {minutes} minutes."),
    });
    Shape {
        header_type: "none".to_owned(),
        body,
        footer: footer.unwrap_or_default(),
        buttons: vec![Button {
            kind: CODE_BUTTON.to_owned(),
            text: "Copy code".to_owned(),
            ..Button::default()
        }],
        samples: BTreeMap::from([("body.1".to_owned(), "123456".to_owned())]),
        code: Some(code),
        ..Shape::default()
    }
}

/// Two of one name and language meet in the constraint.
pub fn name_taken(error: diesel::result::Error) -> Error {
    match violated_constraint(&error) {
        Some("templates_name_unique") => Error::invalid(
            "name",
            "This account has a template of this name and language already. Choose another name.",
        ),
        _ => error.into(),
    }
}

fn is_named(text: &str) -> bool {
    variables(text)
        .iter()
        .any(|name| name.parse::<u32>().is_err())
}

fn limit(text: &str, most: usize, field: &str, errors: &mut FieldErrors) {
    let length = text.chars().count();
    if length > most {
        errors.add(
            field,
            format!("This is {length} characters long. WhatsApp takes {most}."),
        );
    }
}

/// What Meta refuses about variables.
fn texts(header: &str, body: &str, footer: &str, errors: &mut FieldErrors) {
    if variables(header).len() > 1 {
        errors.add("header", "A header takes one variable at most.");
    }
    if !variables(footer).is_empty() {
        errors.add("footer", "A footer takes no variables.");
    }
    let names = variables(body);
    let numbers: Vec<u32> = names.iter().filter_map(|name| name.parse().ok()).collect();
    if !numbers.is_empty() && numbers.len() != names.len() {
        errors.add("body", "Use numbers or names for variables, not both.");
    }
    let most = numbers.iter().copied().max().unwrap_or(0);
    if (1..=most).any(|number| !numbers.contains(&number)) {
        errors.add("body", "Number the variables from 1 on, without gaps.");
    }
    let small = |name: &String| {
        name.chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    if !names.iter().all(small) {
        errors.add(
            "body",
            "Names of variables have small letters, digits and underscores only.",
        );
    }
    if body.starts_with("{{") || body.ends_with("}}") {
        errors.add(
            "body",
            "Meta refuses a text that begins or ends with a variable. Write a word around it.",
        );
    }
    if body.contains("}}{{") {
        errors.add(
            "body",
            "Meta refuses two variables side by side. Write a word between them.",
        );
    }
}

/// Meta's languages that people here write in first, then the others by their code.
pub const LANGUAGES: &[(&str, &str)] = &[
    ("id", "Indonesia"),
    ("en", "English"),
    ("en_US", "English (US)"),
    ("en_GB", "English (UK)"),
    ("ms", "Melayu"),
    ("ar", "العربية"),
    ("bn", "বাংলা"),
    ("de", "Deutsch"),
    ("es", "Español"),
    ("es_MX", "Español (MEX)"),
    ("fa", "فارسی"),
    ("fil", "Filipino"),
    ("fr", "Français"),
    ("he", "עברית"),
    ("hi", "हिन्दी"),
    ("it", "Italiano"),
    ("ja", "日本語"),
    ("ko", "한국어"),
    ("nl", "Nederlands"),
    ("pl", "Polski"),
    ("pt_BR", "Português (BR)"),
    ("pt_PT", "Português (POR)"),
    ("ru", "Русский"),
    ("th", "ไทย"),
    ("tr", "Türkçe"),
    ("uk", "Українська"),
    ("ur", "اردو"),
    ("vi", "Tiếng Việt"),
    ("zh_CN", "中文 (简体)"),
    ("zh_TW", "中文 (繁體)"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn input() -> TemplateInput {
        TemplateInput {
            account_id: "1".into(),
            name: "Promo December".into(),
            language: "id".into(),
            category: "marketing".into(),
            body: "Halo {{1}}, diskon {{2}} hari ini".into(),
            samples: vec!["Siti".into(), "10 %".into()],
            ..TemplateInput::default()
        }
    }

    #[test]
    fn a_name_becomes_what_meta_takes_and_samples_find_their_variables() {
        let draft = input().parse().unwrap();
        assert_eq!(draft.name, "promo_december");
        assert_eq!(draft.shape.samples["body.2"], "10 %");
        assert!(!draft.shape.named);
    }

    #[test]
    fn an_authentication_template_has_no_text_of_its_own() {
        let mut input = TemplateInput {
            category: "authentication".into(),
            body: String::new(),
            minutes: "10".into(),
            warns: Some("true".into()),
            code_button: "one_tap".into(),
            package: "com.example.shop".into(),
            hash: "K8a/AINcGX7".into(),
            ..input()
        };
        let draft = input.parse().unwrap();
        assert_eq!(draft.shape.footer, "This code expires in 10 minutes.");
        assert_eq!(draft.shape.slots().len(), 1);
        input.minutes = "91".into();
        input.hash = "short".into();
        let Err(Error::Invalid(errors)) = input.parse() else {
            panic!("91 minutes are too many");
        };
        assert_eq!(
            errors.0.into_keys().collect::<Vec<_>>(),
            ["hash", "minutes"]
        );
    }

    #[test]
    fn a_header_that_is_a_file_needs_its_sample() {
        let mut input = TemplateInput {
            header_type: "image".into(),
            header: "{{1}}".into(),
            ..input()
        };
        let Err(Error::Invalid(errors)) = input.parse() else {
            panic!("there is no sample");
        };
        assert_eq!(errors.0.into_keys().collect::<Vec<_>>(), ["media_id"]);
        input.media_id = "7".into();
        let draft = input.parse().unwrap();
        assert_eq!(draft.media_id, Some(MediaId(7)));
        assert_eq!(
            (
                draft.shape.header_type.as_str(),
                draft.shape.header.as_str()
            ),
            ("image", "")
        );
    }

    #[test]
    fn what_meta_would_refuse_is_said_before_it_is_asked() {
        let faults = |change: fn(&mut TemplateInput)| {
            let mut input = input();
            change(&mut input);
            match input.parse() {
                Err(Error::Invalid(errors)) => errors.0.into_keys().collect::<Vec<_>>(),
                _ => Vec::new(),
            }
        };
        assert_eq!(
            faults(|input| input.body = "Halo {{1}} dan {{3}} ya".into()),
            ["body"]
        );
        assert_eq!(
            faults(|input| input.body = "{{1}} dan {{2}} ya".into()),
            ["body"]
        );
        assert_eq!(
            faults(|input| input.samples = vec!["Siti".into()]),
            ["samples"]
        );
        assert_eq!(
            faults(|input| input.footer = "Hai {{1}}".into()),
            ["footer"]
        );
        assert_eq!(faults(|input| input.name = "Promo!".into()), ["name"]);
        assert_eq!(
            faults(|input| {
                input.button_texts = vec!["Toko".into()];
                input.button_kinds = vec!["url".into()];
            }),
            ["buttons"]
        );
    }
}
