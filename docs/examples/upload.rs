//! Uploads of any size to a file, in bounded memory.
//!
//! ```sh
//! cargo run --example upload
//! curl -T big.iso http://127.0.0.1:1337/files/big
//! ```
//!
//! Writing to a disk blocks the loop for as long as it takes: fine for a tool of one's own. A server
//! for many hands the bytes to another thread, pauses the body with `Request::body_flow` when that
//! thread is behind, and resumes it from there.

use aerys::{BodyHandler, Host, Request, Response, Router, Server, upload};
use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

struct Save {
    file: File,
    /// Where it is written until it is whole.
    partial: PathBuf,
    path: PathBuf,
    len: u64,
}

impl Save {
    fn begin(request: &mut Request, response: &mut Response) -> Option<Self> {
        // The pattern of the route lets nothing through that is not a plain name.
        let name = request.capture("name")?;
        let path = std::env::temp_dir().join(format!("aerys-upload-{name}"));
        let partial = path.with_extension("partial");
        match File::create(&partial) {
            Ok(file) => Some(Self {
                file,
                partial,
                path,
                len: 0,
            }),
            Err(error) => {
                response.set_status(500).end(format!("{error}\n"));
                None
            }
        }
    }
}

impl BodyHandler for Save {
    fn on_data(&mut self, bytes: &[u8], response: &mut Response) {
        self.len += bytes.len() as u64;
        if let Err(error) = self.file.write_all(bytes) {
            response.set_status(507).end(format!("{error}\n"));
            let _ = std::fs::remove_file(&self.partial);
        }
    }

    fn on_end(self: Box<Self>, _: &mut Request, response: &mut Response) {
        match std::fs::rename(&self.partial, &self.path) {
            Ok(()) => response
                .set_status(201)
                .end(format!("{} bytes\n", self.len)),
            Err(error) => response.set_status(500).end(format!("{error}\n")),
        };
    }

    fn on_abort(self: Box<Self>) {
        let _ = std::fs::remove_file(&self.partial);
    }
}

fn main() -> Result<(), aerys::Error> {
    let save = upload(Save::begin).max_bytes(16 << 30);
    let router = Router::new().route("PUT", "/files/{name:slug}", save);
    let address = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:1337".into());
    let host = Host::new().listen(address).add(router);
    let server = Server::new().host(host).stop_on_signals(true).bind()?;
    println!("http://{}/", server.addresses()[0]);
    server.run()
}
