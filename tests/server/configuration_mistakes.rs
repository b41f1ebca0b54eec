//! What is wrong with a file or a flag is said before anything is served, all of it and once.

use super::{Folder, add_public, ask};
use crate::program::{Program, command, run, run_command};
use std::process::Stdio;

/// What `check` and `serve` say of a file.
fn problems(text: &str) -> Vec<String> {
    Folder::with(text).problems()
}

#[test]
fn what_is_no_file_of_a_sensible_length_is_refused() {
    let folder = Folder::new();
    let path = folder.0.join("c.toml");
    let status = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(status.is_ok_and(|status| status.success()));
    assert_eq!(
        folder.problems(),
        [" cannot be read: it is a pipe that nobody writes to"]
    );
    let (status, _, errors) = run(&["check", "/dev/zero"]);
    assert_eq!(status, Some(2));
    assert_eq!(
        errors,
        "/dev/zero: cannot be read: it has more than 1 MiB, which no configuration has\n"
    );
    let (status, ..) = run(&["serve", "--config", "/dev/zero"]);
    assert_eq!(status, Some(2));
    let mut longest = "# \n".repeat((1 << 20) / 3);
    longest.push('#');
    assert_eq!(longest.len(), 1 << 20);
    assert_eq!(problems(&longest), [""; 0]);
    longest.push('#');
    assert_eq!(problems(&longest).len(), 1);
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_named() {
    let folder = Folder::new();
    let problems = folder.problems();
    assert!(
        problems[0].starts_with(" cannot be read: No such file"),
        "{problems:?}"
    );
    for (text, line) in [
        ("a = 1\nroot = public\n", "2: "),
        ("\n[host\n", "2: "),
        ("a", "1: "),
    ] {
        let problems = Folder::with(text).problems();
        assert!(
            problems.len() == 1 && problems[0].starts_with(line),
            "{problems:?}"
        );
    }
}

/// Who listens there already would be heard of first otherwise.
#[test]
fn nothing_is_listened_on_before_all_is_right() {
    let program = Program::serve(&[]);
    let folder = Folder::with(format!("listen = [\"{}\"]\nroot = \"no\"", program.address));
    let problems = folder.problems();
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0].starts_with("2: 'root': the document root "),
        "{problems:?}"
    );
}

/// What a shell makes of `<(..)`: its writer may be there and slow, or gone.
#[test]
fn a_pipe_is_read_to_its_end() {
    for script in [
        "{ sleep 0.2; echo 'heartbeat = \"off\"'; } | \"$0\" check /dev/stdin",
        "echo 'heartbeat = \"off\"' | { sleep 0.2; \"$0\" check /dev/stdin; }",
    ] {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_aerys")]);
        let (status, output, errors) = run_command(shell);
        assert_eq!(status, Some(0), "{errors}");
        assert_eq!(output, "/dev/stdin is fine: 1 host, 1 address\n");
    }
}

