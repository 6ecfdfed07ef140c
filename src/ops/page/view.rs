//! The markup of the status page itself. Every text goes through the template, which escapes it.

use maud::{Markup, html};

use super::{
    chart::{chart, totals},
    connections::connections,
    gate::Visitor,
    job,
    layout::{Actions, Refresh, Viewer, document},
    letters,
    snapshot::{FromJournal, Headline, Light, Of, Snapshot, waited},
    words::{counted, grouped, long, moment, of, size},
};
use crate::{
    health::Role, intake::syslog::SyslogStanding, journal::Counts, ops::Management,
    sweep::SweepRecord,
};

/// The status page.
pub(super) fn status(
    snapshot: &Snapshot,
    management: &Management,
    viewer: Viewer,
    told: Option<&str>,
) -> Markup {
    let headline = snapshot.headline();
    let body = html! {
        header {
            p.brand { "HarfangLab incidents" span.quiet { " " (crate::VERSION) } }
            (sign_in(viewer))
        }
        main {
            @if let Some(told) = told { p.told role="status" { (told) } }
            (first_line(&headline))
            (role(management.health.role()))
            @match &snapshot.counts {
                Ok(counts) => (figures(counts, snapshot)),
                Err(_) => {},
            }
            @match &snapshot.journal {
                Ok(journal) => (from_journal(snapshot, journal, management, viewer)),
                Err(reason) => {
                    section { h2 { "Journal" } p { "It cannot be read: " (reason) } }
                    (connections(snapshot, management))
                },
            }
        }
        (footer(snapshot))
    };
    let title = match headline.light {
        Light::Green => "Works",
        Light::Amber => "Look",
        Light::Red => "Does not work",
    };
    document(title, Refresh::EveryMinute, &body)
}

fn sign_in(viewer: Viewer) -> Markup {
    html! {
        @match (viewer.visitor, viewer.actions) {
            (Visitor::Operator, _) => p.quiet { "signed in" },
            (Visitor::Stranger, Actions::WithToken) => a.button href="/sign-in" { "Sign in" },
            (Visitor::Stranger, Actions::Never) => p.quiet { "read-only" },
        }
    }
}

fn first_line(headline: &Headline) -> Markup {
    let class = match headline.light {
        Light::Green => "headline green",
        Light::Amber => "headline amber",
        Light::Red => "headline red",
    };
    html! {
        section class=(class) {
            h1 { (headline.words) }
            @for sentence in &headline.because { p { (sentence) } }
        }
    }
}

/// Describes what this replica does of what only one does.
fn role(role: Role) -> Markup {
    html! {
        @match role {
            Role::Alone => {},
            Role::Leads => p.quiet {
                "This replica leads: it sweeps and tells OpenCTI that the connector is alive."
            },
            Role::Follows => p.quiet {
                "This replica accepts and delivers; another one leads and sweeps."
            },
        }
    }
}

fn figures(counts: &Counts, snapshot: &Snapshot) -> Markup {
    let oldest = waited(counts, snapshot.now);
    html! {
        dl.figures {
            div {
                dt { "waiting" }
                dd { (grouped(counts.pending)) }
                dd.quiet {
                    @match oldest {
                        Some(waited) => { "the oldest for " (long(waited)) },
                        None => "nothing waits",
                    }
                }
            }
            div {
                dt { "being completed" }
                dd { (grouped(counts.following_up)) }
                dd.quiet { "delivered; more is asked for" }
            }
            @if let Ok(journal) = &snapshot.journal {
                div {
                    dt { "delivered" }
                    dd { (grouped(totals(&journal.activity).1)) }
                    dd.quiet { "in 24 hours; " (grouped(counts.delivered)) " in the journal" }
                }
            }
            div {
                dt { "dead letters" }
                dd.alarming[counts.dead > 0] { (grouped(counts.dead)) }
                dd.quiet {
                    @if counts.bytes.dead > 0 { (size(counts.bytes.dead)) " of text; " }
                    (grouped(counts.dropped)) " dropped"
                }
            }
            div {
                dt { "set aside" }
                dd { (grouped(counts.filtered + counts.superseded)) }
                dd.quiet {
                    (grouped(counts.filtered)) " filtered, "
                    (grouped(counts.superseded)) " superseded"
                }
            }
        }
    }
}

