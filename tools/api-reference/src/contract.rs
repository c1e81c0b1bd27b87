//! What the descriptors say beyond names and types: the comments of the contract, and Sealward's own options.

use std::{collections::BTreeSet, sync::LazyLock};

use prost_reflect::{
    DescriptorPool, EnumValueDescriptor, FieldDescriptor, FileDescriptor, MessageDescriptor, MethodDescriptor,
};
use sealward::{
    MAIL_PACKAGE, PLATFORM_PACKAGE, SCHEMA_PACKAGE,
    options::{self, OptionError},
    schema::v1,
};

/// The packages that the reference is about: the platform, the mail application, and the options that make a contract a schema.
const PACKAGES: [&str; 3] = [PLATFORM_PACKAGE, MAIL_PACKAGE, SCHEMA_PACKAGE];

/// The full names of types outside the platform that are called like one of the platform's.
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

/// The contract with its comments.
pub(crate) fn pool() -> DescriptorPool {
    DescriptorPool::decode(sealward::FILE_DESCRIPTOR_SET).expect("the compiled-in descriptor set is whole")
}

/// `Mailbox.StateCode`, for `sealward.mail.v1.Mailbox.StateCode`; the full name where the platform has another type of the short one.
/// `None` for what the reference isn't about.
pub(crate) fn local_name(full_name: &str) -> Option<&str> {
    if AMBIGUOUS.contains(full_name) { Some(full_name) } else { short_name(full_name) }
}

fn short_name(full_name: &str) -> Option<&str> {
    PACKAGES.iter().find_map(|package| full_name.strip_prefix(package)?.strip_prefix('.'))
}

/// The files of the packages: those with services first, each group by name.
pub(crate) fn files(pool: &DescriptorPool) -> Vec<FileDescriptor> {
    let ours = pool.files().filter(|file| PACKAGES.contains(&file.package_name()));
    let (mut with_services, without): (Vec<_>, Vec<_>) = ours.partition(|file| file.services().len() > 0);
    with_services.extend(without);
    with_services
}

/// The paragraphs of the comment before a declaration, each as one line; so is each item of a list, which begins with `* `.
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

/// What makes a message an entity, if it is one.
pub(crate) fn entity(message: &MessageDescriptor) -> Option<v1::Entity> {
    of_contract(options::entity(message))
}

/// What makes a field an attribute, if it is one.
pub(crate) fn attribute(field: &FieldDescriptor) -> Option<v1::Attribute> {
    of_contract(options::attribute(field))
}

/// The number that Dynamics 365 gives to this value of an enum.
pub(crate) fn option_number(value: &EnumValueDescriptor) -> Option<i32> {
    of_contract(options::option_number(value))
}

/// What a call of a method needs.
pub(crate) fn method(method: &MethodDescriptor) -> v1::Method {
    of_contract(options::method(method)).unwrap_or_default()
}

fn of_contract<T>(option: Result<T, OptionError>) -> T {
    option.expect("the option is of the contract it is read with")
}
