//! Words as execve(2) takes them (argument lists and environments), and the texts of errors.

use core::ffi::{CStr, c_char};
use core::ptr;

use nix::errno::Errno;

use crate::text;

/// An argument list or an environment: a NULL-terminated array of C strings that are never freed.
pub struct Words {
    /// The last pointer is NULL; every other one points to a C string.
    pointers: &'static mut [*const c_char],
}

impl Words {
    /// Takes over an array that main was called with.
    ///
    /// # Safety
    ///
    /// `array` is NULL, or a NULL-terminated array of C strings. The array and the
    /// strings live as long as the process, and nothing else uses the array.
    pub unsafe fn from_raw(array: *mut *const c_char) -> Self {
        if array.is_null() {
            return Self::of(&[], &mut core::iter::empty());
        }
        let mut length = 1;
        // SAFETY: the caller promises that the array ends with NULL. No pointer after it is read.
        while unsafe { !(*array.add(length - 1)).is_null() } {
            length += 1;
        }
        // SAFETY: `length` pointers are the array, and the caller does not use it again.
        Self { pointers: unsafe { core::slice::from_raw_parts_mut(array, length) } }
    }

    /// An array of `first` and `rest`, which it does not copy.
    pub fn of(first: &[&'static CStr], rest: &mut dyn Iterator<Item = &'static CStr>) -> Self {
        let mut pointers = Vec::new();
        for word in first.iter().copied().chain(rest) {
            pointers.push(word.as_ptr());
        }
        pointers.push(ptr::null());
        Self { pointers: pointers.leak() }
    }

    /// The words in their order.
    pub fn iter(&self) -> impl Iterator<Item = &'static CStr> {
        let words = self.pointers.split_last().map_or(&[][..], |(_, words)| words);
        // SAFETY: every pointer but the last is to a C string that is never freed nor changed.
        words.iter().map(|&word| unsafe { CStr::from_ptr(word) })
    }

    /// The words without the first `count`. Panics if there are fewer.
    #[must_use]
    pub fn skip(self, count: usize) -> Self {
        Self { pointers: &mut self.pointers[count..] }
    }

