//! Wire bytes to JSON text, by descriptor.
//!
//! A message on the wire may have its fields in any order, and a field more than once. For each message, an index of the places of its fields
//! is sorted by number; the values are then written in that order, from the wire to the text. There is no tree between, and no copy.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    rc::Rc,
    slice,
};

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use zeroize::Zeroizing;

use super::{
    error::{JsonError, JsonProblem},
    mask,
    printer::{Layout, Printer},
    sink::{DELIMITED, FIXED32, FIXED64, VARINT},
    time,
    well_known::{ANY_DEPTH_MAX, NULL_VALUE, TYPE, VALUE, WellKnown, has_null, message_name, real_oneof},
    wire::{Field, Fields},
};
use crate::secret::is_secret;

/// Options of [`encode_with`](super::encode_with).
#[derive(Clone, Copy, Debug, Default)]
pub struct EncodeOptions {
    /// How the JSON is laid out.
    pub layout: Layout,
    /// The names of fields. Paths in a field mask are lowerCamelCase with either.
    pub names: FieldNames,
}

/// The names of fields in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldNames {
    /// The JSON name, which is lowerCamelCase: `displayName`.
    #[default]
    Json,
    /// The name in the contract: `display_name`.
    Proto,
}

/// Converts wire bytes to JSON text.
pub(super) fn encode(
    descriptor: &MessageDescriptor,
    wire: &[u8],
    options: EncodeOptions,
) -> Result<Zeroizing<Vec<u8>>, JsonError> {
    let printer = Printer::new(options.layout, wire.len().saturating_mul(2).saturating_add(64));
    let mut encoder = Encoder { wire, printer, names: options.names, plans: HashMap::new(), any_depth: 0 };
    encoder.message(descriptor, slice::from_ref(&(0..wire.len())))?;
    Ok(encoder.printer.into_bytes())
}

struct Encoder<'a> {
    wire: &'a [u8],
    printer: Printer,
    names: FieldNames,
    /// The plans of the messages that were written, by full name.
    plans: HashMap<String, Rc<Plan>>,
    any_depth: usize,
}

/// What is asked of the descriptors of a message, once.
struct Plan {
    fields: BTreeMap<u32, PlannedField>,
}

struct PlannedField {
    descriptor: FieldDescriptor,
    kind: Kind,
    /// Without a value, the field is written: null for a secret, the default value for a field without presence.
    is_always_written: bool,
    /// The number of the first field of the oneof.
    oneof: Option<u32>,
}

/// The places of a message: several if it is on the wire in parts, which are merged.
type Places = [Range<usize>];

/// A key of a map, in the order of the JSON.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum MapKey<'a> {
    Signed(i64),
    Unsigned(u64),
    Text(&'a str),
}

impl<'a> Encoder<'a> {
    fn message(&mut self, descriptor: &MessageDescriptor, places: &Places) -> Result<(), JsonError> {
        match WellKnown::of(descriptor) {
            None => {
                self.printer.open(b'{')?;
                self.fields(descriptor, places)?;
                self.printer.close(b'}');
                Ok(())
            }
            Some(WellKnown::Any) => self.any(descriptor, places),
            Some(WellKnown::Duration) => {
                let (seconds, nanos) = self.seconds_and_nanos(places)?;
                self.printer.quoted(time::duration_text(seconds, nanos)?);
                Ok(())
            }
            Some(WellKnown::Empty) => {
                self.printer.open(b'{')?;
                self.printer.close(b'}');
                Ok(())
            }
            Some(WellKnown::FieldMask) => self.field_mask(places),
            Some(WellKnown::Timestamp) => {
                let (seconds, nanos) = self.seconds_and_nanos(places)?;
                self.printer.quoted(time::timestamp_text(seconds, nanos)?);
                Ok(())
            }
            Some(WellKnown::ListValue | WellKnown::Struct | WellKnown::Wrapper) => {
                let plan = self.plan(descriptor);
                let field = plan.fields.get(&1).ok_or(JsonProblem::Unsupported)?;
                let found = self.found(&plan, places)?;
                self.value(field, &found)
            }
            Some(WellKnown::Value) => {
                let plan = self.plan(descriptor);
                let found = self.found(&plan, places)?;
                match found.first().and_then(|first| plan.fields.get(&first.number)) {
                    None => self.printer.display("null"),
                    Some(field) if field.kind == Kind::Double => {
                        let double = f64::from_bits(self.last(&found, FIXED64)?.fixed64()?);
                        if !double.is_finite() {
                            return Err(JsonProblem::NoJsonForm.into());
                        }
                        self.floating(double);
                    }
                    Some(field) => self.value(field, &found)?,
                }
                Ok(())
            }
        }
    }

