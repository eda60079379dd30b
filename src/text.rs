//! Text: its parts, and decimal numbers, for which the standard library's code is larger.

/// The parts of a text between separators.
pub fn split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    // One closure, and so one instance of the code.
    text.split(move |&byte| byte == separator)
}

/// Reads one or more decimal digits and nothing else. None if the number does not fit into
/// 64 bits.
#[must_use]
pub fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

/// The digits of a number.
pub struct Digits {
    bytes: [u8; 20],
    start: usize,
}

/// Writes a number.
#[must_use]
pub fn digits(mut number: u64) -> Digits {
    let mut digits = Digits { bytes: [b'0'; 20], start: 20 };
    loop {
        digits.start -= 1;
        #[allow(clippy::cast_possible_truncation)]
        {
            digits.bytes[digits.start] += (number % 10) as u8;
        }
        number /= 10;
        if number == 0 {
            return digits;
        }
    }
}

impl Digits {
    /// The digits in ASCII, without leading zeros.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_number_is_read_again() {
        for value in [0, 7, 10, 255, 4_194_304, u64::MAX - 1, u64::MAX] {
            let written = digits(value);
            assert_eq!(written.as_bytes(), value.to_string().as_bytes());
            assert_eq!(number(written.as_bytes()), Some(value));
        }
        assert_eq!(number(b"007"), Some(7));
    }

    #[test]
    fn other_text_and_too_large_numbers_are_refused() {
        for bad in ["", "-1", "+1", " 1", "1 ", "1.0", "x", "18446744073709551616"] {
            assert_eq!(number(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
