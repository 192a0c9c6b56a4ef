//! Writing a date the way Python's `strftime` does. The time itself comes from the caller.

use std::fmt::Write;

const DAY: i64 = 86_400;
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
/// The first and the last second of the years that have four digits.
const RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// `seconds` since 1970 as `format` wants them. What no format is known for stays as it is.
pub(crate) fn format(seconds: i64, format: &str) -> String {
    let seconds = seconds.clamp(*RANGE.start(), *RANGE.end());
    let (days, second) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let (year, month, day) = civil(days);
    let (month_name, weekday) = (MONTHS[(month - 1) as usize], (days + 4).rem_euclid(7) as usize);
    let of_year = days - days_of(year, 1, 1) + 1;
    let mut out = String::with_capacity(format.len() + 16);
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let directive = &rest[at + 1..];
        // A minus sign asks for the number without its leading zero.
        let (short, directive) = directive.strip_prefix('-').map_or((false, directive), |rest| (true, rest));
        let Some(letter) = directive.chars().next() else {
            out.push_str(&rest[at..]);
            return out;
        };
        let mut number = |value: i64, width: usize| {
            let width = if short { 0 } else { width };
            // Writing to a text cannot fail.
            let _ = write!(out, "{value:0width$}");
        };
        match letter {
            'Y' => number(year, 4),
            'y' => number(year.rem_euclid(100), 2),
            'm' => number(month, 2),
            'd' => number(day, 2),
            'H' => number(hour, 2),
            'I' => number((hour + 11) % 12 + 1, 2),
            'M' => number(minute, 2),
            'S' => number(second, 2),
            'j' => number(of_year, 3),
            'B' => out.push_str(month_name),
            'b' | 'h' => out.push_str(&month_name[..3]),
            'A' => out.push_str(WEEKDAYS[weekday]),
            'a' => out.push_str(&WEEKDAYS[weekday][..3]),
            'p' => out.push_str(if hour < 12 { "AM" } else { "PM" }),
            'F' => out.push_str(&self::format(seconds, "%Y-%m-%d")),
            'T' => out.push_str(&self::format(seconds, "%H:%M:%S")),
            '%' => out.push('%'),
            // The caller's clock tells no zone.
            'Z' | 'z' => {}
            _ => {
                out.push('%');
                rest = &rest[at + 1..];
                continue;
            }
        }
        rest = &directive[letter.len_utf8()..];
    }
    out.push_str(rest);
    out
}

/// Year, month and day of a number of days since 1970, counted in eras of 400 years that begin in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// Days since 1970.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_python_s() {
        // datetime.fromtimestamp(t, timezone.utc).strftime(…)
        let long = "%A %a, %B %b %d %-d %Y %y, %H:%M:%S %I %p, %j %m %% %F %T";
        for (seconds, expected) in [
            (0, "Thursday Thu, January Jan 01 1 1970 70, 00:00:00 12 AM, 001 01 % 1970-01-01 00:00:00"),
            (1_709_210_096, "Thursday Thu, February Feb 29 29 2024 24, 12:34:56 12 PM, 060 02 % 2024-02-29 12:34:56"),
            (-1, "Wednesday Wed, December Dec 31 31 1969 69, 23:59:59 11 PM, 365 12 % 1969-12-31 23:59:59"),
        ] {
            assert_eq!(format(seconds, long), expected);
        }
        assert_eq!(format(0, "a%"), "a%");
        assert_eq!(format(0, "%Ö %q%-"), "%Ö %q%-");
        format(i64::MIN, long);
        format(i64::MAX, long);
    }

    #[test]
    fn every_day_is_followed_by_the_next() {
        let mut before = civil(-800_000);
        for days in -799_999..800_000 {
            let (year, month, day) = civil(days);
            assert_eq!(days_of(year, month, day), days);
            assert!((year, month, day) > before);
            before = (year, month, day);
        }
    }
}
