//! `profile`: lists, shows and changes profiles.

use std::path::{Path, PathBuf};

use clap::{ArgMatches, FromArgMatches as _, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use crate::{
    connection::{
        ConnectionOptions,
        profile_file::{Profile, ProfileFile},
    },
    failure::Failure,
    output::{Column, Output, OutputOptions, RecordList, stderr},
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
        /// Profile [default: the profile in use].
        #[arg(value_name = "PROFILE")]
        name: Option<String>,
    },
    /// Create or change a profile from the connection options of this command.
    #[command(after_help = "\
Examples:
  sealward profile set writer --dev ./sealward-dev --as writer --use
  sealward profile set production --endpoint https://sealward.example.com:7443 --ca ca.pem --cert me.pem --key me.key
  sealward profile set production --organization contoso --output json --timeout 60
  sealward profile set production --unset output

Only options on the command line are saved. For --dev and --as, the paths of the
three files are saved.")]
    Set {
        /// Profile to create or change.
        #[arg(value_name = "PROFILE")]
        name: String,
        /// Make it the default profile.
        #[arg(long = "use")]
        is_default: bool,
        /// Setting to remove from the profile; repeatable.
        #[arg(long, value_name = "SETTING", value_enum)]
        unset: Vec<Setting>,
    },
    /// Set the default profile.
    #[command(after_help = "Example:\n  sealward profile use production")]
    Use {
        /// Profile to use by default.
        #[arg(value_name = "PROFILE")]
        name: String,
    },
    /// Remove a profile, but not the files that it refers to.
    #[command(after_help = "Example:\n  sealward profile remove production")]
    Remove {
        /// Profile to remove.
        #[arg(value_name = "PROFILE")]
        name: String,
    },
}

/// A setting of a profile, in the spelling of options.
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
                Failure::usage("no default profile is set: name a profile; `sealward profile list` lists them")
            })?;
            output.named(&to_json(name, &file.get(name)?))
        }
        ProfileCommand::Set { name, is_default, unset } => {
            let settings = with_absolute_paths(options.command_line_settings(matches)?)?;
            unset.iter().for_each(|setting| file.unset(&name, setting.name()));
            file.set(&name, &settings)?;
            let mut file = file.write()?;
            if is_default {
                file.set_default(&name)?;
                file = file.write()?;
            }
            let advice = match file.default_name() {
                Some(default) if default == name => "It is the default profile.".to_owned(),
                Some(_) | None => {
                    format!("To use it: --profile {name}. To make it the default: sealward profile use {name}")
                }
            };
            stderr::notice(&format!("Saved profile {name} in {}.\n{advice}", file.path().display()));
            Ok(())
        }
        ProfileCommand::Use { name } => {
            file.set_default(&name)?;
            file.write()?;
            stderr::notice(&format!("Profile {name} is now the default."));
            Ok(())
        }
        ProfileCommand::Remove { name } => {
            file.remove(&name)?;
            file.write()?;
            stderr::notice(&format!("Removed profile {name}."));
            Ok(())
        }
    }
}

fn list(file: &ProfileFile, output: &Output) -> Result<(), Failure> {
    let names = file.names();
    let profiles = names.iter().map(|name| Ok(to_json(name, &file.get(name)?))).collect::<Result<_, Failure>>()?;
    let default = file.default_name().map(str::to_owned);
    let extra_fields = default.iter().map(|name| ("default_profile".to_owned(), json!(name))).collect();
    let is_default = Column {
        heading: "default".to_owned(),
        value: Box::new(move |profile| {
            let is_default = profile.get("name").and_then(Value::as_str) == default.as_deref();
            if is_default { "yes" } else { "" }.to_owned()
        }),
    };
    let mut columns = vec![Column::of("name"), is_default];
    columns.extend(["endpoint", "organization", "cert"].map(Column::of));
    output.list(RecordList { collection: "profiles", records: profiles, columns, full_columns: 1, extra_fields })
}

fn to_json(name: &str, profile: &Profile) -> Value {
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
    let present = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(present.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

/// Makes the paths absolute, so that the profile works from any directory. A missing file is an error: it is probably a typo.
fn with_absolute_paths(mut profile: Profile) -> Result<Profile, Failure> {
    for file in profile.files() {
        if !file.is_file() {
            return Err(Failure::usage(format!("file not found: {}", file.display())));
        }
        *file = std::path::absolute(&*file)
            .map_err(|error| Failure::usage(format!("can't resolve {}: {error}", file.display())))?;
    }
    Ok(profile)
}

impl Setting {
    /// The name in the file.
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