    /// Writes the fields of a message as members of the open object.
    fn fields(&mut self, descriptor: &MessageDescriptor, places: &Places) -> Result<(), JsonError> {
        let plan = self.plan(descriptor);
        let found = self.found(&plan, places)?;
        let mut rest = found.as_slice();
        for (number, field) in &plan.fields {
            let (these, others) = rest.split_at(rest.partition_point(|found| found.number <= *number));
            rest = others;
            if these.is_empty() && !field.is_always_written {
                continue;
            }
            self.printer.key(match self.names {
                FieldNames::Json => field.descriptor.json_name(),
                FieldNames::Proto => field.descriptor.name(),
            });
            if these.is_empty() && field.descriptor.supports_presence() {
                self.printer.display("null");
            } else {
                self.value(field, these).map_err(|error| error.in_field(&field.descriptor))?;
            }
        }
        Ok(())
    }

    /// Returns the fields at these places that have a descriptor, ordered by number, and in the order of the wire for the same number. Of each
    /// oneof, only the field that was set last is returned.
    fn found(&self, plan: &Plan, places: &Places) -> Result<Vec<Field>, JsonProblem> {
        let mut count = 0;
        for place in places {
            let mut fields = Fields::new(self.wire, place.clone());
            while let Some(field) = fields.next_field()? {
                count += usize::from(plan.fields.contains_key(&field.number));
            }
        }
        let mut found = Vec::with_capacity(count);
        let mut oneofs: BTreeMap<u32, (u32, usize)> = BTreeMap::new();
        for place in places {
            let mut fields = Fields::new(self.wire, place.clone());
            while let Some(field) = fields.next_field()? {
                let Some(planned) = plan.fields.get(&field.number) else { continue };
                found.push(field);
                if let Some(oneof) = planned.oneof {
                    // Another field of the oneof clears this one, so that an earlier value isn't merged with a later one.
                    let (number, since) = oneofs.entry(oneof).or_insert((field.number, field.value));
                    if *number != field.number {
                        (*number, *since) = (field.number, field.value);
                    }
                }
            }
        }
        if !oneofs.is_empty() {
            found.retain(|field| {
                let oneof = plan.fields.get(&field.number).and_then(|planned| oneofs.get(&planned.oneof?));
                oneof.is_none_or(|(number, since)| *number == field.number && field.value >= *since)
            });
        }
        if !found.is_sorted_by_key(|field| field.number) {
            found.sort_by_key(|field| field.number);
        }
        Ok(found)
    }

    /// Writes the value of a field that was found at these places; the default value if there is none.
    fn value(&mut self, field: &PlannedField, found: &[Field]) -> Result<(), JsonError> {
        if field.descriptor.is_group() {
            return Err(JsonProblem::Unsupported.into());
        }
        let (is_map, is_list) = (field.descriptor.is_map(), field.descriptor.is_list());
        if found.is_empty() && (is_map || is_list) {
            // No further level, so that what was read at the bound can be written.
            self.printer.display(if is_map { "{}" } else { "[]" });
            return Ok(());
        }
        if is_map {
            return self.map(field, found);
        }
        if is_list {
            return self.list(field, found);
        }
        self.single(&field.kind, found)
    }

    fn single(&mut self, kind: &Kind, found: &[Field]) -> Result<(), JsonError> {
        let Kind::Message(message) = kind else {
            return match found.last() {
                Some(last) => {
                    let mut fields = self.at(*last, wire_type(kind))?;
                    self.scalar(kind, &mut fields)
                }
                None => self.default(kind),
            };
        };
        if let [only] = found {
            let place = self.at(*only, DELIMITED)?.delimited()?;
            return self.message(message, slice::from_ref(&place));
        }
        let places = found.iter().map(|field| self.at(*field, DELIMITED)?.delimited());
        let places = places.collect::<Result<Vec<_>, _>>()?;
        self.message(message, &places)
    }

