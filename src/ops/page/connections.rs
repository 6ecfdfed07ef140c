//! The list of what the service depends on: each part, and each way out on its own, with its trouble of
//! now or its last one and when that was.
//!
//! Does not live here: what a trouble means for the whole (`snapshot`).

use chrono::TimeDelta;
use maud::{Markup, html};

use super::{
    snapshot::Snapshot,
    words::{ago, long, of},
};
use crate::{
    health::{Part, Place, Trouble},
    label::ConsoleLabel,
    ops::Management,
};

/// The facts about one connection.
struct Row<'a> {
    name: String,
    place: String,
    trouble: Option<&'a Trouble>,
}

/// The section.
pub(super) fn connections(snapshot: &Snapshot, management: &Management) -> Markup {
    html! {
        section {
            h2 { "Connections" }
            ul.parts {
                @for row in rows(snapshot, management) {
                    @let is_well = row.trouble.is_none_or(|trouble| trouble.until.is_some());
                    li {
                        span.dot.green[is_well].amber[!is_well] {}
                        div {
                            p {
                                strong { (row.name) } " "
                                @if !row.place.is_empty() { span.quiet { (row.place) } }
                            }
                            p { (standing(row.trouble, snapshot)) }
                        }
                    }
                }
            }
        }
    }
}

fn rows<'a>(snapshot: &'a Snapshot, management: &Management) -> Vec<Row<'a>> {
    let part = |part: Part, console: &ConsoleLabel, name: &str, place: &str| {
        let trouble = snapshot.troubles.get(&Place::of(part, console));
        Row { name: format!("{name}{}", of(console)), place: place.to_owned(), trouble }
    };
    let all = ConsoleLabel::default();
    let mut rows = vec![
        part(Part::Journal, &all, "Journal", ""),
        part(Part::Room, &all, "Room for the journal", ""),
    ];
    if management.consoles.iter().any(|console| console.journal.has_replicas()) {
        rows.push(part(Part::Clock, &all, "Clock, beside the database's", ""));
    }
    let consoles = management.consoles.iter();
    rows.extend(consoles.map(|console| {
        part(Part::HarfangLab, &console.label, "HarfangLab console", console.jobs.console())
    }));
    let opencti = management.opencti.as_deref().unwrap_or_default();
    rows.push(part(Part::OpenCti, &all, "OpenCTI", opencti));
    for sink in &management.sinks {
        let (name, place) = delivery_to(sink);
        rows.extend(management.consoles.iter().map(|console| Row {
            name: format!("{name}{}", of(&console.label)),
            place: place.to_owned(),
            trouble: snapshot.sinks.get(&(*sink, console.label.clone())),
        }));
    }
    if management.sinks.iter().any(|sink| matches!(*sink, "queue" | "api")) {
        rows.push(part(Part::Queue, &all, "Room in OpenCTI's queue", ""));
    }
    rows
}

/// Describes a sink for whoever did not configure it, with its own name where that says more.
fn delivery_to(sink: &str) -> (&'static str, &str) {
    match sink {
        "queue" => ("Delivery to RabbitMQ", ""),
        "api" => ("Delivery to OpenCTI's API", ""),
        "directory" => ("Delivery to the directory", ""),
        "s3" => ("Delivery to S3", ""),
        other => ("Delivery", other),
    }
}

fn standing(trouble: Option<&Trouble>, snapshot: &Snapshot) -> Markup {
    let now = snapshot.now;
    html! {
        @match trouble {
            None => span.quiet { "no trouble since the start" },
            Some(Trouble { reason, since, until: None }) => {
                "in trouble for " (long(now - *since)) ": " (reason)
            },
            Some(Trouble { reason, until: Some(until), .. }) => {
                "works again since " (ago(*until, now).trim_end_matches(" ago"))
                @if now - *until >= TimeDelta::seconds(5) { " ago" }
                span.quiet { "; last: " (reason) }
            },
        }
    }
}
