//! The manual page as a whole: it, `--help`, README and the completions tell of
//! the same options.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn help() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_drain-init")).arg("--help").output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// An option, as one page has it: its short form and the name of its value.
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

#[test]
fn readme_and_the_completions_name_every_option() {
    let readme = read("README.md");
    let bash = read("packaging/completions/drain-init.bash");
    let zsh = read("packaging/completions/_drain-init");
    let fish = read("packaging/completions/drain-init.fish");
    for (long, (short, _)) in options_of_help() {
        assert!(bash.contains(&format!("--{long}")), "bash's completion lacks --{long}");
        assert!(zsh.contains(&format!("--{long}")), "zsh's completion lacks --{long}");
        assert!(fish.contains(&format!(" -l {long} ")), "fish's completion lacks --{long}");
        let in_readme = readme.contains(&format!("`--{long}"))
            || readme.contains(&format!(", `--{long}"))
            || short.is_some_and(|short| readme.contains(&format!("`-{short}`")));
        assert!(in_readme, "README lacks --{long}");
    }
}

/// What looks like a long option in a page, and is none of another program's.
fn long_options_in(text: &str) -> BTreeSet<&str> {
    text.split(|character: char| !(character.is_ascii_lowercase() || character == '-'))
        .filter_map(|word| word.strip_prefix("--"))
        .filter(|word| word.contains("drain-") || word.contains("delay") || word.contains("stop-"))
        .collect()
}

#[test]
fn no_page_names_an_option_that_does_not_exist() {
    let options = options_of_help();
    for page in [
        "README.md",
        "CHANGELOG.md",
        "docs/choosing-the-delay.md",
        "docs/kubernetes.md",
        "docs/migrating.md",
        "docs/stop-commands.md",
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
    let (_, behind) = readme.split_once("\"--delay-term\", \"").unwrap();
    let delay: u64 = behind.split('"').next().unwrap().parse().unwrap();
    // 10 s in all, and the server wants some of them.
    assert!(delay <= 7, "a delay of {delay} s");
    assert!(readme.contains(&format!("draining for {delay}s, then sending TERM")));
    assert!(readme.contains(&format!("drained for {delay}.0s: sending TERM")));
}

#[test]
fn the_pages_install_this_version() {
    let version = env!("CARGO_PKG_VERSION");
    for (page, at_least) in [("README.md", 4), ("docs/install.md", 4), ("docs/kubernetes.md", 2)] {
        let text = read(page);
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
    }
}

#[test]
fn the_notices_are_those_of_debs_copyright() {
    let output =
        Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/notices")).output().unwrap();
    assert!(output.status.success());
    let notices = read("NOTICES");
    assert_eq!(notices, String::from_utf8(output.stdout).unwrap(), "run make notices");
    // packages-test looks whether debian/copyright leaves a part out.
    assert!(notices.contains("vendor/musl/*") && !notices.contains("Debian systems"));
    assert!(notices.ends_with(&read("LICENSE-APACHE")));
}

#[test]
fn the_manual_page_has_the_version_of_the_program() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(read("docs/drain-init.1").contains(&format!("\n.Os drain-init {version}\n")));
    assert!(read("CHANGELOG.md").contains(&format!("\n## [{version}] - ")));
}
