//! A configuration file that lists and explains every setting, for users to edit.
//!
//! The given settings have values. Every other setting is a comment that shows its default. Nothing here knows files.

use std::fmt::Write;

use toml::Value;

use super::{
    check::ALL_ORGANIZATIONS,
    file::sections,
    setting::{IfUnset, Kind, Section, Setting},
};

/// The content of a new configuration. Paths are relative to its folder.
#[derive(Clone, Debug)]
pub(crate) struct Template<'a> {
    /// The first line: the purpose of the file.
    pub(crate) title: &'a str,
    /// Settings with values, for example `tls.key`. They include all required settings.
    pub(crate) given: &'a [(&'a str, Value)],
    /// The tables of sections that can appear several times, for example `bindings`.
    pub(crate) tables: &'a [Table<'a>],
}

/// A table of a section that can appear several times: the section's name, and its settings.
pub(crate) type Table<'a> = (&'a str, Vec<(&'a str, Value)>);

/// A binding in all organizations, for [`Template::tables`].
#[must_use]
pub(crate) fn binding(identity: &str, role: &str) -> Table<'static> {
    let settings =
        vec![("identity", identity.into()), ("role", role.into()), ("organizations", vec![ALL_ORGANIZATIONS].into())];
    ("bindings", settings)
}

/// The source of a root key that is in a file, for [`Template::tables`].
#[must_use]
pub(crate) fn root_key_file(path: &str) -> Table<'static> {
    ("root_key.sources", vec![("type", "file".into()), ("path", path.into())])
}

/// The source of a root key that is a credential, for [`Template::tables`].
#[must_use]
pub(crate) fn root_key_credential(name: &str) -> Table<'static> {
    ("root_key.sources", vec![("type", "credential".into()), ("name", name.into())])
}

impl Template<'_> {
    /// The text of the file.
    #[must_use]
    pub(crate) fn render(&self) -> String {
        let mut text = format!(
            "# {}\n#\n\
             # The file lists every setting. A setting that is commented out shows its default. Paths are relative to this file's folder.\n\
             # Changes of [tls] and its files, of log.level, trust domains, token issuers, roles and bindings take effect while the\n\
             # server runs: at SIGHUP, or automatically some seconds later. All other changes take effect at the next start.\n\n",
            self.title
        );
        for section in sections() {
            if !section.is_repeated() {
                self.write_section(&mut text, &section)
            } else {
                self.write_repeated(&mut text, &section)
            }
        }
        text
    }

    fn write_section(&self, text: &mut String, section: &Section) {
        if !section.name.is_empty() {
            comment(text, section.about);
            push(text, &section.header());
        }
        for setting in &section.settings {
            self.write_setting(text, section.name, setting);
        }
    }

    fn write_setting(&self, text: &mut String, section: &str, setting: &Setting) {
        comment(text, setting.doc);
        let shown = match &setting.if_unset {
            IfUnset::Default(value) => Some(value.as_ref()),
            IfUnset::Optional(value) => Some(*value),
            IfUnset::Required => None,
        };
        match (&setting.if_unset, setting.kind) {
            (IfUnset::Optional(_), _) => push(text, "# Default: none."),
            (IfUnset::Default(value), Kind::Integer) => {
                push(text, &format!("# {} {}. Default: {value}.", setting.range, setting.unit));
            }
            (IfUnset::Default(_) | IfUnset::Required, _) => {}
        }
        let full = if section.is_empty() { setting.name.to_owned() } else { format!("{section}.{}", setting.name) };
        match self.given.iter().find(|(given, _)| *given == full) {
            Some((_, value)) => push(text, &format!("{} = {value}", setting.name)),
            None => push(text, &format!("# {} = {}", setting.name, shown.unwrap_or("…"))),
        }
        text.push('\n');
    }

    fn write_repeated(&self, text: &mut String, section: &Section) {
        comment(text, section.about);
        for setting in &section.settings {
            push(text, &format!("#   {}: {}", setting.name, setting.range));
            for line in setting.doc {
                push(text, &format!("#    {line}"));
            }
        }
        let tables: Vec<_> = self.tables.iter().filter(|(name, _)| *name == section.name).collect();
        if tables.is_empty() {
            text.push_str(&commented(&format!("\n{}\n{}\n", section.header(), section.example)));
        }
        for (_, settings) in tables {
            push(text, &format!("\n{}", section.header()));
            for (name, value) in settings {
                push(text, &format!("{name} = {value}"));
            }
        }
        text.push('\n');
    }
}

