use super::*;

fn problem(json: &str) -> JsonProblem {
    decode(&kinds(), json.as_bytes()).unwrap_err().problem
}

#[test]
fn nesting_ends_at_its_bound_in_both_directions() {
    let too_deep = JsonProblem::TooDeep { limit: 64 };
    let children = |levels: usize| format!("{}{{}}{}", r#"{"child":"#.repeat(levels - 1), "}".repeat(levels - 1));
    let lists = |levels: usize| format!(r#"{{"value":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
    for (deepest, deeper) in [(children(DEPTH_MAX), children(DEPTH_MAX + 1)), (lists(DEPTH_MAX), lists(DEPTH_MAX + 1))]
    {
        let wire = decode(&kinds(), deepest.as_bytes()).unwrap();
        assert!(encode(&kinds(), &wire).is_ok());
        assert_eq!(problem(&deeper), too_deep);
    }
    // The end of the text isn't read.
    assert_eq!(problem(&format!(r#"{{"value":{}"#, "[".repeat(1_000_000))), too_deep);
    assert_eq!(problem(&format!(r#"{{"struct":{}"#, r#"{"a":"#.repeat(1_000_000))), too_deep);
    assert_eq!(problem(&format!(r#"{{"any":{}"#, r#"{"a":"#.repeat(1_000_000))), too_deep);

    // On the wire, a message one level deeper than JSON allows.
    let wire = (0..DEPTH_MAX).fold(Vec::new(), |inner: Vec<u8>, _| {
        let mut outer = vec![0x8A, 0x01];
        prost::encoding::encode_varint(u64::try_from(inner.len()).unwrap(), &mut outer);
        outer.extend(inner);
        outer
    });
    assert_eq!(encode(&kinds(), &wire).unwrap_err().problem, too_deep);
    let groups = [0xC3, 0x3E].repeat(1_000_000);
    assert_eq!(encode(&kinds(), &groups).unwrap_err().problem, too_deep);
}

#[test]
fn million_keys_are_read_and_one_more_time_refused() {
    let members: Vec<String> = (0..1_000_000).map(|index| format!(r#""{index}":"""#)).collect();
    let json = format!(r#"{{"stringMap":{{{}}}}}"#, members.join(","));
    let wire = decode(&kinds(), json.as_bytes()).unwrap();
    let back = encode(&kinds(), &wire).unwrap();
    assert_eq!(decode(&kinds(), &back).unwrap().len(), wire.len());
    let twice = json.replace(r#""999999":"#, r#""0":"#);
    assert_eq!(problem(&twice), JsonProblem::DuplicateKey { name: "0".to_owned() });
    let unknown: Vec<String> = (0..1_000_000).map(|index| format!(r#""x{index}":0"#)).collect();
    let unknown = problem(&format!("{{{}}}", unknown.join(",")));
    assert!(matches!(unknown, JsonProblem::UnknownField { name, .. } if name == "x0"));
}

#[test]
fn numbers_with_a_million_digits_are_converted_exactly() {
    let digits = "0".repeat(1_000_000);
    let descriptor = kinds();
    let number = |json: String| {
        decoded(&descriptor, &json).map(|message| message.get_field_by_name("an_int64").unwrap().as_i64())
    };
    assert_eq!(number(format!(r#"{{"anInt64":7.{digits}}}"#)), Ok(Some(7)));
    assert_eq!(number(format!(r#"{{"anInt64":7{digits}e-1000000}}"#)), Ok(Some(7)));
    assert_eq!(number(format!(r#"{{"anInt64":0.{digits}7e1000001}}"#)), Ok(Some(7)));
    assert_eq!(problem(&format!(r#"{{"anInt64":7.{digits}1}}"#)), JsonProblem::NotAnInteger);
    assert!(matches!(problem(&format!(r#"{{"anInt64":7{digits}}}"#)), JsonProblem::OutOfRange { .. }));
    assert!(matches!(problem(&format!(r#"{{"aDouble":7{digits}}}"#)), JsonProblem::OutOfRange { .. }));
    assert!(matches!(problem(&format!(r#"{{"aDouble":1e{digits}9999}}"#)), JsonProblem::OutOfRange { .. }));
}

#[test]
fn text_that_is_not_json_is_refused() {
    for json in [
        "",
        " ",
        "{",
        "}",
        "{]",
        "{\"aBool\"}",
        "{\"aBool\":}",
        "{\"aBool\":true",
        "{\"aBool\":true,}",
        "{,}",
        "{\"int32s\":[1,]}",
        "{\"int32s\":[,1]}",
        "{\"int32s\":[1 2]}",
        "{\"int32s\":[1}",
        "{\"anInt32\":01}",
        "{\"anInt32\":1.}",
        "{\"anInt32\":.5}",
        "{\"anInt32\":+1}",
        "{\"anInt32\":1e}",
        "{\"anInt32\":-}",
        "{\"anInt32\":0x1}",
        "{\"aDouble\":NaN}",
        "{\"aBool\":True}",
        "{\"aBool\":truex}",
        "{\"aBool\":nul}",
        "{'aBool':true}",
        "{aBool:true}",
        "{} {}",
        "{}x",
        "{}\u{a0}",
        "\u{feff}{}",
        "{}//",
        "{/**/}",
        "{\"aBool\":true}\0",
    ] {
        assert!(matches!(problem(json), JsonProblem::Syntax { .. }), "{json}: {}", problem(json));
    }
}

/// A canary in every secret of the contract; each text is then broken at every place, in several ways.
#[test]
fn no_error_contains_a_part_of_a_secret() {
    const CANARY: &str = "c4n4ry-Hq7\\u0078";
    let contract = contract();
    let mut broken = 0;
    for (name, json) in [
        (
            "sealward.mail.v1.CreateMailboxRequest",
            r#"{"parent":"organizations/o","mailbox":{"displayName":"x","password":"CANARY"}}"#,
        ),
        ("sealward.mail.v1.EmailServerProfile", r#"{"incomingPassword":"CANARY","outgoing_password":"CANARY"}"#),
        (
            "sealward.v1.SetDataEncryptionKeyRequest",
            r#"{"organization":"o","encryptionKey":"CANARY","changeEncryptionKey":true}"#,
        ),
        ("sealward.v1.AbandonEncryptedDataRequest", r#"{"encryptionKey":"CANARY","validateOnly":1}"#),
        ("sealward.v1.RevealAttributesResponse", r#"{"values":{"password":{"text":"CANARY"}}}"#),
        ("sealward.v1.RevealAttributesResponse", r#"{"values":{"password":{"data":"CANARY"}}}"#),
        ("sealward.v1.RevealAttributesResponse", r#"{"values":{"password":{"text":{"CANARY":"CANARY"}}}}"#),
    ] {
        let descriptor = contract.get_message_by_name(name).unwrap();
        let json = json.replace("CANARY", CANARY);
        let mut texts = vec![json.clone(), format!("{json}{json}"), json.replace(r#""c4"#, r#"["c4"#)];
        for at in 0..json.len() {
            texts.push(json[..at].to_owned());
            for other in ["\"", "\\", "\n", "1", "{", "]", "é"] {
                texts.push(format!("{}{other}{}", &json[..at], &json[at + 1..]));
            }
        }
        for text in texts {
            let Err(error) = decode(&descriptor, text.as_bytes()) else { continue };
            broken += 1;
            let is_named =
                matches!(&error.problem, JsonProblem::UnknownField { .. } | JsonProblem::DuplicateKey { .. });
            for shown in [error.to_string(), format!("{error:?}")] {
                // A broken quote can turn the text of a secret into a key, which is named as every unknown key is.
                assert!(is_named || !["4n4ry", "-Hq7"].iter().any(|part| shown.contains(part)), "{text}: {shown}");
            }
        }
    }
    assert!(broken > 1000, "{broken}");
    let wire = b"\xA2\x01\x08c4n4ry\xFF\xFF";
    let error = encode(&kinds(), wire).unwrap_err();
    assert_eq!(error.to_string(), "secret: the bytes aren't a valid protobuf message of this type");
}

#[test]
fn result_has_no_room_for_another_copy() {
    let secret = "s\\u00e9".repeat(10_000);
    let wire =
        decode(&kinds(), format!(r#"{{"secret":"{secret}","child":{{"secret":"{secret}"}}}}"#).as_bytes()).unwrap();
    assert_eq!(wire.len(), wire.capacity());
}
