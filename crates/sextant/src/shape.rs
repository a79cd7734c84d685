//! Machines on the command line: `nodes=2,llcs=4,cores=8,threads=2`.

use sextant_sched::topology::Shape;

use crate::cli::MAX_CPUS;

/// Reads a shape; what is left out is 1.
pub fn parse(text: &str) -> Result<Shape, String> {
    let mut shape = Shape { nodes: 0, llcs: 0, cores: 0, threads: 0 };
    for part in text.split(',') {
        let bad = || format!("\"{part}\": expected nodes=N, llcs=N, cores=N or threads=N");
        let (key, value) = part.split_once('=').ok_or_else(bad)?;
        let slot = match key {
            "nodes" => &mut shape.nodes,
            "llcs" => &mut shape.llcs,
            "cores" => &mut shape.cores,
            "threads" => &mut shape.threads,
            _ => return Err(bad()),
        };
        if *slot != 0 {
            return Err(format!("{key} is given twice"));
        }
        *slot = value.parse().ok().filter(|&n| n > 0).ok_or_else(bad)?;
    }
    for slot in [&mut shape.nodes, &mut shape.llcs, &mut shape.cores, &mut shape.threads] {
        *slot = (*slot).max(1);
    }
    match shape.nr_cpus() {
        Some(n) if n <= MAX_CPUS => Ok(shape),
        _ => Err(format!("a machine has at most {MAX_CPUS} CPUs")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_counts() {
        let shape = |nodes, llcs, cores, threads| Ok(Shape { nodes, llcs, cores, threads });
        assert_eq!(parse("nodes=2,llcs=4,cores=8,threads=2"), shape(2, 4, 8, 2));
        assert_eq!(parse("cores=6"), shape(1, 1, 6, 1));
        for (text, why) in [
            ("", "\"\": expected nodes=N, llcs=N, cores=N or threads=N"),
            ("cores=0", "\"cores=0\": expected nodes=N, llcs=N, cores=N or threads=N"),
            ("sockets=2", "\"sockets=2\": expected nodes=N, llcs=N, cores=N or threads=N"),
            ("cores=2,cores=2", "cores is given twice"),
            ("nodes=100,cores=100", "a machine has at most 8192 CPUs"),
            ("nodes=99999,llcs=99999", "a machine has at most 8192 CPUs"),
        ] {
            assert_eq!(parse(text), Err(why.into()));
        }
    }
}
