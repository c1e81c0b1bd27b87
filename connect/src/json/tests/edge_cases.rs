use super::*;

/// The JSON means the same as other JSON, which the reference reads.
fn means(json: &str, same: &str) {
    let descriptor = kinds();
    let message = decoded(&descriptor, json).unwrap_or_else(|error| panic!("{json}: {error}"));
    assert_eq!(message, normal(&reference(&descriptor, same).unwrap()), "{json}");
}

fn refusal(json: &str) -> String {
    match decoded(&kinds(), json) {
        Ok(message) => panic!("{json} is accepted: {message}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn names_are_accepted_in_both_forms_and_null_means_absent() {
    means(r#"{"anInt32": 1, "a_bool": true}"#, r#"{"anInt32":1,"aBool":true}"#);
    means(r#"{"otherName": 1}"#, r#"{"renamed":1}"#);
    means(r#"{"\u0061Bool": true}"#, r#"{"aBool":true}"#);
    means(
        r#"{"aBool": null, "strings": null, "stringMap": null, "child": null, "secret": null, "chosenString": null,
            "chosenInt32": 5, "stringValue": null, "timestamp": null, "any": null, "color": null}"#,
        r#"{"chosenInt32":5}"#,
    );
    means(
        r#"{"value": null, "null": null, "chosenNull": null, "values": [null]}"#,
        r#"{"value":null,"chosenNull":null,"values":[null]}"#,
    );
    means(" \t\r\n{ \"strings\" : [ ] } \n", "{}");
}

#[test]
fn numbers_are_exact() {
    means(
        r#"{"anInt32": 1.0, "anInt64": "1e2", "aUint32": 1E2, "aSint32": -1.50e1}"#,
        r#"{"anInt32":1,"anInt64":"100","aUint32":100,"aSint32":-15}"#,
    );
    means(r#"{"anInt64": 9223372036854775807}"#, r#"{"anInt64":"9223372036854775807"}"#);
    means(
        r#"{"anInt64": "-9223372036854775808", "aUint64": 18446744073709551615}"#,
        r#"{"anInt64":"-9223372036854775808","aUint64":"18446744073709551615"}"#,
    );
    means(
        r#"{"anInt32": 2147483647, "aSfixed32": -2147483648, "aFixed32": 4294967295}"#,
        r#"{"anInt32":2147483647,"aSfixed32":-2147483648,"aFixed32":4294967295}"#,
    );
    means(r#"{"anInt32": -0, "optionalInt32": 0e99999999999999999999, "aUint64": 0.000}"#, r#"{"optionalInt32":0}"#);
    means(r#"{"anInt64": 0.0012e4, "aUint64": 1200e-2}"#, r#"{"anInt64":"12","aUint64":"12"}"#);
    means(r#"{"aDouble": "1.5", "aFloat": 1e-3}"#, r#"{"aDouble":1.5,"aFloat":0.001}"#);
    means(r#"{"aDouble": "Infinity", "aFloat": "-Infinity"}"#, r#"{"aDouble":"Infinity","aFloat":"-Infinity"}"#);
    means(r#"{"aDouble": 1e-400}"#, "{}");
    let largest = decoded(&kinds(), r#"{"aFloat": 3.4028235e38}"#).unwrap();
    assert_eq!(largest.get_field_by_name("a_float").unwrap().as_f32(), Some(f32::MAX));
    for json in [r#"{"aDouble": "NaN"}"#, r#"{"aFloat": "NaN"}"#] {
        let message = decoded(&kinds(), json).unwrap();
        assert!(
            message
                .fields()
                .all(|(_, value)| value.as_f64().is_some_and(f64::is_nan) || value.as_f32().is_some_and(f32::is_nan))
        );
        let options = EncodeOptions::default();
        assert!(encoded(&message, options).unwrap().contains(r#":"NaN""#));
    }
    for (json, problem) in [
        (r#"{"anInt32": 1.5}"#, "anInt32: expected an integer"),
        (r#"{"anInt32": "1e-1"}"#, "anInt32: expected an integer"),
        (r#"{"anInt64": 1e-99999999999999999999}"#, "anInt64: expected an integer"),
        (
            r#"{"anInt32": 2147483648}"#,
            "anInt32: the number is out of range: expected an integer from -2147483648 to 2147483647",
        ),
        (r#"{"aUint32": -1}"#, "aUint32: the number is out of range: expected an integer from 0 to 4294967295"),
        (
            r#"{"aUint64": 18446744073709551616}"#,
            "aUint64: the number is out of range: expected an integer from 0 to 18446744073709551615",
        ),
        (
            r#"{"anInt64": 1e99999999999999999999}"#,
            "anInt64: the number is out of range: expected an integer from -9223372036854775808 to 9223372036854775807",
        ),
        (r#"{"aDouble": 1e309}"#, "aDouble: the number is out of range: expected a 64-bit floating-point number"),
        (r#"{"aFloat": -3.5e38}"#, "aFloat: the number is out of range: expected a 32-bit floating-point number"),
        (r#"{"aDouble": "nan"}"#, "aDouble: expected a number, \"NaN\", \"Infinity\" or \"-Infinity\""),
        (r#"{"aDouble": ""}"#, "aDouble: expected a number, \"NaN\", \"Infinity\" or \"-Infinity\""),
        (r#"{"anInt32": " 1"}"#, "anInt32: expected an integer from -2147483648 to 2147483647"),
        (r#"{"anInt32": "+1"}"#, "anInt32: expected an integer from -2147483648 to 2147483647"),
        (r#"{"anInt32": "01"}"#, "anInt32: expected an integer from -2147483648 to 2147483647"),
        (r#"{"anInt32": ""}"#, "anInt32: expected an integer from -2147483648 to 2147483647"),
        (r#"{"anInt32": true}"#, "anInt32: expected an integer from -2147483648 to 2147483647"),
        (r#"{"aBool": 1}"#, "aBool: expected true or false"),
        (r#"{"aBool": "true"}"#, "aBool: expected true or false"),
        (r#"{"aString": 1}"#, "aString: expected a string"),
    ] {
        assert_eq!(refusal(json), problem, "{json}");
    }
}

#[test]
fn strings_are_unescaped_and_surrogates_need_their_pair() {
    means(r#"{"aString": "\"\\\/\b\f\n\r\t\u0000\u00e9\uD83D\uDE00"}"#, r#"{"aString":"\"\\/\b\f\n\r\t\u0000é😀"}"#);
    for (json, problem) in [
        (r#"{"aString": "\uD83D"}"#, "invalid JSON at line 1, column 14: a surrogate without its pair"),
        (r#"{"aString": "\uDE00\uD83D"}"#, "invalid JSON at line 1, column 14: a surrogate without its pair"),
        (r#"{"aString": "\uD83D\u0041"}"#, "invalid JSON at line 1, column 14: a surrogate without its pair"),
        (r#"{"aString": "é\uD83D\n"}"#, "invalid JSON at line 1, column 15: a surrogate without its pair"),
        (r#"{"aString": "\x"}"#, "invalid JSON at line 1, column 14: expected an escape of JSON"),
        (r#"{"aString": "\u00g0"}"#, "invalid JSON at line 1, column 14: expected an escape of JSON"),
        (
            "{\"aString\": \"\n\"}",
            "invalid JSON at line 1, column 14: expected an escape instead of a control character",
        ),
        ("{\n \"aString\": \"abc", "invalid JSON at line 2, column 17: expected the closing quote of a string"),
    ] {
        assert!(refusal(json).ends_with(problem), "{json}: {}", refusal(json));
    }
    assert_eq!(
        decode(&kinds(), b"{\"aString\": \"\xFF\"}").unwrap_err().to_string(),
        "the JSON isn't UTF-8: invalid byte at offset 13"
    );
    // An encoded surrogate isn't UTF-8 either.
    assert!(matches!(decode(&kinds(), b"\"\xED\xA0\x80\"").unwrap_err().problem, JsonProblem::NotUtf8 { .. }));
}

#[test]
fn bytes_are_base64_in_either_alphabet() {
    for text in ["-_8=", "-_8", "+/8=", "+/8", "+\\/8="] {
        means(&format!(r#"{{"someBytes": "{text}"}}"#), r#"{"someBytes":"+/8="}"#);
    }
    means(r#"{"someBytes": ""}"#, "{}");
    means(r#"{"someBytes": "AAAA"}"#, r#"{"someBytes":"AAAA"}"#);
    means(r#"{"someBytes": "QQ"}"#, r#"{"someBytes":"QQ=="}"#);
    for text in ["A", "QQ=", "QQ===", "Q=Q=", "QR==", "=", "====", "QUI==", "QUJD=", "-/8=", "QQ ", " QQ==", "Qé=="] {
        assert_eq!(
            refusal(&format!(r#"{{"someBytes": "{text}"}}"#)),
            "someBytes: expected base64, in the standard or the URL-safe alphabet",
            "{text}"
        );
    }
}

#[test]
fn enums_have_names_and_numbers() {
    means(
        r#"{"color": "COLOR_RED", "colors": [1, -1, 77, 1.0, "COLOR_BLUE"]}"#,
        r#"{"color":1,"colors":[1,-1,77,1,-1]}"#,
    );
    assert_eq!(refusal(r#"{"color": "RED"}"#), "color: unknown name of a value of the enum sealward.test.v1.Color");
    assert_eq!(refusal(r#"{"color": 1.5}"#), "color: expected an integer");
    assert_eq!(
        refusal(r#"{"color": 2147483648}"#),
        "color: the number is out of range: expected a number of a value of the enum"
    );
    assert_eq!(refusal(r#"{"color": true}"#), "color: expected the name or the number of a value of the enum");
}

#[test]
fn unknown_and_duplicate_keys_are_refused_by_name() {
    for (json, problem) in [
        (r#"{"colour": 1}"#, r#"unknown field "colour": sealward.test.v1.Kinds has no such field"#),
        (
            r#"{"child": {"child": {"\u0078": 1}}}"#,
            r#"child.child: unknown field "x": sealward.test.v1.Kinds has no such field"#,
        ),
        (r#"{"aBool": true, "aBool": true}"#, r#"duplicate key "aBool""#),
        (r#"{"aBool": true, "a_bool": true}"#, r#"duplicate key "a_bool""#),
        (r#"{"aBool": null, "\u0061_bool": null}"#, r#"duplicate key "a_bool""#),
        (r#"{"stringMap": {"a": "", "\u0061": ""}}"#, r#"stringMap["a"]: duplicate key "a""#),
        (r#"{"childMap": {"1": {}, "1.0": {}}}"#, r#"childMap["1.0"]: duplicate key "1.0""#),
        (r#"{"boolMap": {"true": 1, "true": 1}}"#, r#"boolMap["true"]: duplicate key "true""#),
        (r#"{"struct": {"a": {"b": 1, "b": 1}}}"#, r#"struct["a"]["b"]: duplicate key "b""#),
        (r#"{"children": [{}, {"aBool": 1}]}"#, "children[1].aBool: expected true or false"),
        (r#"{"secrets": {"canary-1": "", "canary-1": ""}}"#, r#"secrets: duplicate key """#),
    ] {
        assert_eq!(refusal(json), problem, "{json}");
    }
    let long = "x".repeat(1000);
    assert_eq!(
        refusal(&format!(r#"{{"{long}": 1}}"#)),
        format!("unknown field \"{}…\": sealward.test.v1.Kinds has no such field", "x".repeat(64))
    );
}

#[test]
fn key_is_shown_up_to_the_first_character_that_no_name_has() {
    for (key, shown) in [
        ("display-name.x_1@", "display-name.x_1@"),
        ("", ""),
        ("a passphrase of words", "a…"),
        ("Hq7$w!x", "Hq7…"),
        (r"a\u0000b", "a…"),
        (r"a\u200bb", "a…"),
        (r"a\u202eb", "a…"),
        (r"\u001b[2J", "…"),
        (r"a\nb", "a…"),
        ("größe", "gr…"),
    ] {
        let of_message = format!("unknown field \"{shown}\": sealward.test.v1.Kinds has no such field");
        assert_eq!(refusal(&format!(r#"{{"{key}": 1}}"#)), of_message);
        let of_entry = format!(r#"stringMap["{shown}"]: expected a string"#);
        assert_eq!(refusal(&format!(r#"{{"stringMap": {{"{key}": 1}}}}"#)), of_entry);
        let twice = format!(r#"stringMap["{shown}"]: duplicate key "{shown}""#);
        assert_eq!(refusal(&format!(r#"{{"stringMap": {{"{key}": "", "{key}": ""}}}}"#)), twice);
    }
}

#[test]
fn room_for_the_result_is_taken_before_it_is_written() {
    /// The room that was asked for.
    #[derive(Debug, PartialEq, Eq)]
    struct NoRoom(usize);
    impl From<JsonError> for NoRoom {
        fn from(error: JsonError) -> Self {
            panic!("{error}")
        }
    }
    let json = br#"{"aString": "text", "children": [{}, {"aBool": true}]}"#;
    let size = decode(&kinds(), json).unwrap().len();
    assert_eq!(decode_within(&kinds(), json, |size| Err(NoRoom(size))).unwrap_err(), NoRoom(size));
    assert_eq!(decode_within(&kinds(), json, |_| Ok::<_, NoRoom>(())).unwrap().len(), size);
}

#[test]
fn oneofs_lists_and_maps() {
    means(r#"{"chosenString": ""}"#, r#"{"chosenString":""}"#);
    means(
        r#"{"childMap": {"-1": {}, "2": {"aBool": true}}, "boolMap": {"false": 0}}"#,
        r#"{"childMap":{"-1":{},"2":{"aBool":true}},"boolMap":{"false":0}}"#,
    );
    for (json, problem) in [
        (r#"{"chosenString": "", "chosenInt32": 0}"#, "chosenInt32: more than one field of the oneof choice is set"),
        (r#"{"chosenNull": null, "chosenInt32": 0}"#, "chosenInt32: more than one field of the oneof choice is set"),
        (r#"{"int32s": [1, null]}"#, "int32s[1]: null isn't allowed here: remove the element, or set a value"),
        (r#"{"children": [null]}"#, "children[0]: null isn't allowed here: remove the element, or set a value"),
        (
            r#"{"stringMap": {"a": null}}"#,
            r#"stringMap["a"]: null isn't allowed here: remove the element, or set a value"#,
        ),
        (r#"{"int32s": 1}"#, "int32s: expected a list"),
        (r#"{"stringMap": []}"#, "stringMap: expected an object"),
        (r#"{"child": []}"#, "child: expected an object"),
        (
            r#"{"childMap": {"a": {}}}"#,
            r#"childMap["a"]: invalid key of a map: expected an integer from -2147483648 to 2147483647"#,
        ),
        (r#"{"boolMap": {"1": 0}}"#, r#"boolMap["1"]: invalid key of a map: expected true or false"#),
    ] {
        assert_eq!(refusal(json), problem, "{json}");
    }
}

#[test]
fn well_known_types_have_their_own_forms() {
    means(r#"{"timestamp": "2026-01-31T12:00:00+01:30"}"#, r#"{"timestamp":"2026-01-31T10:30:00Z"}"#);
    means(r#"{"timestamp": "0001-01-01T00:00:00Z"}"#, r#"{"timestamp":"0001-01-01T00:00:00Z"}"#);
    means(r#"{"timestamp": "9999-12-31T23:59:59.999999999Z"}"#, r#"{"timestamp":"9999-12-31T23:59:59.999999999Z"}"#);
    means(r#"{"timestamp": "1969-12-31T23:59:59.5Z"}"#, r#"{"timestamp":"1969-12-31T23:59:59.500Z"}"#);
    for text in [
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31t12:00:00Z",
        "2026-01-31T12:00:00z",
        "2026-01-31 12:00:00Z",
        "2026-02-30T12:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T23:59:60Z",
        "2026-01-31T12:00:00.Z",
        "2026-01-31T12:00:00.1234567890Z",
        "2026-01-31T12:00:00+0100",
        "0000-12-31T23:59:59Z",
        "9999-12-31T23:59:59-00:01",
        "0001-01-01T00:00:00+00:01",
        "+2026-01-31T12:00:00Z",
        "",
        "é",
    ] {
        let problem = refusal(&format!(r#"{{"timestamp": "{text}"}}"#));
        assert!(problem.starts_with("timestamp: expected a time"), "{text}: {problem}");
    }
    means(r#"{"duration": "-1.5s"}"#, r#"{"duration":"-1.500s"}"#);
    means(r#"{"duration": "-0.000000001s"}"#, r#"{"duration":"-0.000000001s"}"#);
    means(r#"{"duration": "315576000000s"}"#, r#"{"duration":"315576000000s"}"#);
    for text in [
        "1",
        "1.s",
        ".5s",
        "1.1234567890s",
        "315576000001s",
        "1 s",
        "+1s",
        "--1s",
        "s",
        "",
        "1e2s",
        "99999999999999999999s",
    ] {
        let problem = refusal(&format!(r#"{{"duration": "{text}"}}"#));
        assert!(problem.starts_with("duration: expected a duration"), "{text}: {problem}");
    }
    means(r#"{"fieldMask": "displayName,a.bC,*"}"#, r#"{"fieldMask":"displayName,a.bC,*"}"#);
    means(r#"{"fieldMask": ""}"#, r#"{"fieldMask":""}"#);
    for text in ["display_name", "a,,b", ",", "a,"] {
        let problem = refusal(&format!(r#"{{"fieldMask": "{text}"}}"#));
        assert!(problem.starts_with("fieldMask: expected a field mask"), "{text}: {problem}");
    }
    means(
        r#"{"stringValue": "", "int64Value": "0", "boolValue": false, "bytesValue": "AA==", "doubleValue": 0}"#,
        r#"{"stringValue":"","int64Value":"0","boolValue":false,"bytesValue":"AA==","doubleValue":0.0}"#,
    );
    means(
        r#"{"struct": {"a": null, "b": [1, "x", {}, [], true]}, "list": [], "empty": {}}"#,
        r#"{"struct":{"a":null,"b":[1,"x",{},[],true]},"list":[],"empty":{}}"#,
    );
    assert_eq!(
        refusal(r#"{"empty": {"a": 1}}"#),
        r#"empty: unknown field "a": google.protobuf.Empty has no such field"#
    );
    assert_eq!(
        refusal(r#"{"value": 1e999}"#),
        "value: the number is out of range: expected a 64-bit floating-point number"
    );
    assert_eq!(
        refusal(r#"{"int64Value": {"value": 1}}"#),
        "int64Value: expected an integer from -9223372036854775808 to 9223372036854775807"
    );
    for (text, message) in [("null", "an object"), ("[]", "an object"), ("1", "an object"), (r#""{}""#, "an object")] {
        assert_eq!(refusal(text), format!("expected {message}"));
    }
}

#[test]
fn any_has_its_type_anywhere_and_is_bounded() {
    let empty = r#"{"any": {}}"#;
    assert!(decoded(&kinds(), empty).unwrap().has_field_by_name("any"));
    means(
        r#"{"any": {"aBool": true, "@type": "x/sealward.test.v1.Kinds", "children": [{}]}}"#,
        r#"{"any":{"@type":"x/sealward.test.v1.Kinds","aBool":true,"children":[{}]}}"#,
    );
    means(
        r#"{"any": {"value": "1.5s", "@type": "x/google.protobuf.Duration"}}"#,
        r#"{"any":{"@type":"x/google.protobuf.Duration","value":"1.500s"}}"#,
    );
    for (json, problem) in [
        (r#"{"any": {"aBool": true}}"#, r#"any: google.protobuf.Any needs the member "@type""#),
        (r#"{"any": {"@type": 1}}"#, r#"any["@type"]: expected a string"#),
        (r#"{"any": {"@type": "sealward.test.v1.Kinds"}}"#, "any: unknown type of google.protobuf.Any"),
        (r#"{"any": {"@type": "x/canary-1"}}"#, "any: unknown type of google.protobuf.Any"),
        (r#"{"any": {"@type": "x/google.protobuf.Duration"}}"#, r#"any: google.protobuf.Any needs the member "value""#),
        (
            r#"{"any": {"@type": "x/google.protobuf.Duration", "value": "1s", "a": 1}}"#,
            r#"any: unknown field "a": google.protobuf.Duration has no such field"#,
        ),
        (
            r#"{"any": {"@type": "x/google.protobuf.Duration", "value": "1s", "value": "1s"}}"#,
            r#"any: duplicate key "value""#,
        ),
        (
            r#"{"any": {"@type": "x/sealward.test.v1.Kinds", "@type": "x/sealward.test.v1.Kinds"}}"#,
            r#"any: duplicate key "@type""#,
        ),
        (
            r#"{"any": {"@type": "x/sealward.test.v1.Kinds", "value": true, "colour": 1}}"#,
            r#"any: unknown field "colour": sealward.test.v1.Kinds has no such field"#,
        ),
    ] {
        assert_eq!(refusal(json), problem, "{json}");
    }
    let nested = |levels| {
        format!(
            r#"{{"any": {}{}}}"#,
            r#"{"@type": "x/google.protobuf.Any", "value": "#.repeat(levels) + "{}",
            "}".repeat(levels)
        )
    };
    assert!(decoded(&kinds(), &nested(ANY_DEPTH_MAX - 1)).is_ok());
    assert_eq!(
        refusal(&nested(ANY_DEPTH_MAX)),
        "any: more than 8 values of the type google.protobuf.Any inside each other"
    );
    let message = decoded(&kinds(), &nested(ANY_DEPTH_MAX - 1)).unwrap();
    assert!(encoded(&message, EncodeOptions::default()).is_ok());
}

#[test]
fn fields_without_presence_are_written_and_an_absent_secret_is_null() {
    let contract = contract();
    let json = |name: &str, json: &str, options| {
        let descriptor = contract.get_message_by_name(name).unwrap();
        encoded(&reference(&descriptor, json).unwrap(), options).unwrap()
    };
    let compact = EncodeOptions::default();
    assert_eq!(
        json(
            "sealward.mail.v1.Mailbox",
            r#"{"name":"organizations/o/mailboxes/1","displayName":"Sales","isPasswordSet":true}"#,
            compact
        ),
        r#"{"name":"organizations/o/mailboxes/1","etag":"","displayName":"Sales","password":null,"isPasswordSet":true}"#
    );
    assert_eq!(
        json("sealward.v1.IsDataEncryptionActiveResponse", "{}", compact),
        r#"{"isActive":false,"fingerprint":"","keyVersion":0,"cellCounts":[],"isKeyChangeDue":false,"callerTls":"CALLER_TLS_UNSPECIFIED"}"#
    );
    assert_eq!(
        json(
            "sealward.v1.RevealAttributesResponse",
            r#"{"values":{"b":{"text":"x"},"a":{"data":"AA=="},"c":{}}}"#,
            compact
        ),
        r#"{"values":{"a":{"data":"AA=="},"b":{"text":"x"},"c":{}}}"#
    );
    let indented = EncodeOptions { layout: Layout::Indented, names: FieldNames::Proto };
    assert_eq!(
        json("sealward.v1.RevealAttributesRequest", r#"{"attributes":["a","b"]}"#, indented),
        "{\n  \"name\": \"\",\n  \"attributes\": [\n    \"a\",\n    \"b\"\n  ],\n  \"purpose\": \"\"\n}"
    );
}

#[test]
fn values_are_written_in_their_shortest_form() {
    let descriptor = kinds();
    // The text from the value of the only given field on.
    let value = |json: &str| {
        let written = encoded(&reference(&descriptor, json).unwrap(), EncodeOptions::default()).unwrap();
        let (key, _) = json[1..].split_once(':').unwrap();
        written.split_once(&format!("{key}:")).unwrap().1.to_owned()
    };
    for (given, expected) in [
        (r#"{"anInt64":"-9223372036854775808"}"#, r#""-9223372036854775808","#),
        (r#"{"aDouble":1.0}"#, "1,"),
        (r#"{"aDouble":1e21}"#, "1e21,"),
        (r#"{"aDouble":5e-324}"#, "5e-324,"),
        (r#"{"aDouble":0.1}"#, "0.1,"),
        (r#"{"aFloat":0.1}"#, "0.1,"),
        (r#"{"aDouble":"-Infinity"}"#, r#""-Infinity","#),
        (r#"{"someBytes":"-_8"}"#, r#""+/8=","#),
        (r#"{"color":-1}"#, r#""COLOR_BLUE","#),
        (r#"{"color":9}"#, "9,"),
        (r#"{"aString":"\"\\\/\b\f\n\r\t\u0001\u007fé"}"#, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\u{7f}é\","),
        (r#"{"timestamp":"2026-01-31T12:00:00.100Z"}"#, r#""2026-01-31T12:00:00.100Z","#),
        (r#"{"duration":"-0.500s"}"#, r#""-0.500s","#),
        (r#"{"fieldMask":"aB.cD,e"}"#, r#""aB.cD,e","#),
        (r#"{"doubleValue":2}"#, "2,"),
    ] {
        let written = value(given);
        assert!(written.starts_with(expected), "{given}: {written}");
    }
}

#[test]
fn message_without_json_form_is_refused() {
    let descriptor = kinds();
    let refusal = |fields: &[(&str, &str, Value)]| {
        let mut message = DynamicMessage::new(descriptor.clone());
        for (field, inner, value) in fields {
            let kind = descriptor.get_field_by_name(field).unwrap().kind();
            let mut content = DynamicMessage::new(kind.as_message().unwrap().clone());
            content.set_field_by_name(inner, value.clone());
            message.set_field_by_name(field, Value::Message(content));
        }
        encoded(&message, EncodeOptions::default()).unwrap_err().to_string()
    };
    let mask = |path: &str| Value::List(vec![Value::String(path.to_owned())]);
    for field in [
        ("timestamp", "seconds", Value::I64(253_402_300_800)),
        ("timestamp", "nanos", Value::I32(-1)),
        ("duration", "seconds", Value::I64(315_576_000_001)),
        ("duration", "nanos", Value::I32(1_000_000_000)),
        ("value", "number_value", Value::F64(f64::NAN)),
        ("field_mask", "paths", mask("fooBar")),
        ("field_mask", "paths", mask("foo__bar")),
        ("field_mask", "paths", mask("foo_3")),
        ("field_mask", "paths", mask("foo_")),
        ("field_mask", "paths", mask("a,b")),
    ] {
        let name = descriptor.get_field_by_name(field.0).unwrap().json_name().to_owned();
        assert_eq!(refusal(std::slice::from_ref(&field)), format!("{name}: the value has no JSON form"), "{field:?}");
    }
    assert_eq!(
        refusal(&[("any", "type_url", Value::String("x/unknown".to_owned()))]),
        "any: unknown type of google.protobuf.Any"
    );
    for wire in [
        &b"\x08"[..],
        b"\x72\x01",
        b"\x72\x01\xFF",
        b"\x0D\0\0\0\0",
        b"\x00\x01",
        b"\x0F",
        b"\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02",
        b"\xDB\x01\x08\x01",
    ] {
        assert_eq!(encode(&descriptor, wire).unwrap_err().problem, JsonProblem::InvalidWire, "{wire:?}");
    }
}
