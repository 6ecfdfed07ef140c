//! Commands and flags, and the help that teaches them.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{
    dead_letters::{self, DeadLettersCommand},
    events::EventsCommand,
};

/// The text that `--version` prints behind the name.
const VERSION: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (commit ", env!("HARFANGLAB_INCIDENTS_COMMIT"), ")");

const AFTER_HELP: &str = "\
Start here:
  harfanglab-incidents demo --count 20     see it work: no configuration, no platform
  harfanglab-incidents config reference > config.yml
                                           every option, explained; fill in the ChangeMe lines
  harfanglab-incidents check               try the configuration out before serving
  harfanglab-incidents                     serve

Options are environment variables (OPENCTI_…, CONNECTOR_…, MQ_…, HARFANGLAB_INCIDENTS_…, as the
Python connector has them) or keys of config.yml; the environment wins.

Exit codes: 0 done, 64 wrong configuration or usage, 1 anything else.";

const AFTER_CONVERT: &str = "\
Reads one alert or threat as HarfangLab pushes it, as its REST API answers it, or as its Elastic
connector writes it (ECS). Nothing is reached, so rules are not looked up.

Examples:
  harfanglab-incidents convert --pretty < alert.json
  harfanglab-incidents convert --file alert.json | jq '.objects[].type'
  harfanglab-incidents convert --file alert.json --summary --explain

CONNECTOR_NAME, HARFANGLAB_INCIDENTS_URL, …_DEFAULT_MARKING, …_DEFAULT_SCORE, …_INCIDENT_NAME,
…_ACCOUNT_IDENTITY, …_WORKFLOW_STATUSES (by id), …_ATTACH_RAW and …_CUSTOM_PROPERTIES count here as
they do in the service; none is required. What was left out is told on stderr.";

const AFTER_DEMO: &str = "\
A simulated console pushes alerts as HarfangLab does, half ECS among telemetry, half native JSON;
they go through the journal to a folder of STIX bundles. A line per alert says what came in, what
went out, and where to look.

Examples:
  harfanglab-incidents demo --count 20
  harfanglab-incidents demo --rate 5 --directory ./bundles";

const AFTER_SWEEP: &str = "\
Finds what no push has brought and what has changed since, as the service does every
CONNECTOR_DURATION_PERIOD. It takes the same configuration.

While the service runs, the command asks it to sweep now, at HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN,
and says what was found. When no service answers there, it sweeps itself and delivers everything
before it ends; the journal then must not be in use by another process.";

const AFTER_BACKFILL: &str = "\
Brings in what the console holds of a stretch of time, before HARFANGLAB_INCIDENTS_IMPORT_START_DATE
too. What the journal has delivered is recognised and not sent again; the filters count as always. It
reads no faster than HARFANGLAB_INCIDENTS_API_RATE allows, and pauses while many alerts wait for
their delivery.

While the service runs, the command asks it to do this beside its sweeps, at
HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN, and shows how far it is; interrupted, only the showing ends.
When no service answers there, it does it itself. However it ends early: the same command again
goes on where it stopped.

Examples:
  harfanglab-incidents backfill --since P90D --dry-run
  harfanglab-incidents backfill --since 2026-01-01 --until 2026-02-01
  harfanglab-incidents backfill --since P1Y --types sigma,yara";

const AFTER_CHECK: &str = "\
Says for the console, OpenCTI, RabbitMQ and the journal whether they can be used with what is
configured, and what to do when not. It registers the connector, as starting the service does, because only that
tells where RabbitMQ is; nothing else is changed. Exits 0 when everything is right, 1 when something
is not, 64 when the configuration itself is faulty.";

const AFTER_HEALTHCHECK: &str = "\
Asks /readyz at HARFANGLAB_INCIDENTS_MANAGEMENT_LISTEN of the same configuration, and prints one line.
Exits 0 when the service accepts, also while OpenCTI or the console is away (degraded), 1 when it does
not or nobody answers, 64 when the configuration itself is faulty.";

const AFTER_MIGRATE: &str = "\
Takes the journal that HARFANGLAB_INCIDENTS_JOURNAL_URL names, and the password for the new one from
HARFANGLAB_INCIDENTS_JOURNAL_PASSWORD (or …_FILE). Stop the service first: the command refuses a
journal that is in use, and a database that holds one already. All of it moves in one transaction, or
nothing does; the SQLite file stays as it is.

Afterwards set HARFANGLAB_INCIDENTS_JOURNAL_URL to the new URL and start the service, on as many
machines as you like.";

const AFTER_CONFIG: &str = "\
Prints the configuration in effect as a config.yml: each value with where it came from, secrets
masked. `config reference` prints every option with its meaning and default instead, `config
schema` a JSON schema of them.";

