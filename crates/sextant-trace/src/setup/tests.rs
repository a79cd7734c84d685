use sextant_sched::topology::Shape;

use super::*;

/// Two nodes of two caches of two cores of two threads.
const MACHINE: Shape = Shape { nodes: 2, llcs: 2, cores: 2, threads: 2 };

fn sets(text: &str) -> Vec<(String, String)> {
    let setup = read(text, Shape::flat(8)).unwrap_or_else(|e| panic!("{e}"));
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
    let setup = read(text, Shape::flat(8)).unwrap();
    let whole = |text: &str| vec![(String::new(), text.to_owned())];
    let want = [
        Entry {
            line: 1,
            map: "m".into(),
            at: None,
            key: Some(whole("1")),
            values: vec![vec![pair("w", "8"), pair("on", "true")]],
        },
        Entry { line: 5, map: "q".into(), at: Some(3), key: None, values: vec![whole("7")] },
    ];
    assert_eq!(setup.entries, want);
    let plain = |text: &str| Text::Plain(text.into());
    let run = |prog: &str, ctx: Context, returns: i32| Act::Run {
        prog: prog.into(),
        ctx,
        returns,
        on: None,
        save: Vec::new(),
    };
    let first = run("first", Context::Fields(vec![("pid".into(), plain("1"))]), 0);
    let second = run("second", Context::Words(vec![plain("1"), plain("-1")]), -22);
    let want = [Step { line: 9, at_ns: None, act: first }, Step { line: 13, at_ns: None, act: second }];
    assert_eq!(setup.steps, want);
}

/// The value of an expression on the machine above.
fn value(text: &str) -> std::result::Result<i128, String> {
    let names = Names { machine: MACHINE, nr_cpus: 16, i: Some(5), j: Some(4) };
    expr::eval(text, names, Some(&|name| (name == "mask" || name == "sizeof(struct x)").then_some(1 << 40)))
}

#[test]
fn words_say_the_machines_shape() {
    let table = [
        ("@cpus", 16),
        ("@cores", 8),
        ("@llcs", 4),
        ("@nodes", 2),
        ("@threads", 2),
        ("@core(@i)", 2),
        ("@llc(@i)", 1),
        ("@node(15)", 1),
        ("@sibling(@i)", 4),
        ("@sibling(4)", 5),
        ("@siblings(@i)", 0x30),
        ("@core_cpus(2)", 0x30),
        ("@llc_cpus(1)", 0xf0),
        ("@node_cpus(1)", 0xff00),
        ("@cpu_mask(@j)", 0x10),
        ("@all_cpus", 0xffff),
        ("@all_cpus(1)", 0),
        ("@llc_cpus(@llc(9), 0) + 1", 0xf01),
        ("$mask + 8", (1 << 40) + 8),
        ("$sizeof(struct x) / 2", 1 << 39),
    ];
    for (text, want) in table {
        assert_eq!(value(text), Ok(want), "{text}");
    }
    let wrong = [
        ("@llc(16)", "@llc(16): this machine has 16 CPUs"),
        ("@llc_cpus(4)", "@llc_cpus(4): this machine has 4 caches"),
        ("@llc(1, 2)", "\"@llc(…)\" is no word with these arguments"),
        ("@bogus(1)", "\"@bogus(…)\" is no word with these arguments"),
        ("$other", "$other: no step before this one has saved it"),
        ("$sizeof(y)", "$sizeof(y): the object has no such type"),
        ("@siblings(1", "a ) is missing"),
    ];
    for (text, want) in wrong {
        assert!(value(text).unwrap_err().starts_with(want), "{text}: {:?}", value(text));
    }
    let flat = Names { machine: Shape::flat(100), nr_cpus: 100, i: None, j: None };
    assert_eq!(expr::eval("@sibling(3)", flat, None), Ok(-1));
    assert_eq!(expr::eval("@all_cpus(1)", flat, None), Ok((1 << 36) - 1));
    assert!(expr::eval("@all_cpus", flat, None).unwrap_err().contains("has 2 words"));
}

/// The steps of a file on the machine above, each as `time: what it does`.
fn steps(text: &str) -> Vec<String> {
    let shown = |texts: &[(String, Text)]| {
        let all = resolve_parts(texts, &|name| (name == "mask").then_some(64)).expect("known names");
        all.iter().map(|(path, text)| format!("{path}={text}")).collect::<Vec<_>>().join(" ")
    };
    let one = |step: &Step| {
        let what = match &step.act {
            Act::Run { prog, ctx: Context::Fields(fields), on, save, .. } => {
                let on = on.map_or(String::new(), |cpu| format!(" on {cpu}"));
                let save: String = save.iter().map(|(name, field)| format!(" {name}<-{field}")).collect();
                format!("run {prog} {}{on}{save}", shown(fields))
            }
            Act::Run { prog, .. } => format!("run {prog}"),
            Act::Write { to: Target::Global(name), value } => format!("write {name}{}", shown(value)),
            Act::Write { to: Target::Arena(at), value } => {
                format!("arena {}{}", at.resolve(&|_| Some(64)).expect("a known name"), shown(value))
            }
            Act::Write { to: Target::Map { map, key, .. }, value } => {
                format!("map {map}[{}]{}", key.as_ref().map_or(String::new(), |key| shown(key)), shown(value))
            }
        };
        step.at_ns.map_or(what.clone(), |at| format!("{at}: {what}"))
    };
    read(text, MACHINE).unwrap_or_else(|e| panic!("{e}")).steps.iter().map(one).collect()
}

