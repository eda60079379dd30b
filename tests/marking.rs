//! `--drain-file`: each test covers one sentence about it in the manual page.

mod support;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use support::*;

/// An init that marks its drain with this file.
fn marks(file: impl AsRef<Path>) -> Setup {
    init(["--delay-term=50ms", "--drain-file"]).arg(file.as_ref())
}

/// Runs `true` with this drain file. Returns the status and the messages.
fn with_file(file: impl AsRef<Path>) -> (i32, String) {
    let run = marks(file).command(["true"]).finish();
    (run.status, run.stderr)
}

/// The status and the message of the usage error for a path.
fn refusal(path: &Path, reason: &str) -> (i32, String) {
    let path = path.display();
    let right = "(try a new file in a writable directory)";
    (1, format!("{}--drain-file: '{path}' cannot be created: {reason} {right}\n", init_name()))
}

#[test]
fn the_file_is_created_empty_when_the_drain_starts_and_is_not_removed() {
    let dir = TempDir::new();
    let file = dir.path("draining");
    let mut run = marks(&file).umask(0o041).exits_on(SIGTERM, 0).start();
    assert!(!file.exists());
    run.signal(SIGTERM);
    run.received("main", SIGTERM);
    let found = fs::metadata(&file).unwrap();
    assert_eq!((found.len(), found.permissions().mode() & 0o7777), (0, 0o604));
    assert_eq!(run.status(), 0);
    assert!(file.exists());
}

#[test]
fn it_is_there_before_the_drain_signal_and_the_drain_command() {
    let dir = TempDir::new();
    let file = dir.path("draining");
    let looks = format!("test -e {}", file.display());
    let command = format!(
        "trap '{looks} && echo seen >&2' USR1; trap 'exit 5' TERM; echo up >&2; while :; do sleep 0.01; done"
    );
    let mut run = init(["--drain-signal=USR1", "--drain-cmd"])
        .arg(format!("{looks} && echo found >&2"))
        .arg("--drain-file")
        .arg(&file)
        .command(["sh", "-c", &command])
        .spawn();
    run.message("up");
    run.signal(SIGTERM);
    run.message("found");
    run.message("seen");
    assert_eq!(run.status(), 5);
}

#[test]
fn a_file_that_exists_at_the_drain_is_not_a_failure() {
    let dir = TempDir::new();
    let file = dir.path("draining");
    let mut run = marks(&file).exits_on(SIGTERM, 0).start();
    fs::write(&file, "x").unwrap();
    run.signal(SIGTERM);
    assert_eq!(run.status(), 0);
    assert_eq!(fs::read(&file).unwrap(), b"x");
    run.drain_output();
    assert!(!run.stderr().contains("cannot"), "{}", run.stderr());
}

#[test]
fn a_file_that_cannot_be_created_at_the_drain_is_reported_and_changes_nothing() {
    let dir = TempDir::new();
    fs::create_dir(dir.path("gone")).unwrap();
    let file = dir.path("gone/draining");
    let mut run = marks(&file).exits_on(SIGTERM, 3).start();
    fs::remove_dir(dir.path("gone")).unwrap();
    run.signal(SIGTERM);
    run.message(&format!("cannot create '{}': No such file or directory\n", file.display()));
    run.message("drained for ");
    assert_eq!(run.status(), 3);
}

#[test]
fn as_pid_1_it_removes_an_empty_leftover_and_no_other_file() {
    needs!(pid_namespace());
    let dir = TempDir::new();
    let file = dir.path("draining");
    fs::write(&file, "").unwrap();
    let run = marks(&file)
        .pid1()
        .command([OsStr::new("test"), OsStr::new("!"), OsStr::new("-e"), file.as_os_str()])
        .finish();
    assert_eq!((run.status, run.stderr.as_str()), (0, ""));
    assert!(!file.exists());
    fs::write(&file, "x").unwrap();
    let run = marks(&file).pid1().command(["true"]).finish();
    assert_eq!((run.status, run.stderr), refusal(&file, "File exists"));
    assert_eq!(fs::read(&file).unwrap(), b"x");
}

#[test]
fn not_as_pid_1_it_leaves_an_empty_file_and_reports_it() {
    let dir = TempDir::new();
    let file = dir.path("draining");
    fs::write(&file, "").unwrap();
    let said =
        format!("{}'{}' exists already (only PID 1 removes it)\n", init_name(), file.display());
    assert_eq!(with_file(&file), (0, said));
    assert!(file.exists());
}

