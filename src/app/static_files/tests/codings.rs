//! Files in several codings, and fields by path.

use super::*;

/// The fields of an answer as one text, and its body.
fn answer(files: &mut StaticFiles, target: &str, fields: &[(&str, &str)]) -> (u16, String, String) {
    let response = ask(files, "GET", target, fields).unwrap();
    let head = response.headers().as_section().to_vec();
    let body = body_of(response);
    (
        body.0,
        String::from_utf8(head).unwrap(),
        String::from_utf8_lossy(&body.1).into_owned(),
    )
}

fn body_of(mut response: Response) -> (u16, Vec<u8>) {
    let status = response.status().as_u16();
    let body = match response.take_content() {
        Content::Source { mut source, .. } => {
            let mut bytes = Vec::new();
            while source.pull(&mut bytes, usize::MAX).unwrap() > 0 {}
            bytes
        }
        content => content.as_bytes().unwrap().to_vec(),
    };
    (status, body)
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
    lines
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

fn app() -> Scene {
    let scene = Scene::new().file("app.js", "plain");
    scene
        .file("app.js.br", "brotli")
        .file("app.js.gz", "gzipped")
}

type Fields<'f> = &'f [(&'f str, &'f str)];

const ANY: (&str, &str) = ("Accept-Encoding", "gzip, deflate, br, zstd");

#[test]
fn a_sibling_is_sent_to_who_takes_its_coding_and_everybody_is_told_so() {
    let scene = app();
    let mut files = scene.files();
    for (accept, coding, body) in [
        ("gzip, deflate, br, zstd", Some("br"), "brotli"),
        ("gzip", Some("gzip"), "gzipped"),
        ("zstd", None, "plain"),
        ("br;q=0.5, gzip", Some("gzip"), "gzipped"),
        ("identity, br;q=0.5", None, "plain"),
        ("br;q=0, gzip;q=0", None, "plain"),
    ] {
        let (status, head, sent) = answer(&mut files, "/app.js", &[("Accept-Encoding", accept)]);
        assert_eq!((status, &*sent), (200, body), "{accept}");
        assert_eq!(field(&head, "Content-Encoding"), coding, "{accept}");
        assert_eq!(field(&head, "Vary"), Some("Accept-Encoding"), "{accept}");
        let content_type = field(&head, "Content-Type");
        assert_eq!(content_type, Some("text/javascript; charset=utf-8"));
        assert_eq!(field(&head, "Accept-Ranges"), Some("bytes"));
    }
    let (_, head, sent) = answer(&mut files, "/app.js", &[]);
    assert_eq!(
        (field(&head, "Vary"), &*sent),
        (Some("Accept-Encoding"), "plain")
    );
    // Where there is no other, nothing varies.
    let (_, head, _) = answer(&mut files, "/svg.svg", &[ANY]);
    assert!(
        !head.contains("Vary") && !head.contains("Content-Encoding"),
        "{head}"
    );
}

#[test]
fn each_coding_has_validators_and_ranges_of_its_own() {
    let scene = app();
    let mut files = scene.files();
    let (_, plain, _) = answer(&mut files, "/app.js", &[]);
    let (_, coded, _) = answer(&mut files, "/app.js", &[ANY]);
    let (plain, coded) = (
        field(&plain, "ETag").unwrap(),
        field(&coded, "ETag").unwrap(),
    );
    assert_ne!(plain, coded);
    assert!(coded.starts_with('"'), "a strong one: {coded}");
    let cases: [(Fields<'_>, u16, &str); 8] = [
        (&[ANY, ("If-None-Match", coded)], 304, ""),
        (&[ANY, ("If-None-Match", plain)], 200, "brotli"),
        (&[("If-None-Match", plain)], 304, ""),
        (&[("If-None-Match", coded)], 200, "plain"),
        (&[ANY, ("If-Match", plain)], 412, "412"),
        (&[ANY, ("Range", "bytes=1-3")], 206, "rot"),
        (
            &[ANY, ("Range", "bytes=1-3"), ("If-Range", coded)],
            206,
            "rot",
        ),
        (
            &[ANY, ("Range", "bytes=1-3"), ("If-Range", plain)],
            200,
            "brotli",
        ),
    ];
    for (fields, status, body) in cases {
        let (found, head, sent) = answer(&mut files, "/app.js", fields);
        assert_eq!(found, status, "{fields:?}");
        assert!(sent.starts_with(body), "{fields:?}: {sent}");
        assert_eq!(field(&head, "Vary"), Some("Accept-Encoding"), "{fields:?}");
        let is_coded = status < 300 && fields.contains(&ANY);
        assert_eq!(
            head.contains("Content-Encoding: br\r\n"),
            is_coded,
            "{head}"
        );
    }
}

#[test]
fn a_sibling_that_is_older_or_no_file_is_left_out() {
    let scene = app();
    let set = |name: &str, seconds: i64| {
        let file = File::options().write(true).open(scene.root().join(name));
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        let time = time
            .checked_add(Duration::from_secs(seconds.unsigned_abs()))
            .unwrap();
        file.unwrap().set_modified(time).unwrap();
    };
    set("app.js", 10);
    set("app.js.br", 9);
    set("app.js.gz", 10);
    let mut files = scene.files();
    let body = |files: &mut StaticFiles| answer(files, "/app.js", &[ANY]).2;
    assert_eq!(body(&mut files), "gzipped");
    // Each of these changes shows within a second.
    set("app.js.br", 11);
    assert_eq!(body(&mut files), "gzipped");
    pass(TRUSTED);
    assert_eq!(body(&mut files), "brotli");
    fs::remove_file(scene.root().join("app.js.br")).unwrap();
    fs::create_dir(scene.root().join("app.js.br")).unwrap();
    pass(TRUSTED);
    assert_eq!(body(&mut files), "gzipped");
    set("app.js", 20);
    pass(TRUSTED);
    assert_eq!(body(&mut files), "plain");
    fs::remove_file(scene.root().join("app.js.gz")).unwrap();
    scene.write("app.js.zst", "zstd");
    pass(TRUSTED);
    assert_eq!(body(&mut files), "zstd");
    // A sibling leads nowhere that its file would not.
    fs::remove_file(scene.root().join("app.js.zst")).unwrap();
    symlink("../secret", scene.root().join("app.js.zst")).unwrap();
    pass(TRUSTED);
    assert_eq!(body(&mut files), "plain");
}

#[test]
fn a_compressed_file_that_is_asked_for_by_name_is_itself() {
    let scene = app()
        .file("app.js.gz.br", "twice")
        .file("b.br", "b")
        .file("c.zst", "c");
    let mut files = scene.files();
    for (target, content_type, body) in [
        ("/app.js.gz", "application/gzip", "gzipped"),
        ("/b.br", "application/octet-stream", "b"),
        ("/c.zst", "application/zstd", "c"),
    ] {
        let (_, head, sent) = answer(&mut files, target, &[ANY]);
        assert_eq!(field(&head, "Content-Type"), Some(content_type));
        assert!(
            !head.contains("Content-Encoding") && !head.contains("Vary"),
            "{head}"
        );
        assert_eq!(sent, body);
    }
    let scene = app();
    let mut off = scene.files().precompressed(false);
    let (_, head, sent) = answer(&mut off, "/app.js", &[ANY]);
    assert!(sent == "plain" && !head.contains("Vary"), "{head}");
}

#[test]
fn a_sibling_that_is_not_there_is_not_looked_for_at_each_request() {
    let scene = Scene::new();
    let mut files = scene.files();
    let first = changes::kept(&mut files, "/svg.svg");
    scene.write("svg.svg.gz", "gz");
    assert_eq!(answer(&mut files, "/svg.svg", &[ANY]).2, "<svg/>");
    assert!(Arc::ptr_eq(&first, &changes::kept(&mut files, "/svg.svg")));
    pass(TRUSTED);
    assert_eq!(answer(&mut files, "/svg.svg", &[ANY]).2, "gz");
}

#[test]
fn fields_are_set_by_path_on_every_answer_that_may_have_them() {
    let scene = app().file("assets/app.css", "0123456789");
    let mut files = scene
        .files()
        .header("**", "Cache-Control", "no-cache")
        .header("/assets/**", "Cache-Control", "max-age=60")
        .header("*.css", "X-Frame-Options", "DENY")
        .header("*.css", "Vary", "Origin")
        .header("*.js", "Content-Type", "text/x-app")
        .not_found("index.htm");
    let etag = answer(&mut files, "/assets/app.css", &[]).1;
    let etag = field(&etag, "ETag").unwrap();
    let cases: [(Fields<'_>, u16, bool, bool); 5] = [
        (&[], 200, true, true),
        (&[("Range", "bytes=1-2")], 206, true, true),
        (&[("Range", "bytes=1-2,4-5")], 206, true, true),
        (&[("If-None-Match", etag)], 304, true, false),
        (&[("If-Match", "\"x\"")], 412, false, false),
    ];
    for (fields, status, has_cache_control, has_other) in cases {
        let (found, head, _) = answer(&mut files, "/assets/app.css", fields);
        assert_eq!(found, status);
        let cache_control = has_cache_control.then_some("max-age=60");
        assert_eq!(field(&head, "Cache-Control"), cache_control, "{head}");
        assert_eq!(
            head.matches("Cache-Control").count(),
            usize::from(has_cache_control)
        );
        assert_eq!(
            field(&head, "X-Frame-Options").is_some(),
            has_other,
            "{head}"
        );
        assert_eq!(field(&head, "Vary"), Some("Origin"), "{head}");
    }
    let (_, head, _) = answer(&mut files, "/app.js", &[ANY]);
    assert_eq!(field(&head, "Content-Type"), Some("text/x-app"));
    assert_eq!(field(&head, "Cache-Control"), Some("no-cache"));
    // A page for what is missing is not the file that is found.
    let (status, head, _) = answer(&mut files, "/missing", &[]);
    assert_eq!((status, field(&head, "Cache-Control")), (404, None));
}

#[test]
#[should_panic(expected = "cannot be set for \"*.{js,css}\": a pattern knows")]
fn a_pattern_that_is_none_is_found_at_the_start() {
    let _ = Scene::new().files().header("*.{js,css}", "A", "b");
}

#[test]
fn or_told() {
    let files = Scene::new().files();
    let files = files
        .try_header("*.js", "Cache-Control", "no-cache")
        .unwrap();
    let error = files.try_header("*.js", "ETag", "\"x\"").unwrap_err();
    assert_eq!(error, InvalidHeaderRule::OwnField("ETag".to_owned()));
}

/// What gzip holds, by another library.
fn gunzipped(gzip: &[u8]) -> Vec<u8> {
    assert_eq!(gzip[..4], [0x1F, 0x8B, 8, 0]);
    miniz_oxide::inflate::decompress_to_vec(&gzip[10..gzip.len() - 8]).unwrap()
}

fn raw(files: &mut StaticFiles, method: &str, fields: Fields<'_>) -> (Headers, u16, Vec<u8>) {
    let response = ask(files, method, "/page.html", fields).unwrap();
    let headers = response.headers().clone();
    let (status, body) = body_of(response);
    (headers, status, body)
}

#[test]
fn what_nobody_compressed_beforehand_is_compressed_once() {
    for len in [1_500, 100_000] {
        let text = "<p>some text</p>\n".repeat(len / 17);
        let scene = Scene::new().file("page.html", &text);
        let mut files = scene.files().compress(true);
        let (headers, _, body) = raw(&mut files, "GET", &[ANY]);
        assert_eq!(headers.get_str("content-encoding"), Some("gzip"));
        assert_eq!(headers.get_str("vary"), Some("Accept-Encoding"));
        assert_eq!(headers.get_str("accept-ranges"), None);
        assert!(gunzipped(&body) == text.as_bytes() && body.len() < text.len() / 5);
        let (plain, _, plain_body) = raw(&mut files, "GET", &[]);
        assert!(plain_body == text.as_bytes());
        assert_eq!(plain.get_str("vary"), Some("Accept-Encoding"));
        assert_eq!(plain.get_str("content-encoding"), None);
        // The same bytes again, and their length for who asks for no more.
        let body_again = |files: &mut StaticFiles| match ask(files, "GET", "/page.html", &[ANY])
            .unwrap()
            .take_content()
        {
            Content::Shared(bytes) => bytes,
            other => panic!("{other:?}"),
        };
        assert!(Arc::ptr_eq(
            &body_again(&mut files),
            &body_again(&mut files)
        ));
        let head = ask(&mut files, "HEAD", "/page.html", &[ANY]).unwrap();
        assert_eq!(head.content().len(), body.len() as u64);
        assert_eq!(head.headers().as_section(), headers.as_section());
        // A changed file is another.
        scene.write("page.html", "<p>other</p>\n".repeat(100));
        pass(TRUSTED);
        let (_, _, body) = raw(&mut files, "GET", &[ANY]);
        assert!(gunzipped(&body).starts_with(b"<p>other</p>"));
    }
}

#[test]
fn a_tag_of_what_is_compressed_here_is_weak_and_holds_for_what_weak_ones_hold() {
    let scene = Scene::new().file("page.html", "<p>some text</p>\n".repeat(100));
    let mut files = scene.files().compress(true);
    let (plain, ..) = raw(&mut files, "GET", &[]);
    let (coded, ..) = raw(&mut files, "GET", &[ANY]);
    let plain = plain.get_str("etag").unwrap();
    let weak = coded.get_str("etag").unwrap();
    assert_eq!(weak, format!("W/{plain}"));
    let range = ("Range", "bytes=1-2");
    let cases: [(Fields<'_>, u16, bool); 10] = [
        (&[ANY, ("If-None-Match", weak)], 304, false),
        (&[ANY, ("If-None-Match", plain)], 304, false),
        (&[("If-None-Match", weak)], 304, false),
        (&[ANY, ("If-None-Match", "\"x\"")], 200, true),
        (&[ANY, ("If-Match", weak)], 412, false),
        (&[ANY, ("If-Match", plain)], 200, false),
        (&[("If-Match", plain)], 200, false),
        // A part is one of the file as it is, and so is the whole in its place.
        (&[ANY, range], 206, false),
        (&[ANY, range, ("If-Range", plain)], 206, false),
        (&[ANY, range, ("If-Range", weak)], 200, false),
    ];
    for (fields, status, is_coded) in cases {
        let (headers, found, body) = raw(&mut files, "GET", fields);
        assert_eq!(found, status, "{fields:?}");
        assert_eq!(headers.contains("content-encoding"), is_coded, "{fields:?}");
        assert_eq!(
            headers.get_str("vary"),
            Some("Accept-Encoding"),
            "{fields:?}"
        );
        if status == 206 {
            assert_eq!(body, b"p>");
        }
    }
}

#[test]
fn what_does_not_pay_or_must_not_be_is_not_compressed() {
    let text = "some text ".repeat(200);
    let scene = Scene::new()
        .file("short.txt", &text[..859])
        .file("enough.txt", &text[..860])
        .file("image.png", &text)
        .file("long.txt", vec![b'a'; 1024 * 1024 + 1])
        .file("most.txt", vec![b'a'; 1024 * 1024])
        .file("keep.txt", &text)
        .file("sibling.txt", &text)
        .file("sibling.txt.gz", "sibling")
        .file("brotli.txt", &text)
        .file("brotli.txt.br", "brotli");
    let mut files =
        scene
            .files()
            .compress(true)
            .header("keep.txt", "Cache-Control", "public, no-transform");
    let gzip = ("Accept-Encoding", "gzip");
    for (target, is_coded, varies) in [
        ("/short.txt", false, false),
        ("/enough.txt", true, true),
        ("/image.png", false, false),
        ("/long.txt", false, false),
        ("/most.txt", true, true),
        ("/keep.txt", false, false),
        ("/sibling.txt", true, true),
        ("/brotli.txt", true, true),
    ] {
        pass(budget::INTERVAL);
        let response = ask(&mut files, "GET", target, &[gzip]).unwrap();
        let headers = response.headers();
        assert_eq!(
            headers.get("content-encoding").is_some(),
            is_coded,
            "{target}"
        );
        assert_eq!(headers.get("vary").is_some(), varies, "{target}");
    }
    assert_eq!(answer(&mut files, "/sibling.txt", &[gzip]).2, "sibling");
    assert_eq!(answer(&mut files, "/brotli.txt", &[ANY]).2, "brotli");
    let mut off = scene.files();
    let response = ask(&mut off, "GET", "/enough.txt", &[gzip]).unwrap();
    assert!(!response.headers().contains("vary"), "it is off by default");
}
