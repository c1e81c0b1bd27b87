//! Profiles: named connection settings in a TOML file.
//!
//! The file contains paths of keys, never keys. A user who can write to the file decides which server this client trusts, so a file that is
//! writable by other users is refused. Writing is atomic, and keeps comments and order.

use std::{
    env, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use serde::Deserialize;
use tempfile::NamedTempFile;
use toml_edit::{DocumentMut, Item, Table, value};

use crate::{failure::Failure, output::Format};

/// The settings of a profile; all are optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    pub(crate) endpoint: Option<String>,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) token_file: Option<PathBuf>,
    pub(crate) domain_name: Option<String>,
    pub(crate) organization: Option<String>,
    pub(crate) timeout_seconds: Option<u64>,
    pub(crate) output: Option<Format>,
}

impl Profile {
    /// The paths in the profile.
    pub(crate) fn files(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        [&mut self.ca, &mut self.cert, &mut self.key, &mut self.token_file].into_iter().flatten()
    }
}

/// The file with all profiles.
pub(crate) struct ProfileFile {
    path: PathBuf,
    document: DocumentMut,
    content: Content,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    default_profile: Option<String>,
    #[serde(default)]
    profiles: std::collections::BTreeMap<String, Profile>,
}

/// Settings that every configuration of a server has, and no file with profiles.
const SERVER_SETTINGS: [&str; 2] = ["data_dir", "root_key"];

impl ProfileFile {
    /// The path of the file without `--config` and SEALWARD_CLIENT_CONFIG.
    pub(crate) fn default_path() -> Result<PathBuf, Failure> {
        let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let folder = absolute("XDG_CONFIG_HOME").or_else(|| Some(env::home_dir()?.join(".config")));
        let folder = folder.ok_or_else(|| Failure::usage("no home folder for the profiles: use --config FILE"))?;
        Ok(folder.join("sealward").join("config.toml"))
    }

    /// Reads the file; a missing file has no profiles.
    pub(crate) fn read(path: PathBuf) -> Result<Self, Failure> {
        let text = match fs::File::open(&path) {
            Ok(file) => {
                check_writers(&path, &file)?;
                io::read_to_string(file)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error),
        };
        let text =
            text.map_err(|error| Failure::usage(format!("can't read profiles from {}: {error}", path.display())))?;
        Self::parse(path, &text)
    }

    fn parse(path: PathBuf, text: &str) -> Result<Self, Failure> {
        if text.contains("PRIVATE KEY-----") {
            return Err(Failure::usage(format!(
                "{} contains a private key: move the key to its own file, and set `key` to the path of that file",
                path.display()
            )));
        }
        // The error's own Display shows the line, which may contain a secret.
        let invalid = |span: Option<std::ops::Range<usize>>, message: &str| {
            let line =
                span.and_then(|span| text.get(..span.start)).map_or(1, |before| before.matches('\n').count() + 1);
            Failure::usage(format!("{}, line {line}: {message}", path.display()))
        };
        let document: DocumentMut =
            text.parse().map_err(|error: toml_edit::TomlError| invalid(error.span(), error.message()))?;
        // Parsed from the text again, because a `DocumentMut` has no positions for errors.
        let content: Content = toml_edit::de::from_str(text).map_err(|error| {
            if SERVER_SETTINGS.iter().any(|setting| document.contains_key(setting)) {
                let path = path.display();
                return Failure::usage(format!(
                    "{path} is the configuration of a server: use a file with profiles, which sealward profile set creates"
                ));
            }
            invalid(error.span(), error.message())
        })?;
        Ok(Self { path, document, content })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The names of all profiles.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.content.profiles.keys().map(String::as_str).collect()
    }

    /// The name of the default profile.
    pub(crate) fn default_name(&self) -> Option<&str> {
        self.content.default_profile.as_deref()
    }

    /// The profile of this name. Relative paths in it are resolved against the folder of the file.
    pub(crate) fn get(&self, name: &str) -> Result<Profile, Failure> {
        let Some(profile) = self.content.profiles.get(name) else { return Err(self.missing(name)) };
        let mut profile = profile.clone();
        let folder = self.path.parent().unwrap_or(Path::new(""));
        for file in profile.files() {
            *file = folder.join(&*file);
        }
        Ok(profile)
    }

    fn missing(&self, name: &str) -> Failure {
        let path = self.path.display();
        let names = self.names();
        Failure::usage(if names.is_empty() {
            format!("profile {name} not found: {path} has no profiles; to create it: sealward profile set {name}")
        } else {
            format!("profile {name} not found: {path} has {}", names.join(", "))
        })
    }

