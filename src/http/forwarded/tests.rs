use super::*;
use proptest::prelude::*;

fn trusted() -> Vec<TrustedProxy> {
    ["10.0.0.0/8", "fd00::/8"]
        .map(|proxy| proxy.parse().expect("a network"))
        .into()
}

fn headers(fields: &[(&str, &str)]) -> Headers {
    let mut headers = Headers::new();
    for (name, value) in fields {
        let value = value.trim_matches([' ', '\t']);
        headers.append(name, value).expect("a legal field");
    }
    headers
}

/// What `fields` say: client, whether it is encrypted, host.
fn said(fields: &[(&str, &str)], field: ForwardedField) -> (String, Option<bool>, Option<String>) {
    let forwarded = read(&headers(fields), field, &trusted());
    let client = forwarded.client.map(|client| client.to_string());
    (
        client.unwrap_or_default(),
        forwarded.is_encrypted,
        forwarded.host,
    )
}

fn x_client(lines: &[&str]) -> String {
    let fields: Vec<_> = lines
        .iter()
        .map(|line| ("X-Forwarded-For", *line))
        .collect();
    said(&fields, ForwardedField::XForwarded).0
}

fn client(lines: &[&str]) -> String {
    let fields: Vec<_> = lines.iter().map(|line| ("Forwarded", *line)).collect();
    said(&fields, ForwardedField::Forwarded).0
}

#[test]
fn the_client_is_the_first_from_the_end_that_is_no_trusted_proxy() {
    for (lines, expected) in [
        (&["192.0.2.1"][..], "192.0.2.1:0"),
        (&["198.51.100.1, 192.0.2.1"], "192.0.2.1:0"),
        (&["192.0.2.1, 10.0.0.1,10.0.0.2"], "192.0.2.1:0"),
        (&["198.51.100.1,192.0.2.1", "10.0.0.1"], "192.0.2.1:0"),
        (&["198.51.100.1", "192.0.2.1", "10.0.0.1"], "192.0.2.1:0"),
        // Empty entries are none.
        (&["192.0.2.1, , 10.0.0.1,", ""], "192.0.2.1:0"),
        // Nobody but proxies: the client is in their network.
        (&["10.0.0.3, 10.0.0.1"], "10.0.0.3:0"),
        (&[""], ""),
        (&[], ""),
        // With a port, in brackets and without, IPv4 in IPv6.
        (&["192.0.2.1:4711"], "192.0.2.1:4711"),
        (&["2001:db8::1"], "[2001:db8::1]:0"),
        (&["[2001:db8::1]"], "[2001:db8::1]:0"),
        (&["[2001:db8::1]:80, fd00::1"], "[2001:db8::1]:80"),
        (&["::ffff:192.0.2.1, ::ffff:10.0.0.1"], "192.0.2.1:0"),
    ] {
        assert_eq!(x_client(lines), expected, "{lines:?}");
    }
}

#[test]
fn what_is_no_address_ends_the_walk_behind_the_last_one_that_was_known() {
    for bad in [
        "unknown",
        "_hidden",
        "localhost",
        "192.0.2.1:",
        "192.0.2.1:x",
        "192.0.2.1:65536",
        "192.0.2.1:+80",
        "192.0.2.1 192.0.2.2",
        "192.0.2",
        "192.0.2.01",
        "[192.0.2.1]",
        "[2001:db8::1",
        "[2001:db8::1]80",
        "fe80::1%eth0",
        "\"192.0.2.1\"",
        "\u{fc}",
    ] {
        let list = format!("198.51.100.1, {bad}, 10.0.0.1");
        assert_eq!(x_client(&[&list]), "10.0.0.1:0", "{bad}");
        assert_eq!(x_client(&[&format!("198.51.100.1, {bad}")]), "", "{bad}");
    }
    let mut headers = Headers::new();
    for value in [&b"198.51.100.1"[..], b"198.51.100.2, \xff", b"10.0.0.1"] {
        headers.append("X-Forwarded-For", value).expect("legal");
    }
    let forwarded = read(&headers, ForwardedField::XForwarded, &trusted());
    let expected: SocketAddr = "10.0.0.1:0".parse().expect("an address");
    assert_eq!(forwarded.client, Some(expected.into()));
}

#[test]
fn scheme_and_host_are_those_that_the_proxy_of_the_client_saw() {
    let said = |for_: &str, proto: &str, host: &str| {
        let fields = [
            ("X-Forwarded-For", for_),
            ("X-Forwarded-Proto", proto),
            ("X-Forwarded-Host", host),
        ];
        let (_, encrypted, host) = said(&fields, ForwardedField::XForwarded);
        (encrypted, host.unwrap_or_default())
    };
    let of = |encrypted: bool, host: &str| (Some(encrypted), host.to_owned());
    // One proxy, which replaces or adds.
    assert_eq!(said("192.0.2.1", "https", "a:8443"), of(true, "a:8443"));
    assert_eq!(said("192.0.2.1", "http, https", "x, a"), of(true, "a"));
    assert_eq!(
        said("198.51.100.1, 192.0.2.1", "http,HTTPS", "x,a"),
        of(true, "a")
    );
    // Two, of which each adds, or the last one replaces, or only the first one speaks.
    assert_eq!(
        said("192.0.2.1, 10.0.0.1", "https, http", "a, b"),
        of(true, "a")
    );
    assert_eq!(
        said("192.0.2.1, 10.0.0.1", "x, https, http", "x, a, b"),
        of(true, "a")
    );
    assert_eq!(said("192.0.2.1, 10.0.0.1", "http", "b"), of(false, "b"));
    // The client is in the network of the proxies.
    assert_eq!(said("10.0.0.1", "x, https", "x, a"), of(true, "a"));
    assert_eq!(said("", "wss", "[::1]:80"), of(true, "[::1]:80"));
    assert_eq!(said("unknown", "ws", "a"), of(false, "a"));
    // What is neither is not believed.
    assert_eq!(said("192.0.2.1", "ftp", "a/b"), (None, String::new()));
    assert_eq!(said("192.0.2.1", "", "u@a"), (None, String::new()));
}

