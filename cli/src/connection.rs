//! The connection of a run: server, identity and organization. They come from global options, environment variables, a profile or the folder of
//! a development server.

pub(crate) mod environment;
pub(crate) mod hints;
pub(crate) mod profile_file;

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{ArgMatches, Args, ValueHint, parser::ValueSource};
use sealward_client::Client;

use crate::failure::Failure;
use environment::variable;
use hints::Hints;
use profile_file::{Profile, ProfileFile};

/// The connection options of every command.
#[derive(Args, Clone)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionOptions {
    /// Profile for settings without an option or variable [default: the default profile].
    #[arg(long, global = true, env = "SEALWARD_PROFILE", value_name = "PROFILE", value_hint = ValueHint::Other)]
    profile: Option<String>,

    /// File with the profiles [default: ~/.config/sealward/config.toml].
    #[arg(long, global = true, hide_short_help = true, env = "SEALWARD_CLIENT_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// URL of the server; with --dev, the default is that server's address.
    #[arg(
        long,
        global = true,
        env = "SEALWARD_ENDPOINT",
        value_name = "URL",
        default_value = "https://127.0.0.1:7443"
    )]
    endpoint: String,

    /// CA certificate of the server, PEM.
    #[arg(long, global = true, hide_short_help = true, env = "SEALWARD_CA", value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Client certificate, PEM.
    #[arg(long, global = true, hide_short_help = true, env = "SEALWARD_CERT", value_name = "FILE")]
    cert: Option<PathBuf>,

    /// Private key of the client certificate, PEM.
    #[arg(long, global = true, hide_short_help = true, env = "SEALWARD_KEY", value_name = "FILE")]
    key: Option<PathBuf>,

    /// File with a bearer token, with or without a client certificate.
    #[arg(long, global = true, hide_short_help = true, env = "SEALWARD_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// Directory of `sealward-server dev`.
    ///
    /// CA, certificate and key come from DIR/tls, unless they are set by an option. The endpoint comes from DIR/endpoint, which the server
    /// writes, unless it is set by an option or variable.
    #[arg(long, global = true, env = "SEALWARD_DEV", value_name = "DIR")]
    dev: Option<PathBuf>,

    /// Identity with --dev: admin, writer, reader, connector or auditor.
    #[arg(long = "as", global = true, env = "SEALWARD_AS", value_name = "ROLE", value_hint = ValueHint::Other)]
    role: Option<String>,

    /// Expected name in the server's certificate [default: the endpoint's host].
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    domain_name: Option<String>,

    /// Organization, by id or as organizations/ID.
    #[arg(
        long,
        short,
        global = true,
        env = "SEALWARD_ORGANIZATION",
        value_name = "ORGANIZATION",
        value_hint = ValueHint::Other,
        default_value = "default"
    )]
    organization: String,

    /// Maximum time of a call with its retries, in seconds, 1 to 3600.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=3_600)
    )]
    timeout: u64,

    /// Connect without TLS, for diagnostics only: the server refuses data calls.
    #[arg(long, global = true, hide_short_help = true)]
    plaintext: bool,
}

impl ConnectionOptions {
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The file with the server's CA certificates.
    pub(crate) fn ca(&self) -> Option<&Path> {
        self.ca.as_deref()
    }

    /// The file with the client certificate.
    pub(crate) fn cert(&self) -> Option<&Path> {
        self.cert.as_deref()
    }

    /// The file with the private key.
    pub(crate) fn key(&self) -> Option<&Path> {
        self.key.as_deref()
    }

    /// The file with the bearer token.
    pub(crate) fn token_file(&self) -> Option<&Path> {
        self.token_file.as_deref()
    }

    /// The expected name in the server's certificate, if it isn't the endpoint's host.
    pub(crate) fn domain_name(&self) -> Option<&str> {
        self.domain_name.as_deref()
    }

    pub(crate) fn is_plaintext(&self) -> bool {
        self.plaintext
    }

    /// Reads the profiles. The file need not exist.
    pub(crate) fn profile_file(&self) -> Result<ProfileFile, Failure> {
        ProfileFile::read(self.config.clone().map_or_else(ProfileFile::default_path, Ok)?)
    }

