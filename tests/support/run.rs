//! A running init: waiting for its events, and sending orders to its probes.

use std::fmt::{Debug, Write as _};
use std::fs;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::events::{Connection, Event, Stamped};
use super::{
    Pid, Place, SIGCHLD, SIGKILL, SIGWINCH, TempDir, descendants, kill, patience, stat, until,
    without_init,
};

/// A running init.
pub struct Run {
    pub(super) init: PathBuf,
    pub(super) listener: Arc<UnixListener>,
    pub(super) dir: Arc<TempDir>,
    pub(super) place: Place,
    pub(super) wrapped: bool,
    pub(super) child: Pid,
    pub(super) ended: Arc<Mutex<bool>>,
    pub(super) receiver: Receiver<Stamped>,
    pub(super) seen: Vec<(Instant, Event)>,
    /// For each of `seen`, whether a wait has consumed it.
    pub(super) used: Vec<bool>,
    pub(super) connections: Vec<Connection>,
    /// The terminal's other end.
    pub master: Option<OwnedFd>,
}

impl Run {
    fn take(&mut self, (at, event, stream): Stamped) {
        if let Event::Hello { connection, name, pid, text } = &event {
            self.connections.push(Connection {
                id: *connection,
                name: name.clone(),
                pid: *pid,
                hello: text.split(' ').map(|n| n.parse().unwrap()).collect(),
                stream,
            });
        }
        self.seen.push((at, event));
        self.used.push(false);
    }

    /// Waits for the first matching event that no wait has consumed. Other events that
    /// arrive meanwhile are kept.
    fn wait_event(&mut self, what: &dyn Debug, fits: &dyn Fn(&Self, &Event) -> bool) -> Instant {
        let deadline = Instant::now() + patience();
        let mut next = 0;
        loop {
            while next < self.seen.len() {
                if !self.used[next] && fits(self, &self.seen[next].1) {
                    self.used[next] = true;
                    return self.seen[next].0;
                }
                next += 1;
            }
            self.take_next(what, deadline);
        }
    }

