//! The configuration file as it is written: what may stand where. What it means, and whether it makes sense, is `check`'s matter.
//!
//! Values that aren't plain numbers or paths stay text here, so that one that is wrong doesn't hide the next.

use std::path::PathBuf;

use serde::Deserialize;

use super::limits::LimitsSection;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ConfigFile {
    pub(super) data_dir: Option<PathBuf>,
    pub(super) listen: ListenSection,
    pub(super) tls: TlsSection,
    pub(super) root_key: RootKeySection,
    pub(super) limits: LimitsSection,
    pub(super) bindings: Vec<BindingSection>,
    pub(super) log: LogSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ListenSection {
    pub(super) address: Option<String>,
    pub(super) plaintext_address: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TlsSection {
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) client_ca: Option<PathBuf>,
    pub(super) client_crl: Option<PathBuf>,
    pub(super) minimum_version: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RootKeySection {
    pub(super) files: Vec<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct BindingSection {
    pub(super) identity: Option<String>,
    pub(super) role: Option<String>,
    pub(super) organizations: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct LogSection {
    pub(super) level: Option<String>,
}