fn from_journal(
    snapshot: &Snapshot,
    journal: &FromJournal,
    management: &Management,
    viewer: Viewer,
) -> Markup {
    html! {
        section { h2 { "The last 24 hours" } (chart(&journal.activity)) }
        div.columns {
            (intake(snapshot, journal, management))
            @for sweep in &journal.sweeps { (last_sweep(snapshot, sweep)) }
        }
        @for console in &management.consoles { (job::newest(snapshot, console)) }
        (connections(snapshot, management))
        (letters::dead(snapshot, journal, viewer))
        (letters::refused(snapshot, journal, viewer))
    }
}

fn intake(snapshot: &Snapshot, journal: &FromJournal, management: &Management) -> Markup {
    let last = |then: Option<_>| {
        html! {
            @match then {
                Some(then) => (moment(then, snapshot.now)),
                None => span.quiet { "none among the newest events" },
            }
        }
    };
    html! {
        section {
            h2 { "What comes in" }
            dl.facts {
                dt { "last push" } dd { (last(journal.activity.last_push)) }
                dt { "last found by a sweep" } dd { (last(journal.activity.last_swept)) }
                @for console in &management.consoles {
                    dt { "endpoint" (of(&console.label)) }
                    dd {
                        @match &console.endpoint {
                            Some(endpoint) => code { (endpoint) },
                            None => {
                                "closed: no webhook secret is set, alerts come by "
                                (console.roads_besides_posts) " only"
                            },
                        }
                    }
                }
                @if let Some(syslog) = &management.syslog {
                    (by_syslog(snapshot, syslog))
                }
            }
        }
    }
}

/// Shows the standing of the listener for syslog, since the start.
fn by_syslog(snapshot: &Snapshot, syslog: &SyslogStanding) -> Markup {
    let standing = syslog.now();
    let refused: u64 = standing.refused.values().sum();
    html! {
        dt { "syslog" }
        dd { code { (syslog.place()) } ", " (counted(standing.connections as u64, "connection")) }
        dt { "last by syslog" }
        dd {
            @match (standing.last_message, standing.last_stored) {
                (None, _) => span.quiet { "nothing since the start" },
                (Some(message), None) => {
                    "a message " (moment(message, snapshot.now)) "; no alert since the start"
                },
                (Some(message), Some(stored)) => {
                    "an alert " (moment(stored, snapshot.now))
                    ", a message " (moment(message, snapshot.now))
                },
            }
        }
        dt { "refused by syslog" }
        dd.alarming[refused > 0] {
            @if refused == 0 { "nothing since the start" }
            @for (position, (reason, count)) in standing.refused.iter().enumerate() {
                @if position > 0 { ", " }
                (grouped(*count)) " " (reason.replace('_', " "))
            }
        }
    }
}

fn last_sweep(snapshot: &Snapshot, sweep: &Of<Option<SweepRecord>>) -> Markup {
    html! {
        section {
            h2 { "Last sweep" (of(&sweep.console)) }
            @match &sweep.it {
                None => p.quiet { "None has ended yet." },
                Some(sweep) => {
                    p {
                        (moment(sweep.ended, snapshot.now)) ", in " (long(sweep.ended - sweep.began))
                        @if let Some(failure) = &sweep.failure {
                            ". " strong { "It ended early: " } (failure)
                            ". The next one goes on from there."
                        } @else {
                            ". It saw everything."
                        }
                    }
                    @if sweep.failure.is_none() { (repaired(sweep)) }
                },
            }
        }
    }
}

/// Shows what a whole sweep found.
fn repaired(sweep: &SweepRecord) -> Markup {
    let count = |number: usize| grouped(number as u64);
    html! {
        dl.facts {
            dt { "repaired" }
            dd.alarming[sweep.missed > 0] {
                @if sweep.missed == 0 {
                    "nothing: no push was missing"
                } @else {
                    (counted(sweep.missed as u64, "alert")) " that no push had brought"
                }
            }
            dt { "updated" } dd { (count(sweep.updated)) " changed on the console" }
            dt { "new" } dd { (count(sweep.new.saturating_sub(sweep.updated))) " found for the first time" }
            dt { "known" } dd { (count(sweep.known)) " were in the journal already" }
        }
    }
}

fn footer(snapshot: &Snapshot) -> Markup {
    let now = snapshot.now.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    html! {
        footer {
            p { "As of " (now) "; loaded again every minute." }
            p { a href="/readyz" { "readiness" } " · " a href="/metrics" { "metrics" } }
        }
    }
}