#[test]
fn an_empty_root_is_no_folder_anywhere() {
    for text in [
        "root = \"\"",
        "[[host]]\nlisten = [\"a:1\"]\nroot = \"\"",
        "[[host]]\nlisten = [\"a:1\"]\nroot = \"\"\nlisting = true\n",
    ] {
        let problems = problems(text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(
            problems[0].ends_with(": 'root': it is empty"),
            "{problems:?}"
        );
    }
    let (status, _, errors) = run(&["--root", ""]);
    assert!(
        status == Some(2) && errors.contains("it is empty"),
        "{errors}"
    );
    let mut aerys = command();
    aerys.env("AERYS_ROOT", "");
    let (status, _, errors) = run_command(aerys);
    assert_eq!(
        (status, &*errors),
        (Some(2), "aerys: AERYS_ROOT: it is empty\n")
    );
}

#[test]
fn every_host_and_every_field_is_told_what_it_lacks() {
    assert_eq!(
        problems(
            "[[host]]\nlisten = [\"a:1\"]\n[[host]]\ndemo = 1\n[[host]]\n[[host]]\nroot = \".\"\ndemo = true\nredirect = \"http://a\""
        ),
        [
            "1: [[host]] without 'root', 'redirect' or 'demo = true': it has nothing to answer with",
            "3: [[host]] without 'names': the host of line 1 on a:1 has none either",
            "4: 'demo' has to be true or false, not a whole number",
            "5: [[host]] without 'names': the host of line 1 on a:1 has none either",
            "5: [[host]] without 'root', 'redirect' or 'demo = true': it has nothing to answer with",
            "6: [[host]] with 'redirect': it sends everybody away, without 'root' or 'demo'",
            "6: [[host]] without 'names': the host of line 1 on a:1 has none either",
        ]
    );
    assert_eq!(
        problems(
            "[[host]]\nlisten = [\"a:1\"]\n[[host.header]]\nname = \"A\"\nvalue = 7\n\
             [[host.header]]\nvalue = \"b\"\n[[host.header]]\npath = \"*\"\nname = \"A\"\n"
        ),
        [
            "3: 'header': there are no files without 'root'",
            "3: [[host.header]] without 'path': which files is it for? '*' is all",
            "5: 'value' has to be text in quotes, not a whole number",
            "6: [[host.header]] has either 'name' and 'value', or 'fields'",
            "6: [[host.header]] without 'path': which files is it for? '*' is all",
            "8: [[host.header]] has either 'name' and 'value', or 'fields'",
        ]
    );
    // What is wrong elsewhere does not hide it.
    assert_eq!(
        problems(
            "heartbeat = 'soon'\nlisten = ['a:1']\n[[host]]\nlisten = ['a:1']\ndemo = true\n\
             [[host]]\nlisten = ['a:1']\ndemo = 1\n[[host]]\nlisten = ['b']\n"
        )
        .iter()
        .map(|line| &line[..2])
        .collect::<Vec<_>>(),
        ["1:", "2:", "6:", "8:", "9:", "10"]
    );
}

#[test]
fn hosts_in_one_line_are_told_apart() {
    let host = "{ listen = ['a:1'], demo = true }";
    assert_eq!(
        problems(&format!("host = [{host}, {host}]")),
        ["1: [[host]] without 'names': the host of line 1 on a:1 has none either"]
    );
    let folder = Folder::with(
        "host = [{ listen = ['a:0'], demo = true }, { listen = ['a:0'], demo = true }]",
    );
    let (_, output, _) = run(&["check", &folder.file()]);
    assert!(output.ends_with("2 hosts, 2 addresses\n"), "{output}");
}

/// A folder whose name means something else in the address of a socket.
#[test]
fn a_socket_is_listened_on_whatever_the_folder_of_the_file_is_called() {
    for (name, text) in [
        ("a,b", "listen = ['unix:a.sock']"),
        ("a?b", "listen = ['unix:a.sock']"),
        (
            "a?b",
            "[[host]]\nlisten = ['unix:a.sock?mode=600']\ndemo = true",
        ),
        ("a,b?c", "[[host]]\nlisten = ['unix:a.sock']\ndemo = true"),
    ] {
        let folder = Folder::new();
        folder.write(&format!("{name}/c.toml"), text);
        let file = folder.0.join(name).join("c.toml");
        let file = file.to_str().expect("UTF-8");
        let (status, _, errors) = run(&["check", file]);
        assert_eq!(status, Some(0), "{errors}");
        let mut serve = command();
        serve
            .args(["serve", "--config", file])
            .stdout(Stdio::piped());
        let mut child = serve.spawn().expect("it starts");
        let mut line = String::new();
        let mut output = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
        let read = std::io::BufRead::read_line(&mut output, &mut line);
        let is_there = folder.0.join(name).join("a.sock").exists();
        child.kill().expect("ours");
        child.wait().expect("ours");
        assert!(read.is_ok() && is_there, "{line}");
    }
}

#[test]
fn addresses_that_cannot_be_listened_on_are_told() {
    let hosts = |first: &str, second: &str| {
        format!(
            "[[host]]\nlisten = [{first}]\ndemo = true\n\
             [[host]]\nnames = ['b']\nlisten = [{second}]\ndemo = true"
        )
    };
    for (text, expected) in [
        (
            "listen = ['unix:no/dir/a']".to_owned(),
            "1: 'listen': there is no folder for unix:",
        ),
        (
            "listen = ['127.0.0.1:+9']".to_owned(),
            "1: 'listen': '127.0.0.1:+9' is no address",
        ),
        (
            "listen = ['a:09', 'a:9']".to_owned(),
            "1: 'listen': a:9 stands there twice",
        ),
        (
            "listen = ['0.0.0.0:8', '127.0.0.1:8?proxy-protocol']".to_owned(),
            "1: 'listen': 127.0.0.1:8 cannot be listened on beside 0.0.0.0:8, which takes all of the port",
        ),
        (
            hosts("'[::1]:8'", "'127.0.0.1:8', '[::]:8'"),
            "6: 'listen': [::1]:8 cannot be listened on beside [::]:8, which takes all of the port",
        ),
        (
            hosts("'unix:a?mode=600'", "'unix:./a?mode=606'"),
            "6: 'listen': unix:/",
        ),
        (
            "listen = ['unix:a?mode=600', 'unix:a?mode=606']".to_owned(),
            "1: 'listen': unix:/",
        ),
        (
            hosts("'a:08'", "'a:8'").replace("names = ['b']\n", ""),
            "4: [[host]] without 'names': the host of line 1 on a:8 has none either",
        ),
    ] {
        let problems = problems(&text);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert!(problems[0].starts_with(expected), "{problems:?}");
    }
    for fine in [
        hosts("'0.0.0.0:8'", "'[::1]:8', '127.0.0.1:9', '127.0.0.1:0'"),
        hosts("'0.0.0.0:0'", "'127.0.0.1:0'"),
        // The library takes the options of both.
        hosts("'unix:a?mode=660'", "'unix:a?proxy-protocol&mode=0660'").replace("0660", "660"),
        hosts("'unix:a?mode=60'", "'unix:a?mode=060'"),
        hosts("'a:1?proxy-protocol'", "'a:1'"),
    ] {
        let folder = Folder::with(fine);
        let (status, _, errors) = run(&["check", &folder.file()]);
        assert_eq!(status, Some(0), "{errors}");
    }
}

#[test]
fn a_wrong_root_is_a_bad_argument() {
    let mut by_variable = command();
    by_variable.env("AERYS_ROOT", "/no/such/folder");
    let mut by_flag = command();
    by_flag.args(["--root", "/no/such/folder"]);
    for (command, name) in [(by_variable, "AERYS_ROOT"), (by_flag, "--root")] {
        let (status, output, errors) = run_command(command);
        assert_eq!((status, &*output), (Some(2), ""), "{errors}");
        let expected = format!("aerys: {name}: the document root /no/such/folder ");
        assert!(errors.contains(&expected), "{errors}");
    }
}

#[test]
fn a_page_that_would_not_be_served_is_told() {
    let folder = Folder::new();
    add_public(&folder);
    folder.write("outside.html", "outside");
    std::os::unix::fs::symlink("../outside.html", folder.0.join("public/out.html"))
        .expect("a link");
    std::os::unix::fs::symlink("404.html", folder.0.join("public/in.html")).expect("a link");
    for (page, is_served) in [("out.html", false), ("in.html", true), ("none.html", false)] {
        folder.write(
            "c.toml",
            format!("[[host]]\nlisten = ['a:1']\nroot = 'public'\nfallback = '{page}'\nnot-found = '{page}'\n"),
        );
        let (status, _, errors) = run(&["check", &folder.file()]);
        assert_eq!(
            status,
            Some(if is_served { 0 } else { 2 }),
            "{page}: {errors}"
        );
        let lines = errors.lines().filter(|line| {
            line.ends_with(&format!("'{page}' below 'root' is no file that is served"))
        });
        assert_eq!(lines.count(), if is_served { 0 } else { 2 }, "{errors}");
    }
}

#[test]
fn a_limit_that_leaves_no_server_is_refused() {
    for (key, value) in [
        ("max-connections", "0"),
        ("max-connections-per-address", "0"),
        ("max-connections-per-second", "0"),
        ("max-handshakes-per-second", "0"),
        ("max-frames-per-second", "0"),
        ("max-bytes-per-second", "0"),
        ("max-header-section-bytes", "0"),
        ("max-buffered-input-bytes", "0"),
        ("header-timeout", "0"),
        ("header-timeout", "0ms"),
        ("write-timeout", "0"),
        ("max-message-bytes", "0"),
        ("max-frame-bytes", "0"),
        ("max-backlog-bytes", "0"),
    ] {
        let problems = problems(&format!("{key} = '{value}'"));
        assert_eq!(problems, [format!("1: '{key}': it has to be more than 0")]);
        let (status, ..) = run(&[&format!("--{key}={value}")]);
        assert_eq!(status, Some(2));
    }
    // These say something.
    for key in [
        "max-body-bytes",
        "stop-timeout",
        "idle-timeout",
        "busy-poll",
        "max-lifetime",
        "websocket-idle-timeout",
        "max-unanswered-pings",
    ] {
        let folder = Folder::with(format!("{key} = 0"));
        assert_eq!(run(&["check", &folder.file()]).0, Some(0), "{key}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn nobody_has_to_read_what_check_says() {
    let folder = Folder::with("");
    for script in [
        "\"$0\" check \"$1\" >/dev/full",
        "\"$0\" check \"$1\" | :",
        "\"$0\" check \"$1\" >&-",
    ] {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_aerys"), &folder.file()]);
        let (status, _, errors) = run_command(shell);
        assert_eq!((status, &*errors), (Some(0), ""), "{script}");
    }
}

#[test]
fn each_mistake_is_told_once() {
    let hosts = [("b", "'a:1'"), ("b", "'a:2'"), ("b", "'a:1', 'a:2'")];
    let hosts = hosts.map(|(name, listen)| {
        format!("[[host]]\nnames = ['{name}']\nlisten = [{listen}]\ndemo = true\n")
    });
    assert_eq!(
        problems(&hosts.concat()),
        [
            "10: 'names': the host of line 1 is b on a:1 too",
            "10: 'names': the host of line 5 is b on a:2 too",
        ]
    );
    let host = "[[host]]\nnames = ['b']\nlisten = ['a:1', 'a:2']\ndemo = true\n";
    assert_eq!(
        problems(&host.repeat(2)),
        ["6: 'names': the host of line 1 is b on a:1 too"]
    );
    assert_eq!(
        problems(&host.replace("names = ['b']\n", "").repeat(2)),
        ["4: [[host]] without 'names': the host of line 1 on a:1 has none either"]
    );
}

#[test]
fn keys_below_a_header_are_told_where_they_belong() {
    assert_eq!(
        problems(
            "[[host]]\nlisten = ['a:1']\nroot = '.'\n[[host.header]]\npath = '*'\nname = 'A'\n\
             value = 'a'\nnames = ['a']\nlisting = true\nheartbeat = 5\nvalu = 1"
        ),
        [
            "8: 'names' is the host's: it has to stand above its first [[host.header]]",
            "9: 'listing' is the host's: it has to stand above its first [[host.header]]",
            "10: 'heartbeat' is the whole server's: it has to stand above the first [[host]]",
            "11: unknown key 'valu', did you mean 'value'?",
        ]
    );
}

/// In a fraction of a second; counted and compared again for each key it would take minutes.
#[test]
fn a_long_file_is_read_in_one_go() {
    let lines = (0..20_000).map(|number| format!("key-{number} = 1\n"));
    let longest = format!("{} = 1\n", "k".repeat(500_000));
    let text: String = lines.chain([longest]).collect();
    let folder = Folder::with(text);
    let mut shell = std::process::Command::new("sh");
    // More is said than a pipe holds.
    let script = "\"$0\" check \"$1\" 2>&1 | wc -l";
    shell.args(["-c", script, env!("CARGO_BIN_EXE_aerys"), &folder.file()]);
    assert_eq!(run_command(shell).1.trim(), "20001");
}

#[test]
fn variables_are_named_and_their_entries_may_have_spaces() {
    use std::os::unix::ffi::OsStringExt;
    let mut aerys = command();
    aerys.env(
        "AERYS_LISTEN",
        std::ffi::OsString::from_vec(vec![b'a', 0xFF]),
    );
    let (status, _, errors) = run_command(aerys);
    assert_eq!(
        (status, &*errors),
        (Some(2), "aerys: AERYS_LISTEN: it is not UTF-8\n")
    );
    let mut aerys = command();
    aerys
        .env("AERYS_LISTEN", "127.0.0.1:0, 127.0.0.2:0 ")
        .env("AERYS_TRUSTED_PROXIES", "10.0.0.0/8, unix");
    let mut program = Program::start(aerys);
    assert_eq!(program.address.ip().to_string(), "127.0.0.1");
    assert_eq!(program.next_address().ip().to_string(), "127.0.0.2");
}

#[test]
fn an_extension_has_one_type() {
    assert_eq!(
        problems("[[host]]\nlisten = ['a:1']\nroot = '.'\ntypes = { Foo = 'a/b', foo = 'c/d' }"),
        ["4: 'types.foo': foo stands there twice"]
    );
}

#[test]
fn a_folder_without_an_index_file_is_listed_if_asked_for() {
    let folder = Folder::with("listen = ['127.0.0.1:0']\nroot = 'files'\nlisting = true");
    folder.write("files/a.txt", "a");
    let root = folder.0.join("files");
    let root = root.to_str().expect("UTF-8");
    let mut by_variable = command();
    by_variable
        .args(["--listen", "127.0.0.1:0", "--root", root])
        .env("AERYS_LISTING", "true");
    for (program, is_listed) in [
        (Program::serve(&["--root", root, "--listing"]), true),
        (Program::start(by_variable), true),
        (Program::start(folder.serve()), true),
        (Program::serve(&["--root", root]), false),
    ] {
        let (status, _, page) = ask(&program, "a", "/");
        assert_eq!(status == 200 && page.contains("a.txt"), is_listed, "{page}");
    }
    let mut aerys = command();
    aerys.env("AERYS_LISTING", "yes");
    let said = "aerys: AERYS_LISTING: 'yes' is none of true, false\n".to_owned();
    assert_eq!(run_command(aerys), (Some(2), String::new(), said));
    let (status, _, errors) = run(&["--listing"]);
    assert_eq!(
        (status, &*errors),
        (
            Some(2),
            "aerys: --listing: there are no files without --root\n"
        )
    );
}
