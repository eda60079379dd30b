//! The manual page, `--help` and the completions have the same options, and no page names
//! an option, test or file that does not exist.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn help() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_drain-init")).arg("--help").output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The options on one page. Each has a short form and the name of its value.
type Options = BTreeMap<String, (Option<char>, Option<String>)>;

fn options_of_help() -> Options {
    let help = help();
    let lines = help.lines().filter(|line| line.starts_with("  -") || line.starts_with("      --"));
    lines
        .map(|line| {
            let (short, rest) = match line.trim_start().split_once(", ") {
                Some((short, rest)) if short.len() == 2 => (short.chars().nth(1), rest),
                _ => (None, line.trim_start()),
            };
            let mut words = rest.split_whitespace();
            let long = words.next().unwrap().strip_prefix("--").unwrap().to_owned();
            let value = words.next().filter(|word| {
                word.chars().all(|character| character.is_ascii_uppercase() || character == ':')
            });
            (long, (short, value.map(str::to_owned)))
        })
        .collect()
}

fn options_of_manual_page() -> Options {
    let page = read("docs/drain-init.1");
    let items = page.lines().filter(|line| line.starts_with(".It Fl "));
    items
        .map(|item| {
            let words: Vec<_> = item.split_whitespace().skip(1).collect();
            let short = (words[2] == ",").then(|| words[1].chars().next().unwrap());
            let long = words.windows(3).find(|it| it[..2] == ["Fl", "Fl"]).unwrap()[2];
            let value = words.iter().position(|word| *word == "Ar").map(|at| {
                words[at + 1..]
                    .iter()
                    .filter(|word| !["Ns", "Ar"].contains(word))
                    .copied()
                    .collect()
            });
            (long.to_owned(), (short, value))
        })
        .collect()
}

#[test]
fn the_manual_page_and_the_help_have_the_same_options() {
    let help = options_of_help();
    assert!(help.len() > 10, "{help:?}");
    assert_eq!(help, options_of_manual_page());
}

/// Options that only print or copy something.
const WITHOUT_VARIABLE: [&str; 3] = ["copy-to", "help", "version"];

#[test]
fn the_manual_page_names_the_variable_of_every_option() {
    let page = read("docs/drain-init.1");
    let mut named = 0;
    for entry in page.split("\n.It Fl ").skip(1) {
        let (item, text) = entry.split_once('\n').unwrap();
        let text = text.split("\n.Ss ").next().unwrap().split("\n.Sh ").next().unwrap();
        let long = item.split("Fl Fl ").last().unwrap().trim_start_matches("Fl ");
        let long = long.split_whitespace().next().unwrap();
        if !WITHOUT_VARIABLE.contains(&long) {
            let variable = long.to_uppercase().replace('-', "_");
            assert!(text.contains(&format!("\n.Ev DRAIN_INIT_{variable} ")), "--{long}: {text}");
            assert!(text.contains("\nDefault: "), "--{long}: {text}");
            named += 1;
        }
    }
    assert_eq!(named, options_of_help().len() - WITHOUT_VARIABLE.len());
}

#[test]
fn the_completions_have_every_option() {
    let bash = read("packaging/completions/drain-init.bash");
    let zsh = read("packaging/completions/_drain-init");
    let fish = read("packaging/completions/drain-init.fish");
    for long in options_of_help().keys() {
        assert!(bash.contains(&format!("--{long}")), "bash's completion lacks --{long}");
        assert!(zsh.contains(&format!("--{long}")), "zsh's completion lacks --{long}");
        assert!(fish.contains(&format!(" -l {long} ")), "fish's completion lacks --{long}");
    }
}

/// The words of a page that look like long options of drain-init.
fn long_options_in(text: &str) -> BTreeSet<&str> {
    text.split(|character: char| !(character.is_ascii_lowercase() || character == '-'))
        .filter_map(|word| word.strip_prefix("--"))
        .filter(|word| word.contains("drain") || word.contains("delay") || word.contains("stop-"))
        .collect()
}

#[test]
fn no_page_names_an_option_that_does_not_exist() {
    let options = options_of_help();
    for page in [
        "README.md",
        "CHANGELOG.md",
        "docs/choosing-the-delay.md",
        "docs/debugging.md",
        "docs/design.md",
        "docs/kubernetes.md",
        "docs/migrating.md",
        "docs/reliability.md",
        "docs/stop-commands.md",
        "examples/README.md",
        "docs/stop-other-servers.md",
        "docs/stop-proxies.md",
        "docs/stop-workers.md",
    ] {
        let text = read(page);
        for option in long_options_in(&text) {
            let foreign = ["stop-timeout"].contains(&option);
            assert!(foreign || options.contains_key(option), "{page} names --{option}");
        }
    }
}

#[test]
fn readmes_first_dockerfile_has_stopped_before_docker_stop_kills() {
    let readme = read("README.md");
    let (_, after) = readme.split_once("\"--delay-term\", \"").unwrap();
    let delay: u64 = after.split('"').next().unwrap().parse().unwrap();
    // Docker's 10 s must also be enough for the server's own stop.
    assert!(delay <= 7, "a delay of {delay} s");
    assert!(readme.contains(&format!("draining for {delay}s, then sending TERM")));
    assert!(readme.contains(&format!("drained for {delay}.0s: sending TERM")));
}

