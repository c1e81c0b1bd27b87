//! Compiles `proto/` to Rust: messages, clients, servers, and the descriptor set from which the server reads its schema.
//!
//! The descriptor set is written as protox encodes it, never converted to `prost_types`. Those types don't support extensions, so they
//! would drop the options that make the contract a schema.
//!
//! `Debug` of a message must not print a secret. Fields with secrets have protobuf's own `debug_redact`. [`redacted_messages`] finds every
//! message that contains such a field, at any depth. The `Debug` of these messages prints only their name.
//!
//! A method without its options fails the build ([`methods`]). For each method, a constant is generated that clients use to call it.

#[path = "build/methods.rs"]
mod methods;

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost_reflect::{DescriptorPool, Kind, MessageDescriptor, Value};

const PROTO_ROOT: &str = "proto";

/// The package of the options that make a contract a schema.
const SCHEMA: &str = "sealward.schema.v1";
/// The package of the platform, which a server serves with any schema.
const PLATFORM: &str = "sealward.v1";
/// The package of the mail application: entities and services in addition to those of the platform.
const MAIL: &str = "sealward.mail.v1";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={PROTO_ROOT}");
    println!("cargo::rerun-if-changed=build");
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);

    fs::write(out_dir.join("platform.descriptors.bin"), compile(&[PLATFORM, SCHEMA])?.encode_file_descriptor_set())?;
    let compiler = compile(&[PLATFORM, SCHEMA, MAIL])?;
    fs::write(out_dir.join("sealward.descriptors.bin"), compiler.encode_file_descriptor_set())?;

    let pool = compiler.descriptor_pool();
    fs::write(out_dir.join("sealward.methods.rs"), method_constants(&methods::declared_methods(&pool)?)?)?;

    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    let mut builder = tonic_prost_build::configure().codec_path("crate::codec::MessageCodec");
    for package in [PLATFORM, MAIL] {
        let redacted = redacted_messages(&pool, package);
        fs::write(out_dir.join(format!("{package}.debug.rs")), debug_implementations(&redacted)?)?;
        let names: Vec<_> = redacted.iter().map(|message| format!(".{}", message.full_name())).collect();
        builder = builder.skip_debug(names);
    }
    builder.compile_fds_with_config(compiler.file_descriptor_set(), config)?;
    Ok(())
}

/// Compiles the files of these packages with all imports: package by package, each file after those that it imports.
fn compile(packages: &[&str]) -> Result<protox::Compiler, Box<dyn Error>> {
    let mut files = Vec::new();
    for package in packages {
        files.extend(proto_files(&Path::new(PROTO_ROOT).join(package.replace('.', "/")))?);
    }
    let mut compiler = protox::Compiler::new([PROTO_ROOT])?;
    compiler.include_imports(true).include_source_info(true).open_files(files)?;
    Ok(compiler)
}

/// Returns the `.proto` files of a folder, sorted, so that the descriptor set doesn't depend on the order in the file system.
fn proto_files(folder: &Path) -> Result<BTreeSet<PathBuf>, Box<dyn Error>> {
    let mut files = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "proto") {
            files.insert(path);
        }
    }
    Ok(files)
}

/// Returns every top-level message of the package that has a redacted field, or contains a message that has one.
fn redacted_messages(pool: &DescriptorPool, package: &str) -> Vec<MessageDescriptor> {
    pool.all_messages()
        .filter(|message| message.package_name() == package && message.parent_message().is_none())
        .filter(|message| holds_a_secret(message, &mut BTreeSet::new()))
        .collect()
}

fn holds_a_secret(message: &MessageDescriptor, visited: &mut BTreeSet<String>) -> bool {
    if !visited.insert(message.full_name().to_owned()) {
        return false;
    }
    message.fields().any(|field| {
        let redacted =
            field.options().get_field_by_name("debug_redact").is_some_and(|value| *value == Value::Bool(true));
        redacted || matches!(field.kind(), Kind::Message(inner) if holds_a_secret(&inner, visited))
    })
}

/// Returns the code of `Debug` for the messages in `skip_debug`. prost also omits `Debug` of their nested types, so these are included.
fn debug_implementations(messages: &[MessageDescriptor]) -> Result<String, Box<dyn Error>> {
    let mut code = String::new();
    for message in messages {
        let name = message.name();
        if let Some(nested) = message.child_messages().find(|nested| !nested.is_map_entry()) {
            return Err(format!(
                "{} is nested in a message that contains a secret: move it to the top level",
                nested.full_name()
            )
            .into());
        }
        write_debug(&mut code, name, &format!("f.debug_struct({name:?}).finish_non_exhaustive()"))?;

        let module = snake_case(name);
        for nested in message.child_enums() {
            write_debug(&mut code, &format!("{module}::{}", nested.name()), "f.write_str(self.as_str_name())")?;
        }
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let oneof_name = upper_camel_case(oneof.name());
            let body = format!("f.debug_struct({oneof_name:?}).finish_non_exhaustive()");
            write_debug(&mut code, &format!("{module}::{oneof_name}"), &body)?;
        }
    }
    Ok(code)
}

/// Returns the code of a constant for each method, with the method's name, and of a list of all methods.
fn method_constants(methods: &[methods::DeclaredMethod]) -> Result<String, std::fmt::Error> {
    let mut code = String::new();
    for methods::DeclaredMethod { name, path, is_idempotent } in methods {
        writeln!(code, "/// `{path}`")?;
        writeln!(code, "pub const {name}: Method = Method {{ path: {path:?}, is_idempotent: {is_idempotent} }};")?;
    }
    let names: Vec<&str> = methods.iter().map(|method| method.name.as_str()).collect();
    writeln!(code, "/// Every method.\npub const ALL: &[Method] = &[{}];", names.join(", "))?;
    Ok(code)
}

fn write_debug(code: &mut String, rust_type: &str, body: &str) -> std::fmt::Result {
    writeln!(
        code,
        "impl ::core::fmt::Debug for {rust_type} {{\n    \
             fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {{\n        \
                 {body}\n    \
             }}\n\
         }}"
    )
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for character in name.chars() {
        if character.is_ascii_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.push(character.to_ascii_lowercase());
    }
    snake
}

fn upper_camel_case(name: &str) -> String {
    name.split('_')
        .filter_map(|word| {
            let (first, rest) = word.split_at_checked(1)?;
            Some(first.to_ascii_uppercase() + rest)
        })
        .collect()
}
