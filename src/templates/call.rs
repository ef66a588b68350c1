//! A template with the values of a mailing: what Meta is asked for, and what people read.
//!
//! Invariant: both come from the same values, so that a preview never shows what is not sent.

use std::collections::BTreeMap;

use crate::gateways::meta::message::{ButtonValue, TemplateCall, Variable};
use crate::gateways::meta::templates::{CODE_BUTTON, Place, Shape, Slot, with_values};

use super::Template;

/// Place in the template (`body.1`) to a text, which may have placeholders.
pub type Values = BTreeMap<String, String>;

/// The request's part of a template, with the mailing's texts for its variables.
pub fn of(template: &Template, values: &Values) -> TemplateCall {
    let shape = template.shape();
    let mut call = TemplateCall {
        name: template.name.clone(),
        language: template.language.clone(),
        marketing: template.category == "marketing",
        ..TemplateCall::default()
    };
    for slot in shape.slots() {
        let text = values.get(&slot.key).cloned().unwrap_or_default();
        if slot.optional && text.trim().is_empty() {
            continue;
        }
        let name = slot.variable.clone().filter(|_| shape.named);
        match slot.place {
            Place::Header => call.header.push(Variable { name, text }),
            Place::Body => call.body.push(Variable { name, text }),
            Place::Button(index) => call.buttons.push(ButtonValue {
                index,
                kind: kind_of(&shape, index),
                text,
            }),
        }
    }
    for (index, button) in shape.buttons.iter().enumerate() {
        if button.kind == CODE_BUTTON {
            // It carries the code that stands in the text.
            let text = values.get("body.1").cloned().unwrap_or_default();
            let kind = "url".to_owned();
            call.buttons.push(ButtonValue { index, kind, text });
        }
    }
    if !shape.named {
        by_number(&shape, &mut call);
    }
    call
}

/// Meta counts positional values from 1, whatever order they stand in.
fn by_number(shape: &Shape, call: &mut TemplateCall) {
    let numbered = |place: Place, variables: &mut Vec<Variable>| {
        let slots = shape.slots();
        let mut pairs: Vec<(u32, Variable)> = slots
            .iter()
            .filter(|slot| slot.place == place)
            .map(|slot| {
                slot.variable
                    .as_deref()
                    .and_then(|name| name.parse().ok())
                    .unwrap_or(u32::MAX)
            })
            .zip(variables.drain(..))
            .collect();
        pairs.sort_by_key(|(number, _)| *number);
        variables.extend(pairs.into_iter().map(|(_, variable)| variable));
    };
    numbered(Place::Header, &mut call.header);
    numbered(Place::Body, &mut call.body);
}

fn kind_of(shape: &Shape, index: usize) -> String {
    shape
        .buttons
        .get(index)
        .map(|button| button.kind.clone())
        .unwrap_or_default()
}

/// Header and body as people read them, with the mailing's texts in their places; three dots where one is missing.
pub fn texts(shape: &Shape, values: &Values) -> (String, String) {
    let filled = |place: &str, text: &str| {
        with_values(text, |name| {
            let value = values
                .get(&format!("{place}.{name}"))
                .filter(|value| !value.trim().is_empty());
            // Braces would be read as a placeholder of ours.
            Some(value.cloned().unwrap_or_else(|| "…".to_owned()))
        })
    };
    let header = if shape.header_type == "text" {
        filled("header", &shape.header)
    } else {
        String::new()
    };
    (header, filled("body", &shape.body))
}

/// The places that have no value yet.
pub fn missing(shape: &Shape, values: &Values) -> Vec<Slot> {
    shape
        .slots()
        .into_iter()
        .filter(|slot| {
            let text = values.get(&slot.key);
            !slot.optional && text.is_none_or(|text| text.trim().is_empty())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(body: &str, named: bool) -> Template {
        let shape = Shape {
            named,
            header_type: "none".into(),
            body: body.into(),
            ..Shape::default()
        };
        let now = crate::clock::Clock::system().now();
        Template {
            id: crate::ids::TemplateId(1),
            company_id: crate::ids::CompanyId(1),
            account_id: crate::ids::AccountId(1),
            uid: "9".into(),
            name: "promo".into(),
            language: "id".into(),
            category: "marketing".into(),
            status: "approved".into(),
            quality: "none".into(),
            reason: None,
            shape: serde_json::to_value(shape).unwrap(),
            category_before: None,
            category_changed_at: None,
            media_id: None,
            active: true,
            created_at: now,
            updated_at: now,
            synced_at: None,
        }
    }

    #[test]
    fn positional_values_go_in_the_order_of_their_numbers() {
        let values: Values = [
            ("body.1".to_owned(), "one".to_owned()),
            ("body.2".to_owned(), "two".to_owned()),
        ]
        .into();
        let template = template("{{2}} before {{1}}", false);
        let call = of(&template, &values);
        let sent: Vec<&str> = call.texts().collect();
        assert_eq!(sent, ["one", "two"]);
        assert!(call.body.iter().all(|variable| variable.name.is_none()));
        assert_eq!(texts(&template.shape(), &values).1, "two before one");
    }

    #[test]
    fn named_values_keep_their_names_and_missing_ones_are_known() {
        let template = template("Hi {{first_name}}, {{code}}", true);
        let values: Values = [(
            "body.first_name".to_owned(),
            "{{contact.name|Kak}}".to_owned(),
        )]
        .into();
        let call = of(&template, &values);
        assert_eq!(call.body[0].name.as_deref(), Some("first_name"));
        let keys: Vec<String> = missing(&template.shape(), &values)
            .into_iter()
            .map(|slot| slot.key)
            .collect();
        assert_eq!(keys, ["body.code"]);
        assert_eq!(
            texts(&template.shape(), &values).1,
            "Hi {{contact.name|Kak}}, …"
        );
    }
}
