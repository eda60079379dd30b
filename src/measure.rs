//! `--measure-drain`: how many connections come in each second of a drain. See proc(5).

use nix::errno::Errno;

use crate::drain::Measure;
use crate::report::{Level, Reporter};
use crate::sys;
use crate::text;
use crate::wording::{self, MISSED};

/// How many figures are shown one by one. The line must not exceed 1,024 bytes.
const SHOWN: usize = 60;

/// The new connections of each second.
pub struct Series {
    /// The counter at the last figure. `None` before the first one, and after it went backwards.
    counter: Option<u64>,
    figures: [u64; SHOWN],
    /// How many seconds there were.
    seconds: usize,
    /// The sum of those that are not shown.
    rest: u64,
}

impl Series {
    /// A series without a figure.
    pub(crate) const fn new() -> Self {
        Self { counter: None, figures: [0; SHOWN], seconds: 0, rest: 0 }
    }

    /// Carries out a step.
    pub fn measure(&mut self, step: Measure, reporter: Reporter) {
        let counter = passive_opens();
        match step {
            Measure::Begin => {
                self.counter = counter.ok();
                if let Err(error) = counter {
                    reporter.say(Level::Notice, &|line| {
                        wording::because(line, wording::CANNOT_MEASURE, error)
                    });
                }
            }
            Measure::Passed { secs, ends } => {
                self.pass(secs, ends, counter.ok());
                if ends && self.seconds > 0 {
                    self.report(reporter);
                }
            }
        }
    }

    /// Adds the figures of so many seconds, and with `ends` that of an incomplete one.
    fn pass(&mut self, seconds: u64, ends: bool, counter: Option<u64>) {
        let missed = if seconds > 1 { seconds } else { 0 };
        for _ in 0..missed {
            self.add(None);
        }
        if missed == 0 || ends {
            self.add(counter);
        }
    }

    /// Adds the figure of a second, after which the counter was this. `None`: it was missed, and
    /// its connections count in the next figure.
    fn add(&mut self, counter: Option<u64>) {
        let Some(before) = self.counter else { return };
        let figure = match counter {
            // It goes backwards if it wraps or if the namespace is another one.
            Some(now) if now < before => return self.counter = None,
            Some(now) => now - before,
            None => MISSED,
        };
        self.counter = counter.or(self.counter);
        match self.figures.get_mut(self.seconds) {
            Some(place) => *place = figure,
            None if figure == MISSED => {}
            None => self.rest += figure,
        }
        self.seconds += 1;
    }

    fn report(&self, reporter: Reporter) {
        reporter.say(Level::Notice, &|line| {
            wording::series(line, &self.figures, self.seconds, self.rest)
        });
    }
}

/// How many TCP connections the network namespace has accepted. ENODATA without that counter.
fn passive_opens() -> nix::Result<u64> {
    let mut search = Search::default();
    sys::for_each_byte(c"/proc/net/snmp", &mut |byte| search.add(byte))?;
    search.found.ok_or(Errno::ENODATA)
}

/// Finds the counter: a line that begins with `Tcp:` names the fields, the next such line has
/// their values.
#[derive(Default)]
struct Search {
    /// The current word's first bytes. A name or a number that matters has at most 20.
    word: [u8; 21],
    len: usize,
    /// The place of that word in its line.
    column: usize,
    is_tcp: bool,
    /// The counter's column.
    place: usize,
    found: Option<u64>,
}

impl Search {
    fn add(&mut self, byte: u8) {
        if byte > b' ' {
            if let Some(place) = self.word.get_mut(self.len) {
                *place = byte;
                self.len += 1;
            }
            return;
        }
        let word = &self.word[..self.len];
        if self.column == 0 {
            self.is_tcp = word == b"Tcp:";
        } else if self.is_tcp && word == b"PassiveOpens" {
            self.place = self.column;
        } else if self.is_tcp && self.place == self.column {
            self.found = text::number(word);
        }
        self.len = 0;
        self.column = if byte == b' ' { self.column + 1 } else { 0 };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passive_opens_is_found_by_its_name() {
        let ip = "Ip: PassiveOpens A\nIp: 5 6\n";
        for (text, value) in [
            ("Tcp: ActiveOpens PassiveOpens X\nTcp: 1 23 4\n", Some(23)),
            ("Tcp: PassiveOpens ActiveOpens X\nTcp: 7 23 4\nUdp: A\nUdp: 9\n", Some(7)),
            ("Tcp: MaxConn PassiveOpens\nTcp: -1 18446744073709551615\n", Some(u64::MAX)),
            ("Tcp: A PassiveOpens\nTcp: 1\n", None),
            ("Tcp: A PassiveOpensOfAnUnexpectedKind\nTcp: 1 2\n", None),
            ("Tcp: PassiveOpens\nTcp: 111111111111111111111111111\n", None),
            ("Tcp: PassiveOpens\n", None),
            ("", None),
        ] {
            for text in [text, &format!("{ip}{text}")] {
                let mut search = Search::default();
                text.bytes().for_each(|byte| search.add(byte));
                assert_eq!(search.found, value, "{text}");
            }
        }
    }

    fn series(counters: &[Option<u64>]) -> Vec<u64> {
        let mut series = Series { counter: Some(100), ..Series::new() };
        for &counter in counters {
            series.add(counter);
        }
        series.figures[..series.seconds].to_vec()
    }

    #[test]
    fn a_figure_is_the_difference_of_two_counters() {
        assert_eq!(series(&[Some(131), Some(131), Some(132)]), [31, 0, 1]);
        // The connections of a second that could not be read count in the next figure.
        assert_eq!(series(&[Some(101), None, Some(105)]), [1, MISSED, 4]);
        assert_eq!(series(&[Some(u64::MAX)]), [u64::MAX - 100]);
    }

    #[test]
    fn missed_seconds_have_no_figure() {
        let mut series = Series { counter: Some(0), ..Series::new() };
        for (seconds, ends, counter) in [(1, false, 4), (3, false, 5), (2, true, 7)] {
            series.pass(seconds, ends, Some(counter));
        }
        assert_eq!(
            series.figures[..series.seconds],
            [4, MISSED, MISSED, MISSED, MISSED, MISSED, 3]
        );
        // No incomplete second follows a whole one.
        let mut series = Series { counter: Some(0), ..Series::new() };
        series.pass(1, true, Some(7));
        assert_eq!(series.figures[..series.seconds], [7]);
    }

    #[test]
    fn a_counter_that_goes_backwards_ends_the_series() {
        assert_eq!(series(&[Some(107), Some(3), Some(9), None, Some(300)]), [7]);
        assert_eq!(series(&[Some(99), Some(200)]), [0; 0]);
    }

    #[test]
    fn after_60_figures_the_rest_is_summed_up() {
        let mut series = Series { counter: Some(0), ..Series::new() };
        for second in 1..=70 {
            series.add(Some(second * 2));
        }
        series.add(None);
        assert_eq!((series.seconds, series.rest), (71, 20));
        assert_eq!(series.figures, [2; SHOWN]);
    }
}
