//! The row that lists an organization in the configuration database: its name, its id and its state, under a MAC of the root key.
//!
//! The name decides whose bindings count in an organization, and the state what a start does with its database. A user who can write to
//! the configuration database could exchange names, or have a database deleted; without the root key, nobody can make the MAC of such a
//! row. A row without its MAC is never believed and never touched. Nothing here opens a database.

use crate::{
    configuration::root_key_failed,
    crypto::{
        encoding::Encoding,
        root_key::{MacPurpose, RootKey},
    },
    id::{OrganizationId, Timestamp},
    name::{InvalidOrganizationName, OrganizationName},
    store::{Condition, Expect, Reader, Step, Unavailable},
    table::{
        configuration::ListedRow,
        declare::{self, TableRow as _},
    },
};

/// A row whose database may not exist yet.
pub(crate) const STATE_CREATING: &str = "creating";
/// A row whose database is being imported, or is there already.
pub(crate) const STATE_IMPORTING: &str = "importing";
/// A row whose organization is going, and isn't served any more.
pub(crate) const STATE_DELETING: &str = "deleting";
/// A row whose database exists.
pub const STATE_READY: &str = "ready";

const LABEL: &str = "sealward organization row v1";

/// An organization, as the configuration database lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name in this deployment.
    pub name: OrganizationName,
    /// Its id.
    pub id: OrganizationId,
    /// How far its creation, import or deletion is.
    pub state: String,
    /// When it was created.
    pub create_time: Timestamp,
}

/// A row as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What it says.
    pub row: Row,
    /// Its MAC; empty if it has none.
    mac: Vec<u8>,
}

/// The rows of the configuration database that list organizations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The organizations, authentic or not.
    pub organizations: Vec<Listed>,
    /// The rows whose name isn't the name of an organization. They are never authentic: the server lists no such name.
    pub misnamed: Vec<Misnamed>,
}

/// A row whose name isn't the name of an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misnamed {
    /// The name, as it is stored.
    pub name: String,
    /// The id.
    pub id: OrganizationId,
    /// Whether it is listed as ready.
    pub is_ready: bool,
}

impl Listing {
    fn of(rows: impl IntoIterator<Item = ListedRow>) -> Self {
        let mut listing = Listing::default();
        for ListedRow { name, id, state, create_time, mac } in rows {
            match name.parse() {
                Ok(name) => {
                    let row = Row { name, id, state, create_time };
                    listing.organizations.push(Listed { row, mac: mac.unwrap_or_default() });
                }
                Err(InvalidOrganizationName) => {
                    listing.misnamed.push(Misnamed { name, id, is_ready: state == STATE_READY });
                }
            }
        }
        listing
    }
}

impl Row {
    /// What the MAC is made over.
    fn message(&self) -> Vec<u8> {
        Encoding::new(LABEL)
            .part(self.name.as_str().as_bytes())
            .part(self.id.as_bytes())
            .part(self.state.as_bytes())
            .part(&self.create_time.unix_micros().to_be_bytes())
            .into_bytes()
    }

    fn mac(&self, root_key: &dyn RootKey) -> Result<Vec<u8>, Unavailable> {
        let mac = root_key.mac(MacPurpose::OrganizationRow, &self.message()).map_err(root_key_failed)?;
        Ok(mac.to_vec())
    }

    /// The step that lists it.
    pub(crate) fn insert(&self, root_key: &dyn RootKey) -> Result<Step, Unavailable> {
        let Row { name, id, state, create_time } = self.clone();
        let mac = Some(self.mac(root_key)?);
        Ok(ListedRow { name: name.to_string(), id, state, create_time, mac }.insert())
    }

    /// The step that moves it to another state.
    pub(crate) fn become_state(&self, state: &str, root_key: &dyn RootKey) -> Result<Step, Unavailable> {
        let moved = Row { state: state.to_owned(), ..self.clone() };
        let mac = moved.mac(root_key)?;
        let set = vec![ListedRow::state().set(moved.state), ListedRow::mac().set(Some(mac))];
        Ok(ListedRow::update(self.is_listed(), set, Expect::One))
    }

    /// The step that takes it off the list.
    pub(crate) fn unlist(&self, expect: Expect) -> Step {
        Step::Delete { table: ListedRow::TABLE.into(), rows: self.is_listed(), expect }
    }

    /// The condition that a row lists this organization under this name.
    fn is_listed(&self) -> Condition {
        ListedRow::name().is(self.name.to_string()).and(ListedRow::id().is(self.id))
    }
}

impl Listed {
    /// Whether a root key at hand has made the MAC of just this row.
    ///
    /// # Errors
    /// If the root key can't be used now.
    pub fn is_authentic(&self, root_key: &dyn RootKey) -> Result<bool, Unavailable> {
        root_key.verify_mac(MacPurpose::OrganizationRow, &self.row.message(), &self.mac).map_err(root_key_failed)
    }

    /// The step that gives the row the MAC of the first root key; `None` if it has that one already, or one that isn't authentic.
    pub(crate) fn under_first_root_key(&self, root_key: &dyn RootKey) -> Result<Option<Step>, Unavailable> {
        let mac = self.row.mac(root_key)?;
        if mac == self.mac || !self.is_authentic(root_key)? {
            return Ok(None);
        }
        let unmoved = self.row.is_listed().and(ListedRow::mac().is(Some(self.mac.clone())));
        Ok(Some(ListedRow::update(unmoved, vec![ListedRow::mac().set(Some(mac))], Expect::One)))
    }
}

