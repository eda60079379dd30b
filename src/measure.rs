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
    figures: [u32; SHOWN],
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
        match step {
            Measure::Begin => match passive_opens() {
                Ok(counter) => self.counter = Some(counter),
                Err(error) => {
                    reporter.say(Level::Notice, &|line| wording::cannot_measure(line, error));
                }
            },
            Measure::Missed(seconds) => {
                for _ in 0..seconds {
                    self.add(MISSED);
                }
            }
            Measure::Figure => self.take(passive_opens().ok()),
            Measure::End => self.report(reporter),
        }
    }

    /// Adds the figure that follows from the counter.
    fn take(&mut self, counter: Option<u64>) {
        match (self.counter, counter) {
            // It goes backwards if it wraps or if the namespace is another one.
            (Some(before), Some(now)) if now < before => self.counter = None,
            (Some(before), Some(now)) => {
                self.add(u32::try_from(now - before).unwrap_or(MISSED - 1));
                self.counter = counter;
            }
            // Its connections count in the next one.
            _ => self.add(MISSED),
        }
    }

    fn add(&mut self, figure: u32) {
        if self.counter.is_none() {
            return;
        }
        match self.figures.get_mut(self.seconds) {
            Some(place) => *place = figure,
            None if figure == MISSED => {}
            None => self.rest += u64::from(figure),
        }
        self.seconds += 1;
    }

    fn report(&self, reporter: Reporter) {
        let shown = self.seconds.min(SHOWN);
        if shown == 0 {
            return;
        }
        let rest = (self.rest, (self.seconds - shown) as u64);
        reporter.say(Level::Notice, &|line| wording::series(line, &self.figures[..shown], rest));
    }
}

/// How many TCP connections the network namespace has accepted. `Err(None)` without that counter.
#[inline(never)] // Only this call needs the buffer on the stack.
fn passive_opens() -> Result<u64, Option<Errno>> {
    // Enough even if all 256 types of ICMP have come, whose counters are before those of TCP.
    let mut buffer = [0; 16 * 1024];
    let snmp = sys::read_file(c"/proc/net/snmp", &mut buffer).map_err(Some)?;
    find_passive_opens(snmp).ok_or(None)
}

/// A line that begins with `Tcp:` names the fields, the next such line has their values.
fn find_passive_opens(snmp: &[u8]) -> Option<u64> {
    let mut place = None;
    for line in text::split(snmp, b'\n') {
        let mut words = text::split(line, b' ');
        match place {
            _ if words.next() != Some(b"Tcp:") => {}
            None => place = Some(words.position(|name| name == b"PassiveOpens")?),
            Some(place) => return text::number(words.nth(place)?),
        }
    }
    None
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
            assert_eq!(find_passive_opens(text.as_bytes()), value, "{text}");
            assert_eq!(find_passive_opens(format!("{ip}{text}").as_bytes()), value, "{text}");
        }
    }

    fn series(counters: &[Option<u64>]) -> Vec<u32> {
        let mut series = Series { counter: Some(100), ..Series::new() };
        for &counter in counters {
            series.take(counter);
        }
        series.figures[..series.seconds].to_vec()
    }

    #[test]
    fn a_figure_is_the_difference_of_two_counters() {
        assert_eq!(series(&[Some(131), Some(131), Some(132)]), [31, 0, 1]);
        // The connections of a second that could not be read count in the next figure.
        assert_eq!(series(&[Some(101), None, Some(105)]), [1, MISSED, 4]);
        assert_eq!(series(&[Some(u64::MAX)]), [MISSED - 1]);
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
            series.take(Some(second * 2));
        }
        series.add(MISSED);
        assert_eq!((series.seconds, series.rest), (71, 20));
        assert_eq!(series.figures, [2; SHOWN]);
    }
}