    /// Waits for one more event.
    fn take_next(&mut self, what: &dyn Debug, deadline: Instant) {
        match self.receiver.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(event) => self.take(event),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                panic!("waited for {what:?}; seen:\n{}", self.story())
            }
        }
    }

    /// Takes all events that have already arrived.
    fn catch_up(&mut self) {
        while let Ok(event) = self.receiver.try_recv() {
            self.take(event);
        }
    }

    /// The init and all its events so far, for a failure message.
    pub fn story(&self) -> String {
        let mut story = format!("  {}:\n", self.init.display());
        let start = self.seen.first().map(|s| s.0);
        for (at, event) in &self.seen {
            let ms = at.duration_since(start.unwrap()).as_millis();
            let name = |id: usize| self.name_of(id).unwrap_or("?");
            let _ = match event {
                Event::Said { connection, line } => {
                    writeln!(story, "  {ms:5} ms {}: {line}", name(*connection))
                }
                Event::Gone { connection } => {
                    writeln!(story, "  {ms:5} ms {}: gone", name(*connection))
                }
                other => writeln!(story, "  {ms:5} ms {other:?}"),
            };
        }
        story
    }

    fn name_of(&self, id: usize) -> Option<&str> {
        self.connections.iter().find(|c| c.id == id).map(|c| c.name.as_str())
    }

    fn connection(&mut self, name: &str) -> &Connection {
        if !self.connections.iter().any(|c| c.name == name) {
            let what = format!("hello of {name}");
            self.wait_event(&what, &|_, e| matches!(e, Event::Hello { name: n, .. } if n == name));
        }
        self.connections.iter().rfind(|c| c.name == name).unwrap()
    }

    /// The names of all probes that have connected so far.
    pub fn names(&mut self) -> Vec<String> {
        self.catch_up();
        self.connections.iter().map(|c| c.name.clone()).collect()
    }

    /// A probe's process ID in the test's PID namespace.
    pub fn pid_of(&mut self, name: &str) -> Pid {
        self.connection(name).pid
    }

    /// The IDs that a probe reported at its start, in its own PID namespace: process,
    /// parent, group, session.
    pub fn hello(&mut self, name: &str) -> [Pid; 4] {
        let hello = &self.connection(name).hello;
        [hello[0], hello[1], hello[2], hello[3]]
    }

    /// The init's process ID in the test's PID namespace.
    pub fn pid(&mut self) -> Pid {
        if self.place == Place::Ordinary && !self.wrapped {
            return self.child;
        }
        let main = self.pid_of("main");
        if without_init() {
            return main;
        }
        stat(main).unwrap().parent
    }

    /// The process that the test started: the init, or the program that wraps it.
    pub const fn child(&self) -> Pid {
        self.child
    }

    /// Sends a signal to the init.
    pub fn signal(&mut self, signal: i32) {
        let pid = self.pid();
        kill(pid, signal);
    }

    /// Sends a signal to an ordinary init, unless it has exited.
    pub fn try_signal(&self, signal: i32) {
        let ended = self.ended.lock().unwrap();
        if !*ended {
            // SAFETY: it is not reaped, so the number is still its own.
            unsafe { libc::kill(self.child, signal) };
        }
    }

    /// Waits until this probe sends exactly this line.
    pub fn wait(&mut self, name: &str, line: &str) -> Instant {
        let what = format!("{name}: {line}");
        self.wait_event(&what, &|run, event| match event {
            Event::Said { connection, line: said } => {
                said == line && run.name_of(*connection) == Some(name)
            }
            _ => false,
        })
    }

    /// Waits until this probe has received this signal.
    pub fn received(&mut self, name: &str, signal: i32) -> Instant {
        self.wait(name, &format!("signal {signal}"))
    }

    /// Waits until this probe has exited.
    pub fn gone(&mut self, name: &str) -> Instant {
        self.connection(name);
        let what = format!("the end of {name}");
        self.wait_event(&what, &|run, event| match event {
            Event::Gone { connection } => run.name_of(*connection) == Some(name),
            _ => false,
        })
    }

    /// Waits until the init has reaped this probe, which is its child.
    pub fn reaped(&mut self, name: &str) {
        let pid = self.pid_of(name);
        until(&format!("the reaping of {name}"), || stat(pid).is_none());
    }

    /// Every line that this probe has sent so far.
    pub fn said(&mut self, name: &str) -> Vec<String> {
        self.catch_up();
        let lines = self.seen.iter().filter_map(|(_, event)| match event {
            Event::Said { connection, line } if self.name_of(*connection) == Some(name) => {
                Some(line.clone())
            }
            _ => None,
        });
        lines.collect()
    }

    /// The signals that this probe has received so far, in order, without the CHLD of
    /// its own children.
    pub fn signals(&mut self, name: &str) -> Vec<i32> {
        let said = self.said(name);
        let numbers = said.iter().filter_map(|l| l.strip_prefix("signal ")?.parse().ok());
        numbers.filter(|s| *s != SIGCHLD).collect()
    }

    /// The same without CONT, which follows each stop signal of a drain.
    pub fn signals_except_cont(&mut self, name: &str) -> Vec<i32> {
        let mut signals = self.signals(name);
        signals.retain(|signal| *signal != libc::SIGCONT);
        signals
    }

    /// Sends an order to a probe.
    pub fn tell(&mut self, name: &str, order: &str) {
        let mut stream = self.connection(name).stream.as_ref().unwrap();
        stream.write_all(format!("{order}\n").as_bytes()).unwrap();
    }

    /// Waits until a probe has handled everything that was sent to it.
    pub fn ping(&mut self, name: &str) {
        self.tell(name, "ping");
        self.wait(name, "pong");
    }

    /// Asks a probe (see `answer` in probe.rs) and returns the lines of its answer.
    pub fn ask(&mut self, name: &str, question: &str) -> Vec<String> {
        let before = self.said(name).len();
        self.tell(name, &format!("ask {question}"));
        self.wait(name, &format!("end {question}"));
        let prefix = format!("{question} ");
        let said = self.said(name);
        said[before..].iter().filter_map(|l| l.strip_prefix(&prefix).map(String::from)).collect()
    }

    /// Sends a signal that nothing else uses, and waits until COMMAND receives it. By
    /// then the init has handled what was sent before, because lower numbers come first.
    pub fn barrier(&mut self) {
        self.signal(SIGWINCH);
        self.received("main", SIGWINCH);
    }

    /// Waits for a line on stderr that contains this text, and returns it.
    pub fn message(&mut self, text: &str) -> String {
        self.message_at(text).1
    }

    /// The same, with the time of its arrival.
    pub fn message_at(&mut self, text: &str) -> (Instant, String) {
        let what = format!("message: {text}");
        let at = self.wait_event(&what, &|_, e| matches!(e, Event::Stderr(l) if l.contains(text)));
        let line = self.seen.iter().find_map(|(when, event)| match event {
            Event::Stderr(line) if *when == at && line.contains(text) => Some(line.clone()),
            _ => None,
        });
        (at, line.unwrap())
    }

    /// Waits for the message with which a drain begins, and returns it.
    pub fn drain_begins(&mut self) -> String {
        self.message(": draining ")
    }

    /// All of stderr so far.
    pub fn stderr(&mut self) -> String {
        self.catch_up();
        let lines = self.seen.iter().filter_map(|(_, e)| match e {
            Event::Stderr(line) => Some(line.as_str()),
            _ => None,
        });
        lines.collect()
    }

    /// All of stdout so far.
    pub fn stdout(&mut self) -> String {
        self.catch_up();
        let lines = self.seen.iter().filter_map(|(_, e)| match e {
            Event::Stdout(line) => Some(line.as_str()),
            _ => None,
        });
        lines.collect()
    }

    /// Waits until no process can write to stdout or stderr any more.
    pub fn drain_output(&mut self) {
        for wanted in [true, false] {
            let what = format!("end of output (stdout: {wanted})");
            let fits = |_: &Self, e: &Event| matches!(e, Event::OutputEnded { stdout } if *stdout == wanted);
            self.wait_event(&what, &fits);
        }
    }

    /// Waits until the init has exited. Returns its exit status, or the negated number of
    /// the signal that killed it.
    pub fn status(&mut self) -> i32 {
        self.status_at().1
    }

    /// The same, with the time of its exit.
    pub fn status_at(&mut self) -> (Instant, i32) {
        let hosted = self.place == Place::Hosted;
        let fits = move |run: &Self, event: &Event| run.end_in(event, hosted).is_some();
        let at = self.wait_event(&"the init's end", &fits);
        let found =
            self.seen.iter().find(|(when, e)| *when == at && self.end_in(e, hosted).is_some());
        (at, self.end_in(&found.unwrap().1, hosted).unwrap())
    }

    fn end_in(&self, event: &Event, hosted: bool) -> Option<i32> {
        match event {
            Event::Ended(status) if !hosted => Some(*status),
            Event::Said { connection, line } if hosted => {
                if self.name_of(*connection) != Some("host") {
                    return None;
                }
                if let Some(signal) = line.strip_prefix("init killed ") {
                    return Some(-signal.parse::<i32>().unwrap());
                }
                line.strip_prefix("init exited ")?.parse().ok()
            }
            _ => None,
        }
    }

    /// Whether the init has already exited.
    pub fn has_ended(&mut self) -> bool {
        self.catch_up();
        let hosted = self.place == Place::Hosted;
        self.seen.iter().any(|(_, e)| self.end_in(e, hosted).is_some())
    }

    /// Waits until this probe has sent this line, or the init has exited.
    pub fn ended_or(&mut self, name: &str, line: &str) {
        let deadline = Instant::now() + patience();
        let hosted = self.place == Place::Hosted;
        // One pass checks all events for both conditions. An event that arrived between
        // two separate checks would be missed.
        let fits = |run: &Self, event: &Event| match event {
            Event::Said { connection, line: said } if said == line => {
                run.name_of(*connection) == Some(name)
            }
            event => run.end_in(event, hosted).is_some(),
        };
        while !self.seen.iter().any(|(_, event)| fits(self, event)) {
            self.take_next(&format!("{line} or the end"), deadline);
        }
    }

    /// Waits until the init has stopped, as its parent sees it.
    pub fn stopped(&mut self) {
        if self.place == Place::Hosted {
            self.wait("host", "init stopped");
        } else {
            self.wait_event(&"the init's stop", &|_, e| matches!(e, Event::Stopped(_)));
        }
    }

    /// Waits until the init has been continued, as its parent sees it.
    pub fn continued(&mut self) {
        if self.place == Place::Hosted {
            self.wait("host", "init continued");
        } else {
            self.wait_event(&"the init's continuation", &|_, e| matches!(e, Event::Continued));
        }
    }

    /// Whether the init was ever stopped.
    pub fn was_stopped(&mut self) -> bool {
        self.catch_up();
        self.seen.iter().any(|(_, e)| matches!(e, Event::Stopped(_)))
    }

    /// Types on the terminal.
    pub fn type_in(&mut self, bytes: &[u8]) {
        let master = self.master.as_ref().unwrap().try_clone().unwrap();
        fs::File::from(master).write_all(bytes).unwrap();
    }

    /// The terminal's foreground process group.
    pub fn foreground_group(&self) -> Pid {
        nix::unistd::tcgetpgrp(self.master.as_ref().unwrap()).unwrap().as_raw()
    }

    /// Resizes the terminal, as a terminal emulator does.
    pub fn resize(&mut self, rows: u16, columns: u16) {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let master = self.master.as_ref().unwrap().as_raw_fd();
        // SAFETY: the kernel reads one size.
        let done = unsafe { libc::ioctl(master, libc::TIOCSWINSZ, &raw const size) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
    }

    /// A file in this run's own directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path(name)
    }
}

