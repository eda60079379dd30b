//! The comparison of inits. Each test is a row of the table, and its result with one
//! init is a cell.
//!
//! `make compare` (tests/compare) runs this file once per init, whose path is in
//! `INIT_UNDER_TEST`. `/usr/bin/env`, which becomes COMMAND, means no init. A row runs a
//! scenario that the tests of drain-init run as well. A failed scenario is recorded in
//! its cell and does not fail the test. The init is PID 1, as in a container, unless the
//! row says otherwise. An init that refuses an option does not offer that feature.
//!
//! Each cell is appended as a line of JSON to the file `COMPARE_CELLS`.

#[allow(clippy::duplicate_mod)]
mod reliability;
mod support;

use std::fs;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

use reliability::{TERM_ONLY, by_storm, early_stops, go_before_others};
use support::*;

/// The result of a row.
enum Outcome {
    Holds,
    DoesNot,
    NotOffered,
    /// The scenario needs a feature that this init lacks, which another row reports.
    NotAsked,
    /// The number of failed attempts, and the number of all attempts.
    Lost(usize, usize),
}
use Outcome::{DoesNot, Holds, Lost, NotAsked, NotOffered};

fn holds(yes: bool) -> Outcome {
    if yes { Holds } else { DoesNot }
}

/// Runs a row and records its cell.
fn cell(row: &str, scenario: &str, run: impl FnOnce() -> Outcome) {
    assert!(!lacks(row, &[pid_namespace()]), "make compare needs root: its inits are PID 1");
    // The panic's message is in the test's output.
    let outcome = match catch_unwind(AssertUnwindSafe(run)).unwrap_or(DoesNot) {
        Holds => r#""holds""#.to_string(),
        DoesNot => r#""does not""#.to_string(),
        NotOffered => r#""not offered""#.to_string(),
        NotAsked => "null".to_string(),
        Lost(lost, of) => format!("[{lost}, {of}]"),
    };
    let line =
        format!("{{\"row\": \"{row}\", \"scenario\": \"{scenario}\", \"outcome\": {outcome}}}\n");
    match std::env::var_os("COMPARE_CELLS") {
        Some(cells) => {
            let mut cells = fs::OpenOptions::new().append(true).create(true).open(cells).unwrap();
            cells.write_all(line.as_bytes()).unwrap();
        }
        None => eprint!("{line}"),
    }
}

/// A row: its name, its scenario, whether it also makes sense without an init (`all`),
/// and the code that runs it.
macro_rules! row {
    ($name:ident, $scenario:ident, inits, $run:expr) => {
        #[test]
        #[ignore = "a comparison; make compare runs it"]
        fn $name() {
            if !without_init() {
                cell(stringify!($name), stringify!($scenario), $run);
            }
        }
    };
    ($name:ident, $scenario:ident, all, $run:expr) => {
        #[test]
        #[ignore = "a comparison; make compare runs it"]
        fn $name() {
            cell(stringify!($name), stringify!($scenario), $run);
        }
    };
}

// ------------------------------------------------- the options of each init

const NONE: [&str; 0] = [];

fn is(name: &str) -> bool {
    is_init(&init_path(), name)
}

/// The options to signal COMMAND's process group, which is the default of drain-init
/// and dumb-init.
fn group() -> &'static [&'static str] {
    if is("tini") || is("catatonit") { &["-g"] } else { &[] }
}

/// The init as PID 1, signalling the process group.
fn plain() -> Setup {
    init(group()).pid1()
}

/// The options to print every message. tini reports signals from the third `-v` on.
fn verbose() -> &'static [&'static str] {
    if is("tini") { &["-g", "-vvv"] } else { &["-v"] }
}

/// The init with a drain, if it has one.
fn draining() -> Setup {
    init(if is("drain-init") { &["--delay-term", "20ms"][..] } else { group() })
}

/// As `docker run -it` starts it: as PID 1 and as the leader of a terminal's session.
fn on_terminal(setup: Setup) -> Setup {
    setup.pid1().wrapped(["setsid", "--ctty"]).terminal(Terminal::Foreign)
}

/// Runs a row if the init accepts these options.
fn offered(options: &[&str], run: impl FnOnce() -> Outcome) -> Outcome {
    if init(options).pid1().command(["--", "true"]).finish().status == 0 {
        run()
    } else {
        NotOffered
    }
}

/// Runs a row if the init forwards USR1 and WINCH, which the scenario relies on. Whether
/// it forwards them is a row of its own.
fn passing_on(run: impl FnOnce() -> Outcome) -> Outcome {
    static ASKED: OnceLock<bool> = OnceLock::new();
    let passes = || scenarios::signals_reach_command(plain(), &[SIGUSR1, SIGWINCH]);
    if *ASKED.get_or_init(|| catch_unwind(passes).is_ok()) { run() } else { NotAsked }
}