    /// Replaces each word by what `with` returns for it, or removes it if that is `None`.
    pub fn update(&mut self, mut with: impl FnMut(&'static CStr) -> Option<&'static CStr>) {
        let mut kept = 0;
        for index in 0..self.pointers.len() - 1 {
            // SAFETY: every pointer but the last one points to a C string.
            if let Some(word) = with(unsafe { CStr::from_ptr(self.pointers[index]) }) {
                self.pointers[kept] = word.as_ptr();
                kept += 1;
            }
        }
        self.pointers[kept] = ptr::null();
        self.pointers = &mut core::mem::take(&mut self.pointers)[..=kept];
    }

    /// The array for execve(2).
    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

/// A word of these parts, up to the first NUL in them. It lives as long as the process.
pub fn word(parts: &[&[u8]]) -> &'static CStr {
    let mut bytes = parts.concat();
    bytes.push(0);
    CStr::from_bytes_until_nul(bytes.leak()).unwrap_or_default()
}

/// A path up to its last slash; empty if it has none.
#[inline(never)]
pub fn directory(path: &CStr) -> &[u8] {
    let path = path.to_bytes();
    let behind = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    &path[..behind]
}

macro_rules! errors {
    ($($error:ident $text:literal)*) => {
        const ERRORS: &[Errno] = &[$(Errno::$error),*];
        const TEXTS: &str = concat!($($text, "\n"),*);
    };
}

// The texts of the errors that drain-init may have to report, as glibc's strerror(3) has
// them. The C library's own table would be four times as long, an array of pairs twice.
errors! {
    EPERM "Operation not permitted"
    ENOENT "No such file or directory"
    ESRCH "No such process"
    EIO "Input/output error"
    E2BIG "Argument list too long"
    ENOEXEC "Exec format error"
    EBADF "Bad file descriptor"
    EAGAIN "Resource temporarily unavailable"
    ENOMEM "Cannot allocate memory"
    EACCES "Permission denied"
    EEXIST "File exists"
    ENODEV "No such device"
    ENOTDIR "Not a directory"
    EISDIR "Is a directory"
    EINVAL "Invalid argument"
    ENFILE "Too many open files in system"
    EMFILE "Too many open files"
    ETXTBSY "Text file busy"
    EFBIG "File too large"
    ENOSPC "No space left on device"
    EROFS "Read-only file system"
    EPIPE "Broken pipe"
    ENAMETOOLONG "File name too long"
    ENOSYS "Function not implemented"
    ELOOP "Too many levels of symbolic links"
    ENODATA "No data available"
    ETIMEDOUT "Connection timed out"
    ESTALE "Stale file handle"
}

/// The text of an error, if it is one of `ERRORS`.
pub fn error_text(error: Errno) -> Option<&'static [u8]> {
    let mut texts = text::split(TEXTS.as_bytes(), b'\n');
    texts.nth(ERRORS.iter().position(|known| *known == error)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_an_array_for_execve() {
        let mut words = Words::of(&[c"a", c"b=1"], &mut [c"c", c"b=2"].into_iter());
        words.update(|word| match word.to_bytes() {
            b"c" => None,
            b"b=2" => Some(c"d"),
            _ => Some(word),
        });
        assert_eq!(words.iter().collect::<Vec<_>>(), [c"a", c"b=1", c"d"]);
        assert!(words.pointers.last().unwrap().is_null());
        let rest = words.skip(2);
        assert_eq!(rest.iter().collect::<Vec<_>>(), [c"d"]);
        assert_eq!(rest.skip(1).iter().count(), 0);
        let array = [c"e".as_ptr(), ptr::null()];
        // SAFETY: it is such an array, which is leaked.
        let mut given = unsafe { Words::from_raw(Box::leak(Box::new(array)).as_mut_ptr()) };
        assert_eq!(given.iter().collect::<Vec<_>>(), [c"e"]);
        given.update(|_| None);
        assert_eq!(given.iter().count(), 0);
        // SAFETY: NULL is allowed. A preloaded library may have called clearenv(3).
        assert_eq!(unsafe { Words::from_raw(ptr::null_mut()) }.iter().count(), 0);
    }

    #[test]
    fn a_word_is_its_parts_up_to_the_first_nul() {
        assert_eq!(word(&[b"NAME", b"=", b"7"]), c"NAME=7");
        assert_eq!(word(&[]), c"");
        assert_eq!(word(&[b"a", b"b\0c", b"d"]), c"ab");
    }

    #[test]
    fn a_directory_ends_with_the_last_slash() {
        for (path, directory) in [(c"/a/b", "/a/"), (c"/a", "/"), (c"a", ""), (c"a/", "a/")] {
            assert_eq!(super::directory(path), directory.as_bytes());
        }
    }

    #[test]
    fn every_error_that_a_call_may_return_has_its_text() {
        use Errno::*;
        let execve = [
            E2BIG,
            EACCES,
            EINVAL,
            EIO,
            EISDIR,
            ELOOP,
            EMFILE,
            ENAMETOOLONG,
            ENFILE,
            ENODEV,
            ENOENT,
            ENOEXEC,
            ENOMEM,
            ENOTDIR,
            EPERM,
            ESTALE,
            ETIMEDOUT,
            ETXTBSY,
        ];
        let fork = [EAGAIN, ENOMEM, ENOSYS];
        let kill = [EINVAL, EPERM, ESRCH];
        let write = [EBADF, EFBIG, EINVAL, EIO, ENOSPC, EPERM, EPIPE];
        let chdir = [EACCES, EIO, ELOOP, ENAMETOOLONG, ENOENT, ENOMEM, ENOTDIR];
        let prctl_and_sigtimedwait = [EINVAL, ENOSYS, EPERM];
        let open = [EACCES, EEXIST, EISDIR, ELOOP, EMFILE, ENAMETOOLONG, ENOENT, ENOSPC, EROFS];
        let calls: [&[Errno]; 7] =
            [&execve, &fork, &kill, &write, &chdir, &prctl_and_sigtimedwait, &open];
        for error in calls.into_iter().flatten() {
            assert!(error_text(*error).is_some(), "{error:?}");
        }
        assert_eq!(error_text(EXDEV), None);
    }

    #[test]
    #[cfg(target_env = "gnu")]
    #[cfg_attr(miri, ignore = "Miri has no strerror(3)")]
    fn the_texts_are_those_of_glibc() {
        for &error in ERRORS {
            // SAFETY: strerror returns a C string.
            let known = unsafe { CStr::from_ptr(libc::strerror(error as i32)) };
            assert_eq!(error_text(error), Some(known.to_bytes()));
        }
    }
}
