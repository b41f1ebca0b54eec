//! What tells one state of a file from another.

use super::*;

fn tag(files: &mut StaticFiles, target: &str) -> String {
    let response = ask(files, "GET", target, &[]).unwrap();
    response.headers().get_str("etag").unwrap().to_owned()
}

impl Scene {
    /// Sets the time of writing, as copies and builds do that are to be repeatable.
    fn set_modified(&self, name: &str, time: SystemTime) {
        let file = File::options().write(true).open(self.root().join(name));
        file.unwrap().set_modified(time).unwrap();
    }
}

/// Of all files of a build that sets `SOURCE_DATE_EPOCH`.
fn fixed() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(315_532_800)
}

#[test]
fn other_bytes_of_the_same_length_and_time_have_another_tag() {
    for is_made_anew in [false, true] {
        let scene = Scene::new().file("app.js", "1111111111");
        scene.set_modified("app.js", fixed());
        let mut files = scene.files();
        let before = tag(&mut files, "/app.js");
        if is_made_anew {
            // The inode may be used again.
            fs::remove_file(scene.root().join("app.js")).unwrap();
        }
        scene.write("app.js", "2222222222");
        scene.set_modified("app.js", fixed());
        pass(TRUSTED);
        assert_eq!(
            get(&mut files, "/app.js").as_deref(),
            Some("200 2222222222")
        );
        assert_ne!(tag(&mut files, "/app.js"), before);
        // A part of the new ones is no part of the old ones.
        let part = [("Range", "bytes=5-"), ("If-Range", &*before)];
        for fields in [&[("If-None-Match", &*before)][..], &part] {
            let response = ask(&mut files, "GET", "/app.js", fields).unwrap();
            assert_eq!(response.status().as_u16(), 200, "{fields:?}");
        }
    }
}

#[test]
fn a_tag_is_weak_as_long_as_the_next_change_may_have_the_same_time() {
    let scene = Scene::new();
    let mut files = scene.files().cache(FileCache {
        max_entries: 0,
        ..FileCache::default()
    });
    files.clock.calendar = SystemTime::now;
    let early = tag(&mut files, "/svg.svg");
    assert!(early.starts_with("W/\""), "{early}");
    let date = ask(&mut files, "GET", "/svg.svg", &[]).unwrap();
    let date = date.headers().get_str("last-modified").unwrap().to_owned();
    let mut status = |fields: &[(&str, &str)]| {
        let response = ask(&mut files, "GET", "/svg.svg", fields).unwrap();
        response.status().as_u16()
    };
    assert_eq!(status(&[("If-None-Match", &early)]), 304);
    assert_eq!(status(&[("If-Match", &early)]), 412);
    let range = ("Range", "bytes=0-1");
    assert_eq!(status(&[range, ("If-Range", &early)]), 200);
    files.clock.calendar = CLOCK.calendar;
    let late = tag(&mut files, "/svg.svg");
    assert!(late.starts_with('"'), "{late}");
    let mut status = |fields: &[(&str, &str)]| {
        let response = ask(&mut files, "GET", "/svg.svg", fields).unwrap();
        response.status().as_u16()
    };
    // What the client has may be what was there before the last change.
    assert_eq!(status(&[("If-None-Match", &early)]), 200);
    assert_eq!(status(&[("If-None-Match", &late)]), 304);
    assert_eq!(status(&[("If-Match", &late)]), 200);
    assert_eq!(status(&[range, ("If-Range", &late)]), 206);
    assert_eq!(status(&[range, ("If-Range", &date)]), 206);
}

#[test]
fn what_is_compressed_of_a_file_that_is_not_settled_has_one_mark() {
    let scene = Scene::new().file("a.txt", "some text. ".repeat(150));
    let mut files = scene.files().compress(true);
    files.clock.calendar = SystemTime::now;
    let fields = [("Accept-Encoding", "gzip")];
    let response = ask(&mut files, "GET", "/a.txt", &fields).unwrap();
    assert!(response.headers().contains("content-encoding"));
    let etag = response.headers().get_str("etag").unwrap();
    assert!(etag.starts_with("W/\""), "{etag}");
}

