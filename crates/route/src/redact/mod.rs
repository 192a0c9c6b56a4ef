//! Placeholders for what should not cross, and the way back.

mod detect;
mod numbers;
mod restore;

use std::collections::{BTreeMap, HashMap};

use serde::{Deserialize, Serialize};

pub use restore::{Restorer, restore};

/// What can be recognised in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An e-mail address.
    Email,
    /// A phone number.
    Phone,
    /// A payment card number, by its check digit.
    Card,
    /// An IBAN, by its check digits.
    Iban,
    /// An IPv4 or IPv6 address.
    Ip,
    /// A key, token or private key.
    ApiKey,
    /// Text that looked like a placeholder before anything was redacted. It is always replaced, so that the way back
    /// gives the original whatever the original was.
    Literal,
}

impl Kind {
    /// Every kind a policy can ask for.
    pub const ALL: [Self; 6] = [Self::Email, Self::Phone, Self::Card, Self::Iban, Self::Ip, Self::ApiKey];

    fn label(self) -> &'static str {
        match self {
            Self::Email => "EMAIL",
            Self::Phone => "PHONE",
            Self::Card => "CARD",
            Self::Iban => "IBAN",
            Self::Ip => "IP",
            Self::ApiKey => "KEY",
            Self::Literal => "LITERAL",
        }
    }
}

/// One value and what stands for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redaction {
    /// What it is.
    pub kind: Kind,
    /// What stands for it, such as `[[EMAIL_1]]`.
    pub placeholder: String,
    /// The value, which stays on the device.
    pub value: String,
}

/// Everything that was replaced in one crossing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redactions {
    /// Each different value once, in the order they were met.
    pub entries: Vec<Redaction>,
}

impl Redactions {
    /// How many different values of each kind were replaced.
    pub fn counts(&self) -> BTreeMap<Kind, usize> {
        let mut counts = BTreeMap::new();
        for entry in &self.entries {
            *counts.entry(entry.kind).or_insert(0) += 1;
        }
        counts
    }
}

/// Redacts the texts of one crossing, with the same placeholder for the same value in all of them.
#[derive(Clone, Debug)]
pub struct Redactor {
    kinds: Vec<Kind>,
    redactions: Redactions,
    known: HashMap<(Kind, String), usize>,
    counts: HashMap<Kind, usize>,
}

impl Redactor {
    /// A redactor of these kinds.
    pub fn new(kinds: &[Kind]) -> Self {
        Self { kinds: kinds.to_vec(), redactions: Redactions::default(), known: HashMap::new(), counts: HashMap::new() }
    }

    /// Replaces what it recognises.
    pub fn redact(&mut self, text: &str) -> String {
        let mut output = String::with_capacity(text.len());
        let mut done = 0;
        for found in detect::find(text, &self.kinds) {
            output.push_str(&text[done..found.start]);
            output.push_str(self.placeholder(found.kind, &text[found.start..found.end]));
            done = found.end;
        }
        output.push_str(&text[done..]);
        output
    }

    /// What was replaced so far.
    pub fn redactions(&self) -> &Redactions {
        &self.redactions
    }

    /// What was replaced.
    pub fn into_redactions(self) -> Redactions {
        self.redactions
    }

    fn placeholder(&mut self, kind: Kind, value: &str) -> &str {
        let index = *self.known.entry((kind, value.to_owned())).or_insert_with(|| {
            let number = self.counts.entry(kind).or_insert(0);
            *number += 1;
            let placeholder = format!("[[{}_{number}]]", kind.label());
            self.redactions.entries.push(Redaction { kind, placeholder, value: value.to_owned() });
            self.redactions.entries.len() - 1
        });
        &self.redactions.entries[index].placeholder
    }
}

