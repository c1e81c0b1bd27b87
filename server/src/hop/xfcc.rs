//! The header `x-forwarded-client-cert`, in which Envoy and other proxies name the client certificate of a call.
//!
//! It is a list of elements, separated by commas, one for each proxy. An element is a list of `Key=value`, separated by semicolons. A value
//! with `,`, `;` or `=` is in double quotes, in which a backslash takes the next character along: `\"` is a quote. Keys are
//! case-insensitive.
//!
//! Only the last element counts: the nearest proxy wrote it. Still, all of the header must be well formed, so that no earlier element can
//! change where the last one begins. This module doesn't know which proxies are trusted.

use data_encoding::HEXLOWER;

/// The maximum size of the header, in bytes: enough for a chain of several certificates.
pub(crate) const SIZE_MAX_BYTES: usize = 8 * 1024;

/// What the last element says about the client's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Element {
    /// The URIs that name the proxy that wrote the element.
    pub(crate) by: Vec<String>,
    /// The SHA-256 hash of the certificate.
    pub(crate) hash: Option<[u8; 32]>,
    /// The certificate in PEM, percent-encoded.
    pub(crate) certificate: Option<String>,
    /// The certificate and its intermediate ones in PEM, percent-encoded.
    pub(crate) chain: Option<String>,
    /// The URI names in the certificate, without empty ones.
    pub(crate) uris: Vec<String>,
    has_subject: bool,
}

/// The header isn't well formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Parses the value of the header, and returns its last element.
///
/// # Errors
/// [`Malformed`]
pub(crate) fn last_element(header: &[u8]) -> Result<Element, Malformed> {
    // Values of certificates are percent-encoded, so that everything is visible ASCII, apart from spaces in subjects.
    let text = str::from_utf8(header).ok().filter(|text| text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
    let mut rest = text.filter(|text| text.len() <= SIZE_MAX_BYTES).ok_or(Malformed)?;
    let mut element = Element::default();
    loop {
        let (key, after_key) = rest.split_once('=').ok_or(Malformed)?;
        let (value, after_value) = value(after_key)?;
        element.add(key, value)?;
        let mut characters = after_value.chars();
        match characters.next() {
            None => return Ok(element),
            Some(';') => {}
            Some(',') => element = Element::default(),
            Some(_) => return Err(Malformed),
        }
        rest = characters.as_str();
    }
}

/// Splits a text after the value at its beginning.
fn value(text: &str) -> Result<(String, &str), Malformed> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ';']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return if value.contains(['"', '=']) { Err(Malformed) } else { Ok((value.to_owned(), rest)) };
    };
    let (mut value, mut characters) = (String::new(), quoted.chars());
    loop {
        match characters.next().ok_or(Malformed)? {
            '"' => return Ok((value, characters.as_str())),
            '\\' => match characters.next().ok_or(Malformed)? {
                '"' => value.push('"'),
                // Of the escapes of a distinguished name, which keep their meaning.
                other => value.extend(['\\', other]),
            },
            other => value.push(other),
        }
    }
}

