//! What changes between two requests, and what is kept of what does not.

use super::*;

/// Between its opening and its reading.
#[test]
fn a_file_that_became_shorter_is_looked_at_again() {
    let scene = Scene::new().file("short.txt", "0123456789");
    let files = scene.files();
    let path = FilePath::parse("/short.txt").unwrap();
    let opened = files.site.open(&path).unwrap();
    scene.write("short.txt", "012");
    let Found::File(file) = files.site.load(opened, 1000, SystemTime::now()).unwrap() else {
        panic!("it is a file")
    };
    assert_eq!(file.plain.len, 3);
    let mut response = Response::new();
    file.plain.answer(&Headers::new(), false, &mut response);
    assert_eq!(response.content().as_bytes(), Some(&b"012"[..]));
    let etag = response.headers().get_str("etag").unwrap();
    assert!(etag.starts_with("W/\"3-"), "{etag}");
}

#[test]
fn a_changed_file_is_served_as_it_is_within_a_second() {
    assert_eq!(TRUSTED, Duration::from_secs(1), "as it is promised");
    let scene = Scene::new().file("a.txt", "old").file("gone.txt", "gone");
    let scene = scene.file("app/index.html", "old");
    let mut files = scene.files();
    let all = ["/a.txt", "/gone.txt", "/new.txt", "/app/", "/app"];
    let mut get_all = || all.map(|target| get(&mut files, target));
    let some = |text: &str| Some(text.to_owned());
    let before = [
        some("200 old"),
        some("200 gone"),
        None,
        some("200 old"),
        some("308 /app/"),
    ];
    assert_eq!(get_all(), before);
    scene.write("a.txt", "overwritten");
    fs::remove_file(scene.root().join("gone.txt")).unwrap();
    scene.write("new.txt", "new");
    scene.replace("app/index.html", "renamed");
    pass(TRUSTED.checked_sub(Duration::from_nanos(1)).unwrap());
    // Nobody was asked, so what is there is whole and old, and only what was not there is new.
    let [a, gone, new, app, slash] = get_all();
    assert_eq!(
        [a, gone, app, slash],
        [0, 1, 3, 4].map(|at| before[at].clone())
    );
    assert_eq!(new, some("200 new"));
    pass(Duration::from_nanos(1));
    let after = [
        some("200 overwritten"),
        None,
        some("200 new"),
        some("200 renamed"),
        some("308 /app/"),
    ];
    assert_eq!(get_all(), after);
    fs::remove_dir_all(scene.root().join("app")).unwrap();
    pass(TRUSTED);
    assert_eq!(get(&mut files, "/app"), None);
}

/// What is kept for `target` at this moment, after asking for it.
pub(super) fn kept(files: &mut StaticFiles, target: &str) -> Arc<Found> {
    files.find(&FilePath::parse(target).unwrap()).unwrap()
}

#[test]
fn a_file_that_did_not_change_is_not_read_again() {
    let scene = Scene::new();
    let mut files = scene.files();
    let first = kept(&mut files, "/svg.svg");
    for _ in 0..3 {
        pass(TRUSTED);
        assert!(Arc::ptr_eq(&first, &kept(&mut files, "/svg.svg")));
    }
    // The same bytes for whoever asks.
    let body = |files: &mut StaticFiles| match ask(files, "GET", "/svg.svg", &[])
        .unwrap()
        .take_content()
    {
        Content::Shared(bytes) => bytes,
        other => panic!("{other:?}"),
    };
    assert!(Arc::ptr_eq(&body(&mut files), &body(&mut files)));
    // Its rights are part of what is looked at, and its time can be set back.
    let modified = fs::metadata(scene.root().join("svg.svg")).unwrap();
    scene.write("svg.svg", "<SVG/>");
    let file = File::options()
        .write(true)
        .open(scene.root().join("svg.svg"));
    file.unwrap()
        .set_modified(modified.modified().unwrap())
        .unwrap();
    pass(TRUSTED);
    assert_eq!(get(&mut files, "/svg.svg").as_deref(), Some("200 <SVG/>"));
}

#[test]
fn a_file_that_was_written_just_now_is_read_again_since_its_time_may_not_tell() {
    let scene = Scene::new();
    let mut files = scene.files();
    files.clock.calendar = SystemTime::now;
    let first = kept(&mut files, "/svg.svg");
    pass(TRUSTED);
    let second = kept(&mut files, "/svg.svg");
    assert!(!Arc::ptr_eq(&first, &second));
    files.clock.calendar = CLOCK.calendar;
    pass(TRUSTED);
    let third = kept(&mut files, "/svg.svg");
    pass(TRUSTED);
    assert!(Arc::ptr_eq(&third, &kept(&mut files, "/svg.svg")));
}

