use proptest::prelude::*;

use super::*;

const USR1: Signal = Signal::ABRT;
const OK: Status = Status::Exited(0);

/// What a plain command line asks for.
pub(super) fn plan() -> Plan {
    Plan {
        delay: None,
        drain_signal: None,
        drain_cmd: false,
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

/// A machine, and what it said in the last step.
struct Sim {
    drain: Drain,
    messages: Vec<Message>,
}

impl Sim {
    fn new(plan: Plan) -> Self {
        Self { drain: Drain::new(plan), messages: Vec::new() }
    }

    /// What one event at that many milliseconds leads to, less the messages.
    fn at(&mut self, millis: u64, event: Event) -> Vec<Action> {
        self.messages.clear();
        let mut rest = Vec::new();
        self.drain.step(event, ms(millis), &mut |action| match action {
            Action::Report(message) => self.messages.push(message),
            other => rest.push(other),
        });
        rest
    }

    fn term(&mut self, millis: u64) -> Vec<Action> {
        self.at(millis, Event::Received(Signal::TERM))
    }

    fn time(&mut self, millis: u64) -> Vec<Action> {
        self.at(millis, Event::Time)
    }

    fn command_ends(&mut self, millis: u64) -> Vec<Action> {
        self.at(millis, Event::CommandEnded { status: OK, group_left: false })
    }

    fn said(&self, wanted: impl Fn(&Message) -> bool) -> bool {
        self.messages.iter().any(wanted)
    }

    fn deadline(&self) -> Option<u128> {
        self.drain.deadline().map(|deadline| deadline.as_millis())
    }
}

fn rest(signal: Signal) -> Action {
    Action::DeliverToRest { signal, received: None }
}

fn everyone(signal: Signal) -> Action {
    Action::SignalAll { signal, spare_command: false, spare_drain_cmd: false }
}

fn deliver(signal: Signal) -> Vec<Action> {
    vec![Action::Deliver(signal)]
}

// ---- running ----

#[test]
fn without_a_drain_every_signal_is_delivered_at_once() {
    let mut sim = Sim::new(plan());
    for number in (1..=64).filter(|number| *number != 17) {
        let signal = Signal::new(number).unwrap();
        assert_eq!(sim.at(0, Event::Received(signal)), deliver(signal));
    }
    assert_eq!(sim.deadline(), None);
}

#[test]
fn a_signal_is_delivered_as_rewritten() {
    let mut sim = Sim::new(rewriting(plan(), Signal::INT, Some(USR1)));
    assert_eq!(sim.at(0, Event::Received(Signal::INT)), deliver(USR1));
    let mut sim = Sim::new(rewriting(plan(), Signal::INT, None));
    assert_eq!(sim.at(0, Event::Received(Signal::INT)), []);
    assert!(sim.said(|message| *message == Message::NotDelivered(Signal::INT)));
}

#[test]
fn the_end_of_command_is_the_end() {
    let mut sim = Sim::new(plan());
    let status = Status::Killed(Signal::KILL);
    let actions = sim.at(0, Event::CommandEnded { status, group_left: false });
    assert_eq!(actions, [rest(Signal::TERM), Action::Exit(status)]);
    assert_eq!(status.code(), 137);
    assert_eq!(Status::Exited(3).code(), 3);
}

#[test]
fn in_single_mode_nobody_else_is_signalled_at_the_end() {
    let mut sim = Sim::new(Plan { group: false, ..plan() });
    assert_eq!(sim.command_ends(0), [Action::Exit(OK)]);
}

#[test]
fn the_group_gets_term_at_the_end_as_rewritten() {
    let mut sim = Sim::new(rewriting(plan(), Signal::TERM, Some(Signal::QUIT)));
    assert_eq!(sim.command_ends(0), [rest(Signal::QUIT), Action::Exit(OK)]);
    let mut sim = Sim::new(rewriting(plan(), Signal::TERM, None));
    assert_eq!(sim.command_ends(0), [Action::Exit(OK)]);
}

#[test]
fn a_signal_that_bypassed_the_drain_is_reported_for_ten_seconds() {
    let quit = Event::Received(Signal::QUIT);
    let hint = Message::DeliveredWithoutDrain(Signal::QUIT, SignalSet::of(&[Signal::TERM]));
    for (plan, millis, reported) in
        [(delayed(), 9_999, true), (delayed(), 10_000, false), (plan(), 1, false)]
    {
        let mut sim = Sim::new(plan);
        sim.at(0, quit);
        sim.command_ends(millis);
        assert_eq!(sim.said(|message| *message == hint), reported, "{millis}");
    }
    // A signal that was rewritten to 0 was not delivered, and a drain is one.
    let mut sim = Sim::new(rewriting(delayed(), Signal::QUIT, None));
    sim.at(0, quit);
    sim.command_ends(1);
    assert!(!sim.said(|message| matches!(message, Message::DeliveredWithoutDrain(..))));
    let mut sim = Sim::new(delayed());
    sim.at(0, quit);
    sim.term(1);
    sim.command_ends(2);
    assert!(!sim.said(|message| matches!(message, Message::DeliveredWithoutDrain(..))));
}

// ---- draining ----

#[test]
fn a_delay_holds_the_stop_signal_back() {
    let mut sim = Sim::new(delayed());
    assert_eq!(sim.term(500), []);
    let then = Stop::Signal(Signal::TERM);
    let draining = Message::Draining { received: Signal::TERM, delay: Some(ms(1000)), then };
    assert!(sim.said(|message| *message == draining));
    assert_eq!(sim.deadline(), Some(1500));
    assert_eq!(sim.time(1499), []);
    assert_eq!(sim.time(1500), deliver(Signal::TERM));
    let stopping = Message::Stopping { received: Signal::TERM, drained: Some(ms(1000)), then };
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
        assert_eq!(sim.at(10, Event::Received(signal)), []);
        assert!(sim.said(|message| *message == Message::SwallowedDraining(signal)));
        assert_eq!(sim.deadline(), Some(1000));
    }
    // The one that began the drain is delivered.
    assert_eq!(sim.time(1000), deliver(Signal::TERM));
}

#[test]
fn any_of_the_stop_signals_begins_the_drain_and_is_delivered() {
    let stop_signals = SignalSet::of(&[Signal::TERM, Signal::QUIT]);
    let mut sim = Sim::new(Plan { stop_signals, ..delayed() });
    assert_eq!(sim.at(0, Event::Received(Signal::QUIT)), []);
    assert_eq!(sim.time(1000), deliver(Signal::QUIT));
}

#[test]
fn another_signal_is_delivered_in_the_drain() {
    let mut sim = Sim::new(delayed());
    sim.term(0);
    assert_eq!(sim.at(1, Event::Received(Signal::INT)), deliver(Signal::INT));
    assert_eq!(sim.deadline(), Some(1000));
}

#[test]
fn the_end_of_command_ends_the_drain() {
    let mut sim = Sim::new(Plan { stop_cmd: true, ..delayed() });
    sim.term(0);
    assert_eq!(sim.command_ends(100), [rest(Signal::TERM), Action::Exit(OK)]);
    let drained = Some(ms(100));
    let ended = Message::Ended { status: OK, drained, stopped: None, step: true, waits: false };
    assert!(sim.said(|message| *message == ended));
    assert_eq!(sim.deadline(), None);
}

#[test]
fn the_drain_signal_goes_to_command_alone_and_once() {
    let mut sim = Sim::new(rewriting(
        Plan { drain_signal: Some(Signal::TSTP), ..delayed() },
        Signal::TSTP,
        Some(Signal::KILL),
    ));
    assert_eq!(sim.term(0), [Action::DeliverToCommand(Signal::TSTP)]);
    assert_eq!(sim.term(1), []);
    assert_eq!(sim.time(1000), deliver(Signal::TERM));
    assert_eq!(sim.term(1001), deliver(Signal::TERM));
}

#[test]
fn a_drain_signal_without_a_delay_is_followed_by_the_stop_at_once() {
    let mut sim = Sim::new(Plan { drain_signal: Some(USR1), ..plan() });
    assert_eq!(sim.term(0), [Action::DeliverToCommand(USR1), Action::Deliver(Signal::TERM)]);
}

#[test]
fn a_drain_command_beside_a_delay_changes_nothing() {
    let start = Action::Start(Helper::Drain, Signal::TERM);
    for (event, failure) in [
        (Event::HelperEnded(Helper::Drain, OK), false),
        (Event::HelperEnded(Helper::Drain, Status::Exited(1)), true),
        (Event::HelperNotStarted(Helper::Drain), false),
    ] {
        let mut sim = Sim::new(Plan { drain_cmd: true, ..delayed() });
        assert_eq!(sim.term(0), [start]);
        assert_eq!(sim.at(1, event), []);
        assert_eq!(sim.said(|message| matches!(message, Message::HelperFailed(..))), failure);
        assert_eq!(sim.deadline(), Some(1000));
        assert_eq!(sim.time(1000), deliver(Signal::TERM));
    }
}

#[test]
fn without_a_delay_the_drain_lasts_as_long_as_the_drain_command() {
    for event in [
        Event::HelperEnded(Helper::Drain, OK),
        Event::HelperEnded(Helper::Drain, Status::Killed(USR1)),
        Event::HelperNotStarted(Helper::Drain),
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
fn a_drain_command_that_still_runs_gets_term_when_command_has_ended() {
    let term = Action::SignalHelper(Helper::Drain, Signal::TERM);
    let mut sim = Sim::new(Plan { drain_cmd: true, ..delayed() });
    sim.term(0);
    assert_eq!(sim.command_ends(1), [term, rest(Signal::TERM), Action::Exit(OK)]);
    // In the stop, too.
    let mut sim = Sim::new(Plan { drain_cmd: true, ..delayed() });
    sim.term(0);
    sim.time(1000);
    assert_eq!(sim.command_ends(1001), [term, Action::Exit(OK)]);
    // Not after its end.
    let mut sim = Sim::new(Plan { drain_cmd: true, ..delayed() });
    sim.term(0);
    sim.at(1, Event::HelperEnded(Helper::Drain, OK));
    assert_eq!(sim.command_ends(2), [rest(Signal::TERM), Action::Exit(OK)]);
}

#[test]
fn a_drain_command_that_the_end_of_command_cut_short_did_not_fail() {
    let mut sim =
        Sim::new(Plan { drain_cmd: true, wait_all: Some(WaitAll::Children), ..delayed() });
    sim.term(0);
    sim.command_ends(1);
    sim.at(2, Event::HelperEnded(Helper::Drain, Status::Killed(Signal::TERM)));
    assert!(!sim.said(|message| matches!(message, Message::HelperFailed(..))));
}

// ---- stopping ----

#[test]
fn the_stop_command_runs_in_the_signals_place() {
    let mut sim = Sim::new(Plan { stop_cmd: true, ..delayed() });
    sim.term(0);
    assert_eq!(sim.time(1000), [Action::Start(Helper::Stop, Signal::TERM)]);
    assert_eq!(sim.at(1100, Event::HelperEnded(Helper::Stop, OK)), []);
    assert!(sim.said(|message| *message == Message::HelperSucceeded(Helper::Stop)));
    assert_eq!(sim.command_ends(1200), [rest(Signal::TERM), Action::Exit(OK)]);
    let stopped = Some((Cause::StopCommand, ms(200)));
    let ended = Message::Ended { status: OK, drained: None, stopped, step: true, waits: false };
    assert!(sim.said(|message| *message == ended));
}

#[test]
fn a_stop_command_alone_starts_at_once() {
    let mut sim = Sim::new(Plan { stop_cmd: true, ..plan() });
    assert_eq!(sim.term(0), [Action::Start(Helper::Stop, Signal::TERM)]);
}

#[test]
fn stop_signals_are_swallowed_while_the_stop_command_runs_and_delivered_afterwards() {
    let mut sim = Sim::new(Plan { stop_cmd: true, ..plan() });
    sim.term(0);
    assert_eq!(sim.term(1), []);
    assert!(sim.said(|message| *message == Message::SwallowedStopping(Signal::TERM)));
    assert_eq!(sim.at(1, Event::Received(Signal::INT)), deliver(Signal::INT));
    sim.at(2, Event::HelperEnded(Helper::Stop, OK));
    assert_eq!(sim.term(3), deliver(Signal::TERM));
}

#[test]
fn a_failed_stop_command_is_followed_by_the_signal() {
    for event in [
        Event::HelperEnded(Helper::Stop, Status::Exited(1)),
        Event::HelperEnded(Helper::Stop, Status::Killed(Signal::KILL)),
        Event::HelperNotStarted(Helper::Stop),
    ] {
        for (rewrite, delivered) in [(Some(Signal::QUIT), Signal::QUIT), (None, Signal::TERM)] {
            let plan = rewriting(Plan { stop_cmd: true, ..plan() }, Signal::TERM, rewrite);
            let mut sim = Sim::new(plan);
            sim.term(0);
            assert_eq!(sim.at(1, event), deliver(delivered));
            assert!(sim.said(|message| *message == Message::DeliveredAfterAll(delivered)));
            sim.command_ends(3);
            let stopped = Some((Cause::Signal(delivered), ms(2)));
            let ended =
                Message::Ended { status: OK, drained: None, stopped, step: true, waits: false };
            assert!(sim.said(|message| *message == ended));
        }
    }
}

#[test]
fn a_stop_signal_that_is_rewritten_to_0_stops_nothing_and_says_so() {
    let mut sim = Sim::new(rewriting(delayed(), Signal::TERM, None));
    sim.term(0);
    assert_eq!(sim.time(1000), []);
    let then = Stop::Nothing(Signal::TERM);
    assert!(
        sim.said(
            |message| matches!(message, Message::Stopping { then: next, .. } if *next == then)
        )
    );
    let mut sim = Sim::new(rewriting(plan(), Signal::TERM, None));
    assert_eq!(sim.term(0), []);
    assert!(sim.said(|message| *message == Message::NotDelivered(Signal::TERM)));
}

#[test]
fn what_stopped_command_is_the_last_stop_signal_and_no_other_signal() {
    let stop_signals = SignalSet::of(&[Signal::TERM, Signal::QUIT]);
    let ended = |sim: &Sim| {
        let ended = sim.messages.iter().find_map(|message| match message {
            Message::Ended { stopped, .. } => Some(*stopped),
            _ => None,
        });
        ended.unwrap()
    };
    let mut sim = Sim::new(Plan { stop_signals, ..plan() });
    sim.term(0);
    assert_eq!(sim.at(300, Event::Received(Signal::HUP)), deliver(Signal::HUP));
    sim.command_ends(1000);
    assert_eq!(ended(&sim), Some((Cause::Signal(Signal::TERM), ms(1000))));

    let mut sim = Sim::new(Plan { stop_signals, ..plan() });
    sim.term(0);
    assert_eq!(sim.at(300, Event::Received(Signal::QUIT)), deliver(Signal::QUIT));
    sim.command_ends(1000);
    assert_eq!(ended(&sim), Some((Cause::Signal(Signal::QUIT), ms(700))));
}

// ---- ended ----

#[test]
fn a_stop_command_that_still_runs_is_waited_for() {
    let mut sim = Sim::new(Plan { stop_cmd: true, ..plan() });
    sim.term(0);
    assert_eq!(sim.command_ends(1), [rest(Signal::TERM)]);
    assert_eq!(sim.deadline(), None);
    let failed = Event::HelperEnded(Helper::Stop, Status::Exited(1));
    assert_eq!(sim.at(2, failed), [Action::Exit(OK)]);
    assert!(sim.said(|message| matches!(message, Message::HelperFailed(..))));
}

#[test]
fn a_signal_after_the_end_goes_to_what_is_left_of_the_group_or_is_dropped() {
    let mut sim = Sim::new(Plan { stop_cmd: true, ..plan() });
    sim.term(0);
    sim.command_ends(1);
    for signal in [Signal::TERM, Signal::INT] {
        let to_rest = Action::DeliverToRest { signal, received: Some(signal) };
        assert_eq!(sim.at(2, Event::Received(signal)), [to_rest]);
    }
    let mut sim = Sim::new(Plan { stop_cmd: true, group: false, ..plan() });
    sim.term(0);
    sim.command_ends(1);
    assert_eq!(sim.term(2), []);
    assert!(sim.said(|message| *message == Message::Dropped(Signal::TERM)));
}

#[test]
fn with_wait_all_as_pid_1_every_process_gets_term_once_and_every_child_is_waited_for() {
    let mut sim = Sim::new(Plan { wait_all: Some(WaitAll::Namespace), ..plan() });
    assert_eq!(sim.at(0, Event::NoChildren), []);
    assert_eq!(sim.command_ends(0), [everyone(Signal::TERM)]);
    assert_eq!(sim.time(1), []);
    assert_eq!(sim.at(2, Event::NoChildren), [Action::Exit(OK)]);
}

#[test]
fn with_wait_all_as_pid_1_term_is_plain_though_the_group_gets_it_rewritten() {
    let plan = Plan { wait_all: Some(WaitAll::Namespace), ..plan() };
    let mut sim = Sim::new(rewriting(plan, Signal::TERM, Some(Signal::QUIT)));
    let others =
        Action::SignalAll { signal: Signal::TERM, spare_command: true, spare_drain_cmd: false };
    assert_eq!(sim.command_ends(0), [rest(Signal::QUIT), others]);
}

#[test]
fn with_wait_all_as_pid_1_the_stop_command_ends_in_peace() {
    let plan = Plan { wait_all: Some(WaitAll::Namespace), stop_cmd: true, ..plan() };
    let mut sim = Sim::new(plan);
    sim.term(0);
    assert_eq!(sim.command_ends(1), [rest(Signal::TERM)]);
    assert_eq!(sim.at(1, Event::NoChildren), []);
    let others =
        Action::SignalAll { signal: Signal::TERM, spare_command: true, spare_drain_cmd: false };
    assert_eq!(sim.at(2, Event::HelperEnded(Helper::Stop, OK)), [others]);
    assert_eq!(sim.at(2, Event::NoChildren), [Action::Exit(OK)]);
}

#[test]
fn with_wait_all_otherwise_the_group_gets_term_and_every_child_is_waited_for() {
    let mut sim = Sim::new(Plan { wait_all: Some(WaitAll::Children), ..plan() });
    let others =
        Action::SignalAll { signal: Signal::TERM, spare_command: true, spare_drain_cmd: false };
    assert_eq!(sim.command_ends(0), [rest(Signal::TERM), others]);
    // Whom it adopts later is told, too.
    assert_eq!(sim.at(1, Event::Reaped), [others]);
    assert_eq!(sim.at(2, Event::NoChildren), [Action::Exit(OK)]);
}

// ---- kill-after ----

fn killing(mut plan: Plan) -> Plan {
    plan.kill_after = Some(ms(500));
    plan
}

const HELPERS_KILLED: [Action; 2] = [
    Action::SignalHelper(Helper::Drain, Signal::KILL),
    Action::SignalHelper(Helper::Stop, Signal::KILL),
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
    assert_eq!(sim.time(1500), killed(Action::Deliver(Signal::KILL)));
    assert!(sim.said(|message| *message == Message::Killing(ms(500))));
    assert_eq!(sim.deadline(), None);
    assert_eq!(sim.time(9999), []);
}

#[test]
fn kill_after_works_without_a_drain_and_where_nothing_is_delivered() {
    let mut sim = Sim::new(rewriting(killing(plan()), Signal::TERM, None));
    sim.at(0, Event::Received(Signal::INT));
    assert_eq!(sim.deadline(), None);
    assert_eq!(sim.term(100), []);
    assert_eq!(sim.time(600), killed(Action::Deliver(Signal::KILL)));
}

#[test]
fn the_clock_of_kill_after_starts_at_the_end_of_command_if_that_is_earlier() {
    let mut sim = Sim::new(killing(Plan { wait_all: Some(WaitAll::Children), ..plan() }));
    sim.command_ends(100);
    assert_eq!(sim.deadline(), Some(600));
    let all = [killed(rest(Signal::KILL)), vec![everyone(Signal::KILL)]].concat();
    assert_eq!(sim.time(600), all);
    // It had started: it runs on.
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
fn what_would_get_term_later_gets_kill() {
    let mut sim = Sim::new(killing(Plan { drain_cmd: true, ..delayed() }));
    sim.term(0);
    sim.time(1000);
    sim.time(1500);
    let kill_drain_cmd = Action::SignalHelper(Helper::Drain, Signal::KILL);
    let exit = Action::Exit(OK);
    assert_eq!(sim.command_ends(1501), [kill_drain_cmd, rest(Signal::KILL), exit]);

    let mut sim = Sim::new(killing(Plan { wait_all: Some(WaitAll::Namespace), ..plan() }));
    sim.term(0);
    sim.time(500);
    assert_eq!(sim.command_ends(501), [everyone(Signal::KILL)]);
}

#[test]
fn whom_command_leaves_gets_kill_at_once_though_the_killed_stop_command_was_not_reaped_yet() {
    let plan = Plan { stop_cmd: true, group: false, ..killing(plan()) };
    let mut sim = Sim::new(Plan { wait_all: Some(WaitAll::Children), ..plan });
    sim.term(0);
    sim.time(500);
    assert_eq!(sim.command_ends(501), [everyone(Signal::KILL)]);
    assert_eq!(sim.at(501, Event::Reaped), [everyone(Signal::KILL)]);
    let killed = Event::HelperEnded(Helper::Stop, Status::Killed(Signal::KILL));
    assert_eq!(sim.at(502, killed), [everyone(Signal::KILL)]);
    assert_eq!(sim.at(502, Event::NoChildren), [Action::Exit(OK)]);
}

#[test]
fn a_stop_command_that_kill_after_killed_is_followed_by_no_signal() {
    let mut sim = Sim::new(killing(Plan { stop_cmd: true, ..plan() }));
    sim.term(0);
    sim.time(500);
    let event = Event::HelperEnded(Helper::Stop, Status::Killed(Signal::KILL));
    assert_eq!(sim.at(501, event), []);
}

#[test]
fn deadlines_that_passed_while_stopped_are_acted_on_late_and_in_their_order() {
    let mut sim = Sim::new(killing(delayed()));
    sim.term(0);
    // Much later than both would have been: the kill clock starts only now.
    assert_eq!(sim.time(60_000), deliver(Signal::TERM));
    assert_eq!(sim.deadline(), Some(60_500));
}

// ---- the group, and who was told ----

fn leaving_a_group(millis: u64, sim: &mut Sim) -> Vec<Action> {
    sim.at(millis, Event::CommandEnded { status: OK, group_left: true })
}

fn waits(sim: &Sim) -> bool {
    sim.said(|message| matches!(message, Message::Ended { waits: true, .. }))
}

#[test]
fn after_a_drain_what_is_left_of_the_group_is_waited_for_and_not_told_again() {
    let mut sim = Sim::new(delayed());
    sim.term(0);
    sim.time(1000);
    assert_eq!(leaving_a_group(1001, &mut sim), []);
    assert!(waits(&sim) && sim.drain.waits_for_group());
    assert_eq!(sim.at(1002, Event::NoChildren), []);
    assert_eq!(sim.at(1003, Event::GroupGone), [Action::Exit(OK)]);
}

#[test]
fn where_a_stop_command_stopped_command_the_rest_is_told_once_and_waited_for() {
    let mut sim = Sim::new(Plan { stop_cmd: true, ..plan() });
    sim.term(0);
    sim.at(1, Event::HelperEnded(Helper::Stop, OK));
    assert_eq!(leaving_a_group(2, &mut sim), [rest(Signal::TERM)]);
    assert_eq!(sim.at(3, Event::GroupGone), [Action::Exit(OK)]);
    // While the stop command runs nobody exits.
    let mut sim = Sim::new(Plan { stop_cmd: true, ..plan() });
    sim.term(0);
    assert_eq!(leaving_a_group(2, &mut sim), [rest(Signal::TERM)]);
    assert_eq!(sim.at(3, Event::GroupGone), []);
    assert_eq!(sim.at(4, Event::HelperEnded(Helper::Stop, OK)), [Action::Exit(OK)]);
}

#[test]
fn a_failed_stop_command_tells_the_group_and_nobody_tells_it_again() {
    let mut sim = Sim::new(Plan { stop_cmd: true, ..plan() });
    sim.term(0);
    let failed = Event::HelperEnded(Helper::Stop, Status::Exited(1));
    assert_eq!(sim.at(1, failed), deliver(Signal::TERM));
    assert_eq!(leaving_a_group(2, &mut sim), []);
}

#[test]
fn without_a_stop_or_a_drain_or_a_group_nobody_is_waited_for() {
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
    // COMMAND alone counts.
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
fn with_wait_all_a_group_that_was_told_is_left_out() {
    for wait_all in [WaitAll::Namespace, WaitAll::Children] {
        for plan in [plan(), delayed()] {
            let mut sim = Sim::new(Plan { wait_all: Some(wait_all), ..plan });
            sim.term(0);
            sim.time(1000);
            let others = Action::SignalAll {
                signal: Signal::TERM,
                spare_command: true,
                spare_drain_cmd: false,
            };
            assert_eq!(sim.command_ends(1001), [others]);
            assert_eq!(sim.at(1002, Event::NoChildren), [Action::Exit(OK)]);
        }
    }
}

#[test]
fn what_the_rest_gets_while_the_stop_command_still_runs_counts_when_everybody_is_told() {
    let stop_signals = SignalSet::of(&[Signal::TERM, Signal::QUIT]);
    let plan = Plan { stop_signals, wait_all: Some(WaitAll::Namespace), ..plan() };
    let plan = rewriting(Plan { stop_cmd: true, ..plan }, Signal::TERM, None);
    let stop_cmd_ends = Event::HelperEnded(Helper::Stop, OK);
    let ended = || {
        let mut sim = Sim::new(plan.clone());
        sim.term(0);
        assert_eq!(leaving_a_group(1, &mut sim), []);
        sim
    };
    // Another stop signal told it.
    let mut sim = ended();
    sim.at(2, Event::Received(Signal::QUIT));
    let others =
        Action::SignalAll { signal: Signal::TERM, spare_command: true, spare_drain_cmd: false };
    assert_eq!(sim.at(3, stop_cmd_ends), [others]);
    // It was suspended, and perhaps continued.
    let mut sim = ended();
    sim.at(2, Event::ReceivedOnTerminal(Signal::TSTP));
    assert_eq!(sim.at(3, stop_cmd_ends), [everyone(Signal::TERM), rest(Signal::CONT)]);
    let mut sim = ended();
    sim.at(2, Event::ReceivedOnTerminal(Signal::TSTP));
    sim.at(2, Event::ReceivedOnTerminal(Signal::CONT));
    assert_eq!(sim.at(3, stop_cmd_ends), [everyone(Signal::TERM)]);
}

#[test]
fn a_drain_command_that_was_told_is_left_out_too() {
    let plan = Plan { drain_cmd: true, stop_cmd: true, ..delayed() };
    let mut sim = Sim::new(Plan { wait_all: Some(WaitAll::Namespace), ..plan });
    sim.term(0);
    sim.time(1000);
    let term = Action::SignalHelper(Helper::Drain, Signal::TERM);
    assert_eq!(sim.command_ends(1001), [term, rest(Signal::TERM)]);
    let others =
        Action::SignalAll { signal: Signal::TERM, spare_command: true, spare_drain_cmd: true };
    assert_eq!(sim.at(1002, Event::HelperEnded(Helper::Stop, OK)), [others]);
}

// ---- job control ----

const STOPS: [Signal; 3] = [Signal::TSTP, Signal::TTIN, Signal::TTOU];
const CONT: Action = Action::Deliver(Signal::CONT);

#[test]
fn without_a_terminal_the_signals_of_job_control_are_delivered_as_they_are() {
    for signal in STOPS {
        assert_eq!(Sim::new(plan()).at(0, Event::Received(signal)), deliver(signal));
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
        let event = Event::ReceivedOnTerminal(signal);
        let expected = [Action::Deliver(Signal::STOP), Action::Suspend];
        assert_eq!(Sim::new(plan()).at(0, event), expected);
        let mut draining = Sim::new(delayed());
        draining.term(0);
        assert_eq!(draining.at(1, event), expected);
        assert_eq!(draining.time(1000), [Action::Deliver(Signal::TERM), CONT]);
        assert_eq!(draining.at(1001, event), expected);
        let to_rest = Action::DeliverToRest { signal: Signal::STOP, received: Some(signal) };
        assert_eq!(ended(plan()).at(1, event), [to_rest, Action::Suspend]);
        let rewritten = Sim::new(rewriting(plan(), signal, None)).at(0, event);
        assert_eq!(rewritten, [Action::Suspend]);
        let single = Sim::new(Plan { group: false, ..plan() }).at(0, event);
        assert_eq!(single, [Action::Deliver(signal), Action::Suspend]);
        let single = ended(Plan { group: false, ..plan() }).at(1, event);
        assert_eq!(single, [Action::Suspend]);
    }
}

#[test]
fn a_stop_reaches_a_command_that_is_suspended() {
    let stopped = Event::CommandStopped { signal: Signal::STOP, job: None };
    let mut sim = Sim::new(plan());
    assert_eq!(sim.at(0, stopped), []);
    assert_eq!(sim.term(1), [Action::Deliver(Signal::TERM), CONT]);
    assert_eq!(sim.term(2), deliver(Signal::TERM));
    // Before the stop command, which may ask it to do something.
    let mut sim = Sim::new(Plan { stop_cmd: true, ..plan() });
    sim.at(0, stopped);
    assert_eq!(sim.term(1), [CONT, Action::Start(Helper::Stop, Signal::TERM)]);
    // Not where it goes on already.
    for event in [Event::CommandContinued, Event::Received(Signal::CONT)] {
        let mut sim = Sim::new(plan());
        sim.at(0, stopped);
        sim.at(1, event);
        assert_eq!(sim.term(2), deliver(Signal::TERM));
    }
}

#[test]
fn with_wait_all_the_stop_reaches_what_is_left_of_a_suspended_group() {
    let stopped = Event::CommandStopped { signal: Signal::STOP, job: None };
    for wait_all in [WaitAll::Namespace, WaitAll::Children] {
        // Told with everybody, as the group would get nothing (in a namespace
        // nothing else).
        let mut sim = Sim::new(Plan { wait_all: Some(wait_all), ..plan() });
        let mut silent = Sim::new(rewriting(sim.drain.plan.clone(), Signal::TERM, None));
        silent.at(0, stopped);
        assert_eq!(silent.command_ends(1), [everyone(Signal::TERM), rest(Signal::CONT)]);
        sim.at(0, stopped);
        let ended = sim.command_ends(1);
        let conts = ended.iter().filter(|action| **action == rest(Signal::CONT)).count();
        assert_eq!(conts, 1, "{ended:?}");
    }
    // The stop command was to end first.
    let plan = Plan { wait_all: Some(WaitAll::Namespace), stop_cmd: true, ..plan() };
    let mut sim = Sim::new(rewriting(plan, Signal::TERM, None));
    sim.term(0);
    sim.at(1, stopped);
    assert_eq!(sim.command_ends(2), []);
    let failed = Event::HelperEnded(Helper::Stop, Status::Exited(1));
    assert_eq!(sim.at(3, failed), [everyone(Signal::TERM), rest(Signal::CONT)]);
}

#[test]
fn a_command_that_a_terminal_stopped_goes_on_where_nobody_else_can_continue_it() {
    for signal in STOPS {
        let event = |job| Event::CommandStopped { signal, job };
        assert_eq!(Sim::new(plan()).at(0, event(None)), []);
        assert_eq!(Sim::new(plan()).at(0, event(Some(Job::Shells))), [Action::Suspend]);
        let own = Sim::new(plan()).at(0, event(Some(Job::Own)));
        let expected = if signal == Signal::TSTP { CONT } else { Action::ContinueInForeground };
        assert_eq!(own, [expected]);
    }
    let stopped = Event::CommandStopped { signal: Signal::STOP, job: Some(Job::Own) };
    assert_eq!(Sim::new(plan()).at(0, stopped), []);
    let cont = Event::ReceivedOnTerminal(Signal::CONT);
    assert_eq!(Sim::new(plan()).at(0, cont), [Action::HandTerminalOn, CONT]);
}

#[test]
fn no_hint_is_given_for_what_ends_no_process_by_itself() {
    for (event, hinted) in [
        (Event::Received(Signal::QUIT), true),
        (Event::Received(Signal::URG), false),
        (Event::Received(Signal::CONT), false),
        (Event::Received(Signal::TSTP), false),
        (Event::Received(Signal::WINCH), true),
        (Event::ReceivedOnTerminal(Signal::WINCH), false),
    ] {
        let mut sim = Sim::new(delayed());
        sim.at(0, event);
        sim.command_ends(1);
        let said = sim.said(|message| matches!(message, Message::DeliveredWithoutDrain(..)));
        assert_eq!(said, hinted, "{event:?}");
    }
}

// ---- any order of events ----

fn any_signal() -> impl Strategy<Value = Signal> {
    prop_oneof![
        3 => Just(Signal::TERM),
        1 => Just(Signal::INT),
        1 => Just(Signal::TSTP),
        1 => (1..=64_i32)
            .prop_filter("never CHLD", |number| *number != 17)
            .prop_map(|number| Signal::new(number).unwrap()),
    ]
}

fn any_plan() -> impl Strategy<Value = Plan> {
    let duration = || prop::option::of((1..5_000_u64).prop_map(ms));
    (
        (duration(), duration(), prop::option::of(any_signal())),
        (any::<bool>(), any::<bool>(), any::<bool>()),
        prop::collection::vec((any_signal(), prop::option::of(any_signal())), 0..4),
        prop::collection::vec(any_signal(), 0..2),
        prop_oneof![Just(None), Just(Some(WaitAll::Namespace)), Just(Some(WaitAll::Children))],
    )
        .prop_map(
            |((delay, kill_after, drain_signal), flags, rewrites, stop_signals, wait_all)| {
                let (drain_cmd, stop_cmd, group) = flags;
                let mut plan = Plan {
                    delay,
                    drain_signal,
                    drain_cmd,
                    stop_cmd,
                    kill_after,
                    group,
                    wait_all,
                    ..plan()
                };
                for (received, replacement) in rewrites {
                    plan.rewrites.set(received, replacement);
                }
                for signal in stop_signals {
                    plan.stop_signals.insert(signal);
                }
                plan
            },
        )
}

/// What the world does next, if it can: it lets time pass, sends a signal, ends
/// a process.
#[derive(Clone, Copy, Debug)]
enum Move {
    Wait(u16),
    Send(Signal),
    EndCommand(u8),
    EndHelper(Helper, u8),
}

fn any_move() -> impl Strategy<Value = Move> {
    let helper = prop_oneof![Just(Helper::Drain), Just(Helper::Stop)];
    prop_oneof![
        4 => any::<u16>().prop_map(|millis| Move::Wait(millis % 3_000)),
        4 => any_signal().prop_map(Move::Send),
        1 => any::<u8>().prop_map(Move::EndCommand),
        2 => (helper, 0..2_u8).prop_map(|(helper, code)| Move::EndHelper(helper, code)),
    ]
}

/// A world that plays by the rules, and checks those of the machine.
struct World {
    drain: Drain,
    plan: Plan,
    now: Duration,
    command_ended: Option<Status>,
    running: [bool; 2],
    starts_fail: bool,
    first_stop: Option<Signal>,
    drain_deadline: Option<Duration>,
    kill_deadline: Option<Duration>,
    stops: u32,
    kills: u32,
    drain_signals: u32,
    starts: [u32; 2],
    exited: Option<Status>,
}

impl World {
    fn feed(&mut self, event: Event) {
        let mut next = Some(event);
        while let Some(event) = next.take() {
            assert!(self.exited.is_none(), "an event after the exit");
            let swallows = self.swallows(event);
            if let Event::Received(signal) = event
                && self.plan.stop_signals.contains(signal)
                && self.command_ended.is_none()
            {
                self.first_stop.get_or_insert(signal);
            }
            let mut reported = false;
            let mut actions = Vec::new();
            self.drain.step(event, self.now, &mut |action| actions.push(action));
            for action in actions {
                match action {
                    Action::Report(
                        Message::SwallowedDraining(signal) | Message::SwallowedStopping(signal),
                    ) => {
                        assert_eq!(event, Event::Received(signal));
                        reported = true;
                    }
                    other => {
                        let failed = self.carry_out(event, other);
                        next = failed.or(next);
                    }
                }
            }
            assert_eq!(reported, swallows, "swallowed and reported: {event:?}");
            self.check_deadlines();
        }
    }

    /// Whether the event is a stop signal that must be swallowed.
    fn swallows(&self, event: Event) -> bool {
        let Event::Received(signal) = event else { return false };
        let draining = self.first_stop.is_some() && self.stops == 0;
        self.plan.stop_signals.contains(signal)
            && self.command_ended.is_none()
            && (draining || self.running[1])
    }

    fn carry_out(&mut self, event: Event, action: Action) -> Option<Event> {
        match action {
            Action::Deliver(signal) => {
                assert!(self.command_ended.is_none(), "a delivery after COMMAND's exit");
                // The drain's end may deliver KILL, too, where that is the rewrite.
                if signal == Signal::KILL && event == Event::Time && self.stops > 0 {
                    self.kills += 1;
                } else if !matches!(event, Event::Received(received) if !self.plan.stop_signals.contains(received))
                {
                    self.stops += 1;
                }
            }
            Action::DeliverToCommand(signal) => {
                assert!(self.command_ended.is_none(), "a delivery after COMMAND's exit");
                assert_eq!(Some(signal), self.plan.drain_signal);
                self.drain_signals += 1;
            }
            Action::DeliverToRest { .. } => {
                assert!(self.command_ended.is_some() && self.plan.group);
            }
            Action::SignalAll { signal, .. } => {
                assert!(self.plan.wait_all.is_some());
                assert!(
                    signal == Signal::KILL || !self.running[1],
                    "TERM to a stop command that still runs"
                );
            }
            Action::Start(helper, received) => {
                assert_eq!(Some(received), self.first_stop);
                assert!(self.command_ended.is_none());
                self.starts[helper as usize] += 1;
                if helper == Helper::Stop {
                    self.stops += 1;
                }
                if self.starts_fail {
                    return Some(Event::HelperNotStarted(helper));
                }
                self.running[helper as usize] = true;
            }
            Action::Exit(status) => {
                assert_eq!(Some(status), self.command_ended);
                assert!(!self.running[1], "left a stop command behind");
                self.exited = Some(status);
            }
            Action::SignalHelper(..)
            | Action::Suspend
            | Action::HandTerminalOn
            | Action::ContinueInForeground
            | Action::Report(_) => {}
        }
        None
    }

    /// Each deadline is set once and never moves.
    fn check_deadlines(&mut self) {
        if let State::Draining { ends: Some(ends), .. } = self.drain.state {
            assert_eq!(*self.drain_deadline.get_or_insert(ends), ends);
        }
        if let Some(kill_at) = self.drain.kill_at {
            assert_eq!(*self.kill_deadline.get_or_insert(kill_at), kill_at);
        }
        if let Some(deadline) = self.drain.deadline() {
            assert!(deadline > self.now || self.drain.killed, "a deadline was missed");
        }
    }

    fn play(&mut self, next: Move) {
        match next {
            Move::Wait(millis) => self.now += ms(millis.into()),
            Move::EndCommand(code) => {
                if self.command_ended.is_none() {
                    let status = Status::Exited(code);
                    self.command_ended = Some(status);
                    self.feed(Event::CommandEnded { status, group_left: false });
                }
            }
            Move::EndHelper(helper, code) => {
                if core::mem::take(&mut self.running[helper as usize]) {
                    self.feed(Event::HelperEnded(helper, Status::Exited(code)));
                }
            }
            Move::Send(_) => {}
        }
        // As the loop does: the dead, then the time, then the signal.
        if self.exited.is_none() && self.command_ended.is_some() && self.running == [false; 2] {
            self.feed(Event::NoChildren);
        }
        if self.exited.is_none() {
            self.feed(Event::Time);
        }
        if let Move::Send(signal) = next
            && self.exited.is_none()
        {
            self.feed(Event::Received(signal));
        }
        if matches!(self.drain.state, State::Stopping { .. }) && self.stops == 0 {
            // Who asks for nothing gets nothing: that counts as a stop.
            let first = self.first_stop.expect("a stop without a stop signal");
            assert_eq!(self.plan.rewrites.apply(first), None, "a stop that does nothing");
            self.stops = 1;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 3 } else { 2_000 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn for_any_order_of_events_a_stop_signal_ends_in_the_stop_command_or_a_delivery(
        plan in any_plan(),
        moves in prop::collection::vec(any_move(), 0..40),
        starts_fail in prop::bool::weighted(0.2),
    ) {
        let mut world = World {
            drain: Drain::new(plan.clone()),
            plan: plan.clone(),
            now: ms(7),
            command_ended: None,
            running: [false; 2],
            starts_fail,
            first_stop: None,
            drain_deadline: None,
            kill_deadline: None,
            stops: 0,
            kills: 0,
            drain_signals: 0,
            starts: [0; 2],
            exited: None,
        };
        for next in moves {
            if world.exited.is_some() {
                break;
            }
            world.play(next);
        }
        // Then let things take their course: time passes, helpers end.
        if world.exited.is_none() {
            world.play(Move::EndHelper(Helper::Drain, 0));
        }
        for _ in 0..3 {
            if world.exited.is_none() {
                world.play(Move::Wait(10_000));
            }
        }
        if world.first_stop.is_some() && world.command_ended.is_none() {
            prop_assert!(world.stops >= 1, "the stop signal was lost");
            prop_assert_eq!(world.kills, u32::from(
                plan.kill_after.is_some() && plan.wait_all != Some(WaitAll::Namespace)));
        }
        prop_assert!(world.drain_signals <= 1 && world.starts[0] <= 1 && world.starts[1] <= 1);
        // And at last COMMAND and the stop command end: so does the init.
        for next in [Move::EndHelper(Helper::Stop, 0), Move::EndCommand(3), Move::EndHelper(Helper::Drain, 0)] {
            if world.exited.is_none() {
                world.play(next);
            }
        }
        prop_assert_eq!(world.exited, world.command_ended);
        prop_assert!(world.exited.is_some());
    }
}