/// How many of a thousand early stop signals are lost.
fn lost_early_stops(pid_1: bool, blocked: u64) -> Outcome {
    let path = init_path();
    let mut words = vec![path.to_str().unwrap()];
    words.extend(group());
    words.push("--");
    go_before_others();
    let count = std::env::var("COMPARE_ROUNDS").map_or(1_000, |count| count.parse().unwrap());
    let (lost, _, of) = early_stops(&words, pid_1, blocked, count);
    Lost(lost, of)
}

// ------------------------------------------------------------------- signals

row!(
    a_stop_signal_within_two_milliseconds_of_pid_1s_first_instruction_lost,
    early_stops,
    all,
    || { lost_early_stops(true, 0) }
);
row!(the_same_if_the_kernel_keeps_it_for_the_init_lost, early_stops, all, || {
    lost_early_stops(true, TERM_ONLY)
});
row!(the_same_if_the_init_is_not_pid_1_lost, early_stops, all, || lost_early_stops(false, 0));
row!(signals_reach_the_whole_process_group_of_command, signals_reach_the_group, inits, || {
    scenarios::signals_reach_the_group(plain(), &[SIGHUP, SIGUSR1, SIGTERM]);
    Holds
});
row!(hup_quit_usr1_usr2_and_winch_reach_command, signals_reach_command, all, || {
    let signals = [SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH];
    scenarios::signals_reach_command(plain(), &signals);
    Holds
});
row!(a_second_term_reaches_command_as_well, signals_reach_command, all, || {
    scenarios::signals_reach_command(plain(), &[SIGTERM, SIGTERM]);
    Holds
});
row!(signals_32_and_33_reach_command, signals_reach_command, all, || {
    scenarios::signals_reach_command(plain(), &[32, 33]);
    Holds
});
row!(real_time_signals_34_to_64_reach_command, signals_reach_command, all, || {
    scenarios::signals_reach_command(plain(), &(34..=64).collect::<Vec<i32>>());
    Holds
});
row!(ill_trap_bus_fpe_and_segv_from_outside_reach_command, signals_reach_command, all, || {
    let signals = [SIGILL, SIGTRAP, SIGBUS, SIGFPE, SIGSEGV];
    scenarios::signals_reach_command(plain(), &signals);
    Holds
});
row!(a_pipe_signal_from_outside_reaches_command, signals_reach_command, all, || {
    scenarios::signals_reach_command(plain(), &[SIGPIPE]);
    Holds
});

// ------------------------------------------------------------------- the log

row!(
    a_dead_log_reader_does_not_affect_verbose_messages,
    it_works_with_a_dead_log_reader,
    inits,
    || {
        offered(verbose(), || {
            passing_on(|| {
                scenarios::it_works_with_a_dead_log_reader(init(verbose()).pid1());
                Holds
            })
        })
    }
);
row!(a_full_log_does_not_affect_verbose_messages, it_works_with_a_full_log, inits, || {
    offered(verbose(), || {
        passing_on(|| {
            scenarios::it_works_with_a_full_log(init(verbose()).pid1());
            Holds
        })
    })
});

// ----------------------------------------------------- remaining processes

row!(an_orphan_is_adopted_and_reaped, an_orphan_is_adopted_and_reaped, inits, || {
    scenarios::an_orphan_is_adopted_and_reaped(plain());
    Holds
});
row!(
    as_a_subreaper_it_reaps_orphans_when_not_pid_1,
    an_orphan_is_adopted_and_reaped,
    inits,
    || {
        offered(&["-s"], || {
            scenarios::an_orphan_is_adopted_and_reaped(init(["-s"]).hosted());
            Holds
        })
    }
);
row!(
    with_a_drain_a_server_under_sh_c_receives_the_stop_signal_once,
    what_a_remaining_server_receives,
    inits,
    || {
        offered(&["--delay-term", "20ms"], || {
            let received = scenarios::what_a_remaining_server_receives(draining().hosted());
            holds(received == [SIGTERM])
        })
    }
);
row!(
    without_a_drain_a_server_under_sh_c_receives_the_stop_signal_once,
    what_a_remaining_server_receives,
    inits,
    || holds(scenarios::what_a_remaining_server_receives(init(group()).hosted()) == [SIGTERM])
);
row!(
    with_a_drain_a_server_under_sh_c_may_finish_its_requests,
    a_remaining_server_may_finish,
    inits,
    || {
        offered(&["--delay-term", "20ms"], || {
            scenarios::a_remaining_server_may_finish(draining());
            Holds
        })
    }
);
row!(
    without_a_drain_a_server_under_sh_c_may_finish_its_requests,
    a_remaining_server_may_finish,
    all,
    || {
        scenarios::a_remaining_server_may_finish(plain());
        Holds
    }
);

