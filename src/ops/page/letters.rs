//! Markup of dead letters and of what OpenCTI refused. Names and texts of alerts are for operators
//! only.

use maud::{Markup, html};

use super::{
    gate::Visitor,
    layout::{Actions, Refresh, Viewer, document},
    snapshot::{FromJournal, LETTERS, Listed, Of, Snapshot},
    words::{beginning, counted, grouped, moment, of, size, visible},
};
use crate::{
    journal::{DeadLetter, DeadLetterGroup, DeadLetterKind, EventId, ListedRefusal, RefusedRule},
    label::ConsoleLabel,
};

/// Most bytes of a text that are shown; the whole is one click away.
const SHOWN_BYTES: usize = 64 << 10;

/// The section of dead letters.
pub(super) fn dead(snapshot: &Snapshot, journal: &FromJournal, viewer: Viewer) -> Markup {
    let letters = &journal.letters;
    let shown = letters.get(..LETTERS).unwrap_or(letters);
    html! {
        section #dead-letters {
            h2 { "Dead letters" }
            @if letters.is_empty() {
                p.quiet { "None: everything could be delivered." }
            } @else {
                p.quiet { "Accepted, but they cannot be delivered as they are. They wait for you." }
                (how_to_act(viewer))
            }
            ul.letters {
                @for Of { console, it } in shown {
                    li {
                        @match it {
                            Listed::One(letter) => (one(snapshot, console, letter, viewer)),
                            Listed::Alike(group) => (alike(snapshot, console, group)),
                        }
                    }
                }
            }
            @if letters.len() > shown.len() { (more(shown, journal.letters_like)) }
        }
    }
}

fn how_to_act(viewer: Viewer) -> Markup {
    html! {
        @match (viewer.visitor, viewer.actions) {
            (Visitor::Operator, _) => {},
            (Visitor::Stranger, Actions::WithToken) => p {
                a href="/sign-in" { "Sign in" }
                " to read them, try them again or drop them: any user name, the password is "
                code { "HARFANGLAB_INCIDENTS_MANAGEMENT_TOKEN" } "."
            },
            (Visitor::Stranger, Actions::Never) => p {
                "To read them, try them again or drop them here, set "
                code { "HARFANGLAB_INCIDENTS_MANAGEMENT_TOKEN" } " and restart; or use "
                code { "harfanglab-incidents dead-letters list" } " on the service's machine."
            },
        }
    }
}

/// The way to those that are not shown: after the last one where each is listed.
fn more(shown: &[Of<Listed>], like: Option<EventId>) -> Markup {
    let like = like.map(|like| format!("&like={like}")).unwrap_or_default();
    html! {
        p {
            @match shown.last() {
                Some(Of { it: Listed::One(last), .. }) => {
                    a href=(format!("/?after={}{like}#dead-letters", last.id)) { "later ones" }
                },
                _ => {
                    "There are more reasons: "
                    code { "harfanglab-incidents dead-letters list" } "."
                },
            }
        }
    }
}

/// Several letters of the same reason.
fn alike(snapshot: &Snapshot, console: &ConsoleLabel, group: &DeadLetterGroup) -> Markup {
    html! {
        p.title {
            a href=(format!("/?like={}#dead-letters", group.example)) {
                (counted(group.letters, "letter"))
            }
        }
        p { bdi { (visible(beginning(&group.reason, 300))) } }
        p.quiet {
            "the newest " (moment(group.newest_at, snapshot.now)) (of(console)) "; "
            code { "harfanglab-incidents dead-letters drop --like " (group.example) }
            " drops them all"
        }
    }
}

fn one(snapshot: &Snapshot, console: &ConsoleLabel, letter: &DeadLetter, viewer: Viewer) -> Markup {
    html! {
        p.title {
            @if viewer.visitor == Visitor::Operator {
                a href=(format!("/letters/{}", letter.id)) { bdi { (visible(name(letter))) } }
            } @else {
                "event " (letter.id)
            }
        }
        p { bdi { (visible(beginning(&letter.reason, 300))) } }
        p.quiet {
            "by " (letter.origin) (of(console)) ", " (moment(letter.ended_at, snapshot.now)) ", "
            (counted(letter.attempts.into(), "try").replace("trys", "tries")) ", "
            (size(letter.size_bytes))
        }
        @if viewer.visitor == Visitor::Operator { (actions(letter)) }
    }
}

/// Returns the name that a person gives it.
fn name(letter: &DeadLetter) -> &str {
    let title = letter.title.as_deref().filter(|title| !title.trim().is_empty());
    beginning(title.unwrap_or(&letter.key), 120)
}

