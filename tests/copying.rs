//! `--copy-to`: each test covers one sentence about it in the manual page.

mod support;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use support::*;

/// The init that copies itself to this path.
fn copy_to(path: impl AsRef<Path>) -> Setup {
    init(["--copy-to"]).arg(path.as_ref()).command([""; 0])
}

fn succeeds(setup: Setup) {
    let run = setup.finish();
    assert_eq!((run.status, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
}

fn fails(setup: Setup, path: &Path, reason: &str) {
    let path = path.display();
    let said = format!("{}cannot copy /proc/self/exe to '{path}': {reason}\n", init_name());
    let run = setup.finish();
    assert_eq!((run.status, run.stderr), (1, said));
}

/// Whether a file is a complete copy that every user may run.
fn is_copy(path: &Path) -> bool {
    let mode = fs::symlink_metadata(path).unwrap().permissions().mode();
    mode == 0o100_755 && fs::read(path).unwrap() == fs::read(init_path()).unwrap()
}

/// The names in a directory.
fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn it_copies_the_program_with_any_umask() {
    let dir = TempDir::new();
    for path in [dir.path("program"), dir.path("again")] {
        succeeds(copy_to(&path).umask(0o777));
        assert!(is_copy(&path));
    }
    assert_eq!(names(&dir.path(".")), ["again", "program"]);
    let copy = dir.path("program");
    let run = init([""; 0]).called(copy).command(["sh", "-c", "exit 7"]).finish();
    assert_eq!(run.status, 7, "{}", run.stderr);
}

#[test]
fn a_directory_means_the_file_drain_init_in_it() {
    let dir = TempDir::new();
    fs::create_dir(dir.path("shared")).unwrap();
    symlink("shared", dir.path("link")).unwrap();
    for path in [dir.path("shared"), dir.path("shared/"), dir.path("link")] {
        let copy = dir.path("shared/drain-init");
        let _ = fs::remove_file(&copy);
        succeeds(copy_to(path));
        assert!(is_copy(&copy));
    }
    succeeds(copy_to(".").cwd(dir.path(".")));
    assert!(is_copy(&dir.path("drain-init")));
}

#[test]
fn an_existing_file_or_a_symbolic_link_to_a_file_or_to_nothing_is_replaced() {
    let dir = TempDir::new();
    let [file, link, dangling, running] =
        ["file", "link", "dangling", "running"].map(|name| dir.path(name));
    fs::write(dir.path("other"), "other").unwrap();
    fs::write(&file, "old").unwrap();
    symlink("other", &link).unwrap();
    symlink("nothing", &dangling).unwrap();
    succeeds(copy_to(&running));
    let mut run = init([""; 0]).called(&running).exits_on(SIGTERM, 0).start();
    for path in [&file, &link, &dangling, &running] {
        succeeds(copy_to(path));
        assert!(is_copy(path));
    }
    assert_eq!(fs::read(dir.path("other")).unwrap(), b"other");
    run.signal(SIGTERM);
    assert_eq!(run.status(), 0);
    // A relative path starts at the working directory.
    succeeds(copy_to("relative").cwd(dir.path(".")));
    assert!(is_copy(&dir.path("relative")));
}

#[test]
fn a_leftover_temporary_file_does_not_prevent_the_copy() {
    let dir = TempDir::new();
    fs::write(dir.path(".drain-init.00000000"), "half").unwrap();
    succeeds(copy_to(dir.path("drain-init")));
    assert_eq!(names(&dir.path(".")), [".drain-init.00000000", "drain-init"]);
}

#[test]
fn simultaneous_copies_into_one_directory_do_not_interfere() {
    let dir = TempDir::new();
    let copy = dir.path("drain-init");
    let mut runs: Vec<_> = (0..20).map(|_| copy_to(&copy).spawn()).collect();
    for run in &mut runs {
        assert_eq!(run.status(), 0, "{}", run.story());
    }
    assert!(is_copy(&copy));
    assert_eq!(names(&dir.path(".")), ["drain-init"]);
}

#[test]
fn an_error_names_the_path_and_the_reason_and_creates_no_file() {
    let dir = TempDir::new();
    fs::write(dir.path("file"), "").unwrap();
    fs::create_dir_all(dir.path("taken/drain-init")).unwrap();
    for (path, target, reason) in [
        ("no/drain-init", "no/drain-init", "No such file or directory"),
        ("file/drain-init", "file/drain-init", "Not a directory"),
        ("taken", "taken/drain-init", "Is a directory"),
    ] {
        fails(copy_to(dir.path(path)), &dir.path(target), reason);
    }
    assert_eq!(names(&dir.path(".")), ["file", "taken"]);
    assert_eq!(names(&dir.path("taken")), ["drain-init"]);
}

#[test]
fn a_full_file_system_is_an_error_that_keeps_the_old_file() {
    needs!(pid_namespace());
    let dir = TempDir::new();
    let copy = dir.path("drain-init");
    // Room for the old file and half of the program.
    let half = fs::metadata(init_path()).unwrap().len() / 2048;
    let script = format!(
        "mount -t tmpfs -o size={half}k none \"$0\" && echo old >\"$0/drain-init\" || exit 94
        \"$@\"; status=$?; ls -A \"$0\"; cat \"$0/drain-init\"; exit $status"
    );
    let words = ["unshare", "--mount", "sh", "-c", &script, dir.path(".").to_str().unwrap()]
        .map(str::to_string);
    let run = copy_to(&copy).wrapped(words).finish();
    let said = format!("'{}': No space left on device\n", copy.display());
    assert!(run.stderr.ends_with(&said), "{}", run.stderr);
    assert_eq!((run.status, run.stdout.as_str()), (1, "drain-init\nold\n"));
}

#[test]
fn it_works_for_any_user_with_a_read_only_root_and_no_tmp() {
    needs!(pid_namespace());
    let dir = TempDir::new();
    fs::create_dir(dir.path("shared")).unwrap();
    fs::set_permissions(dir.path("shared"), fs::Permissions::from_mode(0o777)).unwrap();
    let script = "mount --rbind / /mnt && mount -o remount,bind,ro /mnt &&
        mount --bind \"$0\" /mnt/srv && ! touch /mnt/x 2>/dev/null || exit 94
        program=$1; shift
        exec chroot --userspec=54332:54332 --groups= /mnt \"$program\" \"$@\"";
    let shared = dir.path("shared");
    let words = ["unshare", "--mount", "sh", "-c", script, shared.to_str().unwrap()];
    let setup = copy_to("/srv").for_any_user();
    succeeds(setup.wrapped(words.map(str::to_string)));
    assert!(is_copy(&shared.join("drain-init")));
}

#[test]
fn without_proc_it_reports_what_is_missing() {
    needs!(pid_namespace());
    let dir = TempDir::new();
    let script = "while umount -l /proc 2>/dev/null; do :; done; exec \"$@\"";
    let words = ["unshare", "--mount", "sh", "-c", script, "sh"].map(str::to_string);
    let setup = copy_to(dir.path("drain-init")).wrapped(words);
    fails(setup, &dir.path("drain-init"), "No such file or directory");
    assert_eq!(names(&dir.path(".")), [""; 0]);
}

#[test]
fn command_or_another_option_with_it_is_an_error_and_copies_nothing() {
    let dir = TempDir::new();
    let path = dir.path("drain-init");
    let path = path.to_str().unwrap();
    let joined = format!("--copy-to={path}");
    for words in [
        &["--copy-to", path, "true"][..],
        &["--copy-to", path, "--", "true"],
        &["--copy-to", path, "-v"],
        &["--copy-to", path, "--help"],
        &["-v", "--copy-to", path],
        &["--delay-term", "5", &joined],
        &[&joined, &joined],
    ] {
        let run = init(words).command([""; 0]).finish();
        let said = format!("{}--copy-to works without COMMAND and other options\n", init_name());
        assert_eq!((run.status, run.stderr), (1, said), "{words:?}");
    }
    assert_eq!(names(&dir.path(".")), [""; 0]);
    succeeds(init([joined]).command([""; 0]));
}

#[test]
fn variables_are_ignored() {
    let dir = TempDir::new();
    let mark = dir.path("draining");
    let setup = copy_to(dir.path("drain-init"))
        .env("DRAIN_INIT_DELAY_TERM", "nonsense")
        .env("DRAIN_INIT_DRAIN_FILE", &mark)
        .env("DRAIN_INIT_TYPO", "1");
    succeeds(setup);
    assert_eq!(names(&dir.path(".")), ["drain-init"]);
    // --copy-to has no variable.
    let run = init([""; 0]).env("DRAIN_INIT_COPY_TO", &mark).command(["true"]).finish();
    let said =
        format!("{}ignoring unknown variable 'DRAIN_INIT_COPY_TO' (see --help)\n", init_name());
    assert_eq!((run.status, run.stderr), (0, said));
}