// --------------------------------------------------------------- environments

row!(it_works_with_a_read_only_root, it_does_the_work_of_pid_1, inits, || {
    scenarios::it_does_the_work_of_pid_1(scenarios::with_a_read_only_root(init(group())));
    Holds
});
row!(it_works_without_proc, it_does_the_work_of_pid_1, inits, || {
    scenarios::it_does_the_work_of_pid_1(scenarios::without_proc(init(group())));
    Holds
});
row!(it_works_as_root_without_capabilities, it_does_the_work_of_pid_1, inits, || {
    scenarios::it_does_the_work_of_pid_1(scenarios::as_root_without_capabilities(init(group())));
    Holds
});
row!(it_works_under_dockers_seccomp_filter, it_does_the_work_of_pid_1, inits, || {
    scenarios::it_does_the_work_of_pid_1(init(group()).wrapped(by_storm(&["seccomp", "docker"])));
    Holds
});
row!(
    command_can_be_notified_of_the_parents_death,
    command_learns_of_the_parents_death,
    inits,
    // tini accepts only signal names that begin with SIG.
    || {
        let options = ["-s", "-p", if is("tini") { "SIGUSR1" } else { "USR1" }];
        offered(&options, || {
            scenarios::command_learns_of_the_parents_death(init(options), SIGUSR1);
            Holds
        })
    }
);

// ------------------------------------------------------ what COMMAND inherits

row!(an_ignored_pipe_signal_stays_ignored, command_ignores_what_the_init_inherited, all, || {
    scenarios::command_ignores_what_the_init_inherited(plain(), &[SIGPIPE]);
    Holds
});
row!(no_signal_becomes_ignored_or_blocked, command_ignores_what_the_init_inherited, all, || {
    scenarios::command_ignores_what_the_init_inherited(plain(), &[]);
    Holds
});
row!(
    an_ignored_chld_does_not_lose_the_exit_status,
    an_ignored_chld_does_not_lose_the_exit_status,
    inits,
    // Not as PID 1, because unshare(1) itself would lose it.
    || {
        scenarios::an_ignored_chld_does_not_lose_the_exit_status(init(group()));
        Holds
    }
);
row!(no_inherited_descriptor_is_kept_open, no_inherited_descriptor_is_kept, inits, || {
    scenarios::no_inherited_descriptor_is_kept(init(group()));
    Holds
});
row!(listen_pid_names_command, what_names_the_init_names_command, all, || {
    scenarios::what_names_the_init_names_command(plain(), &["LISTEN_PID"]);
    Holds
});
row!(watchdog_pid_names_command, what_names_the_init_names_command, all, || {
    scenarios::what_names_the_init_names_command(plain(), &["WATCHDOG_PID"]);
    Holds
});

// --------------------------------------------------------------- exit status

row!(the_exit_status_is_that_of_command, when_command_exits, all, || {
    holds([0, 1, 42, 143].iter().all(|&s| scenarios::when_command_exits(plain(), s) == s))
});
row!(a_command_killed_by_a_signal_gives_128_and_its_number, when_command_is_killed, inits, || {
    let signals = [SIGTERM, SIGKILL, SIGHUP];
    holds(signals.iter().all(|&s| scenarios::when_command_is_killed(plain(), s) == 128 + s))
});
row!(a_command_that_is_missing_gives_127, when_command_is_missing, inits, || {
    holds(scenarios::when_command_is_missing(plain()) == 127)
});
row!(a_command_that_is_not_executable_gives_126, when_command_is_not_executable, inits, || {
    holds(scenarios::when_command_is_not_executable(plain()) == 126)
});
row!(a_missing_interpreter_gives_127, when_the_interpreter_is_missing, inits, || {
    holds(scenarios::when_the_interpreter_is_missing(plain).0 == 127)
});
row!(
    a_missing_interpreter_is_distinguished_from_a_missing_command,
    when_the_interpreter_is_missing,
    inits,
    || holds(scenarios::when_the_interpreter_is_missing(plain).1)
);
row!(a_program_for_another_machine_gives_126, when_command_is_foreign, inits, || {
    holds(scenarios::when_command_is_foreign(plain()) == 126)
});
row!(a_status_can_be_turned_into_0, when_command_is_killed, inits, || {
    offered(&["-e", "143"], || {
        holds(scenarios::when_command_is_killed(init(["-e", "143"]).pid1(), SIGTERM) == 0)
    })
});

