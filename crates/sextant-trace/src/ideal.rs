//! The shares an ideal scheduler would give: weighted water-filling.
//!
//! Every task has a weight and a demand, the CPU time it would use if it never waited, which is at most one CPU. Tasks
//! get CPU time in proportion to their weights; what a task does not want goes to the others, again by weight.
//!
//! What must hold: nobody gets more than its demand; nothing is left while somebody wants more; of two tasks whose demand
//! is not met, each gets in proportion to its weight; integers only (rounded down, below 1 ns a task).
//! Left out: affinity. A workload that pins tasks can have an ideal that no scheduler may reach.

/// What one task asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Demand {
    /// Weight, 1024 for nice 0.
    pub weight: u64,
    /// CPU time it would use if it never waited, ns.
    pub want_ns: u64,
}

/// What a run tells about a task, of which its demand is estimated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Observed {
    /// Time on a CPU, ns.
    pub run_ns: u64,
    /// Time runnable but not running, ns.
    pub wait_ns: u64,
    /// Time between its start and its end (or the run's), ns.
    pub alive_ns: u64,
}

impl Observed {
    /// Running and sleeping alternate, and a task that waits does neither: without waiting it would have gone on
    /// running and sleeping in the same proportion. A task that only waited wants a whole CPU, for all anyone knows.
    pub fn want_ns(&self) -> u64 {
        let busy_or_asleep = self.alive_ns.saturating_sub(self.wait_ns).max(self.run_ns);
        match busy_or_asleep {
            0 => self.alive_ns,
            n => mul_div(self.alive_ns, self.run_ns, n),
        }
    }
}

/// CPU time of each task, ns, when `capacity_ns` (CPUs × duration) is shared ideally. In the order of `demands`.
pub fn ideal_shares(demands: &[Demand], capacity_ns: u64) -> Vec<u64> {
    let mut order: Vec<usize> = (0..demands.len()).collect();
    // Who is satisfied first while the level rises: the smallest demand per weight.
    order.sort_by(|&a, &b| {
        let (a, b) = (demands[a], demands[b]);
        let (x, y) =
            (u128::from(a.want_ns) * u128::from(b.weight), u128::from(b.want_ns) * u128::from(a.weight));
        x.cmp(&y)
    });
    let mut left_ns = capacity_ns;
    let mut weight: u64 = demands.iter().map(|d| d.weight).sum();
    let mut shares = vec![0; demands.len()];
    for i in order {
        let Demand { weight: own, want_ns } = demands[i];
        if weight == 0 {
            break;
        }
        shares[i] = want_ns.min(mul_div(left_ns, own, weight));
        left_ns -= shares[i];
        weight -= own;
    }
    shares
}

/// `a * b / c`, rounded down; `c` is not 0 and the result fits because `b <= c`.
fn mul_div(a: u64, b: u64, c: u64) -> u64 {
    (u128::from(a) * u128::from(b) / u128::from(c)) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(demands: &[(u64, u64)], capacity: u64) -> Vec<u64> {
        let demands: Vec<Demand> =
            demands.iter().map(|&(weight, want_ns)| Demand { weight, want_ns }).collect();
        ideal_shares(&demands, capacity)
    }

    #[test]
    fn everybody_is_served_when_there_is_enough() {
        assert_eq!(shares(&[(1024, 100), (15, 300)], 1000), [100, 300]);
        assert!(shares(&[], 1000).is_empty());
    }

    #[test]
    fn hogs_share_by_weight() {
        assert_eq!(shares(&[(2048, 1000), (1024, 1000)], 900), [600, 300]);
    }

    #[test]
    fn what_a_sleeper_leaves_goes_to_the_others_by_weight() {
        assert_eq!(shares(&[(1024, 100), (2048, 1000), (1024, 1000)], 1000), [100, 600, 300]);
    }

    /// Hogs of nice 0, 1, 5 and 10 on 2 CPUs for 1 s. Their weights sum up to 2289; nice 0 would get 0.89 CPUs, below one.
    #[test]
    fn nice_levels_on_two_cpus() {
        let s = 1_000_000_000;
        let got = shares(&[(1024, s), (820, s), (335, s), (110, s)], 2 * s);
        let want = [1024u64, 820, 335, 110].map(|w| 2 * s * w / 2289);
        for (got, want) in got.iter().zip(want) {
            assert!(got.abs_diff(want) <= 4, "{got} {want}");
        }
    }

    #[test]
    fn nobody_gets_more_than_one_cpu() {
        // Nice -20 beside nice 0 on 2 CPUs: a CPU each, though the weights are 86 to 1.
        assert_eq!(shares(&[(88761, 500), (1024, 500), (1024, 500)], 1000), [500, 250, 250]);
    }

    /// The definition, checked on many random loads: caps, no waste, and a common level for the unsatisfied.
    #[test]
    fn water_filling_laws() {
        let mut x = 1u64;
        let mut random = |n: u64| {
            x = x.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (x >> 33) % n
        };
        for _ in 0..2000 {
            let n = 1 + random(12) as usize;
            let demands: Vec<(u64, u64)> =
                (0..n).map(|_| (3 + random(90_000), random(1_000_000_000))).collect();
            let capacity = random(4_000_000_000);
            let got = shares(&demands, capacity);
            let total: u64 = got.iter().sum();
            let wanted: u64 = demands.iter().map(|d| d.1).sum();
            assert!(total <= capacity);
            assert!(wanted.min(capacity) - total <= n as u64, "waste: {demands:?} {capacity} {got:?}");
            let level = |i: usize| got[i] as f64 / demands[i].0 as f64;
            for i in 0..n {
                assert!(got[i] <= demands[i].1);
                for j in 0..n {
                    if got[i] < demands[i].1 {
                        assert!(level(j) <= level(i) + 1.0, "{demands:?} {capacity} {got:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn demand_is_estimated_from_what_was_seen() {
        let want = |run_ns, wait_ns, alive_ns| Observed { run_ns, wait_ns, alive_ns }.want_ns();
        assert_eq!(want(1000, 0, 1000), 1000); // a hog alone
        assert_eq!(want(300, 700, 1000), 1000); // a hog that waited
        assert_eq!(want(100, 0, 1000), 100); // a sleeper
        assert_eq!(want(50, 500, 1000), 100); // a sleeper that waited half the time
        assert_eq!(want(0, 1000, 1000), 1000); // starved
        assert_eq!(want(0, 0, 0), 0);
    }
}
