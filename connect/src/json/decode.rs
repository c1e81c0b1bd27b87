//! JSON text to wire bytes, by descriptor.
//!
//! The text is read twice. The first pass checks everything and measures; the second writes to a buffer of exactly the right size. The text of
//! a secret is copied once, from the JSON to that buffer, and not at all if anything in the JSON is wrong. There is no tree between.

use std::{collections::HashSet, mem};

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};
use zeroize::Zeroizing;

use super::{
    base64,
    error::{JsonError, JsonProblem, excerpt},
    mask, number,
    sink::{DELIMITED, FIXED32, FIXED64, Measure, Sink, VARINT, Write},
    text::{Piece, Text},
    time,
    token::{Shape, Tokens, is_number},
    well_known::{ANY_DEPTH_MAX, NULL_VALUE, TYPE, VALUE, WellKnown, has_null, message_name, real_oneof},
};

/// The number of the field `value` of `google.protobuf.Any`.
const ANY_VALUE: u32 = 2;

/// Converts JSON text to wire bytes, if there is room for their number.
pub(super) fn decode<E: From<JsonError>>(
    descriptor: &MessageDescriptor,
    json: &[u8],
    take_room: impl FnOnce(usize) -> Result<(), E>,
) -> Result<Zeroizing<Vec<u8>>, E> {
    let measured: Measure = pass(descriptor, json, Measure::default())?;
    take_room(measured.length())?;
    let writer = measured.writer().ok_or(JsonError::from(JsonProblem::TooLarge))?;
    let written: Write = pass(descriptor, json, writer)?;
    Ok(written.into_bytes())
}

fn pass<S: Sink>(descriptor: &MessageDescriptor, json: &[u8], sink: S) -> Result<S, JsonError> {
    let mut decoder = Decoder { tokens: Tokens::new(json)?, sink, any_depth: 0 };
    decoder.message(descriptor)?;
    decoder.tokens.end()?;
    Ok(decoder.sink)
}

/// One pass over a JSON text.
struct Decoder<'a, S> {
    tokens: Tokens<'a>,
    sink: S,
    /// The number of values of the type `google.protobuf.Any` around the current value.
    any_depth: usize,
}

/// A value of a field that isn't a message.
enum Scalar<'a> {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    Text(Text<'a>),
    /// Valid base64, and the number of bytes.
    Bytes(Text<'a>, usize),
}

/// The fields and oneofs of a message that were set.
#[derive(Default)]
struct SeenFields {
    numbers: HashSet<u32>,
    oneofs: Vec<OneofDescriptor>,
}

/// The keys of a map. Numbers and Booleans are compared by value: `1` and `1.0` are the same key.
#[derive(Default)]
struct SeenKeys<'a> {
    texts: HashSet<Text<'a>>,
    numbers: HashSet<u64>,
}

impl<'a, S: Sink> Decoder<'a, S> {
    /// Reads a message, and writes its fields.
    fn message(&mut self, descriptor: &MessageDescriptor) -> Result<(), JsonError> {
        match WellKnown::of(descriptor) {
            None => {
                self.open_object()?;
                self.fields(descriptor, None)
            }
            Some(WellKnown::Any) => self.any(descriptor),
            Some(WellKnown::Duration) => {
                let (seconds, nanos) = self.string(DURATION)?.read(time::duration)?;
                self.seconds_and_nanos(seconds, nanos);
                Ok(())
            }
            Some(WellKnown::Empty) => {
                self.open_object()?;
                match self.tokens.next_key(&mut true)? {
                    Some(key) => Err(unknown_field(descriptor, key).into()),
                    None => Ok(()),
                }
            }
            Some(WellKnown::FieldMask) => self.field_mask(),
            Some(WellKnown::ListValue) => self.list(&required_field(descriptor, 1)?),
            Some(WellKnown::Struct) => self.map(&required_field(descriptor, 1)?),
            Some(WellKnown::Timestamp) => {
                let (seconds, nanos) = self.string(TIMESTAMP)?.read(time::timestamp)?;
                self.seconds_and_nanos(seconds, nanos);
                Ok(())
            }
            Some(WellKnown::Value) => self.value(descriptor),
            Some(WellKnown::Wrapper) => {
                let field = required_field(descriptor, 1)?;
                let scalar = self.scalar(&field.kind())?;
                self.field_value(&field, &scalar);
                Ok(())
            }
        }
    }

