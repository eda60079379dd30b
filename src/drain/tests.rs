use std::hash::{BuildHasher, Hasher, RandomState};

use super::walk::walk;
use super::*;

const USR1: Signal = Signal::ABRT;
const OK: Status = Status::Exited(0);

/// The plan of a plain command line.
fn plan() -> Plan {
    Plan {
        delay: None,
        drain_signal: None,
        drain_file: false,
        drain_cmd: false,
        measure: false,
        stop_cmd: false,
        kill_after: None,
        stop_signals: SignalSet::of(&[Signal::TERM]),
        rewrites: Rewrites::default(),
        group: true,
        wait_all: None,
    }
}

fn rewriting(mut plan: Plan, received: Signal, replacement: Option<Signal>) -> Plan {
    plan.rewrites.set(received, replacement);
    plan
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn delayed() -> Plan {
    Plan { delay: Some(ms(1000)), ..plan() }
}

/// A machine, and its messages of the last step.
struct Sim {
    drain: Drain,
    messages: Vec<Message>,
}

impl Sim {
    fn new(plan: Plan) -> Self {
        Self { drain: Drain::new(plan), messages: Vec::new() }
    }

    /// The actions after an event at `millis`, without messages and without the CONT that
    /// follows a stop signal.
    fn at(&mut self, millis: u64, event: Event) -> Vec<Action> {
        let mut actions = self.all_at(millis, event);
        let mut follows = false;
        actions.retain(|action| {
            let is_cont = matches!(
                action,
                Action::Send(Signal::CONT, _)
                    | Action::SendToRemaining { signal: Signal::CONT, received: None }
            );
            let sends = matches!(action, Action::Send(..) | Action::SendToRemaining { .. });
            let is_left_out = is_cont && follows;
            follows = sends && !is_cont;
            !is_left_out
        });
        actions
    }

    /// The same with that CONT.
    fn all_at(&mut self, millis: u64, event: Event) -> Vec<Action> {
        self.messages.clear();
        let mut rest = Vec::new();
        self.drain.step(event, ms(millis), &mut |action| match action {
            Action::Report(message) => self.messages.push(message),
            other => rest.push(other),
        });
        rest
    }

    fn term(&mut self, millis: u64) -> Vec<Action> {
        self.at(millis, received(Signal::TERM))
    }

    fn time(&mut self, millis: u64) -> Vec<Action> {
        self.at(millis, Event::Time)
    }

    fn command_ends(&mut self, millis: u64) -> Vec<Action> {
        self.at(millis, Event::CommandExited { status: OK, group_remains: false })
    }

    fn said(&self, wanted: impl Fn(&Message) -> bool) -> bool {
        self.messages.iter().any(wanted)
    }

    /// How COMMAND's exit is reported: whether in a drain, what stopped it, and after
    /// how many milliseconds.
    fn exited(&self) -> (bool, Option<StopBy>, u64) {
        let exited = self.messages.iter().find_map(|message| match *message {
            Message::Exited { during, now, .. } => Some(match during {
                Phase::Draining { since, .. } => (true, None, now.saturating_sub(since)),
                Phase::Stopping { since, by, .. } => (false, Some(by), now.saturating_sub(since)),
                Phase::Running { .. } | Phase::Ended { .. } => (false, None, Duration::ZERO),
            }),
            _ => None,
        });
        let (drains, by, elapsed) = exited.expect("COMMAND's exit is reported");
        (drains, by, elapsed.as_millis())
    }

    fn deadline(&self) -> Option<u64> {
        self.drain.deadline().map(Duration::as_millis)
    }
}

fn received(signal: Signal) -> Event {
    Event::Received { signal, about_terminal: false }
}

fn on_terminal(signal: Signal) -> Event {
    Event::Received { signal, about_terminal: true }
}

const fn send(signal: Signal) -> Action {
    Action::Send(signal, Target::Group)
}

fn rest(signal: Signal) -> Action {
    Action::SendToRemaining { signal, received: None }
}

fn everyone(signal: Signal) -> Action {
    Action::SendToAll(SignalForRemaining { signal, spare_command: false, spare_drain_cmd: false })
}

fn deliver(signal: Signal) -> Vec<Action> {
    vec![send(signal)]
}

// ---- running ----

#[test]
fn without_a_drain_every_signal_is_delivered_at_once() {
    let mut sim = Sim::new(plan());
    for number in (1..=64).filter(|number| *number != 17) {
        let signal = Signal::new(number).unwrap();
        assert_eq!(sim.at(0, received(signal)), deliver(signal));
        assert_eq!(sim.messages, [Message::Received(signal)]);
    }
    assert_eq!(sim.deadline(), None);
}

#[test]
fn a_signal_is_delivered_as_rewritten() {
    let mut sim = Sim::new(rewriting(plan(), Signal::INT, Some(USR1)));
    assert_eq!(sim.at(0, received(Signal::INT)), deliver(USR1));
    let mut sim = Sim::new(rewriting(plan(), Signal::INT, None));
    assert_eq!(sim.at(0, received(Signal::INT)), []);
    assert!(sim.said(|message| *message == Message::NotSent(Signal::INT)));
}

#[test]
fn the_end_of_command_is_the_end() {
    let mut sim = Sim::new(plan());
    let status = Status::Killed(Signal::KILL);
    let actions = sim.at(0, Event::CommandExited { status, group_remains: false });
    assert_eq!(actions, [rest(Signal::TERM), Action::Exit(status)]);
    assert_eq!(status.code(), 137);
    assert_eq!(Status::Exited(3).code(), 3);
}

#[test]
fn in_single_mode_no_other_process_is_signalled_at_the_end() {
    let mut sim = Sim::new(Plan { group: false, ..plan() });
    assert_eq!(sim.command_ends(0), [Action::Exit(OK)]);
}

#[test]
fn the_group_receives_the_rewritten_term_at_the_end() {
    let mut sim = Sim::new(rewriting(plan(), Signal::TERM, Some(Signal::QUIT)));
    assert_eq!(sim.command_ends(0), [rest(Signal::QUIT), Action::Exit(OK)]);
    let mut sim = Sim::new(rewriting(plan(), Signal::TERM, None));
    assert_eq!(sim.command_ends(0), [Action::Exit(OK)]);
}

#[test]
fn a_signal_that_bypassed_the_drain_is_reported_for_ten_seconds() {
    let quit = received(Signal::QUIT);
    let hint = Message::BypassedDrain(Signal::QUIT, SignalSet::of(&[Signal::TERM]));
    for (plan, millis, reported) in
        [(delayed(), 9_999, true), (delayed(), 10_000, false), (plan(), 1, false)]
    {
        let mut sim = Sim::new(plan);
        sim.at(0, quit);
        sim.command_ends(millis);
        assert_eq!(sim.said(|message| *message == hint), reported, "{millis}");
    }
    // A signal that was rewritten to 0 or followed by a drain is not reported.
    let mut sim = Sim::new(rewriting(delayed(), Signal::QUIT, None));
    sim.at(0, quit);
    sim.command_ends(1);
    assert!(!sim.said(|message| matches!(message, Message::BypassedDrain(..))));
    let mut sim = Sim::new(delayed());
    sim.at(0, quit);
    sim.term(1);
    sim.command_ends(2);
    assert!(!sim.said(|message| matches!(message, Message::BypassedDrain(..))));
}

// ---- draining ----

#[test]
fn a_delay_postpones_the_stop_signal() {
    let mut sim = Sim::new(delayed());
    assert_eq!(sim.term(500), []);
    let then = StopBy::Signal(Signal::TERM);
    let draining = Message::Draining { received: Signal::TERM, delay: Some(ms(1000)), then };
    assert!(sim.said(|message| *message == draining));
    assert_eq!(sim.deadline(), Some(1500));
    assert_eq!(sim.time(1499), []);
    assert_eq!(sim.time(1500), deliver(Signal::TERM));
    let stopping = Message::Stopping { received: Signal::TERM, drained: Some(ms(1000)), by: then };
    assert!(sim.said(|message| *message == stopping));
    assert_eq!(sim.deadline(), None);
    assert_eq!(sim.time(9999), []);
}

#[test]
fn a_second_stop_signal_does_not_cut_the_drain_short() {
    let stop_signals = SignalSet::of(&[Signal::TERM, Signal::INT]);
    let mut sim = Sim::new(Plan { stop_signals, ..delayed() });
    sim.term(0);
    for signal in [Signal::TERM, Signal::INT] {
        assert_eq!(sim.at(10, received(signal)), []);
        assert!(sim.said(|message| *message == Message::IgnoredDraining(signal)));
        assert_eq!(sim.deadline(), Some(1000));
    }
    // The signal that began the drain is delivered.
    assert_eq!(sim.time(1000), deliver(Signal::TERM));
}

#[test]
fn any_of_the_stop_signals_begins_the_drain_and_is_delivered() {
    let stop_signals = SignalSet::of(&[Signal::TERM, Signal::QUIT]);
    let mut sim = Sim::new(Plan { stop_signals, ..delayed() });
    assert_eq!(sim.at(0, received(Signal::QUIT)), []);
    assert_eq!(sim.time(1000), deliver(Signal::QUIT));
}

#[test]
fn another_signal_is_delivered_in_the_drain() {
    let mut sim = Sim::new(delayed());
    sim.term(0);
    assert_eq!(sim.at(1, received(Signal::INT)), deliver(Signal::INT));
    assert_eq!(sim.deadline(), Some(1000));
}

#[test]
fn the_end_of_command_ends_the_drain() {
    let mut sim = Sim::new(Plan { stop_cmd: true, ..delayed() });
    sim.term(0);
    assert_eq!(sim.command_ends(100), [rest(Signal::TERM), Action::Exit(OK)]);
    assert_eq!(sim.exited(), (true, None, 100));
    assert_eq!(sim.deadline(), None);
}

#[test]
fn the_drain_signal_goes_to_command_alone_and_once() {
    let mut sim = Sim::new(rewriting(
        Plan { drain_signal: Some(Signal::TSTP), ..delayed() },
        Signal::TSTP,
        Some(Signal::KILL),
    ));
    assert_eq!(sim.term(0), [Action::Send(Signal::TSTP, Target::Process)]);
    assert_eq!(sim.term(1), []);
    assert_eq!(sim.time(1000), deliver(Signal::TERM));
    assert_eq!(sim.term(1001), deliver(Signal::TERM));
}

#[test]
fn a_drain_signal_without_a_delay_is_followed_by_the_stop_at_once() {
    let mut sim = Sim::new(Plan { drain_signal: Some(USR1), ..plan() });
    assert_eq!(sim.term(0), [Action::Send(USR1, Target::Process), send(Signal::TERM)]);
}

#[test]
fn a_drain_command_does_not_change_a_delay() {
    const EXITED: Event = Event::HelperEnded(Helper::Drain, Some(OK));
    let start = Action::Start(Helper::Drain, Signal::TERM);
    for (event, failure) in [
        (EXITED, false),
        (Event::HelperEnded(Helper::Drain, Some(Status::Exited(1))), true),
        (Event::HelperEnded(Helper::Drain, None), false),
    ] {
        let mut sim = Sim::new(Plan { drain_cmd: true, ..delayed() });
        assert_eq!(sim.term(0), [start]);
        assert_eq!(sim.at(1, event), []);
        assert_eq!(sim.said(|message| matches!(message, Message::DrainCommandFailed(_))), failure);
        let success = Message::HelperSucceeded(Helper::Drain);
        assert_eq!(sim.said(|message| *message == success), event == EXITED);
        assert_eq!(sim.deadline(), Some(1000));
        assert_eq!(sim.time(1000), deliver(Signal::TERM));
    }
}

#[test]
fn without_a_delay_the_drain_lasts_as_long_as_the_drain_command() {
    for event in [
        Event::HelperEnded(Helper::Drain, Some(OK)),
        Event::HelperEnded(Helper::Drain, Some(Status::Killed(USR1))),
        Event::HelperEnded(Helper::Drain, None),
    ] {
        let mut sim = Sim::new(Plan { drain_cmd: true, ..plan() });
        assert_eq!(sim.term(0), [Action::Start(Helper::Drain, Signal::TERM)]);
        assert_eq!(sim.deadline(), None);
        assert_eq!(sim.time(99_999), []);
        assert_eq!(sim.at(100_000, event), deliver(Signal::TERM));
        let drained = Some(ms(100_000));
        assert!(sim.said(|message| matches!(message, Message::Stopping { drained: after, .. } if *after == drained)));
    }
}

#[test]
fn the_drain_file_comes_before_the_drain_signal_and_the_drain_command() {
    let marked = Plan { drain_file: true, ..plan() };
    let plan = Plan { drain_signal: Some(USR1), drain_cmd: true, ..marked.clone() };
    let start = [
        Action::CreateDrainFile,
        Action::Send(USR1, Target::Process),
        Action::Start(Helper::Drain, Signal::TERM),
    ];
    let mut sim = Sim::new(plan);
    assert_eq!(sim.term(0), start);
    // A second stop signal does not create it again.
    assert_eq!(sim.term(1), []);
    // A drain file alone makes a drain that ends at once.
    let mut sim = Sim::new(marked);
    let once = [Action::CreateDrainFile, Action::Send(Signal::TERM, Target::Group)];
    assert_eq!(sim.term(0), once);
}

fn measured() -> Plan {
    Plan { delay: Some(ms(2500)), measure: true, ..plan() }
}

const fn passed(secs: u64, ends: bool) -> Action {
    Action::Measure(Measure::Passed { secs, ends })
}

#[test]
fn a_measured_drain_has_a_figure_for_each_second_and_for_the_last_one() {
    let mut sim = Sim::new(measured());
    assert_eq!(sim.term(300), [Action::Measure(Measure::Begin)]);
    assert_eq!(sim.deadline(), Some(1300));
    assert_eq!(sim.time(1299), []);
    assert_eq!(sim.time(1301), [passed(1, false)]);
    assert_eq!(sim.deadline(), Some(2300));
    assert_eq!(sim.time(2300), [passed(1, false)]);
    assert_eq!(sim.deadline(), Some(2800));
    assert_eq!(sim.time(2800), [&[passed(0, true)][..], &deliver(Signal::TERM)].concat());
    assert_eq!(sim.deadline(), None);
    // No incomplete second follows whole ones. COMMAND's exit ends the series, too.
    let mut sim = Sim::new(Plan { delay: Some(ms(1000)), ..measured() });
    sim.term(0);
    assert_eq!(sim.time(1004), [&[passed(1, true)][..], &deliver(Signal::TERM)].concat());
    let mut sim = Sim::new(measured());
    sim.term(0);
    let exit = [passed(0, true), rest(Signal::TERM), Action::Exit(OK)];
    assert_eq!(sim.command_ends(10), exit);
}

#[test]
fn a_second_that_was_missed_has_no_figure() {
    let mut sim = Sim::new(Plan { delay: Some(ms(9500)), ..measured() });
    sim.term(0);
    sim.time(1000);
    // drain-init was stopped until just after 4 s.
    assert_eq!(sim.time(4100), [passed(3, false)]);
    assert_eq!(sim.deadline(), Some(5000));
    assert_eq!(sim.time(5000), [passed(1, false)]);
    assert_eq!(sim.time(10_200), [&[passed(5, true)][..], &deliver(Signal::TERM)].concat());
}

#[test]
fn a_drain_that_ends_at_once_is_not_measured() {
    let mut sim = Sim::new(Plan { delay: None, drain_file: true, ..measured() });
    assert_eq!(sim.term(0), [&[Action::CreateDrainFile][..], &deliver(Signal::TERM)].concat());
    // The same without a drain option.
    let mut sim = Sim::new(Plan { delay: None, ..measured() });
    assert_eq!(sim.term(0), deliver(Signal::TERM));
}

#[test]
fn a_drain_command_that_still_runs_receives_term_when_command_has_exited() {
    let term = Action::SendToHelper(Helper::Drain, Signal::TERM);
    let mut sim = Sim::new(Plan { drain_cmd: true, ..delayed() });
    sim.term(0);
    assert_eq!(sim.command_ends(1), [term, rest(Signal::TERM), Action::Exit(OK)]);
    // The same during the stop.
    let mut sim = Sim::new(Plan { drain_cmd: true, ..delayed() });
    sim.term(0);
    sim.time(1000);
    assert_eq!(sim.command_ends(1001), [term, Action::Exit(OK)]);
    // Not if it has ended.
    let mut sim = Sim::new(Plan { drain_cmd: true, ..delayed() });
    sim.term(0);
    sim.at(1, Event::HelperEnded(Helper::Drain, Some(OK)));
    assert_eq!(sim.command_ends(2), [rest(Signal::TERM), Action::Exit(OK)]);
}

#[test]
fn a_drain_command_that_the_end_of_command_cut_short_did_not_fail() {
    let mut sim =
        Sim::new(Plan { drain_cmd: true, wait_all: Some(WaitAll::Children), ..delayed() });
    sim.term(0);
    sim.command_ends(1);
    sim.at(2, Event::HelperEnded(Helper::Drain, Some(Status::Killed(Signal::TERM))));
    assert!(!sim.said(|message| matches!(message, Message::DrainCommandFailed(_))));
}

// ---- stopping ----

#[test]
fn the_stop_command_runs_in_the_signals_place() {
    let mut sim = Sim::new(Plan { stop_cmd: true, ..delayed() });
    sim.term(0);
    assert_eq!(sim.time(1000), [Action::Start(Helper::Stop, Signal::TERM)]);
    assert_eq!(sim.at(1100, Event::HelperEnded(Helper::Stop, Some(OK))), []);
    assert!(sim.said(|message| *message == Message::HelperSucceeded(Helper::Stop)));
    assert_eq!(sim.command_ends(1200), [rest(Signal::TERM), Action::Exit(OK)]);
    assert_eq!(sim.exited(), (false, Some(StopBy::Command), 200));
}

#[test]
fn a_stop_command_alone_starts_at_once() {
    let mut sim = Sim::new(Plan { stop_cmd: true, ..plan() });
    assert_eq!(sim.term(0), [Action::Start(Helper::Stop, Signal::TERM)]);
}

#[test]
fn stop_signals_are_discarded_while_the_stop_command_runs_and_delivered_afterwards() {
    let mut sim = Sim::new(Plan { stop_cmd: true, ..plan() });
    sim.term(0);
    assert_eq!(sim.term(1), []);
    assert!(sim.said(|message| *message == Message::IgnoredStopping(Signal::TERM)));
    assert_eq!(sim.at(1, received(Signal::INT)), deliver(Signal::INT));
    sim.at(2, Event::HelperEnded(Helper::Stop, Some(OK)));
    assert_eq!(sim.term(3), deliver(Signal::TERM));
}

#[test]
fn a_failed_stop_command_is_followed_by_the_signal() {
    for event in [
        Event::HelperEnded(Helper::Stop, Some(Status::Exited(1))),
        Event::HelperEnded(Helper::Stop, Some(Status::Killed(Signal::KILL))),
        Event::HelperEnded(Helper::Stop, None),
    ] {
        for (rewrite, delivered) in [(Some(Signal::QUIT), Signal::QUIT), (None, Signal::TERM)] {
            let plan = rewriting(Plan { stop_cmd: true, ..plan() }, Signal::TERM, rewrite);
            let mut sim = Sim::new(plan);
            sim.term(0);
            assert_eq!(sim.at(1, event), deliver(delivered));
            assert!(sim.said(|message| matches!(
                message,
                Message::StopCommandFailed { instead, .. } if *instead == Some(delivered)
            )));
            sim.command_ends(3);
            assert_eq!(sim.exited(), (false, Some(StopBy::Signal(delivered)), 2));
        }
    }
}

#[test]
fn a_stop_signal_that_is_rewritten_to_0_stops_nothing_and_is_reported() {
    let mut sim = Sim::new(rewriting(delayed(), Signal::TERM, None));
    sim.term(0);
    assert_eq!(sim.time(1000), []);
    let then = StopBy::Nothing(Signal::TERM);
    assert!(
        sim.said(|message| matches!(message, Message::Stopping { by: next, .. } if *next == then))
    );
    let mut sim = Sim::new(rewriting(plan(), Signal::TERM, None));
    for millis in [0, 1] {
        assert_eq!(sim.term(millis), []);
        assert!(sim.said(|message| *message == Message::NotSent(Signal::TERM)), "{millis}");
    }
}

#[test]
fn the_last_stop_signal_counts_as_the_one_that_stopped_command() {
    let stop_signals = SignalSet::of(&[Signal::TERM, Signal::QUIT]);
    let mut sim = Sim::new(Plan { stop_signals, ..plan() });
    sim.term(0);
    assert_eq!(sim.at(300, received(Signal::HUP)), deliver(Signal::HUP));
    sim.command_ends(1000);
    assert_eq!(sim.exited(), (false, Some(StopBy::Signal(Signal::TERM)), 1000));

    let mut sim = Sim::new(Plan { stop_signals, ..plan() });
    sim.term(0);
    assert_eq!(sim.at(300, received(Signal::QUIT)), deliver(Signal::QUIT));
    sim.command_ends(1000);
    assert_eq!(sim.exited(), (false, Some(StopBy::Signal(Signal::QUIT)), 700));
}

// ---- ended ----

#[test]
fn a_stop_command_that_still_runs_is_waited_for() {
    let mut sim = Sim::new(Plan { stop_cmd: true, ..plan() });
    sim.term(0);
    assert_eq!(sim.command_ends(1), [rest(Signal::TERM)]);
    assert_eq!(sim.deadline(), None);
    let failed = Event::HelperEnded(Helper::Stop, Some(Status::Exited(1)));
    assert_eq!(sim.at(2, failed), [Action::Exit(OK)]);
    assert!(
        sim.said(|message| matches!(message, Message::StopCommandFailed { instead: None, .. }))
    );
}

#[test]
fn a_signal_after_the_end_goes_to_the_rest_of_the_group_or_is_dropped() {
    let mut sim = Sim::new(Plan { stop_cmd: true, ..plan() });
    sim.term(0);
    sim.command_ends(1);
    for signal in [Signal::TERM, Signal::INT] {
        let to_rest = Action::SendToRemaining { signal, received: Some(signal) };
        assert_eq!(sim.at(2, received(signal)), [to_rest]);
    }
    for (rewrite, message) in [
        (Some(Signal::TERM), Message::Dropped(Signal::TERM)),
        (None, Message::NotSent(Signal::TERM)),
    ] {
        let plan = rewriting(Plan { stop_cmd: true, ..plan() }, Signal::TERM, rewrite);
        let mut sim = Sim::new(Plan { group: rewrite.is_none(), ..plan });
        sim.term(0);
        sim.command_ends(1);
        assert_eq!(sim.term(2), []);
        assert_eq!(sim.messages, [Message::Received(Signal::TERM), message]);
    }
}

#[test]
fn with_wait_all_as_pid_1_every_process_receives_term_once_and_every_child_is_waited_for() {
    let mut sim = Sim::new(Plan { wait_all: Some(WaitAll::Namespace), ..plan() });
    assert_eq!(sim.at(0, Event::NoChildren), []);
    assert_eq!(sim.command_ends(0), [everyone(Signal::TERM)]);
    assert_eq!(sim.time(1), []);
    assert_eq!(sim.at(2, Event::NoChildren), [Action::Exit(OK)]);
}

#[test]
fn with_wait_all_as_pid_1_term_is_not_rewritten_although_the_group_receives_it_rewritten() {
    let plan = Plan { wait_all: Some(WaitAll::Namespace), ..plan() };
    let mut sim = Sim::new(rewriting(plan, Signal::TERM, Some(Signal::QUIT)));
    let others = Action::SendToAll(SignalForRemaining {
        signal: Signal::TERM,
        spare_command: true,
        spare_drain_cmd: false,
    });
    assert_eq!(sim.command_ends(0), [rest(Signal::QUIT), others]);
}

#[test]
fn with_wait_all_as_pid_1_the_stop_command_may_finish() {
    let plan = Plan { wait_all: Some(WaitAll::Namespace), stop_cmd: true, ..plan() };
    let mut sim = Sim::new(plan);
    sim.term(0);
    assert_eq!(sim.command_ends(1), [rest(Signal::TERM)]);
    assert_eq!(sim.at(1, Event::NoChildren), []);
    let others = Action::SendToAll(SignalForRemaining {
        signal: Signal::TERM,
        spare_command: true,
        spare_drain_cmd: false,
    });
    assert_eq!(sim.at(2, Event::HelperEnded(Helper::Stop, Some(OK))), [others]);
    assert_eq!(sim.at(2, Event::NoChildren), [Action::Exit(OK)]);
}

#[test]
fn with_wait_all_not_as_pid_1_the_group_receives_term_and_every_child_is_waited_for() {
    let mut sim = Sim::new(Plan { wait_all: Some(WaitAll::Children), ..plan() });
    let others = Action::SendToAll(SignalForRemaining {
        signal: Signal::TERM,
        spare_command: true,
        spare_drain_cmd: false,
    });
    assert_eq!(sim.command_ends(0), [rest(Signal::TERM), others]);
    // A process that it adopts later is signalled, too.
    assert_eq!(sim.at(1, Event::Scan), [others]);
    assert_eq!(sim.at(2, Event::NoChildren), [Action::Exit(OK)]);
}

// ---- kill-after ----

fn killing(mut plan: Plan) -> Plan {
    plan.kill_after = Some(ms(500));
    plan
}

const HELPERS_KILLED: [Action; 2] = [
    Action::SendToHelper(Helper::Drain, Signal::KILL),
    Action::SendToHelper(Helper::Stop, Signal::KILL),
];

fn killed(first: Action) -> Vec<Action> {
    [&[first], &HELPERS_KILLED[..]].concat()
}

#[test]
fn the_clock_of_kill_after_starts_once_on_entering_the_stop() {
    let mut sim = Sim::new(killing(delayed()));
    sim.term(0);
    assert_eq!(sim.deadline(), Some(1000));
    sim.time(1000);
    assert_eq!(sim.deadline(), Some(1500));
    assert_eq!(sim.term(1400), deliver(Signal::TERM));
    assert_eq!(sim.deadline(), Some(1500));
    assert_eq!(sim.time(1499), []);
    assert_eq!(sim.time(1500), killed(send(Signal::KILL)));
    assert!(sim.said(|message| *message == Message::Killing(ms(500))));
    assert_eq!(sim.deadline(), None);
    assert_eq!(sim.time(9999), []);
}

#[test]
fn kill_after_works_without_a_drain_and_if_nothing_is_delivered() {
    let mut sim = Sim::new(rewriting(killing(plan()), Signal::TERM, None));
    sim.at(0, received(Signal::INT));
    assert_eq!(sim.deadline(), None);
    assert_eq!(sim.term(100), []);
    assert_eq!(sim.time(600), killed(send(Signal::KILL)));
}

#[test]
fn the_clock_of_kill_after_starts_at_the_end_of_command_if_that_is_earlier() {
    let mut sim = Sim::new(killing(Plan { wait_all: Some(WaitAll::Children), ..plan() }));
    sim.command_ends(100);
    assert_eq!(sim.deadline(), Some(600));
    let all = [killed(rest(Signal::KILL)), vec![everyone(Signal::KILL)]].concat();
    assert_eq!(sim.time(600), all);
    // A clock that has started keeps running.
    let mut sim = Sim::new(killing(Plan { stop_cmd: true, ..plan() }));
    sim.term(0);
    sim.command_ends(100);
    assert_eq!(sim.deadline(), Some(500));
}

#[test]
fn kill_after_reaches_the_helpers_and_single_processes() {
    let mut sim = Sim::new(killing(Plan { stop_cmd: true, group: false, ..plan() }));
    sim.term(0);
    sim.command_ends(1);
    assert_eq!(sim.time(500), HELPERS_KILLED);
}

#[test]
fn with_wait_all_as_pid_1_kill_after_reaches_every_process() {
    let plan = Plan { wait_all: Some(WaitAll::Namespace), ..plan() };
    let everyone = [everyone(Signal::KILL)];
    let mut sim = Sim::new(killing(plan.clone()));
    sim.term(0);
    assert_eq!(sim.time(500), everyone);
    let mut sim = Sim::new(killing(plan));
    sim.command_ends(0);
    assert_eq!(sim.time(500), everyone);
}

#[test]
fn a_process_that_is_due_a_term_receives_kill_instead() {
    let mut sim = Sim::new(killing(Plan { drain_cmd: true, ..delayed() }));
    sim.term(0);
    sim.time(1000);
    sim.time(1500);
    let kill_drain_cmd = Action::SendToHelper(Helper::Drain, Signal::KILL);
    let exit = Action::Exit(OK);
    assert_eq!(sim.command_ends(1501), [kill_drain_cmd, rest(Signal::KILL), exit]);

    let mut sim = Sim::new(killing(Plan { wait_all: Some(WaitAll::Namespace), ..plan() }));
    sim.term(0);
    sim.time(500);
    assert_eq!(sim.command_ends(501), [everyone(Signal::KILL)]);
}

#[test]
fn remaining_processes_receive_kill_at_once_even_before_the_killed_stop_command_is_reaped() {
    let plan = Plan { stop_cmd: true, group: false, ..killing(plan()) };
    let mut sim = Sim::new(Plan { wait_all: Some(WaitAll::Children), ..plan });
    sim.term(0);
    sim.time(500);
    assert_eq!(sim.command_ends(501), [everyone(Signal::KILL)]);
    assert_eq!(sim.at(501, Event::Scan), [everyone(Signal::KILL)]);
    let killed = Event::HelperEnded(Helper::Stop, Some(Status::Killed(Signal::KILL)));
    assert_eq!(sim.at(502, killed), [everyone(Signal::KILL)]);
    assert_eq!(sim.at(502, Event::NoChildren), [Action::Exit(OK)]);
}

#[test]
fn an_exit_after_kill_is_reported_as_that_of_a_stop() {
    for millis in [499, 500] {
        let mut sim = Sim::new(killing(plan()));
        sim.term(0);
        sim.time(millis);
        sim.command_ends(501);
        let as_stop = sim.said(|message| {
            matches!(
                message,
                Message::Exited { during: Phase::Stopping { reported: true, .. }, .. }
            )
        });
        assert_eq!(as_stop, millis == 500, "{millis}");
    }
}

#[test]
fn a_stop_command_that_kill_after_killed_is_followed_by_no_signal() {
    let mut sim = Sim::new(killing(Plan { stop_cmd: true, ..plan() }));
    sim.term(0);
    sim.time(500);
    let event = Event::HelperEnded(Helper::Stop, Some(Status::Killed(Signal::KILL)));
    assert_eq!(sim.at(501, event), []);
}

#[test]
fn deadlines_that_passed_while_suspended_are_acted_on_late_and_in_their_order() {
    let mut sim = Sim::new(killing(delayed()));
    sim.term(0);
    // This is much later than both deadlines, but the kill clock starts only now.
    assert_eq!(sim.time(60_000), deliver(Signal::TERM));
    assert_eq!(sim.deadline(), Some(60_500));
}

// ---- the group, and which processes were signalled ----

fn leaving_a_group(millis: u64, sim: &mut Sim) -> Vec<Action> {
    sim.at(millis, Event::CommandExited { status: OK, group_remains: true })
}

fn waits(sim: &Sim) -> bool {
    sim.said(|message| {
        matches!(message, Message::Exited { waiting_for: WaitingFor { group: true, .. }, .. })
    })
}

#[test]
fn after_a_drain_the_rest_of_the_group_is_waited_for_and_not_signalled_again() {
    let mut sim = Sim::new(delayed());
    sim.term(0);
    sim.time(1000);
    assert_eq!(leaving_a_group(1001, &mut sim), []);
    assert!(waits(&sim) && sim.drain.waiting_for().group);
    assert_eq!(sim.at(1002, Event::NoChildren), []);
    assert_eq!(sim.at(1003, Event::GroupGone), [Action::Exit(OK)]);
}

#[test]
fn if_a_stop_command_stopped_command_the_rest_receives_one_stop_signal_and_is_waited_for() {
    let mut sim = Sim::new(Plan { stop_cmd: true, ..plan() });
    sim.term(0);
    sim.at(1, Event::HelperEnded(Helper::Stop, Some(OK)));
    assert_eq!(leaving_a_group(2, &mut sim), [rest(Signal::TERM)]);
    assert_eq!(sim.at(3, Event::GroupGone), [Action::Exit(OK)]);
    // drain-init does not exit while the stop command runs.
    let mut sim = Sim::new(Plan { stop_cmd: true, ..plan() });
    sim.term(0);
    assert_eq!(leaving_a_group(2, &mut sim), [rest(Signal::TERM)]);
    assert_eq!(sim.at(3, Event::GroupGone), []);
    assert_eq!(sim.at(4, Event::HelperEnded(Helper::Stop, Some(OK))), [Action::Exit(OK)]);
}

#[test]
fn after_a_failed_stop_command_the_group_receives_the_stop_signal_only_once() {
    let mut sim = Sim::new(Plan { stop_cmd: true, ..plan() });
    sim.term(0);
    let failed = Event::HelperEnded(Helper::Stop, Some(Status::Exited(1)));
    assert_eq!(sim.at(1, failed), deliver(Signal::TERM));
    assert_eq!(leaving_a_group(2, &mut sim), []);
}

#[test]
fn without_a_stop_or_a_drain_or_a_group_no_process_is_waited_for() {
    // COMMAND ended by itself.
    let mut sim = Sim::new(delayed());
    assert_eq!(leaving_a_group(0, &mut sim), [rest(Signal::TERM), Action::Exit(OK)]);
    // In the drain.
    let mut sim = Sim::new(delayed());
    sim.term(0);
    assert_eq!(leaving_a_group(1, &mut sim), [rest(Signal::TERM), Action::Exit(OK)]);
    // A plain dumb-init command line.
    let mut sim = Sim::new(plan());
    sim.term(0);
    assert_eq!(leaving_a_group(1, &mut sim), [rest(Signal::TERM), Action::Exit(OK)]);
    assert!(!waits(&sim));
    // With -c, COMMAND alone counts.
    let mut sim = Sim::new(Plan { group: false, ..delayed() });
    sim.term(0);
    sim.time(1000);
    assert_eq!(leaving_a_group(1001, &mut sim), [Action::Exit(OK)]);
}

#[test]
fn kill_after_bounds_the_wait_for_the_group() {
    let mut sim = Sim::new(killing(delayed()));
    sim.term(0);
    sim.time(1000);
    leaving_a_group(1001, &mut sim);
    assert_eq!(sim.time(1500), killed(rest(Signal::KILL)));
    assert_eq!(sim.at(1501, Event::GroupGone), [Action::Exit(OK)]);
}

#[test]
fn with_wait_all_a_group_that_was_signalled_is_skipped() {
    for wait_all in [WaitAll::Namespace, WaitAll::Children] {
        for plan in [plan(), delayed()] {
            let mut sim = Sim::new(Plan { wait_all: Some(wait_all), ..plan });
            sim.term(0);
            sim.time(1000);
            let others = Action::SendToAll(SignalForRemaining {
                signal: Signal::TERM,
                spare_command: true,
                spare_drain_cmd: false,
            });
            assert_eq!(sim.command_ends(1001), [others]);
            assert_eq!(sim.at(1002, Event::NoChildren), [Action::Exit(OK)]);
        }
    }
}

#[test]
fn a_signal_to_the_rest_during_the_stop_command_counts_when_all_are_signalled() {
    let stop_signals = SignalSet::of(&[Signal::TERM, Signal::QUIT]);
    let plan = Plan { stop_signals, wait_all: Some(WaitAll::Namespace), ..plan() };
    let plan = rewriting(Plan { stop_cmd: true, ..plan }, Signal::TERM, None);
    let stop_cmd_ends = Event::HelperEnded(Helper::Stop, Some(OK));
    let ended = || {
        let mut sim = Sim::new(plan.clone());
        sim.term(0);
        assert_eq!(leaving_a_group(1, &mut sim), []);
        sim
    };
    // The group received another stop signal.
    let mut sim = ended();
    sim.at(2, received(Signal::QUIT));
    let others = Action::SendToAll(SignalForRemaining {
        signal: Signal::TERM,
        spare_command: true,
        spare_drain_cmd: false,
    });
    assert_eq!(sim.at(3, stop_cmd_ends), [others]);
    // The group was suspended, and perhaps continued.
    let mut sim = ended();
    sim.at(2, on_terminal(Signal::TSTP));
    assert_eq!(sim.at(3, stop_cmd_ends), [everyone(Signal::TERM)]);
    let mut sim = ended();
    sim.at(2, on_terminal(Signal::TSTP));
    sim.at(2, on_terminal(Signal::CONT));
    assert_eq!(sim.at(3, stop_cmd_ends), [everyone(Signal::TERM)]);
}

#[test]
fn a_drain_command_that_was_signalled_is_skipped_too() {
    let plan = Plan { drain_cmd: true, stop_cmd: true, ..delayed() };
    let mut sim = Sim::new(Plan { wait_all: Some(WaitAll::Namespace), ..plan });
    sim.term(0);
    sim.time(1000);
    let term = Action::SendToHelper(Helper::Drain, Signal::TERM);
    assert_eq!(sim.command_ends(1001), [term, rest(Signal::TERM)]);
    let others = Action::SendToAll(SignalForRemaining {
        signal: Signal::TERM,
        spare_command: true,
        spare_drain_cmd: true,
    });
    assert_eq!(sim.at(1002, Event::HelperEnded(Helper::Stop, Some(OK))), [others]);
}

// ---- job control ----

const STOPS: [Signal; 3] = [Signal::TSTP, Signal::TTIN, Signal::TTOU];
const CONT: Action = Action::Send(Signal::CONT, Target::Group);

#[test]
fn without_a_terminal_the_signals_of_job_control_are_delivered_as_they_are() {
    for signal in STOPS {
        assert_eq!(Sim::new(plan()).at(0, received(signal)), deliver(signal));
    }
}

#[test]
fn on_a_terminal_they_are_delivered_as_stop_and_then_drain_init_stops() {
    let ended = |plan: Plan| {
        let mut sim = Sim::new(Plan { stop_cmd: true, ..plan });
        sim.term(0);
        sim.command_ends(0);
        sim
    };
    for signal in STOPS {
        let event = on_terminal(signal);
        let expected = [send(Signal::STOP), Action::SuspendSelf];
        assert_eq!(Sim::new(plan()).at(0, event), expected);
        let mut draining = Sim::new(delayed());
        draining.term(0);
        assert_eq!(draining.at(1, event), expected);
        assert_eq!(draining.all_at(1000, Event::Time), [send(Signal::TERM), CONT]);
        assert_eq!(draining.at(1001, event), expected);
        let to_rest = Action::SendToRemaining { signal: Signal::STOP, received: Some(signal) };
        assert_eq!(ended(plan()).at(1, event), [to_rest, Action::SuspendSelf]);
        let rewritten = Sim::new(rewriting(plan(), signal, None)).at(0, event);
        assert_eq!(rewritten, [Action::SuspendSelf]);
        let single = Sim::new(Plan { group: false, ..plan() }).at(0, event);
        assert_eq!(single, [Action::Send(signal, Target::Process), Action::SuspendSelf]);
        let single = ended(Plan { group: false, ..plan() }).at(1, event);
        assert_eq!(single, [Action::SuspendSelf]);
    }
}

#[test]
fn a_stop_reaches_a_command_that_is_suspended() {
    let suspended = Event::Suspended { signal: Signal::STOP, continuer: None };
    let mut sim = Sim::new(plan());
    assert_eq!(sim.at(0, suspended), []);
    assert_eq!(sim.all_at(1, received(Signal::TERM)), [send(Signal::TERM), CONT]);
    assert_eq!(sim.all_at(2, received(Signal::TERM)), deliver(Signal::TERM));
    // CONT is sent before the stop command starts, which may need COMMAND to run.
    let mut sim = Sim::new(Plan { stop_cmd: true, ..plan() });
    sim.at(0, suspended);
    assert_eq!(sim.term(1), [CONT, Action::Start(Helper::Stop, Signal::TERM)]);
    // Not if it already runs again.
    for event in [Event::CommandContinued, received(Signal::CONT)] {
        let mut sim = Sim::new(plan());
        sim.at(0, suspended);
        sim.at(1, event);
        assert_eq!(sim.all_at(2, received(Signal::TERM)), deliver(Signal::TERM));
    }
}

#[test]
fn cont_follows_the_stop_signal_of_a_drain() {
    let follows = |plan: Plan| {
        let mut sim = Sim::new(plan);
        sim.all_at(0, received(Signal::TERM));
        sim.all_at(1000, Event::Time)
    };
    assert_eq!(follows(delayed()), [send(Signal::TERM), CONT]);
    let alone = |signal| Action::Send(signal, Target::Process);
    let single = follows(Plan { group: false, ..delayed() });
    assert_eq!(single, [alone(Signal::TERM), alone(Signal::CONT)]);
    // CONT would discard a signal that suspends.
    for signal in [Signal::STOP, Signal::TSTP, Signal::TTIN, Signal::TTOU] {
        let rewritten = rewriting(delayed(), Signal::TERM, Some(signal));
        assert_eq!(follows(rewritten), deliver(signal));
    }
    // The remaining processes get it, too.
    let mut sim = Sim::new(Plan { stop_cmd: true, ..plan() });
    sim.term(0);
    let exited = Event::CommandExited { status: OK, group_remains: true };
    assert_eq!(sim.all_at(1, exited), [rest(Signal::TERM), rest(Signal::CONT)]);
    assert_eq!(
        sim.all_at(2, received(Signal::TERM)),
        [
            Action::SendToRemaining { signal: Signal::TERM, received: Some(Signal::TERM) },
            rest(Signal::CONT)
        ]
    );
}

#[test]
fn cont_does_not_discard_a_drain_signal_that_suspends() {
    let drains = Plan { drain_signal: Some(Signal::TSTP), ..plan() };
    let tstp = Action::Send(Signal::TSTP, Target::Process);
    let mut sim = Sim::new(drains.clone());
    assert_eq!(sim.all_at(0, received(Signal::TERM)), [tstp, send(Signal::TERM)]);
    let mut sim = Sim::new(drains);
    sim.at(0, Event::Suspended { signal: Signal::STOP, continuer: None });
    assert_eq!(sim.all_at(1, received(Signal::TERM)), [tstp, send(Signal::TERM), CONT]);
    // With a delay, COMMAND has acted on the drain signal long before.
    let mut sim = Sim::new(Plan { drain_signal: Some(Signal::TSTP), ..delayed() });
    sim.at(0, received(Signal::TERM));
    assert_eq!(sim.all_at(1000, Event::Time), [send(Signal::TERM), CONT]);
}

#[test]
fn remaining_processes_that_all_ignore_the_stop_signal_receive_term_once() {
    let plan = rewriting(delayed(), Signal::TERM, Some(Signal::QUIT));
    let mut sim = Sim::new(plan.clone());
    sim.term(0);
    assert_eq!(sim.drain.sent_to_group(), None);
    sim.time(1000);
    assert_eq!(sim.drain.sent_to_group(), Some(SignalSet::of(&[Signal::QUIT])));
    assert_eq!(leaving_a_group(1001, &mut sim), []);
    assert_eq!(sim.at(1002, Event::GroupIgnores), [rest(Signal::TERM)]);
    assert_eq!(sim.drain.sent_to_group(), None);
    assert_eq!(sim.at(1003, Event::GroupIgnores), []);
    // After a stop command, the remaining processes get the rewritten signal first.
    let mut sim = Sim::new(Plan { stop_cmd: true, ..plan.clone() });
    sim.term(0);
    sim.time(1000);
    assert_eq!(leaving_a_group(1001, &mut sim), [rest(Signal::QUIT)]);
    assert_eq!(sim.at(1002, Event::GroupIgnores), [rest(Signal::TERM)]);
    // The same with --wait-all alone.
    let no_drain = Plan { delay: None, wait_all: Some(WaitAll::Namespace), ..plan };
    let mut sim = Sim::new(no_drain.clone());
    sim.term(0);
    leaving_a_group(1, &mut sim);
    assert_eq!(sim.at(2, Event::GroupIgnores), [rest(Signal::TERM)]);
    // Not if --wait-all sent TERM to every process before another stop signal arrived.
    let stop_signals = SignalSet::of(&[Signal::TERM, Signal::INT]);
    let silent = rewriting(Plan { stop_signals, ..no_drain }, Signal::TERM, None);
    let mut sim = Sim::new(silent);
    assert_eq!(leaving_a_group(1, &mut sim), [everyone(Signal::TERM)]);
    sim.at(2, received(Signal::INT));
    assert_eq!(sim.drain.sent_to_group(), None);
    // Not while COMMAND runs.
    let mut sim = Sim::new(rewriting(delayed(), Signal::TERM, Some(Signal::QUIT)));
    sim.term(0);
    sim.time(1000);
    assert_eq!(sim.at(1001, Event::GroupIgnores), []);
    // Not after KILL.
    let mut sim = Sim::new(killing(rewriting(delayed(), Signal::TERM, Some(Signal::QUIT))));
    sim.term(0);
    sim.time(1000);
    leaving_a_group(1001, &mut sim);
    sim.time(1500);
    assert_eq!(sim.drain.sent_to_group(), None);
}

#[test]
fn remaining_processes_that_may_not_be_signalled_are_not_waited_for() {
    let mut sim = Sim::new(delayed());
    sim.term(0);
    sim.time(1000);
    leaving_a_group(1001, &mut sim);
    assert_eq!(sim.at(1002, Event::GroupForbidden), [Action::Exit(OK)]);
    assert!(sim.said(|message| *message == Message::GroupForbidden));
    // With --wait-all they are, as children.
    let mut sim = Sim::new(Plan { wait_all: Some(WaitAll::Children), ..delayed() });
    sim.term(0);
    sim.time(1000);
    leaving_a_group(1001, &mut sim);
    assert_eq!(sim.at(1002, Event::GroupForbidden), []);
    assert!(!sim.said(|message| *message == Message::GroupForbidden));
}

#[test]
fn remaining_processes_that_a_terminal_suspended_continue_if_no_shell_can_do_that() {
    let suspended = |signal, continuer| Event::Suspended { signal, continuer };
    let mut sim = Sim::new(delayed());
    sim.term(0);
    sim.time(1000);
    leaving_a_group(1001, &mut sim);
    for (signal, continuer, expected) in [
        (Signal::TSTP, Some(Continuer::Init), vec![rest(Signal::CONT)]),
        (Signal::TTIN, Some(Continuer::Init), vec![Action::ContinueInForeground]),
        (Signal::TSTP, Some(Continuer::Shell), vec![Action::SuspendSelf]),
        (Signal::TSTP, None, vec![]),
        (Signal::STOP, Some(Continuer::Init), vec![]),
    ] {
        assert_eq!(sim.all_at(1002, suspended(signal, continuer)), expected);
    }
}

#[test]
fn with_wait_all_the_stop_reaches_the_rest_of_a_suspended_group() {
    let suspended = Event::Suspended { signal: Signal::STOP, continuer: None };
    for wait_all in [WaitAll::Namespace, WaitAll::Children] {
        // The members are signalled with all other processes, because the group receives
        // nothing by itself (in a namespace, nothing else at all).
        let sim = Sim::new(Plan { wait_all: Some(wait_all), ..plan() });
        let mut silent = Sim::new(rewriting(sim.drain.plan.clone(), Signal::TERM, None));
        silent.at(0, suspended);
        assert_eq!(silent.command_ends(1), [everyone(Signal::TERM)]);
    }
    // With a stop command, they are signalled when it has ended.
    let plan = Plan { wait_all: Some(WaitAll::Namespace), stop_cmd: true, ..plan() };
    let mut sim = Sim::new(rewriting(plan, Signal::TERM, None));
    sim.term(0);
    sim.at(1, suspended);
    assert_eq!(sim.command_ends(2), []);
    let failed = Event::HelperEnded(Helper::Stop, Some(Status::Exited(1)));
    assert_eq!(sim.at(3, failed), [everyone(Signal::TERM)]);
}

#[test]
fn a_command_that_a_terminal_suspended_is_continued_if_no_shell_can_continue_it() {
    for signal in STOPS {
        let event = |continuer| Event::Suspended { signal, continuer };
        assert_eq!(Sim::new(plan()).at(0, event(None)), []);
        assert_eq!(Sim::new(plan()).at(0, event(Some(Continuer::Shell))), [Action::SuspendSelf]);
        let own = Sim::new(plan()).at(0, event(Some(Continuer::Init)));
        let expected = if signal == Signal::TSTP { CONT } else { Action::ContinueInForeground };
        assert_eq!(own, [expected]);
    }
    let suspended = Event::Suspended { signal: Signal::STOP, continuer: Some(Continuer::Init) };
    assert_eq!(Sim::new(plan()).at(0, suspended), []);
    let cont = on_terminal(Signal::CONT);
    assert_eq!(Sim::new(plan()).at(0, cont), [Action::PassTerminal, CONT]);
}

#[test]
fn cont_reaches_the_whole_group_if_a_terminal_has_suspended_it() {
    let suspended = |signal| Event::Suspended { signal, continuer: None };
    let alone = |signal| Action::Send(signal, Target::Process);
    let single = Plan { group: false, ..plan() };
    for (signal, expected) in [(Signal::TSTP, CONT), (Signal::STOP, alone(Signal::CONT))] {
        let mut sim = Sim::new(single.clone());
        sim.at(0, suspended(signal));
        assert_eq!(sim.at(1, received(Signal::CONT)), [expected]);
        assert_eq!(sim.at(2, received(Signal::CONT)), [alone(Signal::CONT)]);
        // Once the group was continued for the stop command, CONT goes to COMMAND again.
        let mut sim = Sim::new(Plan { stop_cmd: true, ..single.clone() });
        sim.at(0, suspended(signal));
        assert_eq!(sim.term(1), [expected, Action::Start(Helper::Stop, Signal::TERM)]);
        assert_eq!(sim.at(2, received(Signal::CONT)), [alone(Signal::CONT)]);
    }
}

#[test]
fn a_process_that_drain_init_has_continued_is_not_continued_again() {
    let mut sim = Sim::new(plan());
    let continuer = Some(Continuer::Init);
    let suspended = Event::Suspended { signal: Signal::TSTP, continuer };
    assert_eq!(sim.at(0, suspended), [CONT]);
    assert_eq!(sim.all_at(1, received(Signal::TERM)), deliver(Signal::TERM));
}

#[test]
fn a_stop_signal_continues_remaining_processes_that_were_suspended() {
    let mut sim = Sim::new(Plan { wait_all: Some(WaitAll::Children), ..plan() });
    // With --wait-all, any remaining process may be suspended.
    assert_eq!(sim.all_at(0, received(Signal::TERM)), [send(Signal::TERM), CONT]);
    leaving_a_group(1, &mut sim);
    let term = Action::SendToRemaining { signal: Signal::TERM, received: Some(Signal::TERM) };
    assert_eq!(sim.all_at(2, received(Signal::TERM)), [term, rest(Signal::CONT)]);
}

#[test]
fn a_command_that_a_stop_signal_suspends_again_is_still_continued_by_the_next_one() {
    let stop_signals = SignalSet::of(&[Signal::TERM, Signal::QUIT]);
    let plan = rewriting(Plan { stop_signals, ..plan() }, Signal::QUIT, Some(Signal::STOP));
    let mut sim = Sim::new(plan);
    sim.at(0, Event::Suspended { signal: Signal::STOP, continuer: None });
    assert_eq!(sim.all_at(1, received(Signal::QUIT)), deliver(Signal::STOP));
    assert_eq!(sim.all_at(2, received(Signal::TERM)), [send(Signal::TERM), CONT]);
}

#[test]
fn no_hint_is_given_for_a_signal_that_ends_no_process_by_default() {
    for (event, hinted) in [
        (received(Signal::QUIT), true),
        (received(Signal::URG), false),
        (received(Signal::CONT), false),
        (received(Signal::TSTP), false),
        (received(Signal::WINCH), true),
        (on_terminal(Signal::WINCH), false),
    ] {
        let mut sim = Sim::new(delayed());
        sim.at(0, event);
        sim.command_ends(1);
        let said = sim.said(|message| matches!(message, Message::BypassedDrain(..)));
        assert_eq!(said, hinted, "{event:?}");
    }
}

// ---- any order of events ----

/// Random bytes, by `SplitMix64`.
fn random_bytes(mut seed: u64) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (seed ^ seed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    };
    let length = next() % 200;
    (0..length).map(|_| next().to_le_bytes()[0]).collect()
}

/// A failure prints the seed of its walk. SEED=n begins with that walk.
#[test]
fn on_a_random_walk_the_machine_keeps_the_rules() {
    let given = std::env::var("SEED").ok().map(|seed| seed.parse().expect("SEED is not a number"));
    let first: u64 = given.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    for number in 0..if cfg!(miri) { 3 } else { 20_000 } {
        let seed = first.wrapping_add(number);
        if let Err(broken) = walk(&random_bytes(seed)) {
            panic!("SEED={seed} {broken}");
        }
    }
}
