//! Reads comments and Sealward's own options from the descriptors of the contract.

use std::{collections::BTreeSet, sync::LazyLock};

use prost_reflect::{
    DescriptorPool, EnumValueDescriptor, FieldDescriptor, FileDescriptor, MessageDescriptor, MethodDescriptor,
};
use sealward::{
    MAIL_PACKAGE, PLATFORM_PACKAGE, SCHEMA_PACKAGE,
    options::{self, OptionError},
    schema::v1,
};

/// The packages in the reference: the platform, the mail application, and the options that make a contract a schema.
const PACKAGES: [&str; 3] = [PLATFORM_PACKAGE, MAIL_PACKAGE, SCHEMA_PACKAGE];

/// The full names of types outside the platform that have the short name of a type of the platform.
static AMBIGUOUS: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let pool = pool();
    let enums = pool.all_enums().map(|found| found.full_name().to_owned());
    let types: BTreeSet<_> = pool.all_messages().map(|found| found.full_name().to_owned()).chain(enums).collect();
    let is_taken = |name: &String| {
        let of_the_platform = short_name(name).map(|short| format!("{PLATFORM_PACKAGE}.{short}"));
        of_the_platform.is_some_and(|other| other != *name && types.contains(&other))
    };
    types.iter().filter(|name| is_taken(name)).cloned().collect()
});

/// Returns the contract with its comments.
pub(crate) fn pool() -> DescriptorPool {
    DescriptorPool::decode(sealward::FILE_DESCRIPTOR_SET).expect("the compiled-in descriptor set is valid")
}

/// Returns `Mailbox.StateCode` for `sealward.mail.v1.Mailbox.StateCode`, or the full name if the platform has another type with the short
/// name. Returns `None` for a type that isn't in the reference.
pub(crate) fn local_name(full_name: &str) -> Option<&str> {
    if AMBIGUOUS.contains(full_name) { Some(full_name) } else { short_name(full_name) }
}

fn short_name(full_name: &str) -> Option<&str> {
    PACKAGES.iter().find_map(|package| full_name.strip_prefix(package)?.strip_prefix('.'))
}

/// Returns the files of the packages: first those with services, then the others, each group in the order of names.
pub(crate) fn files(pool: &DescriptorPool) -> Vec<FileDescriptor> {
    let ours = pool.files().filter(|file| PACKAGES.contains(&file.package_name()));
    let (mut with_services, without): (Vec<_>, Vec<_>) = ours.partition(|file| file.services().len() > 0);
    with_services.extend(without);
    with_services
}

/// Returns the paragraphs of the comment before a declaration, each as one line. Each item of a list (`* …`) is also one line.
pub(crate) fn comment(file: &FileDescriptor, path: &[i32]) -> Vec<String> {
    let locations = file.file_descriptor_proto().source_code_info.iter().flat_map(|info| &info.location);
    let mut comments = locations.filter(|one| one.path == path).filter_map(|one| one.leading_comments.as_deref());
    let mut paragraphs = vec![String::new()];
    for line in comments.next().unwrap_or_default().lines().map(str::trim) {
        match paragraphs.last_mut() {
            Some(paragraph) if !line.is_empty() && !line.starts_with("* ") && !paragraph.is_empty() => {
                paragraph.push(' ');
                paragraph.push_str(line);
            }
            Some(_) | None => paragraphs.push(line.to_owned()),
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs
}

/// Returns the option `entity` of a message.
pub(crate) fn entity(message: &MessageDescriptor) -> Option<v1::Entity> {
    of_contract(options::entity(message))
}

/// Returns the option `attribute` of a field.
pub(crate) fn attribute(field: &FieldDescriptor) -> Option<v1::Attribute> {
    of_contract(options::attribute(field))
}

/// Returns the number of an enum value in Dynamics 365.
pub(crate) fn option_number(value: &EnumValueDescriptor) -> Option<i32> {
    of_contract(options::option_number(value))
}

/// Returns the option `method` of a method.
pub(crate) fn method(method: &MethodDescriptor) -> v1::Method {
    of_contract(options::method(method)).unwrap_or_default()
}

fn of_contract<T>(option: Result<T, OptionError>) -> T {
    option.expect("the option belongs to the contract that it is read with")
}
