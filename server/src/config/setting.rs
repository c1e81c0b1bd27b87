//! The description of a setting, for users who write a configuration and for the check of names and types.
//!
//! Settings are declared in `file`, numbers in `limits`. This module knows none of them.

use std::borrow::Cow;

/// A section of the file with its settings.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    /// The name in brackets, with dots between its parts; "" for the settings before all sections.
    pub(crate) name: &'static str,
    /// Its description, in lines of one or two sentences.
    pub(crate) about: &'static [&'static str],
    /// Its settings, in the order of the file.
    pub(crate) settings: Vec<Setting>,
    /// An example of one table, for a section that can appear several times; empty for other sections.
    pub(crate) example: &'static str,
}

impl Section {
    /// Whether it may appear several times, as `[[name]]`.
    #[must_use]
    pub(crate) fn is_repeated(&self) -> bool {
        !self.example.is_empty()
    }

    /// Its header in the file: `[name]` or `[[name]]`; "" for the settings before all sections.
    #[must_use]
    pub(crate) fn header(&self) -> String {
        match (self.name, self.is_repeated()) {
            ("", _) => String::new(),
            (name, false) => format!("[{name}]"),
            (name, true) => format!("[[{name}]]"),
        }
    }

    /// The full name of one of its settings: `listen.address`.
    #[must_use]
    pub(crate) fn full_name(&self, setting: &Setting) -> String {
        if self.name.is_empty() { setting.name.to_owned() } else { format!("{}.{}", self.name, setting.name) }
    }

    /// Its parent table, if any, and its name in that table.
    pub(super) fn parent_and_name(&self) -> (Option<&'static str>, &'static str) {
        match self.name.rsplit_once('.') {
            Some((parent, name)) => (Some(parent), name),
            None => (None, self.name),
        }
    }
}

/// One setting.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    /// Its name in the section.
    pub(crate) name: &'static str,
    /// The type of its value.
    pub(crate) kind: Kind,
    /// The valid values.
    pub(crate) range: Cow<'static, str>,
    /// The unit of a number; "" for other types.
    pub(crate) unit: &'static str,
    /// The behavior if it isn't set.
    pub(crate) if_unset: IfUnset,
    /// When a change takes effect.
    pub(crate) takes_effect: TakesEffect,
    /// Its description, and the reason for its default, in lines of one or two sentences.
    pub(crate) doc: &'static [&'static str],
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A file or folder.
    Path,
    /// Text.
    Text,
    /// Several texts.
    Texts,
    /// A whole number.
    Integer,
    /// true or false.
    Boolean,
}

/// The behavior if a setting isn't set. Values are in TOML.
#[derive(Clone, Debug)]
pub(crate) enum IfUnset {
    /// It must be set.
    Required,
    /// It has no default. The text is an example of a value.
    Optional(&'static str),
    /// This value is the default.
    Default(Cow<'static, str>),
}

/// When a change of a setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TakesEffect {
    /// When the server starts.
    AtStart,
    /// When the server starts or reloads its configuration: at SIGHUP, or automatically some seconds after a change.
    AtReload,
}

impl Kind {
    /// Its name in the reference.
    #[must_use]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Path => "path",
            Kind::Text => "text",
            Kind::Texts => "list of texts",
            Kind::Integer => "integer",
            Kind::Boolean => "boolean",
        }
    }
}
