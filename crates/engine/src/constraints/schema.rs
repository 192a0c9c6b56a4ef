//! Schemas whose work is not in proportion to their length are refused before anything works on them.

use serde_json::{Number, Value};

/// The largest bound of an integer.
const LARGEST_INTEGER: i64 = 9_000_000_000_000_000_000;
/// The largest number whose multiples are written, without its decimal point: each remainder is a state.
const LARGEST_MULTIPLE: u64 = 5_000;
/// Multiples of finer fractions are not written.
const MOST_DECIMALS: u32 = 6;
/// Every property of an object is compared with every other, and every alternative too: so many of these pairs take
/// a fiftieth of a second.
const PAIRS_LIMIT: usize = 300 * 300;

/// Says what is too much. Bounds of numbers are brought to where llguidance can reckon with them, which is stricter
/// and so still right.
pub(super) fn check_schema(schema: &mut Value) -> Result<(), String> {
    let mut work = Work { pairs: 0, multiple: Decimal { digits: 1, decimals: 0 } };
    work.look_at(schema)?;
    if work.pairs > PAIRS_LIMIT {
        let most = PAIRS_LIMIT.isqrt();
        return Err(format!("one object may have {most} properties or alternatives, several together fewer; split it"));
    }
    Ok(())
}

/// The same for the schemas within a grammar.
pub(super) fn check_schemas_within(grammar: &str) -> Result<(), String> {
    let mut rest = grammar;
    while let Some((_, behind)) = rest.split_once("%json") {
        let mut values = serde_json::Deserializer::from_str(behind).into_iter::<Value>();
        rest = behind;
        if let Some(Ok(mut schema)) = values.next() {
            rest = &behind[values.byte_offset()..];
            check_schema(&mut schema)?;
        }
    }
    Ok(())
}

/// What a schema asks for so far.
struct Work {
    pairs: usize,
    /// The least number that is a multiple of all that are asked for: parts of a schema may be about the same value.
    multiple: Decimal,
}

impl Work {
    fn look_at(&mut self, schema: &mut Value) -> Result<(), String> {
        let fields = match schema {
            Value::Array(items) => return items.iter_mut().try_for_each(|item| self.look_at(item)),
            Value::Object(fields) => fields,
            _ => return Ok(()),
        };
        for (key, value) in fields {
            match (key.as_str(), &mut *value) {
                ("const" | "enum" | "default" | "examples", _) => continue,
                ("properties", Value::Object(parts)) => self.pairs += parts.len() * parts.len(),
                ("anyOf" | "oneOf" | "allOf", Value::Array(parts)) => self.pairs += parts.len() * parts.len(),
                ("minimum" | "maximum" | "exclusiveMinimum" | "exclusiveMaximum", Value::Number(bound)) => {
                    let value = bound.as_f64().unwrap_or_default();
                    if (LARGEST_INTEGER as f64..1e300).contains(&value.abs()) {
                        *bound = (LARGEST_INTEGER * value.signum() as i64).into();
                    }
                }
                ("multipleOf", Value::Number(number)) => {
                    let multiple = Decimal::of(number).and_then(|number| self.multiple.least_common(number));
                    self.multiple = multiple.ok_or_else(|| {
                        format!(
                            "`multipleOf` is {number}; without its decimal point, and together with the other ones, it may be {LARGEST_MULTIPLE} at most"
                        )
                    })?;
                }
                _ => {}
            }
            self.look_at(value)?;
        }
        Ok(())
    }
}

/// A number of so many digits behind the decimal point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Decimal {
    digits: u64,
    decimals: u32,
}

impl Decimal {
    /// The number, if it is positive and within the bounds.
    fn of(number: &Number) -> Option<Self> {
        let number = number.as_f64().filter(|number| *number > 0.0)?;
        let decimals = (0..=MOST_DECIMALS).find(|decimals| {
            let scaled = number * 10_f64.powi(*decimals as i32);
            scaled.round() >= 1.0 && (scaled - scaled.round()).abs() <= scaled * 1e-9
        })?;
        let digits = (number * 10_f64.powi(decimals as i32)).round();
        Self { digits: digits as u64, decimals }.within_bounds()
    }

    fn within_bounds(mut self) -> Option<Self> {
        while self.decimals > 0 && self.digits.is_multiple_of(10) {
            self.digits /= 10;
            self.decimals -= 1;
        }
        (1..=LARGEST_MULTIPLE).contains(&self.digits).then_some(self)
    }

    /// The least multiple of both.
    fn least_common(self, other: Self) -> Option<Self> {
        let decimals = self.decimals.max(other.decimals);
        let at = |one: Self| one.digits.checked_mul(10_u64.checked_pow(decimals - one.decimals)?);
        let (one, other) = (at(self)?, at(other)?);
        let (mut divisor, mut rest) = (one, other);
        while rest > 0 {
            (divisor, rest) = (rest, divisor % rest);
        }
        Self { digits: (one / divisor).checked_mul(other)?, decimals }.within_bounds()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check_schema;

    #[test]
    fn bounds_come_within_reach() {
        let mut schema = json!({
            "properties": { "minimum": { "minimum": i64::MIN, "maximum": u64::MAX }, "b": { "maximum": 3 } },
            "enum": [{ "minimum": i64::MIN }],
        });
        check_schema(&mut schema).unwrap();
        let expected = json!({
            "properties": {
                "minimum": { "minimum": -9_000_000_000_000_000_000_i64, "maximum": 9_000_000_000_000_000_000_i64 },
                "b": { "maximum": 3 },
            },
            "enum": [{ "minimum": i64::MIN }],
        });
        assert_eq!(schema, expected);
    }

    #[test]
    fn large_multiples_are_refused_alone_and_together() {
        let of = |numbers: &[f64]| {
            let parts: Vec<_> = numbers.iter().map(|number| json!({ "multipleOf": number })).collect();
            check_schema(&mut json!({ "allOf": parts }))
        };
        for sound in [&[5.0, 10.0, 3600.0][..], &[0.01, 0.5], &[0.001, 1000.0], &[2.5e-5], &[1024.0]] {
            of(sound).unwrap_or_else(|problem| panic!("{sound:?}: {problem}"));
        }
        for refused in [&[1_000_000_007.0][..], &[997.0, 991.0], &[2.5e-7], &[0.0], &[-2.0], &[1e300], &[1e-300]] {
            assert!(of(refused).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn one_wide_object_is_refused_and_many_small_ones_are_not() {
        let object = |count: usize| {
            let parts: serde_json::Map<_, _> = (0..count).map(|number| (number.to_string(), json!({}))).collect();
            json!({ "properties": parts })
        };
        assert!(check_schema(&mut object(301)).is_err());
        assert!(check_schema(&mut json!({ "anyOf": vec![json!(true); 301] })).is_err());
        assert!(check_schema(&mut json!({ "items": [object(250), object(250)] })).is_err());
        check_schema(&mut json!({ "items": vec![object(20); 100] })).unwrap();
    }
}