impl Element {
    /// Adds a value. A key that can't be repeated, or isn't known, is a fault: it might mean something else to the proxy.
    fn add(&mut self, key: &str, value: String) -> Result<(), Malformed> {
        let once =
            |field: &mut Option<String>, value| if field.replace(value).is_none() { Ok(()) } else { Err(Malformed) };
        match key.to_ascii_lowercase().as_str() {
            "by" => self.by.push(value),
            "hash" => {
                let hash = HEXLOWER.decode(value.to_ascii_lowercase().as_bytes()).ok();
                let hash = hash.and_then(|hash| hash.try_into().ok()).ok_or(Malformed)?;
                if self.hash.replace(hash).is_some() {
                    return Err(Malformed);
                }
            }
            "cert" => once(&mut self.certificate, value)?,
            "chain" => once(&mut self.chain, value)?,
            "subject" if !self.has_subject => self.has_subject = true,
            // Envoy writes the key even if the certificate has no such name.
            "uri" => self.uris.extend(Some(value).filter(|uri| !uri.is_empty())),
            "dns" => {}
            _ => return Err(Malformed),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "468ed33be74eee6556d90c0149c1309e9ba61d6425303443c0748a02dd8de688";

    fn parsed(header: &str) -> Result<Element, Malformed> {
        last_element(header.as_bytes())
    }

    #[test]
    fn last_element_is_read_with_the_quoting_rules_of_envoy() {
        // As in the documentation of Envoy.
        let first = format!(
            r#"By=http://frontend.lyft.com;Hash={HASH};Subject="/C=US/ST=CA/L=San Francisco/OU=Lyft/CN=Test Client";URI=http://testclient.lyft.com"#
        );
        let second =
            format!("by=spiffe://a/proxy;HASH={};URI=spiffe://a/b;DNS=a.example;DNS=b.example", HASH.to_uppercase());
        let element = parsed(&first).unwrap();
        assert_eq!(element.by, ["http://frontend.lyft.com"]);
        assert_eq!(HEXLOWER.encode(&element.hash.unwrap()), HASH);
        assert_eq!(element.uris, ["http://testclient.lyft.com"]);
        let element = parsed(&format!("{first},{second}")).unwrap();
        assert_eq!((element.by, element.uris), (vec!["spiffe://a/proxy".to_owned()], vec!["spiffe://a/b".to_owned()]));

        let element = parsed(r#"Subject="CN=a\",By=x;URI=spiffe://a/admin";URI=;Cert="%2B,;=""#).unwrap();
        assert_eq!((element.by.len(), element.uris.len(), element.certificate.as_deref()), (0, 0, Some("%2B,;=")));
        // A name that ends with a backslash doesn't hide the end of its quotes.
        assert_eq!(parsed(r#"Subject="CN=a\\";URI=spiffe://a/b"#).unwrap().uris, ["spiffe://a/b"]);
        assert_eq!(parsed(r#"Subject="CN=a\,b";URI="x""#).unwrap().uris, ["x"]);
        assert_eq!(parsed(r#"URI="a\"b\\c""#).unwrap().uris, [r#"a"b\\c"#]);
    }

    #[test]
    fn malformed_header_is_refused_wherever_the_fault_is() {
        for header in [
            "",
            ",",
            ";",
            "URI",
            "URI=a,",
            ",URI=a",
            "URI=a;",
            ";URI=a",
            "URI=a,,URI=b",
            "URI=a;;By=b",
            "=a",
            "IP=a",
            " URI=a",
            "URI=a, URI=b",
            "URI=a=b",
            "URI=a\"b",
            "URI=\"a",
            "URI=\"a\"b",
            "URI=\"a\\",
            "URI=\"a\\\"",
            "Hash=ab",
            "Hash=",
            "URI=\u{e4}",
            "URI=a\tb",
            "Cert=a;Cert=b",
            "Chain=a;chain=b",
            "Subject=a;Subject=a",
        ] {
            assert_eq!(parsed(header), Err(Malformed), "{header}");
            assert_eq!(parsed(&format!("{header},URI=a")), Err(Malformed), "{header}");
        }
        for hash in [&HASH[1..], &format!("{HASH}00"), &HASH.replace('4', "g"), &format!("{HASH};Hash={HASH}")] {
            assert_eq!(parsed(&format!("Hash={hash}")), Err(Malformed), "{hash}");
        }
    }

    #[test]
    fn header_is_read_up_to_its_maximum_size() {
        let of = |size: usize| format!("URI={}", "a".repeat(size - 4));
        assert!(parsed(&of(SIZE_MAX_BYTES)).is_ok());
        assert_eq!(parsed(&of(SIZE_MAX_BYTES + 1)), Err(Malformed));
    }

    /// The value as a proxy quotes it.
    fn quoted(value: &str) -> String {
        format!("\"{}\"", value.replace('"', "\\\""))
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed_or_refused(header: Vec<u8>) {
            let _either = last_element(&header);
        }

        #[test]
        fn header_before_the_last_element_never_changes_it(
            parts in prop::collection::vec(prop::sample::select(vec!["URI=", "By", "=", ",", ";", "\"", "\\", "a", " "]), 0..12),
        ) {
            let header = parts.concat();
            let last = "By=b;URI=c";
            let element = parsed(&format!("{header},{last}"));
            prop_assert_eq!(element, parsed(&header).and_then(|_| parsed(last)));
        }

        #[test]
        fn quoted_values_change_neither_elements_nor_other_values(
            before in prop::collection::vec("[ -\\[\\]-~]{0,40}", 0..4),
            subject in "[ -\\[\\]-~]{0,40}",
            uri in "spiffe://[a-z]{1,8}/[a-z]{1,8}",
        ) {
            let mut header: String = before.iter().map(|value| format!("Subject={};URI=x,", quoted(value))).collect();
            header.push_str(&format!("Subject={};URI={uri}", quoted(&subject)));
            let element = parsed(&header).unwrap();
            prop_assert_eq!(element.uris, vec![uri]);
        }
    }
}
