//! The free space of a file system.

use std::{io, path::Path};

use super::CheckResult;

/// The component is unhealthy if less than this part of the wanted space is free.
const UNHEALTHY_DIVISOR: u64 = 4;
const MIB: u64 = 1 << 20;

/// Reads the free space of the file system that holds a path.
pub(super) fn check(path: &Path, min_free: u64) -> io::Result<CheckResult> {
    let stats = rustix::fs::statvfs(path)?;
    // What is left for processes without privileges.
    let free = stats.f_bavail.saturating_mul(stats.f_frsize);
    Ok(judge(free, min_free))
}

fn judge(free: u64, min_free: u64) -> CheckResult {
    let text = format!("{} MiB free, limit {} MiB", free / MIB, min_free / MIB);
    if free < min_free / UNHEALTHY_DIVISOR {
        CheckResult::unhealthy(text)
    } else if free < min_free {
        CheckResult::degraded(text)
    } else {
        CheckResult::healthy()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disk_space_is_degraded_below_the_limit_and_unhealthy_below_a_quarter() {
        let result = |mib| judge(mib * MIB, 1_000 * MIB);
        assert_eq!(result(1_000), CheckResult::healthy());
        assert_eq!(
            result(999),
            CheckResult::degraded("999 MiB free, limit 1000 MiB")
        );
        assert_eq!(
            result(250),
            CheckResult::degraded("250 MiB free, limit 1000 MiB")
        );
        assert_eq!(
            result(249),
            CheckResult::unhealthy("249 MiB free, limit 1000 MiB")
        );
    }

    #[test]
    fn disk_space_of_a_path_that_is_not_there_is_an_error() {
        assert!(check(Path::new("/"), 0).is_ok_and(|result| result == CheckResult::healthy()));
        assert!(
            check(Path::new("/"), u64::MAX).is_ok_and(|result| result != CheckResult::healthy())
        );
        let missing = check(Path::new("/no/such/path"), 0).expect_err("missing");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