/// Kills all remaining processes, also after a failure.
impl Drop for Run {
    fn drop(&mut self) {
        self.catch_up();
        let left: Vec<Pid> = descendants(self.child);
        {
            let ended = self.ended.lock().unwrap();
            if !*ended {
                // SAFETY: it is not reaped, so the number is still its own.
                unsafe { libc::kill(self.child, SIGKILL) };
            }
        }
        for pid in left {
            // SAFETY: touches no memory.
            unsafe { libc::kill(pid, SIGKILL) };
        }
        // Ends the thread that accepts, which closes the socket.
        // SAFETY: an open descriptor.
        unsafe { libc::shutdown(self.listener.as_raw_fd(), libc::SHUT_RDWR) };
        // Probes exit when their connection is closed. The test, a subreaper, reaps
        // those that lost their init.
        for connection in self.connections.drain(..) {
            if let Some(stream) = connection.stream {
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
            if connection.pid > 0 && connection.pid != self.child {
                let deadline = Instant::now() + Duration::from_secs(2);
                // SAFETY: waits for a child of this process, if it is one.
                while unsafe { libc::waitpid(connection.pid, std::ptr::null_mut(), libc::WNOHANG) }
                    == 0
                    && Instant::now() < deadline
                {
                    thread::yield_now();
                }
            }
        }
    }
}
