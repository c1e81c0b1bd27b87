//! Which server, as whom, in which organization: the options that every command takes, before or after its name.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{ArgMatches, Args, ValueHint, parser::ValueSource};
use sealward_client::Client;

use crate::{
    environment::variable,
    failure::Failure,
    hints::{self, Hints},
    profile_file::{Profile, ProfileFile},
};

/// The options that say how to reach the server.
#[derive(Args, Clone)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ConnectionOptions {
    /// The profile to take settings from that are given neither here nor in the environment. Default: the default profile.
    #[arg(long, global = true, env = "SEALWARD_PROFILE", value_name = "PROFILE", value_hint = ValueHint::Other)]
    profile: Option<String>,

    /// The file with the profiles. Default: sealward/config.toml under $XDG_CONFIG_HOME or ~/.config.
    #[arg(long, global = true, hide_short_help = true, env = "SEALWARD_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,

    /// The server. Without it, where the server of --dev listens, if that is given.
    #[arg(
        long,
        global = true,
        env = "SEALWARD_ENDPOINT",
        value_name = "URL",
        default_value = "https://127.0.0.1:7443"
    )]
    endpoint: String,

    /// The CA that the server's certificate comes from, in PEM.
    #[arg(long, global = true, hide_short_help = true, env = "SEALWARD_CA", value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Your certificate, in PEM.
    #[arg(long, global = true, hide_short_help = true, env = "SEALWARD_CERT", value_name = "FILE")]
    cert: Option<PathBuf>,

    /// The private key of your certificate, in PEM.
    #[arg(long, global = true, hide_short_help = true, env = "SEALWARD_KEY", value_name = "FILE")]
    key: Option<PathBuf>,

    /// A file with the bearer token to send, instead of a certificate or with the one that it is bound to.
    #[arg(long, global = true, hide_short_help = true, env = "SEALWARD_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,

    /// The folder of `sealward-server dev`, with the certificates to use.
    ///
    /// CA, certificate and key are taken from DIR/tls. Of the three, what is given on the command line goes before it, and what is in the
    /// environment after it. The endpoint is taken from DIR/endpoint, which the server writes, unless --endpoint or its variable is given.
    #[arg(long, global = true, env = "SEALWARD_DEV", value_name = "DIR")]
    dev: Option<PathBuf>,

    /// Whose certificate to take from --dev: admin, writer, reader, connector or auditor.
    #[arg(long = "as", global = true, env = "SEALWARD_AS", value_name = "ROLE", value_hint = ValueHint::Other)]
    role: Option<String>,

    /// The name that the server's certificate has to carry, if it isn't the endpoint's host.
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    domain_name: Option<String>,

    /// The organization, by its id or as organizations/ID.
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

    /// The longest time of a call, its repetitions included.
    #[arg(
        long,
        global = true,
        hide_short_help = true,
        value_name = "SECONDS",
        default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(1..=3_600)
    )]
    timeout: u64,

    /// Connect without TLS, to http://…, to find out what is wrong: the server refuses every data call.
    #[arg(long, global = true, hide_short_help = true)]
    plaintext: bool,
}

impl ConnectionOptions {
    /// The profiles. A file that was asked for need not be there before the first profile is made.
    pub(crate) fn profile_file(&self) -> Result<ProfileFile, Failure> {
        ProfileFile::read(self.config.clone().map_or_else(ProfileFile::usual_path, Ok)?)
    }

