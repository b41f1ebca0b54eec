//! What one request, or many, may take from others: time, memory and descriptors.

use std::sync::Weak;

use super::changes::kept;
use super::*;
use crate::simulation::Simulation;
use crate::{Host, Router, Server};

type Fields<'f> = &'f [(&'f str, &'f str)];

const GZIP: (&str, &str) = ("Accept-Encoding", "gzip");

/// Letters that no other number gives in that order; they become about half as long.
fn text(number: u64, len: usize) -> String {
    let mut state = number + 1;
    let letters = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        char::from(b'a' + u8::try_from((state >> 40) % 16).unwrap())
    });
    letters.take(len).collect()
}

/// One packet holds some hundred requests, and all others wait until they are answered.
#[test]
fn so_much_is_compressed_in_a_while_and_the_rest_is_sent_as_it_is() {
    let scene = Scene::new();
    for number in 0..20 {
        scene.write(&format!("{number}.txt"), text(number, 100_000));
    }
    let mut files = scene.files().compress(true);
    files = files.cache(FileCache {
        max_entries: 16,
        ..FileCache::default()
    });
    let mut round = |method: &str| {
        let of = |number: u64| ask(&mut files, method, &format!("/{number}.txt"), &[GZIP]).unwrap();
        let answers: Vec<Response> = (0..20).map(of).collect();
        for answer in &answers {
            // A cache on the way is to know that the next may get another.
            assert!(answer.headers().has_token("vary", "accept-encoding"));
        }
        let is_coded = |answer: &&Response| answer.headers().contains("content-encoding");
        answers.iter().filter(is_coded).count()
    };
    let most = usize::try_from(budget::MAX_BYTES / 100_000).unwrap();
    assert_eq!(round("HEAD"), most);
    // Those that were made are no longer kept, or are there without being made again.
    assert!(round("HEAD") <= most);
    pass(budget::INTERVAL);
    let coded = round("GET");
    assert!((most..2 * most).contains(&coded), "{coded}");
}