fn commented(text: &str) -> String {
    text.lines().fold(String::new(), |mut commented, line| {
        push(&mut commented, &if line.is_empty() { String::new() } else { format!("# {line}") });
        commented
    })
}

/// Lines of documentation, each of which begins with a space.
fn comment(text: &mut String, lines: &[&str]) {
    for line in lines {
        push(text, &format!("#{line}"));
    }
}

fn push(text: &mut String, line: &str) {
    let _infallible = writeln!(text, "{line}");
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{CertificateSource, Config, RootKeySource, limits::Limits};

    fn rendered(bindings: &[&str]) -> String {
        let given = [
            ("data_dir", ".".into()),
            ("tls.certificate", "server.pem".into()),
            ("tls.key", "it's \"quoted\".key".into()),
            ("tls.client_ca", "ca.pem".into()),
        ];
        let bindings = bindings.iter().map(|identity| binding(identity, "system-administrator"));
        let tables: Vec<_> = [root_key_file("keys/root.key")].into_iter().chain(bindings).collect();
        Template { title: "Test.", given: &given, tables: &tables }.render()
    }

    fn with_admin() -> String {
        rendered(&["cn:admin"])
    }

    #[test]
    fn the_template_is_a_configuration() {
        let config = Config::parse(&with_admin(), Path::new("/srv/sealward.toml")).unwrap();
        assert_eq!(config.data_dir, Path::new("/srv"));
        let CertificateSource::Files { key, .. } = config.tls.certificate else { panic!() };
        assert_eq!(key, Path::new("/srv/it's \"quoted\".key"));
        assert_eq!(config.root_key_sources, [RootKeySource::File("/srv/keys/root.key".into())]);
        assert_eq!(config.limits, Limits::default());
        assert_eq!(config.bindings.len(), 1);
        let empty = Config::parse(&rendered(&[]), Path::new("/srv/sealward.toml")).unwrap();
        assert!(empty.bindings.is_empty());
    }

    #[test]
    fn every_setting_is_in_the_template() {
        let text = with_admin();
        for section in sections() {
            for setting in &section.settings {
                let line = if !section.is_repeated() { "{} = " } else { "#   {}: " }.replace("{}", setting.name);
                assert!(text.contains(&line), "{}.{}", section.name, setting.name);
            }
        }
        assert!(!text.contains("= …"));
    }

    #[test]
    fn every_default_shown_in_a_comment_is_the_default() {
        let without_default = [
            "# plaintext_address",
            "# proxy_protocol_from",
            "# metrics_address",
            "# metrics_identities",
            "# metrics_token",
            "# origins =",
            "# own_origin",
            "# spiffe_workload_api",
            "# spiffe_id",
            "# spiffe_agent_uid",
            "# client_crl",
            "# file ",
            "# endpoint",
            "# collector_uid",
            "# headers_file",
            "# ca =",
            "# client_certificate",
            "# client_key",
            "# url",
            "# password_file",
            "# owner",
        ];
        let text = rendered(&[]);
        let (settings, _examples) = text.split_once("\n# [[").unwrap();
        let uncommented: String = settings
            .lines()
            .filter(|line| !without_default.iter().any(|setting| line.starts_with(setting)))
            .map(|line| match line.strip_prefix("# ") {
                Some(setting) if setting.split_once(" = ").is_some_and(|(name, _)| !name.contains(' ')) => {
                    format!("{setting}\n")
                }
                Some(_) | None => format!("{line}\n"),
            })
            .collect();
        assert!(uncommented.contains("\nkey_changes_per_hour = 5\n"));
        assert!(uncommented.contains("\nlevel = \"info\"\n"));
        let written_out = Config::parse(&uncommented, Path::new("sealward.toml")).unwrap();
        let by_default = Config::parse(&text, Path::new("sealward.toml")).unwrap();
        assert_eq!(format!("{written_out:?}"), format!("{by_default:?}"));
    }

    #[test]
    fn every_repeated_section_shown_in_a_comment_is_valid() {
        let without_tables = Template { title: "Test.", given: &[], tables: &[] }.render();
        for section in sections().into_iter().filter(|section| section.is_repeated()) {
            let header = section.header();
            let (_, shown) = without_tables.split_once(&format!("\n# {header}\n")).unwrap();
            let shown: Vec<_> = shown.lines().map_while(|line| line.strip_prefix("# ")).collect();
            let more = format!("{}\n{header}\n{}", rendered(&[]), shown.join("\n"));
            assert_eq!(shown.len(), section.example.lines().count());
            drop(Config::parse(&more, Path::new("sealward.toml")).unwrap());
        }
    }
}