    pub(crate) fn profile_name(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// The profile that was asked for, or else the default one, if there is one.
    pub(crate) fn profile(&self) -> Result<Option<Profile>, Failure> {
        let file = match self.profile_file() {
            // A run that says all by itself can do without a home folder.
            Err(_) if self.config.is_none() && self.profile.is_none() && ProfileFile::usual_path().is_err() => {
                return Ok(None);
            }
            file => file?,
        };
        self.profile_name().or(file.default_name()).map(|name| file.get(name)).transpose()
    }

    /// What stands on the command line, as a profile keeps it: of a development folder, the three files.
    pub(crate) fn given(&self, matches: &ArgMatches) -> Result<Profile, Failure> {
        let mut options = self.clone();
        if is_given(matches, "role") || is_given(matches, "dev") {
            options.take_development_files(matches, false)?;
        } else {
            for (option, name) in [(&mut options.ca, "ca"), (&mut options.cert, "cert"), (&mut options.key, "key")] {
                option.take_if(|_| !is_given(matches, name));
            }
        }
        options.token_file.take_if(|_| !is_given(matches, "token_file"));
        let Self { endpoint, ca, cert, key, token_file, domain_name, organization, timeout, .. } = options;
        Ok(Profile {
            endpoint: is_given(matches, "endpoint").then_some(endpoint),
            ca,
            cert,
            key,
            token_file,
            domain_name,
            organization: is_given(matches, "organization").then_some(organization),
            timeout_seconds: is_given(matches, "timeout").then_some(timeout),
            output: matches.get_one("output").copied().filter(|_| is_given(matches, "output")),
        })
    }

    /// Of a development folder, what isn't on the command line. A folder in the environment without a role says nothing where there is a
    /// profile.
    fn take_development_files(&mut self, matches: &ArgMatches, has_profile: bool) -> Result<(), Failure> {
        let (dev, role) = match (&self.dev, &self.role) {
            (Some(dev), Some(role)) => (dev, role),
            (Some(_), None) if has_profile && !is_given(matches, "dev") => return Ok(()),
            (Some(_), None) => {
                return Err(Failure::usage("--dev needs --as: admin, writer, reader, connector or auditor"));
            }
            (None, Some(_)) => return Err(Failure::usage("--as needs --dev, the folder of `sealward-server dev`")),
            (None, None) => return Ok(()),
        };
        let tls = dev.join("tls");
        let files = [
            (&mut self.ca, "ca", tls.join("ca.pem")),
            (&mut self.cert, "cert", tls.join(format!("{role}.pem"))),
            (&mut self.key, "key", tls.join(format!("{role}.key"))),
        ];
        for (option, name, file) in files {
            if !is_given(matches, name) {
                *option = Some(file);
            }
        }
        Ok(())
    }

    /// The address that a development server got, unless another was given. It goes before the profile, as the folder does.
    fn take_development_endpoint(&mut self, matches: &ArgMatches) -> Result<bool, Failure> {
        let (Some(dev), Some(_)) = (&self.dev, &self.role) else { return Ok(false) };
        if !is_unsaid(matches, "endpoint") {
            return Ok(false);
        }
        let found = read_endpoint(&dev.join(ENDPOINT_FILE))?;
        let is_found = found.is_some();
        if let Some(endpoint) = found {
            self.endpoint = endpoint;
        }
        Ok(is_found)
    }

    /// The organization of the next command, if nothing is said on its command line.
    fn usual_organization(&self, matches: &ArgMatches, profile: Option<&Profile>) -> String {
        if let Some(organization) = variable("SEALWARD_ORGANIZATION") {
            return organization;
        }
        let next_profile = if is_given(matches, "profile") {
            let file = self.profile_file().ok();
            let name = variable("SEALWARD_PROFILE");
            file.and_then(|file| file.get(name.as_deref().or(file.default_name())?).ok())
        } else {
            profile.cloned()
        };
        next_profile.and_then(|profile| profile.organization).unwrap_or_else(|| hints::DEFAULT.to_owned())
    }

    /// Whatever nobody has said. A certificate and a key belong together, so they come from one place.
    fn take_profile(&mut self, matches: &ArgMatches, has_endpoint: bool, profile: Profile) {
        let is_unsaid = |name| is_unsaid(matches, name);
        let Profile { endpoint, ca, cert, key, token_file, domain_name, organization, timeout_seconds, output: _ } =
            profile;
        if let Some(endpoint) = endpoint.filter(|_| !has_endpoint && is_unsaid("endpoint")) {
            self.endpoint = endpoint;
        }
        if let Some(organization) = organization.filter(|_| is_unsaid("organization")) {
            self.organization = organization;
        }
        if let Some(timeout) = timeout_seconds.filter(|_| is_unsaid("timeout")) {
            self.timeout = timeout;
        }
        self.ca = self.ca.take().or(ca);
        self.domain_name = self.domain_name.take().or(domain_name);
        // So do they and a token: who shows one of them doesn't mean the other.
        if self.cert.is_none() && self.key.is_none() && self.token_file.is_none() {
            (self.cert, self.key, self.token_file) = (cert, key, token_file);
        }
    }
}

fn is_given(matches: &ArgMatches, name: &str) -> bool {
    matches.value_source(name) == Some(ValueSource::CommandLine)
}

/// Whether neither the command line nor the environment says anything.
fn is_unsaid(matches: &ArgMatches, name: &str) -> bool {
    matches.value_source(name).is_none_or(|source| source == ValueSource::DefaultValue)
}

/// What a development server wrote; `None` if it wrote nothing.
fn read_endpoint(path: &Path) -> Result<Option<String>, Failure> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(ENDPOINT_MAX_BYTES).read_to_string(&mut text));
    match read {
        Ok(_) if text.starts_with("https://") => Ok(Some(text.trim_end().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Ok(_) => Err(Failure::usage(format!("{} isn't an endpoint: give --endpoint", path.display()))),
        Err(error) => Err(Failure::usage(format!("{} can't be read: {error}; give --endpoint", path.display()))),
    }
}

/// Where `sealward-server dev` writes its address.
const ENDPOINT_FILE: &str = "endpoint";

/// More than any endpoint has.
const ENDPOINT_MAX_BYTES: u64 = 1_024;

/// The options, with what the environment and the profile say and what follows from one another worked out.
pub(crate) struct Connection {
    options: ConnectionOptions,
    hints: Hints,
}

impl Connection {
    /// What stands on the command line goes before the environment, and that before the profile.
    pub(crate) fn new(
        mut options: ConnectionOptions,
        matches: &ArgMatches,
        profile: Option<Profile>,
    ) -> Result<Self, Failure> {
        options.take_development_files(matches, profile.is_some())?;
        let has_endpoint = options.take_development_endpoint(matches)?;
        let usual = options.usual_organization(matches, profile.as_ref());
        if let Some(profile) = profile {
            options.take_profile(matches, has_endpoint, profile);
        }
        let hints = Hints::new(&options.organization, &usual);
        if options.cert.is_some() != options.key.is_some() {
            return Err(Failure::usage("--cert and --key go together: the certificate and its private key"));
        }
        if options.ca.is_none() && !options.plaintext {
            return Err(Failure::usage(
                "give the CA of the server's certificate with --ca FILE (or SEALWARD_CA), and your own with --cert and --key;\n\
                 for a server started by `sealward-server dev`, --dev ./sealward-dev --as ROLE is all it takes;\n\
                 `sealward profile set` keeps these settings",
            ));
        }
        Ok(Self { options, hints })
    }

    /// Commands to run next.
    pub(crate) fn hints(&self) -> &Hints {
        &self.hints
    }

    /// `organizations/contoso`.
    pub(crate) fn organization(&self) -> String {
        organization_name(&self.options.organization)
    }

    /// The full name of a record, given as such or by its id.
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

/// The full name of an organization, given as such or by its id.
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
    fn a_development_folder_stands_for_three_files() {
        let options = connection("--dev d --as writer").ok().unwrap();
        assert_eq!(options.ca.as_deref(), Some(Path::new("d/tls/ca.pem")));
        assert_eq!(options.cert.as_deref(), Some(Path::new("d/tls/writer.pem")));
        assert_eq!(options.key.as_deref(), Some(Path::new("d/tls/writer.key")));
        let options = connection("--dev d --as writer --ca other.pem").ok().unwrap();
        assert_eq!(options.ca.as_deref(), Some(Path::new("other.pem")));
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        for arguments in ["--dev d", "--as writer", "--ca c --cert c", "--ca c --key k", ""] {
            assert!(connection(arguments).is_err(), "{arguments}");
        }
        assert!(connection("--ca c").is_ok());
    }

    #[test]
    fn a_profile_says_what_nobody_else_does() {
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
        // A certificate never goes with the key of another.
        assert!(with_profile("--cert f", Some(profile.clone())).is_err());
        let options = with_profile("--dev d --as writer", Some(profile)).ok().unwrap();
        assert_eq!(options.cert.as_deref(), Some(Path::new("d/tls/writer.pem")));
    }

    #[test]
    fn a_development_folder_gives_the_endpoint_unless_another_is_given() {
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
    fn hints_name_the_organization_that_the_next_command_would_not_take() {
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
        // A profile for this command only isn't that of the next.
        let arguments = "--ca c --config /nonexistent/config.toml --profile p";
        assert_eq!(hints(arguments, contoso()), "sealward key show -o contoso");
    }

    #[test]
    fn names_are_taken_in_full_or_by_id() {
        let options = connection("--ca c -o contoso").ok().unwrap();
        let connection = Connection { options, hints: Hints::default() };
        assert_eq!(connection.record_name("mailboxes", "1"), "organizations/contoso/mailboxes/1");
        assert_eq!(connection.record_name("mailboxes", "organizations/o/mailboxes/1"), "organizations/o/mailboxes/1");
        assert_eq!(organization_name("organizations/o"), "organizations/o");
    }
}