    /// Updates the profile of this name with the settings that `profile` has. Creates it if it doesn't exist.
    pub(crate) fn set(&mut self, name: &str, profile: &Profile) -> Result<(), Failure> {
        check_name(name)?;
        let profiles = self.document.entry("profiles").or_insert_with(implicit_table);
        let table = profiles
            .as_table_like_mut()
            .and_then(|profiles| profiles.entry(name).or_insert_with(|| Item::Table(Table::new())).as_table_like_mut());
        let table = table.ok_or_else(|| Failure::usage("`profiles` must be a table"))?;
        for (setting, given) in settings(profile) {
            if let Some(given) = given {
                table.insert(setting, given);
            }
        }
        Ok(())
    }

    /// Removes a setting from a profile.
    pub(crate) fn unset(&mut self, name: &str, setting: &str) {
        let profile = self.document.get_mut("profiles").and_then(|profiles| profiles.get_mut(name));
        if let Some(profile) = profile.and_then(Item::as_table_like_mut) {
            profile.remove(setting);
        }
    }

    pub(crate) fn set_default(&mut self, name: &str) -> Result<(), Failure> {
        self.get(name)?;
        self.document.insert("default_profile", value(name));
        Ok(())
    }

    pub(crate) fn remove(&mut self, name: &str) -> Result<(), Failure> {
        self.get(name)?;
        if let Some(profiles) = self.document.get_mut("profiles").and_then(Item::as_table_like_mut) {
            profiles.remove(name);
        }
        if self.default_name() == Some(name) {
            self.document.remove("default_profile");
        }
        Ok(())
    }

