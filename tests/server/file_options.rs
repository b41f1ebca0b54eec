//! What can be set for files, as it goes over the wire.

use aerys::{
    FileCache, Host, ResponseCompression, Server, StaticFiles, compress_response, respond,
};

use crate::client::{Client, HttpResponse, pattern};
use crate::static_files::{Folder, settled};
use crate::support::TestServer;

fn serve(folder: &Folder, set: fn(StaticFiles) -> StaticFiles) -> TestServer {
    let root = folder.as_ref().join("root");
    TestServer::start(move |host: Host, _| {
        Server::new().host(host.add(set(StaticFiles::new(root).expect("a folder"))))
    })
}

fn gunzipped(response: &HttpResponse) -> Vec<u8> {
    assert_eq!(response.field("Content-Encoding"), Some("gzip"));
    let stream = &response.body[10..response.body.len() - 8];
    miniz_oxide::inflate::decompress_to_vec(stream).expect("gzip")
}

const GZIP: (&str, &str) = ("Accept-Encoding", "gzip, deflate");

#[test]
fn codings_lengths_and_connections_go_together() {
    let folder = Folder::new();
    let text = "a line of text\n".repeat(5000);
    folder.write("root/page.html", &text);
    folder.write("root/app.js", "plain");
    folder.write("root/app.js.gz", pattern(300_000));
    let server = serve(&folder, |files| files.compress(true));
    let mut client = Client::connect(server.address);
    settled(&mut client, "/page.html");
    for _ in 0..2 {
        let coded = client.request("GET", "/page.html", &[GZIP]);
        assert!(gunzipped(&coded) == text.as_bytes());
        let len = coded.body.len().to_string();
        client.send_raw(
            "HEAD /page.html HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n",
        );
        let head = client.read_response_head();
        assert_eq!(head.field("Content-Length"), Some(&*len));
        assert_eq!(head.field("Content-Encoding"), Some("gzip"));
        assert!(client.get("/page.html").body == text.as_bytes());
        let sibling = client.request("GET", "/app.js", &[GZIP]);
        assert!(sibling.body == pattern(300_000));
        assert_eq!(client.get("/app.js").body, b"plain");
        let tag = coded.field("ETag").expect("a tag");
        let fields = [GZIP, ("If-None-Match", tag)];
        let response = client.request("GET", "/page.html", &fields);
        assert_eq!(response.status, 304);
        assert_eq!(response.field("Vary"), Some("Accept-Encoding"));
        assert_eq!(response.field("ETag"), Some(tag));
    }
}

#[test]
fn a_response_of_an_application_can_be_compressed() {
    let server = TestServer::start(|host: Host, _| {
        let host = host.add(respond(|request, response| {
            response.end("some text. ".repeat(1000));
            compress_response(request, response, &ResponseCompression::default());
        }));
        Server::new().host(host)
    });
    let mut client = Client::connect(server.address);
    let plain = client.get("/");
    let coded = client.request("GET", "/", &[GZIP]);
    assert!(gunzipped(&coded) == plain.body && coded.body.len() < 200);
    assert_eq!(coded.field("Content-Type"), plain.field("Content-Type"));
    assert_eq!(plain.field("Vary"), Some("Accept-Encoding"));
}

#[test]
fn a_folder_is_listed_behind_its_slash() {
    let folder = Folder::new();
    folder.write("root/dir/a file.txt", "a");
    folder.write("root/dir/.hidden", "x");
    let server = serve(&folder, |files| files.listing(true));
    let mut client = Client::connect(server.address);
    assert_eq!(client.get("/dir").field("Location"), Some("/dir/"));
    let page = client.get("/dir/");
    assert_eq!(page.field("Content-Type"), Some("text/html; charset=utf-8"));
    let text = String::from_utf8(page.body).expect("text");
    assert!(
        text.contains("<a href=\"a%20file.txt\">a file.txt</a>"),
        "{text}"
    );
    assert!(!text.contains("hidden"), "{text}");
    let json = client.request("GET", "/dir/", &[("Accept", "application/json")]);
    assert_eq!(json.field("Content-Type"), Some("application/json"));
    assert_eq!(json.field("Vary"), Some("Accept"));
    assert_eq!(client.get("/dir/a%20file.txt").body, b"a");
}

#[test]
fn fields_set_by_path_reach_the_client() {
    let folder = Folder::new();
    folder.write("root/style.css", "a {}");
    folder.write("root/index.html", "page");
    let server = serve(&folder, |files| {
        files
            .header("**", "X-Content-Type-Options", "nosniff")
            .header("*.html", "Cache-Control", "no-cache")
            .header("/*.css", "Cache-Control", "max-age=60")
    });
    let mut client = Client::connect(server.address);
    for (target, cache_control) in [("/", "no-cache"), ("/style.css", "max-age=60")] {
        let response = client.get(target);
        assert_eq!(response.field("Cache-Control"), Some(cache_control));
        assert_eq!(response.field("X-Content-Type-Options"), Some("nosniff"));
    }
}

/// Many ranges that overlap cost more than the file, if they are believed.
#[test]
fn ranges_never_ask_for_much_more_than_the_file() {
    let folder = Folder::new();
    for len in [1000, 100_000] {
        folder.write("root/file.bin", pattern(len));
        let server = folder.serve();
        let mut client = Client::connect(server.address);
        for range in [
            format!("bytes={}", vec!["0-"; 1300].join(",")),
            format!("bytes={}", vec!["0-"; 16].join(",")),
            format!("bytes={}", vec!["-99999999999999999999"; 16].join(",")),
            "bytes=-99999999999999999999".to_owned(),
            "bytes=0-18446744073709551615".to_owned(),
            "bytes=18446744073709551615-18446744073709551616".to_owned(),
        ] {
            let response = client.request("GET", "/file.bin", &[("Range", &range)]);
            assert!(matches!(response.status, 200 | 206 | 416), "{range}");
            assert!(
                response.body.len() <= len,
                "{range}: {}",
                response.body.len()
            );
        }
        assert!(client.get("/file.bin").body == pattern(len));
    }
}

/// The same bytes for all, whoever reads them when.
#[test]
fn files_in_memory_reach_clients_that_read_late_and_in_order() {
    let folder = Folder::new();
    folder.write("root/large", pattern(60_000));
    folder.write("root/small", pattern(1_500));
    let server = serve(&folder, |files| {
        files.cache(FileCache {
            max_open_files: 0,
            ..FileCache::default()
        })
    });
    let mut clients: Vec<Client> = (0..10).map(|_| Client::connect(server.address)).collect();
    for client in &mut clients {
        let both = "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n\
                    GET /small HTTP/1.1\r\nHost: localhost\r\nRange: bytes=100-\r\n\r\n";
        client.send_raw(both.repeat(100));
    }
    // Each has one answer, so what waits for it is of the old state, whatever comes.
    for client in &mut clients {
        assert!(client.read_response().body == pattern(60_000));
    }
    folder.write("root/large", pattern(50_000));
    for client in &mut clients {
        for _ in 1..100 {
            let small = client.read_response();
            assert!(small.status == 206 && small.body == pattern(1_500)[100..]);
            let large = client.read_response();
            assert!(large.body == pattern(60_000) || large.body == pattern(50_000));
        }
    }
}
