//! The row of an organization in the configuration database: its name, id and state, with a MAC under the root key.
//!
//! The name determines the bindings that apply to an organization, and the state determines what a start does with its
//! database. A user with write access to the configuration database could exchange names, or cause a database to be
//! deleted. Without the root key, no user can create a valid MAC. A row without a valid MAC is never used or changed.
//! A row is changed or deleted only in the state that it was read in, because another server can change it too. This
//! file doesn't open databases.

use crate::{
    configuration::root_key_failed,
    crypto::{
        encoding::Encoding,
        root_key::{MacPurpose, RootKey},
    },
    id::{OrganizationId, Timestamp},
    name::{InvalidOrganizationName, OrganizationName},
    store::{Assignment, Condition, Expect, Reader, Step, Unavailable},
    table::{
        configuration::ListedRow,
        declare::{self, TableRow as _},
    },
};

/// The state of a row whose database may not exist yet.
pub(crate) const STATE_CREATING: &str = "creating";
/// The state of a row whose database is being imported, or already exists.
pub(crate) const STATE_IMPORTING: &str = "importing";
/// The state of a row whose organization is being deleted and is no longer served.
pub(crate) const STATE_DELETING: &str = "deleting";
/// The state of a row whose database exists.
pub const STATE_READY: &str = "ready";

const LABEL: &str = "sealward organization row v1";

/// An organization in the configuration database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The name of the organization in this deployment.
    pub name: OrganizationName,
    /// The id of the organization.
    pub id: OrganizationId,
    /// The progress of its creation, import or deletion.
    pub state: String,
    /// The creation time.
    pub create_time: Timestamp,
}

/// A row with its stored MAC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The row.
    pub row: Row,
    /// The MAC; empty if there is none.
    mac: Vec<u8>,
}

/// The rows of organizations in the configuration database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// The organizations, authentic or not.
    pub organizations: Vec<Listed>,
    /// The rows with an invalid name of an organization. They are never authentic, because the server writes no such
    /// name.
    pub misnamed: Vec<Misnamed>,
}

/// A row with an invalid name of an organization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misnamed {
    /// The stored name.
    pub name: String,
    /// The id.
    pub id: OrganizationId,
    /// Whether its state is *ready*.
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
    /// Returns the message of the MAC.
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

    /// Returns the step that inserts the row.
    pub(crate) fn insert(&self, root_key: &dyn RootKey) -> Result<Step, Unavailable> {
        let Row { name, id, state, create_time } = self.clone();
        let mac = Some(self.mac(root_key)?);
        Ok(ListedRow { name: name.to_string(), id, state, create_time, mac }.insert())
    }

    /// Returns the step that changes the state. Refused if the row has another state than this one.
    pub(crate) fn become_state(&self, state: &str, root_key: &dyn RootKey) -> Result<Step, Unavailable> {
        Ok(ListedRow::update(self.is_listed(), self.in_state(state, root_key)?, Expect::One))
    }

    /// Returns the step that changes the state to *deleting* from any state. An earlier attempt whose outcome is unknown
    /// may have changed it.
    pub(crate) fn become_deleting(&self, root_key: &dyn RootKey) -> Result<Step, Unavailable> {
        let set = self.in_state(STATE_DELETING, root_key)?;
        Ok(ListedRow::update(self.is_listed_in_any_state(), set, Expect::One))
    }

    fn in_state(&self, state: &str, root_key: &dyn RootKey) -> Result<Vec<Assignment>, Unavailable> {
        let moved = Row { state: state.to_owned(), ..self.clone() };
        let mac = moved.mac(root_key)?;
        Ok(vec![ListedRow::state().set(moved.state), ListedRow::mac().set(Some(mac))])
    }

    /// Returns the step that deletes the row, if it has this state.
    pub(crate) fn unlist(&self, expect: Expect) -> Step {
        Step::Delete { table: ListedRow::TABLE.into(), rows: self.is_listed(), expect }
    }

    /// Returns the condition for the row of this organization with this name and state.
    fn is_listed(&self) -> Condition {
        self.is_listed_in_any_state().and(ListedRow::state().is(self.state.clone()))
    }

    fn is_listed_in_any_state(&self) -> Condition {
        ListedRow::name().is(self.name.to_string()).and(ListedRow::id().is(self.id))
    }
}

