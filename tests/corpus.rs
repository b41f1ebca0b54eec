//! The small cases that the fuzz targets begin with, without a fuzzer.

#[path = "fuzz/cases/deflate.rs"]
mod deflate;
#[path = "fuzz/cases/proxies.rs"]
mod proxies;

/// Runs every file of `tests/fuzz/corpus/NAME`.
fn replay(name: &str, run: fn(&[u8])) {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = std::fs::read_dir(root.join("tests/fuzz/corpus").join(name)).expect("a corpus");
    let mut count = 0;
    for file in files {
        let path = file.expect("the corpus is readable").path();
        println!("{}", path.display());
        run(&std::fs::read(path).expect("the corpus is readable"));
        count += 1;
    }
    assert!(count > 5, "{count} cases");
}

#[test]
fn deflate_comes_to_an_end_and_comes_back() {
    replay("deflate", deflate::run);
}

#[test]
fn nobody_but_a_trusted_proxy_is_believed() {
    replay("proxies", proxies::run);
}