    /// Reads the members of an open object as fields, except the member `ignored`.
    fn fields(&mut self, descriptor: &MessageDescriptor, ignored: Option<&str>) -> Result<(), JsonError> {
        let mut seen = SeenFields::default();
        let (mut is_first, mut is_ignored) = (true, false);
        while let Some(key) = self.tokens.next_key(&mut is_first)? {
            if ignored.is_some_and(|ignored| key.read(|key| key == ignored)) {
                if mem::replace(&mut is_ignored, true) {
                    return Err(duplicate(key).into());
                }
                self.tokens.skip()?;
                continue;
            }
            let field = key.read(|key| field_of(descriptor, key)).ok_or_else(|| unknown_field(descriptor, key))?;
            if !seen.numbers.insert(field.number()) {
                return Err(duplicate(key).into());
            }
            self.field(&field, &mut seen).map_err(|error| error.in_field(&field))?;
        }
        Ok(())
    }

    fn field(&mut self, field: &FieldDescriptor, seen: &mut SeenFields) -> Result<(), JsonError> {
        let is_plural = field.is_list() || field.is_map();
        if self.tokens.shape()? == Shape::Null && (is_plural || !has_null(&field.kind())) {
            return Ok(self.tokens.null()?);
        }
        if let Some(oneof) = real_oneof(field) {
            if seen.oneofs.contains(&oneof) {
                return Err(JsonProblem::OneofConflict { oneof: oneof.name().to_owned() }.into());
            }
            seen.oneofs.push(oneof);
        }
        if field.is_map() {
            return self.map(field);
        }
        if field.is_list() {
            return self.list(field);
        }
        let kind = field.kind();
        if let Kind::Message(message) = &kind {
            return self.message_field(field, message);
        }
        let scalar = self.scalar(&kind)?;
        self.field_value(field, &scalar);
        Ok(())
    }

    fn list(&mut self, field: &FieldDescriptor) -> Result<(), JsonError> {
        self.open_list()?;
        let kind = field.kind();
        let mut packed = None;
        let mut is_first = true;
        let mut index = 0;
        while self.tokens.next_element(&mut is_first)? {
            if field.is_packed() && packed.is_none() {
                self.sink.tag(field.number(), DELIMITED);
                packed = Some(self.sink.open());
            }
            self.element(field, &kind).map_err(|error| error.in_element(index))?;
            index += 1;
        }
        if let Some(packed) = packed {
            self.sink.close(packed);
        }
        Ok(())
    }

    fn element(&mut self, field: &FieldDescriptor, kind: &Kind) -> Result<(), JsonError> {
        self.refuse_null(kind)?;
        if let Kind::Message(message) = kind {
            return self.message_field(field, message);
        }
        let scalar = self.scalar(kind)?;
        if !field.is_packed() {
            self.sink.tag(field.number(), scalar.wire_type());
        }
        scalar.write(&mut self.sink);
        Ok(())
    }

