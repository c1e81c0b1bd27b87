//! Checks the options of methods when the contract is compiled. The build script and a test use it.

use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ReflectMessage as _, Value};

/// The prefix of our packages, in which each method needs options.
const PACKAGES: &str = "sealward.";

/// The full name of the option that each method needs.
const METHOD_OPTION: &str = "sealward.schema.v1.method";

/// `google.protobuf.MethodOptions.IdempotencyLevel`: the method changes nothing.
const NO_SIDE_EFFECTS: i32 = 1;
/// `google.protobuf.MethodOptions.IdempotencyLevel`: a repetition changes nothing.
const IDEMPOTENT: i32 = 2;

/// A method of our services.
#[derive(Debug)]
pub(crate) struct DeclaredMethod {
    /// `GetMailbox`
    pub(crate) name: String,
    /// `/sealward.mail.v1.MailboxService/GetMailbox`
    pub(crate) path: String,
    /// Whether a repetition changes nothing that the first call didn't change, for every request.
    pub(crate) is_idempotent: bool,
}

/// Returns every method of our services.
///
/// # Errors
/// A method lacks an option or has contradictory options. The text names the method.
pub(crate) fn declared_methods(pool: &DescriptorPool) -> Result<Vec<DeclaredMethod>, String> {
    let ours = pool.services().filter(|service| service.package_name().starts_with(PACKAGES));
    let methods = ours.flat_map(|service| service.methods().collect::<Vec<_>>());
    methods
        .map(|method| declared(&method).map_err(|problem| format!("method {}: {problem}", method.full_name())))
        .collect()
}

fn declared(method: &MethodDescriptor) -> Result<DeclaredMethod, &'static str> {
    let options = method.options();
    let level = match options.has_field_by_name("idempotency_level") {
        true => options.get_field_by_name("idempotency_level").and_then(|level| level.as_enum_number()),
        false => None,
    };
    let level = level.ok_or("the option `idempotency_level` is missing")?;
    check_needs(&options, level)?;
    Ok(DeclaredMethod {
        name: method.name().to_owned(),
        path: format!("/{}/{}", method.parent_service().full_name(), method.name()),
        is_idempotent: level == NO_SIDE_EFFECTS || level == IDEMPOTENT,
    })
}

fn check_needs(options: &DynamicMessage, idempotency_level: i32) -> Result<(), &'static str> {
    const MISSING: &str = "the option `sealward.schema.v1.method` is missing";
    let extension = options.descriptor().parent_pool().get_extension_by_name(METHOD_OPTION).ok_or(MISSING)?;
    if !options.has_extension(&extension) {
        return Err(MISSING);
    }
    let option = options.get_extension(&extension);
    let option = option.as_message().ok_or("the option `sealward.schema.v1.method` isn't a message")?;
    let count =
        |field: &str| option.get_field_by_name(field).and_then(|value| value.as_list().map(<[_]>::len)).unwrap_or(0);
    let (privileges, actions) = (count("privileges"), count("audit_actions"));
    let any_identity = option.get_field_by_name("any_identity").as_deref() == Some(&Value::Bool(true));
    if any_identity == (privileges > 0) {
        return Err("set either `privileges` or `any_identity`");
    }
    if actions > 0 && actions != privileges {
        return Err("set one of `audit_actions` for each of `privileges`, or none");
    }
    if actions > 0 && idempotency_level == NO_SIDE_EFFECTS {
        return Err("`idempotency_level` can't be NO_SIDE_EFFECTS, because `audit_actions` is set");
    }
    if actions > 0 && option.has_field_by_name("refused_as") {
        return Err("set either `audit_actions` or `refused_as`");
    }
    Ok(())
}