    /// Writes the file atomically, readable only by its owner. Creates its folder if needed.
    pub(crate) fn write(self) -> Result<Self, Failure> {
        let text = self.document.to_string();
        let written = Self::parse(self.path, &text)?;
        // Follows a symbolic link instead of replacing it.
        let target = fs::canonicalize(&written.path).unwrap_or_else(|_| written.path.clone());
        replace(&target, &text)
            .map_err(|error| Failure::usage(format!("can't write profiles to {}: {error}", written.path.display())))?;
        Ok(written)
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    create_private_folder(folder)?;
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(unix)]
fn create_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn create_private_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// Refuses a file that another user owns, or that is writable by group or others.
#[cfg(unix)]
fn check_writers(path: &Path, file: &fs::File) -> Result<(), Failure> {
    use std::os::unix::fs::MetadataExt as _;
    let facts = file
        .metadata()
        .map_err(|error| Failure::usage(format!("can't check permissions of {}: {error}", path.display())))?;
    let path = path.display();
    if facts.mode() & 0o022 != 0 {
        return Err(Failure::usage(format!(
            "{path} is writable by other users, who could make you trust another server: check its content, then run chmod go-w {path}"
        )));
    }
    let owners = [0, rustix::process::geteuid().as_raw()];
    if !owners.contains(&facts.uid()) {
        return Err(Failure::usage(format!(
            "{path} belongs to another user, who could make you trust another server: create your own file"
        )));
    }
    Ok(())
}

/// Not checked on this platform: the permissions of the user's folder protect the file.
#[cfg(not(unix))]
fn check_writers(_path: &Path, _file: &fs::File) -> Result<(), Failure> {
    Ok(())
}

fn check_name(name: &str) -> Result<(), Failure> {
    let is_name = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if !name.is_empty() && name.chars().all(is_name) {
        Ok(())
    } else {
        Err(Failure::usage(format!(
            "invalid profile name {name:?}: use letters, digits, hyphens, dots and underscores"
        )))
    }
}

/// The settings with their names in the file.
fn settings(profile: &Profile) -> [(&'static str, Option<Item>); 9] {
    let text = |given: &Option<String>| given.as_ref().map(value);
    let file = |given: &Option<PathBuf>| given.as_ref().map(|path| value(path.to_string_lossy().into_owned()));
    let format = profile.output.map(|format| match format {
        Format::Table => "table",
        Format::Json => "json",
        Format::Name => "name",
    });
    [
        ("endpoint", text(&profile.endpoint)),
        ("ca", file(&profile.ca)),
        ("cert", file(&profile.cert)),
        ("key", file(&profile.key)),
        ("token_file", file(&profile.token_file)),
        ("domain_name", text(&profile.domain_name)),
        ("organization", text(&profile.organization)),
        ("timeout_seconds", profile.timeout_seconds.and_then(|seconds| i64::try_from(seconds).ok()).map(value)),
        ("output", format.map(value)),
    ]
}

/// A table that isn't written itself: the file has only `[profiles.NAME]`.
fn implicit_table() -> Item {
    let mut table = Table::new();
    table.set_implicit(true);
    Item::Table(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<ProfileFile, String> {
        ProfileFile::parse("/home/ada/.config/sealward/config.toml".into(), text).map_err(|failure| {
            let Failure::Usage(text) = failure else { panic!("{failure:?}") };
            text
        })
    }

    fn refusal(text: &str) -> String {
        parse(text).err().unwrap()
    }

    #[test]
    fn files_of_a_profile_are_relative_to_its_folder() {
        let file = parse(
            "default_profile = \"prod\"\n[profiles.prod]\nendpoint = \"https://example.com:7443\"\nca = \"ca.pem\"\n\
             cert = \"/etc/me.pem\"\ntimeout_seconds = 5\noutput = \"json\"\n",
        );
        let file = file.unwrap();
        assert_eq!((file.default_name(), file.names()), (Some("prod"), vec!["prod"]));
        let profile = file.get("prod").ok().unwrap();
        assert_eq!(profile.ca.as_deref(), Some(Path::new("/home/ada/.config/sealward/ca.pem")));
        assert_eq!(profile.cert.as_deref(), Some(Path::new("/etc/me.pem")));
        assert_eq!((profile.timeout_seconds, profile.output), (Some(5), Some(Format::Json)));
        let Err(Failure::Usage(missing)) = file.get("test") else { panic!() };
        assert!(missing.contains("config.toml has prod"), "{missing}");
    }

    #[test]
    fn fault_in_a_profile_is_reported_with_its_line_without_the_value() {
        let unknown = refusal("\n[profiles.a]\npassword = \"canary\"\n");
        assert!(unknown.contains("line 3: ") && unknown.contains("password"), "{unknown}");
        let broken = refusal("[profiles.a]\nkey = canary\n");
        assert!(broken.contains("line 2: "), "{broken}");
        let key =
            refusal("[profiles.a]\nkey = \"\"\"-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\"\"\"");
        assert!(key.contains("contains a private key"), "{key}");
        for text in [unknown, broken, key] {
            assert!(!text.contains("canary"), "{text}");
        }
    }

    #[test]
    fn changes_keep_comments_and_other_settings() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sealward/config.toml");
        let mut file = ProfileFile::read(path.clone()).ok().unwrap();
        let first =
            Profile { endpoint: Some("https://a".to_owned()), ca: Some("/ca.pem".into()), ..Profile::default() };
        file.set("a", &first).ok().unwrap();
        file.set("b", &Profile::default()).ok().unwrap();
        let file = file.write().ok().unwrap();
        assert_eq!(file.get("a").ok().unwrap(), first);
        let commented = format!("# mine\n{}", fs::read_to_string(&path).unwrap());
        assert!(commented.contains("[profiles.a]\n") && !commented.contains("[profiles]\n"), "{commented}");
        fs::write(&path, commented).unwrap();

        let mut file = ProfileFile::read(path.clone()).ok().unwrap();
        file.set("a", &Profile { organization: Some("contoso".to_owned()), ..Profile::default() }).ok().unwrap();
        file.unset("a", "ca");
        let mut file = file.write().ok().unwrap();
        let changed = file.get("a").ok().unwrap();
        assert_eq!(
            (changed.endpoint, changed.ca, changed.organization),
            (first.endpoint.clone(), None, Some("contoso".to_owned()))
        );
        assert!(fs::read_to_string(&path).unwrap().starts_with("# mine\n"));

        file.set_default("a").ok().unwrap();
        let mut file = file.write().ok().unwrap();
        assert_eq!(file.default_name(), Some("a"));
        assert!(file.set_default("c").is_err() && file.remove("c").is_err() && file.set("a b", &first).is_err());
        file.remove("a").ok().unwrap();
        let file = file.write().ok().unwrap();
        assert_eq!((file.default_name(), file.names()), (None, vec!["b"]));
    }

    #[cfg(unix)]
    #[test]
    fn profile_file_writable_by_other_users_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        ProfileFile::read(path.clone()).ok().unwrap().write().ok().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        for (mode, is_accepted) in [(0o600, true), (0o644, true), (0o620, false), (0o602, false)] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let read = ProfileFile::read(path.clone());
            assert_eq!(read.is_ok(), is_accepted, "{mode:o}");
            if let Err(Failure::Usage(text)) = read {
                assert!(text.contains("chmod go-w"), "{text}");
            }
        }
    }
}