impl Listed {
    /// Returns whether the MAC of this row is valid under a configured root key.
    ///
    /// # Errors
    /// If the root key is unavailable.
    pub fn is_authentic(&self, root_key: &dyn RootKey) -> Result<bool, Unavailable> {
        root_key.verify_mac(MacPurpose::OrganizationRow, &self.row.message(), &self.mac).map_err(root_key_failed)
    }

    /// Returns the step that replaces the MAC with one under the first root key; `None` if it already is, or if the row
    /// isn't authentic.
    pub(crate) fn under_first_root_key(&self, root_key: &dyn RootKey) -> Result<Option<Step>, Unavailable> {
        let mac = self.row.mac(root_key)?;
        if mac == self.mac || !self.is_authentic(root_key)? {
            return Ok(None);
        }
        let unmoved = self.row.is_listed().and(ListedRow::mac().is(Some(self.mac.clone())));
        Ok(Some(ListedRow::update(unmoved, vec![ListedRow::mac().set(Some(mac))], Expect::One)))
    }
}

/// Reads all rows, authentic or not.
///
/// # Errors
/// If the configuration database is unavailable or contains a malformed row.
pub async fn read_all(configuration: &dyn Reader) -> Result<Listing, Unavailable> {
    Ok(Listing::of(declare::read(configuration, ListedRow::all_columns(), Condition::EVERYTHING).await?))
}

/// Reads the row with this name; `None` if there is none.
///
/// # Errors
/// See [`read_all`].
pub(crate) async fn read_named(
    configuration: &dyn Reader,
    name: &OrganizationName,
) -> Result<Option<Listed>, Unavailable> {
    let rows = ListedRow::name().is(name.to_string());
    Ok(Listing::of(declare::read(configuration, ListedRow::all_columns(), rows).await?).organizations.pop())
}

/// Reads a row again, whatever its state is now. Returns `None` if it was deleted.
///
/// # Errors
/// See [`read_all`].
pub(crate) async fn read_again(configuration: &dyn Reader, row: &Row) -> Result<Option<Listed>, Unavailable> {
    let found = declare::read(configuration, ListedRow::all_columns(), row.is_listed_in_any_state()).await?;
    Ok(Listing::of(found).organizations.pop())
}

/// Like [`read_all`], from a configuration database of a version without MACs. No row is authentic.
///
/// # Errors
/// See [`read_all`].
pub async fn read_without_macs(configuration: &dyn Reader) -> Result<Listing, Unavailable> {
    let columns = (ListedRow::name(), ListedRow::id(), ListedRow::state(), ListedRow::create_time());
    let found = declare::read(configuration, columns, Condition::EVERYTHING).await?.into_iter();
    Ok(Listing::of(found.map(|(name, id, state, create_time)| ListedRow { name, id, state, create_time, mac: None })))
}

/// Returns whether a row has this organization's id, with any name.
///
/// # Errors
/// If the configuration database is unavailable.
pub(crate) async fn is_listed(configuration: &dyn Reader, id: OrganizationId) -> Result<bool, Unavailable> {
    Ok(configuration.count(ListedRow::TABLE.into(), ListedRow::id().is(id)).await? > 0)
}

#[cfg(test)]
mod tests {
    use data_encoding::HEXLOWER;

    use super::*;
    use crate::{
        crypto::{root_key::RootKeySet, secret::RootKeyBytes},
        store::Datum,
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
    fn mac_of_a_row_never_changes() {
        assert_eq!(
            HEXLOWER.encode(&listed_by(&root_keys(1, &[])).mac),
            "abe2ad32e9167879377470184e9b529c58d7d3d6095bf3b980cbfa1019d539f9"
        );
    }
}
