//! `profile`: looks at profiles and changes them.

use std::path::{Path, PathBuf};

use clap::{ArgMatches, FromArgMatches as _, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use crate::{
    connection::ConnectionOptions,
    failure::Failure,
    output::{Column, Listed, Output, OutputOptions},
    profile_file::{Profile, ProfileFile},
    stderr,
};

/// The commands under `profile`.
#[derive(Subcommand)]
pub(super) enum ProfileCommand {
    /// List the profiles.
    #[command(after_help = "Example:\n  sealward profile list")]
    List,
    /// Show a profile.
    #[command(after_help = "Examples:\n  sealward profile show\n  sealward profile show production")]
    Show {
        /// Which one. Default: the one that a command would use.
        #[arg(value_name = "PROFILE")]
        name: Option<String>,
    },
    /// Make a profile of the connection settings given, or change those of one.
    #[command(after_help = "\
Examples:
  sealward profile set writer --dev ./sealward-dev --as writer --use
  sealward profile set production --endpoint https://sealward.example.com:7443 --ca ca.pem --cert me.pem --key me.key
  sealward profile set production --organization contoso --output json --timeout 60
  sealward profile set production --unset output

Only what stands on the command line is kept; of --dev and --as, the three files that they stand for.")]
    Set {
        /// The profile to make or change.
        #[arg(value_name = "PROFILE")]
        name: String,
        /// Use it wherever no profile is asked for.
        #[arg(long = "use")]
        is_default: bool,
        /// Leave a setting out from now on; can be given several times.
        #[arg(long, value_name = "SETTING", value_enum)]
        unset: Vec<Setting>,
    },
    /// Use a profile wherever none is asked for.
    #[command(after_help = "Example:\n  sealward profile use production")]
    Use {
        /// Which one.
        #[arg(value_name = "PROFILE")]
        name: String,
    },
    /// Remove a profile; the files that it names stay.
    #[command(after_help = "Example:\n  sealward profile remove production")]
    Remove {
        /// Which one.
        #[arg(value_name = "PROFILE")]
        name: String,
    },
}

/// A setting of a profile, as options write it.
#[derive(Clone, Copy, ValueEnum)]
pub(super) enum Setting {
    Endpoint,
    Ca,
    Cert,
    Key,
    TokenFile,
    DomainName,
    Organization,
    Timeout,
    Output,
}

pub(super) fn run(command: ProfileCommand, matches: &ArgMatches) -> Result<(), Failure> {
    let options = ConnectionOptions::from_arg_matches(matches)?;
    let output = Output::new(OutputOptions::from_arg_matches(matches)?.output);
    let mut file = options.profile_file()?;
    match command {
        ProfileCommand::List => list(&file, &output),
        ProfileCommand::Show { name } => {
            let name = name.as_deref().or(options.profile_name()).or(file.default_name());
            let name = name.ok_or_else(|| {
                Failure::usage("no profile is asked for, and none is the default: sealward profile list shows all")
            })?;
            output.named(&shown(name, &file.get(name)?))
        }
        ProfileCommand::Set { name, is_default, unset } => {
            let given = absolute(options.given(matches)?)?;
            unset.iter().for_each(|setting| file.unset(&name, setting.name()));
            file.set(&name, &given)?;
            let mut file = file.write()?;
            if is_default {
                file.use_by_default(&name)?;
                file = file.write()?;
            }
            let advice = match file.default_name() {
                Some(default) if default == name => "It is used wherever no other is asked for.".to_owned(),
                Some(_) | None => format!("To use it: --profile {name}, or for good: sealward profile use {name}"),
            };
            stderr::notice(&format!("Profile {name} is kept in {}.\n{advice}", file.path().display()));
            Ok(())
        }
        ProfileCommand::Use { name } => {
            file.use_by_default(&name)?;
            file.write()?;
            stderr::notice(&format!("Profile {name} is used wherever no other is asked for."));
            Ok(())
        }
        ProfileCommand::Remove { name } => {
            file.remove(&name)?;
            file.write()?;
            stderr::notice(&format!("Removed profile {name}"));
            Ok(())
        }
    }
}

fn list(file: &ProfileFile, output: &Output) -> Result<(), Failure> {
    let names = file.names();
    let profiles = names.iter().map(|name| Ok(shown(name, &file.get(name)?))).collect::<Result<_, Failure>>()?;
    let default = file.default_name().map(str::to_owned);
    let more = default.iter().map(|name| ("default_profile".to_owned(), json!(name))).collect();
    let is_default = Column {
        heading: "default".to_owned(),
        value: Box::new(move |profile| {
            let is_default = profile.get("name").and_then(Value::as_str) == default.as_deref();
            if is_default { "yes" } else { "" }.to_owned()
        }),
    };
    let mut columns = vec![Column::of("name"), is_default];
    columns.extend(["endpoint", "organization", "cert"].map(Column::of));
    output.list(Listed { collection: "profiles", records: profiles, columns, whole: 1, more })
}

fn shown(name: &str, profile: &Profile) -> Value {
    let path = |path: &Option<PathBuf>| json!(path.as_deref().map(Path::to_string_lossy));
    let fields = [
        ("name", json!(name)),
        ("endpoint", json!(profile.endpoint)),
        ("ca", path(&profile.ca)),
        ("cert", path(&profile.cert)),
        ("key", path(&profile.key)),
        ("token_file", path(&profile.token_file)),
        ("domain_name", json!(profile.domain_name)),
        ("organization", json!(profile.organization)),
        ("timeout_seconds", json!(profile.timeout_seconds)),
        ("output", json!(profile.output)),
    ];
    let given = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(given.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

/// The same from any folder. A file that isn't there is a slip of the keyboard.
fn absolute(mut profile: Profile) -> Result<Profile, Failure> {
    for file in profile.files() {
        if !file.is_file() {
            return Err(Failure::usage(format!("there is no file {}", file.display())));
        }
        *file = std::path::absolute(&*file)
            .map_err(|error| Failure::usage(format!("{} can't be found: {error}", file.display())))?;
    }
    Ok(profile)
}

impl Setting {
    /// As the file has it.
    fn name(self) -> &'static str {
        match self {
            Self::Endpoint => "endpoint",
            Self::Ca => "ca",
            Self::Cert => "cert",
            Self::Key => "key",
            Self::TokenFile => "token_file",
            Self::DomainName => "domain_name",
            Self::Organization => "organization",
            Self::Timeout => "timeout_seconds",
            Self::Output => "output",
        }
    }
}
