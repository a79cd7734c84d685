use super::*;

fn sets(text: &str) -> Vec<(String, String)> {
    let setup = read(text, 8).unwrap_or_else(|e| panic!("{e}"));
    setup.sets.into_iter().map(|set| (set.path, set.value)).collect()
}

fn pair(path: &str, value: &str) -> (String, String) {
    (path.into(), value.into())
}

#[test]
fn globals_and_ops() {
    let text = "[globals]\nnr = '@cpus'\nslice = 'SCX_SLICE_DFL'\non = true\nmask = 0xff\n\
                list = [1, '@cpus / 2']\ncfg = { a = 1, b = { c = 2 } }\n[ops]\ntimeout_ms = 5000\nflags = 'A|B'\n";
    let want = [
        pair("list", "[1, 4]"),
        pair("nr", "8"),
        pair("slice", "SCX_SLICE_DFL"),
        pair("on", "true"),
        pair("mask", "255"),
        pair("cfg.a", "1"),
        pair("cfg.b.c", "2"),
        pair("ops.timeout_ms", "5000"),
        pair("ops.flags", "A|B"),
    ];
    assert_eq!(sets(text), want);
}

#[test]
fn arrays_and_maps() {
    let text = "[arrays]\nzeros = '@cpus'\nother = { len = 4, each = '(@i + 2) % 4' }\nsame = { len = 2, each = -1 }\n\
                [maps.q]\nmax_entries = '@cpus / 2'\ninner = 4096\n";
    let want = [
        pair("zeros", "[0; 8]"),
        pair("other", "[2, 3, 0, 1]"),
        pair("same", "[-1, -1]"),
        pair("map:q.max_entries", "4"),
        pair("map:q.inner", "4096"),
    ];
    assert_eq!(sets(text), want);
}

#[test]
fn entries_and_runs() {
    let text = "[[maps.m.entries]]\nkey = 1\nvalue = { w = '@cpus', on = true }\n\n[[maps.q.entries]]\nat = 3\nvalue = 7\n\n\
                [[run]]\nprog = 'first'\nctx = { pid = 1 }\n\n[[run]]\nprog = 'second'\nargs = [1, -1]\nreturns = -22\n";
    let setup = read(text, 8).unwrap();
    let whole = |text: &str| vec![(String::new(), text.to_owned())];
    let want = [
        Entry {
            line: 1,
            map: "m".into(),
            at: None,
            key: Some(whole("1")),
            value: vec![pair("w", "8"), pair("on", "true")],
        },
        Entry { line: 5, map: "q".into(), at: Some(3), key: None, value: whole("7") },
    ];
    assert_eq!(setup.entries, want);
    let first = &setup.runs[0];
    assert_eq!((first.line, &*first.prog, first.returns), (9, "first", 0));
    assert_eq!(first.ctx, Context::Fields(vec![pair("pid", "1")]));
    let second = &setup.runs[1];
    assert_eq!(second.returns, -22);
    assert_eq!(second.ctx, Context::Words(vec![1, u64::MAX]));
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let cases = [
        ("[globals\n", "1: "),
        (
            "\n[global]\na = 1\n",
            "2: \"global\" is not known here; did you mean \"globals\"? (known: globals, arrays, ops, maps, run)",
        ),
        ("[globals]\na = 1.5\n", "2: numbers are whole"),
        ("[globals]\n\na = '@cpu'\n", "3: \"@cpu\" is no number"),
        ("[globals]\na = '@i'\n", "2: @i is the index of an element"),
        ("[globals]\na = '@cpus / (1 - 1)'\n", "2: a division by 0"),
        ("[globals]\na = '(@cpus'\n", "2: a ) is missing"),
        ("[globals]\na = '@cpus 2'\n", "2: \"@cpus 2\": \"2\" is not expected there"),
        ("[globals]\na = '9223372036854775807 * @cpus'\n", "2: the value is too large"),
        ("[arrays]\na = { each = 1 }\n", "2: an array needs its `len`"),
        ("[arrays]\na = 99999999\n", "2: a length of 99999999: it must be 0 to 1048576"),
        ("[maps.m]\nmax = 1\n", "2: \"max\" is not known here (known: max_entries, inner, entries)"),
        ("[maps.m]\nmax_entries = -1\n", "2: max_entries cannot be -1"),
        ("[[maps.m.entries]]\nkey = 1\n", "1: an entry needs a `value`"),
        ("[run]\nprog = 'a'\n", "1: run (write [[run]]) must be a list"),
        ("[[run]]\nctx = {}\n", "1: [[run]] needs the name of a `prog`"),
        ("[[run]]\nprog = 'a'\nreturn = 1\n", "3: \"return\" is not known here; did you mean \"returns\"?"),
        ("a = 1\na = 2\n", "2: "),
    ];
    for (text, want) in cases {
        let error = read(text, 8).expect_err(text).to_string();
        assert!(error.starts_with(want), "{text:?}: {error}");
    }
    let deep = format!("[globals]\na = '{}@cpus'\n", "(".repeat(10_000));
    assert_eq!(read(&deep, 8).unwrap_err().to_string(), "2: too many parentheses");
    let minus = format!("[globals]\na = '{}@cpus'\n", "-".repeat(10_000));
    assert_eq!(read(&minus, 8).unwrap_err().to_string(), "2: too many parentheses");
}

/// Broken copies of a good file: an error with a line that the file has, or a setup; never a panic.
#[test]
fn any_text_is_read_or_refused() {
    let good = "[globals]\nnr = '@cpus'\nlist = [1, '@cpus / 2']\ncfg = { a = 1 }\n[arrays]\nzeros = '@cpus'\n\
                other = { len = 4, each = '(@i + 2) % 4' }\n[ops]\nflags = 'A|B'\n[maps.q]\nmax_entries = 4\n\
                entries = [{ at = 2, key = 1, value = { w = 0xff } }]\n[[run]]\nprog = 'p'\nargs = [9, -4]\nreturns = 7\n";
    let pieces = [
        "@i",
        "@cpus",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "=",
        "\n",
        "'",
        "-",
        "9",
        "99999999999",
        ".",
        "é",
        "len",
    ];
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut read_whole = 0;
    for _ in 0..5_000 {
        let mut text: Vec<char> = good.chars().collect();
        for _ in 0..=random(3) {
            let at = random(text.len());
            match random(3) {
                0 => drop(text.remove(at)),
                1 => drop(text.splice(at..at, pieces[random(pieces.len())].chars())),
                _ => drop(text.splice(at..(at + 4).min(text.len()), pieces[random(pieces.len())].chars())),
            }
        }
        let text = String::from_iter(text);
        match read(&text, 4) {
            Ok(_) => read_whole += 1,
            Err(e) => assert!((1..=text.lines().count() + 1).contains(&e.line), "{text}: {e}"),
        }
    }
    assert!((100..4_900).contains(&read_whole), "{read_whole}");
}