/// The message with which a drain of this length begins.
fn message_of_a_drain(delay: &str) -> String {
    let mut init = Command::new(env!("CARGO_BIN_EXE_drain-init"))
        .args(["--delay-term", delay, "sh", "-c", "kill -TERM $PPID; read line"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut message = String::new();
    BufReader::new(init.stderr.as_mut().unwrap()).read_line(&mut message).unwrap();
    // COMMAND exits, and with it the init.
    drop(init.stdin.take());
    init.wait().unwrap();
    message.trim_end().to_owned()
}

#[test]
fn the_pages_show_the_message_of_a_drain_as_it_is() {
    for (page, delay) in [
        ("README.md", "5"),
        ("docs/debugging.md", "1.5"),
        ("docs/drain-init.1", "10"),
        ("docs/kubernetes.md", "5"),
    ] {
        let words: Vec<_> = read(page).split_whitespace().map(str::to_owned).collect();
        let message = message_of_a_drain(delay);
        assert!(words.join(" ").contains(&message), "{page} does not have: {message}");
    }
}

#[test]
fn the_pages_and_examples_install_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let examples = std::fs::read_dir(examples).unwrap().map(|entry| {
        let name = entry.unwrap().file_name();
        (format!("examples/{}", name.to_str().unwrap()), 0)
    });
    let pages = [("README.md", 4), ("docs/install.md", 4), ("docs/kubernetes.md", 2)];
    let mut in_examples = 0;
    for (page, at_least) in
        pages.map(|(page, least)| (page.to_owned(), least)).into_iter().chain(examples)
    {
        let text = read(&page);
        let mut named = 0;
        for before in ["download/v", "ghcr.io/drain-init/drain-init:", "drain-init_", "refs/tags/v"]
        {
            for (at, _) in text.match_indices(before) {
                let rest = &text[at + before.len()..];
                if rest.starts_with(|character: char| character.is_ascii_digit()) {
                    assert!(rest.starts_with(version), "{page}: {before}{rest:.20}");
                    named += 1;
                }
            }
        }
        assert!(named >= at_least, "{page} names {named} versions");
        in_examples += if page.starts_with("examples/") { named } else { 0 };
    }
    assert!(in_examples >= 8, "the examples name {in_examples} versions");
    let bug = read(".github/ISSUE_TEMPLATE/bug.yml");
    assert!(bug.contains(&format!("drain-init {version},")), "{bug}");
}

#[test]
fn both_lock_files_have_this_version() {
    let package = format!("name = \"drain-init\"\nversion = \"{}\"\n", env!("CARGO_PKG_VERSION"));
    for lock in ["Cargo.lock", "fuzz/Cargo.lock"] {
        assert!(read(lock).contains(&package), "{lock}: run cargo update --workspace");
    }
}

#[test]
fn the_notices_match_debian_copyright() {
    let output =
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/notices")).output().unwrap();
    assert!(output.status.success());
    let notices = read("NOTICES");
    assert_eq!(notices, String::from_utf8(output.stdout).unwrap(), "run make notices");
    // packages-test checks that debian/copyright leaves nothing out.
    assert!(notices.contains("vendor/musl/*") && !notices.contains("Debian systems"));
    assert!(notices.ends_with(&read("LICENSE-APACHE")));
}

#[test]
fn the_manual_page_has_the_version_of_the_program() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(read("docs/drain-init.1").contains(&format!("\n.Os drain-init {version}\n")));
    assert!(read("CHANGELOG.md").contains(&format!("\n## [{version}] - ")));
}

const PAGES_FOR_CONTRIBUTORS: [&str; 3] =
    ["docs/reliability.md", "docs/design.md", "docs/debugging.md"];

/// The parts of a page that are in backquotes.
fn code_in(page: &str) -> Vec<String> {
    let text = read(page);
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn every_test_that_a_page_names_exists() {
    let mut named = 0;
    for page in PAGES_FOR_CONTRIBUTORS {
        for code in code_in(page) {
            let Some((path, name)) = code.rsplit_once("::") else { continue };
            let is_test = |it: char| matches!(it, 'a'..='z' | '0'..='9' | '_');
            if name.is_empty() || !code.chars().all(|it| it == ':' || is_test(it)) {
                continue;
            }
            let file = match path.split_once("::") {
                Some((module, file)) => format!("src/{module}/{file}.rs"),
                None => format!("tests/{path}.rs"),
            };
            let source = read(&file);
            let (before, _) = source
                .split_once(&format!("\nfn {name}() "))
                .unwrap_or_else(|| panic!("{page} names {code}, which {file} does not have"));
            let attributes = &before[before.trim_end().rfind("\n\n").unwrap_or(0)..];
            assert!(attributes.contains("#[test]"), "{page} names {code}, which is not a test");
            named += 1;
        }
    }
    assert!(named > 80, "the pages name {named} tests");
}

#[test]
fn every_file_that_a_page_for_contributors_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut named = 0;
    for page in PAGES_FOR_CONTRIBUTORS {
        for code in code_in(page) {
            let word = code.trim_end_matches('/');
            let is_path = ["src", "tests", "docs", "fuzz", "packaging", "benches"]
                .iter()
                .any(|it| word == *it || word.starts_with(&format!("{it}/")));
            if is_path && !word.contains([' ', '*']) {
                assert!(root.join(word).exists(), "{page} names {word}");
                named += 1;
            }
        }
    }
    assert!(named > 20, "the pages name {named} files");
}