fn actions(letter: &DeadLetter) -> Markup {
    html! {
        div.actions {
            form method="post" action=(format!("/letters/{}/retry", letter.id)) {
                button.primary { "Try again" }
            }
            form method="post" action=(format!("/letters/{}/drop", letter.id)) {
                button { "Drop" }
            }
        }
    }
}

/// A letter in full, for an operator.
pub(super) fn in_full(letter: &DeadLetter, kind: DeadLetterKind, text: &str) -> Markup {
    let exact =
        |time: chrono::DateTime<chrono::Utc>| time.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    let shown = beginning(text, SHOWN_BYTES);
    let body = html! {
        header { p.brand { a href="/" { "HarfangLab incidents" } } p.quiet { "signed in" } }
        main {
            section {
                h1 { bdi { (visible(name(letter))) } }
                p { (match kind {
                    DeadLetterKind::Dead => "A dead letter: ",
                    DeadLetterKind::Dropped => "It was dropped: ",
                }) bdi { (visible(&letter.reason)) } }
                dl.facts {
                    dt { "event" } dd { (letter.id) }
                    dt { "alert" } dd { bdi { (visible(&letter.key)) } }
                    dt { "read as" } dd { (letter.dialect.as_deref().unwrap_or("nothing known")) }
                    dt { "source" } dd { (letter.origin) }
                    dt { "received" } dd { (exact(letter.received_at)) }
                    dt { "ended" } dd { (exact(letter.ended_at)) }
                    dt { "tries" } dd { (letter.attempts) }
                    dt { "size" } dd { (size(letter.size_bytes)) }
                }
                @match kind {
                    DeadLetterKind::Dead => (actions(letter)),
                    DeadLetterKind::Dropped => {},
                }
            }
            section {
                h2 { "Its text, as it was received" }
                @if text.is_empty() { p.quiet { "It was removed." } } @else {
                p {
                    a href=(format!("/letters/{}/text", letter.id)) download { "Download it" }
                    @if shown.len() < text.len() {
                        ". Here are the first " (size(shown.len() as u64)) " of "
                        (grouped(text.len() as u64)) " bytes:"
                    }
                }
                pre dir="ltr" { (visible(shown)) }
                }
            }
        }
    };
    document("Dead letter", Refresh::Never, &body)
}

/// The section of what OpenCTI refused.
pub(super) fn refused(snapshot: &Snapshot, journal: &FromJournal, viewer: Viewer) -> Markup {
    let refusals = &journal.refusals;
    html! {
        section {
            h2 { "Refused by OpenCTI" }
            @if refusals.is_empty() {
                p.quiet { "Nothing that is known of." }
            } @else {
                p.quiet { "Delivered, but OpenCTI did not take these objects of it. The newest:" }
                ul.letters {
                    @for listed in refusals { li { (refusal(snapshot, listed, viewer)) } }
                }
            }
            @if !journal.refused_rules.is_empty() {
                h3 { "Rules that are left out" }
                p.quiet {
                    "OpenCTI refuses their texts: their alerts leave without indicator and sighting until \
                     the text or OpenCTI's version changes, for 7 days, or until you ask for them by "
                    code { "harfanglab-incidents dead-letters retry --rule all" } "."
                }
                ul.letters {
                    @for rule in &journal.refused_rules {
                        li { (refused_rule(snapshot, rule, viewer)) }
                    }
                }
            }
        }
    }
}

fn refused_rule(snapshot: &Snapshot, rule: &RefusedRule, viewer: Viewer) -> Markup {
    html! {
        @if viewer.visitor == Visitor::Operator {
            p.title { bdi { (visible(beginning(&rule.name, 120))) } }
        }
        p { bdi { (visible(beginning(&rule.reason, 300))) } }
        p.quiet {
            code { (visible(&rule.indicator)) } ", "
            (moment(rule.refused_at, snapshot.now)) ", by OpenCTI " (visible(&rule.platform))
        }
    }
}

fn refusal(snapshot: &Snapshot, listed: &Of<ListedRefusal>, viewer: Viewer) -> Markup {
    let Of { console, it: listed } = listed;
    let refusal = &listed.refusal;
    let name = listed.title.as_deref().or(listed.key.as_deref());
    html! {
        @if let Some(name) = name.filter(|_| viewer.visitor == Visitor::Operator) {
            p.title { bdi { (visible(beginning(name, 120))) } }
        } @else if let Some(event) = refusal.event {
            p.title { "event " (event) }
        }
        p { bdi { (visible(beginning(&refusal.reason, 300))) } }
        p.quiet {
            @if !refusal.object.is_empty() { code { (visible(&refusal.object)) } ", " }
            (moment(refusal.refused_at, snapshot.now)) ", "
            (counted(listed.times.into(), "time")) (of(console))
        }
    }
}
