//! Lists of what is in a directory.

use super::*;

fn scene() -> Scene {
    let scene = Scene::new()
        .file("dir/b <&>\"'.txt", "12345")
        .file("dir/100%:?#.txt", "")
        .file("dir/.hidden", "x")
        .file("dir/a\\b", "x")
        .file("dir/Z/inner.txt", "x")
        .link("dir/in", "file.txt")
        .link("dir/in-dir", "Z")
        .link("dir/out", "../../secret")
        .link("dir/nowhere", "missing");
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        let pipe = scene.root().join("dir/pipe");
        mknodat(
            CWD,
            pipe,
            FileType::Fifo,
            Mode::RUSR | Mode::RGRP | Mode::ROTH,
            0,
        )
        .unwrap();
    }
    scene
}

const JSON: (&str, &str) = ("Accept", "application/json");

fn list(files: &mut StaticFiles, target: &str, fields: &[(&str, &str)]) -> (String, String) {
    let response = ask(files, "GET", target, fields).unwrap();
    assert_eq!(response.status().as_u16(), 200);
    let head = String::from_utf8(response.headers().as_section().to_vec()).unwrap();
    let body = response.content().as_bytes().unwrap().to_vec();
    (head, String::from_utf8(body).unwrap())
}

fn names(json: &str) -> Vec<String> {
    let names = json
        .lines()
        .filter_map(|line| line.split_once("\"name\":\""));
    names
        .map(|(_, rest)| rest.split_once("\",\"href\"").unwrap().0.to_owned())
        .collect()
}

#[test]
fn a_directory_is_listed_only_if_that_is_asked_for() {
    let scene = scene();
    let mut files = scene.files();
    assert_eq!(get(&mut files, "/dir/"), None);
    assert_eq!(get(&mut files, "/dir"), None);
    let mut files = scene.files().listing(true);
    assert_eq!(get(&mut files, "/dir").as_deref(), Some("308 /dir/"));
    assert!(
        get(&mut files, "/dir/")
            .unwrap()
            .starts_with("200 <!DOCTYPE html>")
    );
    assert_eq!(
        get(&mut files, "/").as_deref(),
        Some("200 test"),
        "an index goes first"
    );
    assert_eq!(get(&mut files, "/missing/"), None);
    assert_eq!(get(&mut files, "/index.htm/"), None);
    assert_eq!(get(&mut files, "/.well-known/"), None);
    let head = ask(&mut files, "HEAD", "/dir/", &[]).unwrap();
    let (_, page) = list(&mut files, "/dir/", &[]);
    assert_eq!(head.content().len(), page.len() as u64);
    assert_eq!(
        ask(&mut files, "POST", "/dir/", &[])
            .unwrap()
            .status()
            .as_u16(),
        405
    );
}

#[test]
fn what_is_served_is_listed_in_order_and_nothing_else() {
    let scene = scene();
    let mut files = scene.files().listing(true);
    let (head, json) = list(&mut files, "/dir/", &[JSON]);
    assert!(
        head.contains("Content-Type: application/json\r\n"),
        "{head}"
    );
    assert!(head.contains("Vary: Accept\r\n"), "{head}");
    let files_there = ["100%:?#.txt", "b <&>\\\"'.txt", "file.txt"];
    let mut expected = vec!["Z"];
    if files.site.root.resolution != Resolution::NameByName {
        expected.push("in-dir");
    }
    expected.extend(files_there);
    if files.site.root.resolution != Resolution::NameByName {
        expected.push("in");
    }
    expected[1..].sort_by_key(|name| (*name != "in-dir", *name));
    assert_eq!(names(&json), expected);
    assert!(
        json.starts_with("{\"path\":\"/dir/\",\"cut\":false,"),
        "{json}"
    );
    assert!(json.contains("\"size\":5,\"modified\":\"20"), "{json}");
    assert!(
        json.contains("\"href\":\"Z/\",\"type\":\"directory\""),
        "{json}"
    );
    // Name by name, no link is followed.
    files = scene.files().listing(true);
    files.site.root.resolution = Resolution::NameByName;
    let (_, json) = list(&mut files, "/dir/", &[JSON]);
    assert_eq!(
        names(&json),
        ["Z", files_there[0], files_there[1], files_there[2]]
    );
}