#[test]
fn steps_are_repeated_and_in_file_order() {
    let text = "[[run]]\nprog = 'a'\nctx = { cpu = '@i', other = '@j' }\nfor = 'sibling'\n";
    let all = steps(text);
    assert_eq!(all.len(), 16);
    assert_eq!(all[..3], ["run a cpu=0 other=1", "run a cpu=1 other=0", "run a cpu=2 other=3"]);
    let counts = [
        ("cpu", 16),
        ("core", 8),
        ("llc", 4),
        ("node", 2),
        ("llc_pair", 48),
        ("node_pair", 112),
        ("@cpus / 4", 4),
    ];
    for (of, count) in counts {
        let text = format!("[[run]]\nprog = 'a'\nfor = '{of}'\n");
        assert_eq!(steps(&text).len(), count, "{of}");
    }

    let text = "[[do]]\nfor = 'node'\nsteps = [\n\
                { prog = 'alloc', ctx = { bits = 0 }, save = { mask = 'bits' } },\n\
                { arena = '$mask + 8', value = ['@node_cpus(@i)', 1] },\n\
                { prog = 'init', ctx = { bits = '$mask', id = '@i' } },\n]\n\
                [[write]]\nat = '1s'\nglobal = 'conf'\nvalue = { a = 1, b = '@cpus' }\n\
                [[run]]\nprog = 'late'\nat = '20ms'\non = '@i'\nfor = 2\nctx = {}\n\
                [[write]]\nmap = 'm'\nkey = '@i'\nvalue = 7\nfor = 'llc'\n";
    let want = [
        "run alloc bits=0 mask<-bits",
        "arena 72=[255, 1]",
        "run init bits=64 id=0",
        "run alloc bits=0 mask<-bits",
        "arena 72=[65280, 1]",
        "run init bits=64 id=1",
        "1000000000: write confa=1 b=16",
        "20000000: run late  on 0",
        "20000000: run late  on 1",
        "map m[=0]=7",
        "map m[=1]=7",
        "map m[=2]=7",
        "map m[=3]=7",
    ];
    assert_eq!(steps(text), want);
}

#[test]
fn programs_entries_in_turns_and_values_per_cpu() {
    let text = "[programs.tick]\nload = true\ntarget = 'sched_tick'\n[programs.probe]\nload = false\n\
                [[maps.m.entries]]\nfor = 'llc'\nkey = '@i'\nvalue = '@llc_cpus(@i)'\n\
                [[maps.p.entries]]\nkey = 0\nper_cpu = { id = '@i', llc = '@llc(@i)' }\n";
    let setup = read(text, MACHINE).unwrap();
    let tick = Prog { line: 1, name: "tick".into(), load: Some(true), target: Some("sched_tick".into()) };
    let probe = Prog { line: 4, name: "probe".into(), load: Some(false), target: None };
    assert_eq!(setup.progs, [tick, probe]);
    assert_eq!(setup.entries.len(), 5);
    let whole = |text: &str| vec![(String::new(), text.to_owned())];
    assert_eq!((&setup.entries[3].key, &setup.entries[3].values), (&Some(whole("3")), &vec![whole("61440")]));
    assert_eq!(setup.entries[4].values.len(), 16);
    assert_eq!(setup.entries[4].values[9], [pair("id", "9"), pair("llc", "2")]);
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let cases = [
        ("[globals\n", "1: "),
        (
            "\n[global]\na = 1\n",
            "2: \"global\" is not known here; did you mean \"globals\"? (known: globals, arrays, ops, programs, maps, run, write, do)",
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
        ("[globals]\na = '$x'\n", "2: $names are what steps have saved"),
        ("[[run]]\nprog = 'a'\non = 8\n", "3: there is no CPU 8: the machine has 8"),
        ("[[run]]\nprog = 'a'\nfor = 'cpus'\n", "3: for = \"cpus\": it is \"cpu\", \"core\""),
        ("[[run]]\nprog = 'a'\nat = '1'\n", "3: \"1\" is no time: write \"1s\""),
        ("[[run]]\nprog = 'a'\nsave = { x = 'y' }\n", "1: `save` keeps what is in the context"),
        ("[[write]]\nglobal = 'a'\n", "1: a write needs its `value`"),
        ("[[write]]\nvalue = 1\n", "1: a step writes to one of `global`, `map` and `arena`"),
        ("[[write]]\nglobal = 'a'\nkey = 1\nvalue = 1\n", "3: `key` belongs to a `map`"),
        ("[[do]]\nfor = 'cpu'\n", "1: [[do]] needs its `steps`"),
        ("[[do]]\nsteps = [{ prog = 'a', at = '1s' }]\n", "2: `at` belongs to the [[do]]"),
        ("[programs.a]\nload = 1\n", "2: load is true or false"),
        (
            "[[maps.m.entries]]\nvalue = 1\nper_cpu = 2\n",
            "3: an entry has a `value` or a value `per_cpu`, not both",
        ),
    ];
    for (text, want) in cases {
        let error = read(text, Shape::flat(8)).expect_err(text).to_string();
        assert!(error.starts_with(want), "{text:?}: {error}");
    }
    let deep = format!("[globals]\na = '{}@cpus'\n", "(".repeat(10_000));
    assert_eq!(read(&deep, Shape::flat(8)).unwrap_err().to_string(), "2: too many parentheses");
    let minus = format!("[globals]\na = '{}@cpus'\n", "-".repeat(10_000));
    assert_eq!(read(&minus, Shape::flat(8)).unwrap_err().to_string(), "2: too many parentheses");
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
        match read(&text, Shape::flat(4)) {
            Ok(_) => read_whole += 1,
            Err(e) => assert!((1..=text.lines().count() + 1).contains(&e.line), "{text}: {e}"),
        }
    }
    assert!((100..4_900).contains(&read_whole), "{read_whole}");
}
