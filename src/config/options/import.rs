//! Selection of alerts and threats, and their names, markings and scores.

use std::{collections::BTreeMap, time::Duration};

use strum::{VariantArray, VariantNames};

use crate::config::{
    declare::{Value, choices, names_of, settings, variant},
    option::{OptionSpec, choice, length, list, switch, text, whole},
    parse::{self, Refusal, StartDate},
    reader::{Read, Reader},
};

settings! { FILTER "What is imported, and how it is shown":
    /// Selection of the alerts that are imported. An empty list lets everything through.
    #[derive(Debug, Clone, Default, PartialEq, Eq)]
    pub struct AlertFilter {
        /// Some of new, investigating, `probable_false_positive`, `false_positive`, closed; or all. Left out:
        /// every status. The filters decide what comes in: what has been let in once is kept up to date
        /// whatever becomes of it.
        statuses: Vec<String> = HARFANGLAB_INCIDENTS_ALERT_STATUSES:
            list("all, or some of new, investigating, probable_false_positive, false_positive, closed")
                .or_all().inherited()
                .row_with("`all`", "filter, for example `new, investigating`"), by status;
        /// Such as yara,sigma,ioc; or all. Left out: every type, also those that HarfangLab will add.
        types: Vec<String> = HARFANGLAB_INCIDENTS_ALERT_TYPES:
            list("all, or alert types such as yara,sigma,ioc").or_all().inherited()
                .row_with("`all`", "filter, for example `sigma, yara, ioc`"),
            by |item| Ok(item.to_lowercase());
        /// The least level that is imported: informational, low, medium, high or critical; an alert of
        /// another level, or of none, passes. Left out: every level.
        min_level: Option<String> = HARFANGLAB_INCIDENTS_ALERT_MIN_LEVEL:
            choice(&ALERT_LEVELS).inherited()
                .row_with("every level", "filter, for example `medium`"),
            by |text| parse::one_of(text, &ALERT_LEVELS);
        /// Some of stable, testing, experimental; or all. An alert whose rule names no maturity passes.
        maturities: Vec<String> = HARFANGLAB_INCIDENTS_ALERT_MATURITIES:
            list("all, or some of stable, testing, experimental").or_all().default("stable").inherited()
                .row("filter by the rule's maturity, or `all`"), by maturity;
    }
}

settings! { IMPORT "":
    /// Selection of what is imported, and its name, marking and score.
    #[derive(Debug, Clone)]
    pub struct ImportSettings {
        /// The operator's filter, applied once, after the journal.
        filter: AlertFilter = from AlertFilter::read;
        /// Also import threats, as cases.
        threats: bool = HARFANGLAB_INCIDENTS_IMPORT_THREATS: switch().default("false").inherited()
            .row("threats as case incidents, beside the alerts");
        /// The beginning of the first sweep: a date, a date and time, or how long ago (P30D).
        also HARFANGLAB_INCIDENTS_IMPORT_START_DATE:
            text("a date such as 2026-01-31 or 2026-01-31T08:00:00Z, or how long ago, such as P30D")
                .default("1970-01-01").inherited()
                .row("where the first sweep begins: a date, or so long before it, such as `P30D`");
        /// The beginning of the first sweep (`HARFANGLAB_INCIDENTS_IMPORT_START_DATE`).
        start: StartDate = from start;
        /// The time before its last alert at which the next sweep begins, to find what arrived late.
        overlap: Duration = HARFANGLAB_INCIDENTS_SWEEP_OVERLAP: length("PT0S", "P30D")
            .default("PT15M").inherited();
        /// TLP:CLEAR (or TLP:WHITE), TLP:GREEN, TLP:AMBER, TLP:AMBER+STRICT or TLP:RED.
        marking: Marking = HARFANGLAB_INCIDENTS_DEFAULT_MARKING: choice(names_of::<Marking>())
            .default("TLP:CLEAR").inherited().row("marking of every object");
        /// The score of indicators, 0 to 100. Left out: none.
        score: Option<u8> = HARFANGLAB_INCIDENTS_DEFAULT_SCORE: whole(0, 100).inherited()
            .row("score of indicators, what they matched, and incidents");
        /// title (rule and host) or message (the whole message and host, as the Python connector did). Left
        /// out: decided at the first start, and kept.
        naming: Option<IncidentNaming> = HARFANGLAB_INCIDENTS_INCIDENT_NAME:
            choice(names_of::<IncidentNaming>()).inherited().row_with(
                "decided at the first start, and kept",
                "`title`, or `message`, the Python connector's names, which are kept where its state is found",
            );
        /// login (a user account is its login, as other connectors send it) or sid (login, SID and type;
        /// OpenCTI keeps it apart from theirs). Do not change it later: the accounts that are there stay
        /// beside the new ones.
        accounts: AccountIdentity = HARFANGLAB_INCIDENTS_ACCOUNT_IDENTITY:
            choice(names_of::<AccountIdentity>()).default("login").inherited()
                .row("`sid` makes SID and type part of a user account's identity");
        /// The status of OpenCTI's workflow that an incident gets from its alert's status: pairs such as
        /// new=NEW, closed=CLOSED, by the status's name or id (not the id of its template). Incidents have
        /// no workflow until an administrator adds statuses to them in OpenCTI; `check` and the log of the
        /// start say which there are. Left out: none is set.
        workflow: BTreeMap<String, String> = HARFANGLAB_INCIDENTS_WORKFLOW_STATUSES:
            list("pairs of a HarfangLab status and a status of OpenCTI's workflow of incidents, such as \
                  new=NEW, closed=CLOSED")
                .inherited()
                .row("such as `new=NEW, closed=CLOSED`: the workflow status of an incident, by name or id"),
            by workflow_status;
        /// none, or note: the alert's own JSON (64 KiB at most) as a note on its incident.
        raw: RawAttachment = HARFANGLAB_INCIDENTS_ATTACH_RAW: choice(names_of::<RawAttachment>())
            .default("none").inherited().row("`note` adds the alert's own JSON to its incident");
        /// auto (incidents carry `x_harfanglab_status` and the like, which fill custom fields of OpenCTI that
        /// have such a name among their aliases; once a field refuses a value, none is sent until the
        /// service restarts) or off.
        custom_properties: CustomProperties = HARFANGLAB_INCIDENTS_CUSTOM_PROPERTIES:
            choice(names_of::<CustomProperties>()).default("auto").inherited()
                .row("`off`: incidents carry no `x_harfanglab_…` for custom fields");
    }
}

