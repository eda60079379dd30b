//! Decimal numbers, read and written. Both are smaller than the standard library's code.

/// Reads one or more decimal digits and nothing else. None if the number does not fit into
/// 64 bits.
#[must_use]
pub fn read(digits: &[u8]) -> Option<u64> {
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
pub fn written(mut number: u64) -> Digits {
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
        for number in [0, 7, 10, 255, 4_194_304, u64::MAX - 1, u64::MAX] {
            let digits = written(number);
            assert_eq!(digits.as_bytes(), number.to_string().as_bytes());
            assert_eq!(read(digits.as_bytes()), Some(number));
        }
        assert_eq!(read(b"007"), Some(7));
    }

    #[test]
    fn other_text_and_too_large_numbers_are_refused() {
        for bad in ["", "-1", "+1", " 1", "1 ", "1.0", "x", "18446744073709551616"] {
            assert_eq!(read(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
