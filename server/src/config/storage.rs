//! Checks `[storage]`, the PostgreSQL database of a deployment.

use std::path::PathBuf;

use super::{
    faults::Faults,
    model::{Storage, StorageOwner},
};

const URL: &str = "storage.url";

/// The settings of `[storage]`, with resolved paths.
pub(super) struct Written {
    pub(super) url: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) ca: Option<PathBuf>,
    pub(super) client_certificate: Option<PathBuf>,
    pub(super) client_key: Option<PathBuf>,
    pub(super) owner: Option<String>,
    pub(super) owner_password_file: Option<PathBuf>,
}

pub(super) fn check(written: Written, faults: &mut Faults) -> Option<Storage> {
    let Written { url, password_file, ca, client_certificate, client_key, owner, owner_password_file } = written;
    let of_tls = [
        ("storage.ca", ca.is_some()),
        ("storage.client_certificate", client_certificate.is_some()),
        ("storage.client_key", client_key.is_some()),
    ];
    let Some(url) = url else {
        let others = [
            ("storage.password_file", password_file.is_some()),
            ("storage.owner", owner.is_some()),
            ("storage.owner_password_file", owner_password_file.is_some()),
        ];
        for (setting, _) in of_tls.into_iter().chain(others).filter(|(_, is_set)| *is_set) {
            faults.add(setting, "applies to PostgreSQL only: set storage.url");
        }
        return None;
    };
    let identity = match (client_certificate, client_key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        (Some(_), None) => {
            faults.add("storage.client_key", "missing: set the private key of storage.client_certificate");
            None
        }
        (None, Some(_)) => {
            faults.add("storage.client_certificate", "missing: set the certificate of storage.client_key");
            None
        }
    };
    if owner.as_deref() == Some("") {
        faults.add("storage.owner", "empty: set it to the role that owns the tables, or remove it");
    }
    if owner.is_none() && owner_password_file.is_some() {
        faults.add(
            "storage.owner_password_file",
            "applies to storage.owner only: set it to the role that owns the tables",
        );
    }
    let owner = owner.map(|role| StorageOwner { role, password_file: owner_password_file });
    let address = match url.parse::<sealward_store::postgres::PostgresAddress>() {
        Ok(address) => address,
        Err(error) => {
            // The text isn't repeated: it may contain a password.
            faults.add(URL, error.to_string());
            return None;
        }
    };
    if owner.as_ref().is_some_and(|owner| address.with_role(&owner.role) == address) {
        faults.add(
            "storage.owner",
            "is the role in storage.url: use another one, because the server's role must not own tables",
        );
    }
    if !address.needs_tls() {
        for (setting, _) in of_tls.into_iter().filter(|(_, is_set)| *is_set) {
            faults.add(setting, "applies to network connections only: a Unix socket has no TLS");
        }
    }
    Some(Storage { address, password_file, ca, identity, owner })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(change: impl FnOnce(&mut Written)) -> (Option<Storage>, Vec<String>) {
        let mut written = Written {
            url: Some("postgres://sealward@db.example.org/sealward".to_owned()),
            password_file: Some("password".into()),
            ca: None,
            client_certificate: None,
            client_key: None,
            owner: None,
            owner_password_file: None,
        };
        change(&mut written);
        let mut faults = Faults::default();
        let storage = check(written, &mut faults);
        (storage, faults.0.into_iter().map(|fault| fault.setting).collect())
    }

    #[test]
    fn settings_of_a_database_are_kept() {
        let (storage, faults) = checked(|written| written.owner = Some("sealward_owner".to_owned()));
        assert_eq!(faults, [""; 0]);
        let storage = storage.unwrap();
        assert!(storage.address.needs_tls());
        assert_eq!(storage.owner.unwrap().role, "sealward_owner");
    }

    #[test]
    fn setting_without_its_counterpart_is_refused() {
        let faults = |change: fn(&mut Written)| checked(change).1;
        assert_eq!(faults(|written| written.url = None), ["storage.password_file"]);
        assert_eq!(faults(|written| written.client_key = Some("key".into())), ["storage.client_certificate"]);
        assert_eq!(faults(|written| written.client_certificate = Some("pem".into())), ["storage.client_key"]);
        assert_eq!(faults(|written| written.owner_password_file = Some("p".into())), ["storage.owner_password_file"]);
        assert_eq!(faults(|written| written.owner = Some(String::new())), ["storage.owner"]);
        assert_eq!(faults(|written| written.owner = Some("sealward".to_owned())), ["storage.owner"]);
        let local = |written: &mut Written| {
            written.url = Some("postgres://sealward@%2Frun%2Fpostgresql/sealward".to_owned());
            written.ca = Some("ca".into());
        };
        assert_eq!(faults(local), ["storage.ca"]);
    }

    #[test]
    fn fault_of_an_address_does_not_contain_its_password() {
        let mut faults = Faults::default();
        let url = Some("postgres://sealward:hunter2@db.example.org/sealward".to_owned());
        let written = Written {
            url,
            password_file: None,
            ca: None,
            client_certificate: None,
            client_key: None,
            owner: None,
            owner_password_file: None,
        };
        assert!(check(written, &mut faults).is_none());
        assert_eq!(faults.0.len(), 1);
        assert!(!format!("{:?}", faults.0).contains("hunter2"));
    }
}
