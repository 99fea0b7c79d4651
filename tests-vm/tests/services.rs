//! The Services of a real cluster survive restarts, full syncs of kube-proxy, saved RAM and reboots, or, with
//! `K3S_TEST_STAND_MINUTES`, so many minutes.
//!
//! The steps share one VM and run in this order.

use std::process::ExitCode;
use std::time::Duration;

use k3s_vm_tests_vm::project::ExampleProject;
use k3s_vm_tests_vm::services_steps::{self, Cluster};
use k3s_vm_tests_vm::steps::Steps;

const WEB_PORT: u16 = 30080;
/// The variable with the minutes that the cluster is to run unused.
const STAND: &str = "K3S_TEST_STAND_MINUTES";

fn main() -> ExitCode {
    let project = ExampleProject::copy();
    let cluster = Cluster { project: &project, port: WEB_PORT };
    let mut steps = Steps::default();
    steps.run("a_project_is_started", || drop(project.ok(&["start", "--timeout", "20m"])));
    match std::env::var(STAND) {
        Ok(minutes) => {
            let minutes: u64 =
                minutes.parse().unwrap_or_else(|_| panic!("{STAND}={minutes} is not a number of minutes"));
            services_steps::hourly_sync(&mut steps, &cluster, Duration::from_secs(minutes * 60));
        }
        Err(_) => {
            services_steps::restarts(&mut steps, &cluster);
            services_steps::broken(&mut steps, &cluster);
            services_steps::restores_and_boots(&mut steps, &cluster);
            steps.skip("services_survive_the_hourly_full_sync", "bin/test --stand MINUTES");
        }
    }
    if steps.failed() {
        project.show_logs();
    }
    steps.finish()
}