/// Takes HarfangLab EDR alerts as they are pushed, keeps them durably, enriches them and delivers
/// them to OpenCTI as STIX 2.1.
#[derive(Debug, Parser)]
#[command(name = "harfanglab-incidents", version = VERSION, after_help = AFTER_HELP)]
pub(super) struct Arguments {
    /// The configuration file [default: `HARFANGLAB_INCIDENTS_CONFIG`, else ./config.yml if it is
    /// there].
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Receive, sweep and deliver until told to stop (also without any command).
    Serve,
    /// Sweep once, now: find what no push has brought.
    #[command(after_help = AFTER_SWEEP)]
    Sweep(SweepArguments),
    /// Bring in what the console holds of a stretch of time.
    #[command(after_help = AFTER_BACKFILL)]
    Backfill(BackfillArguments),
    /// Try the configuration out: reach the console, OpenCTI and RabbitMQ, look at the journal.
    #[command(after_help = AFTER_CHECK)]
    Check,
    /// Ask the running service whether it is ready: exit code 0 when it is (also degraded).
    #[command(after_help = AFTER_HEALTHCHECK)]
    Healthcheck,
    /// Convert one alert or threat to a STIX bundle, offline.
    #[command(after_help = AFTER_CONVERT)]
    Convert(ConvertArguments),
    /// See it work: a simulated console, bundles in a folder, no configuration.
    #[command(after_help = AFTER_DEMO)]
    Demo(DemoArguments),
    /// Dead letters: list, show, retry, drop, export.
    #[command(after_help = dead_letters::AFTER)]
    DeadLetters {
        /// Only those of this console [default: of every one].
        #[arg(long, global = true, value_name = "NAME")]
        console: Option<String>,
        #[command(subcommand)]
        command: DeadLettersCommand,
    },
    /// Find an alert and what became of it.
    Events {
        #[command(subcommand)]
        command: EventsCommand,
    },
    /// The journal itself: move it into PostgreSQL.
    Journal {
        #[command(subcommand)]
        command: JournalCommand,
    },
    /// Print the configuration in effect, or the reference of all options.
    #[command(after_help = AFTER_CONFIG)]
    Config(ConfigArguments),
}

#[derive(Debug, Args)]
pub(super) struct SweepArguments {
    /// Only this one of several consoles [default: one after the other].
    #[arg(long, value_name = "NAME")]
    pub(super) console: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct BackfillArguments {
    /// Only this one of several consoles [default: one after the other].
    #[arg(long, value_name = "NAME")]
    pub(super) console: Option<String>,
    /// From when on: a date, a date and time, or how long ago (P90D).
    #[arg(long, value_name = "DATE")]
    pub(super) since: String,
    /// Until when [default: now].
    #[arg(long, value_name = "DATE")]
    pub(super) until: Option<String>,
    /// Only alerts of these types, and no threats [default: every type, and threats if they are
    /// imported].
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    pub(super) types: Vec<String>,
    /// Only count, and say what it would cost.
    #[arg(long)]
    pub(super) dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct ConvertArguments {
    /// Indent the bundle.
    #[arg(long, conflicts_with_all = ["summary", "explain"])]
    pub(super) pretty: bool,
    /// Print a readable tree instead of the bundle.
    #[arg(long)]
    pub(super) summary: bool,
    /// Print instead of the bundle what was left out and why, and what OpenCTI would refuse.
    #[arg(long)]
    pub(super) explain: bool,
    /// Read this file instead of standard input.
    #[arg(long, value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// Alerts a second.
    #[arg(long, value_name = "NUMBER", default_value = "2", value_parser = rate)]
    pub(super) rate: f64,
    /// Stop after this many alerts [default: go on until interrupted].
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(super) count: Option<u64>,
    /// Push one alert, show what became of it, and stop.
    #[arg(long, conflicts_with = "count")]
    pub(super) once: bool,
    /// Keep journal and bundles in this folder [default: a temporary one].
    #[arg(long, value_name = "FOLDER")]
    pub(super) directory: Option<PathBuf>,
}

impl DemoArguments {
    /// Returns the number of alerts that are pushed; `None`: until interrupted.
    pub(super) fn alerts(&self) -> Option<u64> {
        if self.once { Some(1) } else { self.count }
    }
}

#[derive(Debug, Args)]
pub(super) struct ConfigArguments {
    #[command(subcommand)]
    pub(super) command: Option<ConfigCommand>,
}

#[derive(Debug, Subcommand)]
pub(super) enum JournalCommand {
    /// Move everything that the configured SQLite journal holds into an empty PostgreSQL.
    #[command(after_help = AFTER_MIGRATE)]
    Migrate {
        /// The database, such as `postgres://user@host/database?sslmode=verify-full`.
        #[arg(long, value_name = "URL")]
        to: String,
    },
}

#[derive(Debug, Subcommand)]
pub(super) enum ConfigCommand {
    /// Every option with its meaning and default, as a config.yml to start from.
    Reference,
    /// The JSON schema of the environment variables, as OpenCTI's catalogue has it.
    Schema,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1_000.0 => Ok(rate),
        _ => Err("give a number above 0 and up to 1000".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definitions_are_consistent_and_the_demo_can_be_bounded() {
        Arguments::command().debug_assert();
        let demo = |more: &[&str]| {
            let arguments = ["harfanglab-incidents", "demo"].iter().chain(more);
            match Arguments::try_parse_from(arguments).map(|parsed| parsed.command) {
                Ok(Some(Command::Demo(demo))) => Some((demo.rate.to_string(), demo.alerts())),
                _ => None,
            }
        };
        assert_eq!(demo(&[]), Some(("2".to_owned(), None)));
        assert_eq!(demo(&["--once"]), Some(("2".to_owned(), Some(1))));
        assert_eq!(demo(&["--count", "20", "--rate", "0.5"]), Some(("0.5".to_owned(), Some(20))));
        for wrong in [["--count", "0"], ["--rate", "0"], ["--rate", "NaN"]] {
            assert_eq!(demo(&wrong), None, "{wrong:?}");
        }
    }
}
