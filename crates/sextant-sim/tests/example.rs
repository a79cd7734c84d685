//! The example of the book's page "Prototype a policy in Rust" runs.

#[path = "../examples/policy.rs"]
mod policy;

#[test]
fn the_example_policy_runs() {
    policy::main();
}
