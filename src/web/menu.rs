//! The menu on one page: every entry, where it leads, who sees it, and whether its page exists yet.

use crate::auth::Role;

/// A top menu; the current one is lit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Menu {
    /// Pages outside the menu: preferences, sign-in, errors.
    #[default]
    None,
    Broadcasts,
    Contacts,
    Templates,
    Reporting,
    Configuration,
    Technical,
}

impl Menu {
    pub const ALL: [Self; 6] = [
        Self::Broadcasts,
        Self::Contacts,
        Self::Templates,
        Self::Reporting,
        Self::Configuration,
        Self::Technical,
    ];

    /// The label's key in the catalogue.
    pub fn label(self) -> &'static str {
        match self {
            Self::None => "app.name",
            Self::Broadcasts => "menu.broadcasts",
            Self::Contacts => "menu.contacts",
            Self::Templates => "menu.templates",
            Self::Reporting => "menu.reporting",
            Self::Configuration => "menu.configuration",
            Self::Technical => "menu.technical",
        }
    }
}

/// One line of a menu.
#[derive(Debug)]
pub struct Entry {
    pub menu: Menu,
    /// The label's key in the catalogue.
    pub label: &'static str,
    pub href: &'static str,
    /// Who sees it: this role and those above.
    pub role: Role,
    /// Whether the page exists; an entry without a page is not shown.
    pub built: bool,
}

const fn entry(
    menu: Menu,
    label: &'static str,
    href: &'static str,
    role: Role,
    built: bool,
) -> Entry {
    Entry {
        menu,
        label,
        href,
        role,
        built,
    }
}

use Menu::{Broadcasts, Configuration, Contacts, Reporting, Technical, Templates};
use Role::{Administrator, User};

#[rustfmt::skip]
pub const ENTRIES: &[Entry] = &[
    entry(Broadcasts,    "menu.mailings",         "/mailings",          User,          true),
    entry(Broadcasts,    "menu.logs",             "/logs",              User,          true),
    entry(Contacts,      "menu.lists",            "/lists",             User,          true),
    entry(Contacts,      "menu.segments",         "/segments",          User,          false),
    entry(Contacts,      "menu.recipients",       "/contacts",          User,          true),
    entry(Contacts,      "menu.incoming",         "/incoming",          User,          true),
    entry(Contacts,      "menu.outgoing",         "/outgoing",          User,          true),
    entry(Templates,     "menu.templates",        "/templates",         User,          true),
    entry(Reporting,     "menu.mailing_analysis", "/reports/mailings",  User,          false),
    entry(Reporting,     "menu.message_analysis", "/reports/messages",  User,          false),
    entry(Reporting,     "menu.optout_report",    "/reports/opt-outs",  User,          false),
    entry(Configuration, "menu.accounts",         "/accounts",          Administrator, true),
    entry(Configuration, "menu.rates",            "/rates",             Administrator, true),
    entry(Configuration, "menu.jobs",             "/jobs",              Administrator, true),
    entry(Configuration, "menu.users",            "/users",             Administrator, true),
    entry(Configuration, "menu.companies",        "/companies",         Administrator, true),
    entry(Configuration, "menu.tags",             "/tags",              Administrator, false),
    entry(Configuration, "menu.optout_words",     "/opt-out-words",     Administrator, false),
    entry(Configuration, "menu.optout_reasons",   "/opt-out-reasons",   Administrator, false),
    entry(Configuration, "menu.blacklist",        "/blacklist",         Administrator, false),
    entry(Configuration, "menu.settings",         "/settings",          Administrator, false),
    entry(Technical,     "menu.queue",            "/queue",             Administrator, false),
    entry(Technical,     "menu.webhook_log",      "/webhook-log",       Administrator, true),
    entry(Technical,     "menu.gateway_log",      "/gateway-log",       Administrator, true),
    entry(Technical,     "menu.audit_log",        "/audit-log",         Administrator, false),
    entry(Technical,     "menu.tokens",           "/tokens",            Administrator, true),
    entry(Technical,     "menu.instances",        "/instances",         Administrator, true),
];

/// The entries of one menu that `role` sees.
pub fn visible(menu: Menu, role: Role) -> impl Iterator<Item = &'static Entry> {
    ENTRIES
        .iter()
        .filter(move |entry| entry.menu == menu && entry.built && role >= entry.role)
}

/// Whether `path` is the entry's page or one below it.
pub fn is_current(entry: &Entry, path: &str) -> bool {
    path.strip_prefix(entry.href)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn menu_a_user_sees_neither_configuration_nor_technical() {
        assert_eq!(visible(Configuration, User).count(), 0);
        assert_eq!(visible(Technical, Role::Manager).count(), 0);
        assert!(visible(Technical, Administrator).count() > 0);
    }

    #[test]
    fn menu_a_page_below_an_entry_lights_only_that_entry() {
        let lit: Vec<_> = ENTRIES
            .iter()
            .filter(|entry| is_current(entry, "/lists/7?tab=members"))
            .map(|entry| entry.href)
            .collect();
        assert_eq!(lit, ["/lists"]);
    }
}
