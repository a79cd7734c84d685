//! "Did you mean …?": the known name nearest to one that is not known.

/// The candidate nearest to `name` by edit distance, if it is near enough to be a plausible slip of the pen.
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = match name.chars().count() {
        0..=2 => 1,
        3..=5 => 2,
        n => n.min(64) / 3 + 1,
    };
    let scored = candidates.into_iter().map(|c| (distance(name, c), c)).filter(|&(d, _)| d <= limit);
    scored.min_by_key(|&(d, c)| (d, c.len())).map(|(_, c)| c)
}

/// ` (did you mean "NAME"?)`, or nothing.
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, candidates).map_or(String::new(), |n| format!("; did you mean \"{n}\"?"))
}

/// Insertions, deletions, substitutions and swaps of neighbours, ignoring case.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.to_lowercase().chars().take(128).collect();
    let b: Vec<char> = b.to_lowercase().chars().take(128).collect();
    let mut before = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_slips_and_nothing_else() {
        let keys = ["run", "runtime", "sleep", "suspend", "resume", "priority", "cpus", "loop"];
        for (typo, want) in [
            ("slepe", Some("sleep")),
            ("rum", Some("run")),
            ("prioritty", Some("priority")),
            ("Loop", Some("loop")),
            ("susspend", Some("suspend")),
            ("zebra", None),
            ("", None),
        ] {
            assert_eq!(nearest(typo, keys), want, "{typo}");
        }
    }
}