#[test]
fn an_open_file_that_is_written_to_is_noticed_at_once() {
    let scene = Scene::new();
    fs::write(scene.root().join("large.bin"), vec![b'a'; 200_000]).unwrap();
    let mut files = scene.files();
    let mut len_and_tag = || {
        let response = ask(&mut files, "GET", "/large.bin", &[]).unwrap();
        let tag = response.headers().get_str("etag").unwrap().to_owned();
        (response.content().len(), tag)
    };
    let before = len_and_tag();
    assert_eq!(before.0, 200_000);
    assert_eq!(len_and_tag(), before);
    scene.write("large.bin", vec![b'b'; 100_000]);
    let after = len_and_tag();
    assert_eq!(after.0, 100_000, "a length that is not there any more");
    assert_ne!(after.1, before.1);
    scene.write("large.bin", "small");
    assert_eq!(len_and_tag().0, 5);
}

#[test]
fn an_open_file_is_shared_and_each_answer_reads_it_for_itself() {
    let scene = Scene::new();
    let bytes: Vec<u8> = (0_u8..=250).cycle().take(200_000).collect();
    fs::write(scene.root().join("large.bin"), &bytes).unwrap();
    let mut files = scene.files();
    let mut source = |fields: &[(&str, &str)]| match ask(&mut files, "GET", "/large.bin", fields)
        .unwrap()
        .take_content()
    {
        Content::Source { source, .. } => source,
        other => panic!("{other:?}"),
    };
    let (mut one, mut other) = (source(&[]), source(&[]));
    let mut part = source(&[("Range", "bytes=1000-1999")]);
    let file = |source: &dyn Source| {
        use std::os::fd::AsRawFd as _;
        let part = source.file_part().unwrap();
        (part.file.as_raw_fd(), part.offset, part.len)
    };
    assert_eq!(file(&*one).0, file(&*other).0);
    assert_eq!(file(&*part), (file(&*one).0, 1000, 1000));
    let (mut of_one, mut of_other, mut of_part) = (Vec::new(), Vec::new(), Vec::new());
    one.pull(&mut of_one, 70_000).unwrap();
    other.pull(&mut of_other, 10).unwrap();
    part.pull(&mut of_part, usize::MAX).unwrap();
    one.pull(&mut of_one, 10).unwrap();
    assert!(of_one == bytes[..of_one.len()] && of_other == bytes[..10]);
    assert!(of_part == bytes[1000..2000]);
    // What was sent without a pull is left out.
    let offset = file(&*one).1;
    one.skip(100);
    assert_eq!(file(&*one).1, offset + 100);
    part.skip(0);
    assert!(part.file_part().is_none());
}

/// What may be kept open is bounded; then what is not long is kept in memory.
#[test]
fn when_no_more_files_may_be_kept_open_shorter_ones_are_read() {
    let scene = Scene::new();
    for name in ["a", "b", "c", "d"] {
        scene.write(name, vec![b'a'; 10_000]);
    }
    scene.write("e", vec![b'a'; 100_000]);
    let mut files = scene.files().cache(FileCache {
        max_open_files: 2,
        ..FileCache::default()
    });
    let mut is_open = |target: &str| matches!(&*kept(&mut files, target), Found::File(file) if file.open_files() == 1);
    let first = ["/a", "/b", "/c", "/d"].map(&mut is_open);
    #[cfg(target_os = "linux")]
    assert_eq!(first, [true, true, false, false]);
    assert!(is_open("/e"), "it is too long for memory");
    assert!(is_open("/a") || is_open("/b") || cfg!(not(target_os = "linux")));
    // None at all, and it is served all the same.
    let mut files = scene.files().cache(FileCache {
        max_open_files: 0,
        ..FileCache::default()
    });
    for _ in 0..2 {
        assert_eq!(get(&mut files, "/e").unwrap().len(), 100_004);
    }
}

#[test]
fn without_a_cache_nothing_is_kept() {
    let scene = Scene::new();
    let mut files = scene.files().cache(FileCache {
        max_entries: 0,
        ..FileCache::default()
    });
    assert_eq!(get(&mut files, "/").as_deref(), Some("200 test"));
    scene.write("index.htm", "new");
    assert_eq!(get(&mut files, "/").as_deref(), Some("200 new"));
}

/// They are made where it suits, and moved to the thread of the loop.
#[test]
fn files_can_be_sent_to_another_thread() {
    const fn is_send<T: Send>() {}
    is_send::<StaticFiles>();
}

#[test]
fn a_part_is_read_exactly_however_much_room_there_is() {
    let scene = Scene::new().file("ten.txt", "0123456789");
    let file = File::open(scene.root().join("ten.txt")).unwrap();
    for capacity in [0, 2, 5, 100] {
        let mut into = Vec::with_capacity(capacity);
        into.extend_from_slice(b"ab");
        read_exactly(&file, 2..5, &mut into).unwrap();
        assert_eq!(into, b"ab234", "room for {capacity}");
        read_exactly(&file, 10..10, &mut into).unwrap();
        assert_eq!(into, b"ab234", "room for {capacity}");
        let error = read_exactly(&file, 8..12, &mut into).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::UnexpectedEof);
        assert_eq!(into, b"ab234", "room for {capacity}");
    }
}
