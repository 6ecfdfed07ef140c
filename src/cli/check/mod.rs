//! `check`: reads the configuration, looks at the journal and reaches everybody it names. It registers
//! the connector, as starting the service does, and changes nothing else: a service account that is to
//! be made is looked for only.
//!
//! Lives here: what is said. How each party is reached is in `parties`.

mod parties;

use std::{fmt::Write as _, path::Path};

use anyhow::Context as _;
use futures_util::future::join_all;

use super::{failure::Failure, output, setup};
use crate::{
    config::{ConsoleSettings, Loaded, QueueProtocol, Settings, SyslogSettings},
    journal,
    opencti::Registration,
};

/// A finding about one party.
struct Finding {
    party: String,
    verdict: Verdict,
    words: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// As it should be.
    Right,
    /// Worth knowing, and nothing wrong.
    Note,
    /// Something must be done.
    Wrong,
}

/// The platform's answer about itself, and about us where it could be asked without making anything.
type Reached = Result<(String, Option<Registration>), String>;

/// Said of what only the registration of a service account tells.
const NOT_TRIED: &str = "not tried: OpenCTI tells where it is once the service account is there, and \
    nothing is made for a check";

/// Checks, prints a line per party, and fails when something must be done.
pub(super) fn run(config: Option<&Path>) -> Result<(), Failure> {
    let Loaded { settings, warnings, .. } = setup::load(config)?;
    let warnings = warnings.into_iter().map(|words| Finding {
        party: "configuration".to_owned(),
        verdict: Verdict::Note,
        words,
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    let reached = runtime.block_on(reach(&settings));
    let consoles = &settings.consoles;
    let endpoints = consoles.iter().map(|console| endpoint(&settings, console));
    let queues = consoles.iter().filter_map(|console| queue(&settings, console));
    let findings: Vec<Finding> =
        warnings.chain(reached).chain(endpoints).chain(syslog(&settings)).chain(queues).collect();
    output::print(&report(&findings))?;
    if findings.iter().any(|finding| finding.verdict == Verdict::Wrong) {
        return Err(Failure::AlreadyTold);
    }
    Ok(())
}

/// Asks everybody: each has its own time limit.
async fn reach(settings: &Settings) -> Vec<Finding> {
    let consoles = &settings.consoles;
    let asked = join_all(consoles.iter().map(|console| parties::console(&console.harfanglab)));
    let platform = async {
        match &settings.opencti {
            Some(opencti) => parties::platform(opencti, settings).await,
            None => Err("no platform is configured: set OPENCTI_URL and OPENCTI_TOKEN".to_owned()),
        }
    };
    let journal = journal::probe(&settings.journal);
    let (reached, platform, journal) = futures_util::join!(asked, platform, journal);
    let connector = &settings.connector;
    let uses_broker = connector.send_to_queue && connector.sending.protocol == QueueProtocol::Amqp;
    let of_console = consoles.iter().zip(reached);
    let mut findings: Vec<Finding> = of_console
        .map(|(console, reached)| finding(&named("HarfangLab", settings, console), reached))
        .collect();
    let of_platform = platform.as_ref().map(|(words, _)| words.clone()).map_err(Clone::clone);
    findings.push(finding("OpenCTI", of_platform));
    findings.push(finding("journal", journal.map_err(|failure| failure.to_string())));
    for console in consoles {
        findings.extend(workflow(settings, console, &platform).await);
    }
    if uses_broker {
        let asked = |registration| parties::broker(settings, registration);
        findings.push(told_by(&platform, "RabbitMQ", asked).await);
    }
    if let Some(s3) = &settings.connector.sending.s3 {
        let asked = |registration| parties::s3(s3, settings, registration);
        findings.push(told_by(&platform, "S3", asked).await);
    }
    findings
}

/// Returns what is found at a party that a registration tells of.
async fn told_by<'a, F: Future<Output = Result<String, String>>>(
    platform: &'a Reached,
    party: &'static str,
    ask: impl FnOnce(&'a Registration) -> F,
) -> Finding {
    match platform {
        Ok((_words, Some(registration))) => finding(party, ask(registration).await),
        Ok((_words, None)) => {
            let (party, words) = (party.to_owned(), NOT_TRIED.to_owned());
            Finding { party, verdict: Verdict::Note, words }
        }
        Err(_) => {
            let words = "not tried: OpenCTI tells where it is, so put that right first";
            finding(party, Err(words.to_owned()))
        }
    }
}

/// Returns what is said of the operator's map of statuses, when there is one. What OpenCTI does not know of
/// it is not sent, and nothing else suffers: a note.
async fn workflow(
    settings: &Settings,
    console: &ConsoleSettings,
    platform: &Reached,
) -> Option<Finding> {
    let (wanted, opencti) = (&console.import.workflow, settings.opencti.as_ref()?);
    if wanted.is_empty() || platform.is_err() {
        return None;
    }
    let party = named("workflow", settings, console);
    let finding = finding(&party, parties::workflow(opencti, wanted).await);
    Some(match finding.verdict {
        Verdict::Wrong => Finding { verdict: Verdict::Note, ..finding },
        _ => finding,
    })
}

/// A party, with the console that it is of, where there are several.
fn named(party: &str, settings: &Settings, console: &ConsoleSettings) -> String {
    if settings.has_several_consoles() {
        format!("{party} ({})", console.name)
    } else {
        party.to_owned()
    }
}

fn finding(party: &str, outcome: Result<String, String>) -> Finding {
    let party = party.to_owned();
    match outcome {
        Ok(words) => Finding { party, verdict: Verdict::Right, words },
        Err(words) => Finding { party, verdict: Verdict::Wrong, words },
    }
}

fn endpoint(settings: &Settings, console: &ConsoleSettings) -> Finding {
    let webhook = &console.webhook;
    let words = if webhook.secrets.is_empty() {
        let option = if settings.has_several_consoles() {
            "its webhook_secret"
        } else {
            "HARFANGLAB_INCIDENTS_WEBHOOK_SECRET"
        };
        let roads = settings.roads_besides_posts(console);
        format!("closed, alerts come by {roads} only; set {option} to open it")
    } else {
        let with_tls = if settings.endpoint.tls.is_some() { " with TLS" } else { "" };
        format!("will take POST {} at {}{with_tls}", webhook.path, settings.endpoint.listen)
    };
    Finding { party: named("endpoint", settings, console), verdict: Verdict::Note, words }
}

/// Said and not tried: to ask would take events out of the queue.
fn queue(settings: &Settings, console: &ConsoleSettings) -> Option<Finding> {
    let words =
        "the Elastic connector's queue will be read; not tried, since reading takes events away";
    console.elastic_pull.then(|| Finding {
        party: named("pull queue", settings, console),
        verdict: Verdict::Note,
        words: words.to_owned(),
    })
}

/// Returns what will be listened to for syslog, and by what a message must prove itself.
fn syslog(settings: &Settings) -> Option<Finding> {
    let syslog = settings.syslog.as_ref()?;
    let authorities = syslog.tls.as_ref().and_then(|tls| tls.client_authorities.as_ref());
    let SyslogSettings { listen, token_id, token_name, .. } = syslog;
    let transport = if syslog.tls.is_some() { "TLS (TCP-SSL)" } else { "TCP" };
    let proofs = [
        (!syslog.tokens.is_empty())
            .then(|| format!("with [{token_id} {token_name}=\"…\"] as structured data")),
        authorities.map(|_file| "with a client certificate".to_owned()),
        (!syslog.allowed_networks.is_empty()).then(|| "from the allowed networks".to_owned()),
    ];
    let proofs: Vec<String> = proofs.into_iter().flatten().collect();
    let words = format!("will take messages by {transport} at {listen}, {}", proofs.join(", "));
    Some(Finding { party: "syslog".to_owned(), verdict: Verdict::Note, words })
}

fn report(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { party, verdict, words } in findings {
        let verdict = match verdict {
            Verdict::Right => "ok",
            Verdict::Note => "note",
            Verdict::Wrong => "WRONG",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{verdict:<6} {party:<14} {}", output::line_of(words));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_has_a_line_a_party_and_says_which_is_wrong() {
        let findings = [
            finding("HarfangLab", Ok("5.7.29".to_owned())),
            finding("OpenCTI", Err("does not answer".to_owned())),
        ];
        let expected = "ok     HarfangLab     5.7.29\nWRONG  OpenCTI        does not answer\n";
        assert_eq!(report(&findings), expected);
    }
}
