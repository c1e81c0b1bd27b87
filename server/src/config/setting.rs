//! What is told about a setting: to those who write a configuration, and to what checks its names and types.
//!
//! Settings are declared in `file`, numbers in `limits`. Nothing here knows which there are.

use std::borrow::Cow;

/// A section of the file with its settings.
#[derive(Clone, Debug)]
pub struct Section {
    /// The name in brackets; "" for what stands before all sections.
    pub name: &'static str,
    /// What it is about: a sentence or two a line.
    pub about: &'static [&'static str],
    /// Its settings, in the order of the file.
    pub settings: Vec<Setting>,
    /// Of a section that can be there several times, what one of them says. Empty: it is there once.
    pub example: &'static str,
}

impl Section {
    /// Whether it may stand there many times, as `[[name]]`.
    #[must_use]
    pub fn is_repeated(&self) -> bool {
        !self.example.is_empty()
    }
}

/// One setting.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Its name in the section.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// Which values are taken.
    pub range: Cow<'static, str>,
    /// What a number counts; "" for what is no number.
    pub unit: &'static str,
    /// What holds when nothing is said.
    pub otherwise: Otherwise,
    /// When a change takes effect.
    pub taken_up: TakenUp,
    /// What it is, and why it is what it is: a sentence or two a line.
    pub doc: &'static [&'static str],
}

/// The type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A file or folder.
    Path,
    /// Several of them.
    Paths,
    /// Text.
    Text,
    /// Several texts.
    Texts,
    /// A whole number.
    Integer,
    /// true or false.
    Boolean,
}

/// What holds when a setting isn't given. Values are spelled in TOML.
#[derive(Clone, Debug)]
pub enum Otherwise {
    /// Nothing does: it has to be given.
    Required,
    /// Nothing does, and nothing has to. An example of a value.
    Nothing(&'static str),
    /// This.
    Is(Cow<'static, str>),
}

/// When a change of a setting takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenUp {
    /// When the server starts.
    AtStart,
    /// While the server runs, too: when it is told to reload (SIGHUP), or by itself soon after.
    AtReload,
}

impl Kind {
    /// As people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Path => "path",
            Kind::Paths => "list of paths",
            Kind::Text => "text",
            Kind::Texts => "list of texts",
            Kind::Integer => "integer",
            Kind::Boolean => "boolean",
        }
    }
}