    pub(crate) fn profile_name(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// The profile of --profile, or the default profile if there is one.
    pub(crate) fn profile(&self) -> Result<Option<Profile>, Failure> {
        let file = match self.profile_file() {
            // A run without profiles needs no home folder.
            Err(_) if self.config.is_none() && self.profile.is_none() && ProfileFile::default_path().is_err() => {
                return Ok(None);
            }
            file => file?,
        };
        self.profile_name().or(file.default_name()).map(|name| file.get(name)).transpose()
    }

    /// The settings on the command line, for `profile set`. A development folder is saved as the paths of its three files.
    pub(crate) fn command_line_settings(&self, matches: &ArgMatches) -> Result<Profile, Failure> {
        let mut options = self.clone();
        if is_on_command_line(matches, "role") || is_on_command_line(matches, "dev") {
            options.apply_development_files(matches, false)?;
        } else {
            for (option, name) in [(&mut options.ca, "ca"), (&mut options.cert, "cert"), (&mut options.key, "key")] {
                option.take_if(|_| !is_on_command_line(matches, name));
            }
        }
        options.token_file.take_if(|_| !is_on_command_line(matches, "token_file"));
        let Self { endpoint, ca, cert, key, token_file, domain_name, organization, timeout, .. } = options;
        Ok(Profile {
            endpoint: is_on_command_line(matches, "endpoint").then_some(endpoint),
            ca,
            cert,
            key,
            token_file,
            domain_name,
            organization: is_on_command_line(matches, "organization").then_some(organization),
            timeout_seconds: is_on_command_line(matches, "timeout").then_some(timeout),
            output: matches.get_one("output").copied().filter(|_| is_on_command_line(matches, "output")),
        })
    }

    /// Takes CA, certificate and key from the development folder, unless they are on the command line. A folder in the environment without a
    /// role is ignored if there is a profile.
    fn apply_development_files(&mut self, matches: &ArgMatches, has_profile: bool) -> Result<(), Failure> {
        let (dev, role) = match (&self.dev, &self.role) {
            (Some(dev), Some(role)) => (dev, role),
            (Some(_), None) if has_profile && !is_on_command_line(matches, "dev") => return Ok(()),
            (Some(_), None) => {
                return Err(Failure::usage("--dev requires --as: admin, writer, reader, connector or auditor"));
            }
            (None, Some(_)) => {
                return Err(Failure::usage("--as requires --dev, the folder of `sealward-server dev`"));
            }
            (None, None) => return Ok(()),
        };
        let tls = dev.join("tls");
        let files = [
            (&mut self.ca, "ca", tls.join("ca.pem")),
            (&mut self.cert, "cert", tls.join(format!("{role}.pem"))),
            (&mut self.key, "key", tls.join(format!("{role}.key"))),
        ];
        for (option, name, file) in files {
            if !is_on_command_line(matches, name) {
                *option = Some(file);
            }
        }
        Ok(())
    }

    /// Takes the endpoint of the development server, unless an option or variable sets it. Returns whether it did: this takes precedence over
    /// the profile.
    fn apply_development_endpoint(&mut self, matches: &ArgMatches) -> Result<bool, Failure> {
        let (Some(dev), Some(_)) = (&self.dev, &self.role) else { return Ok(false) };
        if !is_unset(matches, "endpoint") {
            return Ok(false);
        }
        let found = read_endpoint(&dev.join(ENDPOINT_FILE))?;
        let is_found = found.is_some();
        if let Some(endpoint) = found {
            self.endpoint = endpoint;
        }
        Ok(is_found)
    }

    /// The organization of the next command, if it has no `-o`.
    fn default_organization(&self, matches: &ArgMatches, profile: Option<&Profile>) -> String {
        if let Some(organization) = variable("SEALWARD_ORGANIZATION") {
            return organization;
        }
        let next_profile = if is_on_command_line(matches, "profile") {
            let file = self.profile_file().ok();
            let name = variable("SEALWARD_PROFILE");
            file.and_then(|file| file.get(name.as_deref().or(file.default_name())?).ok())
        } else {
            profile.cloned()
        };
        next_profile.and_then(|profile| profile.organization).unwrap_or_else(|| hints::DEFAULT.to_owned())
    }

    /// Fills the settings that are unset. Certificate and key come from the same source.
    fn apply_profile(&mut self, matches: &ArgMatches, has_endpoint: bool, profile: Profile) {
        let is_unset = |name| is_unset(matches, name);
        let Profile { endpoint, ca, cert, key, token_file, domain_name, organization, timeout_seconds, output: _ } =
            profile;
        if let Some(endpoint) = endpoint.filter(|_| !has_endpoint && is_unset("endpoint")) {
            self.endpoint = endpoint;
        }
        if let Some(organization) = organization.filter(|_| is_unset("organization")) {
            self.organization = organization;
        }
        if let Some(timeout) = timeout_seconds.filter(|_| is_unset("timeout")) {
            self.timeout = timeout;
        }
        self.ca = self.ca.take().or(ca);
        self.domain_name = self.domain_name.take().or(domain_name);
        // The credentials come from one source: a certificate on the command line isn't combined with the token of a profile.
        if self.cert.is_none() && self.key.is_none() && self.token_file.is_none() {
            (self.cert, self.key, self.token_file) = (cert, key, token_file);
        }
    }
}

fn is_on_command_line(matches: &ArgMatches, name: &str) -> bool {
    matches.value_source(name) == Some(ValueSource::CommandLine)
}

/// Whether neither the command line nor the environment sets the option.
fn is_unset(matches: &ArgMatches, name: &str) -> bool {
    matches.value_source(name).is_none_or(|source| source == ValueSource::DefaultValue)
}

/// Reads the endpoint that a development server wrote; `None` if there is no file.
fn read_endpoint(path: &Path) -> Result<Option<String>, Failure> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(ENDPOINT_MAX_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) if text.starts_with("https://") => Ok(Some(text.trim_end().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Ok(_) => Err(Failure::usage(format!("{} doesn't contain an https URL: use --endpoint", path.display()))),
        Err(error) => Err(Failure::usage(format!("can't read {}: {error}; use --endpoint", path.display()))),
    }
}

/// The file to which `sealward-server dev` writes its URL.
const ENDPOINT_FILE: &str = "endpoint";

/// Longer than any endpoint.
const ENDPOINT_MAX_BYTES: u64 = 1_024;

/// The resolved settings of a run.
pub(crate) struct Connection {
    options: ConnectionOptions,
    hints: Hints,
}

impl Connection {
    /// Resolves the settings: command line before environment before profile.
    pub(crate) fn new(
        mut options: ConnectionOptions,
        matches: &ArgMatches,
        profile: Option<Profile>,
    ) -> Result<Self, Failure> {
        options.apply_development_files(matches, profile.is_some())?;
        let has_endpoint = options.apply_development_endpoint(matches)?;
        let default = options.default_organization(matches, profile.as_ref());
        if let Some(profile) = profile {
            options.apply_profile(matches, has_endpoint, profile);
        }
        let hints = Hints::new(&options.organization, &default);
        if options.cert.is_some() != options.key.is_some() {
            return Err(Failure::usage("--cert and --key must be used together: the certificate and its private key"));
        }
        if options.ca.is_none() && !options.plaintext {
            return Err(Failure::usage(
                "no CA certificate: use --ca FILE or SEALWARD_CA, and --cert and --key for your own certificate\n  \
                 for a server started by `sealward-server dev`, use --dev ./sealward-dev --as ROLE\n  \
                 `sealward profile set` saves these settings",
            ));
        }
        Ok(Self { options, hints })
    }