    fn map(&mut self, field: &FieldDescriptor) -> Result<(), JsonError> {
        self.open_object()?;
        let Kind::Message(entry) = field.kind() else { return Err(JsonProblem::Unsupported.into()) };
        let (key_field, value_field) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        let mut seen = SeenKeys::default();
        let mut is_first = true;
        while let Some(key) = self.tokens.next_key(&mut is_first)? {
            self.entry(field.number(), &key_field, &value_field, key, &mut seen)
                .map_err(|error| error.in_entry(key.chars()))?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        number: u32,
        key_field: &FieldDescriptor,
        value_field: &FieldDescriptor,
        key: Text<'a>,
        seen: &mut SeenKeys<'a>,
    ) -> Result<(), JsonError> {
        let scalar = map_key(&key_field.kind(), key)?;
        if S::CHECKS && !seen.insert(&scalar) {
            return Err(duplicate(key).into());
        }
        let value_kind = value_field.kind();
        self.refuse_null(&value_kind)?;
        self.sink.tag(number, DELIMITED);
        let open = self.sink.open();
        self.field_value(key_field, &scalar);
        if let Kind::Message(message) = &value_kind {
            self.message_field(value_field, message)?;
        } else {
            let value = self.scalar(&value_kind)?;
            self.field_value(value_field, &value);
        }
        self.sink.close(open);
        Ok(())
    }

    fn message_field(&mut self, field: &FieldDescriptor, message: &MessageDescriptor) -> Result<(), JsonError> {
        if field.is_group() {
            return Err(JsonProblem::Unsupported.into());
        }
        self.sink.tag(field.number(), DELIMITED);
        let open = self.sink.open();
        self.message(message)?;
        self.sink.close(open);
        Ok(())
    }

    /// Writes a field, unless it has the default value and no presence.
    fn field_value(&mut self, field: &FieldDescriptor, scalar: &Scalar<'_>) {
        if field.supports_presence() || !scalar.is_default() {
            self.sink.tag(field.number(), scalar.wire_type());
            scalar.write(&mut self.sink);
        }
    }

    /// Writes the fields of a timestamp or of a duration.
    fn seconds_and_nanos(&mut self, seconds: i64, nanos: i32) {
        for (number, value) in [(1, seconds), (2, i64::from(nanos))] {
            if value != 0 {
                self.sink.tag(number, VARINT);
                self.sink.varint(value.cast_unsigned());
            }
        }
    }

    fn field_mask(&mut self) -> Result<(), JsonError> {
        let text = self.string(FIELD_MASK)?;
        let sink = &mut self.sink;
        let written = text.read(|text| {
            mask::paths(text, |path| {
                sink.tag(1, DELIMITED);
                sink.varint(length(mask::snake_case_length(path)));
                mask::snake_case(path).for_each(|byte| sink.byte(byte));
            })
        });
        Ok(written?)
    }

    /// Reads a `google.protobuf.Value`: any JSON.
    fn value(&mut self, descriptor: &MessageDescriptor) -> Result<(), JsonError> {
        let [null, number, string, boolean, object, list] = [1, 2, 3, 4, 5, 6];
        match self.tokens.shape()? {
            Shape::Null => {
                self.tokens.null()?;
                self.sink.tag(null, VARINT);
                self.sink.varint(0);
            }
            Shape::Bool => {
                let value = self.tokens.boolean()?;
                self.sink.tag(boolean, VARINT);
                self.sink.varint(u64::from(value));
            }
            Shape::Number => {
                let value = number::double(self.tokens.number()?)?;
                self.sink.tag(number, FIXED64);
                self.sink.bytes(&value.to_le_bytes());
            }
            Shape::String => {
                let text = Scalar::Text(self.tokens.string()?);
                self.sink.tag(string, DELIMITED);
                text.write(&mut self.sink);
            }
            shape @ (Shape::Object | Shape::List) => {
                let field = required_field(descriptor, if shape == Shape::Object { object } else { list })?;
                let Kind::Message(message) = field.kind() else { return Err(JsonProblem::Unsupported.into()) };
                self.message_field(&field, &message)?;
            }
        }
        Ok(())
    }

    /// Reads a `google.protobuf.Any`: an object with the member `@type`, which need not be the first.
    fn any(&mut self, descriptor: &MessageDescriptor) -> Result<(), JsonError> {
        if self.any_depth == ANY_DEPTH_MAX {
            return Err(JsonProblem::AnyTooDeep { limit: ANY_DEPTH_MAX }.into());
        }
        self.require(Shape::Object, "an object with the member \"@type\"")?;
        let Some(type_url) = self.type_url()? else {
            self.tokens.open_object()?;
            return match self.tokens.next_key(&mut true)? {
                None => Ok(()),
                Some(_) => Err(JsonProblem::IncompleteAny { name: TYPE }.into()),
            };
        };
        let pool = descriptor.parent_pool();
        let message = type_url.read(|url| message_name(url).and_then(|name| pool.get_message_by_name(name)));
        let message = message.ok_or(JsonProblem::UnknownType)?;

        self.any_depth += 1;
        self.sink.tag(1, DELIMITED);
        Scalar::Text(type_url).write(&mut self.sink);
        let open = self.sink.open_field(ANY_VALUE);
        self.tokens.open_object()?;
        if WellKnown::of(&message).is_some() {
            self.any_value(&message)?;
        } else {
            self.fields(&message, Some(TYPE))?;
        }
        self.sink.close_field(open);
        self.any_depth -= 1;
        Ok(())
    }

    /// Looks for the member `@type` of the next object, without reading the object.
    fn type_url(&mut self) -> Result<Option<Text<'a>>, JsonError> {
        let mut ahead = self.tokens.clone();
        ahead.open_object()?;
        let mut is_first = true;
        while let Some(key) = ahead.next_key(&mut is_first)? {
            if key.read(|key| key == TYPE) {
                if ahead.shape()? == Shape::String {
                    return Ok(Some(ahead.string()?));
                }
                return Err(JsonError::from(JsonProblem::WrongType { expected: "a string" }).in_entry(TYPE.chars()));
            }
            ahead.skip()?;
        }
        Ok(None)
    }

