//! The benchmarks: each measures ours beside what it is to be compared with, in turn and in one run,
//! and says whether the bar is met. Bars are ratios, but where the promise itself is a time or a size.
//! `scripts/bench.sh` runs them, with what they need.
//!
//! A benchmark is a file here that answers rows; what they share is `load` (posting, with every
//! answer accounted for), `table` (the verdicts) and the surroundings of the tests.
//!
//! Does not live here: the cost of single parts (`parts`), the long soak (`tests/it/service/soak.rs`).

mod accept;
mod backlog;
mod bodies;
mod convert;
mod endpoint;
mod idle;
mod latency;
mod load;
mod opinion;
mod peer;
mod process;
mod settings;
mod sweep;
mod table;

#[path = "../it/support/mod.rs"]
#[allow(unused, reason = "the tests need more of it")]
#[expect(clippy::unwrap_used, reason = "a benchmark that cannot go on should stop there")]
mod support;

use std::{path::PathBuf, process::ExitCode};

use self::{peer::Peer, table::Table};

/// The request of the command line.
pub(crate) struct Plan {
    /// Benchmarks by name.
    wanted: Vec<String>,
    /// Number of times that each side of a ratio is measured.
    pub(crate) rounds: usize,
    /// The sizes that take many minutes, too.
    pub(crate) size: Size,
    /// A checkout of the Python connector, to be measured beside ours.
    pub(crate) peer: Option<Peer>,
    /// File to which the figures go as JSON.
    json: Option<PathBuf>,
}

/// Size of the benchmarks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    Ordinary,
    Long,
}

const ALL: [&str; 6] = ["accept", "bodies", "convert", "sweep", "latency", "idle"];

impl Plan {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut plan =
            Self { wanted: Vec::new(), rounds: 5, size: Size::Ordinary, peer: None, json: None };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--rounds" => {
                    plan.rounds = value()?.parse().map_err(|_| "--rounds needs a number")?;
                }
                "--peer" => plan.peer = Some(Peer::at(value()?.into())),
                "--json" => plan.json = Some(value()?.into()),
                "--long" => plan.size = Size::Long,
                // What `cargo bench` adds.
                "--bench" => {}
                "all" => plan.wanted = ALL.map(str::to_owned).to_vec(),
                name if ALL.contains(&name) => plan.wanted.push(name.to_owned()),
                other => return Err(format!("{other} is none of {}, all", ALL.join(", "))),
            }
        }
        if plan.rounds == 0 {
            return Err("--rounds needs a number above 0".to_owned());
        }
        Ok(plan)
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let plan = match Plan::read(std::env::args().skip(1)) {
        Ok(plan) => plan,
        Err(fault) => {
            eprintln!("{fault}");
            return ExitCode::from(64);
        }
    };
    let mut table = Table::default();
    for name in &plan.wanted {
        eprintln!("measuring {name} …");
        let rows = match name.as_str() {
            "accept" => accept::measure(&plan).await,
            "bodies" => bodies::measure(&plan).await,
            "convert" => Box::pin(convert::measure(&plan)).await,
            "sweep" => sweep::measure(&plan).await,
            "latency" => latency::measure(&plan).await,
            _ => idle::measure(&plan).await,
        };
        table.add(name, rows);
        // Each time: what is measured is not lost when a later one breaks off.
        if let Some(path) = &plan.json {
            std::fs::write(path, table.to_json()).expect("the file of --json can be written");
        }
    }
    println!("{table}");
    if table.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
