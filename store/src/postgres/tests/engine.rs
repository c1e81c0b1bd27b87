//! The rules of a distributed engine, as the proxy applies them to each session.
//!
//! CockroachDB, YugabyteDB and Citus refuse some statements of PostgreSQL, or execute them on one node only. A store that
//! is written for them sends none of these. Citus finds the node of a statement by the organization's id, so every statement on
//! a table names it, with the value that is set for the transaction.

use std::collections::HashMap;

use bytes::Bytes;
use uuid::Uuid;

/// A session of a role.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) role: String,
    transaction: Option<Transaction>,
    /// The texts of the prepared statements, by their names.
    prepared: HashMap<String, String>,
}

#[derive(Debug, Default)]
struct Transaction {
    writes: bool,
    organization: Option<Uuid>,
    defines: bool,
    changes_rows: bool,
}

/// The only statements that read the rows of all organizations, or of a table without organizations.
const OF_ALL: [(&str, &str); 3] = [
    // The list of the organizations, at a start and about once a second.
    ("SELECT", r#""_guard" WHERE state = ANY($1)"#),
    // The locks that servers have left behind, about once a second.
    ("SELECT", r#""_lease" WHERE expires < clock_timestamp()"#),
    // One migration at a time, by the role that owns the tables. Engines without this lock need another one.
    ("LOCK TABLE", r#""_migration" IN EXCLUSIVE MODE"#),
];

/// The table whose rows may be another organization's than that of the transaction: a commit to the configuration database
/// compares the lock of the organization that it is about.
const LEASES: &str = r#"sealward."_lease""#;

const OWNER: &str = "sealward_owner";

impl Session {
    pub(super) fn new(role: String) -> Self {
        Session { role, ..Session::default() }
    }

    /// Returns whether the session is in a transaction that writes.
    pub(super) fn writes(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.writes)
    }

    /// A statement is prepared. Returns why it is refused.
    pub(super) fn prepare(&mut self, name: String, text: String) -> Option<String> {
        let refused = self.check(&text);
        self.prepared.insert(name, text);
        refused
    }

    pub(super) fn text(&self, name: &str) -> &str {
        self.prepared.get(name).map_or("", String::as_str)
    }

    /// Statements are executed. Returns why they are refused.
    pub(super) fn query(&mut self, texts: &str) -> Option<String> {
        texts.split(';').map(str::trim).filter(|text| !text.is_empty()).find_map(|text| self.check(text))
    }

    /// A statement with these values is executed. Returns why it is refused.
    pub(super) fn bind(&mut self, name: &str, values: &[Option<Bytes>]) -> Option<String> {
        let text = self.prepared.get(name)?;
        let transaction = self.transaction.as_mut()?;
        if text.contains("set_config('sealward.organization', $1") {
            let value = values.first().and_then(Option::as_ref)?;
            transaction.organization = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            return None;
        }
        if !text.contains("sealward.\"") || text.contains(LEASES) {
            return None;
        }
        let is_id = |value: &Bytes| transaction.organization.is_some_and(|id| value[..] == id.as_bytes()[..]);
        let is_bound = values.iter().flatten().any(is_id);
        (!is_bound).then(|| format!("not of the organization of the transaction: {text}"))
    }

    fn check(&mut self, text: &str) -> Option<String> {
        let mut words = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
        let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let refused = |reason: &str| Some(format!("{reason}: {text}"));
        let in_transaction = self.transaction.is_some();
        if text.contains("pg_notify") || text.contains("advisory") {
            return refused("notification or advisory lock");
        }
        if text.matches("set_config(").count() != text.matches(", true)").count() {
            return refused("setting of a session");
        }
        let mut defines = false;
        let mut changes_rows = false;
        match first {
            "BEGIN" if in_transaction => return refused("transaction in a transaction"),
            "BEGIN" => {
                let writes = text.contains("READ WRITE");
                self.transaction = Some(Transaction { writes, ..Transaction::default() });
                return None;
            }
            "COMMIT" | "ROLLBACK" => {
                self.transaction = None;
                return None;
            }
            "LISTEN" | "UNLISTEN" | "NOTIFY" => return refused("notification"),
            "LOCK" if self.role != OWNER => return refused("lock of a table"),
            "SET" if second == "LOCAL" && in_transaction => {}
            "SET" | "RESET" | "DISCARD" | "PREPARE" | "EXECUTE" | "DEALLOCATE" | "DECLARE" => {
                return refused("state of a session");
            }
            "CREATE" if second.starts_with("TEMP") => return refused("state of a session"),
            "CREATE" | "ALTER" | "DROP" | "GRANT" | "REVOKE" | "TRUNCATE" | "COMMENT" => defines = true,
            "INSERT" | "UPDATE" | "DELETE" | "MERGE" | "WITH" => changes_rows = true,
            "SELECT" | "SHOW" | "LOCK" => {}
            _ => return refused("unknown statement"),
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.defines |= defines;
            transaction.changes_rows |= changes_rows;
            if transaction.defines && transaction.changes_rows {
                return refused("definitions and rows in one transaction");
            }
        }
        let is_of_all = OF_ALL.iter().any(|(start, rest)| text.starts_with(start) && text.contains(rest));
        (!defines && !is_of_all && !names_the_organization(text)).then(|| format!("no organization: {text}"))
    }
}

/// Returns whether each table in the statement is followed by the id: as a condition, or as the first of the columns that
/// are inserted.
fn names_the_organization(text: &str) -> bool {
    const ID: &str = "_organization_id";
    let text = text.replace(&format!("\"{ID}\""), ID);
    let mut before = "";
    for (number, part) in text.split("sealward.").enumerate() {
        // The first part precedes all tables. A setting is in quotes.
        if number > 0 && !before.ends_with('\'') {
            let is_named = match before.ends_with("INSERT INTO ") {
                true => part.split_once(" (").is_some_and(|(_, columns)| columns.starts_with(ID)),
                false => part.contains(&format!("{ID} = $")),
            };
            if !is_named {
                return false;
            }
        }
        before = part;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Uuid = Uuid::from_bytes([7; 16]);
    const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";
    const SET: &str = "SELECT set_config('sealward.organization', $1, true), set_config('statement_timeout', $2, true)";

    #[test]
    fn statement_without_the_id_is_refused() {
        let refused = |text: &str| Session::new("sealward".to_owned()).query(text).is_some();
        for text in [
            r#"SELECT "id" FROM sealward."Entry""#,
            r#"SELECT count(*) FROM sealward."Entry" WHERE "name" = $1"#,
            r#"SELECT "_organization_id" FROM sealward."Entry""#,
            r#"INSERT INTO sealward."Entry" ("id") VALUES ($1)"#,
            r#"INSERT INTO sealward."Entry" ("id") VALUES ($1) ON CONFLICT ("_organization_id", "id") DO NOTHING"#,
            r#"INSERT INTO sealward."A" ("_organization_id", "id") SELECT $1, "id" FROM sealward."B""#,
            r#"INSERT INTO sealward."A" ("id") SELECT "id" FROM sealward."B" WHERE "_organization_id" = $1"#,
            r#"UPDATE sealward."Entry" SET "name" = $1"#,
            r#"DELETE FROM sealward."Entry" WHERE "id" IN (SELECT "id" FROM sealward."Entry" WHERE "_organization_id" = $1)"#,
            r#"WITH "step" AS (DELETE FROM sealward."Entry" WHERE TRUE RETURNING 1) SELECT 1"#,
            r#"SELECT 1 / count(*) FROM (SELECT 1 FROM sealward."_guard" WHERE epoch = $1 LIMIT 1) AS "found""#,
        ] {
            assert!(refused(text), "{text}");
        }
        for text in [
            r#"SELECT "id" FROM sealward."Entry" WHERE "_organization_id" = $1 AND TRUE"#,
            r#"SELECT "id" FROM sealward."Entry" WHERE _organization_id = $1 AND TRUE"#,
            r#"INSERT INTO sealward."Entry" (_organization_id, "id") VALUES ($1, $2)"#,
            r#"INSERT INTO sealward."_lease" AS lease ("_organization_id", fence) VALUES ($1, 1)"#,
            r#"INSERT INTO sealward."A" ("_organization_id", "id") SELECT $1, "id" FROM sealward."B" WHERE "_organization_id" = $2"#,
            SET,
            "SELECT n.nspname FROM pg_namespace n WHERE n.nspname = 'sealward'",
        ] {
            assert!(!refused(text), "{text}");
        }
    }

    #[test]
    fn statement_of_another_organization_is_refused() {
        const READ: &str = r#"SELECT "id" FROM sealward."Entry" WHERE "_organization_id" = $1"#;
        let value = |bytes: &[u8]| [Some(Bytes::copy_from_slice(bytes))];
        let mut session = Session::new("sealward".to_owned());
        assert_eq!(session.prepare("read".to_owned(), READ.to_owned()), None);
        assert_eq!(session.query(BEGIN), None);
        // Before the transaction has an organization.
        assert!(session.bind("read", &value(ONE.as_bytes())).is_some());
        assert_eq!(session.prepare(String::new(), SET.to_owned()), None);
        assert_eq!(session.bind("", &value(ONE.to_string().as_bytes())), None);
        assert_eq!(session.bind("read", &value(ONE.as_bytes())), None);
        assert!(session.bind("read", &value(&[8; 16])).is_some());
    }

    #[test]
    fn statement_that_engines_refuse_is_refused() {
        let refused = |role: &str, texts: &str| Session::new(role.to_owned()).query(texts).is_some();
        for text in [
            "LISTEN changes",
            "NOTIFY changes",
            "SELECT pg_notify('changes', 'one')",
            "SELECT pg_advisory_xact_lock(1)",
            "SELECT pg_try_advisory_lock(1)",
            "SET statement_timeout = 1",
            "SET LOCAL statement_timeout = 1",
            "BEGIN; SET statement_timeout = 1",
            "SELECT set_config('statement_timeout', '1', false)",
            "CREATE TEMPORARY TABLE more (id integer)",
            "DISCARD ALL",
            "BEGIN; BEGIN",
            r#"BEGIN; CREATE TABLE sealward."A" (id integer); INSERT INTO sealward."A" ("_organization_id") VALUES ($1)"#,
            r#"BEGIN; DELETE FROM sealward."A" WHERE "_organization_id" = $1; GRANT SELECT ON sealward."A" TO sealward"#,
        ] {
            assert!(refused("sealward", text), "{text}");
            assert!(refused(OWNER, text), "{text}");
        }
        let lock = r#"BEGIN; LOCK TABLE sealward."_migration" IN EXCLUSIVE MODE"#;
        assert!(refused("sealward", lock) && !refused(OWNER, lock));
        let apart =
            r#"BEGIN; CREATE TABLE sealward."A" (id integer); COMMIT; BEGIN; SET LOCAL lock_timeout = '1s'; COMMIT"#;
        assert!(!refused(OWNER, apart));
    }
}
