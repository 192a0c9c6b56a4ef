//! Recognisers of what is made of digits: cards, IBANs, addresses and phone numbers.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::detect::{before, run_end, word_begins, word_ends};

/// Where each group of digits, joined by single separators, ends; bounded, so that a long text costs no more.
fn groups(text: &str, at: usize, most: usize, belongs: fn(u8) -> bool, separators: &[u8]) -> Vec<usize> {
    let bytes = text.as_bytes();
    let mut ends = Vec::new();
    let mut end = at;
    let mut taken = 0;
    while end < bytes.len() && taken <= most {
        if belongs(bytes[end]) {
            taken += 1;
            end += 1;
            continue;
        }
        ends.push(end);
        let goes_on = separators.contains(&bytes[end]) && bytes.get(end + 1).is_some_and(|&next| belongs(next));
        if !goes_on {
            return ends;
        }
        end += 1;
    }
    if taken <= most {
        ends.push(end);
    }
    ends
}

/// The number of a payment card: 13 to 19 digits, maybe in groups, with a right check digit.
pub(super) fn card(text: &str, at: usize) -> Option<usize> {
    if !matches!(text.as_bytes()[at], b'2'..=b'6') || !word_begins(text, at) {
        return None;
    }
    let ends = groups(text, at, 19, |byte| byte.is_ascii_digit(), b" -");
    ends.into_iter().rev().find(|&end| {
        let digits: Vec<u32> = text[at..end].bytes().filter(u8::is_ascii_digit).map(|b| u32::from(b - b'0')).collect();
        (13..=19).contains(&digits.len()) && word_ends(text, end) && luhn(&digits)
    })
}

fn luhn(digits: &[u32]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| match (place % 2, digit * 2) {
            (0, _) => digit,
            (_, double) if double > 9 => double - 9,
            (_, double) => double,
        })
        .sum();
    sum.is_multiple_of(10)
}

/// An IBAN: country, check digits and account, maybe in groups.
pub(super) fn iban(text: &str, at: usize) -> Option<usize> {
    let head = text.as_bytes().get(at..at + 4)?;
    let plausible = head[..2].iter().all(u8::is_ascii_alphabetic) && head[2..].iter().all(u8::is_ascii_digit);
    if !plausible || !word_begins(text, at) {
        return None;
    }
    let ends = groups(text, at, 34, |byte| byte.is_ascii_alphanumeric(), b" ");
    ends.into_iter().rev().find(|&end| {
        let characters: Vec<u8> = text[at..end].bytes().filter(u8::is_ascii_alphanumeric).collect();
        (15..=34).contains(&characters.len()) && word_ends(text, end) && iban_remainder(&characters) == 1
    })
}

fn iban_remainder(characters: &[u8]) -> u32 {
    let rotated = characters[4..].iter().chain(&characters[..4]);
    rotated.fold(0, |remainder, character| match char::from(*character).to_digit(36) {
        Some(digit) if digit < 10 => (remainder * 10 + digit) % 97,
        Some(letter) => (remainder * 100 + letter) % 97,
        None => remainder,
    })
}

/// The longest an IPv6 address can be written.
const LONGEST_ADDRESS: usize = 45;

/// An IPv4 or IPv6 address.
pub(super) fn ip(text: &str, at: usize) -> Option<usize> {
    let first = text.as_bytes()[at];
    if !(first.is_ascii_hexdigit() || first == b':') || !word_begins(text, at) {
        return None;
    }
    if before(text, at).is_some_and(|c| c == '.' || c == ':') && first != b':' {
        // Part of something longer, unless a sentence's colon stands there.
        let label = before(text, at) == Some(':') && !before(text, at - 1).is_some_and(|c| c.is_ascii_hexdigit());
        if !label {
            return None;
        }
    }
    ipv4(text, at).or_else(|| ipv6(text, at))
}

fn ipv4(text: &str, at: usize) -> Option<usize> {
    let window = text.floor_char_boundary(at + 16);
    let end = run_end(&text[..window], at, |c| c.is_ascii_digit() || c == '.');
    let end = at + text[at..end].trim_end_matches('.').len();
    let goes_on = text[end..].starts_with('.') && text[end + 1..].starts_with(|c: char| c.is_ascii_digit());
    (word_ends(text, end) && !goes_on && text[at..end].parse::<Ipv4Addr>().is_ok()).then_some(end)
}

