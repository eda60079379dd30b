//! The events of a run, and the threads that collect them.

use std::io::{self, BufRead as _, BufReader, Read};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use super::{Pid, Place};

#[derive(Debug, Clone)]
pub(super) enum Event {
    /// A probe connected: its name, and its process ID in the test's PID namespace.
    Hello {
        connection: usize,
        name: String,
        pid: Pid,
        text: String,
    },
    /// A probe sent this line.
    Said {
        connection: usize,
        line: String,
    },
    /// A probe's connection is closed: the probe has exited, and so have all forks
    /// that share the connection.
    Gone {
        connection: usize,
    },
    Stderr(String),
    Stdout(String),
    /// End of file on an output: no process holds it open any more.
    OutputEnded {
        stdout: bool,
    },
    /// The child of the test was stopped by this signal.
    Stopped(i32),
    Continued,
    Ended(i32),
}

pub(super) struct Connection {
    pub(super) id: usize,
    pub(super) name: String,
    pub(super) pid: Pid,
    pub(super) hello: Vec<i32>,
    pub(super) stream: Option<UnixStream>,
}

pub(super) type Stamped = (Instant, Event, Option<UnixStream>);

pub(super) fn accept(listener: Arc<UnixListener>, events: Sender<Stamped>) {
    thread::spawn(move || {
        for (connection, stream) in listener.incoming().enumerate() {
            let Ok(stream) = stream else { return };
            let pid = peer(&stream);
            let events = events.clone();
            thread::spawn(move || serve(connection, &stream, pid, &events));
        }
    });
}

fn serve(connection: usize, stream: &UnixStream, pid: Pid, events: &Sender<Stamped>) {
    for line in BufReader::new(stream).lines() {
        let Ok(line) = line else { break };
        let (event, back) = match line.strip_prefix("hello ") {
            Some(text) => {
                let (name, text) = text.split_once(' ').unwrap();
                let (name, text) = (name.to_string(), text.to_string());
                (Event::Hello { connection, name, pid, text }, stream.try_clone().ok())
            }
            None => (Event::Said { connection, line }, None),
        };
        if events.send((Instant::now(), event, back)).is_err() {
            // The test has ended.
            let _ = stream.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
    let _ = events.send((Instant::now(), Event::Gone { connection }, None));
}

/// The process ID of the other side, as seen from this PID namespace.
fn peer(stream: &UnixStream) -> Pid {
    let mut cred = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut size = libc::socklen_t::try_from(size_of_val(&cred)).unwrap();
    // SAFETY: cred and its size are valid.
    unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut cred).cast(),
            &raw mut size,
        )
    };
    cred.pid
}

pub(super) fn read_lines(
    pipe: impl Read + Send + 'static,
    events: Sender<Stamped>,
    event: fn(String) -> Event,
    stdout: bool,
) {
    thread::spawn(move || {
        let mut pipe = BufReader::new(pipe);
        loop {
            let mut line = Vec::new();
            match pipe.read_until(b'\n', &mut line) {
                Ok(0) | Err(_) => break,
                Ok(_) => {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    let _ = events.send((Instant::now(), event(line), None));
                }
            }
        }
        let _ = events.send((Instant::now(), Event::OutputEnded { stdout }, None));
    });
}

pub(super) fn watch(pid: Pid, place: Place, events: Sender<Stamped>, ended: Arc<Mutex<bool>>) {
    thread::spawn(move || {
        loop {
            // Look first, then reap under the lock, so that Drop never signals a process
            // ID that may have been reused.
            // SAFETY: all zeros is a valid siginfo_t.
            let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
            let what = libc::WEXITED | libc::WSTOPPED | libc::WCONTINUED;
            // SAFETY: info is valid.
            let found = unsafe {
                libc::waitid(libc::P_PID, pid.unsigned_abs(), &raw mut info, what | libc::WNOWAIT)
            };
            if found != 0 {
                if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted {
                    continue;
                }
                return;
            }
            let mut guard = ended.lock().unwrap();
            let mut status = 0;
            // SAFETY: status is valid.
            unsafe {
                libc::waitpid(pid, &raw mut status, libc::WUNTRACED | libc::WCONTINUED);
            }
            let event = if libc::WIFSTOPPED(status) {
                Event::Stopped(libc::WSTOPSIG(status))
            } else if libc::WIFCONTINUED(status) {
                Event::Continued
            } else {
                *guard = true;
                let status = ExitStatus::from_raw(status);
                Event::Ended(status.code().unwrap_or_else(|| -status.signal().unwrap()))
            };
            let over = *guard;
            drop(guard);
            if place == Place::Ordinary || over {
                let _ = events.send((Instant::now(), event, None));
            }
            if over {
                return;
            }
        }
    });
}