    /// The resolved options.
    pub(crate) fn options(&self) -> &ConnectionOptions {
        &self.options
    }

    /// Suggestions for the next command.
    pub(crate) fn hints(&self) -> &Hints {
        &self.hints
    }

    /// `organizations/contoso`.
    pub(crate) fn organization(&self) -> String {
        organization_name(&self.options.organization)
    }

    /// The full name of a record, from its full name or id.
    pub(crate) fn record_name(&self, collection: &str, name: &str) -> String {
        if name.contains('/') { name.to_owned() } else { format!("{}/{collection}/{name}", self.organization()) }
    }

    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        let options = &self.options;
        let mut builder = Client::builder(&options.endpoint).timeout(Duration::from_secs(options.timeout));
        if options.plaintext {
            builder = builder.plaintext();
        }
        if let Some(ca) = &options.ca {
            builder = builder.ca_file(ca);
        }
        if let (Some(cert), Some(key)) = (&options.cert, &options.key) {
            builder = builder.identity_files(cert, key);
        }
        if let Some(token) = &options.token_file {
            builder = builder.bearer_token_file(token);
        }
        if let Some(name) = &options.domain_name {
            builder = builder.domain_name(name);
        }
        builder.connect().await.map_err(|error| Failure::connecting(&options.endpoint, error))
    }
}