#[test]
fn names_are_escaped_on_the_page_and_encoded_in_links() {
    let scene = scene();
    let mut files = scene.files().listing(true);
    let (head, page) = list(&mut files, "/dir/", &[("Accept", "text/html, */*;q=0.8")]);
    assert!(
        head.contains("Content-Type: text/html; charset=utf-8\r\n"),
        "{head}"
    );
    assert!(
        head.contains("Content-Security-Policy: default-src 'none'"),
        "{head}"
    );
    assert!(page.contains("<a href=\"../\">../</a>"), "{page}");
    let link = "<a href=\"b%20%3C%26%3E%22%27.txt\">b &lt;&amp;&gt;&quot;&#39;.txt</a>";
    assert!(page.contains(link), "{page}");
    assert!(
        page.contains("<a href=\"100%25%3A%3F%23.txt\">100%:?#.txt</a>"),
        "{page}"
    );
    assert!(page.contains("<a href=\"Z/\">Z/</a>"), "{page}");
    for outside in [
        "secret", "hidden", "pipe", "nowhere", "a\\b", "http", "src=",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    // Each link leads to what it is called.
    for link in page.split("href=\"").skip(2) {
        let target = format!("/dir/{}", link.split('"').next().unwrap());
        assert!(get(&mut files, &target).is_some(), "{target}");
    }
    // The name of the directory itself is somebody's as well.
    let scene = Scene::new().file("<b>/x/y", "");
    let mut files = scene.files().listing(true).index(&[]);
    let (_, page) = list(&mut files, "/%3Cb%3E/", &[]);
    assert!(page.contains("<title>/&lt;b&gt;/</title>"), "{page}");
    let (_, page) = list(&mut files, "/", &[]);
    assert!(!page.contains("../"), "nothing is above the root");
}

#[test]
fn a_list_is_made_anew_once_a_second() {
    let scene = scene();
    let mut files = scene.files().listing(true);
    let (_, before) = list(&mut files, "/dir/", &[JSON]);
    scene.write("dir/new.txt", "new");
    assert_eq!(list(&mut files, "/dir/", &[JSON]).1, before);
    pass(TRUSTED);
    let after = list(&mut files, "/dir/", &[JSON]).1;
    assert!(names(&after).contains(&"new.txt".to_owned()));
}

#[test]
fn a_list_that_is_cut_says_so() {
    let scene = Scene::new();
    let directory = scene.root().join("many");
    fs::create_dir(&directory).unwrap();
    for number in 0..10_001 {
        fs::write(directory.join(format!("{number:05}")), "").unwrap();
    }
    let mut files = scene.files().listing(true);
    let (_, json) = list(&mut files, "/many/", &[JSON]);
    assert!(json.contains("\"cut\":true"));
    assert_eq!(names(&json).len(), 10_000);
    let (_, page) = list(&mut files, "/many/", &[]);
    assert!(page.contains("There is more: only 10000 entries are listed."));
    fs::remove_file(directory.join("00000")).unwrap();
    pass(TRUSTED);
    let (_, json) = list(&mut files, "/many/", &[JSON]);
    assert!(json.contains("\"cut\":false"));
}

/// A list changes with each file, however long the files themselves are good for.
#[test]
fn a_list_does_not_get_what_was_set_for_files() {
    let scene = Scene::new().file("assets/app.1234.js", "x");
    let forever = "public, max-age=31536000, immutable";
    let mut files = scene
        .files()
        .listing(true)
        .header("/assets/**", "Cache-Control", forever)
        .header("**", "CDN-Cache-Control", forever);
    let (head, _) = list(&mut files, "/assets/", &[JSON]);
    assert!(head.contains("Cache-Control: no-cache\r\n"), "{head}");
    assert!(!head.contains("immutable"), "{head}");
    // What the application said before is stricter, or its own affair.
    let (mut request, mut response) = (Request::for_test("GET", "/assets/", &[]), Response::new());
    response.set_header("Cache-Control", "no-store");
    files.respond(&mut request, &mut response);
    let said: Vec<&[u8]> = response.headers().get_all("cache-control").collect();
    assert_eq!(said, [b"no-store"]);
}

#[test]
fn an_index_that_cannot_be_sent_does_not_uncover_its_directory() {
    let scene = Scene::new().file("d/name.txt", "x");
    let index = scene.root().join("d/index.htm");
    let check = |is_listed: bool| {
        for mut files in both_ways(&scene) {
            files = files.listing(true);
            assert_eq!(get(&mut files, "/d/").is_some(), is_listed);
            assert_eq!(get(&mut files, "/d").is_some(), is_listed);
            assert!(get(&mut files, "/d/name.txt").is_some());
        }
    };
    check(true);
    for target in ["../../secret", "/etc/hostname", "nowhere", "index.htm"] {
        symlink(target, &index).unwrap();
        check(false);
        fs::remove_file(&index).unwrap();
    }
    // The next name may be one that can be sent.
    symlink("/etc/hostname", scene.root().join("d/index.html")).unwrap();
    scene.write("d/index.htm", "second");
    let mut files = scene.files().listing(true);
    assert_eq!(get(&mut files, "/d/").as_deref(), Some("200 second"));
    for name in ["d/index.html", "d/index.htm"] {
        fs::remove_file(scene.root().join(name)).unwrap();
    }
    // A directory of that name is one like any other.
    fs::create_dir(&index).unwrap();
    check(true);
}

/// Who waits to write to a pipe is woken by whoever opens it.
#[cfg(target_os = "linux")]
#[test]
fn a_list_opens_no_pipe_also_through_a_link() {
    use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};
    let scene = scene().link("dir/to-pipe", "pipe");
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).unwrap();
    for name in ["dir/pipe", "dir/file.txt"] {
        let path = scene.root().join(name);
        inotify::add_watch(&watch, path, WatchFlags::OPEN).unwrap();
    }
    let mut files = scene.files().listing(true);
    let (_, json) = list(&mut files, "/dir/", &[JSON]);
    assert!(!json.contains("pipe"), "{json}");
    let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
    let mut opened = Reader::new(&watch, &mut buffer);
    let mut watches = Vec::new();
    while let Ok(event) = opened.next() {
        watches.push(event.wd());
    }
    // One link leads to the file, and shows that an opening is seen.
    assert_eq!(watches, [2]);
}
