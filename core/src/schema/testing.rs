//! An entity for tests, with an attribute of each kind.

use crate::schema::entity::{Attribute, Choice, Entity, Kind, OnDelete};

/// Returns an entity with these attributes: `flag`, `small`, `big`, `color`, `name_1` and `name_2` (250 characters
/// each), `letter` (1), `endless` (of any length), `data`, `seen`, `link`, the encrypted `secret` and `is_secret_set`.
/// Storage names differ from names.
pub(crate) fn thing() -> Entity {
    let choice = |number, name: &str| Choice::new(number, name);
    let link = Kind::Reference { collection: "things".to_owned(), on_delete: OnDelete::Clear };
    let text = |name, max_length| Attribute { max_length, ..attribute(name, Kind::Text) };
    Entity::new(
        "Thing",
        "things",
        "thing",
        vec![
            attribute("flag", Kind::Boolean),
            attribute("small", Kind::Integer32),
            attribute("big", Kind::Integer64),
            attribute("color", Kind::Choice(vec![choice(1, "COLOR_RED"), choice(2, "COLOR_BLUE")])),
            text("name_1", Some(250)),
            text("name_2", Some(250)),
            text("letter", Some(1)),
            text("endless", None),
            attribute("data", Kind::Bytes),
            attribute("seen", Kind::Time),
            attribute("link", link),
            Attribute { encrypted: true, ..text("secret", Some(100)) },
            attribute("is_secret_set", Kind::ReportsSet { attribute: "secret".to_owned() }),
        ],
    )
}

fn attribute(name: &str, kind: Kind) -> Attribute {
    Attribute { storage_name: format!("stored_{name}").into(), ..Attribute::new(name, kind) }
}