    fn list(&mut self, field: &PlannedField, found: &[Field]) -> Result<(), JsonError> {
        self.printer.open(b'[')?;
        let mut index = 0;
        for element in found {
            if element.wire_type != DELIMITED || wire_type(&field.kind) == DELIMITED {
                self.printer.item();
                self.single(&field.kind, slice::from_ref(element)).map_err(|error| error.in_element(index))?;
                index += 1;
                continue;
            }
            let packed = self.at(*element, DELIMITED)?.delimited()?;
            let mut elements = Fields::new(self.wire, packed);
            while !elements.is_empty() {
                self.printer.item();
                self.scalar(&field.kind, &mut elements).map_err(|error| error.in_element(index))?;
                index += 1;
            }
        }
        self.printer.close(b']');
        Ok(())
    }

    /// Writes a map in the order of its keys. Of entries with the same key, the last one counts.
    fn map(&mut self, field: &PlannedField, found: &[Field]) -> Result<(), JsonError> {
        let Kind::Message(entry) = &field.kind else { return Err(JsonProblem::Unsupported.into()) };
        let plan = self.plan(entry);
        let (Some(key_field), Some(value_field)) = (plan.fields.get(&1), plan.fields.get(&2)) else {
            return Err(JsonProblem::Unsupported.into());
        };
        let mut entries = Vec::with_capacity(found.len());
        for field in found {
            let place = self.at(*field, DELIMITED)?.delimited()?;
            entries.push((self.map_key(&key_field.kind, place.clone())?, place));
        }
        // In place; of equal keys, the last one on the wire comes last.
        entries.sort_unstable_by_key(|(key, place)| (*key, place.start));
        self.printer.open(b'{')?;
        let mut entries = entries.into_iter().peekable();
        while let Some((key, place)) = entries.next() {
            if entries.peek().is_some_and(|(next, _)| *next == key) {
                continue;
            }
            match key {
                MapKey::Text(text) => self.printer.key(text),
                MapKey::Unsigned(bit) if key_field.kind == Kind::Bool => self.printer.plain_key(bit != 0),
                MapKey::Unsigned(number) => self.printer.plain_key(number),
                MapKey::Signed(number) => self.printer.plain_key(number),
            }
            let of_value = self.found(&plan, slice::from_ref(&place))?;
            let of_value = of_value.split_at(of_value.partition_point(|field| field.number < 2)).1;
            self.single(&value_field.kind, of_value).map_err(|error| match key {
                MapKey::Text(text) => error.in_entry(text.chars()),
                MapKey::Unsigned(number) => error.in_entry(number.to_string().chars()),
                MapKey::Signed(number) => error.in_entry(number.to_string().chars()),
            })?;
        }
        self.printer.close(b'}');
        Ok(())
    }