    /// Reads the members of an open object: `@type`, and `value` with the JSON form of a well-known type.
    fn any_value(&mut self, message: &MessageDescriptor) -> Result<(), JsonError> {
        let (mut has_type, mut has_value, mut is_first) = (false, false, true);
        while let Some(key) = self.tokens.next_key(&mut is_first)? {
            let (is_type, is_value) = key.read(|key| (key == TYPE, key == VALUE));
            if is_type && !mem::replace(&mut has_type, true) {
                self.tokens.skip()?;
            } else if is_value && !mem::replace(&mut has_value, true) {
                self.message(message)?;
            } else if is_type || is_value {
                return Err(duplicate(key).into());
            } else {
                return Err(unknown_field(message, key).into());
            }
        }
        if has_value { Ok(()) } else { Err(JsonProblem::IncompleteAny { name: VALUE }.into()) }
    }

    fn scalar(&mut self, kind: &Kind) -> Result<Scalar<'a>, JsonError> {
        let scalar = match kind {
            Kind::Bool => {
                self.require(Shape::Bool, "true or false")?;
                Scalar::Varint(u64::from(self.tokens.boolean()?))
            }
            Kind::String => Scalar::Text(self.string("a string")?),
            Kind::Bytes => {
                let text = self.string("a string in base64")?;
                Scalar::Bytes(text, base64::decode(text, |_| {})?)
            }
            Kind::Double | Kind::Float => self.floating(kind)?,
            Kind::Enum(kind) => Scalar::Varint(i64::from(self.enum_number(kind)?).cast_unsigned()),
            Kind::Message(_) => return Err(JsonProblem::Unsupported.into()),
            Kind::Int32
            | Kind::Int64
            | Kind::Uint32
            | Kind::Uint64
            | Kind::Sint32
            | Kind::Sint64
            | Kind::Fixed32
            | Kind::Fixed64
            | Kind::Sfixed32
            | Kind::Sfixed64 => match self.tokens.shape()? {
                Shape::Number => integer(kind, self.tokens.number()?)?,
                Shape::String => self.tokens.string()?.read(|text| quoted_integer(kind, text))?,
                Shape::Null | Shape::Bool | Shape::List | Shape::Object => {
                    return Err(JsonProblem::WrongType { expected: integer_type(kind) }.into());
                }
            },
        };
        Ok(scalar)
    }

    fn floating(&mut self, kind: &Kind) -> Result<Scalar<'a>, JsonError> {
        let is_float = *kind == Kind::Float;
        let convert = |number: &str| {
            let double = || number::double(number).map(|value| Scalar::Fixed64(value.to_bits()));
            if is_float { number::float(number).map(|value| Scalar::Fixed32(value.to_bits())) } else { double() }
        };
        let special = |double: f64, float: f32| {
            if is_float { Scalar::Fixed32(float.to_bits()) } else { Scalar::Fixed64(double.to_bits()) }
        };
        let wrong = JsonProblem::WrongType { expected: "a number, \"NaN\", \"Infinity\" or \"-Infinity\"" };
        let scalar = match self.tokens.shape()? {
            Shape::Number => convert(self.tokens.number()?),
            Shape::String => self.tokens.string()?.read(|text| match text {
                "NaN" => Ok(special(f64::NAN, f32::NAN)),
                "Infinity" => Ok(special(f64::INFINITY, f32::INFINITY)),
                "-Infinity" => Ok(special(f64::NEG_INFINITY, f32::NEG_INFINITY)),
                number if is_number(number) => convert(number),
                _ => Err(wrong),
            }),
            Shape::Null | Shape::Bool | Shape::List | Shape::Object => Err(wrong),
        };
        Ok(scalar?)
    }

    fn enum_number(&mut self, kind: &EnumDescriptor) -> Result<i32, JsonError> {
        let unknown = || JsonProblem::UnknownEnumValue { name: kind.full_name().to_owned() };
        let number = match self.tokens.shape()? {
            Shape::Null if kind.full_name() == NULL_VALUE => self.tokens.null().map(|()| 0),
            Shape::Number => {
                let number = number::integer(self.tokens.number()?, i32::MIN.into(), i32::MAX.into(), ENUM_NUMBER)?;
                i32::try_from(number).map_err(|_| JsonProblem::OutOfRange { expected: ENUM_NUMBER })
            }
            Shape::String => {
                let value = self.tokens.string()?.read(|name| kind.get_value_by_name(name));
                value.map(|value| value.number()).ok_or_else(unknown)
            }
            Shape::Null | Shape::Bool | Shape::List | Shape::Object => {
                Err(JsonProblem::WrongType { expected: "the name or the number of a value of the enum" })
            }
        };
        Ok(number?)
    }

    fn string(&mut self, expected: &'static str) -> Result<Text<'a>, JsonError> {
        self.require(Shape::String, expected)?;
        Ok(self.tokens.string()?)
    }

    fn open_object(&mut self) -> Result<(), JsonError> {
        self.require(Shape::Object, "an object")?;
        Ok(self.tokens.open_object()?)
    }

    fn open_list(&mut self) -> Result<(), JsonError> {
        self.require(Shape::List, "a list")?;
        Ok(self.tokens.open_list()?)
    }

    fn refuse_null(&mut self, kind: &Kind) -> Result<(), JsonProblem> {
        let is_refused = self.tokens.shape()? == Shape::Null && !has_null(kind);
        if is_refused { Err(JsonProblem::NullNotAllowed) } else { Ok(()) }
    }

    fn require(&mut self, shape: Shape, expected: &'static str) -> Result<(), JsonProblem> {
        if self.tokens.shape()? == shape { Ok(()) } else { Err(JsonProblem::WrongType { expected }) }
    }
}