/// Reads every row, whether it is authentic or not.
///
/// # Errors
/// If the configuration database doesn't answer, or lists something that isn't an organization.
pub async fn read_all(configuration: &dyn Reader) -> Result<Listing, Unavailable> {
    Ok(Listing::of(declare::read(configuration, ListedRow::all_columns(), Condition::EVERYTHING).await?))
}

/// As [`read_all`], from a configuration database whose rows have no MACs yet: none of them is authentic.
///
/// # Errors
/// See [`read_all`].
pub async fn read_without_macs(configuration: &dyn Reader) -> Result<Listing, Unavailable> {
    let columns = (ListedRow::name(), ListedRow::id(), ListedRow::state(), ListedRow::create_time());
    let found = declare::read(configuration, columns, Condition::EVERYTHING).await?.into_iter();
    Ok(Listing::of(found.map(|(name, id, state, create_time)| ListedRow { name, id, state, create_time, mac: None })))
}

/// Whether a row lists this organization, under any name.
///
/// # Errors
/// If the configuration database doesn't answer.
pub(crate) async fn is_listed(configuration: &dyn Reader, id: OrganizationId) -> Result<bool, Unavailable> {
    Ok(configuration.count(ListedRow::TABLE.into(), ListedRow::id().is(id)).await? > 0)
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;
    use crate::{
        crypto::{root_key::RootKeySet, secret::RootKeyBytes},
        store::{Assignment, Datum},
    };

    fn root_keys(first: u8, others: &[u8]) -> RootKeySet {
        let root = |byte: u8| RootKeyBytes::from_slice(&[byte; 32]).unwrap();
        RootKeySet::new(root(first), others.iter().copied().map(root).collect())
    }

    fn row() -> Row {
        Row {
            name: "contoso".parse().unwrap(),
            id: OrganizationId::from_bytes([0xA1; 16]),
            state: STATE_READY.to_owned(),
            create_time: Timestamp::from_unix_micros(1_700_000_000_000_000),
        }
    }

    fn listed_by(root_key: &dyn RootKey) -> Listed {
        Listed { row: row(), mac: row().mac(root_key).unwrap() }
    }

    #[test]
    fn row_changed_in_any_place_is_not_authentic() {
        let root_key = root_keys(1, &[]);
        let listed = listed_by(&root_key);
        assert!(listed.is_authentic(&root_key).unwrap());
        let changes: [fn(&mut Listed); 7] = [
            |listed| listed.row.name = "fabrikam".parse().unwrap(),
            |listed| listed.row.id = OrganizationId::from_bytes([0xA2; 16]),
            |listed| listed.row.state = STATE_DELETING.to_owned(),
            |listed| listed.row.create_time = Timestamp::from_unix_micros(0),
            |listed| listed.mac[0] ^= 1,
            |listed| listed.mac.clear(),
            |listed| listed.mac.truncate(31),
        ];
        for change in changes {
            let mut changed = listed.clone();
            change(&mut changed);
            assert!(!changed.is_authentic(&root_key).unwrap(), "{changed:?}");
            assert!(changed.under_first_root_key(&root_key).unwrap().is_none());
        }
        assert!(!listed.is_authentic(&root_keys(2, &[])).unwrap());
    }

    #[test]
    fn row_with_the_mac_of_a_former_root_key_gets_a_new_mac() {
        let listed = listed_by(&root_keys(1, &[]));
        let both = root_keys(2, &[1]);
        assert!(listed.is_authentic(&both).unwrap());
        let Some(Step::Update { set, .. }) = listed.under_first_root_key(&both).unwrap() else { panic!("no update") };
        let [Assignment::Set(_, Datum::Bytes(mac))] = &set[..] else { panic!("{set:?}") };
        let remade = Listed { row: row(), mac: mac.clone() };
        assert!(remade.is_authentic(&root_keys(2, &[])).unwrap());
        assert!(remade.under_first_root_key(&both).unwrap().is_none());
    }

    #[test]
    fn row_with_an_invalid_name_leaves_the_others_readable() {
        let listed = |name: &str, id| ListedRow {
            name: name.to_owned(),
            id: OrganizationId::from_bytes([id; 16]),
            state: STATE_READY.to_owned(),
            create_time: Timestamp::from_unix_micros(0),
            mac: None,
        };
        let listing = Listing::of([listed("contoso", 1), listed("No Name", 2), listed("fabrikam", 3)]);
        let names: Vec<_> = listing.organizations.iter().map(|listed| listed.row.name.as_str()).collect();
        assert_eq!(names, ["contoso", "fabrikam"]);
        let misnamed = Misnamed { name: "No Name".to_owned(), id: OrganizationId::from_bytes([2; 16]), is_ready: true };
        assert_eq!(listing.misnamed, [misnamed]);
    }

    /// Computed independently, with Python's hmac and hashlib.
    #[test]
    fn the_mac_of_a_row_never_changes() {
        assert_eq!(
            HEXLOWER.encode(&listed_by(&root_keys(1, &[])).mac),
            "abe2ad32e9167879377470184e9b529c58d7d3d6095bf3b980cbfa1019d539f9"
        );
    }
}
