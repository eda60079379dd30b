//! Text: its parts, and decimal numbers, for which the standard library's code is larger.

/// The parts of a text between separators.
pub fn split(text: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    // One closure, and so one instance of the code.
    text.split(move |&byte| byte == separator)
}

/// Reads one or more decimal digits and nothing else. `None` if 64 bits cannot hold the number.
pub fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        let digit = digit.is_ascii_digit().then(|| digit - b'0')?;
        number.checked_mul(10)?.checked_add(digit.into())
    })
}

/// The digits, up to hexadecimal ones.
pub const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes a number in decimal. Returns the part of the buffer that it takes.
pub fn digits(mut number: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut start = buffer.len();
    loop {
        start -= 1;
        buffer[start] = DIGITS[(number % 10) as usize];
        number /= 10;
        if number == 0 {
            return &buffer[start..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_written_number_is_read_again() {
        for value in [0, 7, 10, 255, 4_194_304, u64::MAX - 1, u64::MAX] {
            let mut buffer = [0; 20];
            let written = digits(value, &mut buffer);
            assert_eq!(written, value.to_string().as_bytes());
            assert_eq!(number(written), Some(value));
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
