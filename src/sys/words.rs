//! Words as execve(2) takes them (argument lists and environments), and the texts of errors.

use core::ffi::{CStr, c_char};
use core::ptr;

use nix::errno::Errno;

use crate::text;

/// A NULL-terminated array of C strings that live as long as the process, as
/// execve(2) takes it: an argument list or an environment.
pub struct Words {
    /// The last pointer is NULL; every other one points to a C string.
    pointers: &'static mut [*const c_char],
}

impl Words {
    /// Takes over the array that the kernel laid out for main or the environment.
    ///
    /// # Safety
    ///
    /// `array` is NULL, or a NULL-terminated array of C strings. The array and the
    /// strings live as long as the process, and nothing else uses the array.
    #[must_use]
    pub unsafe fn from_raw(array: *mut *const c_char) -> Self {
        if array.is_null() {
            return Self::of(&[], &mut core::iter::empty());
        }
        let mut count = 0;
        // SAFETY: the caller promises that the array ends with NULL. No pointer after that
        // one is read.
        while unsafe { !(*array.add(count)).is_null() } {
            count += 1;
        }
        Self {
            // SAFETY: `count` pointers and the NULL are the array, and the caller does not
            // use it again.
            pointers: unsafe { core::slice::from_raw_parts_mut(array, count + 1) },
        }
    }

    /// An array of these words, which it does not copy.
    #[must_use]
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
        // SAFETY: every pointer but the last points to a C string that is
        // never freed nor changed.
        words.iter().map(|&word| unsafe { CStr::from_ptr(word) })
    }

    /// The words without the first `count`.
    ///
    /// # Panics
    ///
    /// If there are fewer than `count` words.
    #[must_use]
    pub fn skip(self, count: usize) -> Self {
        Self { pointers: &mut self.pointers[count..] }
    }

    /// Removes the words for which `keep` is false.
    pub fn retain(&mut self, mut keep: impl FnMut(&'static CStr) -> bool) {
        let mut kept = 0;
        for index in 0..self.pointers.len() {
            let word = self.pointers[index];
            // SAFETY: as in `iter`: a pointer that is not NULL points to a C string.
            if word.is_null() || keep(unsafe { CStr::from_ptr(word) }) {
                self.pointers[kept] = word;
                kept += 1;
            }
        }
        self.pointers = &mut core::mem::take(&mut self.pointers)[..kept];
    }

    /// Replaces the words for which `with` has another one.
    pub fn replace(&mut self, mut with: impl FnMut(&'static CStr) -> Option<&'static CStr>) {
        for word in &mut *self.pointers {
            if word.is_null() {
                continue;
            }
            // SAFETY: as in `iter`: a pointer that is not NULL points to a C string.
            if let Some(other) = with(unsafe { CStr::from_ptr(*word) }) {
                *word = other.as_ptr();
            }
        }
    }

    /// The array for execve(2).
    pub(super) fn as_ptr(&self) -> *const *const c_char {
        self.pointers.as_ptr()
    }
}

/// A word that consists of these parts and lives as long as the process. It ends at the
/// first NUL in them.
#[must_use]
pub fn word(parts: &[&[u8]]) -> &'static CStr {
    let mut bytes = parts.concat();
    bytes.push(0);
    CStr::from_bytes_until_nul(bytes.leak()).unwrap_or_default()
}

/// A path up to its last slash; empty if it has none.
#[must_use]
#[inline(never)]
pub fn directory(path: &CStr) -> &[u8] {
    let path = path.to_bytes();
    let behind = path.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    &path[..behind]
}

/// The environment that the process was started with, its array taken over.
///
/// # Safety
///
/// To be called once, while there is one thread; nothing reads or changes the
/// environment through the C library afterwards.
#[must_use]
pub unsafe fn take_environment() -> Words {
    unsafe extern "C" {
        static mut environ: *mut *const c_char;
    }
    // SAFETY: environ(7) is NULL or such an array, and the caller leaves it to us.
    unsafe { Words::from_raw(environ) }
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
    ETIMEDOUT "Connection timed out"
    ESTALE "Stale file handle"
}

/// The text of an error, if it is one of [`ERRORS`].
#[must_use]
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
        words.retain(|word| word != c"c");
        words.replace(|word| (word == c"b=2").then_some(c"d"));
        assert_eq!(words.iter().collect::<Vec<_>>(), [c"a", c"b=1", c"d"]);
        assert!(words.pointers.last().unwrap().is_null());
        let rest = words.skip(2);
        assert_eq!(rest.iter().collect::<Vec<_>>(), [c"d"]);
        assert_eq!(rest.skip(1).iter().count(), 0);
        // SAFETY: NULL is allowed.
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
