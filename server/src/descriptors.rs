//! The descriptors of everything that a server serves: the contract, health, reflection, and the types of error details.
//!
//! Server reflection serves this set, and `sealward-server descriptors` prints it, so that tools show the same with and without reflection.
//! The files of the contract are copied as bytes: prost-types would drop Sealward's options. This module doesn't know the contract.

use std::{collections::HashSet, io, path::Path};

use prost::{
    DecodeError, Message,
    encoding::{DecodeContext, decode_key, skip_field},
};
use prost_types::{EnumDescriptorProto, EnumValueDescriptorProto, FileDescriptorProto, FileDescriptorSet};

use crate::files::private_file::{self, PUBLIC};

/// The libraries' names of files, which differ from the names that other programs import them by.
const NAMES: [(&str, &str); 5] = [
    ("status.proto", "google/rpc/status.proto"),
    ("error_details.proto", "google/rpc/error_details.proto"),
    ("health.proto", "grpc/health/v1/health.proto"),
    ("reflection_v1.proto", "grpc/reflection/v1/reflection.proto"),
    ("reflection_v1alpha.proto", "grpc/reflection/v1alpha/reflection.proto"),
];

/// The names of the gRPC codes, by number. No library that we use has the descriptor of `google/rpc/code.proto`.
const CODES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// A `google.protobuf.FileDescriptorSet` whose files aren't decoded.
#[derive(Clone, PartialEq, Message)]
struct EncodedFiles {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

/// Returns the encoded `google.protobuf.FileDescriptorSet` of a contract, with the files that clients need in addition. Each file follows those
/// that it imports.
///
/// # Errors
/// The contract isn't a descriptor set.
pub fn complete(contract: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut files = EncodedFiles::decode(contract)?.file;
    let mut names = HashSet::new();
    for file in &files {
        names.insert(FileDescriptorProto::decode(&file[..])?.name().to_owned());
    }
    for library in [
        tonic_types::pb::FILE_DESCRIPTOR_SET,
        tonic_health::pb::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ] {
        let added = FileDescriptorSet::decode(library)?.file.into_iter().map(renamed);
        files.extend(added.filter(|file| names.insert(file.name().to_owned())).map(|file| file.encode_to_vec()));
    }
    files.push(codes().encode_to_vec());
    Ok(EncodedFiles { file: files }.encode_to_vec())
}

/// Returns the encoded files of a descriptor set without their comments, which only tools show. Decoded comments would take several MB.
///
/// # Errors
/// The bytes aren't a descriptor set.
pub(crate) fn files_without_comments(set: &[u8]) -> Result<Vec<Vec<u8>>, DecodeError> {
    EncodedFiles::decode(set)?.file.iter().map(|file| without_comments(file)).collect()
}

fn without_comments(file: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let (mut rest, mut kept) = (file, Vec::with_capacity(file.len()));
    while !rest.is_empty() {
        let field = rest;
        let (number, wire_type) = decode_key(&mut rest)?;
        skip_field(wire_type, number, &mut rest, DecodeContext::default())?;
        if number != SOURCE_CODE_INFO {
            kept.extend_from_slice(field.get(..field.len() - rest.len()).unwrap_or_default());
        }
    }
    Ok(kept)
}

/// The field of `google.protobuf.FileDescriptorProto` that contains the comments.
const SOURCE_CODE_INFO: u32 = 9;

/// Writes a descriptor set to a file that all users can read. Replaces an existing file at once, so that no reader finds half of it.
///
/// # Errors
/// An error of the file system.
pub fn write(file: &Path, set: &[u8]) -> io::Result<()> {
    private_file::replace(file, set, PUBLIC)
}

/// The file of a library under the name that other programs import it by.
fn renamed(mut file: FileDescriptorProto) -> FileDescriptorProto {
    if let Some((_, name)) = NAMES.iter().find(|(library, _)| *library == file.name()) {
        file.name = Some((*name).to_owned());
    }
    file
}

/// `google/rpc/code.proto`
fn codes() -> FileDescriptorProto {
    let value = |(name, number): (&&str, i32)| EnumValueDescriptorProto {
        name: Some((*name).to_owned()),
        number: Some(number),
        ..EnumValueDescriptorProto::default()
    };
    let code = EnumDescriptorProto {
        name: Some("Code".to_owned()),
        value: CODES.iter().zip(0..).map(value).collect(),
        ..EnumDescriptorProto::default()
    };
    FileDescriptorProto {
        name: Some("google/rpc/code.proto".to_owned()),
        package: Some("google.rpc".to_owned()),
        enum_type: vec![code],
        syntax: Some("proto3".to_owned()),
        ..FileDescriptorProto::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(contract: &[u8]) -> Vec<FileDescriptorProto> {
        FileDescriptorSet::decode(&complete(contract).unwrap()[..]).unwrap().file
    }

    #[test]
    fn set_has_the_types_of_error_details_and_every_served_service() {
        for contract in [sealward::FILE_DESCRIPTOR_SET, sealward::PLATFORM_DESCRIPTOR_SET] {
            let files = files(contract);
            let names: HashSet<_> = files.iter().map(FileDescriptorProto::name).collect();
            assert_eq!(names.len(), files.len(), "a file is in the set twice");
            for (_, name) in NAMES {
                assert!(names.contains(name), "{name}");
            }
            assert!(names.contains("google/rpc/code.proto"));
            assert_eq!(names.contains("sealward/mail/v1/mailbox.proto"), contract == sealward::FILE_DESCRIPTOR_SET);
        }
    }

    #[test]
    fn every_file_follows_those_that_it_imports() {
        let mut earlier = HashSet::new();
        for file in files(sealward::FILE_DESCRIPTOR_SET) {
            for import in &file.dependency {
                assert!(earlier.contains(import), "{}: {import}", file.name());
            }
            earlier.insert(file.name().to_owned());
        }
    }

    #[test]
    fn files_of_the_contract_are_unchanged() {
        let contract = EncodedFiles::decode(sealward::FILE_DESCRIPTOR_SET).unwrap().file;
        let all = EncodedFiles::decode(&complete(sealward::FILE_DESCRIPTOR_SET).unwrap()[..]).unwrap().file;
        assert_eq!(all.get(..contract.len()), Some(&contract[..]));
        let ours = files(sealward::FILE_DESCRIPTOR_SET).into_iter().filter(|file| file.name().starts_with("sealward/"));
        for file in ours {
            assert!(file.source_code_info.is_some(), "{} has no comments", file.name());
        }
    }

    #[test]
    fn only_comments_are_left_out() {
        let files = EncodedFiles::decode(sealward::FILE_DESCRIPTOR_SET).unwrap().file;
        let shorter = files_without_comments(sealward::FILE_DESCRIPTOR_SET).unwrap();
        assert_eq!(files.len(), shorter.len());
        for (file, shorter) in files.iter().zip(&shorter) {
            let comments = FileDescriptorProto::decode(&file[..]).unwrap().source_code_info;
            let only_comments =
                FileDescriptorProto { source_code_info: comments, ..FileDescriptorProto::default() }.encode_to_vec();
            assert_eq!(file.len(), shorter.len() + only_comments.len());
            let expected =
                FileDescriptorProto { source_code_info: None, ..FileDescriptorProto::decode(&file[..]).unwrap() };
            assert_eq!(FileDescriptorProto::decode(&shorter[..]).unwrap(), expected);
        }
    }

    #[test]
    fn names_of_codes_have_their_numbers() {
        for (name, number) in CODES.iter().zip(0..) {
            let code = tonic::Code::from_i32(number);
            assert_eq!(name.replace('_', ""), format!("{code:?}").to_uppercase());
        }
    }
}