impl Scalar<'_> {
    fn is_default(&self) -> bool {
        match self {
            Scalar::Varint(value) | Scalar::Fixed64(value) => *value == 0,
            Scalar::Fixed32(value) => *value == 0,
            Scalar::Text(text) | Scalar::Bytes(text, _) => text.is_empty(),
        }
    }

    fn wire_type(&self) -> u8 {
        match self {
            Scalar::Varint(_) => VARINT,
            Scalar::Fixed32(_) => FIXED32,
            Scalar::Fixed64(_) => FIXED64,
            Scalar::Text(_) | Scalar::Bytes(..) => DELIMITED,
        }
    }

    fn write(&self, sink: &mut impl Sink) {
        match self {
            Scalar::Varint(value) => sink.varint(*value),
            Scalar::Fixed32(value) => sink.bytes(&value.to_le_bytes()),
            Scalar::Fixed64(value) => sink.bytes(&value.to_le_bytes()),
            Scalar::Text(text) => {
                sink.varint(length(text.len()));
                for piece in text.pieces() {
                    match piece {
                        Piece::Run(run) => sink.bytes(run.as_bytes()),
                        Piece::Char(character) => sink.bytes(character.encode_utf8(&mut [0; 4]).as_bytes()),
                    }
                }
            }
            Scalar::Bytes(text, bytes) => {
                sink.varint(length(*bytes));
                // The text was decoded before, to count its bytes.
                let _valid = base64::decode(*text, |group| sink.bytes(group));
            }
        }
    }
}

impl<'a> SeenKeys<'a> {
    /// Returns whether the key is new.
    fn insert(&mut self, key: &Scalar<'a>) -> bool {
        match key {
            Scalar::Text(text) | Scalar::Bytes(text, _) => self.texts.insert(*text),
            Scalar::Varint(value) | Scalar::Fixed64(value) => self.numbers.insert(*value),
            Scalar::Fixed32(value) => self.numbers.insert(u64::from(*value)),
        }
    }
}

/// The field that has the key as its JSON name, or as its name in the contract.
fn field_of(descriptor: &MessageDescriptor, key: &str) -> Option<FieldDescriptor> {
    descriptor.get_field_by_json_name(key).or_else(|| descriptor.get_field_by_name(key))
}

/// A field of a well-known type.
fn required_field(descriptor: &MessageDescriptor, number: u32) -> Result<FieldDescriptor, JsonProblem> {
    descriptor.get_field(number).ok_or(JsonProblem::Unsupported)
}

