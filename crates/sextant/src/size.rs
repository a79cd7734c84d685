//! Sizes of memory on the command line: `512M`, `8G`, `65536`.

/// Bytes. K, M, G and T are powers of 1024, with or without `iB`; at least one page.
///
/// # Errors
/// What is wrong, and what to write.
pub fn parse(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_end_matches("iB") {
        "" if unit.is_empty() => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err(format!("\"{text}\" is no size: write 512M, 8G or a number of bytes")),
    };
    let number: u64 = number.parse().map_err(|_| format!("\"{text}\" is no size: write 512M or 8G"))?;
    match number.checked_mul(1 << shift) {
        Some(bytes) if bytes >= 4096 => Ok(bytes),
        Some(_) => Err(format!("{text} is less than a page of 4096 bytes")),
        None => Err(format!("{text} is more than a machine can have")),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn units_are_powers_of_1024() {
        assert_eq!(parse("4096"), Ok(4096));
        assert_eq!(parse("64K"), Ok(65536));
        assert_eq!(parse("512MiB"), Ok(512 << 20));
        assert_eq!(parse("8G"), Ok(8 << 30));
        for bad in ["", "G", "1X", "iB", "-1", "1.5G", "4095", "99999999T"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
