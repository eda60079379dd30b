//! A test of the test tools. It has its own process, because it counts the descriptors
//! that are open there.

mod support;

use support::*;

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_run_leaves_no_descriptor_open() {
    let rounds = || {
        let stops = |setup: Setup| {
            let mut run = setup.exits_on(SIGTERM, 0).start();
            run.signal(SIGTERM);
            assert_eq!(run.status(), 0);
        };
        stops(init(["-v"]));
        stops(init(["-v"]).terminal(Terminal::Leader));
        // A failing test leaves its init running.
        init(["-c"]).start();
        init([""; 0]).command(["true"]).finish();
        if !lacks("a_run_leaves_no_descriptor_open in a PID namespace", &[pid_namespace()]) {
            stops(init([""; 0]).pid1());
            stops(init([""; 0]).hosted());
        }
    };
    let before = open_descriptors();
    rounds();
    until("the end of the threads", || open_descriptors() <= before);
}