fn unknown_field(descriptor: &MessageDescriptor, key: Text<'_>) -> JsonProblem {
    JsonProblem::UnknownField { name: excerpt(key.chars()), message: descriptor.full_name().to_owned() }
}

fn duplicate(key: Text<'_>) -> JsonProblem {
    JsonProblem::DuplicateKey { name: excerpt(key.chars()) }
}

fn map_key<'a>(kind: &Kind, key: Text<'a>) -> Result<Scalar<'a>, JsonProblem> {
    let invalid = |expected| JsonProblem::InvalidMapKey { expected };
    if *kind == Kind::String {
        return Ok(Scalar::Text(key));
    }
    if *kind == Kind::Bool {
        return key.read(|key| match key {
            "true" => Ok(Scalar::Varint(1)),
            "false" => Ok(Scalar::Varint(0)),
            _ => Err(invalid("true or false")),
        });
    }
    key.read(|key| quoted_integer(kind, key)).map_err(|_| invalid(integer_type(kind)))
}

fn quoted_integer(kind: &Kind, text: &str) -> Result<Scalar<'static>, JsonProblem> {
    if is_number(text) { integer(kind, text) } else { Err(JsonProblem::WrongType { expected: integer_type(kind) }) }
}

fn integer(kind: &Kind, number: &str) -> Result<Scalar<'static>, JsonProblem> {
    let (min, max): (i128, i128) = if is_unsigned_32(kind) {
        (0, u32::MAX.into())
    } else if is_unsigned_64(kind) {
        (0, u64::MAX.into())
    } else if is_signed_64(kind) {
        (i64::MIN.into(), i64::MAX.into())
    } else {
        (i32::MIN.into(), i32::MAX.into())
    };
    // Two's complement of 64 bits is the wire form of negative numbers, of those with 32 bits too.
    let [low, high] = halves(number::integer(number, min, max, integer_type(kind))?);
    Ok(match kind {
        Kind::Sint32 | Kind::Sint64 => Scalar::Varint((low << 1) ^ high),
        Kind::Fixed32 | Kind::Sfixed32 => {
            let [a, b, c, d, ..] = low.to_le_bytes();
            Scalar::Fixed32(u32::from_le_bytes([a, b, c, d]))
        }
        Kind::Fixed64 | Kind::Sfixed64 => Scalar::Fixed64(low),
        Kind::Bool
        | Kind::Bytes
        | Kind::Double
        | Kind::Enum(_)
        | Kind::Float
        | Kind::Int32
        | Kind::Int64
        | Kind::Message(_)
        | Kind::String
        | Kind::Uint32
        | Kind::Uint64 => Scalar::Varint(low),
    })
}

/// The low and the high 64 bits of a number in two's complement. The high ones are 0, or all 1 if the number is negative.
fn halves(value: i128) -> [u64; 2] {
    let [a, b, c, d, e, f, g, h, rest @ ..] = value.to_le_bytes();
    [u64::from_le_bytes([a, b, c, d, e, f, g, h]), u64::from_le_bytes(rest)]
}

fn integer_type(kind: &Kind) -> &'static str {
    if is_unsigned_32(kind) {
        "an integer from 0 to 4294967295"
    } else if is_unsigned_64(kind) {
        "an integer from 0 to 18446744073709551615"
    } else if is_signed_64(kind) {
        "an integer from -9223372036854775808 to 9223372036854775807"
    } else {
        "an integer from -2147483648 to 2147483647"
    }
}

fn is_unsigned_32(kind: &Kind) -> bool {
    matches!(kind, Kind::Uint32 | Kind::Fixed32)
}

fn is_unsigned_64(kind: &Kind) -> bool {
    matches!(kind, Kind::Uint64 | Kind::Fixed64)
}

fn is_signed_64(kind: &Kind) -> bool {
    matches!(kind, Kind::Int64 | Kind::Sint64 | Kind::Sfixed64)
}

fn length(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

const DURATION: &str = "a string with a duration, such as \"1.5s\"";
const TIMESTAMP: &str = "a string with a time, such as \"2026-01-31T12:00:00Z\"";
const FIELD_MASK: &str = "a string with a field mask, such as \"displayName,stateCode\"";
const ENUM_NUMBER: &str = "a number of a value of the enum";