#[test]
fn nothing_is_compressed_for_an_answer_that_sends_none_of_it() {
    let scene = Scene::new().file("a.txt", text(0, 2000));
    let cases: [(&str, Fields<'_>, u16); 4] = [
        ("POST", &[GZIP], 405),
        ("GET", &[GZIP, ("If-None-Match", "*")], 304),
        ("GET", &[GZIP, ("If-Match", "\"other\"")], 412),
        ("GET", &[("Accept-Encoding", "gzip;q=0.5, identity")], 200),
    ];
    for (method, fields, status) in cases {
        let mut files = scene.files().compress(true);
        let response = ask(&mut files, method, "/a.txt", fields).unwrap();
        assert_eq!(response.status().as_u16(), status);
        let Found::File(file) = &*kept(&mut files, "/a.txt") else {
            panic!("it is a file")
        };
        assert!(file.is_unmade(Some(Coding::Gzip)), "{method} {status}");
    }
    // And the tag is the one that its bytes have when they are made.
    let mut files = scene.files().compress(true);
    let mut tag = |fields: &[(&str, &str)]| {
        let response = ask(&mut files, "GET", "/a.txt", fields).unwrap();
        response.headers().get_str("etag").unwrap().to_owned()
    };
    let unmade = tag(&[GZIP, ("If-None-Match", "*")]);
    assert_eq!(unmade, tag(&[GZIP]));
    assert_eq!(unmade, tag(&[GZIP, ("If-None-Match", &unmade)]));
}

#[test]
fn what_was_compressed_counts_as_what_is_kept() {
    let scene = Scene::new();
    for number in 0..40 {
        scene.write(&format!("{number}.txt"), text(number, 20_000));
    }
    let max_bytes = 100_000;
    let mut files = scene.files().compress(true).cache(FileCache {
        max_bytes,
        ..FileCache::default()
    });
    for accepted in ["gzip;q=0.5, identity", "gzip"] {
        for number in 0..40 {
            let fields = [("Accept-Encoding", accepted)];
            ask(&mut files, "GET", &format!("/{number}.txt"), &fields).unwrap();
        }
        let now = (CLOCK.instant)();
        let key = |number: u64| format!("{number}.txt").into_bytes();
        let bytes_of = |number| match files.cache.get_mut().find(&key(number), now) {
            cache::Known::Fresh(found) | cache::Known::Stale(found) => cache::Kept::bytes(&found),
            cache::Known::Nothing => 0,
        };
        let bytes: usize = (0..40).map(bytes_of).sum();
        assert!(bytes <= max_bytes, "{accepted}: {bytes}");
    }
}

#[test]
fn a_list_too_large_for_the_cache_drives_nobody_out_and_is_made_once_a_second() {
    let scene = Scene::new();
    for number in 0..300 {
        scene.write(&format!("dir/{number:0200}"), "");
    }
    let mut files = scene.files().listing(true).cache(FileCache {
        max_bytes: 150_000,
        ..FileCache::default()
    });
    let first = kept(&mut files, "/svg.svg");
    assert!(get(&mut files, "/dir/").unwrap().len() > 150_000);
    assert!(Arc::ptr_eq(&first, &kept(&mut files, "/svg.svg")));
    scene.write("dir/new", "");
    let has_new = |files: &mut StaticFiles| get(files, "/dir/").unwrap().contains("\"new\"");
    assert!(!has_new(&mut files), "made again within a second");
    pass(TRUSTED);
    assert!(has_new(&mut files));
}

/// Clients ask for many files once and leave.
#[test]
fn files_that_nobody_asks_for_are_closed_though_others_are_asked_for_or_none() {
    let scene = Scene::new();
    scene.write("a.bin", vec![b'a'; 100_000]);
    let mut files = scene.files();
    let open = |files: &mut StaticFiles| {
        let file = Arc::downgrade(&kept(files, "/a.bin"));
        assert_eq!(file.strong_count(), 1);
        pass(Duration::from_secs(20));
        file
    };
    let file = open(&mut files);
    assert_eq!(get(&mut files, "/missing"), None);
    assert_eq!(file.strong_count(), 0);
    let file = open(&mut files);
    get(&mut files, "/svg.svg").unwrap();
    assert_eq!(file.strong_count(), 0);
}

/// A host of these files, and one of them that is kept open.
fn host_with_an_open_file(scene: &Scene) -> (Host, Weak<Found>) {
    scene.write("a.bin", vec![b'a'; 100_000]);
    let mut files = scene.files();
    let file = Arc::downgrade(&kept(&mut files, "/a.bin"));
    (Host::new().add(Router::new().get("/a.bin", files)), file)
}

/// A server of that, which is asked for nothing.
fn server_with_an_open_file(scene: &Scene) -> (Simulation, Weak<Found>) {
    let (host, file) = host_with_an_open_file(scene);
    let simulation = Simulation::new(Server::new().host(host)).unwrap();
    (simulation, file)
}

/// It is closed when nobody has asked for it for a while, though nobody asks for anything.
fn expect_closed_in_time(simulation: &mut Simulation, file: &Weak<Found>) {
    for second in (0..=30).step_by(10) {
        simulation.turn().unwrap();
        assert_eq!(file.strong_count(), usize::from(second < 20), "{second} s");
        pass(cache::SWEEP_INTERVAL);
        simulation.advance(cache::SWEEP_INTERVAL);
    }
}

#[test]
fn files_that_nobody_asks_for_are_closed_though_nobody_asks_for_anything() {
    let scene = Scene::new();
    let (mut simulation, file) = server_with_an_open_file(&scene);
    expect_closed_in_time(&mut simulation, &file);
}

/// A server without files looks for none.
#[test]
fn files_that_a_reload_brings_are_closed_in_time_too() {
    let scene = Scene::new();
    let mut simulation = Simulation::new(Server::new().host(Host::new())).unwrap();
    for _ in 0..2 {
        let (host, file) = host_with_an_open_file(&scene);
        simulation.reload(Server::new().host(host)).unwrap();
        expect_closed_in_time(&mut simulation, &file);
    }
}

#[test]
fn when_descriptors_run_out_kept_files_go_before_a_client_waits() {
    let scene = Scene::new();
    let (mut simulation, file) = server_with_an_open_file(&scene);
    simulation.turn().unwrap();
    simulation.exhaust_descriptors(1);
    let peer = simulation.connect(true);
    simulation.send(peer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    simulation.settle().unwrap();
    assert_eq!(file.strong_count(), 0);
    assert!(simulation.take_output(peer).starts_with(b"HTTP/1.1 404 "));
    // With none to close, it waits.
    simulation.exhaust_descriptors(1);
    let peer = simulation.connect(true);
    simulation.send(peer, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    simulation.settle().unwrap();
    assert_eq!(simulation.taken(peer), 0);
}