#[test]
fn a_path_that_could_only_fail_at_the_stop_is_refused_at_the_start() {
    let dir = TempDir::new();
    let [loops, link, plain] = ["loops", "link", "plain"].map(|name| dir.path(name));
    symlink(&loops, &loops).unwrap();
    symlink("nothing", &link).unwrap();
    fs::write(&plain, "x").unwrap();
    for (path, reason) in [
        (dir.path("missing/draining"), "No such file or directory"),
        (dir.path("missing/"), "No such file or directory"),
        (plain.join("draining"), "Not a directory"),
        (loops.join("draining"), "Too many levels of symbolic links"),
        (dir.path(&"x".repeat(256)), "File name too long"),
        (dir.path("."), "File exists"),
        (plain, "File exists"),
        (link, "File exists"),
        (loops, "File exists"),
        ("/dev/null".into(), "File exists"),
    ] {
        assert_eq!(with_file(&path), refusal(&path, reason));
    }
}

#[test]
fn a_directory_that_may_not_be_written_is_refused_at_the_start() {
    needs!(pid_namespace());
    let dir = TempDir::new();
    fs::set_permissions(dir.path("."), fs::Permissions::from_mode(0o755)).unwrap();
    let file = dir.path("draining");
    let user = ["setpriv", "--reuid=54331", "--regid=54331", "--clear-groups"];
    let run = marks(&file).for_any_user().wrapped(user).command(["true"]).finish();
    assert_eq!((run.status, run.stderr), refusal(&file, "Permission denied"));
    // A read-only mount.
    let script = "mount -t tmpfs -o ro none \"$0\" && exec \"$@\"";
    let words = ["unshare", "--mount", "sh", "-c", script, dir.path(".").to_str().unwrap()]
        .map(str::to_string);
    let run = marks(&file).wrapped(words).command(["true"]).finish();
    assert_eq!((run.status, run.stderr), refusal(&file, "Read-only file system"));
}

#[test]
fn a_relative_path_is_relative_to_the_directory_in_which_drain_init_was_started() {
    let dir = TempDir::new();
    fs::create_dir(dir.path("here")).unwrap();
    let mut run = marks("draining").cwd(dir.path("here")).exits_on(SIGTERM, 0).start();
    run.signal(SIGTERM);
    assert_eq!(run.status(), 0);
    assert!(dir.path("here/draining").exists());
    let run = marks("no/draining").cwd(dir.path("here")).command(["true"]).finish();
    let path = dir.path("here/no/draining");
    assert_eq!((run.status, run.stderr), refusal(&path, "No such file or directory"));
}

#[test]
fn help_version_and_usage_errors_change_no_file() {
    needs!(pid_namespace());
    let dir = TempDir::new();
    let file = dir.path("draining");
    fs::write(&file, "").unwrap();
    for (words, status) in [
        (["--help"], 0),
        (["--version"], 0),
        (["--no-such"], 1),
        (["--stop-cmd=[\"/missing\"]"], 1),
    ] {
        let setup = marks(&file).pid1().arg(words[0]).command(["true"]);
        let run = setup.env("DRAIN_INIT_DRAIN_FILE", &file).finish();
        assert_eq!(run.status, status, "{words:?}: {}", run.stderr);
        assert!(file.exists(), "{words:?}");
    }
}

#[test]
fn without_a_delay_it_warns_that_the_drain_ends_at_once() {
    let dir = TempDir::new();
    let file = dir.path("draining");
    let setup = init([""; 0]).env("DRAIN_INIT_DRAIN_FILE", &file).exits_on(SIGTERM, 0);
    let mut run = setup.start();
    run.message("the drain ends at once without --delay-term or --drain-cmd");
    run.signal(SIGTERM);
    run.message("received TERM: sending TERM");
    assert_eq!(run.status(), 0);
    assert!(file.exists());
}

#[test]
fn it_works_in_a_root_with_nothing_but_the_program() {
    needs!(pid_namespace());
    let root = TempDir::new();
    let setup = init(["--delay-term=50ms", "--drain-file=/draining"]).for_any_user();
    // A dynamic build also needs the loader and the libraries.
    let script = "for file in $(ldd \"$1\" \"$2\" 2>/dev/null | grep -o '/[^ :]*' | sort -u) \"$1\" \"$2\"; do
            mkdir -p \"$0${file%/*}\" && cp \"$file\" \"$0$file\" || exit
        done
        for word in \"$@\"; do case $word in */socket) mkdir -p \"$0${word%/*}\"; ln \"$word\" \"$0$word\";; esac; done
        shift 2
        exec chroot \"$0\" \"$@\"";
    let probe = setup.probe_words("main", &[]);
    let words = ["sh", "-c", script, root.path(".").to_str().unwrap()].map(str::to_string);
    let name = init_path().file_name().unwrap().to_str().unwrap().to_string();
    let programs = [setup.path(&name), probe[0].clone().into()];
    let programs = programs.map(|path| path.to_str().unwrap().to_string());
    let setup = setup.pid1().wrapped(words).wrapped(programs).exits_on(SIGTERM, 7);
    let mut run = setup.start();
    run.signal(SIGTERM);
    assert_eq!(run.status(), 7, "{}", run.story());
    assert!(root.path("draining").exists());
}