// ------------------------------------------------------------------ terminals

row!(ctrl_c_reaches_command_once, what_is_typed_reaches_command_once, all, || {
    passing_on(|| {
        scenarios::what_is_typed_reaches_command_once(on_terminal(init(group())));
        Holds
    })
});
row!(a_new_window_size_reaches_command, a_new_window_size_reaches_command, all, || {
    scenarios::a_new_window_size_reaches_command(on_terminal(init(group())));
    Holds
});
row!(ctrl_z_does_not_hang_command, after_ctrl_z_command_answers, all, || {
    scenarios::after_ctrl_z_command_answers(on_terminal(init(group())));
    Holds
});
row!(a_shell_has_job_control, a_shell_has_job_control, inits, || {
    scenarios::a_shell_has_job_control(on_terminal(init(group())));
    Holds
});
row!(command_is_notified_when_the_terminal_hangs_up, when_the_terminal_hangs_up, inits, || {
    holds(scenarios::when_the_terminal_hangs_up(on_terminal(init(group())), 0) == 0)
});
row!(
    with_a_drain_remaining_processes_on_a_terminal_receive_no_hup,
    a_remaining_server_may_finish,
    inits,
    || {
        offered(&["--delay-term", "20ms"], || {
            scenarios::a_remaining_server_may_finish(on_terminal(draining()));
            Holds
        })
    }
);

// ------------------------------------------------------------------- the stop

row!(the_stop_signal_can_be_held_back, the_stop_signal_is_held_back, inits, || {
    let options = ["--delay-term", "100ms"];
    offered(&options, || {
        scenarios::the_stop_signal_is_held_back(init(options).pid1(), 100, false);
        Holds
    })
});
row!(a_second_term_does_not_cut_the_delay_short, the_stop_signal_is_held_back, inits, || {
    let options = ["--delay-term", "100ms"];
    offered(&options, || {
        scenarios::the_stop_signal_is_held_back(init(options).pid1(), 100, true);
        Holds
    })
});
row!(ctrl_c_ends_the_delay, an_interrupt_in_the_drain, inits, || {
    let options = ["--delay-term", "60"];
    offered(&options, || {
        let setup = on_terminal(init(options));
        holds(scenarios::an_interrupt_in_the_drain(setup, |run| run.type_in(b"\x03")) == 130)
    })
});
row!(a_command_can_run_before_the_stop, a_drain_command_comes_first, inits, || {
    offered(&["--drain-cmd", "true"], || {
        scenarios::a_drain_command_comes_first(init(NONE).pid1().drain_cmd(&[]));
        Holds
    })
});
row!(
    a_command_can_run_instead_of_the_stop_signal,
    a_stop_command_replaces_the_signal,
    inits,
    || {
        offered(&["--stop-cmd", "true"], || {
            scenarios::a_stop_command_replaces_the_signal(init(NONE).pid1().stop_cmd(&[]));
            Holds
        })
    }
);
row!(
    a_process_that_does_not_stop_can_be_killed_after_a_time,
    when_command_does_not_stop,
    inits,
    || {
        // pid1 counts whole seconds.
        let options = if is("pid1") { ["-t", "1"] } else { ["--kill-after", "50ms"] };
        offered(&options, || {
            holds(scenarios::when_command_does_not_stop(init(options).pid1()) == 137)
        })
    }
);
row!(
    daemons_in_their_own_session_can_be_waited_for,
    a_daemon_in_its_own_session_is_waited_for,
    inits,
    || {
        offered(&["--wait-all"], || {
            scenarios::a_daemon_in_its_own_session_is_waited_for(init(["--wait-all"]).pid1());
            Holds
        })
    }
);
row!(a_signal_can_be_rewritten, term_arrives_as_usr2, inits, || {
    offered(&["-r", "15:12"], || {
        scenarios::term_arrives_as_usr2(init(["-r", "15:12"]).pid1());
        Holds
    })
});

#[test]
fn an_init_is_identified_by_its_own_name() {
    let is = |file: &str, name| is_init(std::path::Path::new(file), name);
    for ours in ["target/debug/drain-init", "/x/dist/drain-init-amd64"] {
        assert!(is(ours, "drain-init"), "{ours}");
    }
    for other in ["/usr/bin/dumb-init", "/usr/bin/catatonit", "/usr/bin/tini", "/usr/bin/env"] {
        assert!(!is(other, "drain-init"), "{other}");
    }
    assert!(is("/usr/bin/tini-static", "tini"));
    assert!(!is("/usr/bin/catatonit", "tini"));
}
