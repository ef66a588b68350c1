//! What a template's form is filled with, and how what is typed is shown beside it.

use crate::gateways::meta::templates::{Button, Shape};
use crate::templates::{Template, TemplateInput};

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
        button_kinds: column(|button| &button.kind),
        button_texts: column(|button| &button.text),
        button_urls: column(|button| &button.url),
        header: shape.header,
        body: shape.body,
        footer: shape.footer,
        samples: Vec::new(),
    };
    let keys = input.variables_of();
    input.samples = keys
        .iter()
        .map(|key| shape.samples.get(key).cloned().unwrap_or_default())
        .collect();
    input
}

/// What is typed as far as it can be shown.
pub fn shown(input: &TemplateInput) -> Shape {
    if let Ok(draft) = (TemplateInput {
        account_id: "1".into(),
        ..input.clone()
    })
    .parse()
    {
        return draft.shape;
    }
    Shape {
        header_type: if input.header.is_empty() {
            "none"
        } else {
            "text"
        }
        .to_owned(),
        header: input.header.clone(),
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
