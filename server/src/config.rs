//! The configuration of a deployment: one TOML file. A [`Config`] is valid: code that uses it checks nothing again.
//!
//! `load` reads a file in four steps: `unknown_keys` removes unknown keys, `environment` replaces values, `file` reads the result as written, and
//! `check` turns it into the `model`. Each setting is declared once: in `file`, or as a number in [`limits`]. The `template` of a new file and the reference come
//! from the same declarations.

mod check;
mod doubtful_bindings;
pub(crate) mod environment;
mod faults;
mod file;
mod hops;
mod identity;
pub mod limits;
mod load;
mod model;
mod origin;
pub(crate) mod setting;
mod storage;
pub(crate) mod template;
#[cfg(test)]
mod tests;
mod traces;
mod unknown_keys;
mod workload_api;

pub(crate) use self::{check::CREDENTIAL, file::sections, identity::lower_case_dns, traces::COLLECTOR_UID};
pub use self::{
    environment::Environment,
    faults::{Fault, Faults},
    load::ConfigError,
    model::{
        Assertable, AuditCopy, Bundle, CertificateSource, CollectorAddress, CollectorTls, Config, CopyTo, Hop,
        HopEntrance, Listen, Log, LogFormat, MetricsAccess, OnFailure, Pages, RootKeySource, Schema, Source, Storage,
        StorageOwner, Tls, TlsVersion, TokenIssuer, TokenKeys, Traces, WorkloadApi,
    },
    origin::{NotAnOrigin, Origin},
};