#[test]
fn the_other_field_does_not_count() {
    let fields = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("Forwarded", "for=192.0.2.2"),
    ];
    let client = |field| said(&fields, field).0;
    assert_eq!(client(ForwardedField::XForwarded), "192.0.2.1:0");
    assert_eq!(client(ForwardedField::Forwarded), "192.0.2.2:0");
}

/// The examples of RFC 7239 sections 4, 6 and 7, and how they are written in the wild.
#[test]
fn forwarded_is_read_by_its_grammar() {
    for (lines, expected) in [
        (
            &["for=192.0.2.60;proto=http;by=203.0.113.43"][..],
            "192.0.2.60:0",
        ),
        (
            &["For=\"[2001:db8:cafe::17]:4711\""],
            "[2001:db8:cafe::17]:4711",
        ),
        (&["for=192.0.2.43, for=198.51.100.17"], "198.51.100.17:0"),
        (&["for=192.0.2.43,for=\"[fd00::17]\";by=_x"], "192.0.2.43:0"),
        (&["for=192.0.2.43", "for=10.0.0.1"], "192.0.2.43:0"),
        (
            &["for=\"192.0.2.43:47011\",for=10.0.0.1"],
            "192.0.2.43:47011",
        ),
        (&["for=\"192.0.2.43:_port\""], "192.0.2.43:0"),
        (&["for=192.0.2.43:80"], "192.0.2.43:80"),
        (&["; proto=https; FOR=192.0.2.1 ;, ,"], "192.0.2.1:0"),
        (&["for=\"192.0.2.\\1\";x=\"a,b;c\\\"\""], "192.0.2.1:0"),
        (&["for=unknown"], ""),
        (&["for=192.0.2.1, for=_gazonk, for=10.0.0.1"], "10.0.0.1:0"),
        (&["for=192.0.2.1, proto=https, for=10.0.0.1"], "10.0.0.1:0"),
        (&["for=192.0.2.1, for=\"_gazonk\""], ""),
        (&["for=\"192.0.2.1:_\""], ""),
        (&[""], ""),
    ] {
        assert_eq!(client(lines), expected, "{lines:?}");
    }
}

#[test]
fn a_line_that_breaks_the_grammar_is_not_believed_in_any_part() {
    for bad in [
        "for",
        "for=192.0.2.1 for=192.0.2.2",
        "for=\"192.0.2.1",
        "for=\"192.0.2.1\\",
        "for=192.0.2.1;for=192.0.2.2",
        "for=\"192.0.2.1\"x",
        "=192.0.2.1",
        "for =192.0.2.1",
        "for=a\"b\"",
        "for=\"\\\u{fc}\"",
        // The quote of a client swallows what the proxy adds.
        "for=\"198.51.100.1, for=192.0.2.1",
        "for=\"198.51.100.1, for=\"[2001:db8::1]\"",
    ] {
        assert_eq!(client(&[bad]), "", "{bad}");
        assert_eq!(client(&[bad, "for=10.0.0.1"]), "10.0.0.1:0", "{bad}");
    }
}

#[test]
fn forwarded_tells_scheme_and_host_of_the_farthest_proxy_that_is_believed() {
    let said = |line: &str| {
        let (_, encrypted, host) = said(&[("Forwarded", line)], ForwardedField::Forwarded);
        (encrypted, host.unwrap_or_default())
    };
    let of = |encrypted: bool, host: &str| (Some(encrypted), host.to_owned());
    assert_eq!(said("for=192.0.2.1;proto=https;host=a"), of(true, "a"));
    assert_eq!(said("proto=http;host=\"a:80\""), of(false, "a:80"));
    assert_eq!(
        said("host=x;proto=http, for=192.0.2.1;proto=https;host=a"),
        of(true, "a")
    );
    assert_eq!(
        said("for=192.0.2.1;proto=https;host=a, for=10.0.0.1;proto=http;host=b"),
        of(true, "a")
    );
    assert_eq!(
        said("for=192.0.2.1;proto=https, for=10.0.0.1;host=b"),
        of(true, "b")
    );
    assert_eq!(said("for=unknown;proto=https;host=a"), of(true, "a"));
    assert_eq!(
        said("for=192.0.2.1;proto=x;host=\"a b\""),
        (None, String::new())
    );
}

proptest! {
    #[test]
    fn no_line_is_read_as_a_client_that_the_last_proxy_did_not_name(
        line in "[ -~\u{e4}\t]{0,40}",
        x_line in "[0-9a-f:., \\[\\]]{0,40}",
    ) {
        // What is put before what a proxy added changes nothing, or ends the walk.
        let added = client(&[&format!("{line}, for=192.0.2.1")]);
        prop_assert!(added == "192.0.2.1:0" || added.is_empty(), "{}", added);
        prop_assert_eq!(x_client(&[&format!("{x_line}, 192.0.2.1")]), "192.0.2.1:0");
        let _ = (client(&[&line]), x_client(&[&x_line]), x_client(&[&line]));
    }

    #[test]
    fn whatever_is_quoted_comes_out_of_the_quotes(text in "[ -~]{0,20}") {
        let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
        let line = format!("{quoted}\", x");
        let (value, rest) = parse_quoted(&line).expect("it is closed");
        prop_assert_eq!((&*value, rest), (&*text, ", x"));
    }
}