/// Levels of an alert, from the least to the most severe.
pub const ALERT_LEVELS: [&str; 5] = ["informational", "low", "medium", "high", "critical"];

/// A TLP marking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantNames, VariantArray)]
pub enum Marking {
    /// `TLP:CLEAR` (also read from `TLP:WHITE`).
    #[strum(serialize = "TLP:CLEAR")]
    Clear,
    /// `TLP:GREEN`.
    #[strum(serialize = "TLP:GREEN")]
    Green,
    /// `TLP:AMBER`.
    #[strum(serialize = "TLP:AMBER")]
    Amber,
    /// `TLP:AMBER+STRICT`.
    #[strum(serialize = "TLP:AMBER+STRICT")]
    AmberStrict,
    /// `TLP:RED`.
    #[strum(serialize = "TLP:RED")]
    Red,
}

impl Value for Marking {
    fn parse(_option: &OptionSpec, text: &str) -> Result<Self, Refusal> {
        variant(if text.eq_ignore_ascii_case("TLP:WHITE") { "TLP:CLEAR" } else { text })
    }
}

/// Names of incidents (`…_INCIDENT_NAME`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantNames, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum IncidentNaming {
    /// `<rule or IOC> on <host>`.
    Title,
    /// `<whole message> on <host>`, as the Python connector did.
    Message,
}

/// Identity of a user account (`…_ACCOUNT_IDENTITY`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantNames, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum AccountIdentity {
    /// Its login alone, as the Python connector and others send it.
    Login,
    /// Login, SID and type.
    Sid,
}

/// Says if the alert's own text goes along (`…_ATTACH_RAW`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantNames, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum RawAttachment {
    /// No.
    None,
    /// As a note on the incident.
    Note,
}

/// Says until when incidents carry properties of our own for custom fields (`…_CUSTOM_PROPERTIES`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantNames, VariantArray)]
#[strum(serialize_all = "lowercase")]
pub enum CustomProperties {
    /// Until a custom field refuses one.
    Auto,
    /// Never.
    Off,
}

choices!(IncidentNaming, AccountIdentity, RawAttachment, CustomProperties);

fn start(reader: &mut Reader<'_>) -> Read<StartDate> {
    let now = reader.now();
    reader.required(&HARFANGLAB_INCIDENTS_IMPORT_START_DATE, |text| parse::import_start(text, now))
}

const STATUSES: [&str; 5] =
    ["new", "investigating", "probable_false_positive", "false_positive", "closed"];

fn status(item: &str) -> Result<String, Refusal> {
    parse::one_of(item, &STATUSES)
}

fn maturity(item: &str) -> Result<String, Refusal> {
    parse::one_of(item, &["stable", "testing", "experimental"])
}

/// Parses `closed=CLOSED`.
fn workflow_status(item: &str) -> Result<(String, String), Refusal> {
    let (of_alert, of_incident) =
        item.split_once('=').ok_or_else(|| "has no = between its two statuses".to_owned())?;
    let of_incident = of_incident.trim();
    if of_incident.is_empty() {
        return Err("names no status of OpenCTI after the =".to_owned());
    }
    Ok((status(of_alert.trim())?, of_incident.to_owned()))
}
