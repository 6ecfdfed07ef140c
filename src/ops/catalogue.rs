//! The one list of every metric: name, kind, unit, meaning, and each label with its values. The
//! recorder describes and starts them all from it, so that rules and dashboards find every series
//! at zero before anything has happened; a test holds the sources to it.
//!
//! Does not live here: counting, which happens where things happen.

use metrics::Unit;

use crate::{
    intake::{dialect::TELEMETRY_KINDS, syslog},
    label::ConsoleLabel,
};

/// The behaviour of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows; its name ends in `_total`.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution, with the buckets of the recorder.
    Histogram,
}

/// One metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Its name; ends in its unit, if it has one.
    pub name: &'static str,
    /// Its behaviour.
    pub kind: Kind,
    /// The unit that it counts.
    pub unit: Unit,
    /// Its meaning, for whoever reads the page.
    pub help: &'static str,
    /// Its one label and the label's values that are known before anything has happened.
    pub label: Option<(&'static str, &'static [&'static str])>,
    /// Its second label, if it has two.
    pub second: Option<(&'static str, &'static [&'static str])>,
    /// True where it is counted for each of several consoles, under the label `console`.
    pub of_console: bool,
}

type Label = (&'static str, &'static [&'static str]);

impl Metric {
    const fn new(kind: Kind, name: &'static str, unit: Unit, help: &'static str) -> Self {
        Self { name, kind, unit, help, label: None, second: None, of_console: true }
    }

    const fn by(mut self, name: &'static str, values: &'static [&'static str]) -> Self {
        self.label = Some((name, values));
        self
    }

    const fn and(mut self, name: &'static str, values: &'static [&'static str]) -> Self {
        self.second = Some((name, values));
        self
    }

    /// It is one for the whole service.
    const fn shared(mut self) -> Self {
        self.of_console = false;
        self
    }

    /// Every combination of its labels' known values; one empty list when it has no label.
    pub fn series(&self) -> Vec<Vec<(&'static str, &'static str)>> {
        let of = |label: Option<Label>| match label {
            None => vec![None],
            Some((name, values)) => values.iter().map(|value| Some((name, *value))).collect(),
        };
        let seconds = of(self.second);
        of(self.label)
            .into_iter()
            .flat_map(|first| seconds.iter().map(move |second| (first, *second)))
            .map(|(first, second)| first.into_iter().chain(second).collect())
            .collect()
    }
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric::new(Kind::Counter, name, Unit::Count, help)
}

const fn gauge(name: &'static str, unit: Unit, help: &'static str) -> Metric {
    Metric::new(Kind::Gauge, name, unit, help)
}

const fn seconds(name: &'static str, help: &'static str) -> Metric {
    Metric::new(Kind::Histogram, name, Unit::Seconds, help)
}

/// Roads into the journal.
const ORIGINS: &[&str] = &["push", "pull", "sweep"];
/// Triggers of a sweep or a backfill.
const TRIGGERS: &[&str] = &["schedule", "command", "backfill"];
/// Outcomes of a request to a remote service.
const CONSOLE_OUTCOMES: &[&str] = &[
    "ok",
    "not_found",
    "denied",
    "busy",
    "failing",
    "refused",
    "unreachable",
    "timed_out",
    "given_up",
    "unusable",
];
const OPENCTI_OUTCOMES: &[&str] =
    &["ok", "unreachable", "rate_limited", "denied", "not_opencti", "refused"];

/// Every metric, in the order of an alert's road.
pub const CATALOGUE: &[Metric] = &[
    counter(
        "webhook_requests_total",
        "Requests to the endpoint, by the status they were answered with.",
    )
    .by("status", &["200", "202", "400", "401", "403", "408", "413", "415", "429", "503"]),
    counter("webhook_verified_total", "Deliveries whose secret or signature was right."),
    counter("webhook_refused_total", "Requests that were not taken, by the reason.").by(
        "reason",
        &[
            "network",
            "too_many_connections",
            "handshake",
            "too_many_failures",
            "missing",
            "malformed",
            "mismatch",
            "stale",
            "too_many_at_once",
            "too_slow",
            "too_large",
            "head_too_large",
            "not_http",
            "not_found",
            "media_type",
            "unreadable",
            "not_stored",
        ],
    ),
    Metric::new(
        Kind::Counter,
        "webhook_body_bytes_total",
        Unit::Bytes,
        "Bytes of bodies that were read whole, as they were sent.",
    ),
    counter("webhook_ignored_total", "Telemetry that was acknowledged and not kept, by its kind.")
        .by("kind", TELEMETRY_KINDS),
    counter(
        "unknown_kinds_total",
        "Notifications of unknown kinds without a mark of an alert or threat, kept as samples or \
         merely counted.",
    )
    .by("outcome", &["kept", "counted"]),
    gauge(
        "connections_open",
        Unit::Count,
        "Open connections, by listener and by whether a delivery on them was verified.",
    )
    .by("listener", &["webhook", "syslog", "management", "connector_metrics"])
    .and("state", &["unverified", "verified"])
    .shared(),
    counter("syslog_messages_total", "Messages that came whole by syslog.").shared(),
    counter("syslog_verified_total", "Messages of syslog whose token and origin were right.")
        .shared(),
    counter(
        "syslog_refused_total",
        "Connections and messages of syslog that were not taken, by the reason.",
    )
    .by("reason", syslog::REASONS)
    .shared(),
    Metric::new(
        Kind::Counter,
        "syslog_bytes_total",
        Unit::Bytes,
        "Bytes that were read from connections of syslog.",
    )
    .shared(),
    counter("syslog_ignored_total", "Telemetry that came by syslog and was not kept, by its kind.")
        .by("kind", TELEMETRY_KINDS)
        .shared(),
    counter(
        "elastic_pulls_total",
        "Questions for the queue of the console's Elastic connector, by what came of them.",
    )
    .by("outcome", &["chunk", "empty", "failed"]),
    counter(
        "elastic_pull_ignored_total",
        "Telemetry of that queue that was not kept, by its kind.",
    )
    .by("kind", TELEMETRY_KINDS),
    counter(
        "events_received_total",
        "Alerts and threats that came in, by the road and by what became of them in the journal.",
    )
    .by("origin", ORIGINS)
    .and("result", &["accepted", "duplicate", "dead_letter"]),
    gauge("journal_events", Unit::Count, "Events in the journal, by state.").by(
        "state",
        &["pending", "following_up", "delivered", "filtered", "superseded", "dead", "dropped"],
    ),
    gauge("journal_text_bytes", Unit::Bytes, "Bytes of texts in the journal, by state.")
        .by("state", &["pending", "following_up", "finished", "dead", "dropped"]),
    gauge(
        "journal_disk_free_bytes",
        Unit::Bytes,
        "Bytes free on the disk of the journal's file, as measured last; 0 until then and on PostgreSQL.",
    )
    .shared(),
    counter(
        "journal_texts_removed_total",
        "Texts that were removed because the journal ran short of space, by what they were.",
    )
    .by("kind", &["dropped", "sample", "finished", "following_up"])
    .shared(),
    gauge(
        "journal_oldest_pending_age_seconds",
        Unit::Seconds,
        "How long the oldest event that has not found its end has been in the journal; 0: none has.",
    ),
    gauge(
        "journal_oldest_age_seconds",
        Unit::Seconds,
        "How long the oldest event of each state that can end has been in the journal; 0: none.",
    )
    .by("state", &["pending", "following_up", "dead"]),
    counter("events_finished_total", "Steps by which events ended or were put back, by outcome.")
        .by(
            "outcome",
            &[
                "delivered",
                "delivered_in_part",
                "gave_up",
                "filtered",
                "superseded",
                "dead",
                "later",
            ],
        ),
    counter(
        "dead_letters_total",
        "Events that became dead letters, by the step that found them unusable.",
    )
    .by("step", &["receiving", "converting", "delivering"]),
    seconds(
        "accepted_to_delivered_seconds",
        "From the commit to the journal until every sink had confirmed.",
    ),
    seconds(
        "event_to_delivered_seconds",
        "From the time that the alert itself gives until every sink had confirmed; of pushes only.",
    ),
    counter(
        "rule_lookups_total",
        "Rules and agents that alerts needed of the console, by how they were found.",
    )
    .by("kind", &["ioc", "sigma", "correlation", "yara", "agent"])
    .and("result", &["cached", "found", "missing", "failed"]),
    counter("console_requests_total", "Requests to HarfangLab's API, by outcome.")
        .by("outcome", CONSOLE_OUTCOMES),
    seconds("console_request_seconds", "How long requests to HarfangLab's API took."),
    counter("opencti_requests_total", "Requests to OpenCTI's API, by outcome.")
        .by("outcome", OPENCTI_OUTCOMES)
        .shared(),
    seconds("opencti_request_seconds", "How long requests to OpenCTI's API took.").shared(),
    counter(
        "values_left_out_total",
        "Values of alerts that did not fit into STIX, by what they were.",
    )
    .by(
        "what",
        &[
            "address",
            "attack-pattern",
            "date",
            "domain",
            "hash",
            "hostname",
            "indicator",
            "note",
            "port",
            "process",
            "refused rule",
            "registry key",
            "system",
            "tactic",
            "url",
        ],
    ),
    counter("bundle_violations_total", "Objects in bundles that OpenCTI would refuse: defects."),
    counter(
        "leases_lost_total",
        "Events that were not sent because their leases had ended; their next claims send them.",
    ),
    counter("published_messages_total", "Messages handed to RabbitMQ.").shared(),
    counter("confirmed_messages_total", "Messages that RabbitMQ confirmed.").shared(),
    counter("api_bundles_total", "Bundles that OpenCTI's API took, where they go there.").shared(),
    counter("api_objects_total", "Objects in the bundles that OpenCTI's API took.").shared(),
    counter("heartbeats_total", "Heartbeats to OpenCTI, by outcome.")
        .by("outcome", &["ok", "failed"])
        .shared(),
    counter("works_total", "Works in OpenCTI, by what was done with them.")
        .by("action", &["opened", "closed", "interrupted", "deleted"])
        .shared(),
    counter(
        "objects_refused_by_opencti_total",
        "Objects of delivered events that OpenCTI's workers could not import, as works tell.",
    ),
    counter(
        "events_put_back_for_names_total",
        "Times that an event was put back because others held the name of its incident in the journal.",
    ),
    counter(
        "rules_refused_by_opencti_total",
        "Rules whose text OpenCTI refused, so that alerts leave without their indicators.",
    ),
    counter(
        "events_sent_again_total",
        "Events that leave once more because OpenCTI refused something of them for now or lost their \
         work, and those that left so often that they do no more.",
    )
    .by("outcome", &["sent_again", "gave_up"]),
    counter(
        "works_lost_total",
        "Works of which objects never reached OpenCTI though it showed no error; their events leave \
         once more.",
    )
    .by("reason", &["purged", "gone", "stuck", "unmoved"]),
    counter(
        "sightings_flagged_total",
        "Sightings whose verdict was set in OpenCTI afterwards; before version 7 only.",
    ),
    gauge(
        "opencti_queue_buffering",
        Unit::Count,
        "1 while deliveries wait because OpenCTI's queue holds CONNECTOR_QUEUE_THRESHOLD or more.",
    )
    .shared(),
    gauge(
        "opencti_queue_bytes",
        Unit::Bytes,
        "Bytes in the connector's queue, as OpenCTI told last.",
    )
    .shared(),
    counter("sweeps_total", "Sweeps and backfills, by what made them begin and by how they ended.")
        .by("trigger", TRIGGERS)
        .and("outcome", &["done", "failed", "interrupted"]),
    seconds("sweep_seconds", "How long sweeps and backfills took, by what made them begin.")
        .by("trigger", TRIGGERS),
    gauge("sweep_under_way", Unit::Count, "1 while a sweep of the console is under way."),
    counter(
        "sweep_found_missing_total",
        "Alerts that a push should have brought and a sweep found.",
    ),
    counter(
        "sweep_found_updated_total",
        "Events that a sweep found in another version than those that the journal had.",
    ),
    counter(
        "sweep_passed_over_total",
        "Items that a sweep or a backfill passed over because they are too large to be read.",
    ),
    gauge(
        "last_sweep_timestamp_seconds",
        Unit::Seconds,
        "When the last sweep was done that saw everything, in seconds since 1970; 0: none yet.",
    ),
    gauge(
        "leads",
        Unit::Count,
        "1 while this replica leads: it sweeps and beats. Over all replicas on a journal it is 1.",
    )
    .shared(),
    gauge(
        "journal_clock_skew_seconds",
        Unit::Seconds,
        "By how much the clock of the journal's database is ahead of this replica's; 0 with a file.",
    )
    .shared(),
    counter(
        "log_lines_dropped_total",
        "Lines of the log that were dropped: nobody read it in time, or it could not be written.",
    )
    .shared(),
    gauge("part_degraded", Unit::Count, "1 while a part does not work, as /readyz tells in words.")
        .by(
            "part",
            &["journal", "room", "opencti", "delivery", "opencti_queue", "harfanglab", "clock"],
        ),
    gauge(
        "build_info",
        Unit::Count,
        "Always 1; the version and commit of this binary are its labels.",
    )
    .shared(),
];

/// Describes every metric to the recorder of this process and starts every series whose labels are
/// known, for each of these consoles.
pub(super) fn start(consoles: &[ConsoleLabel]) {
    for metric in CATALOGUE {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.unit, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.unit, metric.help),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.unit, metric.help),
        }
        // Their labels are known when they are shown.
        if ["build_info", "part_degraded"].contains(&metric.name) {
            continue;
        }
        for console in consoles {
            console.now(|| start_series(metric));
        }
    }
    metrics::gauge!("build_info", "version" => crate::VERSION, "commit" => crate::COMMIT).set(1.0);
}

fn start_series(metric: &Metric) {
    for labels in metric.series() {
        match metric.kind {
            Kind::Counter => metrics::counter!(metric.name, &labels).increment(0),
            Kind::Gauge => metrics::gauge!(metric.name, &labels).increment(0.0),
            Kind::Histogram => drop(metrics::histogram!(metric.name, &labels)),
        }
    }
}
