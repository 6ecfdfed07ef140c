//! `check`: reads the configuration and reaches everybody it names. It registers the connector, as
//! starting the service does, and changes nothing else: a service account that is to be made is
//! looked for only.
//!
//! Lives here: what is said. How each party is reached is in `parties`.

mod parties;

use std::{fmt::Write as _, path::Path};

use anyhow::Context as _;

use super::{failure::Failure, output, setup};
use crate::{
    config::{Loaded, QueueProtocol, Settings, SyslogSettings},
    opencti::Registration,
};

/// What was found at one party.
struct Finding {
    party: &'static str,
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

/// What the platform said of itself, and of us where it could be asked without making anything.
type Reached = Result<(String, Option<Registration>), String>;

/// What only the registration of a service account tells.
const NOT_TRIED: &str = "not tried: OpenCTI tells where it is once the service account is there, and \
    nothing is made for a check";

/// Checks, prints a line per party, and fails when something must be done.
pub(super) fn run(config: Option<&Path>) -> Result<(), Failure> {
    let Loaded { settings, warnings, .. } = setup::load(config)?;
    let warnings = warnings.into_iter().map(|words| Finding {
        party: "configuration",
        verdict: Verdict::Note,
        words,
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the asynchronous runtime")?;
    let reached = runtime.block_on(reach(&settings));
    let findings: Vec<Finding> = warnings
        .chain(reached)
        .chain([endpoint(&settings)])
        .chain(syslog(&settings))
        .chain(queue(&settings))
        .collect();
    output::print(&report(&findings))?;
    if findings.iter().any(|finding| finding.verdict == Verdict::Wrong) {
        return Err(Failure::AlreadyTold);
    }
    Ok(())
}

/// Asks everybody: each has its own time limit.
async fn reach(settings: &Settings) -> Vec<Finding> {
    let console = parties::console(&settings.harfanglab);
    let platform = async {
        match &settings.opencti {
            Some(opencti) => parties::platform(opencti, settings).await,
            None => Err("no platform is configured: set OPENCTI_URL and OPENCTI_TOKEN".to_owned()),
        }
    };
    let (console, platform) = futures_util::join!(console, platform);
    let connector = &settings.connector;
    let uses_broker = connector.send_to_queue && connector.sending.protocol == QueueProtocol::Amqp;
    let workflow = workflow(settings, &platform).await;
    let mut findings = vec![
        finding("HarfangLab", console),
        finding("OpenCTI", platform.as_ref().map(|(words, _)| words.clone()).map_err(Clone::clone)),
    ];
    findings.extend(workflow);
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

/// What is found at a party that a registration tells of.
async fn told_by<'a, F: Future<Output = Result<String, String>>>(
    platform: &'a Reached,
    party: &'static str,
    ask: impl FnOnce(&'a Registration) -> F,
) -> Finding {
    match platform {
        Ok((_words, Some(registration))) => finding(party, ask(registration).await),
        Ok((_words, None)) => {
            Finding { party, verdict: Verdict::Note, words: NOT_TRIED.to_owned() }
        }
        Err(_) => {
            let words = "not tried: OpenCTI tells where it is, so put that right first";
            finding(party, Err(words.to_owned()))
        }
    }
}

/// What is said of the operator's map of statuses, when there is one. What OpenCTI does not know of
/// it is not sent, and nothing else suffers: a note.
async fn workflow(settings: &Settings, platform: &Reached) -> Option<Finding> {
    let (wanted, opencti) = (&settings.import.workflow, settings.opencti.as_ref()?);
    if wanted.is_empty() || platform.is_err() {
        return None;
    }
    let finding = finding("workflow", parties::workflow(opencti, wanted).await);
    Some(match finding.verdict {
        Verdict::Wrong => Finding { verdict: Verdict::Note, ..finding },
        _ => finding,
    })
}

fn finding(party: &'static str, outcome: Result<String, String>) -> Finding {
    match outcome {
        Ok(words) => Finding { party, verdict: Verdict::Right, words },
        Err(words) => Finding { party, verdict: Verdict::Wrong, words },
    }
}

fn endpoint(settings: &Settings) -> Finding {
    let webhook = &settings.webhook;
    let words = if webhook.secrets.is_empty() && settings.syslog.is_some() {
        "closed, alerts come by syslog; set HARFANGLAB_INCIDENTS_WEBHOOK_SECRET to open it"
            .to_owned()
    } else if webhook.secrets.is_empty() {
        "closed, alerts are only swept; set HARFANGLAB_INCIDENTS_WEBHOOK_SECRET to open it"
            .to_owned()
    } else {
        let with_tls = if webhook.tls.is_some() { " with TLS" } else { "" };
        format!("will take POST {} at {}{with_tls}", webhook.path, webhook.listen)
    };
    Finding { party: "endpoint", verdict: Verdict::Note, words }
}

/// Said and not tried: to ask would take events out of the queue.
fn queue(settings: &Settings) -> Option<Finding> {
    let words =
        "the Elastic connector's queue will be read; not tried, since reading takes events away";
    let verdict = Verdict::Note;
    settings.elastic_pull.then(|| Finding { party: "pull queue", verdict, words: words.to_owned() })
}

/// What will be listened to for syslog, and by what a message must prove itself.
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
    Some(Finding { party: "syslog", verdict: Verdict::Note, words })
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
        let _ = writeln!(text, "{verdict:<6} {party:<14} {words}");
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
