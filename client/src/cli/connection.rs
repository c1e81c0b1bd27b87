//! Which server, as whom, in which organization: the options that every command takes, before or after its name.

use std::{path::PathBuf, time::Duration};

use clap::{ArgMatches, Args, FromArgMatches as _, parser::ValueSource};
use fieldseal_client::Client;

use super::failure::Failure;

/// The options that say how to reach the server.
#[derive(Args)]
#[command(next_help_heading = "Connection")]
pub(super) struct ConnectionOptions {
    /// The server.
    #[arg(
        long,
        global = true,
        env = "FIELDSEAL_ENDPOINT",
        value_name = "URL",
        default_value = "https://127.0.0.1:7443"
    )]
    endpoint: String,

    /// The CA that the server's certificate comes from, in PEM.
    #[arg(long, global = true, hide_short_help = true, env = "FIELDSEAL_CA", value_name = "FILE")]
    ca: Option<PathBuf>,

    /// Your certificate, in PEM.
    #[arg(long, global = true, hide_short_help = true, env = "FIELDSEAL_CERT", value_name = "FILE")]
    cert: Option<PathBuf>,

    /// The private key of your certificate, in PEM.
    #[arg(long, global = true, hide_short_help = true, env = "FIELDSEAL_KEY", value_name = "FILE")]
    key: Option<PathBuf>,

    /// The folder of `fieldseal-server dev`, with the certificates to use.
    ///
    /// CA, certificate and key are taken from DIR/tls. Of the three, what is given on the command line goes before it, and what is in the
    /// environment after it.
    #[arg(long, global = true, env = "FIELDSEAL_DEV", value_name = "DIR")]
    dev: Option<PathBuf>,

    /// Whose certificate to take from --dev: admin, writer, reader, connector or auditor.
    #[arg(long = "as", global = true, env = "FIELDSEAL_AS", value_name = "ROLE")]
    role: Option<String>,

    /// The name that the server's certificate has to carry, if it isn't the endpoint's host.
    #[arg(long, global = true, hide_short_help = true, value_name = "NAME")]
    domain_name: Option<String>,

    /// The organization, by its id or as organizations/ID.
    #[arg(
        long,
        short,
        global = true,
        env = "FIELDSEAL_ORGANIZATION",
        value_name = "ORGANIZATION",
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

/// The options, with what follows from one another worked out.
pub(super) struct Connection {
    options: ConnectionOptions,
}

impl Connection {
    pub(super) fn from_matches(matches: &ArgMatches) -> Result<Self, Failure> {
        let mut options = ConnectionOptions::from_arg_matches(matches)?;
        match (&options.dev, &options.role) {
            (Some(dev), Some(role)) => {
                let tls = dev.join("tls");
                let files = [
                    (&mut options.ca, "ca", tls.join("ca.pem")),
                    (&mut options.cert, "cert", tls.join(format!("{role}.pem"))),
                    (&mut options.key, "key", tls.join(format!("{role}.key"))),
                ];
                for (option, name, file) in files {
                    if matches.value_source(name) != Some(ValueSource::CommandLine) {
                        *option = Some(file);
                    }
                }
            }
            (Some(_), None) => {
                return Err(Failure::usage("--dev needs --as: admin, writer, reader, connector or auditor"));
            }
            (None, Some(_)) => return Err(Failure::usage("--as needs --dev, the folder of `fieldseal-server dev`")),
            (None, None) => {}
        }
        if options.cert.is_some() != options.key.is_some() {
            return Err(Failure::usage("--cert and --key go together: the certificate and its private key"));
        }
        if options.ca.is_none() && !options.plaintext {
            return Err(Failure::usage(
                "say whose certificate the server has with --ca FILE (or FIELDSEAL_CA), and who you are with --cert and --key;\n\
                 with a server started by `fieldseal-server dev`, --dev ./fieldseal-dev --as ROLE says it all",
            ));
        }
        Ok(Self { options })
    }

    /// `organizations/contoso`.
    pub(super) fn organization(&self) -> String {
        organization_name(&self.options.organization)
    }

    /// The full name of a record, given as such or by its id.
    pub(super) fn record_name(&self, collection: &str, name: &str) -> String {
        if name.contains('/') { name.to_owned() } else { format!("{}/{collection}/{name}", self.organization()) }
    }

    pub(super) async fn connect(&self) -> Result<Client, Failure> {
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
        if let Some(name) = &options.domain_name {
            builder = builder.domain_name(name);
        }
        Ok(builder.connect().await?)
    }
}

/// The full name of an organization, given as such or by its id.
pub(super) fn organization_name(name: &str) -> String {
    if name.contains('/') { name.to_owned() } else { format!("organizations/{name}") }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Command;

    use super::*;

    fn connection(arguments: &str) -> Result<Connection, Failure> {
        let command = ConnectionOptions::augment_args(Command::new("fieldseal").no_binary_name(true));
        Connection::from_matches(&command.try_get_matches_from(arguments.split_whitespace()).unwrap())
    }

    #[test]
    fn a_development_folder_stands_for_three_files() {
        let options = connection("--dev d --as writer").ok().unwrap().options;
        assert_eq!(options.ca.as_deref(), Some(Path::new("d/tls/ca.pem")));
        assert_eq!(options.cert.as_deref(), Some(Path::new("d/tls/writer.pem")));
        assert_eq!(options.key.as_deref(), Some(Path::new("d/tls/writer.key")));
        let options = connection("--dev d --as writer --ca other.pem").ok().unwrap().options;
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
    fn names_are_taken_in_full_or_by_id() {
        let connection = connection("--ca c -o contoso").ok().unwrap();
        assert_eq!(connection.record_name("mailboxes", "1"), "organizations/contoso/mailboxes/1");
        assert_eq!(connection.record_name("mailboxes", "organizations/o/mailboxes/1"), "organizations/o/mailboxes/1");
        assert_eq!(organization_name("organizations/o"), "organizations/o");
    }
}