    fn map_key(&self, kind: &Kind, entry: Range<usize>) -> Result<MapKey<'a>, JsonError> {
        let mut key = None;
        let mut fields = Fields::new(self.wire, entry);
        while let Some(field) = fields.next_field()? {
            if field.number == 1 {
                key = Some(field);
            }
        }
        if *kind == Kind::String {
            let text = key.map(|key| self.text(self.at(key, DELIMITED)?.delimited()?)).transpose()?;
            return Ok(MapKey::Text(text.unwrap_or_default()));
        }
        let bits = key.map(|key| number(kind, &mut self.at(key, wire_type(kind))?)).transpose()?;
        Ok(match bits.unwrap_or(Number::Unsigned(0)) {
            Number::Signed(value) => MapKey::Signed(value),
            Number::Unsigned(value) => MapKey::Unsigned(value),
        })
    }

    fn any(&mut self, descriptor: &MessageDescriptor, places: &Places) -> Result<(), JsonError> {
        if self.any_depth == ANY_DEPTH_MAX {
            return Err(JsonProblem::AnyTooDeep { limit: ANY_DEPTH_MAX }.into());
        }
        let plan = self.plan(descriptor);
        let found = self.found(&plan, places)?;
        let (urls, values) = found.split_at(found.partition_point(|field| field.number < 2));
        let url = urls.last().map(|url| self.text(self.at(*url, DELIMITED)?.delimited()?)).transpose()?;
        let value = values.last().map(|value| self.at(*value, DELIMITED)?.delimited()).transpose()?;
        self.printer.open(b'{')?;
        if url.is_some() || value.is_some() {
            let url = url.unwrap_or_default();
            let message = message_name(url).and_then(|name| descriptor.parent_pool().get_message_by_name(name));
            let message = message.ok_or(JsonProblem::UnknownType)?;
            self.printer.key(TYPE);
            self.printer.string(url);
            self.any_depth += 1;
            let place = value.unwrap_or_default();
            if WellKnown::of(&message).is_some() {
                self.printer.key(VALUE);
                self.message(&message, slice::from_ref(&place))?;
            } else {
                self.fields(&message, slice::from_ref(&place))?;
            }
            self.any_depth -= 1;
        }
        self.printer.close(b'}');
        Ok(())
    }

    fn field_mask(&mut self, places: &Places) -> Result<(), JsonError> {
        let mut mask = String::new();
        for place in places {
            let mut fields = Fields::new(self.wire, place.clone());
            while let Some(field) = fields.next_field()? {
                if field.number == 1 {
                    let path = self.text(self.at(field, DELIMITED)?.delimited()?)?;
                    if !mask.is_empty() {
                        mask.push(',');
                    }
                    mask.push_str(&mask::camel_case(path).ok_or(JsonProblem::NoJsonForm)?);
                }
            }
        }
        self.printer.string(&mask);
        Ok(())
    }

    /// Reads the fields of a timestamp or of a duration.
    fn seconds_and_nanos(&self, places: &Places) -> Result<(i64, i32), JsonProblem> {
        let (mut seconds, mut nanos) = (0, 0);
        for place in places {
            let mut fields = Fields::new(self.wire, place.clone());
            while let Some(field) = fields.next_field()? {
                let target = match field.number {
                    1 => &mut seconds,
                    2 => &mut nanos,
                    _ => continue,
                };
                *target = self.at(field, VARINT)?.varint()?.cast_signed();
            }
        }
        Ok((seconds, truncated(nanos)))
    }

    fn scalar(&mut self, kind: &Kind, fields: &mut Fields<'a>) -> Result<(), JsonError> {
        match kind {
            Kind::Bool => self.printer.display(fields.varint()? != 0),
            Kind::String => {
                let text = self.text(fields.delimited()?)?;
                self.printer.string(text);
            }
            Kind::Bytes => {
                let bytes = self.wire.get(fields.delimited()?).unwrap_or_default();
                self.printer.base64(bytes);
            }
            Kind::Double => self.floating(f64::from_bits(fields.fixed64()?)),
            Kind::Float => self.floating(f32::from_bits(fields.fixed32()?)),
            Kind::Enum(kind) => {
                let number = truncated(fields.varint()?.cast_signed());
                match kind.get_value(number) {
                    _ if kind.full_name() == NULL_VALUE => self.printer.display("null"),
                    Some(value) => self.printer.quoted(value.name()),
                    None => self.printer.display(number),
                }
            }
            Kind::Message(_) => return Err(JsonProblem::Unsupported.into()),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Uint32 | Kind::Fixed32 => match number(kind, fields)? {
                Number::Signed(value) => self.printer.display(value),
                Number::Unsigned(value) => self.printer.display(value),
            },
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => match number(kind, fields)? {
                Number::Signed(value) => self.printer.quoted(value),
                Number::Unsigned(value) => self.printer.quoted(value),
            },
        }
        Ok(())
    }

    fn default(&mut self, kind: &Kind) -> Result<(), JsonError> {
        match kind {
            Kind::Bool => self.printer.display(false),
            Kind::String | Kind::Bytes => self.printer.string(""),
            Kind::Enum(_) if has_null(kind) => self.printer.display("null"),
            Kind::Enum(kind) => match kind.get_value(0) {
                Some(value) => self.printer.quoted(value.name()),
                None => self.printer.display(0),
            },
            Kind::Message(_) => return Err(JsonProblem::Unsupported.into()),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 => self.printer.quoted(0),
            Kind::Double | Kind::Float | Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Uint32 | Kind::Fixed32 => {
                self.printer.display(0)
            }
        }
        Ok(())
    }

    fn floating(&mut self, value: impl Float) {
        match value.magnitude() {
            magnitude if magnitude.is_nan() => self.printer.quoted("NaN"),
            magnitude if magnitude.is_infinite() => {
                self.printer.quoted(if value.is_negative() { "-Infinity" } else { "Infinity" });
            }
            // Plain digits where they are short, and an exponent otherwise.
            magnitude if magnitude == 0.0 || PLAIN.contains(&magnitude) => self.printer.display(value),
            _ => self.printer.display(format_args!("{value:e}")),
        }
    }

    /// The value of a field, if it has the wire type of its descriptor.
    fn at(&self, field: Field, wire_type: u8) -> Result<Fields<'a>, JsonProblem> {
        if field.wire_type == wire_type {
            Ok(Fields::new(self.wire, field.value..self.wire.len()))
        } else {
            Err(JsonProblem::InvalidWire)
        }
    }

    fn last(&self, found: &[Field], wire_type: u8) -> Result<Fields<'a>, JsonProblem> {
        self.at(*found.last().ok_or(JsonProblem::InvalidWire)?, wire_type)
    }

    fn text(&self, place: Range<usize>) -> Result<&'a str, JsonProblem> {
        str::from_utf8(self.wire.get(place).unwrap_or_default()).map_err(|_| JsonProblem::InvalidWire)
    }

    fn plan(&mut self, descriptor: &MessageDescriptor) -> Rc<Plan> {
        if let Some(plan) = self.plans.get(descriptor.full_name()) {
            return Rc::clone(plan);
        }
        let plan = Rc::new(Plan::new(descriptor));
        self.plans.insert(descriptor.full_name().to_owned(), Rc::clone(&plan));
        plan
    }
}