/// A build compresses a file and then changes it once more, all within a second.
#[test]
fn a_sibling_that_is_older_within_the_second_is_not_sent() {
    let second = Duration::from_secs(1_700_000_000);
    // Of the sibling and of the file, in nanoseconds.
    for (sibling, original, is_sent) in [
        (100_000_000, 900_000_000, false),
        (900_000_000, 100_000_000, true),
        (123_456_789, 123_456_789, true),
        // Who copied the time cut it off.
        (123_000_000, 123_456_789, true),
        (0, 123_456_789, true),
    ] {
        let scene = Scene::new().file("a.js.gz", "gzip").file("a.js", "plain");
        let at = |nanoseconds| SystemTime::UNIX_EPOCH + second + Duration::from_nanos(nanoseconds);
        scene.set_modified("a.js.gz", at(sibling));
        scene.set_modified("a.js", at(original));
        let fields = [("Accept-Encoding", "gzip")];
        let response = ask(&mut scene.files(), "GET", "/a.js", &fields).unwrap();
        let is_gzip = response.content().as_bytes() == Some(b"gzip");
        assert_eq!(is_gzip, is_sent, "{sibling} {original}");
    }
}

#[test]
fn a_date_is_never_later_than_the_answer() {
    let scene = Scene::new().file("a.txt", "a");
    let year = Duration::from_secs(86_400 * 365);
    scene.set_modified("a.txt", SystemTime::now() + year);
    let mut files = scene.files();
    let response = ask(&mut files, "GET", "/a.txt", &[]).unwrap();
    let date = response.headers().get_str("last-modified").unwrap();
    let said = httpdate::parse_http_date(date).unwrap();
    assert!(said <= (CLOCK.calendar)(), "{date}");
    let mut status = |fields: &[(&str, &str)]| {
        let response = ask(&mut files, "GET", "/a.txt", fields).unwrap();
        response.status().as_u16()
    };
    assert_eq!(status(&[("If-Modified-Since", date)]), 304);
    // It is made up, so no bytes are put together by it (RFC 9110 section 13.1.5).
    assert_eq!(status(&[("Range", "bytes=0-0"), ("If-Range", date)]), 200);
    // Nor is the file read again and again, as one that was written just now.
    let first = changes::kept(&mut files, "/a.txt");
    pass(TRUSTED);
    assert!(Arc::ptr_eq(&first, &changes::kept(&mut files, "/a.txt")));
}

#[test]
fn an_open_file_of_other_bytes_is_noticed_though_its_time_was_set_back() {
    let scene = Scene::new().file("large.bin", vec![b'a'; 200_000]);
    scene.set_modified("large.bin", fixed());
    let mut files = scene.files();
    let before = tag(&mut files, "/large.bin");
    scene.write("large.bin", vec![b'b'; 200_000]);
    scene.set_modified("large.bin", fixed());
    assert_ne!(tag(&mut files, "/large.bin"), before);
}

/// RFC 9110 section 8.8.2.1: the date was right when the file was read.
#[test]
fn no_date_is_later_than_an_answer_after_the_calendar_was_set_back() {
    let scene = Scene::new();
    let mut files = scene.files();
    let before = ask(&mut files, "GET", "/svg.svg", &[]).unwrap();
    assert!(before.headers().contains("last-modified"));
    files.clock.calendar = || SystemTime::now() - Duration::from_secs(24 * 3600);
    pass(TRUSTED);
    let after = ask(&mut files, "GET", "/svg.svg", &[]).unwrap();
    let date = after.headers().get_str("last-modified").unwrap();
    let said = httpdate::parse_http_date(date).unwrap();
    assert!(said <= (files.clock.calendar)(), "{date}");
}