/// Redacts one text.
pub fn redact(text: &str, kinds: &[Kind]) -> (String, Redactions) {
    let mut redactor = Redactor::new(kinds);
    let output = redactor.redact(text);
    (output, redactor.into_redactions())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(text: &str) -> String {
        redact(text, &Kind::ALL).0
    }

    #[test]
    fn each_kind_is_recognised_in_running_text() {
        for (text, expected) in [
            ("Mail ada.lovelace+x@mail.example.co.uk.", "Mail [[EMAIL_1]]."),
            ("<müller@straße.de>", "<[[EMAIL_1]]>"),
            ("Call +49 30 1234567 now", "Call [[PHONE_1]] now"),
            ("(030) 901820-0 or 0171/2345678.", "[[PHONE_1]] or [[PHONE_2]]."),
            ("call 555-123-4567", "call [[PHONE_1]]"),
            ("Card 4111 1111 1111 1111 exp 12/29", "Card [[CARD_1]] exp 12/29"),
            ("4111-1111-1111-1111 123", "[[CARD_1]] 123"),
            ("pay 378282246310005!", "pay [[CARD_1]]!"),
            ("IBAN DE89 3704 0044 0532 0130 00 please", "IBAN [[IBAN_1]] please"),
            ("GB82WEST12345698765432", "[[IBAN_1]]"),
            ("host 192.168.1.20:8080", "host [[IP_1]]:8080"),
            ("at 2001:db8::8a2e:370:7334.", "at [[IP_1]]."),
            ("key sk-abcdefghijklmnop1234", "key [[KEY_1]]"),
            ("AKIAIOSFODNN7EXAMPLE", "[[KEY_1]]"),
            ("token=ghp_0123456789abcdefABCDEF0123456789abcd", "token=[[KEY_1]]"),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "[[KEY_1]]"),
            ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\nbye", "[[KEY_1]]\nbye"),
        ] {
            assert_eq!(redacted(text), expected);
        }
    }

    #[test]
    fn what_only_resembles_them_is_left_alone() {
        for text in [
            "user@localhost and @handle and a@b",
            "on 2024-11-20 at 12:30:45, or 20.11.2024 or 01.02.2024",
            "pi is 3.14159265358979 and 0.123456789",
            "4111 1111 1111 1112 is no card, order 123456",
            "DE00 9704 9044 9532 9130 97 has a wrong check digit",
            "version 1.2.3 and 300.1.1.1 and std::fs::read, a::b, dead::beef",
            "sk-learn, ghp_short, eyJust text",
            "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
            "a_very_long_identifier_that_names_something_in_some_code",
        ] {
            assert_eq!(redacted(text), text);
        }
    }

    #[test]
    fn the_same_value_has_one_placeholder_across_texts() {
        let mut redactor = Redactor::new(&Kind::ALL);
        assert_eq!(redactor.redact("a@example.org b@example.org"), "[[EMAIL_1]] [[EMAIL_2]]");
        assert_eq!(redactor.redact("b@example.org 10.0.0.1"), "[[EMAIL_2]] [[IP_1]]");
        assert_eq!(redactor.redactions().entries.len(), 3);
    }

    #[test]
    fn only_the_kinds_asked_for_are_replaced() {
        assert_eq!(redact("a@example.org 10.0.0.1", &[Kind::Ip]).0, "a@example.org [[IP_1]]");
        assert_eq!(redact("a@example.org", &[]).0, "a@example.org");
    }

    #[test]
    fn text_that_looks_like_a_placeholder_comes_back_as_it_was() {
        let text = "Keep [[EMAIL_1]] and a@example.org, [[[IP_1]]] and [[LITERAL_1]]";
        let (sent, redactions) = redact(text, &Kind::ALL);
        assert_eq!(sent, "Keep [[LITERAL_1]] and [[EMAIL_1]], [[[LITERAL_2]]] and [[LITERAL_3]]");
        assert_eq!(restore(&sent, &redactions), text);
    }

    #[test]
    fn redacting_and_restoring_is_the_identity() {
        // Pieces that are, contain or resemble what is detected, glued in every way a small generator finds.
        let pieces = [
            "a@example.org",
            "@",
            ".",
            "+49 30 1234567",
            " ",
            "4111 1111 1111 1111",
            "[[",
            "]]",
            "[",
            "EMAIL_1",
            "[[EMAIL_1]]",
            "IP_1",
            "DE89 3704 0044 0532 0130 00",
            "10.0.0.1",
            "::1",
            "sk-abcdefghijklmnop1234",
            "é",
            "-----BEGIN PRIVATE KEY-----",
            "\n",
            "0",
            "_",
            "😀",
            "eyJhbGciOiJIUzI1NiJ9.",
            "[[LITERAL_",
            "1]]",
        ];
        let mut state = 7_u32;
        for _ in 0..20_000 {
            let mut text = String::new();
            for _ in 0..8 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                text += pieces[(state >> 16) as usize % pieces.len()];
            }
            let (sent, redactions) = redact(&text, &Kind::ALL);
            assert_eq!(restore(&sent, &redactions), text, "{sent}");
            let mut restorer = Restorer::new(&redactions);
            let mut streamed: String = sent.chars().map(|c| restorer.push(&c.to_string())).collect();
            streamed += &restorer.finish();
            assert_eq!(streamed, text);
        }
    }

    #[test]
    fn long_hostile_text_takes_linear_time() {
        for piece in ["a", "1", "1 ", "[[A", "a.", "(", "::", "A1", "-----BEGIN ", "eyJ", "+", "a@"] {
            let text = piece.repeat(400_000 / piece.len());
            let (sent, redactions) = redact(&text, &Kind::ALL);
            assert!(restore(&sent, &redactions) == text, "{piece:?}");
        }
    }
}
