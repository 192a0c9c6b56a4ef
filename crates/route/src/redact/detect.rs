//! Finds what is to be redacted, in one pass from left to right.

use super::{Kind, numbers};

/// One place in a text.
pub(super) struct Match {
    pub(super) kind: Kind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A recogniser: given the text and a place in it, where what begins there ends.
type Recognise = fn(&str, usize) -> Option<usize>;

/// In order of precedence where several begin at the same place.
const RECOGNISERS: [(Kind, Recognise); 7] = [
    (Kind::Literal, literal),
    (Kind::ApiKey, api_key),
    (Kind::Email, email),
    (Kind::Iban, numbers::iban),
    (Kind::Card, numbers::card),
    (Kind::Ip, numbers::ip),
    (Kind::Phone, numbers::phone),
];

/// Every match, leftmost first, none overlapping.
pub(super) fn find(text: &str, kinds: &[Kind]) -> Vec<Match> {
    let active: Vec<(Kind, Recognise)> =
        RECOGNISERS.into_iter().filter(|(kind, _)| *kind == Kind::Literal || kinds.contains(kind)).collect();
    let mut matches = Vec::new();
    let mut at = 0;
    while let Some(character) = text[at..].chars().next() {
        let found = active.iter().find_map(|&(kind, recognise)| {
            recognise(text, at).filter(|&end| end > at).map(|end| Match { kind, start: at, end })
        });
        at = match found {
            Some(found) => {
                let end = found.end;
                matches.push(found);
                end
            }
            None => at + character.len_utf8(),
        };
    }
    matches
}

/// The character before a place.
pub(super) fn before(text: &str, at: usize) -> Option<char> {
    text[..at].chars().next_back()
}

/// Whether a word begins here: the character before belongs to none.
pub(super) fn word_begins(text: &str, at: usize) -> bool {
    !before(text, at).is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// Whether a word ends here: the character after belongs to none.
pub(super) fn word_ends(text: &str, at: usize) -> bool {
    !text[at..].chars().next().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// Where the run of characters that satisfy `belongs` ends.
pub(super) fn run_end(text: &str, at: usize, belongs: impl Fn(char) -> bool) -> usize {
    text[at..].find(|c| !belongs(c)).map_or(text.len(), |length| at + length)
}

/// The longest placeholder's inside, far above any that is made.
const LITERAL_LIMIT: usize = 64;

/// `[[`, capital letters, digits and underscores, `]]`: what a placeholder looks like.
fn literal(text: &str, at: usize) -> Option<usize> {
    let inside = text[at..].strip_prefix("[[")?;
    let length = inside
        .bytes()
        .take(LITERAL_LIMIT)
        .take_while(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_')
        .count();
    (length > 0 && inside[length..].starts_with("]]")).then_some(at + 2 + length + 2)
}

fn email(text: &str, at: usize) -> Option<usize> {
    let local = |c: char| c.is_alphanumeric() || ".+_%-".contains(c);
    let first = text[at..].chars().next()?;
    // The name begins at its first letter or digit, so that a long run is looked at once and not from each place.
    if !first.is_alphanumeric() || before(text, at).is_some_and(char::is_alphanumeric) {
        return None;
    }
    // After a mark that could belong to the name, the run before was already looked at from its beginning.
    let name_before = text[..at].trim_end_matches(|c| local(c) && !char::is_alphanumeric(c));
    if name_before.len() < at && name_before.ends_with(char::is_alphanumeric) {
        return None;
    }
    let end = run_end(text, at, local);
    let domain = text[end..].strip_prefix('@').map(|_| end + 1)?;
    domain_end(text, domain)
}

/// Where a domain of at least two labels ends.
fn domain_end(text: &str, at: usize) -> Option<usize> {
    let mut end = run_end(text, at, |c| c.is_alphanumeric() || c == '-' || c == '.');
    // A full stop or dash after an address belongs to the sentence.
    end = at + text[at..end].trim_end_matches(['.', '-']).len();
    let labels: Vec<&str> = text[at..end].split('.').collect();
    let last = labels.last()?;
    let plausible = labels.len() >= 2
        && labels.iter().all(|label| !label.is_empty())
        && last.chars().count() >= 2
        && last.chars().all(char::is_alphabetic);
    plausible.then_some(end)
}

/// Prefixes that say what follows is a secret, and how much must follow.
const KEY_PREFIXES: [(&str, usize); 13] = [
    ("sk-", 16),
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("rk_live_", 16),
    ("pk_live_", 16),
    ("ghp_", 30),
    ("gho_", 30),
    ("ghs_", 30),
    ("github_pat_", 30),
    ("glpat-", 16),
    ("xoxb-", 16),
    ("xoxp-", 16),
    ("hf_", 24),
];

fn is_key_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

fn api_key(text: &str, at: usize) -> Option<usize> {
    if let Some(end) = private_key(text, at) {
        return Some(end);
    }
    if !text[at..].starts_with(|c: char| c.is_ascii_alphanumeric()) || before(text, at).is_some_and(is_key_character) {
        return None;
    }
    let end = run_end(text, at, is_key_character);
    let run = &text[at..end];
    let prefixed = KEY_PREFIXES.iter().any(|(prefix, least)| {
        run.strip_prefix(prefix)
            .is_some_and(|rest| rest.len() >= *least && rest.bytes().any(|byte| byte.is_ascii_digit()))
    });
    let google = run.starts_with("AIza") && run.len() == 39;
    let amazon = run.len() == 20
        && (run.starts_with("AKIA") || run.starts_with("ASIA"))
        && run.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    if prefixed || google || amazon || looks_random(run) {
        return Some(end);
    }
    json_web_token(text, at)
}

/// A long run with capitals, small letters and digits well mixed. Hashes in hex have one case and stay.
fn looks_random(run: &str) -> bool {
    let count = |belongs: fn(&u8) -> bool| run.bytes().filter(belongs).count();
    (32..=512).contains(&run.len())
        && count(u8::is_ascii_uppercase) >= 4
        && count(u8::is_ascii_lowercase) >= 4
        && count(u8::is_ascii_digit) >= 4
}

fn json_web_token(text: &str, at: usize) -> Option<usize> {
    if !text[at..].starts_with("eyJ") {
        return None;
    }
    let mut end = at;
    for part in 0..3 {
        let start = if part == 0 { end } else { text[end..].strip_prefix('.').map(|_| end + 1)? };
        end = run_end(text, start, is_key_character);
        if end - start < 8 {
            return None;
        }
    }
    Some(end)
}

/// A PEM block of a private key. One that does not end is taken to the end of the text.
fn private_key(text: &str, at: usize) -> Option<usize> {
    let rest = text[at..].strip_prefix("-----BEGIN ")?;
    let label_end = rest.bytes().take(40).position(|byte| byte == b'-')?;
    let label = &rest[..label_end];
    if !label.ends_with("PRIVATE KEY") {
        return None;
    }
    let end_mark = format!("-----END {label}-----");
    Some(text[at..].find(&end_mark).map_or(text.len(), |length| at + length + end_mark.len()))
}