fn ipv6(text: &str, at: usize) -> Option<usize> {
    let window = text.floor_char_boundary(at + LONGEST_ADDRESS + 1);
    let end = run_end(&text[..window], at, |c| c.is_ascii_hexdigit() || c == ':' || c == '.');
    let run = text[at..end].trim_end_matches('.');
    let run = if run.ends_with("::") { run } else { run.trim_end_matches(':') };
    let end = at + run.len();
    let parts = run.split(':').filter(|part| !part.is_empty()).count();
    // Two short words joined by colons are a path in some code, not an address.
    let plausible = run.bytes().any(|byte| byte.is_ascii_digit()) && (parts >= 3 || run == "::1");
    (plausible && word_ends(text, end) && run.parse::<Ipv6Addr>().is_ok()).then_some(end)
}

/// A phone number: international, with a trunk zero, or in the North American grouping.
pub(super) fn phone(text: &str, at: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let first = bytes[at];
    if !(first.is_ascii_digit() || first == b'+' || first == b'(') || !word_begins(text, at) {
        return None;
    }
    // A number after "3." or "20-" is the rest of something longer.
    let joined = before(text, at).is_some_and(|c| ".,-/+(:".contains(c))
        && at >= 2
        && bytes[at - 2].is_ascii_digit()
        && first != b'(';
    if joined {
        return None;
    }
    let number = Number::read(text, at)?;
    let digits = number.digits();
    let groups = number.groups.as_slice();
    let plausible = match first {
        b'+' => (7..=15).contains(&digits),
        b'0' | b'(' => {
            (7..=15).contains(&digits) && !number.is_date() && !number.is_decimal() && groups.len() > 1
                || (9..=15).contains(&digits) && groups.len() == 1 && first == b'0'
        }
        _ => groups == [3, 3, 4] || (first == b'1' && groups == [1, 3, 3, 4]),
    };
    (plausible && word_ends(text, number.end)).then_some(number.end)
}

/// Digits in groups, with the separators people use in phone numbers.
struct Number {
    groups: Vec<usize>,
    end: usize,
    first_separator: Option<u8>,
    starts_with_zero: bool,
}

impl Number {
    /// More digits than any phone number has.
    const MOST: usize = 16;

    fn read(text: &str, at: usize) -> Option<Self> {
        let bytes = text.as_bytes();
        let mut groups = Vec::new();
        let mut end = at;
        let mut place = at;
        let mut first_separator = None;
        loop {
            let separators = bytes[place..].iter().take(3).take_while(|byte| b" -./()+".contains(byte)).count();
            // The plus stands only in front, and three marks in a row join nothing.
            let marks = &bytes[place..place + separators];
            if separators > 2 || (place > at && marks.contains(&b'+')) {
                break;
            }
            let start = place + separators;
            let length = bytes[start..].iter().take(Self::MOST + 1).take_while(|byte| byte.is_ascii_digit()).count();
            // A single digit after a space is rather the next word.
            let next_word = length == 1 && !groups.is_empty() && marks == b" ";
            if length == 0 || next_word || groups.iter().sum::<usize>() + length > Self::MOST {
                break;
            }
            if !groups.is_empty() && separators == 0 {
                break;
            }
            if groups.len() == 1 {
                first_separator = marks.first().copied();
            }
            groups.push(length);
            place = start + length;
            end = place;
        }
        let starts_with_zero = bytes[at] == b'0';
        (!groups.is_empty()).then_some(Self { groups, end, first_separator, starts_with_zero })
    }

    fn digits(&self) -> usize {
        self.groups.iter().sum()
    }

    /// Day, month and year, in whatever order.
    fn is_date(&self) -> bool {
        matches!(self.groups.as_slice(), [1 | 2, 1 | 2, 2 | 4])
    }

    /// A number such as 0.123456789.
    fn is_decimal(&self) -> bool {
        self.starts_with_zero && self.groups.len() == 2 && self.groups[0] == 1 && self.first_separator == Some(b'.')
    }
}