impl Plan {
    fn new(descriptor: &MessageDescriptor) -> Self {
        let planned = |descriptor: FieldDescriptor| {
            let oneof = real_oneof(&descriptor);
            // A field of a oneof that isn't set says nothing, because another one is.
            let is_null = oneof.is_none() && descriptor.supports_presence() && is_secret(&descriptor);
            PlannedField {
                kind: descriptor.kind(),
                is_always_written: is_null || !descriptor.supports_presence(),
                oneof: oneof.and_then(|oneof| oneof.fields().map(|field| field.number()).min()),
                descriptor,
            }
        };
        Plan { fields: descriptor.fields().map(|field| (field.number(), planned(field))).collect() }
    }
}

/// An integer of any kind.
enum Number {
    Signed(i64),
    Unsigned(u64),
}

fn number(kind: &Kind, fields: &mut Fields<'_>) -> Result<Number, JsonProblem> {
    Ok(match kind {
        Kind::Fixed32 => Number::Unsigned(u64::from(fields.fixed32()?)),
        Kind::Fixed64 => Number::Unsigned(fields.fixed64()?),
        Kind::Sfixed32 => Number::Signed(i64::from(fields.fixed32()?.cast_signed())),
        Kind::Sfixed64 => Number::Signed(fields.fixed64()?.cast_signed()),
        Kind::Int32 => Number::Signed(i64::from(truncated(fields.varint()?.cast_signed()))),
        Kind::Int64 => Number::Signed(fields.varint()?.cast_signed()),
        Kind::Sint32 => {
            let zigzag = fields.varint()? & u64::from(u32::MAX);
            Number::Signed(unzigzag(zigzag))
        }
        Kind::Sint64 => Number::Signed(unzigzag(fields.varint()?)),
        Kind::Uint32 => Number::Unsigned(fields.varint()? & u64::from(u32::MAX)),
        Kind::Bool => Number::Unsigned(u64::from(fields.varint()? != 0)),
        Kind::Uint64 => Number::Unsigned(fields.varint()?),
        Kind::Bytes | Kind::Double | Kind::Enum(_) | Kind::Float | Kind::Message(_) | Kind::String => {
            return Err(JsonProblem::Unsupported);
        }
    })
}

fn unzigzag(zigzag: u64) -> i64 {
    (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed()
}

/// The low 32 bits: what a field with 32 bits keeps of a longer value on the wire.
fn truncated(value: i64) -> i32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

fn wire_type(kind: &Kind) -> u8 {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => FIXED64,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => FIXED32,
        Kind::String | Kind::Bytes | Kind::Message(_) => DELIMITED,
        Kind::Bool
        | Kind::Enum(_)
        | Kind::Int32
        | Kind::Int64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Uint32
        | Kind::Uint64 => VARINT,
    }
}

/// A number that is written with the fewest digits that read as the same number.
trait Float: Copy + std::fmt::Display + std::fmt::LowerExp {
    fn magnitude(self) -> f64;
    fn is_negative(self) -> bool;
}

impl Float for f64 {
    fn magnitude(self) -> f64 {
        self.abs()
    }

    fn is_negative(self) -> bool {
        self.is_sign_negative()
    }
}

impl Float for f32 {
    fn magnitude(self) -> f64 {
        f64::from(self).abs()
    }

    fn is_negative(self) -> bool {
        self.is_sign_negative()
    }
}

/// Numbers that are written without an exponent.
const PLAIN: Range<f64> = 1e-6..1e21;
