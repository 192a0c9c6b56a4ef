//! `Range` headers: one range of bytes, which is what a resumed download asks for.

use std::ops::RangeInclusive;

/// What a `Range` header asks of a file of a known length.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Everything: no header, or one that may be passed over.
    Whole,
    /// These bytes.
    Part(RangeInclusive<u64>),
    /// Bytes that the file does not have.
    Outside,
}

/// Reads the header. Several ranges at once are passed over, as the standard allows.
pub(super) fn parse(header: Option<&str>, length: u64) -> Asked {
    let Some(set) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else { return Asked::Whole };
    let Some((first, last)) = set.split_once('-') else { return Asked::Whole };
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        return match number(last) {
            Some(0) => Asked::Outside,
            Some(_) if length == 0 => Asked::Outside,
            Some(count) => Asked::Part(length.saturating_sub(count)..=length - 1),
            None => Asked::Whole,
        };
    }
    let Some(first) = number(first) else { return Asked::Whole };
    let last = match last {
        "" => u64::MAX,
        digits => match number(digits) {
            Some(last) if last >= first => last,
            _ => return Asked::Whole,
        },
    };
    if first >= length { Asked::Outside } else { Asked::Part(first..=last.min(length - 1)) }
}

fn number(digits: &str) -> Option<u64> {
    // `parse` would also take a sign.
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_inside_the_file() {
        assert_eq!(parse(Some("bytes=0-0"), 10), Asked::Part(0..=0));
        assert_eq!(parse(Some("bytes=4-"), 10), Asked::Part(4..=9));
        assert_eq!(parse(Some("bytes=4-99"), 10), Asked::Part(4..=9));
        assert_eq!(parse(Some("bytes=-3"), 10), Asked::Part(7..=9));
        assert_eq!(parse(Some("bytes=-30"), 10), Asked::Part(0..=9));
    }

    #[test]
    fn ranges_outside_the_file() {
        assert_eq!(parse(Some("bytes=10-"), 10), Asked::Outside);
        assert_eq!(parse(Some("bytes=0-"), 0), Asked::Outside);
        assert_eq!(parse(Some("bytes=-0"), 10), Asked::Outside);
        assert_eq!(parse(Some("bytes=-1"), 0), Asked::Outside);
    }

    #[test]
    fn what_is_no_single_range_is_passed_over() {
        for header in [
            "bytes=5-4",
            "bytes=0-1,3-4",
            "bytes=+1-2",
            "items=0-1",
            "bytes=",
            "bytes=-",
            "bytes=99999999999999999999-",
        ] {
            assert_eq!(parse(Some(header), 10), Asked::Whole, "{header}");
        }
        assert_eq!(parse(None, 10), Asked::Whole);
    }
}