/// The full name of an organization, from its full name or id.
pub(crate) fn organization_name(name: &str) -> String {
    if name.contains('/') { name.to_owned() } else { format!("organizations/{name}") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::{Command, FromArgMatches as _};

    use super::*;

    fn with_profile(arguments: &str, profile: Option<Profile>) -> Result<ConnectionOptions, Failure> {
        let command = ConnectionOptions::augment_args(Command::new("sealward").no_binary_name(true));
        let matches = command.try_get_matches_from(arguments.split_whitespace()).unwrap();
        let options = ConnectionOptions::from_arg_matches(&matches).unwrap();
        Connection::new(options, &matches, profile).map(|connection| connection.options)
    }

    fn connection(arguments: &str) -> Result<ConnectionOptions, Failure> {
        with_profile(arguments, None)
    }

    #[test]
    fn development_folder_replaces_three_file_options() {
        let options = connection("--dev d --as writer").ok().unwrap();
        assert_eq!(options.ca.as_deref(), Some(Path::new("d/tls/ca.pem")));
        assert_eq!(options.cert.as_deref(), Some(Path::new("d/tls/writer.pem")));
        assert_eq!(options.key.as_deref(), Some(Path::new("d/tls/writer.key")));
        let options = connection("--dev d --as writer --ca other.pem").ok().unwrap();
        assert_eq!(options.ca.as_deref(), Some(Path::new("other.pem")));
    }

    #[test]
    fn conflicting_connection_options_are_refused() {
        for arguments in ["--dev d", "--as writer", "--ca c --cert c", "--ca c --key k", ""] {
            assert!(connection(arguments).is_err(), "{arguments}");
        }
        assert!(connection("--ca c").is_ok());
    }

    #[test]
    fn profile_applies_where_no_option_or_variable_is_set() {
        let profile = Profile {
            endpoint: Some("https://p".to_owned()),
            ca: Some("p/ca".into()),
            cert: Some("p/cert".into()),
            key: Some("p/key".into()),
            organization: Some("contoso".to_owned()),
            timeout_seconds: Some(5),
            ..Profile::default()
        };
        let options = with_profile("", Some(profile.clone())).ok().unwrap();
        assert_eq!(
            (options.endpoint.as_str(), options.organization.as_str(), options.timeout),
            ("https://p", "contoso", 5)
        );
        assert_eq!(options.key.as_deref(), Some(Path::new("p/key")));
        let options = with_profile("--endpoint https://f -o f --cert f --key f", Some(profile.clone())).ok().unwrap();
        assert_eq!((options.endpoint.as_str(), options.organization.as_str()), ("https://f", "f"));
        assert_eq!((options.ca.as_deref(), options.cert.as_deref()), (Some(Path::new("p/ca")), Some(Path::new("f"))));
        // A certificate is never combined with another source's key.
        assert!(with_profile("--cert f", Some(profile.clone())).is_err());
        let options = with_profile("--dev d --as writer", Some(profile)).ok().unwrap();
        assert_eq!(options.cert.as_deref(), Some(Path::new("d/tls/writer.pem")));
    }

    #[test]
    fn development_folder_sets_the_endpoint_unless_it_is_set_explicitly() {
        let folder = tempfile::tempdir().unwrap();
        let dev = format!("--dev {} --as writer", folder.path().display());
        let endpoint = |more: &str, profile| {
            with_profile(&format!("{dev} {more}"), profile).map(|options| options.endpoint).map_err(|_| ())
        };
        assert_eq!(endpoint("", None).unwrap(), "https://127.0.0.1:7443");
        std::fs::write(folder.path().join(ENDPOINT_FILE), "https://127.0.0.1:4711\n").unwrap();
        assert_eq!(endpoint("", None).unwrap(), "https://127.0.0.1:4711");
        assert_eq!(endpoint("--endpoint https://given", None).unwrap(), "https://given");
        let profile = Profile { endpoint: Some("https://p".to_owned()), ..Profile::default() };
        assert_eq!(endpoint("", Some(profile)).unwrap(), "https://127.0.0.1:4711");
        std::fs::write(folder.path().join(ENDPOINT_FILE), "nothing of the kind").unwrap();
        assert!(endpoint("", None).is_err());
    }

    #[test]
    fn hints_name_the_organization_if_the_next_command_would_use_another() {
        let hints = |arguments: &str, profile: Option<Profile>| {
            let command = ConnectionOptions::augment_args(Command::new("sealward").no_binary_name(true));
            let matches = command.try_get_matches_from(arguments.split_whitespace()).unwrap();
            let options = ConnectionOptions::from_arg_matches(&matches).unwrap();
            Connection::new(options, &matches, profile).ok().unwrap().hints.command("key show")
        };
        let contoso = || Some(Profile { organization: Some("contoso".to_owned()), ..Profile::default() });
        assert_eq!(hints("--ca c", None), "sealward key show");
        assert_eq!(hints("--ca c -o contoso", None), "sealward key show -o contoso");
        assert_eq!(hints("--ca c", contoso()), "sealward key show");
        assert_eq!(hints("--ca c -o default", contoso()), "sealward key show -o default");
        // A profile on the command line doesn't apply to the next command.
        let arguments = "--ca c --config /nonexistent/config.toml --profile p";
        assert_eq!(hints(arguments, contoso()), "sealward key show -o contoso");
    }

    #[test]
    fn names_are_accepted_in_full_or_as_id() {
        let options = connection("--ca c -o contoso").ok().unwrap();
        let connection = Connection { options, hints: Hints::default() };
        assert_eq!(connection.record_name("mailboxes", "1"), "organizations/contoso/mailboxes/1");
        assert_eq!(connection.record_name("mailboxes", "organizations/o/mailboxes/1"), "organizations/o/mailboxes/1");
        assert_eq!(organization_name("organizations/o"), "organizations/o");
    }
}
