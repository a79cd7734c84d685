//! `--duration`: a number with its unit, without floats.

use sextant_abi::Ns;

/// Units and their ns.
const UNITS: [(&str, u64); 5] =
    [("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000), ("min", 60_000_000_000)];

/// Longest run: ten years.
const MAX_NS: u64 = 10 * 365 * 86_400 * 1_000_000_000;

/// Reads `2s`, `1.5s`, `500ms`, `100us`, `250ns`, `3min`.
pub fn parse(text: &str) -> Result<Ns, String> {
    let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    if unit.is_empty() && !number.is_empty() {
        return Err(format!(
            "a unit is missing: {number}s, {number}ms, {number}us, {number}ns or {number}min"
        ));
    }
    let Some(&(_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return Err(format!("unknown unit \"{unit}\"; write 2s, 1.5s, 500ms, 100us, 250ns or 3min"));
    };
    let ns = scaled(number, scale).ok_or("not a number that makes sense; write 2s or 500ms")?;
    match ns {
        0 => Err("must be longer than zero".into()),
        MAX_NS.. => Err("must be shorter than ten years".into()),
        _ => Ok(Ns(ns)),
    }
}

/// `number * scale` of a decimal number; None if it is none, overflows, or is finer than 1 ns.
fn scaled(number: &str, scale: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    let mut ns = whole.parse::<u64>().ok()?.checked_mul(scale)?;
    if !fraction.is_empty() {
        let places = 10u64.checked_pow(u32::try_from(fraction.len()).ok()?)?;
        let part = fraction.parse::<u64>().ok()?.checked_mul(scale)?;
        if part % places != 0 {
            return None;
        }
        ns = ns.checked_add(part / places)?;
    }
    Some(ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ns) in [
            ("2s", 2_000_000_000),
            ("1.5s", 1_500_000_000),
            ("500ms", 500_000_000),
            ("0.25us", 250),
            ("7ns", 7),
            ("1.50min", 90_000_000_000),
        ] {
            assert_eq!(parse(text), Ok(Ns(ns)), "{text}");
        }
    }

    #[test]
    fn what_is_no_duration() {
        for text in [
            "",
            "2",
            "s",
            "2 s",
            "-2s",
            "2h",
            "0s",
            "0.0ms",
            "0.1ns",
            "1.2.3s",
            "99999999999s",
            "1e3s",
            ".5s",
            "２s",
        ] {
            assert!(parse(text).is_err(), "{text}: {:?}", parse(text));
        }
    }
}
